using System.Runtime.CompilerServices;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Makes an <see cref="EndpointTable"/> watchable: the writer applies, each reader follows from its own cursor and never holds the writer up.</summary>
public sealed class EndpointFeed(EndpointTable table)
{
    private readonly Lock _writing = new();
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public EndpointSnapshot Current => table.Current;

    /// <summary>What a follower at <paramref name="cursor"/> misses; null = nothing.</summary>
    public EndpointUpdate? After(EndpointCursor cursor) => table.After(cursor);

    /// <summary>False if the update does not fit the table; the writer then has to bring a complete one.</summary>
    public bool Apply(EndpointUpdate update)
    {
        lock (_writing)
        {
            var before = table.Current.Cursor;
            if (table.Apply(update) is not { } after) return false;
            if (after.Cursor == before && !update.Complete) return true;
            var waiters = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiters.TrySetResult();
            return true;
        }
    }

    /// <summary>Waits until the table stands elsewhere than at <paramref name="cursor"/>.</summary>
    public async ValueTask<EndpointSnapshot> ChangedAsync(EndpointCursor cursor, CancellationToken stopping)
    {
        while (true)
        {
            var changed = _changed; // before the look, so that a change in between wakes us
            if (table.Current is var snapshot && snapshot.Cursor != cursor) return snapshot;
            await changed.Task.WaitAsync(stopping).ConfigureAwait(false);
        }
    }

    /// <summary>The table's history from <paramref name="from"/> on, gap-free: changes, or a complete table when the reader fell too far behind.</summary>
    public async IAsyncEnumerable<EndpointUpdate> WatchAsync(EndpointCursor from, [EnumeratorCancellation] CancellationToken stopping)
    {
        while (true)
        {
            await ChangedAsync(from, stopping).ConfigureAwait(false);
            if (table.After(from) is not { } update) continue;
            from = new EndpointCursor(update.Epoch, update.To);
            yield return update;
        }
    }
}
