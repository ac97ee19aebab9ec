using System.Collections.Immutable;
using System.Threading.Channels;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>
/// Brings what the loop publishes to every follower of <c>/v2/events</c>. On the loop's thread it only enqueues; the first follower that
/// gets to an event turns it into JSON, for all. A follower that lets too much wait is cut off (contract 6.1).
/// </summary>
public sealed class EventHub
{
    private readonly TimeProvider _time;
    private readonly Lock _followersLock = new();
    private ImmutableArray<EventFollower> _followers = [];
    private bool _closed;

    public EventHub(SchedulerLoop loop, TimeProvider time)
    {
        _time = time;
        loop.Published += OnPublished;
    }

    /// <summary>Ends every stream, so that its client looks for another scheduler at once; new ones end as soon as they begin.</summary>
    public void Close()
    {
        ImmutableArray<EventFollower> followers;
        lock (_followersLock)
        {
            _closed = true;
            followers = _followers;
        }
        foreach (var follower in followers) follower.Cut();
    }

    internal void Tell(ContractEvent e)
    {
        if (_followers.IsEmpty) return;
        Enqueue(new EventBatch(0, [e]));
    }

    /// <summary>The new follower is told that it is attached, and so are the others.</summary>
    internal EventFollower Attach(string remoteAddress, int waitingMax)
    {
        var follower = new EventFollower(remoteAddress, waitingMax);
        bool closed;
        lock (_followersLock)
        {
            _followers = _followers.Add(follower);
            closed = _closed;
        }
        if (closed) follower.Cut();
        Tell(ContractEvents.StreamAttached(remoteAddress, _time.GetUtcNow()));
        return follower;
    }

    internal void Detach(EventFollower follower)
    {
        lock (_followersLock) _followers = _followers.Remove(follower);
        Tell(ContractEvents.StreamDetached(follower.RemoteAddress, _time.GetUtcNow()));
    }

    private void OnPublished(Step step)
    {
        if (_followers.IsEmpty) return;
        foreach (var folded in step.Events) Enqueue(new EventBatch(folded));
    }

    private void Enqueue(EventBatch batch)
    {
        foreach (var follower in _followers) follower.Enqueue(batch);
    }
}

/// <summary>The contract's events of one event of the log, made when first asked for.</summary>
internal sealed class EventBatch
{
    private readonly Lazy<ImmutableArray<ContractEvent>> _events;

    public EventBatch(Folded folded)
    {
        Revision = folded.After.Revision;
        _events = new Lazy<ImmutableArray<ContractEvent>>(() => [.. ContractEvents.Of(folded)]);
    }

    public EventBatch(long revision, ImmutableArray<ContractEvent> events)
    {
        Revision = revision;
        _events = new Lazy<ImmutableArray<ContractEvent>>(events);
    }

    /// <summary>The log's revision; 0 for what is not in the log.</summary>
    public long Revision { get; }

    public ImmutableArray<ContractEvent> Events => _events.Value;
}

/// <summary>One client of the stream: what waits for it, and whether it has been cut off.</summary>
internal sealed class EventFollower(string remoteAddress, int waitingMax) : IDisposable
{
    private readonly Channel<EventBatch> _waiting = Channel.CreateBounded<EventBatch>(new BoundedChannelOptions(waitingMax) { SingleReader = true });
    private readonly CancellationTokenSource _cut = new();

    public string RemoteAddress => remoteAddress;
    public ChannelReader<EventBatch> Waiting => _waiting.Reader;
    public CancellationToken IsCut => _cut.Token;

    public void Enqueue(EventBatch batch)
    {
        if (!_waiting.Writer.TryWrite(batch)) Cut();
    }

    /// <summary>Asynchronously, for what waits on the token belongs to the client and not to the caller: that may be the scheduler's loop.</summary>
    public void Cut()
    {
        try
        {
            _ = _cut.CancelAsync();
        }
        catch (ObjectDisposedException)
        {
            // it ended by itself in this very moment
        }
    }

    public void Dispose() => _cut.Dispose();
}
