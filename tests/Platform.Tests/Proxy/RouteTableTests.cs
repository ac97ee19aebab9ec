using System.Diagnostics;
using System.Runtime.CompilerServices;
using Platform.Discovery;
using Platform.Model;
using Platform.Proxy.Routing;
using Xunit.Abstractions;

namespace Platform.Tests.Proxy;

public sealed class RouteTableTests(ITestOutputHelper output)
{
    private static string Golden([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "../Golden/routes");

    public static TheoryData<string> Cases() => [.. Directory.GetDirectories(Golden()).Select(x => Path.GetFileName(x)!).Order(StringComparer.Ordinal)];

    /// <summary>PLATFORM_UPDATE_GOLDEN=1 rewrites the expected files.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Endpoints_become_these_routes(string golden)
    {
        var folder = Path.Combine(Golden(), golden);
        var snapshot = RouteTexts.Snapshot(File.ReadAllText(Path.Combine(folder, "endpoints.json")));
        var actual = RouteTexts.Text(RouteTable.Build(RouteTable.Empty, snapshot, RouteTexts.Domain));
        var file = Path.Combine(folder, "routes.json");
        if (Environment.GetEnvironmentVariable("PLATFORM_UPDATE_GOLDEN") == "1") File.WriteAllText(file, actual);
        Assert.Equal(File.ReadAllText(file), actual);
    }

    [Fact]
    public void Building_step_by_step_gives_the_same_as_building_at_once()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var endpoints = new EndpointTable();
            endpoints.Apply(new EndpointUpdate("c", 0, 1, true, default));
            var known = RouteTable.Build(RouteTable.Empty, endpoints.Current, RouteTexts.Domain);
            var compared = known;
            for (var revision = 2; revision < 60; revision++)
            {
                var change = RandomChange(random);
                endpoints.Apply(new EndpointUpdate("c", revision - 1, revision, false, [change.Change]));
                known = RouteTable.Build(known, endpoints.Current, RouteTexts.Domain, [change.App]);
                compared = RouteTable.Build(compared, endpoints.Current, RouteTexts.Domain);
                var atOnce = RouteTexts.Text(RouteTable.Build(RouteTable.Empty, endpoints.Current, RouteTexts.Domain));
                Assert.True(atOnce == RouteTexts.Text(known), $"seed {seed}, revision {revision}, {change}: {RouteTexts.Text(known)}\nshould be {atOnce}");
                Assert.True(atOnce == RouteTexts.Text(compared), $"seed {seed}, revision {revision}, compared");
            }
        }
    }

    [Fact]
    public void An_endpoint_that_stays_keeps_its_counts_and_one_that_goes_is_withdrawn()
    {
        var app = AppId.Parse("/web");
        var endpoints = new EndpointTable();
        endpoints.Apply(new EndpointUpdate("c", 0, 1, true, [Service(app, 10000), Ready(app, 1, 10000), Ready(app, 2, 10000)]));
        var before = RouteTable.Build(RouteTable.Empty, endpoints.Current, RouteTexts.Domain);
        endpoints.Apply(new EndpointUpdate("c", 1, 2, false, [new EndpointChange.EndpointRemoved(app, RouteTexts.Instance(app, 1))]));
        var after = RouteTable.Build(before, endpoints.Current, RouteTexts.Domain);

        var stays = RouteTexts.Instance(app, 2);
        Assert.Same(Upstreams(before).Single(x => x.Instance == stays), Upstreams(after).Single());
        Assert.Equal([RouteTexts.Instance(app, 1)], after.Withdrawn.Select(x => x.Instance));
        Assert.Same(before.ByPort(10000)!.Tally, after.ByPort(10000)!.Tally);
        Assert.Empty(before.Withdrawn);
    }

    [Fact]
    public void An_unchanged_app_is_taken_over_as_it_is()
    {
        var (a, b) = (AppId.Parse("/a"), AppId.Parse("/b"));
        var endpoints = new EndpointTable();
        endpoints.Apply(new EndpointUpdate("c", 0, 1, true, [Service(a, 10000), Service(b, 10001)]));
        var before = RouteTable.Build(RouteTable.Empty, endpoints.Current, RouteTexts.Domain);
        endpoints.Apply(new EndpointUpdate("c", 1, 2, false, [Ready(b, 1, 10001)]));
        var after = RouteTable.Build(before, endpoints.Current, RouteTexts.Domain);

        Assert.Same(before.ByPort(10000), after.ByPort(10000));
        Assert.NotSame(before.ByPort(10001), after.ByPort(10001));
        Assert.Equal([10001], [.. after.TouchedPorts]);
    }

    [Theory]
    [InlineData("web.marathon.mesos", "/web")]
    [InlineData("WEB.Marathon.Mesos", "/web")]
    [InlineData("web.marathon.mesos:8080", "/web")]
    [InlineData("web.marathon.mesos.", "/web")]
    [InlineData("shop.example.com", "/web")]
    [InlineData("deep.under.example.org", "/web")]
    [InlineData("example.org", null)]
    [InlineData("special.example.org", "/special")]
    [InlineData("x.special.example.org", "/web")]
    [InlineData("", null)]
    [InlineData(":80", null)]
    [InlineData("[::1]:80", null)]
    [InlineData("other.marathon.mesos", null)]
    public void A_host_header_finds_its_app(string host, string? app)
    {
        var endpoints = new EndpointTable();
        endpoints.Apply(new EndpointUpdate("c", 0, 1, true,
        [
            Service(AppId.Parse("/web"), 10000, ("HAPROXY_0_VHOST", "Shop.Example.com, *.example.org")),
            Service(AppId.Parse("/special"), 10001, ("HAPROXY_0_VHOST", "special.example.org")),
        ]));
        var table = RouteTable.Build(RouteTable.Empty, endpoints.Current, RouteTexts.Domain);
        Assert.Equal(app, table.ByHost(HostNames.Bare(host))?.Spec.App.Path);
    }

    [Fact]
    public void Choosing_takes_the_least_loaded_and_among_equals_the_next()
    {
        var upstreams = Enumerable.Range(1, 3).Select(x => new Upstream(RouteTexts.Instance(AppId.Parse("/a"), x))).ToArray();
        var targets = upstreams.Select((x, i) => new Target(x, "10.0.0.1", 31000 + i)).ToArray();
        Assert.Equal([31000, 31001, 31002, 31000], Enumerable.Range(0, 4).Select(x => Balancing.Choose(targets, (uint)x, null, 0)!.Port));

        Assert.True(upstreams[0].TryEnter());
        Assert.True(upstreams[1].TryEnter());
        Assert.Equal([31002, 31002, 31002], Enumerable.Range(0, 3).Select(x => Balancing.Choose(targets, (uint)x, null, 0)!.Port));

        upstreams[2].SuspectUntil(100);
        Assert.NotEqual(31002, Balancing.Choose(targets, 2, null, 99)!.Port);
        Assert.Equal(31002, Balancing.Choose(targets, 0, null, 100)!.Port);
        Assert.NotEqual(31002, Balancing.Choose(targets, 2, upstreams[2], 100)!.Port);
        Assert.Equal(31002, Balancing.Choose(targets.AsSpan(2), 0, upstreams[2], 100)!.Port);
    }

    [Fact]
    public void A_withdrawn_upstream_lets_nobody_in_and_says_who_was_last()
    {
        var upstream = new Upstream(RouteTexts.Instance(AppId.Parse("/a"), 1));
        Assert.True(upstream.TryEnter());
        Assert.True(upstream.TryEnter());
        upstream.Withdraw();
        Assert.False(upstream.TryEnter());
        Assert.Equal(2, upstream.InFlight);
        Assert.False(upstream.Exit());
        Assert.True(upstream.Exit());
        Assert.Equal(0, upstream.InFlight);
    }

    [Fact]
    public void Cost_of_one_change_among_ten_thousand_apps()
    {
        const int apps = 10_000;
        var ids = Enumerable.Range(0, apps).Select(x => AppId.Parse($"/group-{x % 100}/app-{x}")).ToArray();
        var endpoints = new EndpointTable();
        endpoints.Apply(new EndpointUpdate("c", 0, 1, true, ids.SelectMany((x, i) =>
            new EndpointChange[] { Service(x, 1024 + i), Ready(x, i * 3, 1024 + i), Ready(x, (i * 3) + 1, 1024 + i) }).ToEquatableArray()));
        var watch = Stopwatch.StartNew();
        var table = RouteTable.Build(RouteTable.Empty, endpoints.Current, RouteTexts.Domain);
        output.WriteLine($"first build of {apps} apps: {watch.Elapsed.TotalMilliseconds:0.0} ms");

        foreach (var known in new[] { true, false })
        {
            var changes = known ? 1_000 : 30;
            var total = TimeSpan.Zero;
            for (var i = 0; i < changes; i++)
            {
                var app = ids[i * 7 % apps];
                var revision = endpoints.Current.Revision + 1;
                endpoints.Apply(new EndpointUpdate("c", revision - 1, revision, false, [Ready(app, (apps * 3) + revision, 1024)]));
                watch.Restart();
                table = RouteTable.Build(table, endpoints.Current, RouteTexts.Domain, known ? [app] : null);
                total += watch.Elapsed;
            }
            output.WriteLine($"one endpoint changed, app {(known ? "known" : "found by comparing all")}: {total.TotalMicroseconds / changes:0.0} µs");
        }
        Assert.Equal(apps, table.Apps.Count());
    }

    private static Upstream[] Upstreams(RouteTable table) => [.. table.Apps.SelectMany(x => x.Upstreams.Values)];

    private static (AppId App, EndpointChange Change) RandomChange(Random random)
    {
        // few names and ports, so that apps collide and lose and win
        var app = AppId.Parse(random.Next(6) switch { 0 => "/a/b-c", 1 => "/c-a/b", 2 => "/x", 3 => "/y", 4 => "/a", _ => "/z" });
        var port = 10000 + random.Next(3);
        return (app, random.Next(6) switch
        {
            0 => new EndpointChange.ServiceRemoved(app),
            1 or 2 => Service(app, port, ("HAPROXY_0_VHOST", $"h{random.Next(3)}.example.com,x.{RouteTexts.Domain}"), ("HAPROXY_0_MODE", random.Next(4) == 0 ? "tcp" : "http")),
            3 => new EndpointChange.EndpointRemoved(app, RouteTexts.Instance(app, random.Next(4))),
            _ => Ready(app, random.Next(4), port),
        });
    }

    private static EndpointChange.ServiceSet Service(AppId app, int port, params (string, string)[] labels) => new(new Service
    {
        App = app,
        Version = RouteTexts.Version,
        Labels = EquatableMap.From(labels.Select(x => KeyValuePair.Create(x.Item1, x.Item2))),
        Ports = [new ServicePort(0, port, "tcp", null, false, EquatableMap.Empty)],
    });

    private static EndpointChange.EndpointSet Ready(AppId app, long serial, int servicePort) => new(new Endpoint
    {
        Instance = RouteTexts.Instance(app, serial),
        App = app,
        Version = RouteTexts.Version,
        Node = NodeId.Parse("n1"),
        Address = "10.0.0.1",
        ReadyAt = DateTimeOffset.UnixEpoch,
        Ports = [new EndpointPort(0, 31000 + (int)(serial % 1000), null, servicePort, "tcp", null)],
    });
}
