using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.9.</summary>
public sealed class BackoffTests
{
    private static World Crashing(double max = 300) =>
        World.With().App("/web", with: a => a with { Backoff = new Backoff(1, 1.15, max) }).Settle();

    /// <summary>Ends the only instance, and waits until the next one is placed.</summary>
    private static double Crash(World world, TerminalState state = TerminalState.Failed, bool healthKill = false)
    {
        world.End(world.InstancesOf("/web").Single(), state, healthKill);
        var from = world.Now;
        if (world.InstancesOf("/web").Count == 0) world.Now = world.Brain.NextLookAt!.Value;
        world.Step();
        Assert.Single(world.InstancesOf("/web"));
        return (world.Now - from).TotalSeconds;
    }

    [Fact]
    public void Each_failure_in_a_row_delays_longer()
    {
        var world = Crashing();
        foreach (var seconds in new[] { 1, 1.15, 1.3225, 1.520875 })
        {
            Assert.Equal(seconds, Crash(world), 6);
            world.Round();
        }
    }

    [Fact]
    public void The_delay_is_capped()
    {
        var world = Crashing(max: 1.2);
        Assert.Equal([1, 1.15, 1.2, 1.2], Enumerable.Range(0, 4).Select(_ => Math.Round(Crash(world), 6)));
    }

    [Fact]
    public void A_long_life_is_forgiven()
    {
        var world = Crashing(max: 60);
        Crash(world);
        Crash(world);
        world.Round();
        for (var i = 0; i < 12; i++)
        {
            world.Now = world.Now.AddSeconds(5.1);
            world.Round();
        }
        Assert.Equal(1, Crash(world), 6);
    }

    [Theory]
    [InlineData(TerminalState.Failed, false, 1)]
    [InlineData(TerminalState.Error, false, 1)]
    [InlineData(TerminalState.Finished, false, 1)]
    [InlineData(TerminalState.Gone, false, 1)]
    [InlineData(TerminalState.Killed, true, 1)]
    [InlineData(TerminalState.Killed, false, 0)]
    public void What_counts(TerminalState state, bool healthKill, double seconds) => Assert.Equal(seconds, Crash(Crashing(), state, healthKill), 6);

    [Fact]
    public void A_lost_node_is_no_fault_of_the_app()
    {
        var world = World.With(nodes: 2).App("/web").Settle();
        world.Lose(world.NodesOf("/web").Single().Name);
        Assert.Null(world.Of("/web").Delay);
        Assert.Single(world.Settle().ReadyOf("/web"));
    }

    [Fact]
    public void Scaling_keeps_the_delay()
    {
        var world = Crashing();
        world.End(world.InstancesOf("/web").Single());
        world.Accept(World.Put("/web", """{"instances":2}"""));
        Assert.Empty(world.InstancesOf("/web"));
        Assert.NotNull(world.Of("/web").Delay);
        Assert.Equal(2, world.Brain.Queue[AppId.Parse("/web")].Explanation.Waiting);
        Assert.Equal(world.Now.AddSeconds(1), world.Brain.Queue[AppId.Parse("/web")].Explanation.DelayedUntil);
    }

    [Fact]
    public void A_new_configuration_starts_at_once() => StartsAtOnceAfter(World.Put("/web", """{"cmd":"serve2"}"""));

    [Fact]
    public void A_restart_starts_at_once() => StartsAtOnceAfter(World.Restart("/web"));

    [Fact]
    public void Deleting_the_delay_starts_at_once() => StartsAtOnceAfter(World.ResetDelay("/web"));

    [Fact]
    public void There_is_no_delay_to_delete_when_nothing_waits() =>
        Assert.Equal(RejectCode.NotFound, Crashing().Refuse(World.ResetDelay("/web")).Code);

    [Fact]
    public void The_old_configurations_failures_do_not_delay_the_new()
    {
        var world = Crashing();
        var old = world.InstancesOf("/web").Single();
        world.Accept(World.Put("/web", """{"cmd":"serve2"}"""));
        world.End(old);
        Assert.Null(world.Of("/web").Delay);
    }

    private static void StartsAtOnceAfter(Command command)
    {
        var world = Crashing();
        world.End(world.InstancesOf("/web").Single());
        Assert.Empty(world.InstancesOf("/web"));
        world.Accept(command);
        Assert.Single(world.InstancesOf("/web"));
        Assert.Null(world.Of("/web").Delay);
    }
}
