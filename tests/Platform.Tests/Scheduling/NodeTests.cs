using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Nodes that are lost, silent or back; late and doubled news; exact drain; a log that refuses (contract 5.10, DESIGN rules 2 and 7).</summary>
public sealed class NodeTests
{
    private static readonly HealthCheck Check = new() { Protocol = HealthCheckProtocol.Http, PortIndex = 0 };

    private static Func<AppDefinition, AppDefinition> Strategy(double? inactive, double? expunge) => a => a with { UnreachableStrategy = new UnreachableStrategy(inactive, expunge) };

    private static World Two(double? inactive, double? expunge) => World.With(nodes: 2).App("/web", 1, with: Strategy(inactive, expunge)).Settle();

    private static string NodeOf(World world) => world.InstancesOf("/web")[0].Node.Name;

    [Fact]
    public void A_broken_link_alone_changes_nothing()
    {
        var world = Two(0, 0);
        var node = NodeOf(world);
        world.Step(new Input.NodeDisconnected(NodeId.Parse(node), world.Nodes[node].Session));
        world.Advance(14.9);
        Assert.Empty(world.Logged<SchedulerEvent.NodeLost>());
        world.Connect(node);
        world.Acknowledge();
        world.Advance(14.9);
        Assert.DoesNotContain(world.Logged<SchedulerEvent.NodeLost>(), e => e.Node.Name == node);
        Assert.Single(world.ReadyOf("/web"));
    }

    [Fact]
    public void With_zero_and_zero_a_lost_one_is_replaced_and_forgotten_at_once()
    {
        var world = Two(0, 0);
        var old = world.InstancesOf("/web")[0];
        var node = NodeOf(world);
        world.Lose(node).Settle();
        Assert.NotEqual(node, Assert.Single(world.ReadyOf("/web")).Node.Name);
        world.Nodes[node].Tasks[old.Id] = world.Nodes[node].Tasks[old.Id] with { Phase = Phase.Running };
        world.Connect(node);
        world.Settle();
        Assert.DoesNotContain(world.State.Owners.Keys, id => id == old.Id);
        Assert.Empty(world.Nodes[node].Tasks); // it is not listed any more, so the node lets go of it
        Assert.Single(world.InstancesOf("/web"));
    }

    [Fact]
    public void Before_it_is_inactive_nothing_replaces_it_and_after_that_something_does()
    {
        var world = Two(60, 3600);
        var old = world.InstancesOf("/web")[0];
        world.Lose(NodeOf(world)).Settle();
        Assert.Equal([old.Id], world.InstancesOf("/web").Select(i => i.Id));
        Quiet(world, 61);
        Assert.Equal(2, world.Settle().InstancesOf("/web").Count);
        Assert.Single(world.ReadyOf("/web"), i => i.Id != old.Id && world.State.IsReachable(i));
        Quiet(world, 3600);
        Assert.DoesNotContain(old.Id, world.InstancesOf("/web").Select(i => i.Id));
    }

    [Fact]
    public void One_that_returns_before_it_is_expunged_makes_one_too_many_and_the_youngest_goes()
    {
        var world = Two(0, 3600);
        var old = world.InstancesOf("/web")[0];
        var node = NodeOf(world);
        world.Lose(node).Settle();
        Assert.Equal(2, world.InstancesOf("/web").Count);
        world.Connect(node);
        world.Settle();
        Assert.Equal([old.Id], world.InstancesOf("/web").Select(i => i.Id));
    }

    [Fact]
    public void Disabled_waits_for_ever()
    {
        var world = Two(null, null);
        var old = world.InstancesOf("/web")[0];
        world.Lose(NodeOf(world));
        Quiet(world, 10_000);
        Assert.Equal([old.Id], world.Settle().InstancesOf("/web").Select(i => i.Id));
    }

