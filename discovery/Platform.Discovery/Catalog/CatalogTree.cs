using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>The instances of one service, or those on one node, and the index of what a reader of them has seen.</summary>
public sealed record CatalogGroup(ImmutableSortedDictionary<string, CatalogInstance> Instances, long Index);

/// <summary>
/// The endpoint table as Consul's catalog: nodes, and services by name and by node. Each service has an index of its own, so that who waits for one
/// is not woken by another. Applying a change costs what the change touches, however large the catalog is.
/// </summary>
public sealed class CatalogTree
{
    public static readonly CatalogTree Empty = new(
        EndpointSnapshot.Empty, ImmutableSortedDictionary.Create<string, CatalogNode>(StringComparer.Ordinal),
        ImmutableSortedDictionary.Create<string, CatalogGroup>(StringComparer.Ordinal), ImmutableDictionary.Create<string, CatalogGroup>(StringComparer.Ordinal), default, []);

    private readonly ImmutableDictionary<string, CatalogGroup> _onNode;
    private readonly Indices _indices;

    /// <param name="Extinct">When a service last lost its last instance: the least index of a service that is not there.</param>
    private readonly record struct Indices(long Nodes, long Services, long Extinct);

    private CatalogTree(EndpointSnapshot snapshot, ImmutableSortedDictionary<string, CatalogNode> nodes, ImmutableSortedDictionary<string, CatalogGroup> services,
        ImmutableDictionary<string, CatalogGroup> onNode, Indices indices, ImmutableArray<string> changed)
    {
        Snapshot = snapshot;
        Nodes = nodes;
        Services = services;
        _onNode = onNode;
        _indices = indices;
        Changed = changed;
    }

    public EndpointSnapshot Snapshot { get; }
    public ImmutableSortedDictionary<string, CatalogNode> Nodes { get; }
    public ImmutableSortedDictionary<string, CatalogGroup> Services { get; }

    /// <summary>What the step to this tree changed, as <see cref="ServiceTopic"/> and the like name it.</summary>
    public ImmutableArray<string> Changed { get; }

    public const string NodesTopic = "nodes";
    public const string ServicesTopic = "services";
    public static string ServiceTopic(string name) => $"service/{name}";
    public static string NodeTopic(string name) => $"node/{name}";

    public long NodesIndex => Math.Max(1, _indices.Nodes);

    /// <summary>Of all services and their checks together.</summary>
    public long ServicesIndex => Math.Max(1, Math.Max(_indices.Services, _indices.Nodes));

    public long ServiceIndex(string name) => Math.Max(1, Services.TryGetValue(name, out var service) ? service.Index : _indices.Extinct);

    public long NodeIndex(string name) =>
        Math.Max(Nodes.TryGetValue(name, out var node) ? Math.Max(1, node.ModifyIndex) : NodesIndex, _onNode.TryGetValue(name, out var group) ? group.Index : 1);

    public IEnumerable<CatalogInstance> OfService(string name) => Services.TryGetValue(name, out var service) ? service.Instances.Values : [];
    public IEnumerable<CatalogInstance> OnNode(string name) => _onNode.TryGetValue(name, out var group) ? group.Instances.Values : [];

    public HealthEntry? Health(CatalogInstance service) => Nodes.TryGetValue(service.Node, out var node)
        ? new HealthEntry(node, service, service.Checks.Prepend(node.Health).ToEquatableArray())
        : null;

    public IEnumerable<CatalogCheck> ChecksOn(CatalogNode node) => OnNode(node.Name).SelectMany(x => x.Checks).Prepend(node.Health);

    /// <summary>The tree of the next snapshot. Apps that are the same object are not looked at again.</summary>
    public CatalogTree Apply(EndpointSnapshot next)
    {
        // Revisions of another cluster do not compare with ours: start afresh, and let readers notice by the lower index.
        if (next.Cursor.Epoch != Snapshot.Cursor.Epoch && Snapshot.Revision > 0) return Empty.Apply(next);
        var step = new Step(this, next);
        step.SetNodes();
        foreach (var (app, entry) in next.Services)
        {
            var before = Snapshot.Services.GetValueOrDefault(app);
            if (!ReferenceEquals(before, entry)) step.App(before, entry);
        }
        foreach (var (app, entry) in Snapshot.Services)
            if (!next.Services.ContainsKey(app)) step.App(entry, null);
        return step.Done();
    }

    private sealed class Step(CatalogTree from, EndpointSnapshot next)
    {
        private readonly ImmutableSortedDictionary<string, CatalogNode>.Builder _nodes = from.Nodes.ToBuilder();
        private readonly ImmutableSortedDictionary<string, CatalogGroup>.Builder _services = from.Services.ToBuilder();
        private readonly ImmutableDictionary<string, CatalogGroup>.Builder _onNode = from._onNode.ToBuilder();
        private readonly HashSet<string> _changed = new(StringComparer.Ordinal);
        private Indices _indices = from._indices;

