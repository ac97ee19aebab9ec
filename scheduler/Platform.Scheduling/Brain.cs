using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>One thing that reaches the brain: a command, or news of a node. Each may come late, twice or not at all but for commands.</summary>
public abstract record Input
{
    private Input() { }

    /// <param name="Ticket">Finds the caller again when the decision is made.</param>
    public sealed record Asked(long Ticket, Command Command) : Input;

    public sealed record NodeConnected(NodeDescription Node, long Session) : Input;
    public sealed record NodeDisconnected(NodeId Node, long Session) : Input;

    /// <param name="Complete">The reports are of every instance the node holds.</param>
    /// <param name="ServedRevision">The endpoint revision that every view of the node serves at least.</param>
    /// <param name="Draining">Withdrawn instances that still have requests in flight in the node's proxy.</param>
    public sealed record NodeReported(
        NodeId Node, long Session, bool Complete, EquatableArray<InstanceReport> Instances, long ServedRevision, EquatableArray<InstanceId> Draining) : Input
    {
        /// <summary>Of the volumes that are to be wiped, those whose data is gone.</summary>
        public EquatableArray<string> Wiped { get; init; }

        /// <summary>The counts of the node's proxy that have changed since its last report; all of them in a link's first.</summary>
        public EquatableArray<AppTraffic> Traffic { get; init; }
    }
}

/// <summary>One event with the states on either side of it.</summary>
public readonly record struct Folded(ClusterState Before, SchedulerEvent Event, ClusterState After);

/// <summary>What one look at the inbox comes to. Nothing of it holds until the log has it.</summary>
public sealed record Step(
    ClusterState Before,
    ClusterState After,
    ImmutableArray<Folded> Events,
    ImmutableArray<(long Ticket, Decision Decision)> Decisions,
    ImmutableHashSet<NodeId> DirtyNodes,
    ImmutableArray<EndpointChange> EndpointChanges);

/// <summary>An app whose instances wait, for <c>/v2/queue</c>.</summary>
public sealed record QueueItem(
    AppId App, Explanation Explanation, DateTimeOffset Since, int Processed, int Unused,
    DateTimeOffset? LastUnusedAt, DateTimeOffset? LastUsedAt, ImmutableSortedDictionary<NoFitReason, int> Declines);

/// <summary>
/// The scheduler's mind: pure but for the soft state it keeps between steps (who is connected, what was last reported, what waits).
/// The shell calls <see cref="Step"/>, appends the events to the log, and then <see cref="Commit"/>s; if the log refused them it
/// <see cref="Abandon"/>s, and the same facts are decided anew at the next step.
/// </summary>
public sealed class Brain(ClusterState recovered, SchedulerSettings settings, DateTimeOffset startedAt)
{
    /// <summary>How often one step lets plans lead to further plans before it hands over what it has.</summary>
    private const int RoundsMax = 16;

    private readonly NodeLinks _links = new(settings, startedAt);
    private readonly Dictionary<InstanceId, InstanceReport> _observed = [];
    private readonly HashSet<InstanceId> _dirtyInstances = [];
    private readonly HashSet<NodeId> _heard = [];
    private readonly HashSet<AppId> _dirtyApps = [.. recovered.Apps.Keys];
    private readonly HashSet<InstanceId> _draining = [.. recovered.Apps.Values.SelectMany(a => a.Instances.Values).Where(i => i is { IsStopping: true, Drained: false }).Select(i => i.Id)];
    private readonly HashSet<InstanceId> _launching = [.. recovered.Apps.Values.SelectMany(a => a.Instances.Values).Where(i => i.Phase != Phase.Running).Select(i => i.Id)];
    private readonly Dictionary<AppId, DateTimeOffset> _wakeAt = [];
    private readonly LaunchQueue _queue = new();
    private readonly TrafficMeter _traffic = new(recovered);
    private bool _deploymentsDirty = true;

