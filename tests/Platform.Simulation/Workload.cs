using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>A user who deploys, scales, changes, deletes, forces, cancels and kills, and remembers what was acknowledged.</summary>
internal sealed class Workload(World world)
{
    /// <summary>Six apps, each with a trait of its own; what it says here about constraints is what the checks hold the platform to.</summary>
    public const int Apps = 6;

    public static readonly AppId Unique = AppId.Parse("/a1");
    public static readonly AppId TwoARack = AppId.Parse("/a2");

    /// <summary>It has a persistent volume for each instance, three of which fill a node's disk.</summary>
    public static readonly AppId Resident = AppId.Parse("/a5");
    private int _operation;

    public void Begin() => world.Clock.After(world.Chance.Seconds(0.5, 3), Next);

    private void Next()
    {
        if (world.Calm) return;
        if (world.Scheduler.IsAlive)
            if (world.IsAboutDeployments) Deploy();
            else Act();
        world.Clock.After(world.Chance.Hits(0.2) ? world.Chance.Seconds(0.01, 0.2) : world.Chance.Seconds(0.5, 12), Next);
    }

    /// <summary>Several apps that lean on each other in one change, and whatever may come in between.</summary>
    private void Deploy()
    {
        var state = world.Scheduler.State;
        var app = AnyApp();
        var force = world.Chance.Hits(0.5);
        var instances = state.Apps.TryGetValue(app, out var known) ? known.Instances.Keys.ToList() : [];
        switch (world.Chance.Below(20))
        {
            case < 6: WriteSeveral(force); break;
            case < 7: WriteRoot(force); break;
            case < 9: Send(app, Put(app, $$"""{"instances":{{world.Chance.Below(5)}}}""", force)); break;
            case < 11: Send(app, new Command.RestartApp(app, force) { Origin = ChangeOrigin.Internal }); break;
            case < 13 when instances.Count > 0:
                var killed = instances.Take(1 + world.Chance.Below(instances.Count)).ToEquatableArray();
                Send(app, new Command.KillInstances(killed, app != Resident && world.Chance.Hits(0.6), force) { Origin = ChangeOrigin.Internal, Wipe = app == Resident && world.Chance.Hits(0.4) });
                break;
            case < 14: Send(app, new Command.DeleteApp(app, world.Chance.Hits(0.7)) { Origin = ChangeOrigin.Internal }, mayRemove: true); break;
            case < 19 when !state.Deployments.IsEmpty: Cancel(world.Chance.Of(state.Deployments.Values.ToList()), world.Chance.Hits(0.4)); break;
            default: Send(app, new Command.ResetDelay(app) { Origin = ChangeOrigin.Internal }); break;
        }
    }

    private AppId AnyApp() => AppId.Parse($"/a{world.Chance.Below(Apps)}");

    private void WriteSeveral(bool force)
    {
        var apps = Enumerable.Range(0, Apps).Where(_ => world.Chance.Hits(0.6)).Select(i => AppId.Parse($"/a{i}")).ToList();
        if (apps.Count == 0) apps.Add(AnyApp());
        var writes = apps.Select(a => new AppWrite(a, JsonDocument.Parse(world.Chance.Hits(0.2) ? $$"""{"instances":{{world.Chance.Below(4)}}}""" : Body(a)).RootElement)).ToEquatableArray();
        Send(apps, new Command.WriteApps(writes, Partial: true, MayCreate: true, force) { Origin = ChangeOrigin.Internal }, mayRemove: false, mayMake: true);
    }

    /// <summary>A group is written whole: what is not in it any more goes, before what is new comes.</summary>
    private void WriteRoot(bool force)
    {
        var all = Enumerable.Range(0, Apps).Select(i => AppId.Parse($"/a{i}")).ToList();
        var kept = all.Where(_ => world.Chance.Hits(0.6)).Select(a => $$"""{"id":"{{a}}",{{Body(a).Trim()[1..]}}""");
        var body = world.Chance.Hits(0.2) ? """{"scaleBy":0.7}""" : $$"""{"apps":[{{string.Join(',', kept)}}]}""";
        Send(all, new Command.WriteGroup(AppId.Root, JsonDocument.Parse(body).RootElement, MayExist: true, force) { Origin = ChangeOrigin.Internal }, mayRemove: true, mayMake: true);
    }

