using System.Diagnostics;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Programs that know Consul, and not us, find tasks through our door.</summary>
public sealed class ConsulClientTests(ConsulClientTests.World world) : IClassFixture<ConsulClientTests.World>
{
    public sealed class World : IAsyncLifetime
    {
        internal PlatformUnderTest Platform { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            Platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
            await Platform.Api.CreateAsync(new JsonObject
            {
                ["id"] = "/shop/web", ["cmd"] = "exec sleep 99999", ["instances"] = 2, ["cpus"] = 0.01, ["mem"] = 16, ["labels"] = new JsonObject { ["tier"] = "front" },
                ["portDefinitions"] = new JsonArray(new JsonObject { ["port"] = 0, ["name"] = "http" }),
            });
            await Platform.Api.ReadyAsync("/shop/web");
            await Eventually.HoldsAsync("both are in the catalog", async () => JsonNode.Parse(await Platform.Kv.GetStringAsync("/v1/catalog/service/web-shop"))!.AsArray().Count == 2);
        }

        public async Task DisposeAsync() => await Platform.DisposeAsync();
    }

    [Fact]
    public async Task Debians_python_client_finds_waits_and_registers()
    {
        var script = Path.Combine(Machine.Repository, "tests", "clients", "consul_catalog.py");
        var said = (await Command.RunAsync("/usr/bin/python3", TimeSpan.FromMinutes(2), script, $"{world.Platform.KvPort}", "web-shop")).Must("consul_catalog.py");
        Assert.StartsWith("well ", said, StringComparison.Ordinal);
        foreach (var task in await world.Platform.Api.TasksAsync("/shop/web")) Assert.Contains($":{task.Ports[0]}", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prometheus_discovers_the_tasks_and_follows_them()
    {
        // The shell library is the one place that knows where it comes from.
        var binary = (await Command.RunAsync("bash", TimeSpan.FromMinutes(5), "-c", $". '{Machine.Repository}/tests/lib/consul.sh'; ensure_prometheus")).Must("fetching Prometheus").Trim();
        var home = Directory.CreateTempSubdirectory("platform-ft-prometheus-").FullName;
        var port = Ports.Free();
        await File.WriteAllTextAsync(Path.Combine(home, "prometheus.yml"), $$"""
            scrape_configs:
              - job_name: tasks
                consul_sd_configs:
                  - server: 127.0.0.1:{{world.Platform.KvPort}}
                    services: [web-shop]
                    refresh_interval: 1s
                relabel_configs:
                  - {source_labels: [__meta_consul_service_metadata_app], target_label: app}
                  - {source_labels: [__meta_consul_tags], target_label: tags}
            """);
        using var prometheus = Process.Start(new ProcessStartInfo("/bin/sh",
        [
            "-c", "exec \"$3\" --config.file=\"$1/prometheus.yml\" --storage.tsdb.path=\"$1/data\" --web.listen-address=127.0.0.1:$2 >\"$1/log\" 2>&1 </dev/null", "sh", home, $"{port}", binary,
        ]))!;
        try
        {
            using var http = new HttpClient();
            async Task<string> TargetsAsync()
            {
                try
                {
                    var seen = JsonNode.Parse(await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/api/v1/targets")))!["data"]!["activeTargets"]!.AsArray();
                    return string.Join(' ', seen.Select(x => $"{x!["labels"]!["instance"]} {x["labels"]!["app"]} {x["labels"]!["tags"]}").Order(StringComparer.Ordinal));
                }
                catch (HttpRequestException)
                {
                    return prometheus.HasExited ? throw new InvalidOperationException($"prometheus ended: {await File.ReadAllTextAsync(Path.Combine(home, "log"))}") : ""; // not listening yet
                }
            }
            async Task FollowsAsync()
            {
                var tasks = await world.Platform.Api.TasksAsync("/shop/web");
                var wanted = string.Join(' ', tasks.Select(x => $"{x.Host}:{x.Ports[0]}".Replace(x.Host, "127.0.0.1", StringComparison.Ordinal) + " /shop/web ,tier=front,").Order(StringComparer.Ordinal));
                await Eventually.GetAsync($"Prometheus has {wanted}", TargetsAsync, x => x == wanted, 90);
            }
            await FollowsAsync();
            await world.Platform.Api.PutAsync("/v2/apps/shop/web?force=true", new JsonObject { ["instances"] = 3 });
            await Eventually.HoldsAsync("a third is in the catalog", async () => JsonNode.Parse(await world.Platform.Kv.GetStringAsync("/v1/catalog/service/web-shop"))!.AsArray().Count == 3, 60);
            await FollowsAsync();
        }
        finally
        {
            prometheus.Kill();
            await prometheus.WaitForExitAsync();
            Directory.Delete(home, recursive: true);
        }
    }
}
