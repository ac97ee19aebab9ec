using Platform.Discovery;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Link;

/// <summary>The store as its followers see it: where it stands, and the newest events, so that one that lags a little need not be sent all of it.</summary>
internal sealed class StoreFeed
{
    private const int HistoryMax = 4096;

    private readonly Lock _changing = new();
    private readonly LinkedList<StoredEvent> _history = [];
    private readonly string _epoch;
    private StoreState _state;

    /// <summary>The history has everything after this index.</summary>
    private long _historyFrom;

    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public StoreFeed(ClusterState state)
    {
        (_epoch, _state, _historyFrom) = (state.ClusterId, state.Store, state.Store.Index);
    }

    /// <summary>Called on the loop, in order.</summary>
    public void Take(Step step)
    {
        if (ReferenceEquals(step.Before.Store, step.After.Store)) return;
        TaskCompletionSource waiters;
        lock (_changing)
        {
            foreach (var folded in step.Events)
                if (folded.Event is SchedulerEvent.Stored stored) _history.AddLast(new StoredEvent(folded.After.Revision, stored.At, stored.Change));
            while (_history.Count > HistoryMax)
            {
                _historyFrom = _history.First!.Value.Index;
                _history.RemoveFirst();
            }
            _state = step.After.Store;
            waiters = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        waiters.TrySetResult();
    }

    /// <summary>Completes with the next change; taken before a look, so that one in between is not missed.</summary>
    public Task ChangedAsync() => _changed.Task;

    /// <summary>What a copy at the cursor misses, and where it stands with it; null = nothing.</summary>
    public (StoreUpdate Update, StoreCursor Cursor)? After(StoreCursor cursor)
    {
        lock (_changing)
        {
            if (cursor.Epoch == _epoch && cursor.Index == _state.Index) return null;
            var now = new StoreCursor(_epoch, _state.Index);
            if (cursor.Epoch != _epoch || cursor.Index < _historyFrom || cursor.Index > _state.Index) return (new StoreUpdate.Whole(_epoch, _state), now);
            var missed = new Stack<StoredEvent>();
            for (var at = _history.Last; at is not null && at.Value.Index > cursor.Index; at = at.Previous) missed.Push(at.Value);
            return (new StoreUpdate.Since(_epoch, cursor.Index, missed.ToEquatableArray()), now);
        }
    }
}
