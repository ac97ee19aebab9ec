using System.Collections.Immutable;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Platform.Model;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Scheduler;

/// <summary>The inbox is full, or the log refuses: nothing was done, and it may be tried again.</summary>
public sealed class SchedulerUnavailableException(string message) : Exception(message);

/// <summary>
/// The only writer: takes commands and reports from its inbox, lets the brain decide, appends to the log, then changes memory, then tells
/// the world. Disk, memory, world, in that order.
/// </summary>
public sealed partial class SchedulerLoop(IClusterLog log, Brain brain, TimeProvider time, ILogger<SchedulerLoop> logger)
{
    private const int InboxMax = 16384;
    private const int BatchMax = 256;

    /// <summary>A snapshot every so many events keeps the next start short.</summary>
    private const long SnapshotEvery = 10_000;

    private static readonly TimeSpan RefusedPause = TimeSpan.FromMilliseconds(250);

    private readonly Channel<Input> _inbox = Channel.CreateBounded<Input>(new BoundedChannelOptions(InboxMax) { SingleReader = true });
    private readonly Dictionary<long, TaskCompletionSource<Decision>> _callers = [];
    private readonly Lock _callersLock = new();
    private long _lastTicket;
    private long _snapshotRevision = brain.State.Revision;
    private Task _snapshot = Task.CompletedTask;

    public ClusterView Current { get; private set; } = ClusterView.Of(brain);

    /// <summary>Raised on the loop after each step that the log has, in order; a subscriber only enqueues.</summary>
    public event Action<Step>? Published;

    /// <summary>Asks for a decision, which is durable when it comes back.</summary>
    public async Task<Decision> AskAsync(Command command, CancellationToken stopping)
    {
        var caller = new TaskCompletionSource<Decision>(TaskCreationOptions.RunContinuationsAsynchronously);
        long ticket;
        lock (_callersLock) _callers[ticket = ++_lastTicket] = caller;
        if (!_inbox.Writer.TryWrite(new Input.Asked(ticket, command)))
        {
            lock (_callersLock) _callers.Remove(ticket);
            throw new SchedulerUnavailableException("The scheduler has too much to do; try again in a moment");
        }
        return await caller.Task.WaitAsync(stopping).ConfigureAwait(false);
    }

    /// <summary>News of a node; waits while the inbox is full, which slows that node's stream down.</summary>
    public ValueTask TellAsync(Input input, CancellationToken stopping) => _inbox.Writer.WriteAsync(input, stopping);

    public async Task RunAsync(CancellationToken stopping)
    {
        var batch = new List<Input>(BatchMax);
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                await StepAsync(batch, stopping).ConfigureAwait(false);
                batch.Clear();
                await WaitAsync(stopping).ConfigureAwait(false);
                while (batch.Count < BatchMax && _inbox.Reader.TryRead(out var input)) batch.Add(input);
            }
        }
        finally
        {
            await _snapshot.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // the log must not be closed under it
        }
    }

    /// <summary>The state as it is, in one piece, for the next start.</summary>
    public async Task SaveSnapshotAsync(CancellationToken stopping)
    {
        await _snapshot.ConfigureAwait(false);
        if (brain.State.Revision == _snapshotRevision) return;
        await log.SaveSnapshotAsync(brain.State, stopping).ConfigureAwait(false);
        _snapshotRevision = brain.State.Revision;
    }

    private async Task StepAsync(List<Input> batch, CancellationToken stopping)
    {
        var step = brain.Step(batch, time.GetUtcNow());
        if (!step.Events.IsEmpty)
            try
            {
                await log.AppendAsync(step.Before.Revision, [.. step.Events.Select(f => f.Event)], stopping).ConfigureAwait(false);
            }
            catch (LogRefusedException e)
            {
                Refused(e.Message, step.Events.Length);
                brain.Abandon(step);
                Current = ClusterView.Of(brain);
                foreach (var (ticket, _) in step.Decisions) Caller(ticket)?.TrySetException(new SchedulerUnavailableException(e.Message));
                await Task.Delay(RefusedPause, time, stopping).ConfigureAwait(false);
                return;
            }
        brain.Commit(step);
        Current = ClusterView.Of(brain);
        if (!step.Events.IsEmpty) Published?.Invoke(step);
        foreach (var (ticket, decision) in step.Decisions) Caller(ticket)?.TrySetResult(decision);
        if (!_snapshot.IsCompleted) return;
        await _snapshot.ConfigureAwait(false); // what broke it breaks the loop
        if (brain.State.Revision - _snapshotRevision >= SnapshotEvery) _snapshot = SnapshotIfRoomAsync(brain.State, stopping);
    }

    /// <summary>
    /// Beside the loop, which goes on meanwhile: the state is immutable, and writing a large one down takes longer than a caller should wait.
    /// </summary>
    private async Task SnapshotIfRoomAsync(ClusterState state, CancellationToken stopping)
    {
        try
        {
            await Task.Run(() => log.SaveSnapshotAsync(state, stopping).AsTask(), CancellationToken.None).ConfigureAwait(false);
            _snapshotRevision = state.Revision;
        }
        catch (LogRefusedException e)
        {
            SnapshotRefused(e.Message); // the log itself is whole; the next start takes longer
            _snapshotRevision = state.Revision - SnapshotEvery / 2;
        }
    }

    /// <summary>Until something comes in, or the brain wants to look again.</summary>
    private async Task WaitAsync(CancellationToken stopping)
    {
        var wait = brain.NextLookAt is { } at ? at - time.GetUtcNow() : Timeout.InfiniteTimeSpan;
        if (wait != Timeout.InfiniteTimeSpan && wait <= TimeSpan.Zero) return;
        if (wait > TimeSpan.FromHours(1)) wait = TimeSpan.FromHours(1);
        var incoming = _inbox.Reader.WaitToReadAsync(stopping).AsTask();
        if (wait == Timeout.InfiniteTimeSpan || incoming.IsCompleted)
        {
            await incoming.ConfigureAwait(false);
            return;
        }
        using var early = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        await Task.WhenAny(incoming, Task.Delay(wait, time, early.Token)).ConfigureAwait(false);
        await early.CancelAsync().ConfigureAwait(false);
        stopping.ThrowIfCancellationRequested();
    }

    private TaskCompletionSource<Decision>? Caller(long ticket)
    {
        lock (_callersLock) return _callers.Remove(ticket, out var caller) ? caller : null;
    }

    [LoggerMessage(3001, LogLevel.Warning, "The log refused {Events} events, nothing has changed: {Why}")]
    private partial void Refused(string why, int events);

    [LoggerMessage(3002, LogLevel.Warning, "The log refused a snapshot: {Why}")]
    private partial void SnapshotRefused(string why);
}
