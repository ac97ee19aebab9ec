using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>PLATFORM_DEPLOY_TIMEOUT and PLATFORM_AUTO_ROLLBACK: a deployment that does not come about ends, and may be undone.</summary>
public sealed class DeploymentLimitTests
{
    private static AppDefinition Limited(AppDefinition app, string timeout = "1m", bool rollback = false) => app with
    {
        HealthChecks = [new HealthCheck { PortIndex = 0 }],
        Labels = EquatableMap.Empty.With(DeploymentPolicy.TimeoutLabel, timeout).With(DeploymentPolicy.AutoRollbackLabel, rollback ? "true" : "false"),
    };

    private static World Stuck(bool rollback)
    {
        var world = World.With().App("/web", 2, with: a => Limited(a, rollback: rollback)).Settle();
        world.IsHealthy = i => world.Of("/web").DefinitionOf(i).Env.Count == 0;
        world.Accept(World.Put("/web", """{"env":{"A":"2"}}"""));
        return world.Settle();
    }

    private static SchedulerEvent.DeploymentCancelled TheEnd(World world) => Assert.Single(world.Logged<SchedulerEvent.DeploymentCancelled>());

    private static World Pass(World world, int seconds)
    {
        for (var i = 0; i < seconds; i++)
        {
            world.Now = world.Now.AddSeconds(1);
            world.Round();
        }
        return world;
    }

    [Fact]
    public void In_time_nothing_happens_and_after_it_the_deployment_has_failed()
    {
        var world = Stuck(rollback: false);
        Pass(world, 59);
        Assert.Single(world.State.Deployments);
        Pass(world, 1);
        Assert.Empty(world.State.Deployments);
        Assert.Equal(DeploymentOutcome.TimedOut, TheEnd(world).Outcome);
        Assert.Equal("The deployment has not succeeded within 60 s; /web: it runs, but its health checks fail: no", TheEnd(world).Reason);
        Assert.Equal("2", world.Of("/web").Definition.Env["A"]); // like a cancellation by force: what was asked for stays
    }

    [Fact]
    public void With_auto_rollback_the_old_configuration_runs_again()
    {
        var world = Stuck(rollback: true);
        var id = world.State.Deployments.Keys.Single();
        Pass(world, 61);
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Empty(world.Of("/web").Definition.Env);
        Assert.Equal(2, world.ReadyOf("/web").Count);
        Assert.Equal(2, world.InstancesOf("/web").Count);
        Assert.EndsWith("it is rolled back", TheEnd(world).Reason);
        var undone = world.State.Records[^1];
        Assert.Equal((id, DeploymentOutcome.Succeeded), (undone.RollbackOf, undone.Outcome));
    }

    [Fact]
    public void The_time_goes_on_while_no_scheduler_runs()
    {
        var world = Stuck(rollback: true);
        world.Now = world.Now.AddSeconds(300);
        world.RestartScheduler().Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Empty(world.Of("/web").Definition.Env);
    }

    [Fact]
    public void A_rollback_is_not_rolled_back()
    {
        var world = Stuck(rollback: true);
        world.IsHealthy = _ => false;
        foreach (var instance in world.InstancesOf("/web")) world.End(instance);
        Pass(world, 200);
        Assert.Empty(world.State.Deployments);
        Assert.Equal(2, world.Logged<SchedulerEvent.DeploymentCancelled>().Count());
        Assert.Equal(3, world.Logged<SchedulerEvent.DeploymentStarted>().Count());
        Assert.Equal([DeploymentOutcome.Succeeded, DeploymentOutcome.TimedOut, DeploymentOutcome.TimedOut], world.State.Records.Select(r => r.Outcome!.Value));
    }

    [Fact]
    public void A_new_app_that_never_comes_about_is_gone_again()
    {
        var world = World.With().App("/big", with: a => Limited(a with { Resources = new Resources(99, 1, 0) }, "10s", rollback: true));
        Pass(world, 11);
        world.Settle();
        Assert.Empty(world.State.Apps);
        Assert.Contains("needs 99 cpus, 16 of 16 free", TheEnd(world).Reason);
    }

    [Fact]
    public void The_cluster_may_set_it_for_all()
    {
        var world = World.With(settings: new SchedulerSettings { DeployTimeout = TimeSpan.FromSeconds(5), AutoRollback = true });
        world.App("/big", with: a => a with { Resources = new Resources(99, 1, 0) });
        world.App("/patient", with: a => Limited(a, "2h") with { Resources = new Resources(99, 1, 0) });
        Pass(world, 6);
        world.Settle();
        Assert.Equal(["/patient"], world.State.Apps.Keys.Select(a => a.Path));
    }

    [Fact]
    public void A_rolled_back_scale_down_gives_its_tasks_again()
    {
        var world = World.With().App("/web", 2).Settle();
        world.Nodes["n1"].ServesOnly = world.State.Revision; // it does not let go, so the scaling is under way
        world.Accept(World.Put("/web", """{"instances":1}"""));
        world.Round();
        world.Accept(World.Cancel(world.State.Deployments.Keys.Single(), force: false));
        world.Nodes["n1"].ServesOnly = null;
        world.Settle();
        Assert.Equal(2, world.ReadyOf("/web").Count);
        Assert.Empty(world.State.Deployments);
    }

    [Theory]
    [InlineData("30", 30)]
    [InlineData("30s", 30)]
    [InlineData("5m", 300)]
    [InlineData("2h", 7200)]
    [InlineData("0", null)]
    [InlineData("", null)]
    [InlineData("-5", null)]
    [InlineData("5 m", null)]
    [InlineData("1.5h", null)]
    [InlineData("1d", null)]
    [InlineData("99999999h", null)]
    public void Times(string text, int? seconds) =>
        Assert.Equal(seconds, DeploymentPolicy.TryParse(text, out var timeout) ? (int)timeout.TotalSeconds : null);
}
