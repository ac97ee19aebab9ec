using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Platform.Proxy.Transport;

/// <summary>
/// Where each HTTP/1 request of a connection ends, by the grammar of RFC 9112 and by nothing laxer: follows the bytes past heads, bodies and
/// chunks. Kestrel's own parser accepts forms that others read differently (a signed Content-Length, rubbish behind a chunk's size, several spaces
/// or a bare CR in the request line or before it) and keeps no trace of some of them, so they are found here, before it sees them.
/// </summary>
internal sealed class RequestFraming
{
    /// <summary>Longest chunk line, extensions included; nobody sends them.</summary>
    private const int ChunkLineMax = 4096;
    private const int LengthDigitsMax = 18;
    private const int ChunkDigitsMax = 15;

    private enum Part { BeforeHead, Head, Body, ChunkLine, ChunkData, ChunkEnd, Trailer, Tunnel }

    private Part _part = Part.BeforeHead;
    private long _left;
    private bool _isChunked;
    private bool _isBadHead;
    private bool _isAtStartLine;

    /// <summary>The request breaks the grammar; nothing behind this point can be trusted.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>
    /// What the request's Connection fields say, when that is more than close or keep-alive; null otherwise. Kestrel makes "close" of "close, X" and forgets X.
    /// </summary>
    public string? Connection { get; private set; }

    /// <summary>Bytes from now on are no longer HTTP.</summary>
    public void Tunnel() => _part = Part.Tunnel;

    /// <summary>
    /// Follows whole pieces as far as <paramref name="bytes"/> hold them, to the end of the request at most.
    /// <paramref name="ended"/>: a request's last byte was among them.
    /// </summary>
    /// <returns>How many bytes were followed: a broken head counts, a broken piece of a body does not.</returns>
    public long Follow(in ReadOnlySequence<byte> bytes, out bool ended)
    {
        var reader = new SequenceReader<byte>(bytes);
        ended = false;
        while (true)
        {
            var before = reader.Consumed;
            var more = Advance(ref reader, ref ended);
            if (IsBroken && HoldsBack) return before;
            if (!more || ended || IsBroken) return reader.Consumed;
        }
    }

    /// <summary>A line of a chunked body is not complete and never will be.</summary>
    public bool IsStuckAt(long unfollowed) => _part is Part.ChunkLine or Part.ChunkEnd && unfollowed > ChunkLineMax;

    /// <summary>Bytes that are not followed yet must not be handed on: they may hold what is to be refused.</summary>
    public bool HoldsBack => _part is Part.ChunkLine or Part.ChunkEnd or Part.BeforeHead;

    private bool Advance(ref SequenceReader<byte> reader, ref bool ended)
    {
        switch (_part)
        {
            case Part.BeforeHead:
                while (reader.IsNext("\r\n"u8, advancePast: true)) { } // empty lines before a request are not part of it (RFC 9112 2.2)
                if (reader.End || (reader.Remaining == 1 && reader.IsNext((byte)'\r'))) return false;
                (_part, _left, _isChunked, _isBadHead, _isAtStartLine) = (Part.Head, 0, false, false, true);
                Connection = null;
                return true;
            case Part.Head:
                return FollowHead(ref reader);
            case Part.Body:
                return FollowData(ref reader) && End(ref ended);
            case Part.ChunkLine:
                return FollowChunkLine(ref reader);
            case Part.ChunkData:
                if (!FollowData(ref reader)) return false;
                _part = Part.ChunkEnd;
                return true;
            case Part.ChunkEnd:
                if (reader.Remaining < 2) return false;
                IsBroken = !reader.IsNext("\r\n"u8, advancePast: true);
                if (!IsBroken) _part = Part.ChunkLine;
                return !IsBroken;
            case Part.Trailer:
                return TryReadLine(ref reader, out var line) && (!line.IsEmpty || End(ref ended));
            default:
                reader.AdvanceToEnd(); // a tunnel
                return false;
        }
    }

    private bool FollowHead(ref SequenceReader<byte> reader)
    {
        while (TryReadLine(ref reader, out var line))
        {
            if (_isAtStartLine)
            {
                _isAtStartLine = false;
                _isBadHead = !IsStartLine(line.IsSingleSegment ? line.FirstSpan : line.ToArray());
                continue;
            }
            if (!line.IsEmpty)
            {
                ReadField(line);
                continue;
            }
            IsBroken = _isBadHead; // known only now to the outside: Kestrel shall have the whole head, so that it can be answered
            if (!IsBroken) _part = _isChunked ? Part.ChunkLine : Part.Body;
            return !IsBroken;
        }
        return false;
    }

