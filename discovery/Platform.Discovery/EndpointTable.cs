using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>One app's published state: the service and its ready instances.</summary>
public sealed record ServiceEntry(Service Service, ImmutableSortedDictionary<InstanceId, Endpoint> Endpoints);

/// <summary>The endpoint table at one revision. Readers take one and keep it for the whole operation.</summary>
public sealed record EndpointSnapshot(
    EndpointCursor Cursor,
    ImmutableSortedDictionary<AppId, ServiceEntry> Services,
    ImmutableSortedDictionary<NodeId, NodeAddress> Nodes)
{
    public static readonly EndpointSnapshot Empty = new(
        EndpointCursor.Start, ImmutableSortedDictionary<AppId, ServiceEntry>.Empty, ImmutableSortedDictionary<NodeId, NodeAddress>.Empty);

    public long Revision => Cursor.Revision;
}

/// <summary>
/// The one versioned table that DNS, KV, files and proxies are views of; the same class serves the scheduler, the nodes and the simulator.
/// One writer calls <see cref="Apply"/>; readers hold snapshots, or follow with <see cref="After"/>. Its revision is the cluster log's.
/// </summary>
public sealed class EndpointTable(EndpointSnapshot start)
{
    /// <summary>How many past changes a follower may lag behind before it gets a complete table instead.</summary>
    public const int HistoryMax = 8192;

    private sealed record State(EndpointSnapshot Snapshot, ImmutableQueue<Entry> History, int Count);
    private readonly record struct Entry(long Revision, EquatableArray<EndpointChange> Changes);

    private volatile State _state = new(start, [], 0);
    private long _forgotten = start.Revision;

    public EndpointTable() : this(EndpointSnapshot.Empty) { }

    public EndpointSnapshot Current => _state.Snapshot;

    /// <summary>Applies one update. A complete one replaces everything; any other must start at or before the table's revision, of the same epoch.</summary>
    /// <returns>The new snapshot, or null if the update does not fit and the follower has to ask for a complete one.</returns>
    public EndpointSnapshot? Apply(EndpointUpdate update)
    {
        var state = _state;
        if (update.Complete)
        {
            _forgotten = update.To;
            _state = new State(Replace(update), [], 0);
            return Current;
        }
        if (update.Epoch != state.Snapshot.Cursor.Epoch || update.From > state.Snapshot.Revision) return null;
        if (update.To <= state.Snapshot.Revision) return state.Snapshot;

        var history = state.History.Enqueue(new Entry(update.To, update.Changes));
        var count = state.Count + 1;
        while (count > HistoryMax)
        {
            history = history.Dequeue(out var dropped);
            _forgotten = dropped.Revision;
            count--;
        }
        _state = new State(Fold(state.Snapshot, update), history, count);
        return Current;
    }

    /// <summary>What a follower at <paramref name="cursor"/> misses: null = nothing; the changes since; or the complete table when it fell off the history or follows another epoch.</summary>
    public EndpointUpdate? After(EndpointCursor cursor)
    {
        var state = _state;
        var now = state.Snapshot.Cursor;
        if (cursor == now) return null;
        if (cursor.Epoch != now.Epoch || cursor.Revision > now.Revision || cursor.Revision < Volatile.Read(ref _forgotten)) return Complete(state.Snapshot);
        var changes = state.History.Where(x => x.Revision > cursor.Revision).SelectMany(x => x.Changes.Items).ToEquatableArray();
        return new EndpointUpdate(now.Epoch, cursor.Revision, now.Revision, false, changes);
    }

    public static EndpointUpdate Complete(EndpointSnapshot snapshot) => new(
        snapshot.Cursor.Epoch, 0, snapshot.Revision, true,
        snapshot.Nodes.Values.Select(EndpointChange (n) => new EndpointChange.NodeSet(n))
            .Concat(snapshot.Services.Values.SelectMany(s => s.Endpoints.Values
                .Select(EndpointChange (e) => new EndpointChange.EndpointSet(e))
                .Prepend(new EndpointChange.ServiceSet(s.Service))))
            .ToEquatableArray());

    private static EndpointSnapshot Replace(EndpointUpdate update) => Fold(EndpointSnapshot.Empty, update);

    private static EndpointSnapshot Fold(EndpointSnapshot from, EndpointUpdate update)
    {
        var services = from.Services.ToBuilder();
        var nodes = from.Nodes.ToBuilder();
        foreach (var change in update.Changes)
            switch (change)
            {
                case EndpointChange.ServiceSet x:
                    services[x.Service.App] = services.TryGetValue(x.Service.App, out var old)
                        ? old with { Service = x.Service }
                        : new ServiceEntry(x.Service, ImmutableSortedDictionary<InstanceId, Endpoint>.Empty);
                    break;
                case EndpointChange.ServiceRemoved x:
                    services.Remove(x.App);
                    break;
                case EndpointChange.EndpointSet x when services.TryGetValue(x.Endpoint.App, out var entry):
                    services[x.Endpoint.App] = entry with { Endpoints = entry.Endpoints.SetItem(x.Endpoint.Instance, x.Endpoint) };
                    break;
                case EndpointChange.EndpointRemoved x when services.TryGetValue(x.App, out var entry):
                    services[x.App] = entry with { Endpoints = entry.Endpoints.Remove(x.Instance) };
                    break;
                case EndpointChange.NodeSet x:
                    nodes[x.Node.Node] = x.Node;
                    break;
                case EndpointChange.NodeRemoved x:
                    nodes.Remove(x.Node);
                    break;
                case EndpointChange.EndpointSet or EndpointChange.EndpointRemoved:
                    break; // its service is gone: the removal of an app takes its endpoints along
                default:
                    throw new System.Diagnostics.UnreachableException($"{change}");
            }
        return new EndpointSnapshot(new EndpointCursor(update.Epoch, update.To), services.ToImmutable(), nodes.ToImmutable());
    }
}
