using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// This node's copy of what clients have written: the leader's stream applies updates, the KV door reads and waits. Readers take <see cref="State"/> once and
/// keep it for a whole answer.
/// </summary>
public sealed class StoreReplica(TimeProvider time)
{
    /// <summary>Events kept for the disk; when there are more, it is given the whole store instead.</summary>
    private const int UnsavedMax = 10_000;

    private sealed record Copy(StoreCursor Cursor, StoreState State);

    private readonly Lock _writing = new();
    private readonly List<StoredEvent> _unsaved = [];
    private StoreCursor _savedTo;
    private bool _savedWhole = true;
    private long _heardAt = time.GetTimestamp();
    private volatile Copy _copy = new(StoreCursor.Start, StoreState.Empty);
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public StoreState State => _copy.State;
    public StoreCursor Cursor => _copy.Cursor;

    /// <summary>Something has been heard of the store, be it from the disk: an empty one is then really empty.</summary>
    public bool IsKnown => _copy.Cursor.Epoch.Length > 0;

    /// <summary>Who waits for keys; shared with the view of the published ones.</summary>
    internal KvWatches Keys { get; } = new();

    /// <summary>Who waits for anything else, by the name of the thing.</summary>
    internal KvWatches Topics { get; } = new();

    /// <summary>How old what is served may be: since the leader last said something, or, before it has, since we are here.</summary>
    public TimeSpan Age => time.GetElapsedTime(Volatile.Read(ref _heardAt));

    /// <summary>The leader has said that the copy is as new as can be.</summary>
    public void Heard() => Volatile.Write(ref _heardAt, time.GetTimestamp());

    /// <summary>False if the update does not fit: the follower then asks for what it misses.</summary>
    public bool Apply(StoreUpdate update)
    {
        var changed = new List<string>();
        var topics = new HashSet<string>(StringComparer.Ordinal);
        var moved = false;
        lock (_writing)
        {
            var copy = _copy;
            switch (update)
            {
                case StoreUpdate.Whole x:
                    (moved, _savedWhole) = (true, false);
                    _unsaved.Clear();
                    _copy = new Copy(new StoreCursor(x.Epoch, x.State.Index), x.State);
                    break;
                case StoreUpdate.Since x when x.Epoch == copy.Cursor.Epoch && x.From <= copy.Cursor.Index:
                    var state = copy.State;
                    foreach (var e in x.Events.Items.Where(e => e.Index > copy.Cursor.Index))
                    {
                        changed.AddRange(state.KeysOf(e.Event));
                        topics.UnionWith(StoreTopics.Of(e.Event));
                        state = state.Fold(e.Event, e.Index, e.At);
                        _unsaved.Add(e);
                    }
                    if (_unsaved.Count > UnsavedMax) Forget();
                    moved = !ReferenceEquals(state, copy.State);
                    if (moved) _copy = new Copy(new StoreCursor(x.Epoch, state.Index), state);
                    break;
                default:
                    return false;
            }
        }
        if (moved) Wake(update is StoreUpdate.Whole, changed, topics);
        return true;
    }

    /// <summary>Waits until the copy is at least so far; false if it was not within the limit.</summary>
    public async ValueTask<bool> ReachedAsync(long index, TimeSpan limit, CancellationToken stopping)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            var changed = _changed; // before the look, so that a change in between wakes us
            if (_copy.Cursor.Index >= index) return true;
            var left = limit - time.GetElapsedTime(began);
            if (left <= TimeSpan.Zero) return false;
            await changed.Task.WaitAsync(left, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            stopping.ThrowIfCancellationRequested();
        }
    }

    public async Task ChangedAsync(StoreCursor seen, CancellationToken stopping)
    {
        while (true)
        {
            var changed = _changed;
            if (_copy.Cursor != seen) return;
            await changed.Task.WaitAsync(stopping).ConfigureAwait(false);
        }
    }

    /// <summary>What the disk does not have yet; null = nothing.</summary>
    public StoreUpdate? TakeUnsaved()
    {
        lock (_writing)
        {
            var copy = _copy;
            if (copy.Cursor == _savedTo && _savedWhole) return null;
            StoreUpdate update = _savedWhole && copy.Cursor.Epoch == _savedTo.Epoch
                ? new StoreUpdate.Since(copy.Cursor.Epoch, _savedTo.Index, _unsaved.ToEquatableArray())
                : new StoreUpdate.Whole(copy.Cursor.Epoch, copy.State);
            _unsaved.Clear();
            (_savedTo, _savedWhole) = (copy.Cursor, true);
            return update;
        }
    }

    /// <summary>The disk did not take it, or holds the state only in part: next time it gets everything.</summary>
    public void Forget()
    {
        lock (_writing)
        {
            _unsaved.Clear();
            _savedWhole = false;
        }
    }

    /// <summary>Whoever waits gets what there is: this node stops serving.</summary>
    public void End()
    {
        Keys.WakeAll(forGood: true);
        Topics.WakeAll(forGood: true);
    }

    private void Wake(bool all, List<string> keys, HashSet<string> topics)
    {
        TaskCompletionSource waiters;
        lock (_writing)
        {
            waiters = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        waiters.TrySetResult();
        if (all)
        {
            Keys.WakeAll();
            Topics.WakeAll();
            return;
        }
        if (keys.Count > 0) Keys.Wake(keys);
        if (topics.Count > 0) Topics.Wake(topics);
    }
}

/// <summary>What is waited for beside keys.</summary>
internal static class StoreTopics
{
    public const string Sessions = "sessions";

    public static IEnumerable<string> Of(StoreEvent e) => e is StoreEvent.SessionCreated or StoreEvent.SessionEnded ? [Sessions] : [];
}
