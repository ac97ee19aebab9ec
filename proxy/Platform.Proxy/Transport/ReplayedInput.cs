using System.Buffers;
using System.IO.Pipelines;

namespace Platform.Proxy.Transport;

/// <summary>A connection's input of which somebody has already read the beginning: it comes again, then the rest.</summary>
/// <remarks>While the beginning is not consumed, what follows is appended to it, so a reader always sees one piece. That ends with the request that it is part of.</remarks>
internal sealed class ReplayedInput(PipeReader rest, byte[] begun) : PipeReader
{
    private byte[] _held = begun;
    private int _start;
    private int _end = begun.Length;
    private int _examined;
    private bool _restIsOver;
    private ReadOnlySequence<byte> _given;

    private bool IsReplaying => _end > _start;

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (!IsReplaying) return rest.ReadAsync(cancellationToken);
        return _examined < _end || _restIsOver ? new(Given(isCanceled: false)) : ReadMoreAsync(cancellationToken);
    }

    public override bool TryRead(out ReadResult result)
    {
        if (!IsReplaying) return rest.TryRead(out result);
        if (_examined < _end || _restIsOver)
        {
            result = Given(isCanceled: false);
            return true;
        }
        result = default;
        if (!rest.TryRead(out var read)) return false;
        result = Append(read);
        return true;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (!IsReplaying)
        {
            rest.AdvanceTo(consumed, examined);
            return;
        }
        _examined = _start + (int)_given.Slice(_given.Start, examined).Length;
        _start += (int)_given.Slice(_given.Start, consumed).Length;
        _given = default;
        if (!IsReplaying) _held = [];
    }

    public override void CancelPendingRead() => rest.CancelPendingRead();
    public override void Complete(Exception? exception = null) => rest.Complete(exception);
    public override ValueTask CompleteAsync(Exception? exception = null) => rest.CompleteAsync(exception);

    private async ValueTask<ReadResult> ReadMoreAsync(CancellationToken cancellationToken) =>
        Append(await rest.ReadAsync(cancellationToken).ConfigureAwait(false));

    private ReadResult Append(in ReadResult read)
    {
        var more = (int)read.Buffer.Length;
        var held = new byte[_end - _start + more];
        _held.AsSpan(_start.._end).CopyTo(held);
        read.Buffer.CopyTo(held.AsSpan(_end - _start));
        (_held, _examined, _start, _end) = (held, _end - _start, 0, held.Length);
        _restIsOver = read.IsCompleted;
        rest.AdvanceTo(read.Buffer.End);
        return Given(read.IsCanceled);
    }

    private ReadResult Given(bool isCanceled)
    {
        _given = new ReadOnlySequence<byte>(_held, _start, _end - _start);
        return new ReadResult(_given, isCanceled, _restIsOver);
    }
}
