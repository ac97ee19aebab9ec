using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Pods in the brain: what an app does not have.</summary>
public sealed class PodTests
{
    private static JsonElement Body(int instances = 1, string colour = "blue") => World.Json($$$"""
        {"id":"/pod","environment":{"COLOUR":"{{{colour}}}"},"scaling":{"instances":{{{instances}}}},"networks":[{"mode":"container/bridge"}],
         "containers":[{"name":"web","resources":{"cpus":1,"mem":64},"image":{"id":"web"},"endpoints":[{"name":"http","containerPort":80,"hostPort":0}]},
                       {"name":"side","resources":{"cpus":0.5,"mem":32},"image":{"id":"side"},"endpoints":[{"name":"admin","containerPort":90}]}]}
        """);

    private static Command Create(JsonElement body) => new Command.CreatePod(body, Force: false) { Origin = ChangeOrigin.Internal };
    private static Command Put(JsonElement body, bool force = false) => new Command.WritePod(AppId.Parse("/pod"), body, force) { Origin = ChangeOrigin.Internal };

    private static World WithPod(int instances = 1, int nodes = 1)
    {
        var world = World.With(nodes);
        world.Accept(Create(Body(instances)));
        return world.Settle();
    }

    [Fact]
    public void An_instance_takes_the_sum_of_its_containers_and_a_port_for_each_published_endpoint()
    {
        var instance = Assert.Single(WithPod().InstancesOf("/pod"));
        Assert.Equal(new Resources(1.5, 96, 0), instance.Resources);
        Assert.Equal([31000, 0], instance.HostPorts);
    }

    [Fact]
    public void The_table_shows_its_endpoints_by_name()
    {
        var world = WithPod();
        var endpoint = Projections.EndpointOf(world.State, world.InstancesOf("/pod")[0])!;
        Assert.Equal([("http", 31000, 80), ("admin", 0, 90)], endpoint.Ports.Select(x => (x.Name!, x.HostPort, x.ContainerPort!.Value)));
        Assert.Equal([10000, 10001], Projections.ServiceOf(world.Of("/pod").Definition).Ports.Select(x => x.Port));
    }

    [Fact]
    public void A_node_without_a_container_engine_cannot_take_it()
    {
        var world = World.With(nodes: 0);
        world.Join("n1");
        world.Nodes["n1"].Description = world.Nodes["n1"].Description with { Runtimes = ["process"] };
        world.Connect("n1");
        world.Settle();
        world.Accept(Create(Body()));
        world.Settle();
        Assert.Empty(world.InstancesOf("/pod"));
    }

    [Fact]
    public void Another_version_rolls_and_another_count_scales()
    {
        var world = WithPod(instances: 2);
        var first = world.InstancesOf("/pod").Select(i => i.Id).ToList();
        world.Accept(Put(Body(instances: 3)));
        world.Settle();
        Assert.Equal(first, world.InstancesOf("/pod").Select(i => i.Id).Take(2));
        Assert.Equal(3, world.ReadyOf("/pod").Count);
        world.Accept(Put(Body(instances: 3, colour: "green")));
        while (world.Round().Count > 0) Assert.True(world.ReadyOf("/pod").Count >= 3, world.Tail(5));
        Assert.DoesNotContain(world.InstancesOf("/pod"), i => first.Contains(i.Id));
        Assert.All(world.Logged<SchedulerEvent.DeploymentStarted>().SelectMany(x => x.Deployment.Steps).SelectMany(x => x.Actions), a => Assert.True(a.IsPod));
    }

    [Fact]
    public void With_its_first_container_ended_it_is_out_of_the_table_and_with_the_last_it_is_replaced()
    {
        var world = WithPod();
        var instance = Assert.Single(world.InstancesOf("/pod"));
        world.Report(instance, r => r with { Ending = true });
        Assert.Contains(world.LastStep.EndpointChanges, x => x is EndpointChange.EndpointRemoved removed && removed.Instance == instance.Id);
        Assert.Single(world.InstancesOf("/pod")); // its ports and memory are still taken
        world.End(instance);
        world.Advance(2);
        world.Settle();
        Assert.NotEqual(instance.Id, Assert.Single(world.ReadyOf("/pod")).Id);
        Assert.Equal(instance.Id, Assert.Single(world.Of("/pod").Terminations).Instance);
    }

    [Fact]
    public void Undoing_its_deployment_brings_the_old_version_back()
    {
        var world = WithPod();
        var before = world.Of("/pod").Definition;
        var reply = world.Accept(Put(Body(colour: "green")));
        world.Accept(World.Cancel(reply.Deployment!, force: false));
        world.Settle();
        Assert.Equal(before.Env, world.Of("/pod").Definition.Env);
        Assert.Single(world.ReadyOf("/pod"));
    }

    [Fact]
    public void Another_scheduler_reads_it_from_the_log()
    {
        var world = WithPod();
        world.End(world.InstancesOf("/pod")[0]);
        var before = world.State;
        world.RestartScheduler();
        Assert.Equal(before.Apps[AppId.Parse("/pod")].Definition, world.Of("/pod").Definition);
        var snapshot = SchedulerJson.ReadState(SchedulerJson.Write(before));
        Assert.Equal(before.Apps[AppId.Parse("/pod")].Definition, snapshot.Apps[AppId.Parse("/pod")].Definition);
        Assert.Equal(before.Apps[AppId.Parse("/pod")].Terminations, snapshot.Apps[AppId.Parse("/pod")].Terminations);
    }

    [Fact]
    public void Its_events_survive_the_log()
    {
        var world = WithPod();
        var instance = world.InstancesOf("/pod")[0];
        world.Report(instance, r => r with { Ending = true });
        world.Report(instance, r => r with { End = new InstanceEnd(TerminalState.Failed, "it ended", 1, false, false, world.Now) { Container = "side" } });
        var events = new (string Name, SchedulerEvent Event)[]
        {
            ("pod-deployment-started", world.Logged<SchedulerEvent.DeploymentStarted>().Single()),
            ("pod-instance-ending", world.Logged<SchedulerEvent.InstanceReported>().Last()),
            ("pod-instance-ended", world.Logged<SchedulerEvent.InstanceEnded>().Single()),
        };
        foreach (var (name, e) in events)
        {
            var written = SchedulerJson.Write(e);
            Assert.Equal(e, SchedulerJson.ReadEvent(written));
            Golden.Check($"scheduling/events/{name}.json", JsonNode.Parse(written)!.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
            Assert.Equal(e, SchedulerJson.ReadEvent(Encoding.UTF8.GetBytes(Golden.Read($"scheduling/events/{name}.json"))));
        }
    }
}
