using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Tests.Discovery;

/// <summary>The ways of looking at an app that are not its plain name: Consul's, twins, groups, reverse names, and what is not ready yet.</summary>
public sealed class DnsViewTests
{
    private static readonly DnsNaming Naming = new("marathon.mesos");

    [Theory]
    [InlineData("web-shop.service.consul", DnsType.A, "10.0.0.1 10.0.0.2")]
    [InlineData("web-shop.service.dc1.consul", DnsType.A, "10.0.0.1 10.0.0.2")]
    [InlineData("blue.web-shop.service.consul", DnsType.A, "10.0.0.1 10.0.0.2")]
    [InlineData("web-shop.service.consul", DnsType.SRV, "31001 31002 31003 31004")]
    [InlineData("_web-shop._tcp.service.consul", DnsType.SRV, "31001 31002 31003 31004")]
    [InlineData("_web-shop._v2.service.consul", DnsType.SRV, "31001 31002 31003 31004")]
    [InlineData("_web-shop._admin.service.consul", DnsType.SRV, "31002 31004")]
    [InlineData("admin.web-shop.service.dc1.consul", DnsType.SRV, "31002 31004")]
    [InlineData("node-1.node.consul", DnsType.A, "10.0.0.1")]
    [InlineData("node-1.node.dc1.consul", DnsType.A, "10.0.0.1")]
    [InlineData("web.shop.marathon.agentip.mesos", DnsType.A, "10.0.0.1 10.0.0.2")]
    [InlineData("web-shop.marathon.autoip.mesos", DnsType.A, "10.0.0.1 10.0.0.2")]
    [InlineData("_admin._web-shop._tcp.marathon.autoip.mesos", DnsType.SRV, "31002 31004")]
    [InlineData("web-shop.marathon.containerip.mesos", DnsType.A, "172.18.0.5 172.18.0.6")]
    [InlineData("shop.marathon.group.mesos", DnsType.A, "10.0.0.1 10.0.0.2 172.18.0.9")]
    [InlineData("eu.shop.marathon.group.mesos", DnsType.A, "172.18.0.9")]
    public void Every_view_has_its_names(string name, DnsType type, string data) => Assert.Equal(data, Data(Zone(), name, type));

    [Theory]
    [InlineData("green.web-shop.service.consul", DnsRcode.NXDomain)]
    [InlineData("web-shop.service.dc2.consul", DnsRcode.NXDomain)]
    [InlineData("service.dc1.consul", DnsRcode.NoError)]
    [InlineData("_tcp.marathon.autoip.mesos", DnsRcode.NoError)]
    [InlineData("nobody.marathon.agentip.mesos", DnsRcode.NXDomain)]
    [InlineData("9.9.9.10.in-addr.arpa", DnsRcode.Refused)]
    public void What_is_in_no_view_is_denied_by_the_right_zone(string name, DnsRcode rcode)
    {
        var answer = DnsAnswers.Of(Zone(), new DnsQuestion(name, (ushort)DnsType.TXT, 1), 0);
        Assert.Equal((rcode, 0), (answer.Rcode, answer.Count));
        if (rcode != DnsRcode.Refused) Assert.EndsWith(name[^answer.ApexLength..], name.Contains("consul", StringComparison.Ordinal) ? "consul" : "mesos");
    }

    [Fact]
    public void Addresses_lead_back_to_names_that_have_them()
    {
        var zone = Zone();
        foreach (var (address, name) in new[] { ("10.0.0.1", "node-1.node.consul"), ("172.18.0.5", ".marathon.containerip.mesos"), ("172.18.0.9", "-1.marathon.mesos"), ("fd00::3", "node-3.node.consul") })
        {
            var reverse = DnsRecord.ReverseName(IPAddress.Parse(address))!;
            var pointer = Assert.Single(Records(DnsAnswers.Of(zone, new DnsQuestion(reverse, (ushort)DnsType.PTR, 1), 0))).ToString().Split(' ')[^1].TrimEnd('.');
            Assert.EndsWith(name, pointer);
            Assert.Contains(zone.Find(pointer)!.Sets.SelectMany(x => x), x => x.ToString().EndsWith(" " + address, StringComparison.Ordinal));

            // A name we answer for is one of a zone of its own, with all that a zone has.
            Assert.Equal(1, DnsAnswers.Of(zone, new DnsQuestion(reverse, (ushort)DnsType.SOA, 1), 0).Count);
            var noData = DnsAnswers.Of(zone, new DnsQuestion(reverse, (ushort)DnsType.A, 1), 0);
            Assert.Equal((DnsRcode.NoError, 0, reverse.Length), (noData.Rcode, noData.Count, noData.ApexLength));
        }
        Assert.Null(DnsRecord.ReverseName(IPAddress.Loopback));
        Assert.Equal("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", DnsRecord.ReverseName(IPAddress.Parse("fd00::1")));
    }

