using Platform.Agent.Core;
using Platform.Discovery;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>What the platform promises, checked by other means than those by which it is kept, while it happens.</summary>
internal sealed class Checks(World world)
{
    private sealed record Expectation(AppVersion? Version)
    {
        /// <summary>Something was asked since that may remove the app, or make it again.</summary>
        public bool MayGo { get; set; }
        public bool MayCome { get; set; }
    }

    private readonly Dictionary<InstanceId, NodeId> _made = [];
    private readonly Dictionary<string, NodeId> _volumes = [];
    private readonly HashSet<string> _wiped = [];
    private readonly Dictionary<long, EndpointSnapshot> _tables = [];
    private readonly Dictionary<NodeId, DateTimeOffset> _joinedAt = [];
    private readonly HashSet<InstanceId> _forced = [];
    private readonly Dictionary<AppId, Expectation> _expected = [];
    private ClusterState _state = ClusterState.Empty;

    public void Recovered(ClusterState state)
    {
        _state = state;
        foreach (var app in _expected.Keys) CheckAcknowledged(app);
        if (world.IsAboutStore) world.StoreChecks.Recovered(state.Store);
    }

    /// <summary>The log has it, whether or not its writer lives to know.</summary>
    public void Logged(Step step)
    {
        world.StoreChecks.Logged(step);
        foreach (var e in step.Events.Select(f => f.Event))
            if (e is SchedulerEvent.InstanceDrained { Forced: true } drained) _forced.Add(drained.Instance);
            else if (e is SchedulerEvent.NodeJoined joined) _joinedAt[joined.Node.Id] = joined.At;
    }

    public void Committed(Step step)
    {
        _state = step.After;
        world.StoreChecks.Committed(step);
        var apps = new HashSet<AppId>();
        foreach (var folded in step.Events)
        {
            if (!world.IsLarge) DeploymentChecks.Check(folded);
            switch (folded.Event)
            {
                case SchedulerEvent.InstancePlaced x: apps.Add(x.App); break;
                case SchedulerEvent.DeploymentStarted x: apps.UnionWith(x.Set.Select(d => d.Id)); break;
                default: break;
            }
        }
        if (!world.IsLarge && world.Scheduler.Brain!.NextLookAt != DateTimeOffset.MinValue) DeploymentChecks.CheckIdle(_state);
        foreach (var node in step.DirtyNodes) CheckNode(node);
        foreach (var app in apps) CheckConstraints(app);
        foreach (var change in step.EndpointChanges.OfType<EndpointChange.EndpointSet>()) CheckReady(change.Endpoint);
        foreach (var app in _expected.Keys) CheckAcknowledged(app);
    }

    /// <summary>The scheduler's table at this revision is what every replica at this revision must hold.</summary>
    public void Published(EndpointSnapshot table)
    {
        if (world.IsLarge) return;
        Same(Projected(_state), table, "the scheduler's endpoint table is not what its state says");
        _tables[table.Revision] = table;
    }

    public void Replicated(NodeId node, EndpointSnapshot table)
    {
        if (_tables.TryGetValue(table.Revision, out var original)) Same(original, table, $"the endpoint table of {node} differs from the scheduler's at revision {table.Revision}");
    }

    /// <summary>A container is made.</summary>
    public void Made(InstanceId instance, NodeId node) =>
        Promise(_made.TryAdd(instance, node), $"a second container is made for {instance}, on {node} after {_made.GetValueOrDefault(instance)}", instance.Text);

    public void NeverSeen(InstanceId instance) => _made.Remove(instance);

    public void Runs(SimulatedNode node, SimulatedContainer container)
    {
        // Those the scheduler gave up while their node was lost are let go as soon as the node hears of it; nobody can promise for them.
        var running = node.Engine.Containers.Values.Where(c => c.State == ContainerState.Running && _state.Instance(c.Id) is not null).ToList();
        var used = running.Aggregate(default(Resources), (sum, c) => sum + c.Assignment.App.Resources);
        var total = node.Description.Total;
        Promise(used.Cpus <= total.Cpus && used.MemMib <= total.MemMib, $"{node.Id} runs more than it has: {used} of {total}", node.Id.Name);
        foreach (var volume in container.Assignment.Volumes) CheckVolume(node, container, volume.Uuid);
        Promise(container.Assignment.HostPorts.All(p => running.Count(c => c.Assignment.HostPorts.Contains(p)) <= 1), $"a port of {container.Id} runs twice on {node.Id}", node.Id.Name);
    }