    [Fact]
    public void A_deployment_is_not_held_up_by_an_instance_that_was_replaced()
    {
        var world = Two(0, 3600);
        world.Lose(NodeOf(world)).Settle();
        world.Accept(World.Put("/web", """{"instances":2}"""));
        Assert.Empty(world.Settle().State.Deployments);
    }

    [Fact]
    public void A_lost_node_serves_nobody_and_publishes_again_only_what_it_confirms()
    {
        var world = World.With(nodes: 2).App("/web", 2, with: Strategy(600, 3600)).Settle();
        var node = world.Nodes["n1"];
        var gone = world.InstancesOf("/web").Single(i => i.Node.Name == "n1");
        world.Lose("n1");
        Assert.Null(Projections.EndpointOf(world.State, world.State.Instance(gone.Id)));
        node.Tasks.Clear();
        world.Connect("n1");
        Assert.NotNull(world.State.Nodes[NodeId.Parse("n1")].LostAt); // connected, but it has not told yet what it holds
        world.Step(node.Report(world.State.Revision));
        Assert.Null(world.State.Nodes[NodeId.Parse("n1")].LostAt);
        Assert.Null(world.State.Instance(gone.Id));
        Assert.DoesNotContain(world.LastStep.EndpointChanges, c => c is EndpointChange.EndpointSet set && set.Endpoint.Instance == gone.Id);
    }

    [Fact]
    public void A_connected_node_that_says_nothing_is_lost_too_and_back_with_its_next_word()
    {
        var world = World.With(nodes: 1).App("/web", with: Strategy(600, 3600)).Settle();
        world.Advance(15);
        Assert.Single(world.Logged<SchedulerEvent.NodeLost>());
        world.Advance(15);
        Assert.Single(world.Logged<SchedulerEvent.NodeLost>());
        world.Acknowledge();
        Assert.Null(world.State.Nodes.Values.Single().LostAt);
    }

    [Fact]
    public void A_new_scheduler_gives_every_node_the_full_time()
    {
        var world = Two(0, 0);
        world.Nodes["n1"].Connected = world.Nodes["n2"].Connected = false;
        world.Now = world.Now.AddHours(1);
        world.RestartScheduler();
        world.Advance(14.9);
        Assert.Empty(world.Logged<SchedulerEvent.NodeLost>());
        world.Advance(0.1);
        Assert.Equal(2, world.Logged<SchedulerEvent.NodeLost>().Count());
    }

    [Fact]
    public void What_somebody_removed_behind_our_back_is_replaced()
    {
        var world = World.With().App("/web").Settle();
        var old = world.InstancesOf("/web")[0];
        world.Nodes["n1"].Tasks.Clear();
        world.Acknowledge();
        Assert.Equal(TerminalState.Gone, world.Logged<SchedulerEvent.InstanceEnded>().Single().End.State);
        world.Advance(1);
        Assert.NotEqual(old.Id, world.Settle().InstancesOf("/web").Single().Id);
    }

    [Fact]
    public void What_a_node_has_not_started_yet_is_not_missed()
    {
        var world = World.With().App("/web");
        world.Acknowledge();
        Assert.Empty(world.Logged<SchedulerEvent.InstanceEnded>());
    }

    [Fact]
    public void News_that_came_twice_or_late_is_no_news()
    {
        var world = World.With().App("/web").Settle();
        var instance = world.InstancesOf("/web")[0];
        Assert.Empty(world.Report(instance));
        Assert.Empty(world.Report(instance, r => r with { Phase = Phase.Starting, StartedAt = null, Health = default }));
        Assert.Equal(Phase.Running, world.InstancesOf("/web")[0].Phase);
        Assert.NotEmpty(world.End(instance));
        Assert.DoesNotContain(world.End(instance), e => e is SchedulerEvent.InstanceEnded);
        Assert.Empty(world.Step(new Input.NodeReported(NodeId.Parse("n1"), 0, true, default, 0, default))); // of a session that is over
    }

