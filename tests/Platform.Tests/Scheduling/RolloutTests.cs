using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.3, row by row: what one rolling restart does, as the answers to "all stopping ones have ended" or else "one more new one is ready".</summary>
public sealed class RolloutTests
{
    private static readonly HealthCheck Check = new() { Protocol = HealthCheckProtocol.Http, PortIndex = 0 };

    [Theory]
    [InlineData(1, 1, 1.0, 1.0, "+1 -1")]
    [InlineData(3, 3, 1.0, 1.0, "+3 -1 -1 -1")]
    [InlineData(3, 3, 1.0, 0.0, "+1 -1 +1 -1 +1 -1")]
    [InlineData(4, 4, 0.5, 0.0, "-2 +2 -1 +1 -1 +1")]
    [InlineData(3, 3, 0.5, 0.0, "-1 +1 -1 +1 -1 +1")]
    [InlineData(3, 3, 0.7, 0.0, "+1 -1 +1 -1 +1 -1")]
    [InlineData(10, 1, 0.1, 0.0, "+9 -1 +1")]
    [InlineData(2, 2, 0.5, 0.0, "-1 +1 -1 +1")]
    [InlineData(1, 1, 0.5, 0.0, "+1 -1")]
    [InlineData(1, 1, 0.0, 0.0, "-1 +1")]
    [InlineData(4, 4, 0.5, 0.5, "-2+2 +2 -1 -1")]
    [InlineData(2, 5, 1.0, 1.0, "-3 +2 -1 -1")]
    public void The_course_is_the_contracts(int wanted, int old, double minimum, double over, string course)
    {
        var world = World.With(nodes: 2).App("/web", old, with: a => a with { HealthChecks = [Check], UpgradeStrategy = new UpgradeStrategy(minimum, over) }).Settle();
        Assert.Equal(course, Course(world, wanted, out var run));
        Assert.True(run.HealthyMin >= Math.Min(old, (int)Math.Ceiling(wanted * minimum)), $"only {run.HealthyMin} healthy");
        Assert.True(run.AliveMax <= Math.Max(old, Math.Max(wanted + 1, (int)Math.Floor(wanted * (1 + over)))), $"{run.AliveMax} alive");
    }

    [Theory]
    [InlineData(1, 1, 0.5, "-1 +1")]
    [InlineData(5, 5, 0.5, "-2 +2 -1 +1 -1 +1 -1 +1")]
    [InlineData(5, 7, 1.0, "-3 +1 -1 +1 -1 +1 -1 +1 -1 +1")]
    public void A_resident_app_dips_and_starts_again_on_its_volumes(int wanted, int old, double minimum, string course)
    {
        var world = World.With(nodes: 2).App("/web", old, with: a => ResidentTests.Resident(a) with { HealthChecks = [Check], UpgradeStrategy = new UpgradeStrategy(minimum, 0) }).Settle();
        var before = world.Of("/web").Reservations.Keys.ToList();
        Assert.Equal(course, Course(world, wanted, out var run));
        Assert.True(run.AliveMax <= old, $"{run.AliveMax} alive");
        Assert.Equal(before, world.Of("/web").Reservations.Keys);
        Assert.All(world.InstancesOf("/web"), i => Assert.True(i.Id.Incarnation == 2 && before.Contains(i.Id.First), i.Id.TaskId));
    }

    [Theory]
    [InlineData(1.0, "+4 -1 -1 -1 -1")]
    [InlineData(0.0, "+1 -1 +1 -1 +1 -1 +1 -1")] // the dead end of newer Marathons is none here
    public void A_wholly_unhealthy_app_can_be_upgraded(double over, string course)
    {
        var world = World.With(nodes: 2);
        world.IsHealthy = _ => false;
        world.App("/web", 4, with: a => a with { HealthChecks = [Check], UpgradeStrategy = new UpgradeStrategy(1, over) }).Settle();
        Assert.Equal(course, Course(world, 4, out _));
    }