    /// <summary>A volume's data is deleted.</summary>
    public void Wipes(SimulatedNode node, string volume)
    {
        _wiped.Add(volume);
        Promise(_volumes.GetValueOrDefault(volume, node.Id) == node.Id, $"{volume} is wiped on {node.Id} and is elsewhere", volume);
        Promise(!node.Engine.Containers.Values.Any(c => Uses(c, volume)), $"{volume} is wiped under a task that runs", volume);
    }

    /// <summary>Data is in one place for ever, is used by one task at a time, and by none once it is wiped.</summary>
    private void CheckVolume(SimulatedNode node, SimulatedContainer container, string volume)
    {
        _volumes.TryAdd(volume, node.Id);
        Promise(_volumes[volume] == node.Id, $"{volume} of {container.Id} is on {node.Id} and on {_volumes[volume]}", volume);
        Promise(!_wiped.Contains(volume), $"{container.Id} runs on {volume}, which was wiped", volume);
        var users = world.Nodes.SelectMany(n => n.Engine.Containers.Values).Count(c => Uses(c, volume));
        Promise(users == 1, $"{users} tasks run on {volume}", volume);
    }

    private static bool Uses(SimulatedContainer container, string volume) =>
        container.State == ContainerState.Running && container.Assignment.Volumes.Any(v => v.Uuid == volume);

    /// <summary>A container gets its SIGTERM or SIGKILL.</summary>
    public void Stopping(SimulatedNode node, SimulatedContainer container)
    {
        if (_state.Instance(container.Id) is not { } instance || instance.Node != node.Id) return; // given up while its node was lost
        var check = container.Assignment.App.HealthChecks.Items.FirstOrDefault();
        if (check is { MaxConsecutiveFailures: > 0 } && container.FailedInARow > check.MaxConsecutiveFailures) return; // killed for its health
        Promise(instance.IsStopping, $"{container.Id} is stopped although it shall run", container.Id.Text);
        if (_forced.Contains(container.Id)) return;
        foreach (var other in world.Nodes)
        {
            if (other.InFlightTo(container.Id) == 0) continue;
            if (!_state.Nodes.TryGetValue(other.Id, out var known) || known.LostAt is not null || _joinedAt[other.Id] > instance.StopAt) continue; // lost on the way
            Promise(false, $"{container.Id} is stopped while {other.Id} has {other.InFlightTo(container.Id)} requests in flight to it", container.Id.Text);
        }
    }

    public void Asked(AppId app, bool mayRemove, bool mayMake)
    {
        if (_expected.TryGetValue(app, out var expected)) (expected.MayGo, expected.MayCome) = (expected.MayGo || mayRemove, expected.MayCome || mayMake);
    }

    /// <summary>A rollback is asked for, which may make the app anything it was.</summary>
    public void MayChange(AppId app) => _expected.Remove(app);

    public void Acknowledged(AppId app, AppVersion? version) => _expected[app] = new Expectation(version);

    private void CheckAcknowledged(AppId id)
    {
        var expected = _expected[id];
        var version = _state.App(id)?.Definition.Version;
        if (expected.Version is { } acknowledged)
            Promise(version is null ? expected.MayGo : version >= acknowledged, $"{id} was acknowledged at {acknowledged} and is {version?.ToString() ?? "gone"}", id.Path);
        else
            Promise(version is null || expected.MayCome, $"{id} was acknowledged as deleted and is back", id.Path);
    }

