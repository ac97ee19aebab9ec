using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduler.Api;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Kinds and fields of events only grow: the golden file of each kind must be readable for ever.</summary>
public sealed class SchedulerEventTests
{
    private static readonly DateTimeOffset At = new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
    private static readonly AppVersion Version = new(At);
    private static readonly InstanceId Id = InstanceId.Derive("c1", AppId.Parse("/shop/web"), 7);
    private static readonly NodeId Node = NodeId.Parse("n1");
    private static readonly AppDefinition App = World.Definition("/shop/web", 2) with { Version = Version, VersionInfo = new VersionInfo(Version, Version) };
    private static readonly HealthState Alive = new() { FirstSuccessAt = At, LastSuccessAt = At, Seen = true };

    private static readonly NodeDescription Description = new()
    {
        Id = Node, Address = "10.0.0.1", Total = new Resources(4, 8192, 1000), TaskPortMin = 31000, TaskPortMax = 31099,
        Attributes = EquatableMap.Empty.With("rack", "r1"), Runtimes = ["docker"],
    };

    private static readonly Deployment Deployment = new()
    {
        Id = "d1", Version = Version, StartedAt = At, Limit = new DeploymentLimit(At, 300, true), RollbackOf = "d0", Originals = [new OriginalApp(App.Id, null)],
        Steps = [new DeploymentStep([new DeploymentAction(DeploymentActionKind.StartApplication, App.Id)]), new DeploymentStep([new DeploymentAction(DeploymentActionKind.ScaleApplication, App.Id)])],
    };

    /// <summary>One of each kind, in an order in which they could happen.</summary>
    private static readonly SchedulerEvent[] OfEachKind =
    [
        new SchedulerEvent.ClusterFounded("c1") { At = At },
        new SchedulerEvent.NodeJoined(Description) { At = At },
        new SchedulerEvent.DeploymentStarted(
            Deployment with { OriginalGroups = [new OriginalGroup(AppId.Parse("/shop"), null)] }, [App], [AppId.Parse("/old")], new ChangeOrigin("127.0.0.1", "/v2/apps", ChangeKind.AppWritten))
        {
            At = At, SetGroups = [new GroupDefinition(AppId.Parse("/shop"), [AppId.Parse("/base")], true)], RemovedGroups = [AppId.Parse("/gone")], Told = AppId.Root,
        },
        new SchedulerEvent.DeploymentStepStarted("d1", 1) { At = At },
        new SchedulerEvent.DeploymentStepSucceeded("d1", 1) { At = At },
        new SchedulerEvent.InstanceReserved(Id, App.Id, Node, new Resources(0.5, 64, 10), [new LocalVolume("data", "01234567-89ab-8def-8123-456789abcdef", 10)]) { At = At },
        new SchedulerEvent.InstancePlaced(Id, 7, App.Id, Version, Node, [31000], new Resources(0.5, 64, 0)) { At = At },
        new SchedulerEvent.InstanceReported(Id, Phase.Running, At, "172.18.0.2", [Alive]) { At = At, Readiness = [new ReadinessState("warm", false, new ReadinessResponse(503, "text/plain", "not yet"))] },
        new SchedulerEvent.NodeLost(Node) { At = At },
        new SchedulerEvent.InstanceStopRequested(Id, StopReason.Replaced) { At = At },
        new SchedulerEvent.InstanceDrained(Id, true) { At = At },
        new SchedulerEvent.InstanceEnded(Id, new InstanceEnd(TerminalState.Failed, "Container exited with status 137 (SIGKILL)", 137, true, false, At)) { At = At },
        new SchedulerEvent.ReservationReleased(Id, App.Id) { At = At },
        new SchedulerEvent.VolumesWiped(Node, ["01234567-89ab-8def-8123-456789abcdef"]) { At = At },
        new SchedulerEvent.LaunchDelayReset(App.Id) { At = At },
        new SchedulerEvent.DeploymentCancelled("d1", "why") { At = At, Outcome = DeploymentOutcome.TimedOut, Traffic = new DeploymentTraffic(100, 1, true) },
        new SchedulerEvent.DeploymentSucceeded("d1") { At = At, Traffic = new DeploymentTraffic(100, 0, false) },
        new SchedulerEvent.AppTerminated(AppId.Parse("/old")) { At = At },
        new SchedulerEvent.EventSubscribed("http://10.1.1.5:9292/cb", "10.1.1.5") { At = At },
        new SchedulerEvent.EventUnsubscribed("http://10.1.1.5:9292/cb", "10.1.1.5") { At = At },
        new SchedulerEvent.SecretStored("prod/db", new SealedSecret("0011223344556677", "AAECAw==")) { At = At },
        new SchedulerEvent.SecretRemoved("prod/db") { At = At },
        new SchedulerEvent.AuthorityFounded("-----BEGIN CERTIFICATE-----", new SealedSecret("0011223344556677", "AAECAw==")) { At = At },
        new SchedulerEvent.JoinTokenMade("0a1b2c3d", "00ff", At.AddHours(1)) { At = At },
        new SchedulerEvent.NodeAdmitted(Node, "11ee", "0a1b2c3d") { At = At },
        new SchedulerEvent.JoinTokenRevoked("0a1b2c3d") { At = At },
        new SchedulerEvent.NodeDrainStarted(Node, At.AddMinutes(5)) { At = At },
        new SchedulerEvent.NodeResumed(Node) { At = At },
        new SchedulerEvent.NodeRemoved(Node) { At = At },
    ];

