using System.Text.Json;
using System.Text.Json.Serialization;
using Platform.Agent.Core;
using Platform.Agent.Docker;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Tests.Agent;

public sealed class PodContainersTests
{
    private static readonly DockerSite Site = new("c1c1c1c1c1", NodeId.Parse("n1"), "10.0.0.1", "platform-c1c1c1c1-n1", "172.18.0.1");
    private static readonly JsonSerializerOptions Pretty = new() { WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly DateTimeOffset At = AgentWorld.Epoch;

    internal static AppDefinition Pod(string name)
    {
        using var body = JsonDocument.Parse(Golden.Read($"pods/{name}/input.json"));
        return ((ReadResult.App)PodReader.Read(body.RootElement)).Definition;
    }

    private static Assignment Assign(AppDefinition pod, params int[] hostPorts)
    {
        var id = InstanceId.Derive("c1c1c1c1c1", pod.Id, 7);
        var env = EnvironmentBuilder.Build(pod, id, Site.Node, Site.NodeAddress, hostPorts.ToEquatableArray(), _ => []);
        return new Assignment(id, 7, Goal.Run, pod, hostPorts.ToEquatableArray(), env);
    }

    [Fact]
    public void In_bridge_mode_the_first_owns_the_network_and_the_others_join_it() =>
        Golden.Check("agent/pod-bridge.json", JsonSerializer.Serialize(PodContainers.SpecsOf(Assign(Pod("everything"), 31000, 5353, 0, 0), Site), Pretty));

    [Fact]
    public void In_host_mode_all_have_the_network_of_the_node() =>
        Golden.Check("agent/pod-host.json", JsonSerializer.Serialize(PodContainers.SpecsOf(Assign(Pod("host-network"), 31000, 8080), Site), Pretty));

    // ---- the whole of the parts: 'a' owns the network, then 'b' and 'c'

    private static PodPart Part(string name, ContainerState state, int? code = null, double endedAfter = 0) => new(name, ["a", "b", "c"], new ObservedContainer
    {
        Id = InstanceId.Derive("c", AppId.Parse("/pod"), 1), Serial = 1, Runtime = RuntimeKind.Docker, State = state,
        StartedAt = state == ContainerState.Created ? null : At, Address = name == "a" && state == ContainerState.Running ? "172.18.0.2" : null,
        Exit = code is null ? null : new ContainerExit(code, false, "", At.AddSeconds(endedAfter)),
    });

    private static ObservedContainer Whole(string parts) => PodContainers.Whole([.. parts.Split(' ').Select(x => x[1] switch
    {
        'r' => Part(x[..1], ContainerState.Running),
        'c' => Part(x[..1], ContainerState.Created),
        'x' => Part(x[..1], ContainerState.Exited, 3, endedAfter: 1),
        _ => Part(x[..1], ContainerState.Exited, 4, endedAfter: 2),
    })], At.AddSeconds(9));

    [Theory]
    [InlineData("ar br cr", ContainerState.Running, null)]
    [InlineData("cr br ar", ContainerState.Running, null)]
    [InlineData("ac bc cc", ContainerState.Created, null)]
    [InlineData("ac", ContainerState.Created, null)]          // a crash while they were made
    [InlineData("ar bc cc", ContainerState.Created, null)]    // a crash while they were started
    [InlineData("ar br cx", ContainerState.Running, "c 3")]   // ends: the others must be stopped
    [InlineData("ax br cr", ContainerState.Running, "a 3")]
    [InlineData("ay bx cr", ContainerState.Running, "b 3")]   // the first end is the reason
    [InlineData("ax by cy", ContainerState.Exited, "a 3")]
    [InlineData("ax bc cc", ContainerState.Exited, "a 3")]    // nothing can join it any more
    [InlineData("ar br", ContainerState.Running, "c ?")]      // somebody removed it
    [InlineData("bx cx", ContainerState.Exited, "b 3")]
    public void A_pod_runs_when_all_of_it_does_and_ends_with_the_first(string parts, object state, string? exit)
    {
        var whole = Whole(parts);
        Assert.Equal(state, whole.State);
        Assert.Equal(exit, whole.Exit is { } x ? $"{x.Container} {x.Code?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "?"}" : null);
    }

    [Fact]
    public void The_address_is_the_owners_and_the_start_the_last() =>
        Assert.Equal(("172.18.0.2", (DateTimeOffset?)At), (Whole("br ar cr").Address, Whole("br ar cr").StartedAt));

    // ---- the core

    private static Assignment Two(Func<PodSpec, PodSpec>? with = null) => AgentWorld.Assign(1, app: x =>
    {
        var container = new PodContainer { Name = "a", Image = new PodImage("i", false), Resources = new Resources(0.1, 40, 0) };
        var spec = new PodSpec { Containers = [container with { KillGracePeriodSeconds = 1 }, container with { Name = "b", KillGracePeriodSeconds = 7 }] };
        return (x with { Container = null }).WithPod(with?.Invoke(spec) ?? spec);
    });

    [Fact]
    public void One_end_is_told_at_once_and_the_others_are_stopped_with_the_longest_grace()
    {
        var world = new AgentWorld();
        var pod = Two();
        world.Settle(world.Desired(pod), world.List());
        Assert.Equal(Phase.Running, world.Report(pod)!.Phase);

        var ending = AgentWorld.Running(pod) with { Exit = new ContainerExit(3, false, "oops", AgentWorld.Epoch) { Container = "b" } };
        world.Containers[pod.Id] = ending;
        world.Stubborn.Add(pod.Id);
        world.Settle(new AgentInput.Seen(ending));
        Assert.IsType<AgentAction.Terminate>(world.Trace[^1]);
        var report = world.Report(pod)!;
        Assert.True(report.Ending);
        Assert.Null(report.End);
        Assert.Equal("Stopping: Container 'b' exited with status 3. Last output:\noops", report.Detail);

        Assert.Equal(world.Now.AddSeconds(7), world.NextLookAt);
        world.Advance(6.9);
        Assert.DoesNotContain(world.Trace, x => x is AgentAction.Kill);
        world.Advance(0.1);
        var end = world.Report(pod)!.End!;
        Assert.Equal((TerminalState.Failed, 3, "b"), (end.State, end.ExitCode, end.Container));
        Assert.False(world.Report(pod)!.Ending);
    }

    [Fact]
    public void A_pod_that_is_stopped_was_killed_whatever_its_containers_exit_with()
    {
        var world = new AgentWorld();
        var pod = Two();
        world.Settle(world.Desired(pod), world.List());
        world.Step(world.Desired(pod with { Goal = Goal.Stop }));
        world.Step(new AgentInput.Done(pod.Id), new AgentInput.Seen(AgentWorld.Running(pod) with { Exit = new ContainerExit(1, false, "", AgentWorld.Epoch) { Container = "a" } }));
        world.Step(new AgentInput.Seen(AgentWorld.Running(pod) with { State = ContainerState.Exited, Exit = new ContainerExit(0, false, "", AgentWorld.Epoch) { Container = "b" } }));
        Assert.Equal(TerminalState.Killed, world.Report(pod)!.End!.State);
    }

    [Fact]
    public void Too_much_memory_names_the_container_and_its_own_limit()
    {
        var world = new AgentWorld();
        var pod = Two();
        world.Settle(world.Desired(pod), world.List());
        world.Step(new AgentInput.Seen(AgentWorld.Running(pod) with { State = ContainerState.Exited, Exit = new ContainerExit(137, true, "", AgentWorld.Epoch) { Container = "a" } }));
        Assert.Equal("Memory limit of container 'a' exceeded: the task's limit is 40 MiB", world.Report(pod)!.End!.Message);
    }
}
