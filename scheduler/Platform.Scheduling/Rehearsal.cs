using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What a change would do, had it been made just now.</summary>
/// <param name="InTheWay">Deployments that a real change would have to override.</param>
/// <param name="VersionBefore">Of the app or group that would be written; null if it does not exist.</param>
/// <param name="Complete">False where the change waits for something, or is too long to be gone through to its end.</param>
public sealed record Rehearsed(
    Deployment Deployment, EquatableArray<string> InTheWay, AppVersion? VersionBefore, EquatableArray<AppRehearsed> Apps,
    EquatableArray<GroupDefinition> SetGroups, EquatableArray<AppId> RemovedGroups, bool Complete);

/// <summary>One app's part of it.</summary>
/// <param name="Before">Null: the change creates it.</param>
/// <param name="After">Null: the change removes it.</param>
/// <param name="HealthyBefore">Instances that serve now.</param>
/// <param name="HealthyLeast">The fewest that serve at any moment on the way.</param>
/// <param name="Placed">The instances that would be started, with their nodes and ports.</param>
/// <param name="Stopped">Instances of today that would be stopped.</param>
/// <param name="Waiting">What would not find a place, and why.</param>
public sealed record AppRehearsed(
    AppId App, AppDefinition? Before, AppDefinition? After, EquatableArray<AppDifference> Differences, int HealthyBefore, int HealthyLeast,
    EquatableArray<SchedulerEvent.InstancePlaced> Placed, EquatableArray<InstanceId> Stopped, Explanation? Waiting);

/// <summary>
/// Goes through an accepted change on a copy of the state: the planner, rollout and placement that would do it for real take their steps, and nodes
/// are taken to do at once as they are told. An instance that is placed becomes ready, one that is stopped ends. What runs and is not healthy stays so.
/// </summary>
public sealed class Rehearsal
{
    public const int RoundsMax = 1_000;
    public const int EventsMax = 10_000;

    /// <summary>Kill order and placement grow with the square of the instances: the sum of those squares over all plans.</summary>
    private const long WorkMax = 100_000_000;

    private readonly Deployment _deployment;
    private readonly ClusterState _before;
    private readonly DateTimeOffset _now;
    private readonly SortedDictionary<AppId, int> _least = [];
    private readonly Dictionary<AppId, Explanation> _waiting = [];
    private readonly List<SchedulerEvent.InstancePlaced> _placed = [];
    private readonly List<InstanceId> _stopped = [];
    private ClusterState _state;
    private int _events;
    private long _work;

    private Rehearsal(ClusterState before, ClusterState started, Deployment deployment, DateTimeOffset now) =>
        (_before, _state, _deployment, _now) = (before, started, deployment, now);

    /// <param name="accepted">A decision on <paramref name="state"/> that makes a deployment.</param>
    public static Rehearsed Of(ClusterState state, Decision.Accepted accepted, DateTimeOffset now)
    {
        var start = accepted.Events.Items.OfType<SchedulerEvent.DeploymentStarted>().Single();
        var rehearsal = new Rehearsal(state, accepted.Events.Items.Aggregate(state, (s, e) => s.Fold(e)), start.Deployment, now);
        var complete = rehearsal.Run();
        var apps = start.Set.Select(d => d.Id).Concat(start.Removed).Distinct().Order().Select(rehearsal.Describe).ToEquatableArray();
        var inTheWay = accepted.Events.Items.OfType<SchedulerEvent.DeploymentCancelled>().Select(e => e.Deployment).ToEquatableArray();
        return new Rehearsed(start.Deployment, inTheWay, accepted.Reply.VersionBefore, apps, start.SetGroups, start.RemovedGroups, complete);
    }

    private bool Run()
    {
        var apps = _deployment.Affected.Order().ToList();
        foreach (var id in apps) _least[id] = HealthyIn(_before, id);
        for (var round = 0; round < RoundsMax && _state.Deployments.ContainsKey(_deployment.Id); round++)
        {
            var revision = _state.Revision;
            foreach (var id in apps)
            {
                if (!Plan(id)) return false;
                _least[id] = Math.Min(_least[id], HealthyIn(_state, id));
            }
            if (_state.Deployments.TryGetValue(_deployment.Id, out var deployment)) Fold(DeploymentProgress.Next(_state, deployment, _now));
            foreach (var id in apps) Obey(id);
            if (_state.Revision == revision) return false; // it waits
        }
        return !_state.Deployments.ContainsKey(_deployment.Id);
    }

    /// <summary>False when there has been enough of it.</summary>
    private bool Plan(AppId id)
    {
        if (!_state.Apps.TryGetValue(id, out var app)) return true;
        var size = Math.Max(app.Instances.Count, app.Definition.Instances) + 1L;
        _work += size * size + size * _state.Nodes.Count;
        if (_work > WorkMax || _events > EventsMax) return false;
        var plan = Planner.Plan(_state, id, _now);
        if (plan.Waiting is { } waiting) _waiting[id] = waiting;
        else _waiting.Remove(id);
        _placed.AddRange(plan.Events.Items.OfType<SchedulerEvent.InstancePlaced>());
        _stopped.AddRange(plan.Events.Items.OfType<SchedulerEvent.InstanceStopRequested>().Select(e => e.Instance));
        Fold(plan.Events);
        return true;
    }

    /// <summary>The nodes' part. One that is just starting today will be ready like those that are placed.</summary>
    private void Obey(AppId id)
    {
        if (!_state.Apps.TryGetValue(id, out var app)) return;
        foreach (var instance in app.Instances.Values)
            if (instance.IsStopping)
                Fold([new SchedulerEvent.InstanceEnded(instance.Id, new InstanceEnd(TerminalState.Killed, "", null, false, false, _now)) { At = _now }]);
            else if (instance.Phase < Phase.Running && _state.IsReachable(instance))
                Fold([new SchedulerEvent.InstanceReported(instance.Id, Phase.Running, _now, null, Healthy(app.DefinitionOf(instance))) { At = _now }]);
    }

    private EquatableArray<HealthState> Healthy(AppDefinition app) =>
        Enumerable.Repeat(new HealthState { FirstSuccessAt = _now, LastSuccessAt = _now, Seen = true }, app.HealthChecks.Count).ToEquatableArray();

    private void Fold(IEnumerable<SchedulerEvent> events)
    {
        foreach (var e in events)
        {
            _state = _state.Fold(e);
            _events++;
        }
    }

    private static int HealthyIn(ClusterState state, AppId id) =>
        state.Apps.TryGetValue(id, out var app) ? app.Instances.Values.Count(i => !i.IsStopping && app.IsReady(i) && state.IsReachable(i)) : 0;

    private AppRehearsed Describe(AppId id)
    {
        var (before, after) = (_before.App(id)?.Definition, _state.App(id)?.Definition);
        return new AppRehearsed(
            id, before, after, AppDifference.Between(before, after), HealthyIn(_before, id), _least.GetValueOrDefault(id, HealthyIn(_before, id)),
            _placed.Where(p => p.App == id).ToEquatableArray(), _stopped.Where(i => _before.Instance(i)?.App == id).ToEquatableArray(),
            _waiting.GetValueOrDefault(id));
    }
}