    [Fact]
    public void Reports_of_other_nodes_instances_are_not_believed()
    {
        var world = World.With(nodes: 2).App("/web").Settle();
        var instance = world.InstancesOf("/web")[0];
        var other = world.Nodes.Values.Single(n => n.Description.Id != instance.Node);
        var lie = other.Run(world, instance) with { End = new InstanceEnd(TerminalState.Failed, "", 1, false, false, world.Now) };
        Assert.Empty(world.Step(new Input.NodeReported(other.Description.Id, other.Session, false, [lie], 0, default)));
    }

    [Fact]
    public void A_stop_waits_until_every_proxy_has_let_go()
    {
        var world = World.With(nodes: 3).App("/web").Settle();
        var instance = world.InstancesOf("/web")[0];
        world.Nodes["n2"].ServesOnly = world.State.Revision;
        world.Nodes["n3"].InFlight.Add(instance.Id);
        world.Accept(World.Put("/web", """{"instances":0}"""));
        var withdrawn = world.InstancesOf("/web")[0].WithdrawnRevision;
        Assert.Contains(world.LastStep.EndpointChanges, c => c is EndpointChange.EndpointRemoved);
        Assert.True(withdrawn > 0);

        world.Round();
        Assert.False(world.InstancesOf("/web")[0].Drained);
        Assert.Equal(Goal.Run, Projections.WantedOn(world.State, instance.Node).Single().Goal);
        world.Nodes["n2"].ServesOnly = withdrawn - 1;
        world.Round();
        Assert.False(world.InstancesOf("/web")[0].Drained);
        world.Nodes["n2"].ServesOnly = withdrawn;
        world.Round();
        Assert.False(world.InstancesOf("/web")[0].Drained); // n3 still answers a request with it
        world.Nodes["n3"].InFlight.Clear();
        world.Round();
        Assert.True(world.InstancesOf("/web")[0].Drained);
        Assert.False(world.Logged<SchedulerEvent.InstanceDrained>().Single().Forced);
        Assert.Equal(Goal.Stop, Projections.WantedOn(world.State, instance.Node).Single().Goal);
        Assert.Empty(world.Settle().InstancesOf("/web"));
    }

    [Fact]
    public void After_the_ceiling_the_stop_is_forced_and_says_so()
    {
        var world = World.With(nodes: 2).App("/web").Settle();
        world.Nodes["n1"].InFlight.Add(world.InstancesOf("/web")[0].Id);
        world.Accept(World.Put("/web", """{"instances":0}"""));
        var stopAt = world.Now;
        while (world.Now < stopAt.AddSeconds(59))
        {
            world.Now = world.Now.AddSeconds(1);
            world.Acknowledge();
        }
        Assert.False(world.InstancesOf("/web")[0].Drained);
        world.Now = stopAt.AddSeconds(60);
        world.Acknowledge();
        Assert.True(world.Logged<SchedulerEvent.InstanceDrained>().Single().Forced);
    }

    [Fact]
    public void A_lost_nodes_proxy_is_not_waited_for()
    {
        var world = World.With(nodes: 2).App("/web").Settle();
        var other = world.Nodes.Values.Single(n => n.Name != NodeOf(world));
        other.ServesOnly = 0;
        world.Accept(World.Put("/web", """{"instances":0}"""));
        world.Round();
        Assert.False(world.InstancesOf("/web")[0].Drained);
        world.Lose(other.Name).Settle();
        Assert.Empty(world.InstancesOf("/web"));
    }

    [Fact]
    public void What_was_never_published_need_not_drain()
    {
        var world = World.With();
        world.IsHealthy = _ => false;
        world.Nodes["n1"].ServesOnly = 0;
        world.App("/web", with: a => a with { HealthChecks = [Check] }).Settle();
        world.Accept(World.Put("/web", """{"instances":0}""", force: true));
        Assert.True(world.InstancesOf("/web")[0].Drained);
    }

