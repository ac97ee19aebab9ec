using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>A node is emptied without an app falling below what it asks for, comes back when told to, and can be forgotten.</summary>
public sealed class NodeDrainTests
{
    private static Command Drain(string node, double? withinSeconds = null) =>
        new Command.DrainNode(NodeId.Parse(node), withinSeconds is { } s ? TimeSpan.FromSeconds(s) : null) { Origin = ChangeOrigin.Internal };

    private static Command Resume(string node) => new Command.ResumeNode(NodeId.Parse(node)) { Origin = ChangeOrigin.Internal };
    private static Command Remove(string node, bool force = false) => new Command.RemoveNode(NodeId.Parse(node), force) { Origin = ChangeOrigin.Internal };
    private static Node NodeOf(World world, string name) => world.State.Nodes[NodeId.Parse(name)];

    /// <summary>Settles round by round, and tells how few were ever ready.</summary>
    private static int FewestReady(World world, string app)
    {
        var fewest = world.ReadyOf(app).Count;
        for (var round = 0; round < 200 && world.Round().Count > 0; round++) fewest = Math.Min(fewest, world.ReadyOf(app).Count);
        return fewest;
    }

    [Fact]
    public void A_drained_node_is_emptied_and_no_instance_is_missing_meanwhile()
    {
        var world = World.With(nodes: 3).App("/web", 6).Settle();
        world.Accept(Drain("n1"));
        Assert.Equal(6, FewestReady(world, "/web"));
        Assert.True(NodeOf(world, "n1").IsDrained);
        Assert.Equal(6, world.ReadyOf("/web").Count);
        Assert.All(world.Logged<SchedulerEvent.InstanceStopRequested>(), stop => Assert.Equal(StopReason.NodeDrained, stop.Reason));
        Assert.All(world.Logged<SchedulerEvent.InstanceDrained>(), drained => Assert.False(drained.Forced));
        Assert.True(world.State.Deployments.IsEmpty);
    }

    [Fact]
    public void An_app_that_may_have_one_less_and_none_more_loses_one_at_a_time()
    {
        var world = World.With(nodes: 2).App("/web", 4, with: a => a with { UpgradeStrategy = new UpgradeStrategy(0.75, 0) }).Settle();
        world.Accept(Drain("n1"));
        Assert.Equal(3, FewestReady(world, "/web"));
        Assert.True(NodeOf(world, "n1").IsDrained);
        Assert.Equal(4, world.ReadyOf("/web").Count);
    }

    [Fact]
    public void What_finds_no_other_place_stays_until_the_deadline_and_says_why()
    {
        var world = World.With(nodes: 2).App("/web", 2, with: a => a with { Constraints = [new Constraint("hostname", ConstraintOperator.Unique, null)] }).Settle();
        world.Accept(Drain("n1", withinSeconds: 60));
        world.Settle();
        Assert.Single(NodeOf(world, "n1").Instances);
        var wait = Assert.Single(DrainWaits.Of(ClusterView.Of(world.Brain), NodeOf(world, "n1")));
        Assert.Contains("n2: hostname UNIQUE: 'n2' already has an instance", wait.Reason, StringComparison.Ordinal);
        Assert.Contains(world.Brain.Queue[AppId.Parse("/web")].Explanation.NoFits, n => n is { Reason: NoFitReason.AgentMaintenance, Detail: "the node is being drained" } && n.Node.Name == "n1");

        world.Advance(10);
        world.Acknowledge();
        for (var i = 0; i < 50; i++)
        {
            world.Now = world.Now.AddSeconds(1);
            world.Acknowledge();
        }
        world.Settle();
        Assert.True(NodeOf(world, "n1").IsDrained);
        Assert.Equal("n2", Assert.Single(world.ReadyOf("/web")).Node.Name);

        world.Accept(Resume("n1"));
        world.Settle();
        Assert.Equal(["n1", "n2"], world.ReadyOf("/web").Select(i => i.Node.Name).Order());
    }

    [Fact]
    public void A_draining_node_is_offered_nothing_and_a_resumed_one_is_again()
    {
        var world = World.With(nodes: 2);
        world.Accept(Drain("n1"));
        world.App("/web", 3).Settle();
        Assert.All(world.InstancesOf("/web"), i => Assert.Equal("n2", i.Node.Name));
        var verdict = Placement.Judge(World.Definition("/web"), new Offer(NodeOf(world, "n1")), new ComparisonGroup([])).First();
        Assert.Equal((PlacementRule.Maintenance, false, "the node is being drained"), (verdict.Rule, verdict.Passes, verdict.Detail));
        world.Accept(Resume("n1"));
        world.Accept(World.Put("/web", """{"instances":6}"""));
        world.Settle();
        Assert.Contains(world.InstancesOf("/web"), i => i.Node.Name == "n1");
    }

    [Fact]
    public void A_drain_that_is_taken_back_half_way_leaves_no_more_than_are_wanted()
    {
        var world = World.With(nodes: 2).App("/web", 4).Settle();
        world.IsHealthy = _ => true;
        world.Accept(Drain("n1"));
        world.Accept(Resume("n1"));
        world.Settle();
        Assert.Equal(4, world.InstancesOf("/web").Count);
        Assert.Equal(0, world.State.DrainingNodes);
    }