    private void CheckNode(NodeId id)
    {
        if (!_state.Nodes.TryGetValue(id, out var node)) return;
        var held = node.Instances.Select(i => _state.Instance(i)!).ToList();
        var reserved = _state.Apps.Values.SelectMany(a => a.Reservations.Values).Where(r => r.Node == id).Aggregate(default(Resources), (sum, r) => sum + r.Resources);
        var used = held.Where(i => _state.Apps[i.App].ReservationOf(i.Id) is null).Aggregate(reserved, (sum, i) => sum + i.Resources)
            + new Resources(0, 0, node.Wiping.Values.Sum());
        var total = node.Description.Total;
        Promise(used == node.Used, $"{id} counts {node.Used} as used, and is promised {used}", id.Name);
        Promise(used.Cpus <= total.Cpus && used.MemMib <= total.MemMib && used.DiskMib <= total.DiskMib, $"{id} is promised {used} of {total}", id.Name);
        var ports = held.SelectMany(i => i.HostPorts.Items).Where(p => p > 0).ToList();
        Promise(ports.Count == ports.Distinct().Count(), $"{id} is promised a port twice: {string.Join(' ', ports.Order())}", id.Name);
    }

    private void CheckConstraints(AppId id)
    {
        if (!_state.Apps.TryGetValue(id, out var app)) return;
        var live = app.Instances.Values.Where(i => !i.IsStopping).ToList();
        if (id == Workload.Unique)
            Promise(live.Count == live.Select(i => i.Node).Distinct().Count(), $"{id} has two instances on one node", id.Path);
        if (id == Workload.TwoARack)
            Promise(live.CountBy(i => _state.Nodes[i.Node].Description.Attributes["rack"]).All(c => c.Value <= 2), $"{id} has three instances in one rack", id.Path);
    }

    private void CheckReady(Endpoint endpoint)
    {
        if (world.IsLarge) return;
        var container = world.Nodes.First(n => n.Id == endpoint.Node).Engine.Containers.GetValueOrDefault(endpoint.Instance);
        if (container is null) return; // it has just gone, and the news is on its way
        Promise(container.Assignment.App.HealthChecks.IsEmpty || container.WasReady, $"{endpoint.Instance} is published and was never ready", endpoint.Instance.Text);
    }

    /// <summary>Long after the last fault: what is wanted is, and nothing else.</summary>
    public void Converged()
    {
        Promise(world.Scheduler.IsAlive, "the scheduler is down", "scheduler");
        var state = world.Scheduler.State;
        foreach (var (id, app) in state.Apps)
        {
            Promise(!app.Removing, $"{id} is still being removed", id.Path);
            var ready = app.Instances.Values.Count(i => !i.IsStopping && app.IsReady(i) && state.IsReachable(i));
            Promise(ready == app.Instances.Count, $"{id} has {app.Instances.Count} instances, {ready} of them ready", id.Path);
            var short_ = app.Definition.Instances - ready;
            if (short_ == 0 || IsHeld(state, id)) continue;
            Promise(short_ > 0 || Blocked(state, app), $"{id} has {ready} instances instead of {app.Definition.Instances}", id.Path);
            Promise(Blocked(state, app), $"{id} has {ready} of {app.Definition.Instances} instances, and a node could take one more; {Why(id)}", id.Path);
        }
        foreach (var deployment in state.Deployments.Values)
            Promise(deployment.Affected.Any(a => state.Apps.TryGetValue(a, out var app) && Blocked(state, app)), $"deployment {deployment.Id} of {string.Join(' ', deployment.Affected)} does not finish", deployment.Id);
        foreach (var node in world.Nodes) CheckTruth(state, node);
        Promise(state.Nodes.Values.All(n => n.Wiping.IsEmpty), "volumes are still to be wiped", "volumes");
    }

    private void CheckTruth(ClusterState state, SimulatedNode node)
    {
        Promise(state.Nodes.TryGetValue(node.Id, out var known) && known.LostAt is null, $"{node.Id} has not come back", node.Id.Name);
        var there = node.Engine.Containers.Values.ToDictionary(c => c.Id, c => c.State);
        foreach (var wanted in known!.Instances) Promise(there.GetValueOrDefault(wanted) == ContainerState.Running, $"{wanted} does not run on {node.Id}", wanted.Text);
        foreach (var left in there.Keys.Where(i => !known.Instances.Contains(i))) Promise(false, $"{left} is left over on {node.Id}, {there[left]}", left.Text);
        if (world.IsLarge) return;
        Promise(node.Served is not null, $"the proxy of {node.Id} serves nothing", node.Id.Name);
        Same(world.Scheduler.Table.Current, node.Served!, $"the proxy of {node.Id} does not serve the scheduler's table");
    }

