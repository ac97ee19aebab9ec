using System.Collections.Immutable;
using System.Text;
using CsCheck;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Groups in the plan (contract 5.1), their versions, and what is taken back.</summary>
public sealed class GroupTests
{
    private static Command Put(string group, string body, bool force = true) =>
        new Command.WriteGroup(AppId.Parse(group), World.Json(body), MayExist: true, force) { Origin = ChangeOrigin.Internal };

    private static Command Delete(string group) => new Command.DeleteGroup(AppId.Parse(group), Force: true) { Origin = ChangeOrigin.Internal };

    private static string Plan(World world) => string.Join(" | ", world.State.Deployments.Values.Last().Steps.Select(
        s => string.Join(",", s.Actions.Select(a => $"{a.Action.ToString().Replace("Application", "", StringComparison.Ordinal)} {a.App}"))));

    private const string Checked = "\"cmd\":\"serve\",\"portDefinitions\":[{\"port\":0}],\"healthChecks\":[{\"protocol\":\"HTTP\"}]";

    [Fact]
    public void A_groups_dependencies_are_those_of_all_apps_in_it()
    {
        var world = World.With();
        world.IsHealthy = i => i.App != AppId.Parse("/db/store");
        world.Accept(Put("/", $$"""
            {"groups":[
              {"id":"front","dependencies":["../service"],"groups":[{"id":"eu","apps":[{"id":"web",{{Checked}}}]}]},
              {"id":"service","dependencies":["../db"],"apps":[{"id":"api",{{Checked}}}]},
              {"id":"db","apps":[{"id":"store",{{Checked}}}]}]}
            """));
        Assert.Equal("Start /db/store,Start /front/eu/web,Start /service/api | Scale /db/store | Scale /service/api | Scale /front/eu/web", Plan(world));
        world.Settle();
        Assert.Single(world.InstancesOf("/db/store"));
        Assert.Empty(world.InstancesOf("/service/api"));
        Assert.Empty(world.InstancesOf("/front/eu/web"));
        world.RestartScheduler();
        world.IsHealthy = _ => true;
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.True(world.InstancesOf("/db/store")[0].Serial < world.InstancesOf("/service/api")[0].Serial);
        Assert.True(world.InstancesOf("/service/api")[0].Serial < world.InstancesOf("/front/eu/web")[0].Serial);
    }

    [Theory]
    [InlineData("""{"groups":[{"id":"a","dependencies":["../b"],"apps":[{"id":"x","cmd":"run"}]},{"id":"b","dependencies":["../a"],"apps":[{"id":"y","cmd":"run"}]}]}""")]
    [InlineData("""{"groups":[{"id":"a","dependencies":["/b/y"],"apps":[{"id":"x","cmd":"run"}]},{"id":"b","apps":[{"id":"y","cmd":"run","dependencies":["/a"]}]}]}""")]
    public void Cycles_through_groups_are_refused(string body)
    {
        var world = World.With();
        Assert.Contains(world.Refuse(Put("/", body)).Details, d => d.Reason.Contains("cyclic", StringComparison.Ordinal));
        Assert.Empty(world.State.Apps);
        Assert.Empty(world.State.Groups);
    }

    [Fact]
    public void A_group_that_nobody_made_goes_with_its_last_app_and_one_that_somebody_made_stays()
    {
        var world = World.With().App("/implied/web");
        world.Accept(Put("/made", """{"apps":[{"id":"web","cmd":"serve"}]}"""));
        world.Accept(World.Delete("/implied/web"));
        world.Accept(World.Delete("/made/web"));
        world.Settle();
        Assert.False(world.State.HasGroup(AppId.Parse("/implied")));
        Assert.True(world.State.HasGroup(AppId.Parse("/made")));
        Assert.Equal([AppId.Parse("/made")], world.State.GroupVersions.Keys);
    }

    [Fact]
    public void Versions_of_a_group_are_those_that_changed_it()
    {
        var world = World.With();
        var (g, h) = (AppId.Parse("/g"), AppId.Parse("/g/h"));
        var made = world.Accept(Put("/g", """{"groups":[{"id":"h","apps":[{"id":"a","cmd":"one"}]}]}""")).Version;
        var other = world.Accept(World.Create(World.Definition("/other"))).Version;
        var changed = world.Accept(World.Put("/g/h/a", """{"cmd":"two"}""", force: true)).Version;
        var gone = world.Accept(Delete("/g/h")).Version;
        Assert.Equal([gone, changed, made], world.State.VersionsOf(g));
        Assert.Equal([changed, made], world.State.VersionsOf(h));
        Assert.Equal("one", world.State.RootAsOf(other)!.Apps[AppId.Parse("/g/h/a")].Cmd);
        Assert.Equal("two", world.State.RootAsOf(changed)!.Apps[AppId.Parse("/g/h/a")].Cmd);
        Assert.Equal(made, world.State.VersionOf(h, other));
        Assert.Null(world.State.RootAsOf(made.Next.Next.Next.Next.Next));
        Assert.False(world.State.HasGroup(h));
    }

