using System.Collections.Immutable;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.1, 5.2, 5.4, 2.5 and 2.9: what a change becomes, in which order, and who is in whose way.</summary>
public sealed class DeploymentTests
{
    private static readonly HealthCheck Check = new() { Protocol = HealthCheckProtocol.Http, PortIndex = 0 };

    private static string Plan(World world) => string.Join(" | ", world.State.Deployments.Values.Last().Steps.Select(Text));
    private static string Text(DeploymentStep step) => string.Join(",", step.Actions.Select(a => $"{a.Action.ToString().Replace("Application", "", StringComparison.Ordinal)} {a.App}"));

    private static World Unready(World world)
    {
        world.IsHealthy = _ => false;
        return world;
    }

    [Fact]
    public void A_new_app_has_two_steps()
    {
        var world = World.With().App("/web", 2);
        Assert.Equal("Start /web | Scale /web", Plan(world));
        Assert.Equal(2, world.State.Deployments.Values.Single().CurrentStep);
        Assert.Empty(world.Settle().State.Deployments);
        Assert.Equal(2, world.ReadyOf("/web").Count);
    }

    [Theory]
    [InlineData("""{"cmd":"other"}""", "Restart /web")]
    [InlineData("""{"labels":{"a":"b"}}""", "Restart /web")]
    [InlineData("""{"cmd":"other","instances":4}""", "Restart /web")]
    [InlineData("""{"cmd":"other","instances":0}""", "Scale /web")]
    [InlineData("""{"instances":4}""", "Scale /web")]
    public void A_change_has_one_step(string body, string plan)
    {
        var world = World.With().App("/web", 2).Settle();
        world.Accept(World.Put("/web", body));
        Assert.Equal(plan, Plan(world));
        Assert.Empty(world.Settle().State.Deployments);
        Assert.Equal(world.Of("/web").Definition.Instances, world.ReadyOf("/web").Count);
    }

    [Fact]
    public void Nothing_changed_is_done_at_once_and_restarts_nothing()
    {
        var world = World.With().App("/web", 2).Settle();
        var before = world.Of("/web");
        Assert.NotNull(world.Accept(World.Put("/web", """{"instances":2}""")).Deployment);
        Assert.Empty(world.State.Deployments);
        Assert.Equal(before.Definition, world.Of("/web").Definition);
        Assert.Equal(before.Instances.Keys, world.Settle().Of("/web").Instances.Keys);
    }

    [Fact]
    public void A_delete_stops_all_and_then_the_app_is_gone()
    {
        var world = World.With().App("/web", 2).Settle();
        world.Accept(World.Delete("/web"));
        Assert.Equal("Stop /web", Plan(world));
        Assert.Null(world.State.App(AppId.Parse("/web")));
        world.Settle();
        Assert.Empty(world.State.Apps);
        Assert.Empty(world.State.Deployments);
        Assert.Empty(world.State.Owners);
        Assert.Single(world.Logged<SchedulerEvent.AppTerminated>());
        Assert.Equal(default, world.State.Nodes.Values.Single().Used);
        Assert.Equal(RejectCode.NotFound, world.Refuse(World.Delete("/web")).Code);
    }

    [Fact]
    public void Dependants_wait_until_what_they_depend_on_is_healthy()
    {
        var world = Unready(World.With());
        world.Accept(Several(
            """[{"id":"/front","cmd":"serve","dependencies":["/api"]},{"id":"/api","cmd":"serve","dependencies":["/db"]},{"id":"/db","cmd":"serve","portDefinitions":[{"port":0}],"healthChecks":[{"protocol":"HTTP","path":"/","portIndex":0}]}]"""));
        Assert.Equal("Start /api,Start /db,Start /front | Scale /db | Scale /api | Scale /front", Plan(world));
        world.Settle();
        Assert.Single(world.InstancesOf("/db"));
        Assert.Empty(world.InstancesOf("/api"));
        Assert.Empty(world.InstancesOf("/front"));
        world.IsHealthy = _ => true;
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Single(world.ReadyOf("/front"));
        Assert.True(world.InstancesOf("/db")[0].Serial < world.InstancesOf("/api")[0].Serial && world.InstancesOf("/api")[0].Serial < world.InstancesOf("/front")[0].Serial);
    }

    [Fact]
    public void A_dependency_on_a_group_means_all_of_it()
    {
        var world = World.With();
        world.Accept(Several("""[{"id":"/shop/web","cmd":"serve","dependencies":["/base"]},{"id":"/base/a","cmd":"serve"},{"id":"/base/b/c","cmd":"serve"}]"""));
        Assert.Equal("Start /base/a,Start /base/b/c,Start /shop/web | Scale /base/a,Scale /base/b/c | Scale /shop/web", Plan(world));
    }

