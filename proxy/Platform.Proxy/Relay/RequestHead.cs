using System.Buffers;
using System.Runtime.CompilerServices;

namespace Platform.Proxy.Relay;

internal enum HeadVerdict
{
    /// <summary>Nothing wrong so far, and not all of it is there.</summary>
    Incomplete,

    /// <summary>A request the relay understands wholly.</summary>
    Taken,

    /// <summary>Anything else, right or wrong: Kestrel shall judge it.</summary>
    NotOurs,
}

/// <summary>
/// The head of a request that the relay takes on: HTTP/1.1, a known method, a path, one plain Host, a body of known length or none, and nothing
/// that asks for more than passing on. It knows only positions in the bytes it was read from.
/// </summary>
internal struct RequestHead
{
    /// <summary>What Kestrel allows, too; it answers what goes beyond.</summary>
    public const int BytesMax = 32 * 1024;
    private const int LineBytesMax = 8 * 1024;
    private const int FieldsMax = 100;

    private static readonly SearchValues<byte> PathBytes =
        SearchValues.Create("/?-._~!$&'()*+,;=:@%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    private static readonly SearchValues<byte> NameBytes = SearchValues.Create("-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    private Ranges _dropped;
    private int _hostStart;
    private int _hostLength;
    private bool _hasLength;
    private bool _hasConnection;

    /// <summary>With the empty line that ends it.</summary>
    public int Length { get; private set; }

    /// <summary>Of the body.</summary>
    public long ContentLength { get; private set; }

    public bool IsHead { get; private set; }

    /// <summary>Doing it twice has the effect of doing it once (RFC 9110 9.2.2).</summary>
    public bool IsIdempotent { get; private set; }

    public bool IsLast { get; private set; }

    public readonly ReadOnlySpan<byte> Host(ReadOnlySpan<byte> bytes) => bytes.Slice(_hostStart, _hostLength);

    public static HeadVerdict Read(ReadOnlySpan<byte> bytes, out RequestHead head)
    {
        head = default;
        if (bytes[0] is < (byte)'A' or > (byte)'Z') return HeadVerdict.NotOurs;
        var at = 0;
        var verdict = Line(bytes, ref at, out var line);
        if (verdict != HeadVerdict.Taken) return verdict;
        if (line.Length > LineBytesMax || !head.TryRequestLine(line)) return HeadVerdict.NotOurs;
        for (var fields = 0; ; fields++)
        {
            var start = at;
            verdict = Line(bytes, ref at, out line);
            if (verdict != HeadVerdict.Taken) return verdict;
            if (line.IsEmpty) break;
            if (fields == FieldsMax || at > BytesMax || !head.TryField(bytes, line, start, at)) return HeadVerdict.NotOurs;
        }
        head.Length = at;
        return head._hostLength > 0 ? HeadVerdict.Taken : HeadVerdict.NotOurs;
    }

    /// <summary>The head as it goes to the task, without the lines that stop here and with those that the edge adds.</summary>
    /// <param name="edgeLines">Whole lines.</param>
    public readonly int WriteTo(Span<byte> output, ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> edgeLines)
    {
        var length = 0;
        var from = 0;
        for (var i = 0; i < _dropped.Count; i++)
        {
            var (start, end) = _dropped[i];
            Append(output, ref length, bytes[from..start]);
            from = end;
        }
        Append(output, ref length, bytes[from..(Length - 2)]);
        Append(output, ref length, edgeLines);
        Append(output, ref length, "X-Forwarded-Host: "u8);
        Append(output, ref length, Host(bytes));
        Append(output, ref length, "\r\n\r\n"u8);
        return length;
    }

    /// <summary>A line ends with CR LF, and neither stands anywhere else.</summary>
    private static HeadVerdict Line(ReadOnlySpan<byte> bytes, ref int at, out ReadOnlySpan<byte> line)
    {
        var rest = bytes[at..];
        var end = rest.IndexOfAny((byte)'\r', (byte)'\n');
        line = default;
        if (end < 0) return HeadVerdict.Incomplete;
        if (rest[end] == '\n') return HeadVerdict.NotOurs;
        if (end + 1 == rest.Length) return HeadVerdict.Incomplete;
        if (rest[end + 1] != '\n') return HeadVerdict.NotOurs;
        line = rest[..end];
        at += end + 2;
        return HeadVerdict.Taken;
    }

    private bool TryRequestLine(ReadOnlySpan<byte> line)
    {
        if (!line.EndsWith(" HTTP/1.1"u8)) return false;
        line = line[..^9];
        var space = line.IndexOf((byte)' ');
        return space > 0 && TryMethod(line[..space]) && IsPath(line[(space + 1)..]);
    }

    private bool TryMethod(ReadOnlySpan<byte> method)
    {
        IsHead = method.SequenceEqual("HEAD"u8);
        IsIdempotent = IsHead || method.SequenceEqual("GET"u8) || method.SequenceEqual("PUT"u8) || method.SequenceEqual("DELETE"u8)
            || method.SequenceEqual("OPTIONS"u8);
        return IsIdempotent || method.SequenceEqual("POST"u8) || method.SequenceEqual("PATCH"u8);
    }

    /// <summary>origin-form of RFC 9112 3.2.1, each character of it as RFC 3986 has it; no NUL in disguise.</summary>
    private static bool IsPath(ReadOnlySpan<byte> target)
    {
        if (target.IsEmpty || target[0] != '/' || target.ContainsAnyExcept(PathBytes)) return false;
        while (target.IndexOf((byte)'%') is var percent and >= 0)
        {
            target = target[(percent + 1)..];
            if (target.Length < 2 || !char.IsAsciiHexDigit((char)target[0]) || !char.IsAsciiHexDigit((char)target[1])) return false;
            if (target[0] == '0' && target[1] == '0') return false;
        }
        return true;
    }

    private bool TryField(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> line, int start, int end)
    {
        var colon = line.IndexOf((byte)':');
        if (colon <= 0 || line[..colon].ContainsAnyExcept(Fields.TokenBytes) || line[colon..].ContainsAny(Fields.Controls)) return false;
        var value = line[(colon + 1)..].Trim((byte)' ');
        switch (Fields.OfRequest(line[..colon]))
        {
            case RequestField.Ordinary:
                return true;
            case RequestField.Host:
                if (_hostLength > 0 || !IsHost(value)) return false;
                _hostLength = value.Length;
                _hostStart = (int)Unsafe.ByteOffset(in bytes[0], in value[0]);
                return true;
            case RequestField.ContentLength:
                if (_hasLength || !Fields.TryLength(value, out var length)) return false;
                (_hasLength, ContentLength) = (true, length);
                return true;
            case RequestField.Accept:
                return value.IndexOf("event-stream"u8) < 0; // whose silence is normal: it has other time-outs
            case RequestField.Connection:
                IsLast = Fields.Is(value, "close"u8);
                if (_hasConnection || !(IsLast || Fields.Is(value, "keep-alive"u8))) return false;
                _hasConnection = true;
                return _dropped.TryAdd(start, end);
            case RequestField.Dropped:
                return _dropped.TryAdd(start, end);
            default:
                return false;
        }
    }

    /// <summary>A name or an IPv4 address, and perhaps a port.</summary>
    private static bool IsHost(ReadOnlySpan<byte> value)
    {
        var colon = value.IndexOf((byte)':');
        if (colon >= 0)
        {
            var port = value[(colon + 1)..];
            if (port.Length is 0 or > 5 || port.ContainsAnyExceptInRange((byte)'0', (byte)'9')) return false;
            value = value[..colon];
        }
        return value.Length is > 0 and <= 255 && !value.ContainsAnyExcept(NameBytes);
    }

    private static void Append(Span<byte> output, ref int length, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(output[length..]);
        length += bytes.Length;
    }

    /// <summary>The few lines that are left out, in the order they stand.</summary>
    private struct Ranges
    {
        private const int Max = 16;
        private Items _items;

        public int Count { get; private set; }
        public readonly (int Start, int End) this[int index] => _items[index];

        public bool TryAdd(int start, int end)
        {
            if (Count == Max) return false;
            _items[Count++] = (start, end);
            return true;
        }

        [InlineArray(Max)]
        private struct Items
        {
            private (int Start, int End) _first;
        }
    }
}
