using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>What a rehearsal says is what then happens.</summary>
public sealed class RehearsalTests
{
    private static Rehearsed Rehearse(World world, Command command) =>
        Rehearsal.Of(world.State, Assert.IsType<Decision.Accepted>(Decider.Decide(world.State, command, new SchedulerSettings(), world.Now)), world.Now);

    [Theory]
    [InlineData(3, 1, 1, 3)]   // double, and none is missed
    [InlineData(3, 1, 0, 3)]   // one extra
    [InlineData(4, 0.5, 0, 2)]
    [InlineData(3, 0.5, 0, 2)]
    [InlineData(1, 0, 0, 0)]   // a gap
    public void The_least_that_serves_on_the_way_follows_from_the_strategy(int instances, double min, double over, int least)
    {
        var world = World.With().App("/web", instances, with: a => a with { UpgradeStrategy = new UpgradeStrategy(min, over) }).Settle();
        var app = Rehearse(world, World.Put("/web", """{"cmd":"other"}""")).Apps.Single();
        Assert.Equal((instances, least), (app.HealthyBefore, app.HealthyLeast));
        Assert.Equal(instances, app.Placed.Count);
        Assert.Equal(instances, app.Stopped.Count);

        var seen = instances;
        world.Accept(World.Put("/web", """{"cmd":"other"}"""));
        while (world.Round().Count > 0) seen = Math.Min(seen, world.ReadyOf("/web").Count);
        Assert.True(seen >= least, $"{seen} served, {least} were foretold");
        Assert.Equal(app.Placed.Select(p => (p.Instance, p.Node)), world.InstancesOf("/web").Select(i => (i.Id, i.Node)));
    }

    [Fact]
    public void What_finds_no_place_waits_with_each_nodes_reason()
    {
        var world = World.With(nodes: 2, cpus: 1).App("/web", 2).Settle();
        var rehearsed = Rehearse(world, World.Put("/web", """{"instances":9}"""));
        var app = rehearsed.Apps.Single();
        Assert.False(rehearsed.Complete);
        Assert.Equal(2, app.Placed.Count);
        Assert.Equal(5, app.Waiting!.Waiting);
        Assert.All(app.Waiting.NoFits, n => Assert.Equal(NoFitReason.InsufficientCpus, n.Reason));
        Assert.Equal(2, app.Waiting.NoFits.Count);
    }

    [Fact]
    public void Steps_wait_for_each_other_in_the_rehearsal_too()
    {
        var world = World.With(cpus: 1).App("/db", with: a => a with { Resources = new Resources(0.5, 64, 0) }).Settle();
        var rehearsed = Rehearse(world, new Command.WriteGroup(AppId.Root, World.Json(
            """{"apps":[{"id":"/db","cmd":"run","cpus":90},{"id":"/web","cmd":"run","cpus":0.1,"dependencies":["/db"]}]}"""), true, true) { Origin = ChangeOrigin.Internal });
        Assert.False(rehearsed.Complete);
        Assert.Empty(rehearsed.Apps.Single(a => a.App == AppId.Parse("/web")).Placed);
        Assert.NotNull(rehearsed.Apps.Single(a => a.App == AppId.Parse("/db")).Waiting);
    }

    [Fact]
    public void A_deletion_ends_with_nothing()
    {
        var world = World.With().App("/web", 2).Settle();
        var rehearsed = Rehearse(world, World.Delete("/web"));
        var app = rehearsed.Apps.Single();
        Assert.True(rehearsed.Complete);
        Assert.Null(app.After);
        Assert.Equal((2, 0, 2), (app.HealthyBefore, app.HealthyLeast, app.Stopped.Count));
    }

    [Fact]
    public void However_large_the_change_the_rehearsal_ends_soon()
    {
        var world = World.With(nodes: 4, cpus: 10_000, memMib: 1e9, ports: 1);
        var rehearsed = Rehearse(world, World.Create(World.Definition("/huge", 20_000, ports: 0)));
        Assert.False(rehearsed.Complete);
        Assert.InRange(rehearsed.Apps.Single().Placed.Count, 0, Rehearsal.EventsMax + Planner.LaunchesMax);
    }

    [Fact]
    public void Differences_are_told_by_place_and_mirrors_are_none()
    {
        var before = World.Definition("/web") with { Env = EquatableMap.Empty.With("A", "1").With("B", "2") };
        var after = before with { Env = EquatableMap.Empty.With("A", "3").With("C", "4"), Instances = 7, PortDefinitions = [new PortDefinition(10001, "tcp", null, EquatableMap.Empty)] };
        var differences = AppDifference.Between(before, after);
        Assert.Equal(["/env/A", "/env/B", "/env/C", "/instances", "/portDefinitions"], differences.Select(d => d.Path).Order(StringComparer.Ordinal));
        Assert.Equal(new AppDifference("/env/A", "\"1\"", "\"3\""), differences.Single(d => d.Path == "/env/A"));
        Assert.Null(differences.Single(d => d.Path == "/env/C").From);
        Assert.Null(differences.Single(d => d.Path == "/env/B").To);
        Assert.Empty(AppDifference.Between(before, before));
    }
}
