using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>A service instance with the check that speaks of it, as it stands in somebody else's Consul.</summary>
/// <param name="Status">Null: its check is not there.</param>
public sealed record PublishedInstance(string Id, string Name, EquatableArray<string> Tags, string Address, int Port, EquatableMap Meta, CheckStatus? Status, string Output)
{
    public string CheckId => $"service:{Id}";
    public string CheckName => $"Service '{Name}' check";
}

/// <summary>A node that stands there for one of ours.</summary>
public sealed record PublishedNode(string Name, string Id, string Address, CheckStatus? Status, ImmutableSortedDictionary<string, PublishedInstance> Instances)
{
    /// <summary>Not <c>serfHealth</c>: a Consul server removes nodes that have that check and are no members of its gossip.</summary>
    public const string CheckId = "platform-node";

    public const string CheckName = "Platform node";

    public bool SameNode(PublishedNode other) => (Name, Id, Address) == (other.Name, other.Id, other.Address);
}

/// <summary>
/// What a cluster wants another Consul to hold: a synthetic node for each of its own, its services, and the tree of keys. All of it is marked
/// as the cluster's, by the meta of nodes and services and the flags of keys; what is not so marked is never touched.
/// </summary>
public sealed class Publication
{
    public const string NodePrefix = "platform-";

    private readonly Dictionary<CatalogInstance, PublishedInstance> _instances;

    private Publication(string cluster, ImmutableSortedDictionary<string, PublishedNode> nodes, KvTree keys, Dictionary<CatalogInstance, PublishedInstance> instances)
    {
        Cluster = cluster;
        Nodes = nodes;
        Keys = keys;
        _instances = instances;
    }

    public string Cluster { get; }
    public ImmutableSortedDictionary<string, PublishedNode> Nodes { get; }
    public KvTree Keys { get; }

    /// <summary>Keys of this cluster carry these flags: the first eight bytes of a hash of its id.</summary>
    public static ulong FlagsOf(string cluster) =>
        System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes($"{cluster}/keys")));

    /// <param name="before">What of it is still so is taken over as it is.</param>
    public static Publication Of(CatalogTree tree, KvTree keys, Publication? before)
    {
        var cluster = tree.Snapshot.Cursor.Epoch;
        var instances = new Dictionary<CatalogInstance, PublishedInstance>(ReferenceEqualityComparer.Instance);
        var nodes = ImmutableSortedDictionary.CreateBuilder<string, PublishedNode>(StringComparer.Ordinal);
        foreach (var node in tree.Nodes.Values)
        {
            var on = ImmutableSortedDictionary.CreateBuilder<string, PublishedInstance>(StringComparer.Ordinal);
            foreach (var instance in tree.OnNode(node.Name))
                on[instance.Id] = instances[instance] = before?._instances.GetValueOrDefault(instance) ?? Instance(cluster, instance);
            var name = NodePrefix + node.Name;
            nodes[name] = new PublishedNode(name, CatalogNode.IdOf(cluster, name), node.Address, node.Alive ? CheckStatus.Passing : CheckStatus.Critical, on.ToImmutable());
        }
        return new Publication(cluster, nodes.ToImmutable(), keys, instances);
    }

    private static PublishedInstance Instance(string cluster, CatalogInstance instance)
    {
        var checks = instance.Checks.ToList();
        var worst = checks.Select(x => x.Status).DefaultIfEmpty(CheckStatus.Passing).Max();
        return new PublishedInstance(
            instance.Id, instance.Name, instance.Tags, instance.Address, instance.Port, instance.Meta.With(CatalogNode.ClusterMeta, cluster),
            worst, checks.Find(x => x.Status == worst)?.Output ?? "");
    }
}

/// <summary>What the other Consul holds of ours, and the names that somebody else has taken.</summary>
public sealed record Observation(
    ImmutableSortedDictionary<string, PublishedNode> Nodes, ImmutableHashSet<string> ForeignNodes, ImmutableHashSet<(string Node, string Id)> ForeignInstances,
    ImmutableSortedDictionary<string, ImmutableArray<byte>> Keys, ImmutableHashSet<string> ForeignKeys)
{
    public static readonly Observation Nothing = new(
        ImmutableSortedDictionary.Create<string, PublishedNode>(StringComparer.Ordinal), [], [], ImmutableSortedDictionary.Create<string, ImmutableArray<byte>>(StringComparer.Ordinal), []);
}

/// <summary>One change of the other Consul.</summary>
public abstract record PublishStep
{
    private PublishStep() { }

    /// <param name="Create">Only if nobody has the name.</param>
    public sealed record NodeSet(PublishedNode Node, bool Create) : PublishStep;
    public sealed record NodeRemoved(string Node) : PublishStep;
    public sealed record NodeCheckSet(string Node, CheckStatus Status) : PublishStep;
    public sealed record NodeCheckRemoved(string Node) : PublishStep;
    public sealed record InstanceSet(string Node, PublishedInstance Instance) : PublishStep;
    public sealed record InstanceRemoved(string Node, string Id) : PublishStep;
    public sealed record KeySet(string Key, ImmutableArray<byte> Value, bool Create) : PublishStep;
    public sealed record KeyRemoved(string Key) : PublishStep;
}

