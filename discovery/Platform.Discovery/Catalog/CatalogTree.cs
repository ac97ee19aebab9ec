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
        EndpointSnapshot.Empty, Registry.Empty, ImmutableSortedDictionary.Create<string, CatalogNode>(StringComparer.Ordinal),
        ImmutableSortedDictionary.Create<string, CatalogGroup>(StringComparer.Ordinal), ImmutableDictionary.Create<string, CatalogGroup>(StringComparer.Ordinal), default, []);

    private readonly ImmutableDictionary<string, CatalogGroup> _onNode;
    private readonly Indices _indices;

    /// <param name="Extinct">When a service last lost its last instance: the least index of a service that is not there.</param>
    /// <param name="Last">Of the newest step; each has a greater one than the last, for the table and the registry come separately.</param>
    private readonly record struct Indices(long Nodes, long Services, long Extinct, long Last);

    private CatalogTree(EndpointSnapshot snapshot, Registry registry, ImmutableSortedDictionary<string, CatalogNode> nodes, ImmutableSortedDictionary<string, CatalogGroup> services,
        ImmutableDictionary<string, CatalogGroup> onNode, Indices indices, ImmutableArray<string> changed)
    {
        Snapshot = snapshot;
        Registry = registry;
        Nodes = nodes;
        Services = services;
        _onNode = onNode;
        _indices = indices;
        Changed = changed;
    }

    public EndpointSnapshot Snapshot { get; }

    /// <summary>What was registered and is none of our tasks.</summary>
    public Registry Registry { get; }

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
        ? new HealthEntry(node, service, node.Checks.Concat(service.Checks).ToEquatableArray())
        : null;

    public IEnumerable<CatalogCheck> ChecksOn(CatalogNode node) => node.Checks.Concat(OnNode(node.Name).SelectMany(x => x.Checks));

    /// <summary>The tree of the next snapshot. Apps that are the same object are not looked at again.</summary>
    public CatalogTree Apply(EndpointSnapshot next) => Apply(next, Registry, 0);

    /// <param name="next">The endpoint table.</param>
    /// <param name="registry">What was registered beside it.</param>
    /// <param name="registryIndex">The cluster log's revision of the latter.</param>
    public CatalogTree Apply(EndpointSnapshot next, Registry registry, long registryIndex)
    {
        // Revisions of another cluster do not compare with ours: start afresh, and let readers notice by the lower index.
        if (next.Cursor.Epoch != Snapshot.Cursor.Epoch && Snapshot.Revision > 0) return Empty.Apply(next, registry, registryIndex);
        var step = new Step(this, next, registry, Math.Max(Math.Max(next.Revision, registryIndex), _indices.Last + 1));
        step.SetNodes();
        foreach (var (app, entry) in next.Services)
        {
            var before = Snapshot.Services.GetValueOrDefault(app);
            if (!ReferenceEquals(before, entry)) step.App(Own(before), Own(entry));
        }
        foreach (var (app, entry) in Snapshot.Services)
            if (!next.Services.ContainsKey(app)) step.App(Own(entry), null);
        if (!ReferenceEquals(registry, Registry)) step.Registered();
        return step.Done();
    }

    /// <summary>What was registered comes from the registry, with its checks and under its own name.</summary>
    private static ServiceEntry? Own(ServiceEntry? entry) => entry is { Service.Registered: false } ? entry : null;

    private sealed class Step(CatalogTree from, EndpointSnapshot next, Registry registry, long revision)
    {
        private readonly ImmutableSortedDictionary<string, CatalogNode>.Builder _nodes = from.Nodes.ToBuilder();
        private readonly ImmutableSortedDictionary<string, CatalogGroup>.Builder _services = from.Services.ToBuilder();
        private readonly ImmutableDictionary<string, CatalogGroup>.Builder _onNode = from._onNode.ToBuilder();
        private readonly HashSet<string> _changed = new(StringComparer.Ordinal);
        private readonly ILookup<string, RegisteredCheck> _checks = ByInstance(registry);
        private Indices _indices = from._indices;

        private static readonly ImmutableSortedDictionary<string, CatalogInstance> None = ImmutableSortedDictionary.Create<string, CatalogInstance>(StringComparer.Ordinal);

        public void SetNodes()
        {
            if (ReferenceEquals(from.Snapshot.Nodes, next.Nodes) && ReferenceEquals(from.Registry, registry)) return;
            var wanted = new HashSet<string>(StringComparer.Ordinal);
            var meta = EquatableMap.From([new(CatalogNode.ClusterMeta, next.Cursor.Epoch)]);
            foreach (var node in next.Nodes.Values)
            {
                wanted.Add(node.Node.Name);
                SetNode(new CatalogNode(CatalogNode.IdOf(next.Cursor.Epoch, node.Node.Name), node.Node.Name, node.Address, meta, true, revision, revision));
            }
            foreach (var node in registry.Nodes.Values) // a name of the cluster's own is its own
                if (wanted.Add(node.Name)) SetNode(new CatalogNode(node.Id, node.Name, node.Address, node.Meta, null, revision, revision) { RegisteredAddresses = node.TaggedAddresses });
            foreach (var gone in from.Nodes.Keys.Where(x => !wanted.Contains(x)))
            {
                _nodes.Remove(gone);
                NodeChanged(gone);
            }
        }

        private void SetNode(CatalogNode node)
        {
            node = node with { Registered = _checks[Registry.KeyOf(node.Name, "")].Select(x => CatalogCheck.Of(x, null)).ToEquatableArray() };
            if (_nodes.TryGetValue(node.Name, out var old))
            {
                if (node with { CreateIndex = old.CreateIndex, ModifyIndex = old.ModifyIndex } == old) return;
                node = node with { CreateIndex = old.CreateIndex };
            }
            _nodes[node.Name] = node;
            NodeChanged(node.Name);
            // A reader of a service reads of its nodes too.
            foreach (var service in from.OnNode(node.Name).Select(x => x.Name).Distinct())
                if (_services.TryGetValue(service, out var group)) SetService(service, group.Instances);
        }

        public void Registered()
        {
            var checksBefore = ByInstance(from.Registry);
            var old = from.Registry.Instances.Values.Select(x => Row(checksBefore, x)).ToDictionary(x => x.Key, StringComparer.Ordinal);
            foreach (var row in registry.Instances.Values.Select(x => Row(_checks, x)))
                if (!old.Remove(row.Key, out var known)) Set(row);
                else if (!known.SaysWhat(row))
                {
                    if (known.Name != row.Name) Remove(known);
                    Set(row);
                }
            foreach (var gone in old.Values) Remove(gone);
        }

        private static ILookup<string, RegisteredCheck> ByInstance(Registry of) => of.Checks.Values.ToLookup(x => Registry.KeyOf(x.Node, x.ServiceId), StringComparer.Ordinal);

        private CatalogInstance Row(ILookup<string, RegisteredCheck> checks, RegisteredInstance x) => new()
        {
            Node = x.Node, Id = x.Id, Name = x.Name, Tags = x.Tags, Address = x.Address, Port = x.Port, EnableTagOverride = x.EnableTagOverride,
            WeightPassing = x.WeightPassing, WeightWarning = x.WeightWarning, RegisteredMeta = x.Meta, RegisteredChecks = checks[x.Key].ToEquatableArray(),
            CreateIndex = revision, ModifyIndex = revision,
        };

        private void NodeChanged(string name)
        {
            _indices = _indices with { Nodes = revision };
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
            return CatalogNames.Of(of, revision).ToDictionary(x => x.Key, StringComparer.Ordinal);
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
            _indices = _indices with { Services = revision };
            if (instances.IsEmpty)
            {
                _services.Remove(name);
                _indices = _indices with { Extinct = revision };
            }
            else _services[name] = new CatalogGroup(instances, revision);
            _changed.UnionWith([ServicesTopic, ServiceTopic(name)]);
        }

        private void SetOnNode(string name, ImmutableSortedDictionary<string, CatalogInstance> instances)
        {
            // An empty group stays, for its index: a reader of this node must see it grow when the last instance goes.
            _onNode[name] = new CatalogGroup(instances, revision);
            _changed.Add(NodeTopic(name));
        }

        public CatalogTree Done() => new(next, registry, _nodes.ToImmutable(), _services.ToImmutable(), _onNode.ToImmutable(), _indices with { Last = revision }, [.. _changed]);
    }
}