    [Fact]
    public void Cycles_are_refused_and_nothing_is_stored()
    {
        var world = World.With();
        var refusal = world.Refuse(Several("""[{"id":"/a","cmd":"serve","dependencies":["/b"]},{"id":"/b","cmd":"serve","dependencies":["/a"]},{"id":"/c","cmd":"serve"}]"""));
        Assert.Contains(refusal.Details, d => d.Reason.Contains("cyclic", StringComparison.Ordinal));
        Assert.Empty(world.State.Apps);
    }

    [Fact]
    public void Neither_long_chains_nor_dense_layers_of_dependencies_cost_much()
    {
        static AppDefinition App(string id, IEnumerable<string> on) => World.Definition(id) with { Dependencies = on.Select(AppId.Parse).ToEquatableArray() };
        var layers = Enumerable.Range(0, 40).SelectMany(l => Enumerable.Range(0, 3).Select(i => App($"/l{l}/a{i}", l == 0 ? [] : Enumerable.Range(0, 3).Select(j => $"/l{l - 1}/a{j}"))));
        var after = layers.ToImmutableSortedDictionary(a => a.Id, a => a);
        Assert.False(DeploymentPlan.HasCycle(after));
        Assert.Equal(41, DeploymentPlan.Steps(ImmutableSortedDictionary<AppId, AppDefinition>.Empty, after).Count);
    }

    [Fact]
    public void A_second_change_is_refused_while_the_first_runs_and_stores_nothing()
    {
        var world = Unready(World.With()).App("/web", with: a => a with { HealthChecks = [Check] }).Settle();
        var running = world.State.Deployments.Keys.Single();
        var before = world.State;
        var refusal = world.Refuse(World.Put("/web", """{"cmd":"other"}"""));
        Assert.Equal(RejectCode.Locked, refusal.Code);
        Assert.Equal([running], refusal.Deployments);
        Assert.Same(before, world.State);
        world.App("/other"); // does not touch it
        Assert.Equal(2, world.State.Deployments.Count);
    }

    [Fact]
    public void A_forced_change_cancels_what_is_in_its_way_and_wins()
    {
        var world = Unready(World.With()).App("/web", 2, with: a => a with { HealthChecks = [Check] }).Settle();
        var running = world.State.Deployments.Keys.Single();
        world.Accept(World.Put("/web", """{"cmd":"other"}""", force: true));
        Assert.Equal(running, Assert.Single(world.Logged<SchedulerEvent.DeploymentCancelled>()).Deployment);
        world.IsHealthy = _ => true;
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Equal(2, world.ReadyOf("/web").Count(i => world.Of("/web").IsCurrent(i)));
        Assert.Equal(2, world.InstancesOf("/web").Count);
    }

    [Fact]
    public void A_cancelled_restart_stays_half_done()
    {
        var world = World.With().App("/web", 3, with: a => a with { HealthChecks = [Check], UpgradeStrategy = new UpgradeStrategy(0.5, 0) }).Settle();
        var kept = world.InstancesOf("/web").Select(i => i.Id).ToHashSet();
        world.IsHealthy = i => kept.Contains(i.Id);
        world.Accept(World.Put("/web", """{"cmd":"other"}"""));
        world.Settle();
        world.Accept(World.Cancel(world.State.Deployments.Keys.Single(), force: true));
        world.IsHealthy = _ => true;
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Equal("other", world.Of("/web").Definition.Cmd);
        Assert.Equal(2, world.ReadyOf("/web").Count(i => kept.Contains(i.Id)));
        Assert.Equal(3, world.ReadyOf("/web").Count);
    }

    [Fact]
    public void Rolling_back_a_first_deployment_removes_the_app()
    {
        var world = World.With(cpus: 1).App("/web", with: a => a with { Resources = new Resources(1000, 10, 0) }).Settle();
        world.Accept(World.Cancel(world.State.Deployments.Keys.Single(), force: false));
        Assert.Empty(world.Settle().State.Apps);
        Assert.Empty(world.State.Deployments);
    }

    [Fact]
    public void Rolling_back_a_stuck_update_brings_the_old_configuration_back()
    {
        var world = World.With(cpus: 4).App("/web", 2).Settle();
        world.Accept(World.Put("/web", """{"cpus":1000}"""));
        world.Settle();
        world.Accept(World.Cancel(world.State.Deployments.Keys.Single(), force: false));
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Equal(0.5, world.Of("/web").Definition.Resources.Cpus);
        Assert.Equal(2, world.ReadyOf("/web").Count);
    }

