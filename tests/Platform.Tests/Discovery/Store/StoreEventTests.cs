using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Platform.Discovery;
using Platform.Discovery.Catalog;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduling;

namespace Platform.Tests.Discovery.Store;

/// <summary>Kinds and fields only grow: what one version has written into the log, every later one reads.</summary>
public sealed class StoreEventTests
{
    private static readonly DateTimeOffset At = new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);
    private const string Session = "01234567-89ab-8def-8123-456789abcdef";

    private static readonly StoreEvent[] OfEachKind =
    [
        new StoreEvent.SessionCreated(new KvSession
        {
            Id = Session, Name = "leader", Node = "n1", NodeChecks = [KvSession.NodeAlive], ServiceChecks = ["web:1"], LockDelay = TimeSpan.FromSeconds(5),
            Behavior = SessionBehavior.Delete, TtlText = "15s", Ttl = TimeSpan.FromSeconds(15),
        }),
        new StoreEvent.KeysChanged(
        [
            new KvChange.Set("app/lock", new KvValue([0, 255]), ulong.MaxValue, Session, 3),
            new KvChange.Set("app/plain", default, 0, null, 0),
            new KvChange.Removed("app/plain"),
            new KvChange.RemovedUnder("app/x/"),
        ]),
        new StoreEvent.SessionEnded(Session, SessionEnd.Expired),
        new StoreEvent.Registered(
        [
            new RegistryChange.NodeSet(new RegisteredNode("far", "0123", "10.9.9.9", EquatableMap.From([new("k", "v")]))),
            new RegistryChange.InstanceSet(new RegisteredInstance("n1", "db:1", "db") { Tags = ["a"], Meta = EquatableMap.From([new("k", "v")]), Address = "10.0.0.9", Port = 5432, EnableTagOverride = true, WeightPassing = 2 }, ReplaceChecks: true),
            new RegistryChange.CheckSet(new RegisteredCheck("n1", "service:db:1", "Service 'db' check", "db:1", CheckStatus.Warning)
            {
                Notes = "n", Output = "o",
                Definition = new CheckDefinition(CheckKind.Http)
                {
                    Target = "http://10.0.0.9/", Method = "HEAD", Headers = EquatableMap.From([new("X", "1")]), Body = "b", SkipTlsVerify = true, Interval = TimeSpan.FromSeconds(10),
                    Timeout = TimeSpan.FromSeconds(2), SuccessBeforePassing = 1, FailuresBeforeCritical = 3, DeregisterAfter = TimeSpan.FromMinutes(90),
                },
            }, KeepStatus: true),
            new RegistryChange.CheckStated("n1", "service:db:1", CheckStatus.Passing, "HTTP HEAD"),
            new RegistryChange.CheckRemoved("n1", "service:db:1"),
            new RegistryChange.InstanceRemoved("n1", "db:1"),
            new RegistryChange.NodeRemoved("far"),
        ]),
        new StoreEvent.PolicySet(new AclPolicy(Session, "app", "of the shop", "key_prefix \"app/\" { policy = \"write\" }")),
        new StoreEvent.TokenSet(new AclToken(Session, AclToken.HashOf("secret"), "ci", [Session], At), true),
        new StoreEvent.PolicyRemoved(Session),
        new StoreEvent.TokenRemoved(Session),
    ];

    public static TheoryData<string> Kinds => [.. typeof(StoreEvent).GetCustomAttributes<JsonDerivedTypeAttribute>().Select(a => (string)a.TypeDiscriminator!)];

    private static StoreEvent Of(string kind) => OfEachKind.Single(e => KindOf(e.GetType()) == kind);
    private static string KindOf(Type type) => (string)typeof(StoreEvent).GetCustomAttributes<JsonDerivedTypeAttribute>().Single(a => a.DerivedType == type).TypeDiscriminator!;

    [Fact]
    public void Every_kind_has_a_name_and_an_example() => Assert.Equal(
        typeof(StoreEvent).GetNestedTypes().Where(t => t.IsSubclassOf(typeof(StoreEvent))).Select(k => k.Name).Order(), OfEachKind.Select(e => e.GetType().Name).Order());

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_kind_survives_the_log(string kind)
    {
        var stored = new SchedulerEvent.Stored(Of(kind)) { At = At };
        var written = SchedulerJson.Write(stored);
        Assert.Equal(stored, SchedulerJson.ReadEvent(written));
        Golden.Check($"store/events/{kind}.json", JsonNode.Parse(written)!.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
        Assert.Equal(stored, SchedulerJson.ReadEvent(Encoding.UTF8.GetBytes(Golden.Read($"store/events/{kind}.json"))));
    }

    [Fact]
    public void A_store_survives_its_snapshot()
    {
        var state = ClusterState.Empty;
        foreach (var e in OfEachKind)
        {
            state = state.Fold(new SchedulerEvent.Stored(e) { At = At });
            var written = SchedulerJson.Write(state);
            Assert.Equal(Encoding.UTF8.GetString(written), Encoding.UTF8.GetString(SchedulerJson.Write(SchedulerJson.ReadState(written))));
        }
    }
}
