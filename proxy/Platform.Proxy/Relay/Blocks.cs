namespace Platform.Proxy.Relay;

/// <summary>
/// The buffers of one loop. Only bytes that have to wait are in one: an idle connection holds none. What is given back is kept up to a bound, the most
/// recently used on top, where it is still in the processor's cache.
/// </summary>
internal sealed class Blocks
{
    public const int Small = 4 * 1024;
    public const int Head = RequestHead.BytesMax + 4 * 1024;
    public const int Large = 192 * 1024;

    private static readonly (int Size, int Kept)[] Kinds = [(Small, 1024), (Head, 64), (Large, 32)];
    private readonly Stack<byte[]>[] _free = [.. Kinds.Select(_ => new Stack<byte[]>())];

    /// <summary>A block of at least that size, which is <see cref="Large"/> at most.</summary>
    public byte[] Rent(int size)
    {
        var kind = KindOf(size);
        return _free[kind].TryPop(out var block) ? block : GC.AllocateUninitializedArray<byte>(Kinds[kind].Size, pinned: true);
    }

    public void Return(byte[] block)
    {
        var kind = KindOf(block.Length);
        if (_free[kind].Count < Kinds[kind].Kept) _free[kind].Push(block);
    }

    private static int KindOf(int size) => size <= Small ? 0 : size <= Head ? 1 : 2;
}

/// <summary>Bytes that a socket did not take at once.</summary>
internal struct Unsent
{
    private byte[]? _block;
    private int _start;
    private int _end;

    public readonly bool IsEmpty => _block is null;

    public void Keep(Blocks blocks, ReadOnlySpan<byte> bytes)
    {
        _block = blocks.Rent(bytes.Length);
        bytes.CopyTo(_block);
        (_start, _end) = (0, bytes.Length);
    }

    /// <summary>Sends what the socket takes: how much that was, or the error.</summary>
    public int Send(Blocks blocks, int descriptor)
    {
        var sent = Posix.Send(descriptor, _block.AsSpan(_start, _end - _start));
        if (sent < 0) return sent;
        _start += sent;
        if (_start == _end) Drop(blocks);
        return sent;
    }

    public void Drop(Blocks blocks)
    {
        if (_block is not null) blocks.Return(_block);
        _block = null;
    }
}
