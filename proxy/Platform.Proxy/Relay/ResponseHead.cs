using System.Globalization;
using System.Text;

namespace Platform.Proxy.Relay;

/// <summary>How the end of a response's body is known (RFC 9112 6.3).</summary>
internal enum BodyEnd
{
    NoBody,
    Length,
    LastChunk,

    /// <summary>The task closes the connection.</summary>
    Close,
}

internal enum ResponseVerdict { Incomplete, Whole, Broken }

/// <summary>
/// The head of a task's response. Unlike a request's it cannot be left to somebody else, so everything that is HTTP at all is understood: lines that end
/// with a bare LF and folded ones too, as CGI programs write them. What goes to the client is always written anew, in the strict form.
/// </summary>
internal struct ResponseHead
{
    /// <summary>The same as .NET's HTTP client allows.</summary>
    public const int BytesMax = 64 * 1024;

    private const int FieldsMax = 1000;

    private bool _hasLength;
    private bool _isChunked;
    private bool _namesFields;
    private bool _isHttp10;

    /// <summary>With the empty line that ends it.</summary>
    public int Length { get; private set; }
    public int Status { get; private set; }
    public bool IsInterim => Status is >= 100 and < 200;

    /// <summary>The task keeps its connection open for the next request.</summary>
    public bool KeepsConnection { get; private set; }
    public BodyEnd BodyEnd { get; private set; }
    public long ContentLength { get; private set; }
    public bool HasDate { get; private set; }

    /// <summary>Reads a head and writes the client's, except its last lines (<see cref="WriteEnd"/>).</summary>
    /// <param name="bytes">Folded lines are unfolded in place.</param>
    /// <param name="toHead">The request was a HEAD: no body follows, whatever the head says.</param>
    public static ResponseVerdict Read(Span<byte> bytes, bool toHead, Span<byte> output, out ResponseHead head, out int written)
    {
        head = default;
        written = 0;
        var at = 0;
        if (!TryLine(bytes, ref at, folds: false, out var line)) return bytes.Length > BytesMax ? ResponseVerdict.Broken : ResponseVerdict.Incomplete;
        if (!head.TryStatusLine(line)) return ResponseVerdict.Broken;
        "HTTP/1.1 "u8.CopyTo(output);
        written = 9;
        Append(output, ref written, line[9..]);
        if (line.Length == 12) Append(output, ref written, " "u8);
        Append(output, ref written, "\r\n"u8);
        for (var fields = 0; ; fields++)
        {
            if (at > BytesMax || fields > FieldsMax) return ResponseVerdict.Broken;
            if (fields == 0 && at < bytes.Length && bytes[at] is (byte)' ' or (byte)'\t') return ResponseVerdict.Broken; // there is no field to fold onto
            if (!TryLine(bytes, ref at, folds: true, out line)) return bytes.Length > BytesMax ? ResponseVerdict.Broken : ResponseVerdict.Incomplete;
            if (line.IsEmpty) break;
            if (!head.TryField(line, output, ref written)) return ResponseVerdict.Broken;
        }
        head.Length = at;
        if (head._namesFields) RemoveNamed(bytes[..at], output, ref written);
        return head.TryFrame(toHead) ? ResponseVerdict.Whole : ResponseVerdict.Broken;
    }

    /// <summary>Framing, Date where there is none (RFC 9110 6.6.1), and the empty line.</summary>
    public readonly void WriteEnd(Span<byte> output, ref int written, bool closes, ReadOnlySpan<byte> dateLine)
    {
        if (_hasLength && Status != 204 && !_isChunked)
        {
            Append(output, ref written, "Content-Length: "u8);
            ContentLength.TryFormat(output[written..], out var digits, default, CultureInfo.InvariantCulture);
            written += digits;
            Append(output, ref written, "\r\n"u8);
        }
        else if (BodyEnd is BodyEnd.LastChunk or BodyEnd.Close) Append(output, ref written, "Transfer-Encoding: chunked\r\n"u8);
        if (!HasDate) Append(output, ref written, dateLine);
        if (closes) Append(output, ref written, "Connection: close\r\n"u8);
        Append(output, ref written, "\r\n"u8);
    }

    /// <summary>A line with what is folded onto it; without its end.</summary>
    private static bool TryLine(Span<byte> bytes, ref int at, bool folds, out Span<byte> line)
    {
        line = default;
        var start = at;
        var from = at;
        while (true)
        {
            var end = bytes[from..].IndexOf((byte)'\n');
            if (end < 0) return false;
            end += from;
            var length = end > start && bytes[end - 1] == '\r' ? end - 1 - start : end - start;
            if (folds && length > 0)
            {
                if (end + 1 == bytes.Length) return false; // the next line may be folded onto this one
                if (bytes[end + 1] is (byte)' ' or (byte)'\t')
                {
                    bytes[(start + length)..(end + 1)].Fill((byte)' ');
                    from = end + 1;
                    continue;
                }
            }
            line = bytes.Slice(start, length);
            at = end + 1;
            return true;
        }
    }

