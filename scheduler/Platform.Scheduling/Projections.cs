using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What follows from the state for others: nodes' desired state, and the endpoint table's changes.</summary>
public static class Projections
{
    /// <summary>The instances a node shall hold, and what is wanted of each. One that is stopping stays wanted until it is drained.</summary>
    public static IEnumerable<(Instance Instance, Goal Goal)> WantedOn(ClusterState state, NodeId id) =>
        state.Nodes.TryGetValue(id, out var node)
            ? node.Instances.Select(i => state.Instance(i)!).Select(i => (i, i is { IsStopping: true, Drained: true } ? Goal.Stop : Goal.Run))
            : [];

    public static Assignment AssignmentOf(ClusterState state, Instance instance, Goal goal, Func<Instance, AppDefinition, EquatableMap> environment)
    {
        var definition = state.Apps[instance.App].DefinitionOf(instance);
        return new Assignment(instance.Id, instance.Serial, goal, definition, instance.HostPorts, environment(instance, definition))
        {
            Volumes = state.Apps[instance.App].ReservationOf(instance.Id)?.Volumes ?? default,
            AwaitsReadiness = state.IsAskedForReadiness(instance),
        };
    }

    /// <summary>The volumes, by uuid, whose data the node is to delete.</summary>
    public static IEnumerable<string> WipedOn(ClusterState state, NodeId id) => state.Nodes.TryGetValue(id, out var node) ? node.Wiping.Keys : [];

    /// <summary>The complete desired state of a node.</summary>
    public static IEnumerable<Assignment> DesiredOf(ClusterState state, NodeId id, Func<Instance, AppDefinition, EquatableMap> environment) =>
        WantedOn(state, id).Select(w => AssignmentOf(state, w.Instance, w.Goal, environment));

    /// <summary>The instance as the endpoint table shows it; null while it is not to be reached.</summary>
    public static Endpoint? EndpointOf(ClusterState state, Instance? instance)
    {
        if (instance?.ReadyAt is not { } readyAt || !IsPublished(state, instance)) return null;
        var definition = state.Apps[instance.App].DefinitionOf(instance);
        return new Endpoint
        {
            Instance = instance.Id,
            App = instance.App,
            Version = instance.Version,
            Node = instance.Node,
            Address = state.Nodes[instance.Node].Description.Address,
            ContainerAddress = instance.ContainerAddress,
            ReadyAt = readyAt,
            Ports = definition.Ports
                .Select(p => new EndpointPort(p.Index, instance.HostPorts[p.Index], p.ContainerPort, p.ServicePort, p.Protocol, p.Name))
                .ToEquatableArray(),
        };
    }

    public static bool IsPublished(ClusterState state, Instance instance) =>
        instance is { Goal: Goal.Run, ReadyAt: not null } && state.IsReachable(instance);

    public static Service ServiceOf(AppDefinition app) => new()
    {
        App = app.Id,
        Version = app.Version,
        Labels = app.Labels,
        // Under requirePorts the number is the task's own host port: a proxy that listened on it would keep the task from starting.
        Ports = app.Ports.Select(p => new ServicePort(p.Index, app is { Network: NetworkMode.Host, RequirePorts: true } ? 0 : p.ServicePort, p.Protocol, p.Name, HasHttpCheck(app, p.Index), p.Labels)).ToEquatableArray(),
    };

    /// <summary>The whole table, for a scheduler that has just read its log.</summary>
    public static EndpointUpdate Complete(ClusterState state)
    {
        var changes = state.Nodes.Values.Select(EndpointChange (n) => new EndpointChange.NodeSet(new NodeAddress(n.Description.Id, n.Description.Address))).ToList();
        foreach (var app in state.Apps.Values)
        {
            changes.Add(new EndpointChange.ServiceSet(ServiceOf(app.Definition)));
            changes.AddRange(app.Instances.Values.Select(i => EndpointOf(state, i)).OfType<Endpoint>().Select(e => new EndpointChange.EndpointSet(e)));
        }
        return new EndpointUpdate(state.ClusterId, 0, state.Revision, true, changes.ToEquatableArray());
    }

    /// <summary>The table's changes that one event makes: as many as the event touches, however large the table is.</summary>
    public static IEnumerable<EndpointChange> Changes(ClusterState before, SchedulerEvent e, ClusterState after) => e switch
    {
        SchedulerEvent.DeploymentStarted x => x.Set.Select(EndpointChange (d) => new EndpointChange.ServiceSet(ServiceOf(d))),
        SchedulerEvent.AppTerminated x => [new EndpointChange.ServiceRemoved(x.App)],
        SchedulerEvent.InstanceReported x => Difference(before, x.Instance, after),
        SchedulerEvent.InstanceStopRequested x => Difference(before, x.Instance, after),
        SchedulerEvent.InstanceEnded x => Difference(before, x.Instance, after),
        SchedulerEvent.NodeJoined x => OfNode(before, x.Node.Id, after)
            .Prepend(new EndpointChange.NodeSet(new NodeAddress(x.Node.Id, x.Node.Address))),
        SchedulerEvent.NodeLost x => OfNode(before, x.Node, after),
        SchedulerEvent.NodeRemoved x => [new EndpointChange.NodeRemoved(x.Node)],
        _ => [],
    };

    private static IEnumerable<EndpointChange> OfNode(ClusterState before, NodeId node, ClusterState after) =>
        after.Nodes[node].Instances.SelectMany(i => Difference(before, i, after));

    private static IEnumerable<EndpointChange> Difference(ClusterState before, InstanceId id, ClusterState after)
    {
        var old = EndpointOf(before, before.Instance(id));
        var now = EndpointOf(after, after.Instance(id));
        if (old == now) yield break;
        yield return now is not null ? new EndpointChange.EndpointSet(now) : new EndpointChange.EndpointRemoved(old!.App, id);
    }

    private static bool HasHttpCheck(AppDefinition app, int port) => app.HealthChecks.Any(c => c.PortIndex == port && c.Protocol
        is HealthCheckProtocol.Http or HealthCheckProtocol.Https or HealthCheckProtocol.MesosHttp or HealthCheckProtocol.MesosHttps);
}