    [Fact]
    public void Fifty_versions_of_the_root_are_kept_and_each_is_whole()
    {
        var world = World.With().App("/web");
        for (var i = 0; i < 70; i++) world.Accept(World.Put("/web", $$"""{"cmd":"serve{{i}}"}""", force: true));
        Assert.Equal(ClusterState.RootVersionsMax, world.State.RootVersions.Count);
        var oldest = world.State.RootVersions.Keys.First();
        Assert.Equal("serve20", world.State.RootAsOf(oldest)!.Apps[AppId.Parse("/web")].Cmd);
        Assert.Equal(oldest, world.State.RootAsOf(oldest)!.Apps[AppId.Parse("/web")].Version);
    }

    private static readonly Gen<string> AnyChange = Gen.OneOf(
        Gen.Select(Gen.Int[0, 2], Gen.Int[0, 2], Gen.Int[0, 3], (g, a, n) => $$"""{"groups":[{"id":"g{{g}}","apps":[{"id":"a{{a}}","cmd":"serve","instances":{{n}}}]}]}"""),
        Gen.Select(Gen.Int[0, 2], Gen.Int[0, 2], (g, h) => $$"""{"groups":[{"id":"g{{g}}","groups":[{"id":"h{{h}}"}]},{"id":"e"}]}"""),
        Gen.Select(Gen.Int[0, 2], Gen.Int[0, 9], (a, c) => $$"""{"apps":[{"id":"r{{a}}","cmd":"c{{c}}"}]}"""),
        Gen.Int[0, 4].Select(f => FormattableString.Invariant($$"""{"scaleBy":{{f / 2.0}}}""")),
        Gen.Const("""{"groups":[]}"""),
        Gen.Int[0, 2].Select(g => $$"""{"groups":[{"id":"g{{g}}","dependencies":["/r0"],"enforceRole":true,"groups":[{"id":"x","apps":[{"id":"y","cmd":"serve"}]}]}]}"""));

    [Fact]
    public void Every_version_was_what_it_is_said_to_have_been_and_can_be_had_again() => AnyChange.Array[1, 12].Sample(changes =>
    {
        var world = World.With();
        var seen = new Dictionary<AppVersion, Root>();
        foreach (var change in changes)
        {
            world.Ask(Put("/", change));
            seen[world.State.VersionOf(AppId.Root)] = world.State.CurrentRoot();
            if (change.Length % 2 == 0) world.Settle();
        }
        foreach (var (version, root) in seen) Assert.Equal(Text(root), Text(world.State.RootAsOf(version)!));
        foreach (var (version, root) in seen.Take(3))
        {
            world.Accept(Put("/", $$"""{"version":"{{version}}"}"""));
            Assert.Equal(Unversioned(root), Unversioned(world.State.CurrentRoot()));
        }
        Assert.True(world.State.GroupVersions.Keys.ToHashSet().SetEquals(world.State.CurrentRoot().GroupIds));
        var replayed = world.Log.Select(e => SchedulerJson.ReadEvent(SchedulerJson.Write(e))).Aggregate(ClusterState.Empty, (state, e) => state.Fold(e));
        Assert.Equal(Encoding.UTF8.GetString(SchedulerJson.Write(world.State)), Encoding.UTF8.GetString(SchedulerJson.Write(replayed)));
    }, iter: 100);

    [Fact]
    public void Taking_a_change_back_brings_the_groups_back() => Gen.Select(AnyChange, AnyChange).Sample((first, second) =>
    {
        var world = World.With();
        world.Ask(Put("/", first));
        world.Settle();
        var before = world.State.CurrentRoot();
        world.IsHealthy = _ => false;
        if (world.Ask(Put("/", second)) is not Decision.Accepted { Reply.Deployment: { } deployment } || !world.State.Deployments.ContainsKey(deployment)) return;
        world.Accept(World.Cancel(deployment, force: false));
        Assert.Equal(Unversioned(before), Unversioned(world.State.CurrentRoot()));
    }, iter: 100);

    [Fact]
    public void A_large_root_fits_one_change_and_putting_it_again_fills_no_log()
    {
        var world = World.With(nodes: 0);
        static string Group(int g) => $$"""{"id":"g{{g}}","dependencies":["/base"],"apps":[{{string.Join(',', Enumerable.Range(0, 10).Select(a => $$"""{"id":"a{{a}}","cmd":"serve"}"""))}}]}""";
        var body = $$"""{"groups":[{{string.Join(',', Enumerable.Range(0, 100).Select(Group))}}]}""";
        world.Accept(Put("/", body));
        world.Accept(Put("/", body));
        Assert.Equal(1000, world.State.Apps.Values.SelectMany(a => ServicePorts.Of(a.Definition)).Distinct().Count());
        Assert.Single(world.State.Deployments);
        var again = world.Logged<SchedulerEvent.DeploymentStarted>().Last();
        Assert.True(again is { Set.IsEmpty: true, Deployment.Originals.IsEmpty: true, SetGroups.IsEmpty: true, RemovedGroups.IsEmpty: true });
    }

    private static string Text(Root root) => string.Join("\n", root.Apps.Values.Select(a => a.ToString())) + string.Join("\n", root.Groups.Values);

    private static string Unversioned(Root root) => Text(new Root(
        root.Apps.Values.ToImmutableSortedDictionary(a => a.Id, a => a with { Version = default, VersionInfo = default }), root.Groups));
}
