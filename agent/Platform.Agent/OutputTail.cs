using System.Text;

namespace Platform.Agent;

/// <summary>The last lines of an output, bounded in lines and bytes, fit to be shown: no control characters.</summary>
internal sealed class OutputTail
{
    public const int LinesMax = 20;
    public const int BytesMax = 4096;

    private readonly byte[] _ring = new byte[BytesMax];
    private long _written;

    public void Add(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > BytesMax)
        {
            _written += bytes.Length - BytesMax;
            bytes = bytes[^BytesMax..];
        }
        var at = (int)(_written % BytesMax);
        var first = Math.Min(bytes.Length, BytesMax - at);
        bytes[..first].CopyTo(_ring.AsSpan(at));
        bytes[first..].CopyTo(_ring);
        _written += bytes.Length;
    }

    public override string ToString()
    {
        var count = (int)Math.Min(_written, BytesMax);
        var start = (int)((_written - count) % BytesMax);
        var bytes = new byte[count];
        for (var i = 0; i < count; i++) bytes[i] = _ring[(start + i) % BytesMax];
        var text = new StringBuilder(Encoding.UTF8.GetString(bytes).TrimEnd());
        for (var i = 0; i < text.Length; i++)
            if (char.IsControl(text[i]) && text[i] is not ('\n' or '\t')) text[i] = ' ';
        var lines = text.ToString().Split('\n');
        return string.Join('\n', lines.Length <= LinesMax ? lines : lines[^LinesMax..]);
    }
}
