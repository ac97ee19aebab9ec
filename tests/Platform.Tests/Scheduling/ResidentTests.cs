using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.11: a resident instance, its reservation and its volumes outlive its tasks, and go when they are wiped.</summary>
public sealed class ResidentTests
{
    private const double VolumeMib = 100;

    internal static AppDefinition Resident(AppDefinition app) => app with
    {
        Container = new Container { Type = ContainerType.Mesos, Volumes = [new PersistentVolume("data", VolumeMib)] },
        UnreachableStrategy = UnreachableStrategy.Disabled,
        UpgradeStrategy = UpgradeStrategy.Resident,
    };

    private static World Deployed(int instances = 1, int nodes = 2) => World.With(nodes).App("/db", instances, with: Resident).Settle();

    private static Instance Only(World world) => Assert.Single(world.InstancesOf("/db"));
    private static Resources UsedOn(World world, NodeId node) => world.State.Nodes[node].Used;
    private static Resources UsedOfAll(World world) => world.State.Nodes.Values.Aggregate(default(Resources), (sum, n) => sum + n.Used);

    [Fact]
    public void The_disk_of_the_volumes_is_reserved_with_the_instance()
    {
        var world = Deployed();
        Assert.Equal(new Resources(0.5, 64, VolumeMib), UsedOn(world, Only(world).Node));
        var volume = Assert.Single(Projections.AssignmentOf(world.State, Only(world), Goal.Run, (_, _) => EquatableMap.Empty).Volumes);
        Assert.Equal(("data", VolumeMib), (volume.ContainerPath, volume.SizeMib));
        Assert.Equal($"db#data#{volume.Uuid}", volume.PersistenceId(Only(world).App));
    }