    private void Cancel(Deployment deployment, bool force)
    {
        var touched = deployment.Affected.ToList();
        foreach (var app in touched) world.Checks.MayChange(app);
        Send(touched, new Command.CancelDeployment(deployment.Id, force) { Origin = ChangeOrigin.Internal }, mayRemove: true, mayMake: true);
    }

    /// <summary>When all is done, an app that no deployment changes takes an unforced change: nothing keeps it locked.</summary>
    public static void CheckUnlocked(World world)
    {
        var state = world.Scheduler.State;
        foreach (var (id, app) in state.Apps.Where(a => !state.DeploymentsOf(a.Key).Any()))
            world.Scheduler.Ask(Put(id, $$"""{"instances":{{app.Definition.Instances}}}""", force: false), decision =>
            {
                if (decision is not Decision.Accepted) throw new PromiseBrokenException($"{id} takes no change, and no deployment holds it: {decision}", id.Path);
            });
        world.Clock.RunUntil(world.Clock.Now.AddSeconds(2));
    }

    private void Act()
    {
        var state = world.Scheduler.State;
        var app = AppId.Parse($"/a{world.Chance.Below(Apps)}");
        var force = world.Chance.Hits(0.4);
        var instances = state.Apps.TryGetValue(app, out var known) ? known.Instances.Keys.ToList() : [];
        switch (world.Chance.Below(20))
        {
            case < 5: Send(app, Put(app, Body(app), force)); break;
            case < 10: Send(app, Put(app, $$"""{"instances":{{world.Chance.Below(7)}}}""", force)); break;
            case < 11: Send(app, new Command.RestartApp(app, force) { Origin = ChangeOrigin.Internal }); break;
            case < 13: Send(app, new Command.DeleteApp(app, world.Chance.Hits(0.7)) { Origin = ChangeOrigin.Internal }, mayRemove: true); break;
            case < 16 when instances.Count > 0:
                Send(app, new Command.KillInstances([world.Chance.Of(instances)], app != Resident && world.Chance.Hits(0.3), force) { Origin = ChangeOrigin.Internal, Wipe = app == Resident && world.Chance.Hits(0.4) });
                break;
            case < 18 when !state.Deployments.IsEmpty:
                var deployment = world.Chance.Of(state.Deployments.Values.ToList());
                foreach (var touched in deployment.Affected.ToList()) world.Checks.MayChange(touched);
                Send(app, new Command.CancelDeployment(deployment.Id, force) { Origin = ChangeOrigin.Internal }, mayRemove: true);
                break;
            default: Send(app, new Command.ResetDelay(app) { Origin = ChangeOrigin.Internal }); break;
        }
    }

    public static Command Put(AppId app, string body, bool force) => new Command.WriteApps(
        [new AppWrite(app, JsonDocument.Parse(body).RootElement)], Partial: true, MayCreate: true, force) { Origin = ChangeOrigin.Internal };

    private void Send(AppId app, Command command, bool mayRemove = false) => Send([app], command, mayRemove, mayMake: !mayRemove);

    private void Send(List<AppId> apps, Command command, bool mayRemove, bool mayMake)
    {
        var names = string.Join(' ', apps);
        world.Trace.Note($"asks for {names}", command switch
        {
            Command.WriteApps write => string.Join(' ', write.Apps.Select(a => a.Body)),
            Command.WriteGroup write => write.Body,
            _ => command,
        });
        foreach (var app in apps) world.Checks.Asked(app, mayRemove, mayMake);
        world.Scheduler.Ask(command, decision =>
        {
            world.Trace.Note($"answer for {names}", decision is Decision.Refused refused ? refused.Rejection.Message : decision is null ? "none" : "accepted");
            if (decision is not Decision.Accepted) return;
            foreach (var app in apps) world.Checks.Acknowledged(app, world.Scheduler.State.App(app)?.Definition.Version);
        });
    }

