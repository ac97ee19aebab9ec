using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.6: readiness concerns deployments only.</summary>
public sealed class ReadinessTests
{
    private static readonly ReadinessResponse NotYet = new(503, "text/plain", "warming up");

    private static AppDefinition WithReadiness(AppDefinition app) => app with
    {
        PortDefinitions = [new PortDefinition(0, "tcp", "http-api", EquatableMap.Empty)],
        ReadinessChecks = [new ReadinessCheck { PreserveLastResponse = true }],
    };

    private static DeploymentWait TheWait(World world) =>
        Assert.Single(DeploymentWaits.Of(ClusterView.Of(world.Brain), world.State.Deployments.Values.Single(), world.Now));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_deployment_waits_until_all_are_ready(bool withHealthCheck)
    {
        var world = World.With();
        world.Readiness = i => i.Serial == 1 ? new ReadinessResponse(200, "text/plain", "yes") : NotYet;
        world.App("/web", 2, with: a => WithReadiness(a) with { HealthChecks = withHealthCheck ? [new HealthCheck { PortIndex = 0 }] : default }).Settle();
        Assert.Single(world.State.Deployments);
        Assert.Equal([false, true], world.InstancesOf("/web").Select(i => i.AwaitsReadiness));
        Assert.All(world.InstancesOf("/web"), i => Assert.True(Projections.IsPublished(world.State, i))); // they are healthy, and that alone is what callers need
        var reason = Assert.Single(TheWait(world).Reasons);
        Assert.Equal((WaitKind.NotReady, "it is healthy, but readinessCheck answers 503, not ready"), (reason.Kind, reason.Text));

        world.RestartScheduler().Settle();
        Assert.Single(world.State.Deployments);
        world.Readiness = _ => new ReadinessResponse(200, "text/plain", "yes");
        world.Settle();
        Assert.Empty(world.State.Deployments);
    }

    [Fact]
    public void An_upgrade_keeps_the_old_until_the_new_are_ready()
    {
        var world = World.With().App("/web", 2, with: WithReadiness).Settle();
        var old = world.InstancesOf("/web").Select(i => i.Id).ToList();
        world.Readiness = _ => NotYet;
        world.Accept(World.Put("/web", """{"env":{"A":"2"}}"""));
        world.Settle();
        Assert.Equal(4, world.InstancesOf("/web").Count);
        Assert.All(world.InstancesOf("/web"), i => Assert.False(i.IsStopping)); // neither the old nor those that are not ready
        world.Readiness = _ => new ReadinessResponse(200, "text/plain", "yes");
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Equal(2, world.ReadyOf("/web").Count);
        Assert.DoesNotContain(world.InstancesOf("/web"), i => old.Contains(i.Id));
    }

    [Fact]
    public void Nobody_asks_outside_of_deployments()
    {
        var world = World.With().App("/web", with: WithReadiness).Settle();
        Assert.False(world.State.IsAskedForReadiness(world.InstancesOf("/web")[0]));
        world.Readiness = _ => NotYet;
        world.Accept(World.Kill(scale: false, world.InstancesOf("/web")[0].Id));
        world.Settle();
        var replacement = Assert.Single(world.InstancesOf("/web"));
        Assert.False(replacement.AwaitsReadiness);
        Assert.False(Projections.AssignmentOf(world.State, replacement, Goal.Run, (_, _) => EquatableMap.Empty).AwaitsReadiness);
        world.Accept(World.Put("/web", """{"instances":2}"""));
        world.Settle();
        var second = world.InstancesOf("/web")[1];
        Assert.True(Projections.AssignmentOf(world.State, second, Goal.Run, (_, _) => EquatableMap.Empty).AwaitsReadiness);
        Assert.Contains(second.Node, DirtyWhen(world, () => world.Accept(World.Cancel(world.State.Deployments.Keys.Single(), force: true)))); // the node is told to ask no more
        Assert.False(world.State.IsAskedForReadiness(world.InstancesOf("/web")[1]));
    }

    private static IEnumerable<NodeId> DirtyWhen(World world, Action act)
    {
        act();
        return world.LastStep.DirtyNodes;
    }
}