    public ClusterState State { get; private set; } = recovered;
    public ImmutableSortedDictionary<AppId, QueueItem> Queue => _queue.Items;

    /// <summary>The newest health of each instance, fresher than the log, which holds only what changed.</summary>
    public ImmutableDictionary<InstanceId, EquatableArray<HealthState>> Health { get; private set; } = ImmutableDictionary<InstanceId, EquatableArray<HealthState>>.Empty;

    /// <summary>What an instance that does not run yet is waiting for, in its agent's words: the progress of a pull, a retry. Never logged.</summary>
    public ImmutableDictionary<InstanceId, string> Details { get; private set; } = ImmutableDictionary<InstanceId, string>.Empty;

    /// <summary>What was last heard of each node.</summary>
    public ImmutableDictionary<NodeId, NodeContact> Contacts => _links.Contacts;

    /// <summary>The newest answers to readiness checks, for the same reason.</summary>
    public ImmutableDictionary<InstanceId, EquatableArray<ReadinessState>> Readiness { get; private set; } =
        ImmutableDictionary<InstanceId, EquatableArray<ReadinessState>>.Empty;

    /// <summary>When to look again even if nothing comes in.</summary>
    public DateTimeOffset? NextLookAt
    {
        get
        {
            if (_deploymentsDirty || _dirtyApps.Count > 0 || _dirtyInstances.Count > 0) return DateTimeOffset.MinValue; // work left over: at once
            var times = _wakeAt.Values.Select(at => (DateTimeOffset?)at)
                .Append(_links.NextLostAt(State))
                .Concat(_draining.Select(id => State.Instance(id)?.StopAt + settings.DrainCeiling))
                .Concat(_launching.Select(id => State.Instance(id) is { } instance ? LaunchDeadline(State, instance) : null))
                .Concat(State.Deployments.Values.Select(d => d.Limit?.Until))
                .Concat(Leaving(State).Select(n => n.Drain!.Until));
            return times.Min();
        }
    }

    public Step Step(IReadOnlyList<Input> inputs, DateTimeOffset now)
    {
        var work = new Work(State);
        var decisions = ImmutableArray.CreateBuilder<(long, Decision)>();
        foreach (var input in inputs)
            if (input is Input.Asked asked) decisions.Add((asked.Ticket, Decide(work, asked.Command, now)));
            else Hear(work, input, now);
        Observe(work, now);
        Join(work, now);
        Apply(work, _links.Lost(work.State, now).Select(SchedulerEvent (n) => new SchedulerEvent.NodeLost(n) { At = now }));
        Drain(work, now);
        EndDrains(work, now);
        Overdue(work, now);
        foreach (var due in _wakeAt.Where(w => w.Value <= now).Select(w => w.Key).ToList())
        {
            _wakeAt.Remove(due);
            _dirtyApps.Add(due);
        }
        _deploymentsDirty |= work.State.Deployments.Values.Any(d => d.Limit?.Until <= now);
        for (var round = 0; round < RoundsMax && (_dirtyApps.Count > 0 || _deploymentsDirty); round++)
        {
            PlanDirtyApps(work, now);
            ProgressDeployments(work, now);
        }
        return work.ToStep(decisions.ToImmutable());
    }

