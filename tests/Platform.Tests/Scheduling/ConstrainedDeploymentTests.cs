using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>What Marathon's own tests check of deployments under constraints (contract 9, items 43, 44, 47).</summary>
public sealed class ConstrainedDeploymentTests
{
    private static AppDefinition On(AppDefinition app, string host) => app with { Constraints = [new("hostname", ConstraintOperator.Is, host)] };

    [Fact]
    public void Pinned_and_too_large_for_a_second_one()
    {
        var world = World.With(nodes: 2, cpus: 1).App("/pinned", 2, with: a => On(a, "n1") with { Resources = new Resources(0.75, 1, 0) }).Settle();
        Assert.Single(world.InstancesOf("/pinned"));
        Assert.Single(world.State.Deployments);
    }

    [Fact]
    public void Pinned_to_nowhere()
    {
        var world = World.With(nodes: 2).App("/pinned", with: a => On(a, "n9")).Settle();
        Assert.Empty(world.InstancesOf("/pinned"));
        Assert.Single(world.State.Deployments);
    }

    [Fact]
    public void Scaled_down_with_a_constraint_while_one_is_unreachable()
    {
        var world = World.With(nodes: 3).App("/web", 3, with: a => a with
        {
            Constraints = [new("hostname", ConstraintOperator.Unique, null)], UnreachableStrategy = UnreachableStrategy.Disabled,
        }).Settle();
        world.Lose("n3").Settle();
        world.Accept(World.Put("/web", """{"instances":2}"""));
        world.Settle();
        Assert.Empty(world.State.Deployments);
        Assert.Equal(["n1", "n2"], world.NodesOf("/web").Select(n => n.Name).Order());
    }

    [Fact]
    public void Scaled_down_evenly_over_the_groups()
    {
        var world = World.With(nodes: 4, attributes: i => [("rack", i <= 2 ? "a" : "b")])
            .App("/web", 6, with: a => a with { Constraints = [new("rack", ConstraintOperator.GroupBy, "2")] }).Settle();
        world.Accept(World.Put("/web", """{"instances":4}"""));
        world.Settle();
        Assert.Equal([2, 2], world.InstancesOf("/web").CountBy(i => world.State.Nodes[i.Node].Description.Attributes["rack"]).Select(c => c.Value));
    }
}