/// <param name="Conflicts">What is not published because the name is somebody else's, in words.</param>
public sealed record PublishPlan(ImmutableArray<PublishStep> Steps, ImmutableArray<string> Conflicts);

public static class Publishing
{
    public static PublishPlan Plan(Publication wanted, Observation seen)
    {
        var steps = ImmutableArray.CreateBuilder<PublishStep>();
        var conflicts = ImmutableArray.CreateBuilder<string>();
        foreach (var gone in seen.Nodes.Values.Where(x => !wanted.Nodes.ContainsKey(x.Name))) Remove(gone, seen, steps);
        foreach (var node in wanted.Nodes.Values)
            if (seen.ForeignNodes.Contains(node.Name)) conflicts.Add($"node {node.Name}");
            else Set(node, seen, steps, conflicts);
        foreach (var key in seen.Keys.Keys)
            if (wanted.Keys.Find(key) is null) steps.Add(new PublishStep.KeyRemoved(key));
        foreach (var entry in wanted.Keys.Under(""))
            if (seen.ForeignKeys.Contains(entry.Key)) conflicts.Add($"key {entry.Key}");
            else if (!seen.Keys.TryGetValue(entry.Key, out var value)) steps.Add(new PublishStep.KeySet(entry.Key, entry.Value, Create: true));
            else if (value != entry.Value && !value.AsSpan().SequenceEqual(entry.Value.AsSpan())) steps.Add(new PublishStep.KeySet(entry.Key, entry.Value, Create: false));
        return new PublishPlan(steps.ToImmutable(), conflicts.ToImmutable());
    }

    /// <summary>What is seen once the step has been taken.</summary>
    public static Observation After(Observation seen, PublishStep step) => step switch
    {
        PublishStep.NodeSet x => seen with
        {
            Nodes = seen.Nodes.SetItem(x.Node.Name, x.Node with
            {
                Status = seen.Nodes.GetValueOrDefault(x.Node.Name)?.Status,
                Instances = seen.Nodes.GetValueOrDefault(x.Node.Name)?.Instances ?? ImmutableSortedDictionary.Create<string, PublishedInstance>(StringComparer.Ordinal),
            }),
        },
        PublishStep.NodeRemoved x => seen with { Nodes = seen.Nodes.Remove(x.Node) },
        PublishStep.NodeCheckSet x => seen with { Nodes = seen.Nodes.SetItem(x.Node, seen.Nodes[x.Node] with { Status = x.Status }) },
        PublishStep.NodeCheckRemoved x => seen with { Nodes = seen.Nodes.SetItem(x.Node, seen.Nodes[x.Node] with { Status = null }) },
        PublishStep.InstanceSet x => seen with { Nodes = seen.Nodes.SetItem(x.Node, With(seen.Nodes[x.Node], x.Instance)) },
        PublishStep.InstanceRemoved x => seen with { Nodes = seen.Nodes.SetItem(x.Node, seen.Nodes[x.Node] with { Instances = seen.Nodes[x.Node].Instances.Remove(x.Id) }) },
        PublishStep.KeySet x => seen with { Keys = seen.Keys.SetItem(x.Key, x.Value) },
        PublishStep.KeyRemoved x => seen with { Keys = seen.Keys.Remove(x.Key) },
        _ => throw new System.Diagnostics.UnreachableException($"{step}"),
    };

    private static PublishedNode With(PublishedNode node, PublishedInstance instance) => node with { Instances = node.Instances.SetItem(instance.Id, instance) };

    /// <summary>A node goes with all that is on it, unless somebody else has put something there: then ours alone goes.</summary>
    private static void Remove(PublishedNode node, Observation seen, ImmutableArray<PublishStep>.Builder steps)
    {
        if (seen.ForeignInstances.All(x => x.Node != node.Name))
        {
            steps.Add(new PublishStep.NodeRemoved(node.Name));
            return;
        }
        foreach (var id in node.Instances.Keys) steps.Add(new PublishStep.InstanceRemoved(node.Name, id));
        if (node.Status is not null) steps.Add(new PublishStep.NodeCheckRemoved(node.Name));
    }

    private static void Set(PublishedNode node, Observation seen, ImmutableArray<PublishStep>.Builder steps, ImmutableArray<string>.Builder conflicts)
    {
        var there = seen.Nodes.GetValueOrDefault(node.Name);
        if (there is null || !there.SameNode(node)) steps.Add(new PublishStep.NodeSet(node, Create: there is null));
        if (there?.Status != node.Status) steps.Add(new PublishStep.NodeCheckSet(node.Name, node.Status!.Value));
        if (there is not null)
            foreach (var id in there.Instances.Keys.Where(x => !node.Instances.ContainsKey(x))) steps.Add(new PublishStep.InstanceRemoved(node.Name, id));
        foreach (var instance in node.Instances.Values)
            if (seen.ForeignInstances.Contains((node.Name, instance.Id))) conflicts.Add($"service {instance.Id} on {node.Name}");
            else if (there?.Instances.GetValueOrDefault(instance.Id) != instance) steps.Add(new PublishStep.InstanceSet(node.Name, instance));
    }
}