    [Fact]
    public void Unhealthy_old_ones_go_first()
    {
        var world = World.With(nodes: 2);
        world.IsHealthy = i => i.Serial != 2;
        world.App("/web", 4, with: a => a with { HealthChecks = [Check], UpgradeStrategy = new UpgradeStrategy(0.5, 0) }).Settle();
        world.Accept(World.Put("/web", """{"cmd":"serve2"}""", force: true));
        Assert.Equal(2, world.Logged<SchedulerEvent.InstanceStopRequested>().Select(e => world.State.Instance(e.Instance)!.Serial).First());
    }

    [Fact]
    public void A_new_one_that_dies_is_launched_anew_and_no_old_one_pays_for_it()
    {
        var world = World.With(nodes: 2).App("/web", 2, with: a => a with { HealthChecks = [Check] }).Settle();
        world.IsHealthy = _ => false;
        world.Accept(World.Put("/web", """{"cmd":"serve2"}"""));
        world.Round();
        for (var i = 0; i < 5; i++)
        {
            world.End(world.InstancesOf("/web").First(x => world.Of("/web").IsCurrent(x)));
            world.Advance(10);
            world.Acknowledge();
        }
        Assert.Equal(2, world.InstancesOf("/web").Count(i => !world.Of("/web").IsCurrent(i) && !i.IsStopping));
        Assert.Equal(2, world.InstancesOf("/web").Count(i => world.Of("/web").IsCurrent(i)));
        Assert.Single(world.State.Deployments);
    }

    [Fact]
    public void Scaling_down_to_nothing_with_a_new_configuration_just_stops_all()
    {
        var world = World.With().App("/web", 3).Settle();
        world.Accept(World.Put("/web", """{"cmd":"serve2","instances":0}"""));
        Assert.All(world.InstancesOf("/web"), i => Assert.True(i.IsStopping));
        Assert.Equal(DeploymentActionKind.ScaleApplication, world.State.Deployments.Values.Single().Steps.Single().Actions.Single().Action);
        Assert.Empty(world.Settle().InstancesOf("/web"));
        Assert.Empty(world.State.Deployments);
    }

    [Fact]
    public void Scaling_down_prefers_those_that_serve_nobody()
    {
        var world = World.With();
        world.IsHealthy = i => i.Serial != 1;
        world.App("/web", 3, with: a => a with { HealthChecks = [Check] }).Settle();
        world.Accept(World.Put("/web", """{"instances":2}""", force: true));
        Assert.Equal(1, world.InstancesOf("/web").Single(i => i.IsStopping).Serial);
    }

    private static string Course(World world, int wanted, out (int HealthyMin, int AliveMax) run)
    {
        var course = new List<string>();
        var ready = world.ReadyOf("/web").Select(i => i.Id).ToHashSet();
        run = (int.MaxValue, 0);
        world.IsHealthy = i => ready.Contains(i.Id);
        world.Accept(World.Put("/web", $$"""{"cmd":"serve2","instances":{{wanted}}}""", force: true));
        var events = world.LastStep.Events.Select(f => f.Event).ToList();
        for (var guard = 0; guard < 200; guard++)
        {
            if (Text(events) is { Length: > 0 } text) course.Add(text);
            var active = world.InstancesOf("/web");
            run = (Math.Min(run.HealthyMin, active.Count(i => !i.IsStopping && world.Of("/web").IsReady(i))), Math.Max(run.AliveMax, active.Count));
            if (world.State.Deployments.IsEmpty) return string.Join(' ', course);
            if (active.Any(i => i.IsStopping))
                events = [.. world.Acknowledge(), .. world.Round()];
            else if (active.FirstOrDefault(i => world.Of("/web").IsCurrent(i) && !ready.Contains(i.Id)) is { } next)
            {
                ready.Add(next.Id);
                events = [.. world.Round()];
            }
            else throw new InvalidOperationException($"stuck after {string.Join(' ', course)}:\n{world.Tail(10)}");
        }
        throw new InvalidOperationException($"no end: {string.Join(' ', course)}");
    }

    private static string Text(List<SchedulerEvent> events)
    {
        var stops = events.Count(e => e is SchedulerEvent.InstanceStopRequested);
        var launches = events.Count(e => e is SchedulerEvent.InstancePlaced);
        return (stops > 0 ? $"-{stops}" : "") + (launches > 0 ? $"+{launches}" : "");
    }
}
