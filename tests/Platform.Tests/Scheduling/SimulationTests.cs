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
