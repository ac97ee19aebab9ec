using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>The endpoint table as published keys (<see cref="KvTree"/>): follows the table, and wakes those who wait for a key of it.</summary>
public sealed class KvView
{
    public const string ViewName = "kv";

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly StoreReplica _store;
    private volatile KvTree _tree = KvTree.Empty;

    public KvView(EndpointFeed feed, NodeViews views, StoreReplica store)
    {
        (_feed, _views, _store) = (feed, views, store);
        views.Expect(ViewName);
    }

    public KvTree Tree => _tree;

    /// <summary>Follows the table until told to stop.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var cursor = EndpointCursor.Start;
        try
        {
            while (true)
            {
                var snapshot = await _feed.ChangedAsync(cursor, stopping).ConfigureAwait(false);
                cursor = snapshot.Cursor;
                var before = _tree;
                var next = before.Apply(snapshot);
                _tree = next;
                if (before.Snapshot.Cursor.Epoch == cursor.Epoch) _store.Keys.Wake(next.Changed);
                else _store.Keys.WakeAll();
                _views.Served(ViewName, cursor);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            _store.End(); // parked clients get what there is instead of a broken connection
        }
    }
}
