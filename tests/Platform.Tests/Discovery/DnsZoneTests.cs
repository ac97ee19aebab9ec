using System.Net;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class DnsZoneTests
{
    private static readonly DnsSchedulers Schedulers = new(IPAddress.Parse("10.0.0.9"), [IPAddress.Parse("10.0.0.9"), IPAddress.Parse("10.0.0.8")], 8080);
    private static readonly DnsZone Zone = DnsZone.Build(World.Assorted().Snapshot, new DnsNaming("marathon.mesos"), [IPAddress.Parse("10.0.0.53")], Schedulers);

    [Theory]
    [InlineData("web", "web")]
    [InlineData("Web_1.x", "web-1-x")]
    [InlineData("-a/b:ü c-", "abc")]
    [InlineData("", "")]
    public void A_label_keeps_letters_digits_and_hyphens(string text, string label) => Assert.Equal(label, DnsNames.Label(text));

    [Fact]
    public void A_cut_that_leaves_hyphens_is_refilled_from_behind_them()
    {
        Assert.Equal("aaaab", DnsNames.Label("aaaa--bcd", 5));
        Assert.Equal("aaaab", DnsNames.Label("aaaa-b-", 5));
        Assert.Equal("aaaaa", DnsNames.Label("aaaaa-bcd", 5));
        Assert.Equal(63, DnsNames.Label(new string('x', 200)).Length);
    }

    [Fact]
    public void An_instances_label_fits_whatever_the_apps_length()
    {
        var app = AppId.Parse("/" + new string('a', 80));
        var label = DnsNames.InstanceLabel(app.ReverseDotted, InstanceId.Derive("c", app, 1), NodeId.Parse("ip-10-0-0-254"));
        Assert.True(label.Length <= 63, label);
        Assert.EndsWith("-254", label);
    }

    [Fact]
    public void The_zone_of_an_assorted_table() => GoldenFile.Check("dns/assorted.zone", Zone.ToString());

    [Fact]
    public void A_domain_of_one_label_is_its_own_zone()
    {
        var zone = DnsZone.Build(new World().App("/a/b").Up("/a/b", 1, "n", "10.0.0.1", null, World.At(0, 31000)).Snapshot, new DnsNaming("cluster", null), [IPAddress.Loopback], DnsSchedulers.None);
        GoldenFile.Check("dns/one-label.zone", zone.ToString());
    }

    [Fact]
    public void An_answer_gives_addresses_that_work_with_the_advertised_ports()
    {
        Assert.Equal("10.0.0.1 10.0.0.2", Addresses("nginx.marathon.mesos")); // published: the nodes
        Assert.Equal("172.18.0.7", Addresses("inner.marathon.mesos"));        // not published: the container
        Assert.Equal("10.0.0.1", Addresses("inner.marathon.slave.mesos"));
        Assert.Equal("fd00::1", Addresses("six.marathon.mesos", DnsType.AAAA));
        Assert.Equal("10.0.0.1", Addresses("batch.marathon.mesos"));
    }

    [Fact]
    public void Every_service_record_leads_to_an_address_of_its_own_instance()
    {
        foreach (var name in new[] { "_nginx._tcp", "_port0._nginx._tcp", "_web.eu.prod._tcp", "_web-eu-prod._tcp", "_http._web-eu-prod._tcp", "_dns._web-eu-prod._udp", "_mixed._tcp" })
        {
            var answer = Ask($"{name}.marathon.mesos", DnsType.SRV);
            Assert.NotEqual(0, answer.Count);
            foreach (var record in Records(answer)) Assert.Single(answer.Zone!.Find(record.Target)!.Of(DnsType.A));
        }
        Assert.Equal("172.18.0.8 10.0.0.2", string.Join(' ', Records(Ask("_mixed._tcp.marathon.mesos", DnsType.SRV, turn: 1))
            .Select(x => new IPAddress(Zone.Find(x.Target)!.Of(DnsType.A)[0].Data.AsSpan()))));
    }

    [Theory]
    [InlineData("nginx.marathon.mesos", DnsType.AAAA, DnsRcode.NoError)]   // the name exists, that type does not
    [InlineData("nginx.marathon.mesos", (DnsType)65, DnsRcode.NoError)]
    [InlineData("quiet.marathon.mesos", DnsType.A, DnsRcode.NoError)]      // an app that is being deployed exists
    [InlineData("_tcp.marathon.mesos", DnsType.A, DnsRcode.NoError)]       // empty non-terminals exist
    [InlineData("eu.prod.marathon.mesos", DnsType.SRV, DnsRcode.NoError)]
    [InlineData("slave.mesos", DnsType.AAAA, DnsRcode.NoError)]
    [InlineData("nope.marathon.mesos", DnsType.A, DnsRcode.NXDomain)]
    [InlineData("_nope._tcp.marathon.mesos", DnsType.SRV, DnsRcode.NXDomain)]
    [InlineData("x.nginx.marathon.mesos", DnsType.A, DnsRcode.NXDomain)]
    public void Missing_data_and_missing_names_are_told_apart(string name, DnsType type, DnsRcode rcode)
    {
        var answer = Ask(name, type);
        Assert.Equal((rcode, true), (answer.Rcode, answer.Authoritative));
        Assert.Equal(0, answer.Count);
        Assert.Equal(DnsType.SOA, answer.Authority!.Type);
        Assert.EndsWith(" 1", answer.Authority.ToString()); // the SOA's minimum is the negative TTL
        Assert.Equal(DnsZone.NegativeTtlSeconds, answer.Authority.TtlSeconds);
    }

    [Fact]
    public void The_turn_moves_the_first_record_and_loses_none()
    {
        Assert.Equal("10.0.0.1 10.0.0.2", Addresses("nginx.marathon.mesos", turn: 0));
        Assert.Equal("10.0.0.2 10.0.0.1", Addresses("nginx.marathon.mesos", turn: 1));
        Assert.Equal("10.0.0.1 10.0.0.2", Addresses("nginx.marathon.mesos", turn: 2));
    }

    [Fact]
    public void Any_is_one_small_record_and_transfers_and_other_classes_are_refused()
    {
        Assert.Equal(DnsType.HINFO, Assert.Single(Records(Ask("nginx.marathon.mesos", DnsType.ANY))).Type);
        Assert.Equal(DnsRcode.NXDomain, Ask("nope.mesos", DnsType.ANY).Rcode);
        Assert.Equal(DnsRcode.Refused, Ask("mesos", DnsType.AXFR).Rcode);
        Assert.Equal(DnsRcode.Refused, DnsAnswers.Of(Zone, new DnsQuestion("version.bind", (ushort)DnsType.TXT, 3), 0).Rcode);
    }

    [Fact]
    public void Apps_that_mangle_to_one_name_share_it_and_deny_nobody()
    {
        var zone = DnsZone.Build(new World().App("/a/b-c").App("/c-a/b")
            .Up("/a/b-c", 1, "n-1", "10.0.0.1", null, World.At(0, 31000)).Up("/c-a/b", 2, "n-2", "10.0.0.2", null, World.At(0, 31000)).Snapshot,
            new DnsNaming("marathon.mesos"), [], DnsSchedulers.None);
        Assert.Equal(2, DnsAnswers.Of(zone, new DnsQuestion("b-c-a.marathon.mesos", 1, 1), 0).Count);
    }

    [Fact]
    public void Many_instances_keep_names_of_their_own()
    {
        var zone = DnsZone.Build(Large(1, 5000), new DnsNaming("marathon.mesos"), [], DnsSchedulers.None);
        var targets = DnsAnswers.Of(zone, new DnsQuestion("_app0._tcp.marathon.mesos", (ushort)DnsType.SRV, 1), 0).Set;
        Assert.Equal(5000, targets.Select(x => x.Target).Distinct().Count());
    }

    /// <summary>Bytes allocated stand for the work done: they are the same on a busy machine.</summary>
    [Theory]
    [InlineData(100)]
    [InlineData(2000)]
    public void A_change_of_one_endpoint_costs_the_same_in_a_zone_of_any_size(int apps)
    {
        var world = new World();
        var zone = DnsZone.Build(world.Apply(LargeChanges(apps, 10)).Snapshot, new DnsNaming("marathon.mesos"), [], DnsSchedulers.None);
        world.Down("/app7", 70);
        var app = AppId.Parse("/app7");
        zone.Next(world.Snapshot, world.Snapshot.Cursor, [app], [], DnsSchedulers.None);
        var start = GC.GetAllocatedBytesForCurrentThread();
        zone.Next(world.Snapshot, world.Snapshot.Cursor, [app], [], DnsSchedulers.None);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - start, 1, 200_000);
    }

    [Fact]
    public void A_zone_that_follows_the_table_equals_one_built_afresh()
    {
        var random = new Random(42);
        var world = new World().Node("n-1", "10.0.0.1");
        var zone = DnsZone.Build(world.Snapshot, new DnsNaming("marathon.mesos"), [IPAddress.Loopback], DnsSchedulers.None);
        var touched = new HashSet<AppId>();
        for (var i = 0; i < 1000; i++)
        {
            // Among them apps whose names are those of others: /a/b-c and /c-a/b, and one that is called as an instance is.
            var app = random.Next(8) switch { 0 => "/a/b-c", 1 => "/c-a/b", var x => $"/g{x % 2}/app{random.Next(4)}" };
            touched.Add(AppId.Parse(app));
            switch (random.Next(6))
            {
                case 0: world.App(app, World.Port(0, 10000 + random.Next(3), random.Next(2) == 0 ? "http" : null)); break;
                case 1: world.Gone(app); break;
                case 2: world.Down(app, random.Next(8)); break;
                default: world.Up(app, random.Next(8), $"n-{random.Next(2)}", $"10.0.0.{random.Next(3)}", "172.18.0.5", World.At(0, random.Next(3), "http", 80), World.At(1, 0, null, 81)); break;
            }
            if (random.Next(20) == 0) world.Node($"n-{random.Next(3)}", $"10.0.0.{random.Next(9)}");
            if (random.Next(3) == 0) continue;
            zone = zone.Next(world.Snapshot, world.Snapshot.Cursor, touched, [IPAddress.Loopback], DnsSchedulers.None);
            touched.Clear();
            Assert.Equal(DnsZone.Build(world.Snapshot, new DnsNaming("marathon.mesos"), [IPAddress.Loopback], DnsSchedulers.None).ToString(), zone.ToString());
        }
    }

    private static EndpointSnapshot Large(int apps, int instances) => new World().Apply(LargeChanges(apps, instances)).Snapshot;

    private static EndpointChange[] LargeChanges(int apps, int instances)
    {
        var changes = new List<EndpointChange>();
        for (var a = 0; a < apps; a++)
        {
            changes.Add(new EndpointChange.ServiceSet(new Service { App = AppId.Parse($"/app{a}"), Version = World.Version, Ports = [World.Port(0, 10000 + a)] }));
            for (var i = 0; i < instances; i++)
                changes.Add(new EndpointChange.EndpointSet(World.Endpoint($"/app{a}", (a * instances) + i, $"node-{i % 4}", $"10.0.{i % 4}.1", "172.18.0.5",
                    World.At(0, 31000 + (i % 1000), "http", 80, 10000 + a))));
        }
        return [.. changes];
    }

    private static IEnumerable<DnsRecord> Records(DnsAnswer answer) => Enumerable.Range(0, answer.Count).Select(i => answer[i]);

    private static DnsAnswer Ask(string name, DnsType type, uint turn = 0) => DnsAnswers.Of(Zone, new DnsQuestion(name, (ushort)type, 1), turn);

    private static string Addresses(string name, DnsType type = DnsType.A, uint turn = 0) =>
        string.Join(' ', Records(Ask(name, type, turn)).Select(x => new IPAddress(x.Data.AsSpan())));
}