        private static readonly ImmutableSortedDictionary<string, CatalogInstance> None = ImmutableSortedDictionary.Create<string, CatalogInstance>(StringComparer.Ordinal);

        public void SetNodes()
        {
            if (ReferenceEquals(from.Snapshot.Nodes, next.Nodes)) return;
            foreach (var node in next.Nodes.Values)
                if (from.Snapshot.Nodes.GetValueOrDefault(node.Node) != node) SetNode(node);
            foreach (var gone in from.Snapshot.Nodes.Keys.Where(x => !next.Nodes.ContainsKey(x)))
            {
                _nodes.Remove(gone.Name);
                NodeChanged(gone.Name);
            }
        }

        private void SetNode(NodeAddress node)
        {
            var name = node.Node.Name;
            var (cluster, revision) = (next.Cursor.Epoch, next.Revision);
            var created = _nodes.TryGetValue(name, out var old) ? old.CreateIndex : revision;
            _nodes[name] = new CatalogNode(
                CatalogNode.IdOf(cluster, name), name, node.Address, EquatableMap.From([new(CatalogNode.ClusterMeta, cluster)]), true, created, revision);
            NodeChanged(name);
            // A reader of a service reads of its nodes too.
            foreach (var service in from.OnNode(name).Select(x => x.Name).Distinct())
                if (_services.TryGetValue(service, out var group)) SetService(service, group.Instances);
        }

        private void NodeChanged(string name)
        {
            _indices = _indices with { Nodes = next.Revision };
            _changed.UnionWith([NodesTopic, ServicesTopic, NodeTopic(name)]);
        }

        /// <summary>Rows that say what they said keep their indices: nobody is woken for nothing.</summary>
        public void App(ServiceEntry? before, ServiceEntry? now)
        {
            var sameService = before is not null && now is not null && ReferenceEquals(before.Service, now.Service);
            var old = Rows(before, now, sameService);
            foreach (var row in Rows(now, before, sameService).Values)
                if (!old.Remove(row.Key, out var known)) Set(row);
                else if (known.Name != row.Name)
                {
                    Remove(known);
                    Set(row);
                }
                else if (!known.SaysWhat(row with { CreateIndex = known.CreateIndex, ModifyIndex = known.ModifyIndex })) Set(row);
            foreach (var gone in old.Values) Remove(gone);
        }

        /// <summary>The rows of one side, but for endpoints that the other has as they are.</summary>
        private Dictionary<string, CatalogInstance> Rows(ServiceEntry? of, ServiceEntry? other, bool sameService)
        {
            if (of is null) return [];
            if (sameService)
                of = of with { Endpoints = of.Endpoints.Where(x => !ReferenceEquals(other!.Endpoints.GetValueOrDefault(x.Key), x.Value)).ToImmutableSortedDictionary() };
            return CatalogNames.Of(of, next.Revision).ToDictionary(x => x.Key, StringComparer.Ordinal);
        }

        private void Set(CatalogInstance row)
        {
            var instances = _services.TryGetValue(row.Name, out var group) ? group.Instances : None;
            if (instances.TryGetValue(row.Key, out var known)) row = row with { CreateIndex = known.CreateIndex };
            SetService(row.Name, instances.SetItem(row.Key, row));
            SetOnNode(row.Node, (_onNode.TryGetValue(row.Node, out var on) ? on.Instances : None).SetItem(row.Id, row));
        }

        private void Remove(CatalogInstance row)
        {
            if (_services.TryGetValue(row.Name, out var group)) SetService(row.Name, group.Instances.Remove(row.Key));
            if (_onNode.TryGetValue(row.Node, out var on)) SetOnNode(row.Node, on.Instances.Remove(row.Id));
        }

        private void SetService(string name, ImmutableSortedDictionary<string, CatalogInstance> instances)
        {
            _indices = _indices with { Services = next.Revision };
            if (instances.IsEmpty)
            {
                _services.Remove(name);
                _indices = _indices with { Extinct = next.Revision };
            }
            else _services[name] = new CatalogGroup(instances, next.Revision);
            _changed.UnionWith([ServicesTopic, ServiceTopic(name)]);
        }

        private void SetOnNode(string name, ImmutableSortedDictionary<string, CatalogInstance> instances)
        {
            // An empty group stays, for its index: a reader of this node must see it grow when the last instance goes.
            _onNode[name] = new CatalogGroup(instances, next.Revision);
            _changed.Add(NodeTopic(name));
        }

        public CatalogTree Done() => new(next, _nodes.ToImmutable(), _services.ToImmutable(), _onNode.ToImmutable(), _indices, [.. _changed]);
    }
}