    [Fact]
    public void A_node_without_the_disk_takes_none()
    {
        var world = World.With().App("/db", 1, with: a => Resident(a) with { Container = new Container { Type = ContainerType.Mesos, Volumes = [new PersistentVolume("data", 1001)] } }).Settle();
        Assert.Empty(world.InstancesOf("/db"));
        Assert.Equal(NoFitReason.InsufficientDisk, world.Brain.Queue[AppId.Parse("/db")].Explanation.NoFits.Single().Reason);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void However_a_task_ends_its_instance_comes_back_as_the_next_incarnation_on_the_same_volume(bool byUser)
    {
        var world = Deployed();
        var before = Only(world);
        var volumes = world.Of("/db").ReservationOf(before.Id)!.Volumes;
        if (byUser) world.Accept(World.Kill(scale: false, before.Id));
        else world.End(before);
        world.Settle().Advance(10);
        var after = Only(world.Settle());
        Assert.Equal((before.Id.Instance, 2, before.Node), (after.Id.Instance, after.Id.Incarnation, after.Node));
        Assert.Equal($"{before.Id.Instance}._app.2", after.Id.TaskId);
        Assert.Equal(volumes, world.Of("/db").ReservationOf(after.Id)!.Volumes);
        Assert.Equal(new Resources(0.5, 64, VolumeMib), UsedOfAll(world));
    }

    [Fact]
    public void Wiping_gives_another_instance_and_frees_the_disk_only_when_the_data_is_gone()
    {
        var world = Deployed(nodes: 1);
        var (before, node) = (Only(world), world.Nodes["n1"]);
        node.Wipes = false;
        world.Accept(World.Wipe(before.Id));
        var after = Only(world.Settle());
        Assert.NotEqual(before.Id.Instance, after.Id.Instance);
        Assert.Equal(1, after.Id.Incarnation);
        Assert.Equal(new Resources(0.5, 64, 2 * VolumeMib), UsedOn(world, before.Node));
        Assert.Single(Projections.WipedOn(world.State, before.Node));
        node.Wipes = true;
        world.RestartScheduler().Settle(); // it is told until it has answered
        Assert.Equal(new Resources(0.5, 64, VolumeMib), UsedOn(world, before.Node));
        Assert.Empty(Projections.WipedOn(world.State, before.Node));
    }

    [Fact]
    public void Scaling_down_keeps_the_volume_and_scaling_up_takes_it_up_again()
    {
        var world = Deployed(instances: 3);
        var before = world.Of("/db").Reservations.Keys.ToList();
        world.Accept(World.Put("/db", """{"instances":1}"""));
        world.Settle();
        Assert.Single(world.InstancesOf("/db"));
        Assert.Equal(before, world.Of("/db").Reservations.Keys);
        Assert.Equal(new Resources(1.5, 192, 3 * VolumeMib), UsedOfAll(world));
        world.Accept(World.Put("/db", """{"instances":4}"""));
        world.Settle();
        Assert.Equal([1, 1, 2, 2], world.InstancesOf("/db").Select(i => i.Id.Incarnation).Order());
        Assert.Equal(4, world.Of("/db").Reservations.Count);
    }

    [Fact]
    public void Of_several_stopped_instances_the_last_used_comes_first()
    {
        var world = Deployed(instances: 3);
        world.Accept(World.Put("/db", """{"instances":1}"""));
        var kept = Only(world.Settle());
        world.Accept(World.Kill(scale: false, kept.Id));
        Assert.Equal(kept.Id.Instance, Only(world.Settle()).Id.Instance);
    }

    [Fact]
    public void A_stopped_instance_can_be_wiped_too()
    {
        var world = Deployed(instances: 2);
        world.Accept(World.Put("/db", """{"instances":1}"""));
        world.Settle();
        world.Accept(World.Wipe(world.Of("/db").Reservations.Single(r => r.Value.IsIdle).Key));
        Assert.Equal(Only(world.Settle()).Id.First, Assert.Single(world.Of("/db").Reservations).Key);
        Assert.Equal(new Resources(0.5, 64, VolumeMib), UsedOfAll(world));
    }

    [Fact]
    public void Deleting_the_app_frees_everything_and_the_same_id_starts_empty()
    {
        var world = Deployed(instances: 2);
        var before = world.Of("/db").Reservations.Keys.ToList();
        world.Accept(World.Delete("/db"));
        world.Accept(World.Create(Resident(World.Definition("/db", 2)), force: true));
        world.Settle();
        Assert.Empty(before.Intersect(world.Of("/db").Reservations.Keys));
        Assert.Equal(new Resources(1, 128, 2 * VolumeMib), UsedOfAll(world));
        world.Accept(World.Delete("/db"));
        world.Settle();
        Assert.Empty(world.State.Apps);
        Assert.Equal(default, UsedOfAll(world));
    }

    [Fact]
    public void A_lost_node_is_waited_for_and_the_queue_says_so()
    {
        var world = Deployed();
        var before = Only(world);
        world.Lose(before.Node.Name);
        world.Accept(World.Kill(scale: false, before.Id));
        Assert.Empty(world.InstancesOf("/db"));
        var why = Assert.Single(world.Brain.Queue[before.App].Explanation.NoFits);
        Assert.Equal((before.Node, NoFitReason.NoCorrespondingReservationFound), (why.Node, why.Reason));
        world.Connect(before.Node.Name);
        Assert.Equal((before.Node, 2), (Only(world.Settle()).Node, Only(world).Id.Incarnation));
    }

    [Fact]
    public void A_task_on_a_lost_node_is_not_replaced()
    {
        var world = Deployed();
        var before = Only(world);
        world.Lose(before.Node.Name).Advance(3600);
        Assert.Equal(before.Id, Only(world).Id);
    }

    [Theory]
    [InlineData("""{"container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":200}}]}}""", "/container/volumes", "Persistent volumes can not be changed!")]
    [InlineData("""{"container":{"type":"MESOS","volumes":[]},"unreachableStrategy":"disabled"}""", "/container/volumes", "Persistent volumes can not be changed!")]
    [InlineData("""{"mem":65}""", "/", "may not change resource requirements.")]
    [InlineData("""{"ports":[9000],"requirePorts":true}""", "/", "may not change host ports.")]
    [InlineData("""{"unreachableStrategy":{"inactiveAfterSeconds":0,"expungeAfterSeconds":0}}""", "/unreachableStrategy", "unreachableStrategy must be disabled for resident tasks")]
    public void What_the_reservation_was_made_for_cannot_change(string body, string path, string reason)
    {
        var world = Deployed();
        var revision = world.State.Revision;
        Assert.Contains(world.Refuse(World.Put("/db", body)).Details, p => p.Path == path && p.Reason.Contains(reason, StringComparison.Ordinal));
        Assert.Equal(revision, world.State.Revision);
    }

    [Fact]
    public void An_app_without_volumes_cannot_get_some() => Assert.Contains(
        World.With().App("/db").Refuse(World.Put("/db", """{"unreachableStrategy":"disabled","container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":200}}]}}""")).Details,
        p => p.Reason == "Persistent volumes can not be changed!");
}