    private bool TryStatusLine(ReadOnlySpan<byte> line)
    {
        if (line.Length < 12 || !line.StartsWith("HTTP/1."u8) || line[7] is not ((byte)'0' or (byte)'1') || line[8] != ' ') return false;
        for (var i = 9; i < 12; i++)
            if (!char.IsAsciiDigit((char)line[i])) return false;
        if (line.Length > 12 && (line[12] != ' ' || line[13..].ContainsAny(Fields.ControlsButTab))) return false;
        Status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
        _isHttp10 = line[7] == '0';
        KeepsConnection = !_isHttp10;
        return Status >= 100;
    }

    private bool TryField(ReadOnlySpan<byte> line, Span<byte> output, ref int written)
    {
        var colon = line.IndexOf((byte)':');
        if (colon <= 0 || line[..colon].ContainsAnyExcept(Fields.TokenBytes) || line[colon..].ContainsAny(Fields.ControlsButTab)) return false;
        var value = line[(colon + 1)..].Trim(" \t"u8);
        switch (Fields.OfResponse(line[..colon]))
        {
            case ResponseField.ContentLength:
                if (!Fields.TryLength(value, out var length) || (_hasLength && length != ContentLength)) return false;
                (_hasLength, ContentLength) = (true, length);
                return true;
            case ResponseField.TransferEncoding:
                if (_isChunked || !Fields.Is(value, "chunked"u8)) return false;
                _isChunked = true;
                return true;
            case ResponseField.Connection:
                ReadConnection(value);
                return true;
            case ResponseField.Dropped:
                return true;
            case ResponseField.Date:
                HasDate = true;
                break;
        }
        Append(output, ref written, line);
        Append(output, ref written, "\r\n"u8);
        return true;
    }

    private void ReadConnection(ReadOnlySpan<byte> value)
    {
        foreach (var range in value.Split((byte)','))
        {
            var option = value[range].Trim(" \t"u8);
            if (Fields.Is(option, "close"u8)) (KeepsConnection, _isHttp10) = (false, true);
            else if (Fields.Is(option, "keep-alive"u8)) KeepsConnection = !_isHttp10;
            else if (!option.IsEmpty && !Fields.Is(option, "upgrade"u8)) _namesFields = true;
        }
    }

    private bool TryFrame(bool toHead)
    {
        if (Status == 101) return false; // nobody asked for it
        if (_isChunked && _hasLength) KeepsConnection = false; // the chunks win, and the task is not trusted with another request
        if (toHead || IsInterim || Status is 204 or 304) BodyEnd = BodyEnd.NoBody;
        else if (_isChunked) BodyEnd = BodyEnd.LastChunk;
        else if (_hasLength) BodyEnd = ContentLength == 0 ? BodyEnd.NoBody : BodyEnd.Length;
        else (BodyEnd, KeepsConnection) = (BodyEnd.Close, false);
        return true;
    }

    /// <summary>
    /// RFC 9110 7.6.1: fields that Connection names were meant for us. Framing is written by <see cref="WriteEnd"/> and cannot be named away; what the
    /// content is, may not be.
    /// </summary>
    private static void RemoveNamed(ReadOnlySpan<byte> head, Span<byte> output, ref int written)
    {
        var kept = output[..written].IndexOf((byte)'\n') + 1;
        for (var at = kept; at < written;)
        {
            var length = output[at..written].IndexOf((byte)'\n') + 1;
            var line = output.Slice(at, length);
            if (!IsNamed(head, line[..line.IndexOf((byte)':')]))
            {
                line.CopyTo(output[kept..]);
                kept += length;
            }
            at += length;
        }
        written = kept;
    }

    private static bool IsNamed(ReadOnlySpan<byte> head, ReadOnlySpan<byte> name)
    {
        if (Fields.Is(name, "content-type"u8)) return false;
        foreach (var range in head.Split((byte)'\n'))
        {
            var line = head[range].TrimEnd((byte)'\r');
            if (line.Length < 11 || line[10] != ':' || !Fields.Is(line[..10], "connection"u8)) continue;
            var value = line[11..];
            foreach (var part in value.Split((byte)','))
                if (Ascii.EqualsIgnoreCase(value[part].Trim(" \t"u8), name)) return true;
        }
        return false;
    }

    private static void Append(Span<byte> output, ref int length, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(output[length..]);
        length += bytes.Length;
    }
}
