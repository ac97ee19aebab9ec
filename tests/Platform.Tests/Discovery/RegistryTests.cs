using System.Text.Json;
using Platform.Discovery;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class RegistryTests
{
    private static readonly CheckOf Checks = (node, _) => node == "n" ? CheckVerdict.Well : CheckVerdict.NoSuchNode;

    [Theory]
    [InlineData("{}", 400, "Missing service name")]
    [InlineData("""{"Name":"a","Check":{"HTTP":"http://x/"}}""", 400, "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")]
    [InlineData("""{"Name":"a","Check":{"TTL":"10s","Interval":"5s"}}""", 400, "Invalid check: Interval and TTL cannot both be specified")]
    [InlineData("""{"Name":"a","Check":{"Notes":"x"}}""", 400, "Invalid check: TTL must be > 0 for TTL checks")]
    [InlineData("""{"Name":"a","Check":{"Args":["sh"],"Interval":"5s"}}""", 400, "Invalid check: Script checks are not run here: HTTP, TCP and TTL are")]
    [InlineData("""{"Name":"a","Check":{"GRPC":"x:1","Interval":"5s"}}""", 400, "Invalid check: gRPC checks are not run here: HTTP, TCP and TTL are")]
    [InlineData("""{"Name":"a","Check":{"HTTP":"ftp://x/","Interval":"5s"}}""", 400, "Invalid check: ftp://x/ is no http or https URL")]
    [InlineData("""{"Name":"a","Check":{"TCP":"nowhere","Interval":"5s"}}""", 400, "Invalid check: nowhere is no host and port")]
    [InlineData("""{"Name":"a","Check":{"TTL":"10s","Status":"odd"}}""", 400, "Bad check status")]
    [InlineData("""{"Name":"a","Check":{"TTL":"soon"}}""", 400, "Request decode failed: time: invalid duration soon")]
    [InlineData("""{"Name":"a","Port":"x"}""", 400, "Request decode failed: cannot take string as the number Port")]
    [InlineData("""{"Name":"a","Port":70000}""", 400, "Invalid port: 70000")]
    [InlineData("""{"Name":"a","Proxy":{"DestinationServiceName":"b"}}""", 400, "Invalid service: there is no mesh here, so no proxies of one")]
    public void A_body_that_cannot_be_says_why(string body, int status, string text)
    {
        Assert.False(RegistrationBody.TryService(JsonDocument.Parse(body).RootElement, "n", false, out _, out var why));
        Assert.Equal((status, text), (why.Status, why.Text));
    }

    [Fact]
    public void Members_are_found_in_any_spelling_and_checks_get_their_ids()
    {
        var changes = Service("""
            {"name":"Web","ID":"w1","tags":["b","a"],"meta":{"k":"v"},"address":"10.0.0.9","port":80,
             "Checks":[{"TTL":"15s","deregister_critical_service_after":"90m"},{"http":"http://10.0.0.9/","interval":"10s","timeout":1000000000,"header":{"X":["1","2"]}},{"TCP":"10.0.0.9:80","Interval":"1ms"}]}
            """);
        var instance = Assert.IsType<RegistryChange.InstanceSet>(changes[0]).Instance;
        Assert.Equal(("w1", "Web", "[b, a]", "10.0.0.9", 80), (instance.Id, instance.Name, $"{instance.Tags}", instance.Address, instance.Port));
        var checks = changes.Skip(1).Select(x => Assert.IsType<RegistryChange.CheckSet>(x).Check).ToList();
        Assert.Equal(["service:w1:1", "service:w1:2", "service:w1:3"], checks.Select(x => x.Id));
        Assert.Equal(["ttl", "http", "tcp"], checks.Select(x => x.Definition.Word));
        Assert.Equal((TimeSpan.FromSeconds(15), TimeSpan.FromMinutes(90)), (checks[0].Definition.Ttl, checks[0].Definition.DeregisterAfter!.Value));
        Assert.Equal((TimeSpan.FromSeconds(1), "1, 2", TimeSpan.FromSeconds(1)), (checks[1].Definition.Timeout, checks[1].Definition.Headers["X"], checks[2].Definition.Interval));
        Assert.All(checks, x => Assert.Equal(CheckStatus.Critical, x.Status));
    }

    [Fact]
    public void What_changes_nothing_is_no_event_and_a_check_keeps_its_status_when_its_service_is_registered_again()
    {
        var changes = Service("""{"Name":"a","Check":{"TTL":"15s"}}""");
        var state = Take(StoreState.Empty, changes, 1);
        state = Take(state, [new RegistryChange.CheckStated("n", "service:a", CheckStatus.Passing, "ok")], 2);
        Assert.Null(Decide(state, changes, 3).Event);
        state = Take(state, Service("""{"Name":"a","Port":1,"Check":{"TTL":"20s"}}"""), 3);
        var (instance, check) = (state.Registry.Instance("n", "a")!, state.Registry.Check("n", "service:a")!);
        Assert.Equal((1, 3, CheckStatus.Passing, "ok"), (instance.CreateIndex, instance.ModifyIndex, check.Status, check.Output));
        Assert.Null(Decide(state, [new RegistryChange.InstanceRemoved("n", "nobody")], 4).Event);
        Assert.Equal(0, Take(state, [new RegistryChange.InstanceRemoved("n", "a")], 4).Registry.Count);
    }

    [Fact]
    public void All_of_a_request_holds_or_nothing()
    {
        var refused = Decide(StoreState.Empty, [.. Service("""{"Name":"a"}"""), new RegistryChange.CheckSet(new RegisteredCheck("n", "c", "c", "nobody", CheckStatus.Passing), false)], 1);
        Assert.Equal("ServiceID \"nobody\" does not exist", Assert.IsType<StoreReply.Failed>(refused.Reply).Text);
        Assert.Null(refused.Event);
        Assert.Contains("is not registered", Assert.IsType<StoreReply.Failed>(Decide(StoreState.Empty, [new RegistryChange.InstanceSet(new RegisteredInstance("elsewhere", "a", "a"), false)], 1).Reply).Text);
        Assert.Contains("own", Assert.IsType<StoreReply.Failed>(Decide(StoreState.Empty, [new RegistryChange.NodeSet(new RegisteredNode("n", "", "1.1.1.1", EquatableMap.Empty))], 1).Reply).Text);
    }

    [Fact]
    public void A_store_with_registrations_is_the_same_after_its_journey_through_json()
    {
        var state = Take(StoreState.Empty, [
            .. Service("""{"Name":"a","Tags":["t"],"Meta":{"k":"v"},"Check":{"HTTP":"http://x/","Interval":"10s","DeregisterCriticalServiceAfter":"2m"}}"""),
            new RegistryChange.NodeSet(new RegisteredNode("far", "id", "10.9.9.9", EquatableMap.Empty)),
        ], 5);
        var back = JsonSerializer.Deserialize<StoreState>(JsonSerializer.Serialize(state, AgentJson), AgentJson)!;
        Assert.Equal(state.Registry.Instances, back.Registry.Instances);
        Assert.Equal(state.Registry.Checks, back.Registry.Checks);
        Assert.Equal(state.Registry.Nodes, back.Registry.Nodes);
    }

    [Fact]
    public void Registered_services_stand_in_the_catalog_with_their_checks_and_move_only_their_own_index()
    {
        var world = new World().Node("n", "10.0.0.1").App("/b", World.Port(0, 0)).Up("/b", 2, "n", "10.0.0.1", null, World.At(0, 31002));
        var tree = CatalogTree.Empty.Apply(world.Snapshot);
        var state = Take(StoreState.Empty, [
            .. Service("""{"Name":"a","Port":5,"Check":{"TTL":"15s"}}"""), new RegistryChange.NodeSet(new RegisteredNode("far", "id", "10.9.9.9", EquatableMap.Empty)),
            new RegistryChange.InstanceSet(new RegisteredInstance("far", "a", "a") { Port = 6 }, false),
        ], 9);
        var next = tree.Apply(world.Snapshot, state.Registry, 9);
        Assert.Equal((9, tree.ServiceIndex("b")), (next.ServiceIndex("a"), next.ServiceIndex("b")));
        Assert.Equal(["far", "n"], next.OfService("a").Select(x => x.Node));
        Assert.Equal([CheckStatus.Passing, CheckStatus.Critical], next.OfService("a").Select(x => next.Health(x)!.Status));

        // The registry comes after a table that is further in the log: the index grows all the same.
        world.Down("/b", 2).Up("/b", 3, "n", "10.0.0.1", null, World.At(0, 31003));
        for (var i = 0; i < 10; i++) world.App("/c");
        var later = next.Apply(world.Snapshot);
        var stated = later.Apply(world.Snapshot, Take(state, [new RegistryChange.CheckStated("n", "service:a", CheckStatus.Passing, "ok")], 12).Registry, 12);
        Assert.True(stated.ServiceIndex("a") > later.ServiceIndex("a"));
        Assert.Equal(later.ServiceIndex("b"), stated.ServiceIndex("b"));
        Assert.All(stated.OfService("a"), x => Assert.Equal(CheckStatus.Passing, stated.Health(x)!.Status));
        var gone = stated.Apply(world.Snapshot, Registry.Empty, 13);
        Assert.Equal(["b"], gone.Services.Keys);
        Assert.Equal(["n"], gone.Nodes.Keys);
    }

    private static readonly JsonSerializerOptions AgentJson = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    private static List<RegistryChange> Service(string body)
    {
        Assert.True(RegistrationBody.TryService(JsonDocument.Parse(body).RootElement, "n", false, out var changes, out var why), why?.Text);
        return changes;
    }

    private static StoreDecision Decide(StoreState state, IEnumerable<RegistryChange> changes, long index) =>
        StoreDecide.Decide(state, new StoreRequest.Register(changes.ToEquatableArray()), Checks, index, DateTimeOffset.UnixEpoch);

    private static StoreState Take(StoreState state, IEnumerable<RegistryChange> changes, long index) =>
        state.Fold(Assert.IsType<StoreEvent.Registered>(Decide(state, changes, index).Event), index, DateTimeOffset.UnixEpoch);
}
