using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Clients that were written for Marathon, as their users have them.</summary>
public sealed class RealClientTests
{
    /// <summary>Strict about members it does not know: an answer that says more than the contract breaks it.</summary>
    [Fact]
    public async Task Debians_python3_marathon_does_its_work()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var script = Path.Combine(Machine.Repository, "tests", "clients", "marathon_client.py");
        var result = await Command.RunAsync("/usr/bin/python3", TimeSpan.FromSeconds(240), script, $"http://127.0.0.1:{platform.ApiPort}");
        Assert.Equal("done", result.Must("the client").Trim());
    }

    [Fact]
    public async Task Npms_marathon_event_bus_client_follows_an_apps_life()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var modules = await ClientAsync("ensure_event_bus_client");
        var script = Path.Combine(Machine.Repository, "tests", "clients", "event_bus.js");
        var result = await Command.RunAsync("env", $"NODE_PATH={modules}", "node", script, "127.0.0.1", $"{platform.ApiPort}");
        Assert.Equal("done", result.Must("the client").Trim());
    }

    /// <summary>It goes where the tasks' <c>host</c> leads, so that has to be a name which means something to it.</summary>
    [Fact]
    public async Task Prometheus_finds_the_tasks_by_its_marathon_sd_and_reads_what_they_measure()
    {
        var named = new Dictionary<string, string> { ["--node-name"] = "localhost" };
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process", Flags = named });
        await platform.Api.CreateAsync(new JsonObject
        {
            ["id"] = "/prom/measured", ["cmd"] = "echo 'answer 42' > metrics; exec busybox httpd -f -p $PORT0 -h .", ["instances"] = 2, ["cpus"] = 0.01, ["mem"] = 16,
            ["labels"] = new JsonObject { ["team"] = "blue" },
            ["portDefinitions"] = new JsonArray(new JsonObject { ["port"] = 0, ["name"] = "http", ["labels"] = new JsonObject { ["scrape"] = "yes" } }),
        });
        await platform.Api.ReadyAsync("/prom/measured");
        var expected = (await platform.Api.TasksAsync("/prom/measured")).Select(t => $":{t.Ports[0]}").Order(StringComparer.Ordinal).ToArray();

        await using var prometheus = await Prometheus.StartAsync(await ClientAsync("ensure_prometheus"), platform.ApiPort);
        var targets = await Eventually.GetAsync("both tasks are measured", prometheus.TargetsAsync, all => all.Length == 2 && all.All(t => t["health"]?.GetValue<string>() == "up"));
        Assert.Equal(expected, targets.Select(t => $":{Label(t, "__address__").Split(':')[^1]}").Order(StringComparer.Ordinal));
        Assert.All(targets, t => Assert.Equal(("/prom/measured", "blue", "yes", "0"),
            (Label(t, "__meta_marathon_app"), Label(t, "__meta_marathon_app_label_team"), Label(t, "__meta_marathon_port_definition_label_scrape"), Label(t, "__meta_marathon_port_index"))));
        var tasks = (await platform.Api.TasksAsync("/prom/measured")).Select(t => t.Id).Order(StringComparer.Ordinal);
        Assert.Equal(tasks, targets.Select(t => Label(t, "__meta_marathon_task")).Order(StringComparer.Ordinal));
        await Eventually.HoldsAsync("their values are there", async () => await prometheus.SumAsync("answer") == 84);
    }

    /// <summary>With an app that has ports, one without, and one without a task: the bridge fails on a line of one word.</summary>
    [Fact]
    public async Task The_text_of_v2_tasks_is_what_haproxy_marathon_bridge_reads()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        foreach (var (id, instances, ports) in new[] { ("/shop/web", 2, new JsonArray(0, 0)), ("/shop/none", 1, new JsonArray()), ("/waiting/none", 0, new JsonArray()), ("/waiting/web", 0, new JsonArray(0)) })
            await platform.Api.CreateAsync(new JsonObject { ["id"] = id, ["cmd"] = "sleep 600", ["instances"] = instances, ["cpus"] = 0.01, ["mem"] = 16, ["ports"] = ports });
        var web = await platform.Api.ReadyAsync("/shop/web");
        await platform.Api.ReadyAsync("/shop/none");
        var waiting = await platform.Api.AppAsync("/waiting/web");
        var tasks = await platform.Api.TasksAsync("/shop/web");

        var script = Path.Combine(Machine.Repository, "tests", "clients", "bridge.sh");
        var said = (await Command.RunAsync("bash", script, $"127.0.0.1:{platform.ApiPort}")).Must("the bridge");
        string[] listeners = [$"listen shop_web-{web.ServicePorts[0]}", $"listen shop_web-{web.ServicePorts[1]}", $"listen waiting_web-{waiting.ServicePorts[0]}"];
        Assert.Equal(listeners.Order(StringComparer.Ordinal), said.Split('\n').Where(l => l.StartsWith("listen", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        var servers = said.Split('\n').Where(l => l.StartsWith("  server", StringComparison.Ordinal)).Select(l => l.Split(' ')[4].Split(':')[^1]);
        Assert.Equal(tasks.SelectMany(t => t.Ports).Select(p => $"{p}").Order(StringComparer.Ordinal), servers.Order(StringComparer.Ordinal));
    }

    private static string Label(JsonNode target, string name) => target["discoveredLabels"]?[name]?.GetValue<string>() ?? "";

    /// <summary>Where the client is; it is fetched when it is not there yet.</summary>
    private static async Task<string> ClientAsync(string function) =>
        (await Command.RunAsync("bash", TimeSpan.FromMinutes(10), Path.Combine(Machine.Repository, "tests", "lib", "clients.sh"), function)).Must(function).Trim();
}