    public void Commit(Step step)
    {
        State = step.After;
        foreach (var folded in step.Events)
            switch (folded.Event)
            {
                case SchedulerEvent.InstancePlaced x:
                    _launching.Add(x.Instance);
                    break;
                case SchedulerEvent.InstanceReported { Phase: Phase.Running } x:
                    _launching.Remove(x.Instance);
                    break;
                case SchedulerEvent.InstanceEnded x:
                    _observed.Remove(x.Instance);
                    _launching.Remove(x.Instance);
                    Health = Health.Remove(x.Instance);
                    Readiness = Readiness.Remove(x.Instance);
                    Details = Details.Remove(x.Instance);
                    _draining.Remove(x.Instance);
                    break;
                case SchedulerEvent.InstanceStopRequested x when folded.After.Instance(x.Instance) is { Drained: false }:
                    _draining.Add(x.Instance);
                    break;
                case SchedulerEvent.InstanceDrained x:
                    _draining.Remove(x.Instance);
                    break;
                case SchedulerEvent.DeploymentStarted x:
                    _traffic.Begin(x.Deployment);
                    break;
                case SchedulerEvent.DeploymentSucceeded x:
                    _traffic.End(x.Deployment);
                    break;
                case SchedulerEvent.DeploymentCancelled x:
                    _traffic.End(x.Deployment);
                    break;
                case SchedulerEvent.NodeRemoved x:
                    _links.Remove(x.Node);
                    break;
                case SchedulerEvent.AppTerminated x:
                    _traffic.Forget(x.App);
                    _queue.Remove(x.App);
                    _wakeAt.Remove(x.App);
                    break;
            }
    }

    /// <summary>The log did not take the step: its facts count as unseen.</summary>
    public void Abandon(Step step)
    {
        _deploymentsDirty = true;
        _dirtyInstances.UnionWith(_observed.Keys);
        _dirtyApps.UnionWith(State.Apps.Keys);
        _heard.UnionWith(_links.Forget(step.Events.Select(f => f.Event).OfType<SchedulerEvent.NodeJoined>().Select(e => e.Node.Id)));
    }

    private Decision Decide(Work work, Command command, DateTimeOffset now)
    {
        var decision = Decider.Decide(work.State, command, settings, now);
        if (decision is Decision.Accepted accepted) Apply(work, accepted.Events);
        return decision;
    }

    private void Hear(Work work, Input input, DateTimeOffset now)
    {
        switch (input)
        {
            case Input.NodeConnected x:
                _links.Connect(x, now);
                _heard.Add(x.Node.Id);
                break;
            case Input.NodeDisconnected x:
                _links.Disconnect(x, now);
                break;
            case Input.NodeReported x when _links.Report(x, now):
                _heard.Add(x.Node);
                _traffic.Take(x.Node, x.Traffic);
                foreach (var report in x.Instances)
                {
                    if (work.State.Instance(report.Id) is not { } known || known.Node != x.Node) continue;
                    _observed[report.Id] = report;
                    _dirtyInstances.Add(report.Id);
                    if (!Health.TryGetValue(report.Id, out var health) || health != report.Health) Health = Health.SetItem(report.Id, report.Health);
                    if (!report.Readiness.IsEmpty) Readiness = Readiness.SetItem(report.Id, report.Readiness);
                    Details = report.Detail is { Length: > 0 } detail ? Details.SetItem(report.Id, detail) : Details.Remove(report.Id);
                }
                if (x.Complete) Apply(work, Vanished(work.State, x, now));
                if (work.State.Nodes.TryGetValue(x.Node, out var node) && x.Wiped.Where(node.Wiping.ContainsKey).ToEquatableArray() is { IsEmpty: false } wiped)
                    Apply(work, [new SchedulerEvent.VolumesWiped(x.Node, wiped) { At = now }]);
                break;
        }
    }

    /// <summary>After the reports, so that nothing is published on the word of an old one.</summary>
    private void Join(Work work, DateTimeOffset now)
    {
        foreach (var id in _heard.Order())
            if (!work.Removed.Contains(id) && _links.Joined(work.State, id) is { } joined) Apply(work, [new SchedulerEvent.NodeJoined(joined) { At = now }]);
        _heard.Clear();
    }

