using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>What is remembered of deployments after their end.</summary>
public sealed class DeploymentRecordTests
{
    private static readonly ChangeOrigin Somebody = new("10.1.1.1", "/v2/apps/web", ChangeKind.AppWritten);

    private static void Count(World world, long requests, long failed) => world.Step(world.Nodes["n1"].Report(world.State.Revision) with
    {
        Traffic = [new AppTraffic(AppId.Parse("/web"), requests, failed), new AppTraffic(AppId.Parse("/other"), 1000, 1000)],
    });

    private static World Changing()
    {
        var world = World.With().App("/web", 1).Settle();
        Count(world, 100, 7);
        world.Accept(World.Put("/web", """{"env":{"A":"2"},"cpus":0.25}""") with { Origin = Somebody });
        return world;
    }

    [Fact]
    public void Who_what_when_and_how_it_went()
    {
        var world = Changing();
        world.Now = world.Now.AddSeconds(3);
        Count(world, 140, 9);
        world.Settle();
        var record = world.State.Records[^1];
        Assert.Equal((Somebody, DeploymentOutcome.Succeeded), (record.Origin, record.Outcome));
        Assert.Equal(new DeploymentTraffic(40, 2, Complete: true), record.Traffic);
        Assert.Equal(
            [new FieldDiff("/cpus", "0.5", "0.25"), new FieldDiff("/env/A", null, "2")],
            Assert.Single(record.Changes).Fields.Select(f => f));
        var step = Assert.Single(record.Steps);
        Assert.Equal((World.Start, world.Now), (step.StartedAt!.Value, step.EndedAt!.Value));
    }

    [Fact]
    public void A_proxy_that_was_started_anew_counts_from_nothing()
    {
        var world = Changing();
        Count(world, 5, 1);
        world.Settle();
        Assert.Equal(new DeploymentTraffic(5, 1, Complete: true), world.State.Records[^1].Traffic);
    }

    [Fact]
    public void A_restarted_scheduler_says_that_it_has_not_seen_all()
    {
        var world = Changing();
        Count(world, 140, 9);
        world.RestartScheduler();
        Count(world, 150, 9);
        Count(world, 153, 10);
        world.Settle();
        Assert.Equal(new DeploymentTraffic(3, 1, Complete: false), world.State.Records[^1].Traffic);
    }

    [Fact]
    public void There_are_never_too_many()
    {
        var world = World.With().App("/web", 1).App("/other", 1).Settle();
        for (var i = 0; i < DeploymentRecord.AppMax + 5; i++)
        {
            world.Accept(World.Put("/web", $$"""{"instances":{{1 + i % 2}}}"""));
            world.Settle();
        }
        Assert.Equal(DeploymentRecord.AppMax, world.State.Records.Count(r => r.Apps.Items.Contains(AppId.Parse("/web"))));
        Assert.Single(world.State.Records, r => r.Apps.Items.Contains(AppId.Parse("/other")));
        for (var i = 0; i < DeploymentRecord.ClusterMax; i++) world.App($"/many/x{i}", 0);
        Assert.Equal(DeploymentRecord.ClusterMax, world.State.Records.Count);
    }
}
