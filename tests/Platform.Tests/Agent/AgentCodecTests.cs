using System.Text.Json;
using CsCheck;
using Google.Protobuf;
using Platform.Model;
using Platform.Protocol;
using Wire = Platform.Protocol.Wire;

namespace Platform.Tests.Agent;

/// <summary>What goes over the link comes out the same, through real bytes.</summary>
public sealed class AgentCodecTests
{
    private static readonly DateTimeOffset At = new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
    private static readonly InstanceId Id = InstanceId.Derive("c1", AppId.Parse("/shop/web"), 7);

    private static Wire.FromAgent Through(Wire.FromAgent message) => Wire.FromAgent.Parser.ParseFrom(message.ToByteArray());
    private static Wire.ToAgent Through(Wire.ToAgent message) => Wire.ToAgent.Parser.ParseFrom(message.ToByteArray());

    private static AppDefinition App() => new()
    {
        Id = AppId.Parse("/shop/web"),
        Cmd = "exec \"$SHELL\" ü",
        Args = [],
        User = "www",
        Env = EquatableMap.From([new("A", "b"), new("Z", "")]),
        Resources = new Resources(0.25, 64.5, 10),
        Constraints = [new Constraint("hostname", ConstraintOperator.MaxPer, "2")],
        Container = new Container
        {
            Image = "web:1",
            Parameters = [new DockerParameter("ulimit", "nofile=1:2")],
            Volumes = [new HostVolume("/in", "/out", true)],
            PortMappings = [new PortMapping(80, null, 10000, "udp,tcp", "http", EquatableMap.From([new("k", "v")]))],
        },
        HealthChecks = [new HealthCheck { Protocol = HealthCheckProtocol.MesosHttp, Path = "/x", PortIndex = 0, DelaySeconds = 1.5 }],
        Network = NetworkMode.Bridge,
        UnreachableStrategy = UnreachableStrategy.Disabled,
        TaskKillGracePeriodSeconds = 0.5,
        KillSelection = KillSelection.OldestFirst,
        Version = new AppVersion(At),
        VersionInfo = new VersionInfo(new AppVersion(At), new AppVersion(At.AddSeconds(-1))),
    };

    [Fact]
    public void Hello()
    {
        var hello = new AgentHello(new NodeDescription
        {
            Id = NodeId.Parse("n1"), Address = "10.0.0.1", Total = new Resources(2, 1000, 5000), TaskPortMin = 31000, TaskPortMax = 32000,
            Attributes = EquatableMap.From([new("rack", "1")]), Runtimes = ["docker", "process"],
            Reserved = new Resources(0.5, 256, 0), Version = "0.1.0",
        }, null, "boot", AgentCodec.ProtocolVersion, new EndpointCursor("c1", 5));
        Assert.Equal(hello, AgentCodec.Decode(Through(AgentCodec.Encode(hello)).Hello));
        Assert.Equal(hello with { ClusterId = "c1" }, AgentCodec.Decode(Through(AgentCodec.Encode(hello with { ClusterId = "c1" })).Hello));
    }