    /// <summary>Three parts, a single space between each, and nothing but visible ASCII in them.</summary>
    private static bool IsStartLine(ReadOnlySpan<byte> line) => line.Count((byte)' ') == 2 && !line.ContainsAnyExceptInRange((byte)' ', (byte)'~');

    private void ReadField(in ReadOnlySequence<byte> line)
    {
        var first = line.FirstSpan[0] | 0x20;
        if (first is not ('c' or 't')) return; // nothing else frames a message or names what stops here
        var text = line.IsSingleSegment ? line.FirstSpan : line.ToArray();
        var colon = text.IndexOf((byte)':');
        if (colon < 0) return;
        var value = text[(colon + 1)..].Trim(" \t"u8);
        if (Ascii.EqualsIgnoreCase(text[..colon], "content-length"u8))
        {
            var isNumber = value.Length is > 0 and <= LengthDigitsMax && !value.ContainsAnyExceptInRange((byte)'0', (byte)'9');
            _isBadHead |= !isNumber || !Utf8Parser.TryParse(value, out _left, out _);
        }
        else if (Ascii.EqualsIgnoreCase(text[..colon], "transfer-encoding"u8)) _isChunked = true; // any other coding is refused above Kestrel
        else if (Ascii.EqualsIgnoreCase(text[..colon], "connection"u8)) ReadConnection(value);
    }

    private void ReadConnection(ReadOnlySpan<byte> value)
    {
        if (Ascii.EqualsIgnoreCase(value, "close"u8) || Ascii.EqualsIgnoreCase(value, "keep-alive"u8)) return;
        var text = Encoding.Latin1.GetString(value);
        Connection = Connection is null ? text : $"{Connection},{text}";
    }

    private bool FollowData(ref SequenceReader<byte> reader)
    {
        var here = Math.Min(_left, reader.Remaining);
        reader.Advance(here);
        _left -= here;
        return _left == 0;
    }

    private bool FollowChunkLine(ref SequenceReader<byte> reader)
    {
        if (!TryReadLine(ref reader, out var line)) return false;
        var text = line.IsSingleSegment ? line.FirstSpan : line.ToArray();
        IsBroken = !Utf8Parser.TryParse(text, out _left, out var digits, 'x') || digits > ChunkDigitsMax || !ChunkExtensions.AreValid(text[digits..]);
        if (!IsBroken) _part = _left == 0 ? Part.Trailer : Part.ChunkData;
        return !IsBroken;
    }

    private bool End(ref bool ended)
    {
        ended = true;
        _part = Part.BeforeHead;
        return true;
    }

    private static bool TryReadLine(ref SequenceReader<byte> reader, out ReadOnlySequence<byte> line) => reader.TryReadTo(out line, "\r\n"u8, advancePastDelimiter: true);
}

/// <summary>RFC 9112 7.1.1: <c>*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )</c>.</summary>
internal static class ChunkExtensions
{
    private static readonly SearchValues<byte> TokenBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    public static bool AreValid(ReadOnlySpan<byte> text)
    {
        while (!text.IsEmpty)
        {
            text = text.TrimStart(" \t"u8);
            if (text.IsEmpty || text[0] != ';') return false;
            text = text[1..].TrimStart(" \t"u8);
            if (!TryToken(ref text)) return false;
            var rest = text.TrimStart(" \t"u8);
            if (rest.IsEmpty || rest[0] != '=') continue;
            text = rest[1..].TrimStart(" \t"u8);
            if (!(text is [(byte)'"', ..] ? TryQuoted(ref text) : TryToken(ref text))) return false;
        }
        return true;
    }

    private static bool TryToken(ref ReadOnlySpan<byte> text)
    {
        var end = text.IndexOfAnyExcept(TokenBytes);
        if (end < 0) end = text.Length;
        text = text[end..];
        return end > 0;
    }

    private static bool TryQuoted(ref ReadOnlySpan<byte> text)
    {
        for (var i = 1; i < text.Length; i++)
            switch (text[i])
            {
                case (byte)'"':
                    text = text[(i + 1)..];
                    return true;
                case (byte)'\\':
                    i++;
                    break;
                case < 0x20 and not (byte)'\t':
                case 0x7F:
                    return false;
            }
        return false;
    }
}