    [Fact]
    public void Rolling_back_a_scaling_restores_the_count()
    {
        var world = World.With(cpus: 1).App("/web", 2).Settle();
        world.Accept(World.Put("/web", """{"instances":20}"""));
        world.Settle();
        world.Accept(World.Cancel(world.State.Deployments.Keys.Single(), force: false));
        Assert.Equal(2, world.Settle().InstancesOf("/web").Count);
        Assert.Empty(world.State.Deployments);
    }

    [Fact]
    public void Rolling_back_a_restart_ends_it()
    {
        var world = World.With().App("/web", 2, with: a => a with { HealthChecks = [Check] }).Settle();
        world.IsHealthy = i => i.Serial <= 2;
        world.Accept(World.Restart("/web"));
        world.Settle();
        var restart = world.State.Deployments.Keys.Single();
        world.Accept(World.Cancel(restart, force: false));
        Assert.Contains(world.Logged<SchedulerEvent.DeploymentCancelled>(), e => e.Deployment == restart);
        Assert.Empty(world.Settle().State.Deployments);
    }

    /// <summary>Found by the simulator: an undo brought back an app that had been deleted meanwhile, for the change undone had named it without changing it.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Undoing_leaves_alone_what_the_change_had_left_as_it_was(bool deleted)
    {
        var world = World.With().App("/a").App("/b", instances: 0).Settle();
        var scaled = world.Accept(new Command.WriteApps(
            [new AppWrite(AppId.Parse("/a"), World.Json("""{"instances":2}""")), new AppWrite(AppId.Parse("/b"), World.Json("""{"instances":0}"""))],
            Partial: true, MayCreate: true, Force: false) { Origin = ChangeOrigin.Internal });
        world.Accept(deleted ? World.Delete("/b") : World.Put("/b", """{"instances":3}"""));
        world.Accept(World.Cancel(scaled.Deployment!, force: false));
        world.Settle();
        Assert.Equal(1, world.Of("/a").Definition.Instances);
        Assert.Equal(deleted ? null : 3, world.State.App(AppId.Parse("/b"))?.Definition.Instances);
    }

    [Fact]
    public void Cancelling_what_does_not_run_is_not_found() => Assert.Equal(RejectCode.NotFound, World.With().Refuse(World.Cancel("nope", false)).Code);

    [Fact]
    public void Killing_with_scale_is_a_deployment_and_without_it_respawns()
    {
        var world = World.With().App("/web", 3).Settle();
        world.Accept(World.Kill(false, world.InstancesOf("/web")[0].Id));
        Assert.Equal([2, 3, 4], world.Settle().InstancesOf("/web").Select(i => i.Serial));
        var killed = world.Accept(World.Kill(true, world.InstancesOf("/web")[0].Id));
        Assert.Single(killed.Instances);
        Assert.Equal([3, 4], world.Settle().InstancesOf("/web").Select(i => i.Serial));
        Assert.Equal(2, world.Of("/web").Definition.Instances);
    }

    [Fact]
    public void Versions_grow_and_tell_scaling_from_configuration()
    {
        var world = World.With().App("/web").Settle();
        var created = world.Of("/web").Definition;
        Assert.Equal(new VersionInfo(created.Version, created.Version), created.VersionInfo);

        world.Accept(World.Put("/web", """{"instances":2}"""));
        var scaled = world.Settle().Of("/web").Definition;
        Assert.True(scaled.Version > created.Version); // although the clock stood still
        Assert.Equal(new VersionInfo(scaled.Version, created.Version), scaled.VersionInfo);
        Assert.All(world.InstancesOf("/web"), i => Assert.Equal(created.Version, i.Version));

        world.Accept(World.Restart("/web"));
        var restarted = world.Settle().Of("/web").Definition;
        Assert.Equal(new VersionInfo(scaled.Version, restarted.Version), restarted.VersionInfo);
        Assert.All(world.InstancesOf("/web"), i => Assert.True(i.Serial > 2));

        world.Now = world.Now.AddHours(-1);
        world.Accept(World.Put("/web", """{"cmd":"other"}"""));
        var changed = world.Settle().Of("/web").Definition;
        Assert.Equal(new VersionInfo(changed.Version, changed.Version), changed.VersionInfo);
        Assert.True(changed.Version > restarted.Version);
        Assert.Equal([created.Version, scaled.Version, restarted.Version, changed.Version], world.Of("/web").Versions.Keys);
    }

