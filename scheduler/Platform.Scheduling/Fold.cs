using System.Collections.Immutable;
using System.Diagnostics;
using Platform.Model;

namespace Platform.Scheduling;

public sealed partial record ClusterState
{
    /// <summary>The state after one more event. Total over every event a log can hold, and nothing else changes a state.</summary>
    public ClusterState Fold(SchedulerEvent e)
    {
        var next = e switch
        {
            SchedulerEvent.ClusterFounded x => Found(x),
            SchedulerEvent.DeploymentStarted x => Start(x),
            SchedulerEvent.DeploymentStepStarted x => WithDeployment(x.Deployment, d => d with { CurrentStep = x.Step }),
            SchedulerEvent.DeploymentStepSucceeded => this,
            SchedulerEvent.DeploymentSucceeded x => this with { Deployments = Deployments.Remove(x.Deployment) },
            SchedulerEvent.DeploymentCancelled x => this with { Deployments = Deployments.Remove(x.Deployment) },
            SchedulerEvent.AppTerminated x => this with { Apps = Apps.Remove(x.App) },
            SchedulerEvent.LaunchDelayReset x => WithApp(x.App, a => a with { Delay = null }),
            SchedulerEvent.InstancePlaced x => Place(x),
            SchedulerEvent.InstanceReported x => WithInstance(x.Instance, (a, i) => Report(a, i, x)),
            SchedulerEvent.InstanceStopRequested x => WithInstance(x.Instance, (a, i) => RequestStop(a, i, x)).AfterStop(x),
            SchedulerEvent.InstanceDrained x => WithInstance(x.Instance, (_, i) => i with { Drained = true }),
            SchedulerEvent.InstanceEnded x => End(x),
            SchedulerEvent.InstanceReserved x => Reserve(x),
            SchedulerEvent.ReservationReleased x => Release(x),
            SchedulerEvent.VolumesWiped x => Wiped(x),
            SchedulerEvent.NodeJoined x => Join(x),
            SchedulerEvent.NodeLost x => Lose(x),
            SchedulerEvent.EventSubscribed x => this with { EventSubscribers = SubscribersBut(x.CallbackUrl).Append(x.CallbackUrl).ToEquatableArray() },
            SchedulerEvent.EventUnsubscribed x => this with { EventSubscribers = SubscribersBut(x.CallbackUrl).ToEquatableArray() },
            SchedulerEvent.SecretStored x => this with { Secrets = Secrets.SetItem(x.Path, new StoredSecret(x.Secret, x.At)) },
            SchedulerEvent.SecretRemoved x => this with { Secrets = Secrets.Remove(x.Path) },
            SchedulerEvent.NodeDrainStarted x => Drain(x),
            SchedulerEvent.NodeResumed x => Resume(x),
            SchedulerEvent.NodeRemoved x => Remove(x),
            SchedulerEvent.AuthorityFounded x => this with { Authority = new ClusterAuthority(x.Certificate, x.Key) },
            SchedulerEvent.JoinTokenMade x => this with { JoinTokens = Remembered(x.At).SetItem(x.Token, new JoinToken(x.Hash, x.At, x.ExpiresAt)) },
            SchedulerEvent.JoinTokenRevoked x => this with { JoinTokens = JoinTokens.Remove(x.Token) },
            SchedulerEvent.NodeAdmitted x => Admit(x),
            _ => throw new UnreachableException($"{e}"),
        };
        return next with { Revision = Revision + 1, Records = Records.With(e, this) };
    }

    private ClusterState Found(SchedulerEvent.ClusterFounded x)
    {
        var first = new RootVersion(new AppVersion(x.At), default, default);
        return this with { ClusterId = x.ClusterId, RootVersions = RootVersions.SetItem(first.Version, first) };
    }

    private IEnumerable<string> SubscribersBut(string url) => EventSubscribers.Where(u => u != url);

    private ClusterState Start(SchedulerEvent.DeploymentStarted x)
    {
        var apps = Apps.ToBuilder();
        foreach (var definition in x.Set)
        {
            apps.TryGetValue(definition.Id, out var old);
            apps[definition.Id] = Redefine(old, definition);
        }
        foreach (var id in x.Removed)
            if (apps.TryGetValue(id, out var app))
                apps[id] = app with { Removing = true, Delay = null, Reservations = CondemnAll(app.Reservations) };
        var next = this with
        {
            Apps = apps.ToImmutable(),
            Groups = Groups.RemoveRange(x.RemovedGroups).SetItems(x.SetGroups.Select(g => KeyValuePair.Create(g.Id, g))),
            Deployments = Deployments.SetItem(x.Deployment.Id, x.Deployment),
            LastVersion = x.Deployment.Version,
        };
        return next.WithRootVersion(this, x);
    }

