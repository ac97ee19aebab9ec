using Platform.Discovery;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// Services that were registered at a Consul door, as the endpoint table has them, so that they get names and proxies like apps: the service <c>redis</c>
/// stands as <c>/redis</c>, unless an app has that id, which then has the name for itself. An instance is there while none of its checks, and none of its
/// node's, is critical. Its meta are its labels.
/// </summary>
internal static class RegistryProjection
{
    /// <summary>Registrations have no version of their own.</summary>
    private static readonly AppVersion Version = new(DateTimeOffset.UnixEpoch);

    private sealed record Shown(Service Service, Dictionary<InstanceId, Endpoint> Endpoints);

    /// <summary>All of them, for a table that begins.</summary>
    public static IEnumerable<EndpointChange> All(ClusterState state)
    {
        var byId = state.Store.Registry.Instances.Values.ToLookup(IdOf);
        return byId.Where(x => x.Key is not null).SelectMany(x => Difference(null, Show(state, x.Key!, x)));
    }

    public static IEnumerable<EndpointChange> Changes(ClusterState before, StoreEvent.Registered e, ClusterState after) =>
        Changes(before, e.Changes.Items.SelectMany(x => Touched(before.Store.Registry, x).Concat(Touched(after.Store.Registry, x))), after);

    public static IEnumerable<EndpointChange> ChangesOn(ClusterState before, NodeId node, ClusterState after) =>
        Changes(before, after.Store.Registry.InstancesOn(node.Name).Select(IdOf).OfType<AppId>(), after);

    public static IEnumerable<EndpointChange> Changes(ClusterState before, IEnumerable<AppId> touched, ClusterState after)
    {
        if (before.Store.Registry.Instances.IsEmpty && after.Store.Registry.Instances.IsEmpty) return [];
        return touched.Distinct().SelectMany(id => Difference(Show(before, id, Named(before, id)), Show(after, id, Named(after, id))));
    }

    /// <summary>Null for a name of which nothing is left that an id may have.</summary>
    private static AppId? IdOf(RegisteredInstance instance) =>
        DnsNames.Label(instance.Name) is { Length: > 0 } label && AppId.TryParse($"/{label}", out var id, out _) ? id : null;

    private static IEnumerable<RegisteredInstance> Named(ClusterState state, AppId id) => state.Store.Registry.Instances.Values.Where(x => IdOf(x) == id);

    private static IEnumerable<AppId> Touched(Registry registry, RegistryChange change)
    {
        IEnumerable<RegisteredInstance> Of(string node, string id) => registry.Instance(node, id) is { } known ? [known] : [];
        IEnumerable<RegisteredInstance> OfCheck(string node, string check) => registry.Check(node, check) is not { } known ? []
            : known.ServiceId.Length > 0 ? Of(node, known.ServiceId) : registry.InstancesOn(node);
        var instances = change switch
        {
            RegistryChange.NodeSet x => registry.InstancesOn(x.Node.Name),
            RegistryChange.NodeRemoved x => registry.InstancesOn(x.Node),
            RegistryChange.InstanceSet x => Of(x.Instance.Node, x.Instance.Id),
            RegistryChange.InstanceRemoved x => Of(x.Node, x.Id),
            RegistryChange.CheckSet x => OfCheck(x.Check.Node, x.Check.Id),
            RegistryChange.CheckStated x => OfCheck(x.Node, x.Id),
            RegistryChange.CheckRemoved x => OfCheck(x.Node, x.Id),
            _ => throw new System.Diagnostics.UnreachableException($"{change}"),
        };
        return instances.Select(IdOf).OfType<AppId>();
    }

    private static Shown? Show(ClusterState state, AppId id, IEnumerable<RegisteredInstance> instances)
    {
        var all = instances.OrderBy(x => x.CreateIndex).ThenBy(x => x.Key, StringComparer.Ordinal).ToList();
        if (all.Count == 0 || state.Apps.ContainsKey(id)) return null;
        var http = state.Store.Registry.ChecksOf(all[0].Node, all[0].Id).Any(x => x.Definition.Kind == CheckKind.Http);
        var service = new Service
        {
            App = id, Version = Version, Labels = all[0].Meta, Registered = true,
            Ports = all[0].Port == 0 ? [] : [new ServicePort(0, 0, "tcp", null, http, EquatableMap.Empty)],
        };
        return new Shown(service, all.Select(x => EndpointOf(state, id, x)).OfType<Endpoint>().ToDictionary(x => x.Instance));
    }

    private static Endpoint? EndpointOf(ClusterState state, AppId id, RegisteredInstance instance)
    {
        var registry = state.Store.Registry;
        if (!NodeId.TryParse(instance.Node, out var node, out _)) return null;
        var own = state.Nodes.GetValueOrDefault(node);
        if (own is { LostAt: not null } || registry.ChecksOn(instance.Node).Any(x => x.Status == CheckStatus.Critical && (x.ServiceId.Length == 0 || x.ServiceId == instance.Id))) return null;
        var address = instance.Address.Length > 0 ? instance.Address : own?.Description.Address ?? registry.Nodes.GetValueOrDefault(instance.Node)?.Address;
        return address is null ? null : new Endpoint
        {
            Instance = InstanceId.Derive($"{state.ClusterId}/{instance.Node}/{instance.Id}", id, 0), App = id, Version = Version, Node = node, Address = address, ReadyAt = Version.At,
            Ports = instance.Port == 0 ? [] : [new EndpointPort(0, instance.Port, null, 0, "tcp", null)],
        };
    }

    private static IEnumerable<EndpointChange> Difference(Shown? before, Shown? after)
    {
        if (after is null)
        {
            if (before is not null) yield return new EndpointChange.ServiceRemoved(before.Service.App);
            yield break;
        }
        if (before?.Service != after.Service) yield return new EndpointChange.ServiceSet(after.Service);
        foreach (var endpoint in after.Endpoints.Values)
            if (before?.Endpoints.GetValueOrDefault(endpoint.Instance) != endpoint) yield return new EndpointChange.EndpointSet(endpoint);
        foreach (var gone in before?.Endpoints.Keys.Where(x => !after.Endpoints.ContainsKey(x)) ?? []) yield return new EndpointChange.EndpointRemoved(after.Service.App, gone);
    }
}
