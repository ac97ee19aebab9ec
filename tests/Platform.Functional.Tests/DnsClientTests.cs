using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>The names as clients in the field ask for them: dig, host, glibc's resolver, busybox in a bridge container, and those of Mesos-DNS's HTTP API.</summary>
public sealed class DnsClientTests(DnsClientTests.World world) : IClassFixture<DnsClientTests.World>
{
    public sealed class World : IAsyncLifetime
    {
        private readonly OnePlatform _one = new();

        internal PlatformUnderTest Platform => _one.Platform;
        internal TaskView Task { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            if (Machine.MissingForDocker is not null) return;
            await _one.InitializeAsync();
            await Platform.Api.CreateAsync(Apps.Web("/shop/web").WithHttpCheck().With("labels", new JsonObject { ["SERVICE_TAGS"] = "blue" }));
            await Platform.Api.ReadyAsync("/shop/web");
            Task = Assert.Single(await Platform.Api.TasksAsync("/shop/web"));
        }

        public Task DisposeAsync() => _one.DisposeAsync();
    }

    private PlatformUnderTest Platform => world.Platform;

    [DockerTheory]
    [InlineData("web-shop.marathon.mesos")]
    [InlineData("web.shop.marathon.mesos")]
    [InlineData("web-shop.service.consul")]
    [InlineData("blue.web-shop.service.dc1.consul")]
    [InlineData("web-shop.marathon.autoip.mesos")]
    [InlineData("shop.marathon.group.mesos")]
    public async Task Every_name_of_the_app_gives_the_address_that_has_the_port(string name)
    {
        var service = Assert.Single((await Platform.DigAsync("_web-shop._tcp.marathon.mesos", "SRV")).Data("SRV")).Split(' ');
        var target = Assert.Single((await Platform.DigAsync(service[3], "A")).Data("A"));
        Assert.Equal(target, Assert.Single((await Platform.DigAsync(name, "A")).Data("A")));
    }

    [DockerFact]
    public async Task A_containers_address_leads_back_to_it_and_its_text_names_the_task()
    {
        var container = Assert.Single((await Platform.DigAsync("web-shop.marathon.containerip.mesos", "A")).Data("A"));
        var found = (await Command.RunAsync("host", "-t", "PTR", "-p", $"{Platform.DnsPort}", container, "127.0.0.1")).Must("host");
        var name = found.Trim().Split(' ')[^1];
        Assert.StartsWith("web-shop-", name, StringComparison.Ordinal);
        Assert.Equal(container, Assert.Single((await Platform.DigAsync(name, "A")).Data("A")));
        var text = Assert.Single((await Platform.DigAsync(name.Replace(".containerip.", ".", StringComparison.Ordinal), "TXT")).Data("TXT"));
        Assert.Contains($"\"task={world.Task.Id}\"", text, StringComparison.Ordinal);
        Assert.Contains($"\"version={world.Task.Version}\"", text, StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task Busybox_in_a_bridge_container_resolves_all_kinds_of_names()
    {
        foreach (var name in new[] { "web.shop.marathon.mesos", "web-shop.service.consul" })
        {
            var expected = Assert.Single((await Platform.DigAsync(name, "A")).Data("A"));
            Assert.Contains(expected, await Command.DockerAsync("exec", world.Task.Container, "nslookup", name), StringComparison.Ordinal);
        }
    }

    /// <summary>glibc asks port 53 and nothing else, so it asks at the bridge's gateway, in a mount namespace with a resolver file of its own.</summary>
    [DockerAndRootFact]
    public async Task Glibcs_resolver_finds_an_app_by_its_name()
    {
        // What the engine asks for its containers; inside they see the engine's own 127.0.0.11.
        var resolver = (await Command.DockerAsync("inspect", "--format", "{{index .HostConfig.Dns 0}}", world.Task.Container)).Trim();
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, $"nameserver {resolver}\nsearch marathon.mesos\noptions timeout:5 attempts:3\n");
            foreach (var name in new[] { "web-shop.marathon.mesos", "web-shop", "web.shop.marathon.mesos" })
            {
                var found = (await Command.RunAsync("unshare", "-m", "sh", "-c", $"mount --bind {file} /etc/resolv.conf && getent ahostsv4 {name}")).Must($"getent {name} with {resolver}");
                Assert.Contains(Assert.Single((await Platform.DigAsync("web-shop.marathon.mesos", "A")).Data("A")), found, StringComparison.Ordinal);
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    [DockerFact]
    public async Task The_admin_door_speaks_the_http_api_of_mesos_dns()
    {
        using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{Platform.AdminPort}") };
        Assert.Equal("Mesos-DNS", (string?)JsonNode.Parse(await client.GetStringAsync("/v1/version"))!["Service"]);
        Assert.Equal("mesos", (string?)JsonNode.Parse(await client.GetStringAsync("/v1/config"))!["Domain"]);
        var host = Assert.Single(JsonNode.Parse(await client.GetStringAsync("/v1/hosts/web-shop.marathon.mesos"))!.AsArray())!;
        Assert.Equal("web-shop.marathon.mesos.", (string?)host["host"]);
        var service = Assert.Single(JsonNode.Parse(await client.GetStringAsync("/v1/services/_web-shop._tcp.marathon.mesos."))!.AsArray())!;
        Assert.Equal(((string?)host["ip"], $"{world.Task.Ports[0]}"), ((string?)service["ip"], (string?)service["port"]));
        Assert.Equal("", (string?)Assert.Single(JsonNode.Parse(await client.GetStringAsync("/v1/hosts/nobody"))!.AsArray())!["host"]);
        Assert.Equal(HttpStatusCode.NotImplemented, (await client.GetAsync("/v1/hosts/x/ports")).StatusCode);
        var tasks = JsonNode.Parse(await client.GetStringAsync("/v1/enumerate"))!["frameworks"]![0]!["tasks"]!.AsArray();
        Assert.Equal(world.Task.Id, (string?)Assert.Single(tasks, x => (string?)x!["name"] == "web.shop")!["id"]);
        Assert.NotNull(JsonNode.Parse(await client.GetStringAsync("/v1/axfr"))!["Records"]!["SRVs"]!["_web-shop._tcp.marathon.mesos."]);
    }

    [DockerFact]
    public async Task An_app_that_runs_and_is_not_ready_has_its_name_in_the_view_of_all_alone()
    {
        var app = Apps.Web("/peers").With("labels", new JsonObject { ["PLATFORM_DNS_ALL"] = "true" })
            .With("healthChecks", new JsonArray(new JsonObject { ["protocol"] = "COMMAND", ["command"] = new JsonObject { ["value"] = "test -f /tmp/healthy" }, ["gracePeriodSeconds"] = 3600, ["intervalSeconds"] = 1 }));
        await Platform.Api.CreateAsync(app);
        await Eventually.HoldsAsync("peers is in the view of all", async () => (await Platform.DigAsync("peers.marathon.all.mesos", "A")).Data("A").Length == 1, 60);
        Assert.Empty((await Platform.DigAsync("peers.marathon.mesos", "A")).Answers);
        var task = Assert.Single(await Platform.Api.TasksAsync("/peers"));
        await Command.DockerAsync("exec", task.Container, "touch", "/tmp/healthy");
        await Eventually.HoldsAsync("peers is ready", async () => (await Platform.DigAsync("peers.marathon.mesos", "A")).Data("A").Length == 1, 60);
        Assert.Single((await Platform.DigAsync("peers.marathon.all.mesos", "A")).Data("A"));
    }
}