    [Fact]
    public void An_old_version_can_be_put_back()
    {
        var world = World.With().App("/web").Settle();
        var created = world.Of("/web").Definition.Version;
        world.Accept(World.Put("/web", """{"cmd":"other"}"""));
        world.Settle().Accept(World.Put("/web", $$"""{"version":"{{created}}"}"""));
        Assert.Equal("serve", world.Settle().Of("/web").Definition.Cmd);
        Assert.Equal(RejectCode.NotFound, world.Refuse(World.Put("/web", """{"version":"2001-01-01T00:00:00.000Z"}""")).Code);
    }

    [Fact]
    public void Fifty_versions_are_kept_and_those_that_run_besides()
    {
        var world = World.With();
        world.IsHealthy = i => i.Serial == 1;
        world.App("/web", with: a => a with { HealthChecks = [Check] }).Settle();
        var first = world.Of("/web").Definition.Version;
        for (var i = 0; i < 60; i++) world.Accept(World.Put("/web", $$"""{"cmd":"serve{{i}}"}""", force: true));
        Assert.True(world.Of("/web").Versions.Count is >= 50 and <= 55);
        Assert.True(world.Of("/web").Versions.ContainsKey(first));
        Assert.Equal("serve", world.Of("/web").DefinitionOf(world.InstancesOf("/web")[0]).Cmd);
    }

    [Fact]
    public void Service_ports_are_the_lowest_free_and_kept()
    {
        var world = World.With(settings: new SchedulerSettings { ServicePortMin = 10000, ServicePortMax = 10003 });
        world.App("/a", ports: 2).App("/b").Settle();
        Assert.Equal([10000, 10001], ServicePorts.Of(world.Of("/a").Definition));
        Assert.Equal([10002], ServicePorts.Of(world.Of("/b").Definition));
        world.Accept(World.Put("/a", """{"cmd":"other","portDefinitions":[{"port":0}]}"""));
        Assert.Equal([10000], ServicePorts.Of(world.Settle().Of("/a").Definition));
        world.App("/c").App("/d").Settle();
        Assert.Equal([10001], ServicePorts.Of(world.Of("/c").Definition));
        var refusal = world.Refuse(World.Create(World.Definition("/e")));
        Assert.Contains("All ports in the range", Assert.Single(refusal.Details).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void An_app_and_a_group_may_not_share_a_path()
    {
        var world = World.With().App("/shop/web");
        Assert.Equal(RejectCode.NotValid, world.Refuse(World.Create(World.Definition("/shop"))).Code);
        Assert.Equal(RejectCode.NotValid, world.Refuse(World.Create(World.Definition("/shop/web/a"))).Code);
        Assert.Equal(RejectCode.Exists, world.Refuse(World.Create(World.Definition("/shop/web"))).Code);
    }

    [Fact]
    public void There_is_a_limit_to_running_deployments()
    {
        var world = World.With(settings: new SchedulerSettings { DeploymentsMax = 1 }).App("/a", with: a => a with { Resources = new Resources(99, 1, 0) });
        Assert.Equal(RejectCode.TooMany, world.Refuse(World.Create(World.Definition("/b"))).Code);
    }

    [Fact]
    public void An_app_that_is_created_again_while_it_goes_starts_clean()
    {
        var world = World.With().App("/web", 2).Settle();
        world.Accept(World.Delete("/web"));
        world.Accept(World.Create(World.Definition("/web", 1), force: true));
        world.Settle();
        Assert.Single(world.ReadyOf("/web"), i => i.Serial > 2);
        Assert.Single(world.InstancesOf("/web"));
        Assert.Empty(world.State.Deployments);
        Assert.Empty(world.Logged<SchedulerEvent.AppTerminated>());
    }

    [Fact]
    public void A_deployment_goes_on_under_the_next_scheduler()
    {
        var world = World.With().App("/web", 3, with: a => a with { HealthChecks = [Check], UpgradeStrategy = new UpgradeStrategy(1, 0) }).Settle();
        world.Accept(World.Put("/web", """{"cmd":"other"}"""));
        world.Round();
        var running = world.State.Deployments.Keys.Single();
        world.RestartScheduler();
        Assert.Equal(running, world.State.Deployments.Keys.Single());
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Equal(3, world.ReadyOf("/web").Count(i => world.Of("/web").IsCurrent(i)));
    }

    private static Command Several(string json) => new Command.WriteApps(
        World.Json(json).EnumerateArray().Select(app => new AppWrite(null, app)).ToEquatableArray(), Partial: true, MayCreate: true, Force: false) { Origin = ChangeOrigin.Internal };
}