    [Fact]
    public void An_instances_own_name_says_which_task_of_which_version_it_is()
    {
        var zone = Zone();
        var target = DnsAnswers.Of(zone, new DnsQuestion("_api-eu-shop._tcp.marathon.mesos", (ushort)DnsType.SRV, 1), 0)[0].Target!;
        Assert.Equal($"\"task={World.Id("/shop/eu/api", 3).TaskId}\" \"version=2026-01-02T03:04:05.000Z\" \"node=node-1\"",
            zone.Find(target)!.Of(DnsType.TXT)[0].ToString().Split("TXT ")[1]);
    }

    [Fact]
    public void What_is_not_ready_is_shown_only_in_the_view_of_all_and_only_for_apps_that_ask()
    {
        var world = new World().App("/peers", EquatableMap.From([KeyValuePair.Create(DnsView.AllLabel, "true")]), World.Port(0, 10000, "raft")).App("/other", World.Port(0, 10001));
        world.Up("/peers", 1, "node-1", "10.0.0.1", null, World.At(0, 31001, "raft"));
        world.Apply(new EndpointChange.StartingSet(World.Endpoint("/peers", 2, "node-2", "10.0.0.2", null, World.At(0, 31002, "raft"))));
        var zone = DnsZone.Build(world.Snapshot, Naming, [], DnsSchedulers.None);
        Assert.Equal("10.0.0.1", Data(zone, "peers.marathon.mesos", DnsType.A));
        Assert.Equal("31001", Data(zone, "_peers._tcp.marathon.mesos", DnsType.SRV));
        Assert.Equal("31001", Data(zone, "peers.service.consul", DnsType.SRV));
        Assert.Equal("10.0.0.1 10.0.0.2", Data(zone, "peers.marathon.all.mesos", DnsType.A));
        Assert.Equal("31001 31002", Data(zone, "_raft._peers._tcp.marathon.all.mesos", DnsType.SRV));
        foreach (var record in zone.Find("_peers._tcp.marathon.all.mesos")!.Of(DnsType.SRV)) Assert.Single(zone.Find(record.Target)!.Of(DnsType.A));
        Assert.Null(zone.Find("other.marathon.all.mesos"));

        // No other view knows of it, and when it becomes ready it is an endpoint like any other.
        Assert.DoesNotContain(World.Id("/peers", 2).Uuid, JsonSerializer.Serialize(world.Snapshot.Services[AppId.Parse("/peers")].Endpoints.Keys.Select(x => x.Text)));
        world.Apply(new EndpointChange.StartingRemoved(AppId.Parse("/peers"), World.Id("/peers", 2))).Up("/peers", 2, "node-2", "10.0.0.2", null, World.At(0, 31002, "raft"));
        zone = zone.Next(world.Snapshot, world.Snapshot.Cursor, [AppId.Parse("/peers")], [], DnsSchedulers.None);
        Assert.Equal(DnsZone.Build(world.Snapshot, Naming, [], DnsSchedulers.None).ToString(), zone.ToString());
        Assert.Equal("31001 31002", Data(zone, "_peers._tcp.marathon.mesos", DnsType.SRV));
    }