    [Fact]
    public void One_that_just_turned_unhealthy_may_still_have_requests_and_drains()
    {
        var world = World.With(nodes: 2).App("/web", with: a => a with { HealthChecks = [Check] }).Settle();
        var instance = world.InstancesOf("/web")[0];
        world.Nodes["n2"].InFlight.Add(instance.Id);
        world.IsHealthy = _ => false;
        world.Report(instance);
        Assert.Contains(world.LastStep.EndpointChanges, c => c is EndpointChange.EndpointRemoved);
        world.Accept(World.Put("/web", """{"instances":0}"""));
        world.Round();
        Assert.False(world.InstancesOf("/web")[0].Drained);
        world.Nodes["n2"].InFlight.Clear();
        world.Round();
        Assert.True(world.InstancesOf("/web")[0].Drained);
    }

    [Fact]
    public void What_the_log_refuses_has_not_happened_and_is_decided_anew()
    {
        var world = World.With(nodes: 2).App("/web", 2);
        var before = world.State;
        var instance = world.InstancesOf("/web")[0];
        var node = world.Nodes[instance.Node.Name];
        node.Tasks[instance.Id] = node.Run(world, instance);
        var refused = world.StepRefused(new Input.NodeReported(node.Description.Id, node.Session, false, [node.Tasks[instance.Id]], 0, default));
        Assert.Contains(refused.Events, f => f.Event is SchedulerEvent.InstanceReported);
        Assert.Same(before, world.State);
        Assert.True(world.Brain.NextLookAt <= world.Now);
        Assert.Equal(instance.Id, Assert.IsType<SchedulerEvent.InstanceReported>(Assert.Single(world.Step())).Instance);
        Assert.Empty(world.Step());
        Assert.Equal(2, world.Settle().ReadyOf("/web").Count);
        Assert.Equal(2, world.Logged<SchedulerEvent.InstancePlaced>().Count());
    }

    [Fact]
    public void A_node_whose_joining_was_refused_joins_at_the_next_look()
    {
        var world = World.With();
        var node = new FakeNode(world.Nodes["n1"].Description with { Id = NodeId.Parse("n9") }) { Session = 99, Connected = true };
        world.StepRefused(new Input.NodeConnected(node.Description, 99));
        Assert.IsType<SchedulerEvent.NodeJoined>(Assert.Single(world.Step()));
    }

    [Fact]
    public void A_refused_launch_is_made_once()
    {
        var world = World.With();
        var refused = world.StepRefused(new Input.Asked(1, World.Create(World.Definition("/web", 3))));
        Assert.Equal(3, refused.Events.Count(f => f.Event is SchedulerEvent.InstancePlaced));
        Assert.Empty(world.Settle().State.Apps);
        world.App("/web", 3).Settle();
        Assert.Equal(3, world.ReadyOf("/web").Count);
    }

    [Fact]
    public void A_loss_that_was_refused_is_noticed_again()
    {
        var world = World.With(nodes: 1).App("/web", with: Strategy(600, 3600)).Settle();
        world.Now = world.Now.AddSeconds(20);
        Assert.Contains(world.StepRefused().Events, f => f.Event is SchedulerEvent.NodeLost);
        Assert.Contains(world.Step(), e => e is SchedulerEvent.NodeLost);
    }

    [Fact]
    public void More_work_than_one_look_does_is_finished_without_news_from_outside()
    {
        var world = World.With(nodes: 8, cpus: 1000, memMib: 1_000_000, ports: 20_000).App("/web", 5000);
        for (var i = 0; i < 100 && world.Brain.NextLookAt <= world.Now; i++) world.Step();
        Assert.Equal(5000, world.InstancesOf("/web").Count);
    }

    /// <summary>Time passes, and the connected nodes keep saying that all is as it was.</summary>
    private static void Quiet(World world, double seconds)
    {
        var until = world.Now.AddSeconds(seconds);
        while (world.Now < until)
        {
            world.Now = world.Now.AddSeconds(14);
            world.Acknowledge();
        }
    }
}