    public void Quiet(long revision, long actions)
    {
        Promise(world.Log.Revision == revision, $"{world.Log.Revision - revision} events in a minute in which nothing was asked", "log");
        Promise(world.Actions == actions, $"{world.Actions - actions} actions of agents in a minute in which nothing was asked", "acts");
    }

    private string Why(AppId app) => world.Scheduler.Brain!.Queue.GetValueOrDefault(app)?.Explanation.ToString() ?? "nothing waits";

    /// <summary>Waits behind an earlier step of its deployment.</summary>
    private static bool IsHeld(ClusterState state, AppId app) => state.DeploymentsOf(app).Any(d => d.IsHeld(app));

    /// <summary>By an oracle of its own: no node could take one more.</summary>
    private static bool Blocked(ClusterState state, AppState app)
    {
        var id = app.Definition.Id;
        var live = app.Instances.Values.Where(i => !i.IsStopping).ToList();
        var kept = app.Reservations.Values.Where(r => !r.Condemned).ToList();
        if (kept.Any(r => r.IsIdle && state.Nodes[r.Node] is var n && n.Description.TaskPortMax - n.Description.TaskPortMin + 1 - n.UsedPorts.Count >= app.Definition.Ports.Count)) return false;
        if (app.Definition.IsResident && kept.Count >= app.Definition.Instances) return app.Definition.Instances > 0;
        return app.Definition.Instances > 0 && !state.Nodes.Values.Any(n =>
            n.Description.Total.Cpus - n.Used.Cpus >= app.Definition.Resources.Cpus - 1e-9
            && n.Description.Total.MemMib - n.Used.MemMib >= app.Definition.Resources.MemMib
            && n.Description.Total.DiskMib - n.Used.DiskMib >= app.Definition.Footprint.DiskMib
            && n.Description.TaskPortMax - n.Description.TaskPortMin + 1 - n.UsedPorts.Count >= app.Definition.Ports.Count
            && (id != Workload.Unique || live.All(i => i.Node != n.Description.Id))
            && (id != Workload.TwoARack || live.Count(i => Rack(state, i.Node) == Rack(state, n.Description.Id)) < 2)
            && (app.Definition.Constraints.All(c => c.Operator != ConstraintOperator.GroupBy) || FitsGroup(state, live, n.Description.Id)));
    }

    private static bool FitsGroup(ClusterState state, List<Instance> live, NodeId node)
    {
        var mine = live.Count(i => Rack(state, i.Node) == Rack(state, node));
        return mine == 0 || mine <= live.Count - mine;
    }

    private static string Rack(ClusterState state, NodeId node) => state.Nodes[node].Description.Attributes["rack"];

    private static EndpointSnapshot Projected(ClusterState state)
    {
        var table = new EndpointTable();
        table.Apply(Projections.Complete(state));
        return table.Current;
    }

    private static void Same(EndpointSnapshot expected, EndpointSnapshot actual, string promise)
    {
        foreach (var app in expected.Services.Keys.Union(actual.Services.Keys))
        {
            var (e, a) = (expected.Services.GetValueOrDefault(app), actual.Services.GetValueOrDefault(app));
            Promise(e is not null && a is not null && e.Service == a.Service && e.Endpoints.SequenceEqual(a.Endpoints) && e.Starting.SequenceEqual(a.Starting), $"{promise}, for {app}", app.Path);
        }
        Promise(expected.Nodes.SequenceEqual(actual.Nodes), $"{promise}, for the nodes", "node");
    }

    private static void Promise(bool kept, string promise, string key)
    {
        if (!kept) throw new PromiseBrokenException(promise, key);
    }
}
