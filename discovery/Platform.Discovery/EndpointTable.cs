using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>One app's published state: the service and its ready instances.</summary>
public sealed record ServiceEntry(Service Service, ImmutableSortedDictionary<InstanceId, Endpoint> Endpoints)
{
    /// <summary>Those that run and are not ready, where the app wants them shown: to be reached by nobody who did not ask for just these.</summary>
    public ImmutableSortedDictionary<InstanceId, Endpoint> Starting { get; init; } = ImmutableSortedDictionary<InstanceId, Endpoint>.Empty;
}

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

    /// <summary>One applied update, on a chain from the newest to the oldest that is kept; whoever reads along it meets null where it was cut.</summary>
    private sealed class Entry(long from, EquatableArray<EndpointChange> changes, Entry? older)
    {
        public long From => from;
        public EquatableArray<EndpointChange> Changes => changes;
        public volatile Entry? Older = older;
    }

    private sealed record State(EndpointSnapshot Snapshot, Entry? Newest);

    private readonly Queue<Entry> _kept = new(); // the writer's own: which entry to cut next
    private volatile State _state = new(start, null);

    public EndpointTable() : this(EndpointSnapshot.Empty) { }

    public EndpointSnapshot Current => _state.Snapshot;

    /// <summary>Applies one update. A complete one replaces everything; any other must start at or before the table's revision, of the same epoch.</summary>
    /// <returns>The new snapshot, or null if the update does not fit and the follower has to ask for a complete one.</returns>
    public EndpointSnapshot? Apply(EndpointUpdate update)
    {
        var state = _state;
        if (update.Complete)
        {
            _kept.Clear();
            _state = new State(Replace(update), null);
            return Current;
        }
        if (update.Epoch != state.Snapshot.Cursor.Epoch || update.From > state.Snapshot.Revision) return null;
        if (update.To <= state.Snapshot.Revision) return state.Snapshot;

        var entry = new Entry(state.Snapshot.Revision, update.Changes, state.Newest);
        _kept.Enqueue(entry);
        if (_kept.Count > HistoryMax)
        {
            _kept.Dequeue();
            _kept.Peek().Older = null;
        }
        _state = new State(Fold(state.Snapshot, update), entry);
        return Current;
    }

    /// <summary>What a follower at <paramref name="cursor"/> misses: null = nothing; the changes since; or the complete table when it fell off the history or follows another epoch.</summary>
    public EndpointUpdate? After(EndpointCursor cursor)
    {
        var state = _state;
        var now = state.Snapshot.Cursor;
        if (cursor == now) return null;
        if (cursor.Epoch != now.Epoch || cursor.Revision > now.Revision) return Complete(state.Snapshot);

        // Backwards from the newest: a follower costs what it missed, however long the history is.
        var missed = new Stack<Entry>();
        var entry = state.Newest;
        for (; entry is not null; entry = entry.Older)
        {
            missed.Push(entry);
            if (entry.From <= cursor.Revision) break;
        }
        if (entry is null) return Complete(state.Snapshot);
        return new EndpointUpdate(now.Epoch, cursor.Revision, now.Revision, false, missed.SelectMany(x => x.Changes.Items).ToEquatableArray());
    }

    public static EndpointUpdate Complete(EndpointSnapshot snapshot) => new(
        snapshot.Cursor.Epoch, 0, snapshot.Revision, true,
        snapshot.Nodes.Values.Select(EndpointChange (n) => new EndpointChange.NodeSet(n))
            .Concat(snapshot.Services.Values.SelectMany(s => s.Endpoints.Values
                .Select(EndpointChange (e) => new EndpointChange.EndpointSet(e))
                .Concat(s.Starting.Values.Select(EndpointChange (e) => new EndpointChange.StartingSet(e)))
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
                case EndpointChange.StartingSet x when services.TryGetValue(x.Endpoint.App, out var entry):
                    services[x.Endpoint.App] = entry with { Starting = entry.Starting.SetItem(x.Endpoint.Instance, x.Endpoint) };
                    break;
                case EndpointChange.StartingRemoved x when services.TryGetValue(x.App, out var entry):
                    services[x.App] = entry with { Starting = entry.Starting.Remove(x.Instance) };
                    break;
                case EndpointChange.NodeSet x:
                    nodes[x.Node.Node] = x.Node;
                    break;
                case EndpointChange.NodeRemoved x:
                    nodes.Remove(x.Node);
                    break;
                case EndpointChange.EndpointSet or EndpointChange.EndpointRemoved or EndpointChange.StartingSet or EndpointChange.StartingRemoved:
                    break; // its service is gone: the removal of an app takes its endpoints along
                default:
                    throw new System.Diagnostics.UnreachableException($"{change}");
            }
        return new EndpointSnapshot(new EndpointCursor(update.Epoch, update.To), services.ToImmutable(), nodes.ToImmutable());
    }
}