    [Fact]
    public void Secrets_travel_over_the_link_and_reach_no_disk_and_no_text()
    {
        var secrets = new RevealedSecrets(EquatableMap.From([new("DB", "hunter2")]), EquatableMap.From([new("/key", "hunter2")]), ["gone"]);
        var assignment = new Assignment(Id, 7, Goal.Run, App(), [31000], EquatableMap.Empty) { Secrets = secrets };
        var desired = new DesiredState(1, true, 8, [assignment, assignment with { Secrets = null }], default);
        Assert.Equal(desired, AgentCodec.Decode(Through(AgentCodec.Encode(desired)).Desired));

        Assert.DoesNotContain("hunter2", JsonSerializer.Serialize(assignment, AgentCodec.Json), StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", assignment.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", desired.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Report()
    {
        var report = new AgentReport(3, true,
        [
            new InstanceReport { Id = Id, Serial = 7, Phase = Phase.Running, StartedAt = At, ContainerAddress = "172.18.0.2", Health = [new HealthState { FirstSuccessAt = At, LastSuccessAt = At, LastFailureAt = At, LastFailureCause = "x", ConsecutiveFailures = 2, Seen = true }, new HealthState()], Readiness = [new ReadinessState("warm", false, new ReadinessResponse(503, "text/html", "no")), new ReadinessState("x", true, null)] },
            new InstanceReport { Id = Id, Serial = 8, Detail = "Pulling", End = new InstanceEnd(TerminalState.Failed, "why", 0, true, true, At) },
            new InstanceReport { Id = Id, Serial = 8, Ending = true },
            new InstanceReport { Id = Id, Serial = 8, End = new InstanceEnd(TerminalState.Failed, "why", 3, false, false, At) { Container = "side" } },
            new InstanceReport { Id = Id, Serial = 9, End = new InstanceEnd(TerminalState.Gone, "", null, false, false, At) },
        ], 11, [Id], 12) { Wiped = ["v2"] };
        Assert.Equal(report, AgentCodec.Decode(Through(AgentCodec.Encode(report)).Report));
    }

    [Fact]
    public void WelcomeAndDesired()
    {
        var welcome = new SchedulerWelcome("c1", 4, TimeSpan.FromMilliseconds(1500)) { Api = "10.0.0.1:8080" };
        Assert.Equal(TimeSpan.FromSeconds(3), AgentCodec.Decode(Through(AgentCodec.EncodePace(TimeSpan.FromSeconds(3))).Pace));
        Assert.Equal(welcome, AgentCodec.Decode(Through(AgentCodec.Encode(welcome)).Welcome));
        var desired = new DesiredState(9, true, 10, [new Assignment(Id, 7, Goal.Stop, App(), [31000, 0], EquatableMap.From([new("PORT", "31000")])) { Volumes = [new LocalVolume("data", "v1", 10.5)] }], [Id]) { Wipe = ["v2", "v3"] };
        Assert.Equal(desired, AgentCodec.Decode(Through(AgentCodec.Encode(desired)).Desired));
    }

    [Fact]
    public void APodTravelsWhole()
    {
        var pod = PodContainersTests.Pod("everything") with { Version = new AppVersion(At), VersionInfo = new VersionInfo(new AppVersion(At), new AppVersion(At)) };
        var desired = new DesiredState(9, true, 10, [new Assignment(Id, 7, Goal.Run, pod, [31000, 5353, 0, 0], EquatableMap.Empty)], default);
        Assert.Equal(desired, AgentCodec.Decode(Through(AgentCodec.Encode(desired)).Desired));
    }

    [Fact]
    public void EveryKindOfEndpointChange()
    {
        EndpointChange[] changes =
        [
            new EndpointChange.ServiceSet(new Service { App = AppId.Parse("/a"), Version = new AppVersion(At), Labels = EquatableMap.From([new("k", "v")]), Ports = [new ServicePort(0, 10000, "tcp", null, true, EquatableMap.Empty)] }),
            new EndpointChange.ServiceRemoved(AppId.Parse("/a")),
            new EndpointChange.EndpointSet(new Endpoint { Instance = Id, App = AppId.Parse("/a"), Version = new AppVersion(At), Node = NodeId.Parse("n"), Address = "1.2.3.4", ReadyAt = At, Ports = [new EndpointPort(0, 31000, 80, 10000, "tcp", "http")] }),
            new EndpointChange.EndpointRemoved(AppId.Parse("/a"), Id),
            new EndpointChange.StartingSet(new Endpoint { Instance = Id, App = AppId.Parse("/a"), Version = new AppVersion(At), Node = NodeId.Parse("n"), Address = "1.2.3.4", ReadyAt = At, Ports = [] }),
            new EndpointChange.StartingRemoved(AppId.Parse("/a"), Id),
            new EndpointChange.NodeSet(new NodeAddress(NodeId.Parse("n"), "1.2.3.4")),
            new EndpointChange.NodeRemoved(NodeId.Parse("n")),
        ];
        Assert.Equal(typeof(EndpointChange).GetNestedTypes().Length, changes.Select(x => x.GetType()).Distinct().Count());
        var update = new EndpointUpdate("c1", 1, 2, false, changes.ToEquatableArray());
        Assert.Equal(update, AgentCodec.Decode(Through(AgentCodec.Encode(update)).Endpoints));
        Assert.Equal(update with { Changes = default }, AgentCodec.Decode(Through(AgentCodec.Encode(update with { Changes = default })).Endpoints));
    }

    [Fact]
    public void AnAppSaysNothingTwice()
    {
        var json = JsonSerializer.Serialize(App(), AgentCodec.Json);
        Assert.DoesNotContain("killGrace\"", json); // computed ones do not travel
        Assert.Equal(App(), JsonSerializer.Deserialize<AppDefinition>(json, AgentCodec.Json));
    }

    [Fact]
    public void UnknownEnumValuesOfANewerPeer_AreReadWithoutHarm()
    {
        var wire = AgentCodec.Encode(new DesiredState(1, true, 1, [new Assignment(Id, 7, Goal.Stop, App(), [1], EquatableMap.Empty)], default)).Desired;
        wire.Upsert[0].Goal = 99;
        Assert.Equal(Goal.Run, Assert.Single(AgentCodec.Decode(wire).Upsert).Goal);
    }

    [Fact]
    public void RandomBytes_AreRefused_NotCrashing() =>
        Gen.Byte.Array[0, 200].Sample(bytes =>
        {
            try
            {
                var message = Wire.FromAgent.Parser.ParseFrom(bytes);
                if (message.Report is { } report) AgentCodec.Decode(report);
            }
            catch (Exception e) when (e is InvalidProtocolBufferException or FormatException or JsonException) { }
        }, iter: 2000, seed: "0N0XIzNsQ0O2");
}