    [Fact]
    public void A_residents_volume_stays_where_it_is_and_its_instance_comes_back_to_it()
    {
        var world = World.With(nodes: 2).App("/db", 1, with: ResidentTests.Resident).Settle();
        var before = Assert.Single(world.ReadyOf("/db"));
        world.Accept(Drain(before.Node.Name, withinSeconds: 3));
        world.Settle();
        Assert.Equal(before.Id, Assert.Single(world.ReadyOf("/db")).Id); // the only one: without it too few would be healthy
        for (var i = 0; i < 4; i++)
        {
            world.Now = world.Now.AddSeconds(1);
            world.Acknowledge();
        }
        world.Settle();
        Assert.Empty(world.InstancesOf("/db"));
        var why = Assert.Single(world.Brain.Queue[AppId.Parse("/db")].Explanation.NoFits);
        Assert.Equal((NoFitReason.AgentMaintenance, "the instance's volumes are on this node, which is being drained"), (why.Reason, why.Detail));
        world.Accept(Resume(before.Node.Name));
        world.Settle();
        Assert.Equal((before.Node, before.Id.First), (world.ReadyOf("/db").Single().Node, world.ReadyOf("/db").Single().Id.First));
    }

    [Fact]
    public void Of_several_residents_those_that_the_app_can_do_without_go()
    {
        var world = World.With(nodes: 1).App("/db", 2, with: ResidentTests.Resident).Settle();
        world.Accept(Drain("n1"));
        world.Settle();
        Assert.Single(world.ReadyOf("/db"));
    }

    [Fact]
    public void A_node_with_volumes_is_removed_only_by_force_and_their_instances_begin_anew()
    {
        var world = World.With(nodes: 2).App("/db", 1, with: ResidentTests.Resident).Settle();
        var before = Assert.Single(world.ReadyOf("/db"));
        world.Lose(before.Node.Name);
        Assert.Contains("/db", world.Refuse(Remove(before.Node.Name)).Message, StringComparison.Ordinal);
        world.Accept(Remove(before.Node.Name, force: true));
        world.Settle();
        var after = Assert.Single(world.ReadyOf("/db"));
        Assert.NotEqual(before.Node, after.Node);
        Assert.NotEqual(before.Id.First, after.Id.First);
    }

    [Fact]
    public void Only_what_is_lost_or_drained_can_be_removed()
    {
        var world = World.With(nodes: 2).App("/web", 2).Settle();
        Assert.Equal(RejectCode.InUse, world.Refuse(Remove("n1")).Code);
        Assert.Equal(RejectCode.NotFound, world.Refuse(Remove("n9")).Code);
        Assert.Equal(RejectCode.NotFound, world.Refuse(Drain("n9")).Code);
        Assert.Equal(RejectCode.NotFound, world.Refuse(Resume("n9")).Code);
        world.Accept(Drain("n1"));
        Assert.Equal(RejectCode.InUse, world.Refuse(Remove("n1")).Code);
        world.Settle();
        world.Accept(Remove("n1"));
        Assert.Contains(world.LastStep.EndpointChanges, c => c is EndpointChange.NodeRemoved { Node.Name: "n1" });
        Assert.Equal(["n2"], world.State.Nodes.Keys.Select(n => n.Name));
        Assert.Equal((0, 0), (world.State.LostNodes, world.State.DrainingNodes));
        world.Acknowledge(); // the session that is being closed may still say something
        Assert.Equal(["n2"], world.State.Nodes.Keys.Select(n => n.Name));
    }

    [Fact]
    public void A_lost_node_is_removed_with_what_was_on_it_and_may_come_back_as_a_new_one()
    {
        var world = World.With(nodes: 2).App("/web", 2, with: a => a with { UnreachableStrategy = new UnreachableStrategy(3600, 7200) }).Settle();
        world.Lose("n1");
        Assert.Equal(2, world.InstancesOf("/web").Count);
        world.Accept(Remove("n1"));
        world.Settle();
        Assert.Equal(["n2", "n2"], world.ReadyOf("/web").Select(i => i.Node.Name));
        var back = world.Connect("n1");
        world.Settle();
        Assert.Empty(back.Tasks);
        Assert.Equal(2, world.State.Nodes.Count);
    }

    [Fact]
    public void A_removal_that_the_log_refuses_has_not_happened()
    {
        var world = World.With(nodes: 2).App("/web", 2).Settle();
        world.Accept(Drain("n1"));
        world.Settle();
        world.StepRefused(new Input.Asked(999, Remove("n1")));
        world.Settle();
        Assert.True(NodeOf(world, "n1").IsDrained);
        Assert.True(world.Brain.Contacts[NodeId.Parse("n1")].Connected);
    }

    [Fact]
    public void A_node_that_is_lost_while_it_is_drained_stays_drained_when_it_returns()
    {
        var world = World.With(nodes: 2).App("/web", 2).Settle();
        world.Accept(Drain("n1"));
        world.Lose("n1").Settle();
        world.Connect("n1");
        world.Settle();
        Assert.NotNull(NodeOf(world, "n1").Drain);
        Assert.All(world.ReadyOf("/web"), i => Assert.Equal("n2", i.Node.Name));
    }

    [Fact]
    public void A_drain_survives_the_scheduler()
    {
        var world = World.With(nodes: 2).App("/web", 2, with: a => a with { Constraints = [new Constraint("hostname", ConstraintOperator.Unique, null)] }).Settle();
        world.Accept(Drain("n1", withinSeconds: 30));
        world.Settle().RestartScheduler();
        Assert.Equal(1, world.State.DrainingNodes);
        Assert.Equal(World.Start.AddSeconds(30), NodeOf(world, "n1").Drain!.Until);
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(1000, 2)]
    [InlineData(1500, 3)]
    [InlineData(100_000, 4.28)]
    public void A_larger_fleet_reports_less_often_but_never_so_seldom_that_it_seems_lost(int nodes, double seconds)
    {
        var interval = FleetPace.ReportInterval(nodes, TimeSpan.FromSeconds(15));
        Assert.Equal(seconds, interval.TotalSeconds, 0.01);
        Assert.True(3 * interval < TimeSpan.FromSeconds(15));
    }
}