    private static IEnumerable<string> Names => typeof(SchedulerEvent).GetCustomAttributes<JsonDerivedTypeAttribute>().Select(a => (string)a.TypeDiscriminator!);
    public static TheoryData<string> Kinds => [.. Names];

    private static SchedulerEvent Of(string kind) => OfEachKind.Single(e => KindOf(e.GetType()) == kind);
    private static string KindOf(Type type) => (string)typeof(SchedulerEvent).GetCustomAttributes<JsonDerivedTypeAttribute>().Single(a => a.DerivedType == type).TypeDiscriminator!;

    [Fact]
    public void Every_kind_has_a_name_and_an_example()
    {
        var kinds = typeof(SchedulerEvent).GetNestedTypes().Where(t => t.IsSubclassOf(typeof(SchedulerEvent))).ToList();
        Assert.Equal(kinds.Select(KindOf).Order(), Names.Order());
        Assert.Equal(kinds.Select(k => k.Name).Order(), OfEachKind.Select(e => e.GetType().Name).Order());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_kind_folds_and_is_told_or_not(string kind)
    {
        var e = Of(kind);
        var before = ClusterStateBefore(e);
        var after = before.Fold(e);
        Assert.Equal(1, after.Revision - before.Revision);
        Assert.All(ContractEvents.Of(new Folded(before, e, after)), told => Assert.NotEmpty(told.Type));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_kind_survives_the_log(string kind)
    {
        var written = SchedulerJson.Write(Of(kind));
        Assert.Equal(Of(kind), SchedulerJson.ReadEvent(written));
        Golden.Check($"scheduling/events/{kind}.json", JsonNode.Parse(written)!.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
        Assert.Equal(Of(kind), SchedulerJson.ReadEvent(Encoding.UTF8.GetBytes(Golden.Read($"scheduling/events/{kind}.json"))));
    }

    /// <summary>Written before groups were remembered.</summary>
    [Fact]
    public void A_log_from_before_groups_reads_and_knows_its_groups()
    {
        var old = SchedulerJson.ReadEvent(Encoding.UTF8.GetBytes(Golden.Read("scheduling/events-of-old/deployment-started-without-groups.json")));
        var plain = Assert.IsType<SchedulerEvent.DeploymentStarted>(old);
        Assert.Equal(new SchedulerEvent.DeploymentStarted(Deployment with { Limit = null, RollbackOf = null }, [App], [AppId.Parse("/old")], plain.Origin) { At = At }, plain);
        Assert.Equal(Golden.Read("scheduling/events-of-old/deployment-started-without-groups.json").Trim(), // nor does a change of apps alone grow by them
            JsonNode.Parse(SchedulerJson.Write(plain))!.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
        var state = ClusterState.Empty.Fold(OfEachKind[0]).Fold(old);
        Assert.True(state.HasGroup(AppId.Parse("/shop")));
        Assert.Equal(Version, state.VersionOf(AppId.Parse("/shop")));
        Assert.Equal([Version], state.VersionsOf(AppId.Parse("/shop")));
    }

    /// <summary>As versions wrote it that knew neither how a deployment ended nor its traffic.</summary>
    [Fact]
    public void An_older_form_is_read_too()
    {
        var e = SchedulerJson.ReadEvent("""{"kind":"deployment-cancelled","deployment":"d1","reason":"why","at":"2026-01-02T03:04:05.678+00:00"}"""u8);
        Assert.Equal(new SchedulerEvent.DeploymentCancelled("d1", "why") { At = At }, e);
    }

    [Fact]
    public void A_state_survives_its_snapshot()
    {
        var state = ClusterState.Empty;
        foreach (var e in OfEachKind)
        {
            state = state.Fold(e);
            var written = SchedulerJson.Write(state);
            Assert.Equal(Encoding.UTF8.GetString(written), Encoding.UTF8.GetString(SchedulerJson.Write(SchedulerJson.ReadState(written))));
        }
    }

    private static ClusterState ClusterStateBefore(SchedulerEvent e) =>
        OfEachKind.TakeWhile(x => x != e).Aggregate(ClusterState.Empty, (state, x) => state.Fold(x));
}