    /// <summary>What once ran on the node and is not there any more, nor reported as ended: somebody removed it behind our back.</summary>
    private static IEnumerable<SchedulerEvent> Vanished(ClusterState state, Input.NodeReported report, DateTimeOffset now)
    {
        if (!state.Nodes.TryGetValue(report.Node, out var node)) return [];
        var held = report.Instances.Select(r => r.Id).ToHashSet();
        return node.Instances.Where(i => !held.Contains(i) && state.Instance(i)!.StartedAt is not null)
            .Select(SchedulerEvent (i) => new SchedulerEvent.InstanceEnded(i, new InstanceEnd(
                TerminalState.Gone, $"Node {report.Node} no longer has this task", null, false, false, now)) { At = now })
            .ToList();
    }

    private void Observe(Work work, DateTimeOffset now)
    {
        foreach (var id in _dirtyInstances)
            if (work.State.Instance(id) is { } instance && _observed.TryGetValue(id, out var report))
                Apply(work, Observations.EventsOf(instance, report, now));
        _dirtyInstances.Clear();
    }

    private void Drain(Work work, DateTimeOffset now)
    {
        foreach (var instance in _draining.Select(work.State.Instance).OfType<Instance>().ToList())
        {
            if (instance.Drained) continue;
            var late = now >= instance.StopAt + settings.DrainCeiling;
            if (late || _links.HaveLetGo(work.State, instance))
                Apply(work, [new SchedulerEvent.InstanceDrained(instance.Id, Forced: late) { At = now }]);
        }
    }

    /// <summary>A drain whose time is up stops what is left on its node, whatever the apps ask for.</summary>
    private void EndDrains(Work work, DateTimeOffset now)
    {
        foreach (var node in Leaving(work.State).Where(n => n.Drain!.Until <= now).ToList())
            Apply(work, node.Instances.Where(i => !work.State.Instance(i)!.IsStopping)
                .Select(SchedulerEvent (i) => new SchedulerEvent.InstanceStopRequested(i, StopReason.NodeDrained) { At = now }).ToList());
    }

    /// <summary>Nodes within reach that are to be empty at a certain time, and still have instances that nobody has asked to stop.</summary>
    private static IEnumerable<Node> Leaving(ClusterState state) => state.DrainingNodes == 0 ? [] : state.Nodes.Values.Where(n =>
        n is { Drain.Until: not null, LostAt: null } && n.Instances.Any(i => state.Instance(i) is { IsStopping: false }));

    /// <summary>Those that do not run in time (contract 5.7): what an agent holds is killed, what none ever knew is given up.</summary>
    private void Overdue(Work work, DateTimeOffset now)
    {
        foreach (var instance in _launching.Select(work.State.Instance).OfType<Instance>().ToList())
            if (LaunchDeadline(work.State, instance) <= now)
                Apply(work, [_observed.ContainsKey(instance.Id)
                    ? new SchedulerEvent.InstanceStopRequested(instance.Id, StopReason.NotLaunched) { At = now }
                    : new SchedulerEvent.InstanceEnded(instance.Id, new InstanceEnd(
                        TerminalState.Lost, $"Node {instance.Node} has never confirmed this task", null, false, false, now)) { At = now }]);
    }

    /// <summary>
    /// Null where none runs: it is running or to be stopped, or its node is out of reach, which has rules of its own. Only what was heard in this life
    /// of the scheduler counts, for whatever was staged before may run long since.
    /// </summary>
    private DateTimeOffset? LaunchDeadline(ClusterState state, Instance instance)
    {
        if (instance.Phase == Phase.Running || !state.IsReachable(instance)) return null;
        if (!_observed.TryGetValue(instance.Id, out var report))
            return (instance.StagedAt > startedAt ? instance.StagedAt : startedAt) + settings.TaskLaunchConfirmTimeout;
        return instance.IsStopping || report.Phase == Phase.Running || report.End is not null ? null : instance.StagedAt + settings.TaskLaunchTimeout;
    }

