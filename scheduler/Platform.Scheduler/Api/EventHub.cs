using System.Collections.Immutable;
using System.Threading.Channels;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>
/// Brings what the loop publishes to every follower of <c>/v2/events</c> and to every subscriber. On the loop's thread it only enqueues; the
/// first that gets to an event turns it into JSON, for all. A follower that lets too much wait is cut off (contract 6.1).
/// </summary>
public sealed class EventHub : IDisposable
{
    private readonly TimeProvider _time;
    private readonly EventHistory _history;
    private readonly Lock _followersLock = new();
    private ImmutableArray<EventFollower> _followers = [];
    private long _revision;
    private bool _closed;

    public EventHub(SchedulerLoop loop, IClusterLog log, TimeProvider time)
    {
        _time = time;
        _revision = loop.Current.State.Revision;
        _history = new EventHistory(log, _revision);
        loop.Published += OnPublished;
    }

    /// <summary>Raised for what is told to followers, on whatever thread it comes about; a listener only enqueues.</summary>
    internal event Action<EventBatch>? Told;

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

    public void Dispose() => _history.Dispose();

    internal int Followers => _followers.Length;

    internal void Tell(ContractEvent e) => Enqueue(new EventBatch(0, [e]), _followers);

    /// <summary>The new follower is told that it is attached, before all else, and so are the others; null if there are too many.</summary>
    internal EventFollower? Attach(string remoteAddress, int waitingMax, int followersMax)
    {
        var attached = new EventBatch(0, [ContractEvents.StreamAttached(remoteAddress, _time.GetUtcNow())]);
        ImmutableArray<EventFollower> others;
        EventFollower follower;
        bool closed;
        lock (_followersLock)
        {
            others = _followers;
            if (others.Length >= followersMax) return null;
            follower = new EventFollower(remoteAddress, waitingMax, _revision);
            follower.Enqueue(attached);
            _followers = others.Add(follower);
            closed = _closed;
        }
        if (closed) follower.Cut();
        Enqueue(attached, others);
        return follower;
    }

    internal void Detach(EventFollower follower)
    {
        lock (_followersLock) _followers = _followers.Remove(follower);
        Tell(ContractEvents.StreamDetached(follower.RemoteAddress, _time.GetUtcNow()));
    }

    /// <summary>What a follower that comes back has missed until it was attached; <c>Whole</c> is false if that is not known to the end.</summary>
    internal async Task<(ImmutableArray<EventBatch> Batches, bool Whole)> MissedAsync(EventFollower follower, EventPosition last, CancellationToken stopping)
    {
        if (last.Revision > follower.AttachedAt) return ([], false); // of another log, or of a future that never was
        // All of the last revision's events were seen: it need not be known any more.
        var from = Math.Max(1, last.Number == int.MaxValue ? last.Revision + 1 : last.Revision);
        var (events, whole) = await _history.BetweenAsync(from, follower.AttachedAt, stopping).ConfigureAwait(false);
        return ([.. events.Select(f => new EventBatch(f))], whole);
    }

    private void OnPublished(Step step)
    {
        foreach (var folded in step.Events)
        {
            var batch = new EventBatch(folded);
            ImmutableArray<EventFollower> followers;
            // In one with attaching: what a follower does not find in its history comes to its queue.
            lock (_followersLock)
            {
                _history.Add(folded);
                _revision = batch.Revision;
                followers = _followers;
            }
            Enqueue(batch, followers);
        }
    }

    private void Enqueue(EventBatch batch, ImmutableArray<EventFollower> followers)
    {
        foreach (var follower in followers) follower.Enqueue(batch);
        Told?.Invoke(batch);
    }
}

/// <summary>The contract's events of one event of the log, made when first asked for.</summary>
internal sealed class EventBatch
{
    private readonly Lazy<ImmutableArray<ContractEvent>> _events;

    public EventBatch(Folded folded)
    {
        Revision = folded.After.Revision;
        Event = folded.Event;
        _events = new Lazy<ImmutableArray<ContractEvent>>(() => [.. ContractEvents.Of(folded)]);
    }

    public EventBatch(long revision, ImmutableArray<ContractEvent> events)
    {
        Revision = revision;
        _events = new Lazy<ImmutableArray<ContractEvent>>(events);
    }

    /// <summary>The log's revision; 0 for what is not in the log.</summary>
    public long Revision { get; }

    /// <summary>The log's event; null for what is not in the log.</summary>
    public SchedulerEvent? Event { get; }

    public ImmutableArray<ContractEvent> Events => _events.Value;
}

/// <summary>One client of the stream: what waits for it, and whether it has been cut off.</summary>
/// <param name="attachedAt">The log's revision when it came: later ones wait in its queue.</param>
internal sealed class EventFollower(string remoteAddress, int waitingMax, long attachedAt) : IDisposable
{
    private readonly Channel<EventBatch> _waiting = Channel.CreateBounded<EventBatch>(new BoundedChannelOptions(waitingMax) { SingleReader = true });
    private readonly CancellationTokenSource _cut = new();

    public string RemoteAddress => remoteAddress;
    public long AttachedAt => attachedAt;
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
