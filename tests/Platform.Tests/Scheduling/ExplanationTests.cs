using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Whatever waits knows why: each node, the rule that refused, and the numbers.</summary>
public sealed class ExplanationTests
{
    private static Explanation Why(World world) => world.Brain.Queue[AppId.Parse("/web")].Explanation;

    private static NoFit Only(World world) => Assert.Single(Why(world).NoFits);

    [Fact]
    public void Six_unique_ones_on_one_node()
    {
        var world = World.With().App("/web", 6, with: a => a with { Constraints = [new("hostname", ConstraintOperator.Unique, null)] }).Settle();
        Assert.Single(world.ReadyOf("/web"));
        Assert.Equal(5, Why(world).Waiting);
        Assert.Equal(new NoFit(NodeId.Parse("n1"), NoFitReason.UnfulfilledConstraint, "hostname UNIQUE: 'n1' already has an instance"), Only(world));
        Assert.Equal(World.Start, world.Brain.Queue[AppId.Parse("/web")].Since);
        Assert.True(world.Brain.Queue[AppId.Parse("/web")].Declines[NoFitReason.UnfulfilledConstraint] > 0);
        world.Join("n2");
        world.Settle();
        Assert.Equal(2, world.ReadyOf("/web").Count);
        Assert.Equal(4, Why(world).Waiting);
    }

    [Theory]
    [InlineData(99, 1, 0, NoFitReason.InsufficientCpus, "needs 99 cpus, 16 of 16 free")]
    [InlineData(0.1, 99999, 0, NoFitReason.InsufficientMemory, "needs 99999 MiB of memory, 16384 of 16384 free")]
    [InlineData(0.1, 1, 5000.5, NoFitReason.InsufficientDisk, "needs 5000.5 MiB of disk, 1000 of 1000 free")]
    public void Numbers(double cpus, double mem, double disk, NoFitReason reason, string detail)
    {
        var world = World.With().App("/web", with: a => a with { Resources = new Resources(cpus, mem, disk) });
        Assert.Equal(new NoFit(NodeId.Parse("n1"), reason, detail), Only(world));
    }

    [Fact]
    public void What_is_left_counts_what_others_were_promised()
    {
        var world = World.With(cpus: 2).App("/other", with: a => a with { Resources = new Resources(1.5, 1, 0) })
            .App("/web", with: a => a with { Resources = new Resources(1, 1, 0) });
        Assert.Equal("needs 1 cpus, 0.5 of 2 free", Only(world).Detail);
        world.Accept(World.Delete("/other"));
        world.Settle();
        Assert.Single(world.ReadyOf("/web")); // room came free
        Assert.Empty(world.Brain.Queue);
    }

    [Fact]
    public void Ports_in_the_range()
    {
        var world = World.With(ports: 2).App("/web", 2, ports: 2);
        Assert.Equal("no free port left in 31000-31001", Only(world).Detail);
        Assert.Equal(NoFitReason.InsufficientPorts, Only(world).Reason);
        Assert.Equal([31000, 31001], world.InstancesOf("/web").Single().HostPorts.Order());
    }

    [Fact]
    public void A_fixed_port()
    {
        var world = World.With().App("/web", 2, with: a => a with { RequirePorts = true, PortDefinitions = [new(8081, "tcp", null, EquatableMap.Empty)] }).Settle();
        Assert.Equal("host port 8081 is taken", Only(world).Detail);
        Assert.Equal([8081], world.InstancesOf("/web").Single().HostPorts);
    }

    [Fact]
    public void A_missing_attribute_and_a_missing_runtime()
    {
        var world = World.With().App("/web", with: a => a with { Constraints = [new("rack", ConstraintOperator.Like, "r.*")] });
        Assert.Equal("rack LIKE r.*: the node has no attribute 'rack'", Only(world).Detail);

        var bare = World.With(nodes: 0);
        bare.Join("n1");
        bare.Nodes["n1"].Description = bare.Nodes["n1"].Description with { Runtimes = ["process"] };
        bare.Connect("n1");
        bare.App("/web", with: a => a with { Container = new Container { Image = "busybox" } });
        Assert.Equal("the node runs no docker tasks", Only(bare).Detail);
    }

    [Fact]
    public void Every_node_says_its_own_reason()
    {
        var world = World.With(nodes: 0);
        world.Join("n1", cpus: 0.1);
        world.Join("n2", memMib: 1);
        world.Join("n3", ports: 0);
        world.App("/web");
        Assert.Equal(
            [NoFitReason.InsufficientCpus, NoFitReason.InsufficientMemory, NoFitReason.InsufficientPorts],
            Why(world).NoFits.OrderBy(n => n.Node).Select(n => n.Reason));
    }

    [Fact]
    public void Without_any_node_it_waits_and_says_nothing_refused()
    {
        var world = World.With(nodes: 0).App("/web", 3);
        Assert.Equal(3, Why(world).Waiting);
        Assert.Empty(Why(world).NoFits);
        world.Join("n1");
        Assert.Equal(3, world.Settle().ReadyOf("/web").Count);
    }

    [Fact]
    public void Ports_are_used_again_as_late_as_possible()
    {
        var world = World.With(ports: 10).App("/web").Settle();
        var seen = new List<int> { world.InstancesOf("/web")[0].HostPorts[0] };
        for (var i = 0; i < 9; i++)
        {
            world.Accept(World.Kill(false, world.InstancesOf("/web")[0].Id));
            seen.Add(world.Settle().InstancesOf("/web")[0].HostPorts[0]);
        }
        Assert.Equal(10, seen.Distinct().Count());
    }

    [Fact]
    public void Instances_spread_over_nodes()
    {
        var world = World.With(nodes: 4).App("/web", 8).Settle();
        Assert.All(world.NodesOf("/web").CountBy(n => n), c => Assert.Equal(2, c.Value));
    }
}
