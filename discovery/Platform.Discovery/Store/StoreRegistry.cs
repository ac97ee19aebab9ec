using System.Text.Json.Serialization;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery;

[JsonDerivedType(typeof(Register), "register")]
public abstract partial record StoreRequest
{
    /// <summary>Services, nodes and checks of the catalog that we do not run: all of the changes, or none.</summary>
    public sealed record Register(EquatableArray<RegistryChange> Changes) : StoreRequest;
}

[JsonDerivedType(typeof(Registered), "registered")]
public abstract partial record StoreEvent
{
    public sealed record Registered(EquatableArray<RegistryChange> Changes) : StoreEvent;
}

public sealed partial record StoreState
{
    public Registry Registry { get; init; } = Registry.Empty;
}

/// <summary>Whether a change of the registry can be, in Consul's words where it cannot.</summary>
internal static class RegistryDecisions
{
    /// <param name="isNode">Whether the cluster has a node of that name.</param>
    public static StoreDecision Decide(StoreState state, EquatableArray<RegistryChange> changes, Func<string, bool> isNode, long index)
    {
        var next = state.Registry;
        foreach (var change in changes)
        {
            if (Refusal(next, change, isNode) is { } why) return new StoreDecision(null, new StoreReply.Failed(500, why));
            next = next.Fold([change], index);
        }
        if (next.Count > Registry.CountMax && next.Count > state.Registry.Count)
            return new StoreDecision(null, new StoreReply.Failed(507, $"There are {Registry.CountMax} registrations, which is the most"));
        return new StoreDecision(ReferenceEquals(next, state.Registry) || Same(next, state.Registry) ? null : new StoreEvent.Registered(changes), new StoreReply.Done(true));
    }

    private static string? Refusal(Registry registry, RegistryChange change, Func<string, bool> isNode)
    {
        bool Exists(string node) => registry.Nodes.ContainsKey(node) || isNode(node);
        return change switch
        {
            RegistryChange.NodeSet x when isNode(x.Node.Name) => $"Node '{x.Node.Name}' is one of the cluster's own: it registers itself",
            RegistryChange.InstanceSet x when !Exists(x.Instance.Node) => $"node {x.Instance.Node} is not registered",
            RegistryChange.CheckSet x when !Exists(x.Check.Node) => $"node {x.Check.Node} is not registered",
            RegistryChange.CheckSet { Check: { ServiceId.Length: > 0 } x } when registry.Instance(x.Node, x.ServiceId) is null => $"ServiceID \"{x.ServiceId}\" does not exist",
            _ => null,
        };
    }

    /// <summary>Removed and set again within one request, all may be as it was.</summary>
    private static bool Same(Registry left, Registry right) =>
        left.Count == right.Count && left.Nodes.SequenceEqual(right.Nodes) && left.Instances.SequenceEqual(right.Instances) && left.Checks.SequenceEqual(right.Checks);
}