    private string Body(AppId app)
    {
        if (app == Resident)
            return $$$"""
                {"cmd":"serve", "instances":{{{world.Chance.Below(5)}}}, "cpus":0.2, "mem":64, "labels":{"op":"{{{++_operation}}}"}, "portDefinitions":[{"port":0}],
                 "container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":330}}]},
                 "upgradeStrategy":{"minimumHealthCapacity":{{{(world.Chance.Hits(0.5) ? "0.5" : "1")}}},"maximumOverCapacity":0}, "backoffSeconds":1, "maxLaunchDelaySeconds":20}
                """;
        var kind = app.Path[^1] - '0';
        var check = kind is 1 or 3 or 4
            ? $$""", "healthChecks":[{"protocol":"MESOS_HTTP","path":"/","portIndex":0,"delaySeconds":0,"intervalSeconds":{{1 + world.Chance.Below(3)}},"timeoutSeconds":1,"gracePeriodSeconds":5,"maxConsecutiveFailures":{{world.Chance.Below(3)}}}]"""
            : "";
        var constraint = kind switch
        {
            1 when world.Bug != SeededBug.ForgetUnique => """, "constraints":[["hostname","UNIQUE"]]""",
            2 => """, "constraints":[["rack","MAX_PER","2"]]""",
            4 => """, "constraints":[["rack","GROUP_BY","2"]]""",
            _ => "",
        };
        var dependencies = world.IsAboutDeployments ? Enumerable.Range(0, kind).Where(_ => world.Chance.Hits(0.4)).ToList() : kind == 4 ? [3] : [];
        if (dependencies.Count > 0) constraint += $", \"dependencies\":[{string.Join(',', dependencies.Select(d => $"\"/a{d}\""))}]";
        var strategy = world.Chance.Below(4) switch
        {
            0 => """{"minimumHealthCapacity":0.5,"maximumOverCapacity":0}""",
            1 => """{"minimumHealthCapacity":1,"maximumOverCapacity":0}""",
            2 => """{"minimumHealthCapacity":0.7,"maximumOverCapacity":0.5}""",
            _ => """{"minimumHealthCapacity":1,"maximumOverCapacity":1}""",
        };
        var unreachable = world.Chance.Below(3) switch
        {
            0 => """{"inactiveAfterSeconds":0,"expungeAfterSeconds":0}""",
            1 => """{"inactiveAfterSeconds":5,"expungeAfterSeconds":60}""",
            _ => """{"inactiveAfterSeconds":0,"expungeAfterSeconds":30}""",
        };
        var readiness = kind == 3 ? """, "readinessChecks":[{"portName":"http","intervalSeconds":2,"timeoutSeconds":1}]""" : "";
        var image = kind == 0 ? """, "container":{"type":"DOCKER","docker":{"image":"busybox"}}""" : "";
        return $$"""
            {"cmd":"serve", "instances":{{world.Chance.Below(6)}}, "cpus":{{0.1 * (1 + world.Chance.Below(8)):0.0}}, "mem":{{32 * (1 + world.Chance.Below(8))}},
             "labels":{"op":"{{++_operation}}"}, "portDefinitions":[{"port":0{{(kind == 3 ? """, "name":"http" """ : "")}}}{{(kind == 2 ? """, {"port":0}""" : "")}}], "upgradeStrategy":{{strategy}},
             "unreachableStrategy":{{unreachable}}, "backoffSeconds":1, "maxLaunchDelaySeconds":20, "taskKillGracePeriodSeconds":{{world.Chance.Below(4)}}{{check}}{{readiness}}{{constraint}}{{image}}}
            """;
    }
}
