using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.7.</summary>
public sealed class KillOrderTests
{
    private static World Aged(KillSelection selection, int count = 3)
    {
        var world = World.With(nodes: 2, attributes: i => [("rack", $"r{i}")]).App("/web", 0, with: a => a with { KillSelection = selection });
        world.Settle();
        for (var i = 1; i <= count; i++)
        {
            world.Now = world.Now.AddSeconds(1);
            world.Accept(World.Put("/web", $$"""{"instances":{{i}}}"""));
            world.Settle();
        }
        return world;
    }

    private static long[] Order(World world, int count) =>
        KillOrder.Choose(world.State, world.Of("/web"), world.InstancesOf("/web").ToList(), count)
            .Select(id => world.State.Instance(id)!.Serial).ToArray();

    [Theory]
    [InlineData(KillSelection.YoungestFirst, new long[] { 3, 2 })]
    [InlineData(KillSelection.OldestFirst, new long[] { 1, 2 })]
    public void Running_ones_go_by_age(KillSelection selection, long[] order) => Assert.Equal(order, Order(Aged(selection), 2));

    [Fact]
    public void Unreachable_then_staging_then_starting_then_running()
    {
        var world = Aged(KillSelection.OldestFirst, 2);
        world.Accept(World.Put("/web", """{"instances":5}"""));
        world.Report(world.InstancesOf("/web")[3], r => r with { Phase = Phase.Starting, StartedAt = null });
        var nodes = world.NodesOf("/web");
        Assert.Equal([3, 5, 4, 1, 2], Order(world, 5));
        var unreachable = world.State with { Nodes = world.State.Nodes.SetItem(nodes[1], world.State.Nodes[nodes[1]] with { LostAt = world.Now }) };
        var first = KillOrder.Choose(unreachable, world.Of("/web"), world.InstancesOf("/web").ToList(), 1).Single();
        Assert.Equal(nodes[1], world.State.Instance(first)!.Node);
    }

    [Fact]
    public void Group_by_evens_out_first_and_other_constraints_are_not_looked_at()
    {
        var world = World.With(nodes: 2, attributes: i => [("rack", $"r{i}")])
            .App("/web", 4, with: a => a with { Constraints = [new("rack", ConstraintOperator.GroupBy, "2")] }).Settle();
        world.Accept(World.Put("/web", """{"instances":2}"""));
        world.Settle();
        Assert.Equal(2, world.NodesOf("/web").Distinct().Count());
    }

    [Fact]
    public void Even_groups_do_not_cost_an_instance_that_serves()
    {
        var world = World.With(nodes: 2, attributes: i => [("rack", $"r{i}")]);
        world.IsHealthy = i => i.Node.Name == "n1";
        world.App("/web", 3, with: a => a with
        {
            Constraints = [new("rack", ConstraintOperator.GroupBy, "2")], HealthChecks = [new HealthCheck { Protocol = HealthCheckProtocol.Http, PortIndex = 0 }],
        }).Settle();
        var healthy = world.ReadyOf("/web").Count;
        world.Accept(World.Put("/web", """{"instances":2}""", force: true));
        Assert.Equal(healthy, world.Settle().ReadyOf("/web").Count);
    }

    [Fact]
    public void Scaling_up_and_down_keeps_the_first_task()
    {
        var world = World.With().App("/web").Settle();
        var first = world.InstancesOf("/web").Single().Id;
        world.Now = world.Now.AddSeconds(5);
        world.Accept(World.Put("/web", """{"instances":2}"""));
        world.Settle().Accept(World.Put("/web", """{"instances":1}"""));
        Assert.Equal(first, world.Settle().InstancesOf("/web").Single().Id);
    }
}
