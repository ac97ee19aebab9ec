using Platform.Simulation;

namespace Platform.Tests.Scheduling;

/// <summary>The simulator's own checks are checked: a bug put in on purpose must be found, and one seed is one run.</summary>
public sealed class SimulationTests
{
    private static readonly TimeSpan Trouble = TimeSpan.FromMinutes(2);

    [Theory]
    [InlineData("PublishBeforeReady")]
    [InlineData("SkipDrain")]
    [InlineData("ForgetUnique")]
    [InlineData("LoseAckedEvent")]
    public void A_seeded_bug_turns_a_run_red(string bug)
    {
        var failures = Enumerable.Range(1, 20).Select(seed => Runs.Fails((ulong)seed, 0, Trouble, Enum.Parse<SeededBug>(bug)));
        Assert.Contains(failures, f => f is not null);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_few_seeds_pass(int seed) => Assert.Null(Runs.Fails((ulong)seed, 0, Trouble, SeededBug.None));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Clients_at_the_KV_doors_keep_what_was_acknowledged_and_never_share_a_lock(int seed)
    {
        var world = new Platform.Simulation.World(Platform.Simulation.World.AboutStore((ulong)seed), 3);
        world.Run(Trouble, TimeSpan.FromMinutes(5));
        Assert.True(world.StoreChecks.LocksTaken > 3, $"{world.StoreChecks.LocksTaken} locks were taken");
        Assert.True(world.StoreChecks.SessionsExpired > 0, $"{world.StoreChecks.SessionsExpired} sessions ran out");
    }

    [Fact]
    public void A_write_that_the_log_has_lost_is_missed()
    {
        // Of some runs the apps are missed first.
        var failures = Enumerable.Range(1, 20).Select(seed => Runs.Fails(Platform.Simulation.World.AboutStore((ulong)seed), 3, Trouble, SeededBug.LoseAckedEvent));
        Assert.Contains(failures, f => f?.Contains("the store read back from the log is not the one that was written", StringComparison.Ordinal) == true);
    }

    [Fact]
    public void One_seed_is_one_run()
    {
        var first = new Platform.Simulation.World(42, 4);
        first.Run(Trouble, TimeSpan.FromMinutes(5));
        var second = new Platform.Simulation.World(42, 4);
        second.Run(Trouble, TimeSpan.FromMinutes(5));
        Assert.Equal((first.Log.Revision, first.Clock.Happened, first.Actions), (second.Log.Revision, second.Clock.Happened, second.Actions));
        Assert.True(first.Log.Revision > 100);
    }
}
