using Platform.Discovery;
using Platform.Model;
using Platform.Tests.Agent;

namespace Platform.Tests.Discovery;

public sealed class PodEnvironmentTests
{
    [Theory]
    [InlineData("everything", "pod-bridge", 31000, 5353, 0, 0)]
    [InlineData("host-network", "pod-host", 31000, 8080)]
    public void Each_container_gets_what_all_share_and_what_is_its_own(string pod, string golden, params int[] hostPorts)
    {
        var definition = PodContainersTests.Pod(pod) with { Version = new AppVersion(new DateTimeOffset(2015, 2, 3, 12, 30, 0, TimeSpan.Zero)) };
        var id = InstanceId.Derive("c1", definition.Id, 7);
        var shared = EnvironmentBuilder.Build(definition, id, NodeId.Parse("node1"), "10.0.0.1", hostPorts.ToEquatableArray(), _ => []);
        var containers = definition.Pod!.Containers.Select(x =>
            $"# {x.Name}\n" + string.Concat(PodEnvironment.OfContainer(shared, id, x).Select(v => $"{v.Key}={v.Value}\n")));
        Golden.Check($"env/{golden}.env", string.Join("\n", containers));
    }

    [Fact]
    public void The_containers_word_wins_over_the_pods_and_both_over_ours()
    {
        var shared = EquatableMap.From([new("A", "pod"), new("B", "pod"), new("MARATHON_CONTAINER_ID", "pod")]);
        var container = new PodContainer { Name = "web", Environment = EquatableMap.From([new("B", "container"), new("MESOS_TASK_ID", "mine")]) };
        var env = PodEnvironment.OfContainer(shared, InstanceId.Derive("c1", AppId.Parse("/pod"), 1), container);
        Assert.Equal(("pod", "container", "pod", "mine"), (env["A"], env["B"], env["MARATHON_CONTAINER_ID"], env["MESOS_TASK_ID"]));
    }
}