    private void PlanDirtyApps(Work work, DateTimeOffset now)
    {
        var dirty = _dirtyApps.Order().ToList();
        _dirtyApps.Clear();
        foreach (var id in dirty)
        {
            if (!work.State.Apps.ContainsKey(id)) continue;
            var plan = Planner.Plan(work.State, id, now);
            if (plan.NextLookAt is { } at) _wakeAt[id] = at;
            else _wakeAt.Remove(id);
            _queue.Note(plan, now);
            Apply(work, plan.Events);
            if (plan.NextLookAt <= now) _dirtyApps.Add(id);
        }
    }

    private void ProgressDeployments(Work work, DateTimeOffset now)
    {
        if (!_deploymentsDirty) return;
        _deploymentsDirty = false;
        foreach (var deployment in work.State.Deployments.Values)
        {
            if (!work.State.Deployments.ContainsKey(deployment.Id)) continue; // another's rollback has ended it
            var progress = DeploymentProgress.Next(work.State, deployment, now).ToList();
            Apply(work, progress);
            if (progress.Count == 0 && deployment.Limit?.Until <= now)
                Apply(work, Decider.GiveUp(work.State, deployment, WhyLate(work, deployment, now), settings, now));
        }
    }

    private string WhyLate(Work work, Deployment deployment, DateTimeOffset now)
    {
        var view = new ClusterView(work.State, Queue, Health, Details, Readiness, Contacts);
        var waits = DeploymentWaits.Of(view, deployment, now).Take(3).Select(w => $"{w.App}: {w.Reasons[0].Text}");
        return FormattableString.Invariant($"The deployment has not succeeded within {deployment.Limit!.Seconds:0.###} s; {string.Join("; ", waits)}");
    }

    private void Apply(Work work, IEnumerable<SchedulerEvent> events)
    {
        foreach (var e in events)
        {
            work.Fold(WithTraffic(e));
            _deploymentsDirty = true;
            MarkDirty(work, e);
        }
    }

    private SchedulerEvent WithTraffic(SchedulerEvent e) => e switch
    {
        SchedulerEvent.DeploymentSucceeded x => x with { Traffic = _traffic.Since(x.Deployment) },
        SchedulerEvent.DeploymentCancelled x => x with { Traffic = _traffic.Since(x.Deployment) },
        _ => e,
    };

    /// <summary>Events only say what to look at again; every decision reads the whole state.</summary>
    private void MarkDirty(Work work, SchedulerEvent e)
    {
        switch (e)
        {
            case SchedulerEvent.DeploymentStarted x:
                _dirtyApps.UnionWith(x.Set.Select(d => d.Id).Concat(x.Removed));
                break;
            case SchedulerEvent.DeploymentStepStarted x when work.State.Deployments.TryGetValue(x.Deployment, out var d):
                _dirtyApps.UnionWith(d.Affected);
                break;
            case SchedulerEvent.DeploymentSucceeded x when work.LastBefore.Deployments.TryGetValue(x.Deployment, out var d):
                _dirtyApps.UnionWith(d.Affected);
                break;
            case SchedulerEvent.DeploymentCancelled x when work.LastBefore.Deployments.TryGetValue(x.Deployment, out var d):
                _dirtyApps.UnionWith(d.Affected);
                break;
            case SchedulerEvent.InstanceEnded:
            case SchedulerEvent.ReservationReleased:
            case SchedulerEvent.VolumesWiped:
            case SchedulerEvent.NodeJoined:
            case SchedulerEvent.NodeResumed:
                _dirtyApps.UnionWith(_queue.Items.Keys); // room has come free
                break;
            case SchedulerEvent.LaunchDelayReset x:
                _dirtyApps.Add(x.App);
                break;
        }
        _dirtyApps.UnionWith(work.AppsOf(e));
    }

    /// <summary>The state while one step works on it, and what it has come to so far.</summary>
    private sealed class Work(ClusterState start)
    {
        private readonly ImmutableArray<Folded>.Builder _events = ImmutableArray.CreateBuilder<Folded>();
        private readonly ImmutableArray<EndpointChange>.Builder _changes = ImmutableArray.CreateBuilder<EndpointChange>();
        private readonly HashSet<NodeId> _dirtyNodes = [];

