using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What the operator sets for the whole cluster.</summary>
public sealed record SchedulerSettings
{
    public int ServicePortMin { get; init; } = 10000;
    public int ServicePortMax { get; init; } = 20000;
    public int DeploymentsMax { get; init; } = 100;

    /// <summary>Addresses that events are posted to.</summary>
    public int EventSubscribersMax { get; init; } = 100;

    /// <summary>A node that says nothing for this long is lost.</summary>
    public TimeSpan NodeLostAfter { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>The longest that a withdrawn instance waits for the proxies to finish its requests.</summary>
    public TimeSpan DrainCeiling { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>An instance that its agent knows and that does not run for this long is killed, and counts as failed (contract 5.7).</summary>
    public TimeSpan TaskLaunchTimeout { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>An instance that its node, connected, has never mentioned for this long is forgotten and launched anew.</summary>
    public TimeSpan TaskLaunchConfirmTimeout { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>When a deployment is given up whose apps do not say (<see cref="DeploymentPolicy"/>); null = never.</summary>
    public TimeSpan? DeployTimeout { get; init; }

    /// <summary>Whether a deployment that is given up is undone, where its apps do not say.</summary>
    public bool AutoRollback { get; init; }
}

/// <summary>Commands become events or refusals. All problems are told at once, and a refusal leaves no trace.</summary>
public static class Decider
{
    /// <summary>Preconditions come last (RFC 9110, 13.2.1): what would be refused anyway is refused for that reason.</summary>
    public static Decision Decide(ClusterState state, Command command, SchedulerSettings settings, DateTimeOffset now)
    {
        var decision = DecideUnconditionally(state, command, settings, now);
        if (decision is not Decision.Accepted accepted || Target.Of(command, accepted.Reply) is not { } target) return decision;
        var before = target.VersionIn(state);
        if (command.Precondition.Broken(target, before) is { } broken) return broken;
        var after = target.VersionIn(accepted.Events.Items.Aggregate(state, (s, e) => s.Fold(e)));
        return accepted with { Reply = accepted.Reply with { VersionBefore = before, VersionAfter = after } };
    }

    private static Decision DecideUnconditionally(ClusterState state, Command command, SchedulerSettings settings, DateTimeOffset now)
    {
        var change = new RootChange(state, settings, command.Origin, now) { Artifacts = command.Artifacts };
        return command switch
        {
            Command.CreateApp x => Create(change, x),
            Command.WriteApps x => Write(change, x),
            Command.DeleteApp x => Delete(change, x),
            Command.RestartApp x => Restart(change, x),
            Command.CreatePod x => PodDecisions.Create(change, x),
            Command.WritePod x => PodDecisions.Write(change, x),
            Command.DeletePod x => PodDecisions.Delete(change, x),
            Command.KillInstances x => Kill(change, x),
            Command.CancelDeployment x => Cancel(change, x),
            Command.ResetDelay x => ResetDelay(state, x, now),
            Command.WriteGroup x => GroupDecisions.Write(change, x),
            Command.PatchGroup x => GroupDecisions.Patch(change, x),
            Command.DeleteGroup x => GroupDecisions.Delete(change, x),
            Command.SubscribeToEvents x => EventSubscribers.Subscribe(state, x, settings, now),
            Command.UnsubscribeFromEvents x => EventSubscribers.Unsubscribe(state, x, now),
            Command.StoreSecret x => SecretChange.Store(state, x, now),
            Command.RemoveSecret x => SecretChange.Remove(state, x, now),
            Command.DrainNode x => NodeDecisions.Drain(state, x, now),
            Command.ResumeNode x => NodeDecisions.Resume(state, x, now),
            Command.RemoveNode x => NodeDecisions.Remove(state, x, now),
            Command.MakeJoinToken x => JoinDecisions.Make(state, x, now),
            Command.RevokeJoinToken x => JoinDecisions.Revoke(state, x, now),
            Command.AdmitNode x => JoinDecisions.Admit(state, x, now),
            _ => throw new System.Diagnostics.UnreachableException($"{command}"),
        };
    }

    private static Decision Create(RootChange change, Command.CreateApp x)
    {
        switch (AppReader.Create(x.Body))
        {
            case ReadResult.App app when change.State.App(app.Definition.Id) is { IsPod: false }:
                return Refuse(RejectCode.Exists, $"An app with id [{app.Definition.Id}] already exists.");
            case ReadResult.App app:
                change.Set(app.Definition);
                return change.Decide(x.Force, created: true);
            case ReadResult.Refused refused:
                return NotValid(refused.Refusal);
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    private static Decision Write(RootChange change, Command.WriteApps x)
    {
        var problems = new List<Problem>();
        var family = RefusalFamily.ObjectNotValid;
        var created = false;
        foreach (var (write, index) in x.Apps.Items.Select((w, i) => (w, i)))
        {
            if (IdOf(write, out var id) is { } nameless)
            {
                Note(nameless.Refusal, index);
                continue;
            }
            var existing = change.State.App(id) is { IsPod: false } there ? there.Definition : null;
            if (existing is null && !x.MayCreate) return NotFound(id);
            switch (AppReader.Update(write.Body, id, existing, x.Partial))
            {
                case ReadResult.App app:
                    created |= existing is null;
                    change.Set(app.Definition);
                    break;
                case ReadResult.Rollback rollback:
                    if (existing is null) return NotFound(id);
                    if (!change.State.Apps[id].Versions.TryGetValue(rollback.Version, out var definition))
                        return Refuse(RejectCode.NotFound, $"App '{id}' does not exist in version {rollback.Version}");
                    change.Set(definition);
                    break;
                case ReadResult.Refused refused:
                    Note(refused.Refusal, index);
                    break;
            }
        }
        return problems.Count > 0 ? NotValid(new Refusal(family, problems.ToEquatableArray())) : change.Decide(x.Force, created);

        void Note(Refusal refusal, int index)
        {
            if (refusal.Family == RefusalFamily.InvalidJson) family = RefusalFamily.InvalidJson; // it hides the other family (contract 1.2)
            problems.AddRange(x.Apps.Count == 1 ? refusal.Problems : refusal.Problems.Select(p => p with { Path = $"/({index}){p.Path}" }));
        }
    }

    private static Decision Delete(RootChange change, Command.DeleteApp x)
    {
        if (change.State.App(x.App) is not { IsPod: false }) return NotFound(x.App);
        change.Remove(x.App);
        return change.Decide(x.Force);
    }

    private static Decision Restart(RootChange change, Command.RestartApp x)
    {
        if (change.State.App(x.App) is not { IsPod: false } app) return NotFound(x.App);
        change.Restart(app.Definition);
        return change.Decide(x.Force);
    }

    private static Decision Kill(RootChange change, Command.KillInstances x)
    {
        var chosen = x.Instances.Select(change.State.Instance).OfType<Instance>().ToEquatableArray();
        var stops = chosen.Where(i => !i.IsStopping || x.Wipe)
            .Select(SchedulerEvent (i) => new SchedulerEvent.InstanceStopRequested(i.Id, StopReason.KilledByUser) { At = change.Now, Wipe = x.Wipe ? true : null })
            .Concat(x.Wipe ? Released(change, x.Instances) : [])
            .ToEquatableArray();
        if (!x.Scale) return new Decision.Accepted(stops, Reply.Done with { Instances = chosen });

        foreach (var group in chosen.Where(i => !i.IsStopping).GroupBy(i => i.App))
            if (change.State.App(group.Key) is { } app)
                change.Set(app.Definition with { Instances = Math.Max(0, app.Definition.Instances - group.Count()) });
        var decision = change.Decide(x.Force);
        return decision is Decision.Accepted accepted
            ? accepted with { Events = accepted.Events.Concat(stops).ToEquatableArray(), Reply = accepted.Reply with { Instances = chosen } }
            : decision;
    }

    /// <summary>Stopped instances keep their reservation until it is wiped; those with a task lose it when the task has ended.</summary>
    private static IEnumerable<SchedulerEvent> Released(RootChange change, EquatableArray<InstanceId> instances) =>
        from app in change.State.Apps.Values
        where !app.Reservations.IsEmpty
        from id in instances.Select(i => i.First).Distinct()
        where app.Reservations.TryGetValue(id, out var reservation) && reservation is { IsIdle: true, Condemned: false }
        select new SchedulerEvent.ReservationReleased(id, app.Definition.Id) { At = change.Now };

    private static Decision Cancel(RootChange change, Command.CancelDeployment x)
    {
        if (!change.State.Deployments.TryGetValue(x.Deployment, out var deployment))
            return Refuse(RejectCode.NotFound, $"DeploymentPlan {x.Deployment} does not exist");
        if (x.Force) return new Decision.Accepted([End("The deployment was cancelled", DeploymentOutcome.Cancelled)], Reply.Done);

        change.Undo(deployment, End("The deployment was rolled back", DeploymentOutcome.RolledBack));
        return change.Decide(force: true);

        SchedulerEvent.DeploymentCancelled End(string why, DeploymentOutcome outcome) => new(deployment.Id, why) { At = change.Now, Outcome = outcome };
    }

    /// <summary>A deployment whose time is up ends, and if its apps want that, another one undoes it: like a cancellation without force.</summary>
    internal static EquatableArray<SchedulerEvent> GiveUp(ClusterState state, Deployment deployment, string why, SchedulerSettings settings, DateTimeOffset now)
    {
        var ended = new SchedulerEvent.DeploymentCancelled(deployment.Id, why) { At = now, Outcome = DeploymentOutcome.TimedOut };
        if (deployment.Limit is not { Rollback: true }) return [ended];
        var change = new RootChange(state, settings, ChangeOrigin.Internal, now);
        change.Undo(deployment, ended with { Reason = $"{why}; it is rolled back" });
        return change.Decide(force: true) switch
        {
            Decision.Accepted accepted => accepted.Events,
            Decision.Refused refused => [ended with { Reason = $"{why}; it could not be rolled back: {refused.Rejection.Message}" }],
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    private static Decision ResetDelay(ClusterState state, Command.ResetDelay x, DateTimeOffset now)
    {
        if (state.App(x.App) is not { } app || app.Instances.Values.Count(i => !i.IsStopping) >= app.Definition.Instances)
            return Refuse(RejectCode.NotFound, $"Application {x.App} not found in tasks queue.");
        return new Decision.Accepted(app.Delay is null ? default : [new SchedulerEvent.LaunchDelayReset(x.App) { At = now }], Reply.Done);
    }

    internal static Decision.Refused Refuse(RejectCode code, string message) => new(new Rejection(code, message));

    internal static Decision.Refused NotFound(AppId app) => Refuse(RejectCode.NotFound, $"App '{app}' does not exist");

    internal static Decision.Refused NotValid(Refusal refusal) => new(new Rejection(
        refusal.Family == RefusalFamily.InvalidJson ? RejectCode.WrongShape : RejectCode.NotValid, refusal.Message) { Details = refusal.Problems });

    private static ReadResult.Refused? IdOf(AppWrite write, out AppId id)
    {
        if (write.Id is null) return AppReader.ReadId(write.Body, out id);
        id = write.Id;
        return null;
    }
}

/// <summary>A change of the root in the making: what to set and remove, then one deployment for all of it (contract 5.1, 5.4).</summary>
internal sealed class RootChange(ClusterState state, SchedulerSettings settings, ChangeOrigin origin, DateTimeOffset now)
{
    private const string LockedMessage =
        "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'.";

    private readonly SortedDictionary<AppId, AppDefinition> _set = [];
    private readonly SortedSet<AppId> _removed = [];
    private readonly HashSet<AppId> _restarted = [];
    private readonly SortedDictionary<AppId, GroupDefinition> _setGroups = [];
    private readonly SortedSet<AppId> _removedGroups = [];
    private readonly SortedSet<AppId> _kept = [];
    private ServicePortsInUse? _servicePorts;
    private SchedulerEvent.DeploymentCancelled? _undone;

    public ClusterState State => state;
    public DateTimeOffset Now => now;

    /// <summary>Versions grow by at least a millisecond with every change, whatever the clock does.</summary>
    private AppVersion Version { get; } = new AppVersion(now) is var version && version > state.LastVersion ? version : state.LastVersion.Next;

    /// <summary>The root as it is.</summary>
    public Root Before => field ??= state.CurrentRoot();

    /// <summary>The group that was written, if one was.</summary>
    public AppId? Group { get; set; }

    public void SetGroup(GroupDefinition definition) => _setGroups[definition.Id] = definition;

    /// <summary>What was said of the group, not what is in it.</summary>
    public void RemoveGroup(AppId group) => _removedGroups.Add(group);

    /// <summary>The group shall exist, whatever is in it.</summary>
    public void Keep(AppId group) => _kept.Add(group);

    /// <summary>See <see cref="Command.Artifacts"/>.</summary>
    public EquatableMap Artifacts { get; init; } = EquatableMap.Empty;

    public void Set(AppDefinition definition) => _set[definition.Id] = WithStored(definition);
    public void Remove(AppId app) => _removed.Add(app);

    public void Restart(AppDefinition definition)
    {
        Set(definition);
        _restarted.Add(definition.Id);
    }

    /// <summary>Sets its apps back. Whatever that comes to, the deployment ends: undoing a restart changes nothing, and yet the restart must stop.</summary>
    public void Undo(Deployment deployment, SchedulerEvent.DeploymentCancelled end)
    {
        _undone = end;
        foreach (var original in deployment.OriginalGroups)
            if (original.Definition is { } group) SetGroup(group);
            else RemoveGroup(original.Group);
        // Only what it changes is undone: an app that its body named and left as it was may have been changed or deleted by others since.
        foreach (var original in deployment.Originals.Where(o => deployment.Affects(o.App)))
            if (original.Definition is { } definition) Set(definition);
            else if (state.App(original.App) is not null) Remove(original.App);
    }

    /// <summary>An app is stored with the copies of its <c>storeUrls</c> among its artifacts (contract 7.2).</summary>
    private AppDefinition WithStored(AppDefinition definition)
    {
        var known = definition.StoreUrls.Where(Artifacts.ContainsKey).ToList();
        if (known.Count == 0) return definition;
        var copies = known.Select(x => Artifacts[x]).Except(definition.Fetch.Select(x => x.Uri)).Select(FetchUri.Of);
        return definition with
        {
            Fetch = definition.Fetch.Concat(copies).ToEquatableArray(),
            StoreUrls = definition.StoreUrls.Where(x => !known.Contains(x)).ToEquatableArray(),
        };
    }

    public Decision Decide(bool force, bool created = false)
    {
        var before = Before.Apps;
        var after = before.RemoveRange(_removed).ToBuilder();
        var problems = new List<Problem>();
        foreach (var definition in _set.Values.Where(x => !x.StoreUrls.IsEmpty))
            problems.Add(new Problem("/storeUrls", $"'{definition.StoreUrls[0]}' is not in the artifact store"));
        foreach (var (id, definition) in _set)
            if (Settle(definition, before.GetValueOrDefault(id), problems) is { } settled) after[id] = settled;
        var root = WithGroups(after.ToImmutable());
        problems.AddRange(Clashes(root));
        if (problems.Count == 0 && DeploymentPlan.HasCycle(root.Apps, root.Groups))
            problems.Add(new Problem("/dependencies", "Dependency graph has cyclic dependencies."));
        if (problems.Count > 0) return Decider.NotValid(new Refusal(RefusalFamily.ObjectNotValid, problems.ToEquatableArray()));
        return Deploy(root, force, created);
    }

    private Root WithGroups(ImmutableSortedDictionary<AppId, AppDefinition> apps)
    {
        var groups = Before.Groups.RemoveRange(_removedGroups).SetItems(_setGroups);
        var root = new Root(apps, groups);
        var kept = _kept.Where(id => !groups.ContainsKey(id) && (!Before.HasGroup(id) || !root.HasGroup(id))).ToList();
        return kept.Count == 0 ? root : new Root(apps, groups.AddRange(kept.Select(id => KeyValuePair.Create(id, new GroupDefinition(id, default, null)))));
    }

    private Decision Deploy(Root root, bool force, bool created)
    {
        var (before, after) = (Before.Apps, root.Apps);
        var touched = _set.Keys.Concat(_removed).ToList();
        var setGroups = root.Groups.Values.Where(g => Before.Groups.GetValueOrDefault(g.Id) != g).ToEquatableArray();
        var removedGroups = Before.Groups.Keys.Where(g => !root.Groups.ContainsKey(g)).ToEquatableArray();
        var deployment = new Deployment
        {
            Id = DeploymentId(),
            Version = Version,
            StartedAt = now,
            Steps = DeploymentPlan.Steps(before, after, root.Groups),
            // Most of what a group's body holds is as it was: that must neither fill the log nor be put back by an undo.
            Originals = touched.Where(id => Group is null || before.GetValueOrDefault(id) != after.GetValueOrDefault(id))
                .Select(id => new OriginalApp(id, before.GetValueOrDefault(id))).ToEquatableArray(),
            OriginalGroups = setGroups.Select(g => g.Id).Concat(removedGroups)
                .Select(id => new OriginalGroup(id, Before.Groups.GetValueOrDefault(id))).ToEquatableArray(),
            RollbackOf = _undone?.Deployment,
        };
        var affected = deployment.Affected.ToHashSet();
        var remaining = affected.Where(after.ContainsKey).Select(id => after[id]);
        deployment = deployment with { Limit = DeploymentLimit.Of(remaining, isRollback: _undone is not null, settings, now) };
        var conflicts = state.Deployments.Values.Where(d => d.Id == _undone?.Deployment || d.Affected.Any(affected.Contains)).ToList();
        if (conflicts.Count > 0 && !force)
            return new Decision.Refused(new Rejection(RejectCode.Locked, LockedMessage) { Deployments = conflicts.Select(d => d.Id).ToEquatableArray() });
        if (state.Deployments.Count - conflicts.Count >= settings.DeploymentsMax)
            return Decider.Refuse(RejectCode.TooMany, $"Max number ({settings.DeploymentsMax}) of running deployments is achieved. Wait for existing deployments to complete or cancel one.");

        var changed = _set.Keys.Select(id => after[id]).Where(d => d.Version == Version).ToEquatableArray();
        var started = new SchedulerEvent.DeploymentStarted(deployment, changed, _removed.ToEquatableArray(), origin)
        {
            At = now, SetGroups = setGroups, RemovedGroups = removedGroups, Told = Group?.Parent,
        };
        var events = conflicts
            .Select(SchedulerEvent (d) => d.Id == _undone?.Deployment ? _undone
                : new SchedulerEvent.DeploymentCancelled(d.Id, $"Cancelled by the forced change {deployment.Id}")
                {
                    At = now, Outcome = DeploymentOutcome.Overtaken,
                })
            .Append(started);
        if (deployment.Steps.IsEmpty) events = events.Append(new SchedulerEvent.DeploymentSucceeded(deployment.Id) { At = now });
        var reply = new Reply(deployment.Id, Version, touched.ToEquatableArray(), created, default) { Group = Group };
        return new Decision.Accepted(events.ToEquatableArray(), reply);
    }

    /// <summary>Gives a definition its service ports and its version (contract 2.5, 2.9).</summary>
    private AppDefinition? Settle(AppDefinition definition, AppDefinition? previous, List<Problem> problems)
    {
        _servicePorts ??= new ServicePortsInUse(state);
        var used = _servicePorts.Beside(definition.Id);
        if (!ServicePorts.TryAssign(definition, previous, used, settings.ServicePortMin, settings.ServicePortMax, out var assigned, out var problem))
        {
            problems.Add(problem);
            return null;
        }
        _servicePorts.Give(assigned);
        if (previous is not null) problems.AddRange(ResidentRules.Changes(previous, assigned));
        if (previous is null) return assigned with { Version = Version, VersionInfo = new VersionInfo(Version, Version) };
        if (_restarted.Contains(definition.Id))
            return assigned with { Version = Version, VersionInfo = previous.VersionInfo with { LastConfigChangeAt = Version } };
        if (AppChange.ConfigChanged(previous, assigned)) return assigned with { Version = Version, VersionInfo = new VersionInfo(Version, Version) };
        return previous.Instances == assigned.Instances
            ? previous
            : previous with { Instances = assigned.Instances, Version = Version, VersionInfo = previous.VersionInfo with { LastScalingAt = Version } };
    }

    /// <summary>An app and a group may not share a path.</summary>
    private IEnumerable<Problem> Clashes(Root root)
    {
        var changed = _set.Keys.Concat(_setGroups.Keys).Concat(_kept).Distinct().ToList();
        if (changed.Count == 0) return [];
        return changed.SelectMany(Around).Where(id => root.Apps.ContainsKey(id) && root.HasGroup(id)).Distinct()
            .Select(id => new Problem("/id", $"Groups and Applications may not have the same identifier: {id}"))
            .Concat(_set.Values.Where(d => state.App(d.Id) is { } there && there.IsPod != d.Pod is not null)
                .Select(d => new Problem("/id", $"Applications and Pods may not share the same id: {d.Id}")));
    }

    private static IEnumerable<AppId> Around(AppId id)
    {
        for (; !id.IsRoot; id = id.Parent) yield return id;
    }

    private string DeploymentId() => InstanceId.Derive(state.ClusterId + "/deployments", AppId.Root, Version.At.ToUnixTimeMilliseconds()).Uuid;
}
