using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What a scheduler knows of a node by hearsay: never logged, and after a restart learned anew.</summary>
/// <param name="ServedRevision">The endpoint revision that every view of the node serves at least.</param>
/// <param name="Draining">Withdrawn instances that have requests in flight in the node's proxy.</param>
public sealed record NodeContact(bool Connected, DateTimeOffset LastHeardAt, long ServedRevision, EquatableArray<InstanceId> Draining);

/// <summary>
/// Who is connected and when it was last heard: soft state, never logged. After a restart every node gets the full time to report again;
/// only the transitions to lost and back are events.
/// </summary>
internal sealed class NodeLinks(SchedulerSettings settings, DateTimeOffset startedAt)
{
    private sealed class Link
    {
        public required NodeDescription Description { get; set; }
        public long Session { get; set; }
        public bool Connected { get; set; }
        public DateTimeOffset LastHeardAt { get; set; }
        public long ServedRevision { get; set; }
        public HashSet<InstanceId> Draining { get; set; } = [];
        public bool Announced { get; set; }

        /// <summary>It has told all it holds, since it connected or was last lost.</summary>
        public bool Told { get; set; }
    }

    private readonly Dictionary<NodeId, Link> _links = [];

    public ImmutableDictionary<NodeId, NodeContact> Contacts { get; private set; } = ImmutableDictionary<NodeId, NodeContact>.Empty;

    /// <summary>What its last session may still say is nobody's report.</summary>
    public void Remove(NodeId id)
    {
        _links.Remove(id);
        Contacts = Contacts.Remove(id);
    }

    public void Connect(Input.NodeConnected x, DateTimeOffset now)
    {
        if (_links.TryGetValue(x.Node.Id, out var old) && old.Session > x.Session) return; // a newer session closes the older
        _links[x.Node.Id] = new Link { Description = x.Node, Session = x.Session, Connected = true, LastHeardAt = now };
        Contacts = Contacts.SetItem(x.Node.Id, new NodeContact(true, now, 0, default));
    }

    public void Disconnect(Input.NodeDisconnected x, DateTimeOffset now)
    {
        if (!_links.TryGetValue(x.Node, out var link) || link.Session != x.Session) return;
        link.Connected = false;
        link.LastHeardAt = now;
        if (Contacts.TryGetValue(x.Node, out var contact)) Contacts = Contacts.SetItem(x.Node, contact with { Connected = false, LastHeardAt = now });
    }

    /// <summary>False for a report of a session that is no longer the node's.</summary>
    public bool Report(Input.NodeReported x, DateTimeOffset now)
    {
        if (!_links.TryGetValue(x.Node, out var link) || link.Session != x.Session) return false;
        link.LastHeardAt = now;
        link.Told |= x.Complete;
        link.ServedRevision = x.ServedRevision;
        link.Draining = [.. x.Draining];
        Contacts = Contacts.SetItem(x.Node, new NodeContact(true, now, x.ServedRevision, x.Draining));
        return true;
    }

    /// <summary>
    /// The node, if it is connected and the state does not know it as it is. One that was lost joins again when it has told all it holds: until then
    /// what the state says of its instances is old, and must not be published again.
    /// </summary>
    public NodeDescription? Joined(ClusterState state, NodeId id)
    {
        if (!_links.TryGetValue(id, out var link) || !link.Connected || link.Announced) return null;
        state.Nodes.TryGetValue(id, out var known);
        if (known?.LostAt is not null && !link.Told) return null;
        link.Announced = true;
        return known?.LostAt is null && known?.Description == link.Description ? null : link.Description;
    }

    /// <summary>Their joining was not logged after all: it is told again.</summary>
    public IEnumerable<NodeId> Forget(IEnumerable<NodeId> announced)
    {
        foreach (var id in announced)
        {
            if (_links.TryGetValue(id, out var link)) link.Announced = false;
            yield return id;
        }
    }

    public IEnumerable<NodeId> Lost(ClusterState state, DateTimeOffset now)
    {
        foreach (var id in state.Nodes.Where(n => n.Value.LostAt is null && LostAt(n.Key) <= now).Select(n => n.Key).ToList())
        {
            if (_links.TryGetValue(id, out var link)) (link.Announced, link.Told) = (false, false);
            yield return id;
        }
    }

    public DateTimeOffset? NextLostAt(ClusterState state) =>
        state.Nodes.Where(n => n.Value.LostAt is null).Select(n => (DateTimeOffset?)LostAt(n.Key)).Min();

    /// <summary>Every node that may still route has applied the withdrawal and has no request of the instance in flight.</summary>
    public bool HaveLetGo(ClusterState state, Instance instance) => state.Nodes.All(n =>
        n.Value.LostAt is not null
        || _links.TryGetValue(n.Key, out var link)
        && link.Connected
        && link.ServedRevision >= instance.WithdrawnRevision
        && !link.Draining.Contains(instance.Id));

    private DateTimeOffset LostAt(NodeId id) => (_links.TryGetValue(id, out var link) ? link.LastHeardAt : startedAt) + settings.NodeLostAfter;
}

/// <summary>The launch queue as users see it (contract 1.8): what waits, since when, and what the nodes said.</summary>
internal sealed class LaunchQueue
{
    public ImmutableSortedDictionary<AppId, QueueItem> Items { get; private set; } = ImmutableSortedDictionary<AppId, QueueItem>.Empty;

    public void Remove(AppId app) => Items = Items.Remove(app);

    public void Note(Plan plan, DateTimeOffset now)
    {
        if (plan.Waiting is not { } waiting)
        {
            Items = Items.Remove(plan.App);
            return;
        }
        var item = Items.GetValueOrDefault(plan.App)
            ?? new QueueItem(plan.App, waiting, now, 0, 0, null, null, ImmutableSortedDictionary<NoFitReason, int>.Empty);
        Items = Items.SetItem(plan.App, item with
        {
            Explanation = waiting,
            Processed = item.Processed + plan.Tried,
            Unused = item.Unused + waiting.NoFits.Count,
            LastUnusedAt = waiting.NoFits.IsEmpty ? item.LastUnusedAt : now,
            LastUsedAt = plan.Placed > 0 ? now : item.LastUsedAt,
            Declines = waiting.NoFits.CountBy(n => n.Reason)
                .Aggregate(item.Declines, (sums, count) => sums.SetItem(count.Key, sums.GetValueOrDefault(count.Key) + count.Value)),
        });
    }
}