        public ClusterState Start { get; } = start;
        public ClusterState State { get; private set; } = start;
        public ClusterState LastBefore { get; private set; } = start;

        /// <summary>Nodes that a decision of this step has removed: what was heard of them just before is no reason to join them again.</summary>
        public HashSet<NodeId> Removed { get; } = [];

        public void Fold(SchedulerEvent e)
        {
            LastBefore = State;
            State = State.Fold(e);
            _events.Add(new Folded(LastBefore, e, State));
            _changes.AddRange(Projections.Changes(LastBefore, e, State));
            if (e is SchedulerEvent.NodeRemoved removed) Removed.Add(removed.Node);
            if (NodeOf(e) is { } node) _dirtyNodes.Add(node);
            _dirtyNodes.UnionWith(NodesAskedOtherwise(e));
        }

        public IEnumerable<AppId> AppsOf(SchedulerEvent e) => e switch
        {
            SchedulerEvent.InstancePlaced x => [x.App],
            SchedulerEvent.InstanceReported x when LastBefore.Instance(x.Instance)?.ReadyAt is null != State.Instance(x.Instance)?.ReadyAt is null
                || LastBefore.Instance(x.Instance)?.AwaitsReadiness != State.Instance(x.Instance)?.AwaitsReadiness => OwnerOf(x.Instance),
            SchedulerEvent.InstanceStopRequested x => OwnerOf(x.Instance),
            SchedulerEvent.InstanceEnded x => OwnerOf(x.Instance),
            SchedulerEvent.ReservationReleased x => [x.App],
            SchedulerEvent.NodeJoined x => State.Nodes[x.Node.Id].Instances.Select(i => State.Owners[i]),
            SchedulerEvent.NodeLost x => State.Nodes[x.Node].Instances.Select(i => State.Owners[i]),
            SchedulerEvent.NodeDrainStarted x => State.Nodes[x.Node].Instances.Select(i => State.Owners[i]),
            SchedulerEvent.NodeResumed x => State.Nodes[x.Node].Instances.Select(i => State.Owners[i]),
            _ => [],
        };

        public Step ToStep(ImmutableArray<(long, Decision)> decisions) =>
            new(Start, State, _events.ToImmutable(), decisions, [.. _dirtyNodes], _changes.ToImmutable());

        private IEnumerable<AppId> OwnerOf(InstanceId id) => LastBefore.Owners.TryGetValue(id, out var app) ? [app] : [];

        /// <summary>A deployment that begins or ends changes whom the nodes ask for readiness.</summary>
        private IEnumerable<NodeId> NodesAskedOtherwise(SchedulerEvent e)
        {
            var affected = e switch
            {
                SchedulerEvent.DeploymentStarted x => x.Deployment.Affected,
                SchedulerEvent.DeploymentSucceeded x when LastBefore.Deployments.TryGetValue(x.Deployment, out var d) => d.Affected,
                SchedulerEvent.DeploymentCancelled x when LastBefore.Deployments.TryGetValue(x.Deployment, out var d) => d.Affected,
                _ => [],
            };
            return affected.Where(State.Apps.ContainsKey).SelectMany(id => State.Apps[id].Instances.Values).Where(i => i.AwaitsReadiness).Select(i => i.Node);
        }

        private NodeId? NodeOf(SchedulerEvent e) => e switch
        {
            SchedulerEvent.InstancePlaced x => x.Node,
            SchedulerEvent.InstanceStopRequested x => State.Instance(x.Instance)?.Node,
            SchedulerEvent.InstanceDrained x => State.Instance(x.Instance)?.Node,
            SchedulerEvent.InstanceReported x when State.Instance(x.Instance) is { } i
                && LastBefore.Instance(x.Instance)?.AwaitsReadiness != i.AwaitsReadiness => i.Node,
            SchedulerEvent.InstanceEnded x => LastBefore.Instance(x.Instance)?.Node,
            SchedulerEvent.ReservationReleased x => LastBefore.Apps.GetValueOrDefault(x.App)?.ReservationOf(x.Instance)?.Node,
            SchedulerEvent.VolumesWiped x => x.Node,
            SchedulerEvent.NodeJoined x => x.Node.Id,
            SchedulerEvent.NodeRemoved x => x.Node,
            _ => null,
        };
    }
}

