namespace Platform.Proxy.Relay;

internal enum ChunkVerdict { More, Ended, Broken }

/// <summary>Takes a task's chunked body apart (RFC 9112 7.1). Extensions and trailers are read over: they are the task's word to us.</summary>
internal struct ChunkDecoder
{
    private const int DigitsMax = 15;

    /// <summary>Longest line of a chunk with its extensions, and longest trailer section.</summary>
    private const int LineMax = 16 * 1024;

    private enum Part { Size, Extension, SizeEnd, Data, DataEnd, DataEndFeed, TrailerStart, TrailerLine, TrailerFeed, LastFeed }

    private Part _part;
    private long _left;
    private int _digits;
    private int _line;

    /// <summary>Puts the content of <paramref name="input"/> into <paramref name="output"/>, which is as long at least.</summary>
    public ChunkVerdict Decode(ReadOnlySpan<byte> input, Span<byte> output, out int consumed, out int written)
    {
        (consumed, written) = (0, 0);
        while (consumed < input.Length)
        {
            if (_part == Part.Data)
            {
                var here = (int)Math.Min(_left, input.Length - consumed);
                input.Slice(consumed, here).CopyTo(output[written..]);
                consumed += here;
                written += here;
                _left -= here;
                if (_left == 0) _part = Part.DataEnd;
                continue;
            }
            var verdict = Next(input[consumed++]);
            if (verdict != ChunkVerdict.More) return verdict;
        }
        return ChunkVerdict.More;
    }

    private ChunkVerdict Next(byte next)
    {
        switch (_part)
        {
            case Part.Size:
                return NextOfSize(next);
            case Part.Extension:
                if (next == '\r') _part = Part.SizeEnd;
                else if ((next < ' ' && next != '\t') || next == 0x7F || ++_line > LineMax) return ChunkVerdict.Broken;
                return ChunkVerdict.More;
            case Part.SizeEnd:
                return Expect(next, '\n', _left == 0 ? Part.TrailerStart : Part.Data);
            case Part.DataEnd:
                return Expect(next, '\r', Part.DataEndFeed);
            case Part.DataEndFeed:
                (_digits, _line) = (0, 0);
                return Expect(next, '\n', Part.Size);
            case Part.TrailerStart:
                _part = next == '\r' ? Part.LastFeed : Part.TrailerLine;
                return ChunkVerdict.More;
            case Part.TrailerLine:
                if (next == '\r') _part = Part.TrailerFeed;
                return next == '\n' || ++_line > LineMax ? ChunkVerdict.Broken : ChunkVerdict.More;
            case Part.TrailerFeed:
                return Expect(next, '\n', Part.TrailerStart);
            default:
                return next == '\n' ? ChunkVerdict.Ended : ChunkVerdict.Broken;
        }
    }

    private ChunkVerdict NextOfSize(byte next)
    {
        var digit = next switch
        {
            >= (byte)'0' and <= (byte)'9' => next - '0',
            >= (byte)'a' and <= (byte)'f' => next - 'a' + 10,
            >= (byte)'A' and <= (byte)'F' => next - 'A' + 10,
            _ => -1,
        };
        if (digit >= 0)
        {
            _left = _left * 16 + digit;
            return ++_digits > DigitsMax ? ChunkVerdict.Broken : ChunkVerdict.More;
        }
        if (_digits == 0 || next is not ((byte)'\r' or (byte)';' or (byte)' ' or (byte)'\t')) return ChunkVerdict.Broken;
        _part = next == '\r' ? Part.SizeEnd : Part.Extension;
        return ChunkVerdict.More;
    }

    private ChunkVerdict Expect(byte next, char expected, Part then)
    {
        _part = then;
        return next == expected ? ChunkVerdict.More : ChunkVerdict.Broken;
    }
}