    [Fact]
    public void A_complete_table_carries_what_is_starting_too()
    {
        var world = new World().App("/peers", EquatableMap.From([KeyValuePair.Create(DnsView.AllLabel, "true")]));
        world.Apply(new EndpointChange.StartingSet(World.Endpoint("/peers", 2, "node-2", "10.0.0.2", null)));
        var copy = new EndpointTable();
        copy.Apply(EndpointTable.Complete(world.Snapshot));
        Assert.Single(copy.Current.Services[AppId.Parse("/peers")].Starting);
        Assert.Empty(copy.Current.Services[AppId.Parse("/peers")].Endpoints);
    }

    [Fact]
    public void The_http_api_answers_as_mesos_dns_does()
    {
        var zone = DnsZone.Build(World.Assorted().Snapshot, Naming, [IPAddress.Loopback], DnsSchedulers.None);
        var text = new StringBuilder();
        Note("hosts/NGINX.marathon.mesos", json => MesosDnsJson.Hosts(json, zone, "NGINX.marathon.mesos"));
        Note("hosts/six.marathon.mesos.", json => MesosDnsJson.Hosts(json, zone, "six.marathon.mesos."));
        Note("hosts/nope", json => MesosDnsJson.Hosts(json, zone, "nope"));
        Note("services/_nginx._tcp.marathon.mesos.", json => MesosDnsJson.Services(json, zone, "_nginx._tcp.marathon.mesos."));
        Note("services/_nope._tcp.marathon.mesos", json => MesosDnsJson.Services(json, zone, "_nope._tcp.marathon.mesos"));
        Note("enumerate", json => Assert.Equal(7, MesosDnsJson.Enumerate(json, zone).Count()));
        GoldenFile.Check("dns/mesos-dns-api.txt", text.ToString());

        using var axfr = JsonDocument.Parse(Json(json => Assert.NotEmpty(MesosDnsJson.Axfr(json, zone).ToList())));
        Assert.Equal(["TTL", "Serial", "RefreshSeconds", "Mname", "Rname", "Domain", "Records"], axfr.RootElement.EnumerateObject().Select(x => x.Name));
        Assert.Equal(2, axfr.RootElement.GetProperty("Records").GetProperty("As").GetProperty("nginx.marathon.mesos.").GetArrayLength());
        Assert.EndsWith(".marathon.mesos.:31006", axfr.RootElement.GetProperty("Records").GetProperty("SRVs").GetProperty("_six._tcp.marathon.mesos.")[0].GetString());

        void Note(string path, Action<Utf8JsonWriter> write) => text.AppendLine(CultureInfo.InvariantCulture, $"GET /v1/{path}").AppendLine(Json(write)).AppendLine();
    }

    private static string Json(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true })) write(json);
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static DnsZone Zone() => DnsZone.Build(new World()
        .Node("node-1", "10.0.0.1").Node("node-2", "10.0.0.2").Node("node-3", "fd00::3")
        .App("/shop/web", EquatableMap.From([KeyValuePair.Create("SERVICE_TAGS", "Blue, v2")]), World.Port(0, 10000), World.Port(1, 10001, "admin"))
        .Up("/shop/web", 1, "node-1", "10.0.0.1", "172.18.0.5", World.At(0, 31001, null, 80), World.At(1, 31002, "admin", 81))
        .Up("/shop/web", 2, "node-2", "10.0.0.2", "172.18.0.6", World.At(0, 31003, null, 80), World.At(1, 31004, "admin", 81))
        .App("/shop/eu/api", World.Port(0, 10002))
        .Up("/shop/eu/api", 3, "node-1", "10.0.0.1", "172.18.0.9", World.At(0, 0, null, 8080)).Snapshot, Naming, [IPAddress.Loopback], DnsSchedulers.None);

    private static IEnumerable<DnsRecord> Records(DnsAnswer answer) => Enumerable.Range(0, answer.Count).Select(i => answer[i]);

    private static string Data(DnsZone zone, string name, DnsType type) => string.Join(' ', Records(DnsAnswers.Of(zone, new DnsQuestion(name, (ushort)type, 1), 0))
        .Select(x => type == DnsType.SRV ? x.Port.ToString(CultureInfo.InvariantCulture) : new IPAddress(x.Data.AsSpan()).ToString()).Order(StringComparer.Ordinal));
}