/// <summary>A report against what the log knows: only what differs becomes an event.</summary>
internal static class Observations
{
    public static IEnumerable<SchedulerEvent> EventsOf(Instance instance, InstanceReport report, DateTimeOffset now)
    {
        if (report.End is { } end)
            return [new SchedulerEvent.InstanceEnded(instance.Id, end) { At = now }];
        if (report.Phase < instance.Phase) return []; // it is late, or of a container made anew: it turns nothing back
        var same = report.Phase == instance.Phase
            && report.StartedAt == instance.StartedAt
            && report.ContainerAddress == instance.ContainerAddress
            && report.Ending == instance.Ending
            && SameVerdicts(instance.Health, report.Health)
            && SameAnswers(instance, report.Readiness);
        return same ? [] : [new SchedulerEvent.InstanceReported(instance.Id, report.Phase, report.StartedAt, report.ContainerAddress, report.Health)
        {
            At = now, Readiness = report.Readiness, Ending = report.Ending,
        }];
    }

    /// <summary>
    /// What was answered changes with every question; only whether it was the right answer matters to the log, and only while somebody waits for it.
    /// </summary>
    private static bool SameAnswers(Instance instance, EquatableArray<ReadinessState> now) =>
        now.IsEmpty || !instance.AwaitsReadiness || instance.Readiness.Select(r => r.Ready).SequenceEqual(now.Select(r => r.Ready));

    private static bool SameVerdicts(EquatableArray<HealthState> old, EquatableArray<HealthState> now) =>
        old.Count == now.Count && old.Zip(now).All(p =>
            p.First.Alive == p.Second.Alive && p.First.Seen == p.Second.Seen && p.First.ConsecutiveFailures == p.Second.ConsecutiveFailures);
}

/// <summary>Whether a deployment's step is done, and what follows (contract 5.2).</summary>
internal static class DeploymentProgress
{
    public static IEnumerable<SchedulerEvent> Next(ClusterState state, Deployment deployment, DateTimeOffset now)
    {
        if (deployment.CurrentStep == 0) return [new SchedulerEvent.DeploymentStepStarted(deployment.Id, 1) { At = now }];
        if (!deployment.CurrentActions.Items.All(a => IsDone(state, a))) return [];
        var done = new SchedulerEvent.DeploymentStepSucceeded(deployment.Id, deployment.CurrentStep) { At = now };
        return deployment.CurrentStep < deployment.Steps.Count
            ? [done, new SchedulerEvent.DeploymentStepStarted(deployment.Id, deployment.CurrentStep + 1) { At = now }]
            : [done, new SchedulerEvent.DeploymentSucceeded(deployment.Id) { At = now }];
    }

    public static bool IsDone(ClusterState state, DeploymentAction action)
    {
        if (action.Action == DeploymentActionKind.StartApplication || !state.Apps.TryGetValue(action.App, out var app)) return true;
        if (app.Removing || action.Action == DeploymentActionKind.StopApplication) return false; // done when the app is gone
        if (app.Instances.Count < app.Definition.Instances) return false;
        var done = 0;
        foreach (var instance in app.Instances.Values)
        {
            var isDone = !instance.IsStopping && app.IsCurrent(instance) && app.IsReady(instance) && !instance.AwaitsReadiness;
            if (!state.IsReachable(instance)) continue; // on a lost node it is nobody's surplus: it may never come back
            if (!isDone) return false;
            done++;
        }
        return done == app.Definition.Instances;
    }
}
