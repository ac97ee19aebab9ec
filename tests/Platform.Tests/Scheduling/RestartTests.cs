using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>
/// The scheduler dies after each event of a deployment, without exception, and another goes on from the log, or from a snapshot of it: every time it comes to what
/// it would have come to, keeps its promises on the way, and starts no task more.
/// </summary>
public sealed class RestartTests
{
    private static readonly Func<ClusterState, bool> AtOnce = _ => true;
    private static readonly Func<ClusterState, bool> WhenDone = state => state.Deployments.IsEmpty && state.Apps.Values.All(a => !a.Removing);

    private static readonly Line Creation = new(AtOnce, _ => Put(App("/db", "va", 2), App("/app", "va", 2, "/db"), App("/web", "va", 1, "/app")));
    private static readonly Line Change = new(WhenDone, _ => Put(App("/db", "vb", 2), App("/app", "vb", 2, "/db"), App("/web", "vb", 1, "/app")));

    private static readonly SmallPlan[] Plans =
    [
        new("creation", 2, 8, [Creation]) { IsUninterrupted = true },
        new("change of configuration", 2, 8, [Creation, Change]) { IsUninterrupted = true },
        new("change without room for one more", 1, 2.5, [Creation, Change]) { IsUninterrupted = true },
        new("scaling up and down", 2, 8, [Creation, new(WhenDone, _ => Put(Scale("/db", 3), Scale("/app", 1))), new(WhenDone, _ => Put(Scale("/db", 1), Scale("/web", 3)))]) { IsUninterrupted = true },
        new("rollback half-way", 2, 8, [Creation, Change, new(s => Ready(s, "/db", "vb") == 1, s => Cancel(s, force: false))]),
        new("rollback in the second step", 2, 8, [Creation, Change, new(s => Ready(s, "/app", "vb") == 1, s => Cancel(s, force: false))]),
        new("rollback of a creation", 2, 8, [Creation, new(s => Ready(s, "/app", "va") == 1, s => Cancel(s, force: false))]),
        new("forced cancel", 2, 8, [Creation, Change, new(s => Ready(s, "/app", "vb") == 1, s => Cancel(s, force: true)), new(WhenDone, _ => Put(App("/db", "vc", 1)))]),
        new("forced change", 2, 8, [Creation, Change, new(s => Ready(s, "/db", "vb") == 1, _ => Put(App("/db", "vc", 3), App("/web", "vc", 1, "/app")))]),
        new("forced deletion", 2, 8, [Creation, Change, new(s => Ready(s, "/db", "vb") == 1, _ => new Command.DeleteApp(AppId.Parse("/db"), true) { Origin = ChangeOrigin.Internal })]),
        new("kill with scale", 2, 8, [Creation, Change, new(s => Ready(s, "/app", "vb") == 1, s => Kill(s, "/db", scale: true))]),
        new("kill without scale", 2, 8, [Creation, Change, new(s => Ready(s, "/app", "vb") == 1, s => Kill(s, "/db", scale: false))]),
        new("restart of an app", 2, 8, [Creation, new(WhenDone, _ => new Command.RestartApp(AppId.Parse("/db"), false) { Origin = ChangeOrigin.Internal })]) { IsUninterrupted = true },
        new("rollback of what never becomes ready", 2, 8, [Creation, Change, new(s => Count(s, "/app", "vb") == 2, s => Cancel(s, force: false))], IsSick: i => i.App.Path == "/app" && i.Serial is > 5 and < 10),
        new("group made, scaled and emptied half-way", 2, 8,
        [
            new(AtOnce, _ => PutGroup("va")), new(WhenDone, _ => PutGroup("vb")),
            new(s => Ready(s, "/g/in/app", "vb") == 1, _ => new Command.WriteGroup(AppId.Parse("/g"), World.Json("""{"scaleBy":2}"""), true, Force: true) { Origin = ChangeOrigin.Internal }),
            new(s => Count(s, "/g/db", "vb") >= 3, _ => new Command.DeleteGroup(AppId.Parse("/g/in"), Force: true) { Origin = ChangeOrigin.Internal }),
        ]),
    ];

    public static TheoryData<string> Names => new(Plans.Select(p => p.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void A_restart_after_any_event_changes_nothing(string name)
    {
        var plan = Plans.Single(p => p.Name == name);
        var undisturbed = SmallWorld.New(plan).Run();
        var expected = undisturbed.Outcome();
        Assert.Contains($"asked: {plan.Lines.Count} of", expected, StringComparison.Ordinal);
        Assert.True(undisturbed.Moments.Count > 20, $"only {undisturbed.Moments.Count} moments");
        foreach (var moment in undisturbed.Moments)
            foreach (var fromSnapshot in new[] { false, true })
            {
                var restarted = SmallWorld.Restarted(plan, undisturbed.Log, moment, fromSnapshot).Run();
                Assert.True(
                    restarted.Outcome() == expected,
                    $"{name}, from {(fromSnapshot ? "a snapshot" : "the log")} after event {moment.LogLength} of {undisturbed.Log.Count}, {undisturbed.Log[moment.LogLength - 1]}:\n{restarted.Outcome()}instead of\n{expected}"
                    + $"it logged\n{string.Join('\n', restarted.Log.Skip(moment.LogLength))}\ninstead of\n{string.Join('\n', undisturbed.Log.Skip(moment.LogLength))}");
            }
    }

    private static int Count(ClusterState state, string id, string version) => Of(state, id, version).Count();
    private static int Ready(ClusterState state, string id, string version) => Of(state, id, version).Count(i => i.ReadyAt is not null && !i.IsStopping);

    private static IEnumerable<Instance> Of(ClusterState state, string id, string version) =>
        state.App(AppId.Parse(id)) is { } app ? app.Instances.Values.Where(i => app.DefinitionOf(i).Cmd == version) : [];

    private static string App(string id, string cmd, int instances, string? on = null) =>
        $$"""{"id":"{{id}}","cmd":"{{cmd}}","instances":{{instances}},"cpus":0.5,"mem":64,"healthChecks":[{"protocol":"TCP","portIndex":0}],"dependencies":[{{(on is null ? "" : $"\"{on}\"")}}],"upgradeStrategy":{"minimumHealthCapacity":0.5,"maximumOverCapacity":0.5} }""";

    private static string Scale(string id, int instances) => $$"""{"id":"{{id}}","instances":{{instances}}}""";

    private static Command Put(params string[] apps) => new Command.WriteApps(apps.Select(a => new AppWrite(AppId.Parse(World.Json(a).GetProperty("id").GetString()!), World.Json(a))).ToEquatableArray(), true, true, Force: true)
    {
        Origin = ChangeOrigin.Internal,
    };

    private static Command PutGroup(string cmd) => new Command.WriteGroup(
        AppId.Root, World.Json($$"""{"id":"/","groups":[{"id":"g","apps":[{{App("/g/db", cmd, 2)}}],"groups":[{"id":"in","apps":[{{App("/g/in/app", cmd, 2)}}],"dependencies":["/g/db"]}]}]}"""), true, Force: true)
    {
        Origin = ChangeOrigin.Internal,
    };

    private static Command Cancel(ClusterState state, bool force) => new Command.CancelDeployment(state.Deployments.Keys.Single(), force) { Origin = ChangeOrigin.Internal };

    private static Command Kill(ClusterState state, string id, bool scale) =>
        new Command.KillInstances([state.Apps[AppId.Parse(id)].Instances.Values.MinBy(i => i.Serial)!.Id], scale, Force: true) { Origin = ChangeOrigin.Internal };
}
