using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace Platform.Proxy.Transport;

/// <summary>
/// A connection's bytes on their way to Kestrel. It gets no further than the request it works on, and of a request whose framing is broken it
/// gets the head with <see cref="IsBroken"/> set (the edge refuses it with 400), or no more of the body.
/// </summary>
/// <remarks>One reader, as every pipe has. The guard passes on what it has followed; it copies nothing.</remarks>
internal sealed class FramingGuard(PipeReader input) : PipeReader
{
    private readonly RequestFraming _framing = new();
    private ReadOnlySequence<byte> _given;

    /// <summary>Bytes from the start of the unconsumed input that the framing has followed.</summary>
    private long _followed;

    /// <summary>Bytes from the start of the unconsumed input that Kestrel has looked at and found too few.</summary>
    private long _examined;

    /// <summary>A request ended at this many bytes: what follows is looked at when Kestrel has consumed these, for it may not be HTTP any more.</summary>
    private long? _boundary;

    /// <summary>The request's framing breaks the grammar of RFC 9112.</summary>
    public bool IsBroken => _framing.IsBroken;

    /// <summary><see cref="RequestFraming.Connection"/></summary>
    public string? Connection => _framing.Connection;

    /// <summary>The server has switched protocols: the bytes are not HTTP from here on.</summary>
    public void Tunnel() => _framing.Tunnel();

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            var read = await input.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (TryGive(read, out var given)) return given;
        }
    }

    public override bool TryRead(out ReadResult result)
    {
        while (input.TryRead(out var read))
            if (TryGive(read, out result)) return true;
        result = default;
        return false;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        var gone = _given.Slice(_given.Start, consumed).Length;
        _examined = _given.Slice(_given.Start, examined).Length - gone;
        _followed = Math.Max(0, _followed - gone);
        if (_boundary is { } boundary) _boundary = boundary - gone;
        _given = default;
        input.AdvanceTo(consumed, examined);
    }

    public override void CancelPendingRead() => input.CancelPendingRead();
    public override void Complete(Exception? exception = null) => input.Complete(exception);
    public override ValueTask CompleteAsync(Exception? exception = null) => input.CompleteAsync(exception);

    /// <summary>False: nothing new may be given yet, and the bytes went back to wait for more.</summary>
    private bool TryGive(in ReadResult read, out ReadResult given)
    {
        var bytes = read.Buffer;
        Follow(bytes);
        var open = _boundary ?? (_framing.HoldsBack || _framing.IsBroken ? _followed : bytes.Length);
        if (open > _examined || read.IsCanceled || (read.IsCompleted && open == bytes.Length))
        {
            _given = bytes.Slice(0, open);
            given = new ReadResult(_given, read.IsCanceled, read.IsCompleted && open == bytes.Length);
            return true;
        }
        if (_framing.IsBroken || _boundary > 0 || _framing.IsStuckAt(bytes.Length - _followed) || read.IsCompleted)
        {
            input.AdvanceTo(bytes.Start, bytes.End);
            throw new IOException("The request's body is not framed as RFC 9112 wants it");
        }
        input.AdvanceTo(bytes.Start, bytes.End);
        given = default;
        return false;
    }

    private void Follow(in ReadOnlySequence<byte> bytes)
    {
        if (_boundary > 0) return; // Kestrel is not done with the request before
        _boundary = null;
        while (_boundary is null && !_framing.IsBroken && _followed < bytes.Length)
        {
            var before = _followed;
            _followed += _framing.Follow(bytes.Slice(_followed), out var ended);
            if (ended) _boundary = _followed;
            if (_followed == before) return;
        }
    }
}