    private static AppState Redefine(AppState? old, AppDefinition definition)
    {
        if (old is null)
            return new AppState { Definition = definition, Versions = ImmutableSortedDictionary<AppVersion, AppDefinition>.Empty.Add(definition.Version, definition) };
        // A new configuration starts with a clean slate; scaling keeps the delay (contract 5.9).
        var reconfigured = old.Removing || old.Definition.VersionInfo.LastConfigChangeAt != definition.VersionInfo.LastConfigChangeAt;
        return old with
        {
            Definition = definition,
            Versions = Prune(old.Versions.SetItem(definition.Version, definition), old.Instances.Values),
            Removing = false,
            Delay = reconfigured ? null : old.Delay,
        };
    }

    private static ImmutableSortedDictionary<AppVersion, AppDefinition> Prune(
        ImmutableSortedDictionary<AppVersion, AppDefinition> versions, IEnumerable<Instance> instances)
    {
        if (versions.Count <= AppState.VersionsMax) return versions;
        var running = instances.Select(i => i.Version).Append(versions.Values.Last().VersionInfo.LastConfigChangeAt).ToHashSet();
        return versions.RemoveRange(versions.Keys.Take(versions.Count - AppState.VersionsMax).Where(v => !running.Contains(v)));
    }

    private ClusterState Place(SchedulerEvent.InstancePlaced x)
    {
        var app = TakeUp(Apps[x.App], x.Instance);
        var instance = new Instance
        {
            Id = x.Instance, Serial = x.Serial, App = x.App, Version = x.Version, Node = x.Node,
            HostPorts = x.HostPorts, Resources = x.Resources, StagedAt = x.At,
            AwaitsReadiness = !app.Definition.ReadinessChecks.IsEmpty && DeploymentsOf(x.App).Any(),
        };
        var node = Nodes[x.Node];
        var range = (node.Description.TaskPortMin, node.Description.TaskPortMax);
        var drawn = x.HostPorts.Where(p => p >= range.TaskPortMin && p <= range.TaskPortMax).ToList();
        return this with
        {
            NextSerial = Math.Max(NextSerial, x.Serial + 1),
            Apps = Apps.SetItem(x.App, app with { Instances = app.Instances.SetItem(x.Instance, instance) }),
            Owners = Owners.SetItem(x.Instance, x.App),
            Nodes = Nodes.SetItem(x.Node, node with
            {
                Used = app.ReservationOf(x.Instance) is null ? node.Used + x.Resources : node.Used, // reserved ones are used already
                UsedPorts = node.UsedPorts.Union(x.HostPorts.Where(p => p > 0)),
                Instances = node.Instances.Add(x.Instance),
                NextPort = drawn.Count > 0 ? drawn[^1] + 1 : node.NextPort,
            }),
        };
    }

    private Instance Report(AppState app, Instance instance, SchedulerEvent.InstanceReported x)
    {
        var next = instance with { Phase = x.Phase, StartedAt = x.StartedAt, ContainerAddress = x.ContainerAddress, Health = x.Health, Ending = x.Ending };
        if (!x.Readiness.IsEmpty) next = next with { Readiness = x.Readiness, AwaitsReadiness = next.AwaitsReadiness && !x.Readiness.Items.All(r => r.Ready) };
        return next.IsReady(app.DefinitionOf(next)) ? next with { ReadyAt = instance.ReadyAt ?? x.At } : Withdraw(next) with { ReadyAt = null };
    }

    /// <summary>If the table shows the instance, this event takes it out, and whoever stops it later has to wait for the proxies to have seen that.</summary>
    private Instance Withdraw(Instance instance) => Projections.IsPublished(this, instance) ? instance with { WithdrawnRevision = Revision + 1 } : instance;

    private Instance RequestStop(AppState app, Instance instance, SchedulerEvent.InstanceStopRequested x)
    {
        if (instance.IsStopping) return instance;
        var withdrawn = Withdraw(instance);
        return withdrawn with
        {
            Goal = Goal.Stop, StopReason = x.Reason, StopAt = x.At,
            Drained = withdrawn.WithdrawnRevision == 0 || app.DefinitionOf(instance).Ports.IsEmpty, // nobody was ever sent to it
        };
    }

