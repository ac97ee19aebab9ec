using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>A step that does not go on says why, since when, and whether its own strategy stops it.</summary>
public sealed class DeploymentWaitTests
{
    private static DeploymentWait TheWait(World world) =>
        Assert.Single(DeploymentWaits.Of(ClusterView.Of(world.Brain), world.State.Deployments.Values.Single(), world.Now));

    private static WaitReason Only(World world) => Assert.Single(TheWait(world).Reasons);

    [Fact]
    public void Unique_on_every_node_with_over_capacity_only()
    {
        var world = World.With(nodes: 2).App("/web", 2, with: a => a with { Constraints = [new("hostname", ConstraintOperator.Unique, null)] }).Settle();
        world.Now = world.Now.AddSeconds(10);
        world.Accept(World.Put("/web", """{"env":{"A":"2"}}"""));
        world.Settle();
        var wait = TheWait(world);
        Assert.Equal(world.Now, wait.Since);
        Assert.Equal(WaitKind.NotPlaced, wait.Reasons[0].Kind);
        Assert.StartsWith("upgradeStrategy.minimumHealthCapacity below 1 (at most 0.5 for 2 instances)", wait.Hint);
        world.Accept(World.Put("/web", """{"upgradeStrategy":{"minimumHealthCapacity":0.5,"maximumOverCapacity":0}}""", force: true));
        world.Settle();
        Assert.Empty(world.State.Deployments); // the hint was right
    }

    [Theory]
    [InlineData("fixed ports")]
    [InlineData("a full node")]
    public void The_old_ones_hold_the_place(string what)
    {
        var world = World.With(cpus: 1).App("/web", with: a => what == "fixed ports"
            ? a with { PortDefinitions = [new PortDefinition(31005, "tcp", null, EquatableMap.Empty)], RequirePorts = true, Resources = new Resources(0.1, 1, 0) }
            : a with { Resources = new Resources(0.75, 1, 0) }).Settle();
        world.Accept(World.Put("/web", """{"env":{"A":"2"}}"""));
        world.Settle();
        Assert.StartsWith("upgradeStrategy.minimumHealthCapacity below 1 (at most 0 for 1 instances)", TheWait(world).Hint);
    }

    [Fact]
    public void A_node_that_is_too_small_is_no_fault_of_the_strategy()
    {
        var world = World.With().App("/web").Settle();
        world.Accept(World.Put("/web", """{"cpus":1000}"""));
        world.Settle();
        Assert.Null(TheWait(world).Hint);
        Assert.Equal("1 instance not placed on n1: needs 1000 cpus, 15.5 of 16 free", Only(world).Text);
    }

    [Fact]
    public void Without_a_node() => Assert.Equal("1 instance not placed: no node is connected", Only(World.With(nodes: 0).App("/web")).Text);

    [Fact]
    public void Starting_in_the_agents_words()
    {
        var world = World.With().App("/web");
        world.Report(world.InstancesOf("/web")[0], r => r with { Phase = Phase.Staging, Detail = "pulling image 3 of 7 MB" });
        Assert.Equal((WaitKind.Starting, "it is starting: pulling image 3 of 7 MB"), (Only(world).Kind, Only(world).Text));
    }

    [Fact]
    public void Not_healthy_with_the_last_cause()
    {
        var world = World.With();
        world.IsHealthy = _ => false;
        world.App("/web", with: a => a with { HealthChecks = [new HealthCheck { PortIndex = 0 }] }).Settle();
        Assert.Equal((WaitKind.NotHealthy, "it runs, but its health checks fail: no"), (Only(world).Kind, Only(world).Text));
    }

    [Fact]
    public void Delayed_after_a_failure()
    {
        var world = World.With().App("/web", with: a => a with { Backoff = new Backoff(60, 1, 300) });
        world.End(world.InstancesOf("/web")[0]);
        Assert.Equal((WaitKind.Delayed, "1 instance not launched before 2026-01-01T00:01:00.000Z, because earlier ones failed: it ended"), (Only(world).Kind, Only(world).Text));
    }

    [Fact]
    public void Draining_and_then_stopping()
    {
        var world = World.With().App("/web", 2).Settle();
        world.Nodes["n1"].ServesOnly = world.State.Revision;
        world.Accept(World.Put("/web", """{"instances":1}"""));
        world.Round();
        Assert.Equal(WaitKind.Draining, Only(world).Kind);
        world.Nodes["n1"].ServesOnly = null;
        world.Acknowledge();
        Assert.Equal(WaitKind.Stopping, Only(world).Kind);
    }

    [Fact]
    public void On_a_lost_node()
    {
        var world = World.With(nodes: 2).App("/web", 2, with: a => a with
        {
            UnreachableStrategy = UnreachableStrategy.Disabled, HealthChecks = [new HealthCheck { PortIndex = 0 }], Constraints = [new("hostname", ConstraintOperator.Unique, null)],
        });
        world.IsHealthy = _ => false;
        world.Settle();
        world.Lose("n2");
        Assert.Contains(TheWait(world).Reasons.Items, r => r is { Kind: WaitKind.Unreachable, Node.Name: "n2" });
    }
}
