using System.Globalization;
using System.Text;

namespace Platform.Agent.Fetching;

/// <summary>
/// Watches the headers of a tar stream go by. Long names and extended attributes are read into memory as a whole, however long they claim to be: a few
/// bytes of a compressed archive could ask for gigabytes of it.
/// </summary>
internal sealed class TarHeaderGuard(Stream inner) : Stream
{
    private const int BlockBytes = 512;
    private const long AttributesBytesMax = 1 << 20;

    private readonly byte[] _header = new byte[BlockBytes];
    private int _filled;
    private long _content;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        var count = inner.Read(buffer);
        Watch(buffer[..count]);
        return count;
    }

    private void Watch(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_content > 0)
            {
                var skipped = (int)Math.Min(_content, bytes.Length);
                _content -= skipped;
                bytes = bytes[skipped..];
                continue;
            }
            var taken = Math.Min(BlockBytes - _filled, bytes.Length);
            bytes[..taken].CopyTo(_header.AsSpan(_filled));
            bytes = bytes[taken..];
            if ((_filled += taken) < BlockBytes) return;
            _filled = 0;
            Judge();
        }
    }

    private void Judge()
    {
        var type = (char)_header[156];
        var size = SizeOf(_header.AsSpan(124, 12));
        if (type is 'x' or 'g' or 'L' or 'K' && size > AttributesBytesMax) throw new ArchiveRefusedException($"the archive has a name or attributes of {size} bytes");
        var hasContent = type is not ('1' or '2' or '3' or '4' or '5' or '6');
        _content = hasContent ? (size + BlockBytes - 1) / BlockBytes * BlockBytes : 0;
    }

    private static long SizeOf(ReadOnlySpan<byte> field)
    {
        if ((field[0] & 0x80) == 0)
        {
            var digits = Encoding.ASCII.GetString(field).Trim('\0', ' ');
            long octal = 0;
            foreach (var digit in digits) octal = digit is >= '0' and <= '7' ? octal * 8 + (digit - '0') : 0;
            return octal;
        }
        long binary = field[0] & 0x3F;
        foreach (var part in field[1..])
        {
            if (binary > long.MaxValue >> 9) throw new ArchiveRefusedException(string.Create(CultureInfo.InvariantCulture, $"the archive has an entry of impossible size"));
            binary = binary << 8 | part;
        }
        return Math.Min(binary, long.MaxValue - BlockBytes);
    }

    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