    private ClusterState End(SchedulerEvent.InstanceEnded x)
    {
        if (Instance(x.Instance) is not { } instance) return this;
        var app = Apps[instance.App];
        app = PutDown(app with { Instances = app.Instances.Remove(x.Instance) }, x.Instance);
        if (app.DefinitionOf(instance).Pod is not null) app = Remember(app, instance, x);
        if (!instance.IsStopping && !app.Removing) app = AfterFailure(app, instance, x);
        var nodes = Nodes;
        if (Nodes.TryGetValue(instance.Node, out var node))
            nodes = Nodes.SetItem(instance.Node, node with
            {
                Used = app.ReservationOf(x.Instance) is null ? node.Used - instance.Resources : node.Used,
                UsedPorts = node.UsedPorts.Except(instance.HostPorts.Where(p => p > 0)),
                Instances = node.Instances.Remove(x.Instance),
            });
        return this with { Apps = Apps.SetItem(instance.App, app), Owners = Owners.Remove(x.Instance), Nodes = nodes };
    }

    private static AppState Remember(AppState app, Instance instance, SchedulerEvent.InstanceEnded x)
    {
        var termination = new PodTermination(
            instance.Id, instance.Version, instance.Node, instance.StagedAt, x.End.State, x.End.Message, x.End.Container, x.End.ExitCode, x.At);
        return app with { Terminations = app.Terminations.Append(termination).TakeLast(AppState.TerminationsMax).ToEquatableArray() };
    }

    private static AppState AfterFailure(AppState app, Instance instance, SchedulerEvent.InstanceEnded x)
    {
        var end = x.End;
        if (end.State != TerminalState.Finished && (end.State != TerminalState.Killed || end.HealthKill))
            app = app with { LastFailure = new TaskFailure(instance.Id, instance.Node, end.State, end.Message, instance.Version, x.At) };
        // A lost node is no fault of the app; a kill by hand neither. Everything else that ends by itself delays the next launch.
        var counts = end.State is TerminalState.Failed or TerminalState.Error or TerminalState.Finished or TerminalState.Gone || end.HealthKill;
        return counts && app.IsCurrent(instance) ? app with { Delay = LaunchDelays.AfterFailure(app.Delay, app.Definition.Backoff, x.At) } : app;
    }

    private ClusterState Lose(SchedulerEvent.NodeLost x)
    {
        if (!Nodes.TryGetValue(x.Node, out var node)) return this;
        var apps = Apps.ToBuilder();
        foreach (var instance in node.Instances.Select(i => Instance(i)!).Where(i => Projections.IsPublished(this, i)))
            apps[instance.App] = apps[instance.App] with { Instances = apps[instance.App].Instances.SetItem(instance.Id, Withdraw(instance)) };
        return this with
        {
            Apps = apps.ToImmutable(), Nodes = Nodes.SetItem(x.Node, node with { LostAt = x.At }), LostNodes = node.LostAt is null ? LostNodes + 1 : LostNodes,
        };
    }

    private ClusterState Join(SchedulerEvent.NodeJoined x) => this with
    {
        Nodes = Nodes.SetItem(x.Node.Id, Nodes.TryGetValue(x.Node.Id, out var known)
            ? known with { Description = x.Node, LostAt = null }
            : new Node { Description = x.Node, NextPort = x.Node.TaskPortMin }),
        LostNodes = known?.LostAt is null ? LostNodes : LostNodes - 1,
    };

    private ClusterState WithApp(AppId id, Func<AppState, AppState> change) =>
        Apps.TryGetValue(id, out var app) ? this with { Apps = Apps.SetItem(id, change(app)) } : this;

    private ClusterState WithDeployment(string id, Func<Deployment, Deployment> change) =>
        Deployments.TryGetValue(id, out var deployment) ? this with { Deployments = Deployments.SetItem(id, change(deployment)) } : this;

    private ClusterState WithInstance(InstanceId id, Func<AppState, Instance, Instance> change) =>
        Instance(id) is { } instance
            ? WithApp(instance.App, a => a with { Instances = a.Instances.SetItem(id, change(a, instance)) })
            : this;
}

/// <summary>Backoff arithmetic (contract 5.9).</summary>
public static class LaunchDelays
{
    public static LaunchDelay AfterFailure(LaunchDelay? before, Backoff backoff, DateTimeOffset at)
    {
        // A launch that has lived longer than the longest delay has proved itself: the count starts anew.
        var fresh = before is null || at > before.LastFailureAt.AddSeconds(backoff.MaxLaunchDelaySeconds);
        var seconds = Math.Min(fresh ? backoff.Seconds : before!.Seconds * backoff.Factor, backoff.MaxLaunchDelaySeconds);
        return new LaunchDelay(seconds, at.AddSeconds(seconds), at);
    }
}
