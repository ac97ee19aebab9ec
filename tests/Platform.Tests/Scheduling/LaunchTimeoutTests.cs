using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.7: a launch that does not come to a running task is not waited for without end.</summary>
public sealed class LaunchTimeoutTests
{
    private static readonly SchedulerSettings Settings = new() { TaskLaunchTimeout = TimeSpan.FromSeconds(60), TaskLaunchConfirmTimeout = TimeSpan.FromSeconds(90), NodeLostAfter = TimeSpan.FromHours(1) };

    private static Instance Only(World world) => Assert.Single(world.InstancesOf("/web"));
    private static void Stage(World world) => world.Report(Only(world), r => r with { Phase = Phase.Staging, StartedAt = null, Detail = "Pulling image web" });

    [Fact]
    public void A_task_that_is_staged_too_long_is_killed_and_counts_as_failed()
    {
        var world = World.With(settings: Settings).App("/web", with: a => a with { Backoff = new Backoff(10, 2, 300) });
        var first = Only(world);
        Stage(world);
        Assert.Equal(world.Now.AddSeconds(60), world.Brain.NextLookAt);
        world.Advance(59);
        Assert.False(Only(world).IsStopping);
        world.Advance(1);
        Assert.Equal((Goal.Stop, StopReason.NotLaunched), (Only(world).Goal, Only(world).StopReason));
        Assert.Equal((first.Id, TerminalState.Failed), (world.Of("/web").LastFailure!.Instance, world.Of("/web").LastFailure!.State));
        Assert.Equal(world.Now.AddSeconds(10), world.Of("/web").Delay!.Until);
        Assert.Empty(world.Settle().InstancesOf("/web"));
        world.Advance(10);
        Assert.NotEqual(first.Id, Only(world.Settle()).Id);
    }

    [Fact]
    public void A_task_that_its_node_has_never_confirmed_is_given_up()
    {
        var world = World.With(settings: Settings).App("/web");
        var first = Only(world);
        world.Advance(89);
        Assert.Equal(first.Id, Only(world).Id);
        world.Advance(1);
        Assert.NotEqual(first.Id, Only(world).Id);
        Assert.Equal(TerminalState.Lost, world.Logged<SchedulerEvent.InstanceEnded>().Single().End.State);
    }

    [Fact]
    public void A_scheduler_that_was_away_hears_first_what_has_become_of_it()
    {
        var world = World.With(settings: Settings).App("/web");
        Stage(world);
        world.Now = world.Now.AddSeconds(600); // no step: nobody was there
        world.RestartScheduler();
        Assert.False(Only(world).IsStopping);
        Assert.Single(world.Settle().ReadyOf("/web"));
    }

    [Fact]
    public void A_running_task_has_launched()
    {
        var world = World.With(settings: Settings).App("/web").Settle();
        world.Advance(3000);
        Assert.Single(world.ReadyOf("/web"));
    }
}
