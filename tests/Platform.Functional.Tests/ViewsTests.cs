using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>What views say of themselves, files that real programs read, forwarding to and from a real server, and a node whose scheduler is gone.</summary>
public sealed class ViewsTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("platform-ft-views-").FullName;

    public void Dispose() => Directory.Delete(_home, recursive: true);

    [Fact]
    public async Task Every_view_says_its_revision_and_the_scheduler_knows_how_fast_each_is()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        await platform.Api.CreateAsync(Sleeper("/watched", 2));
        await platform.Api.ReadyAsync("/watched");
        var revision = (await platform.Api.GetAsync("/v2/endpoints")).Must(HttpStatusCode.OK).Json["revision"]!.GetValue<long>();

        var views = await Eventually.GetAsync("every view of the node serves the newest revision", async () =>
            (await platform.Api.GetAsync("/v2/endpoints/revisions")).Json["nodes"]![0]!["views"]!.AsArray(), x => x.Count > 0 && x.All(v => v!["revision"]!.GetValue<long>() >= revision));
        foreach (var name in new[] { "dns", "files", "kv", "proxy" })
            Assert.InRange(views.Single(v => v!["view"]!.GetValue<string>() == name)!["propagationSeconds"]!["p50"]!.GetValue<double>(), 0, 60);

        var metrics = (await platform.Api.GetAsync("/metrics/prometheus", "text/plain")).Body;
        Assert.Contains($"platform_propagation_by_view_timer_seconds{{node=\"{platform.NodeName}\",view=\"dns\",quantile=\"0.99\"}}", metrics, StringComparison.Ordinal);
        Assert.StartsWith($"\"{revision}\"", Assert.Single((await platform.DigAsync("revision.marathon.mesos", "TXT")).Data("TXT")), StringComparison.Ordinal);
        await Eventually.HoldsAsync("its age is told", async () => (await platform.DigAsync("age.marathon.mesos", "TXT")).Data("TXT") is ["\"0\""]);
        Assert.Equal(revision, JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(platform.EndpointsDirectory, "_meta.json")))!["revision"]!.GetValue<long>());
        var page = await AdminAsync(platform.AdminPort);
        Assert.Equal((revision, 0.0), (page["servedByAll"]!.GetValue<long>(), page["schedulerSilentSeconds"]!.GetValue<double>()));
    }

    [Fact]
    public async Task Haproxy_takes_the_servers_and_a_template_of_ones_own_and_is_told_of_changes()
    {
        var haproxy = WriteConfig();
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions
        {
            Runtime = "process", Flags = new Dictionary<string, string> { ["--files-config"] = Path.Combine(_home, "files.json") },
        });
        await platform.Api.CreateAsync(Sleeper("/shop/web", 2));
        var servicePort = (await platform.Api.ReadyAsync("/shop/web")).ServicePorts[0];
        var ports = (await platform.Api.TasksAsync("/shop/web")).Select(x => x.Ports[0]).ToArray();
        await Eventually.HoldsAsync("the template's file shows both", () => Task.FromResult(File.Exists(haproxy) && ports.All(p => File.ReadAllText(haproxy).Contains($":{p}", StringComparison.Ordinal))));
        await Eventually.HoldsAsync("its command has run after it", () => Task.FromResult(File.Exists(At("reloaded")) && File.ReadAllText(At("reloaded")) == File.ReadAllText(haproxy)));

        var servers = Path.Combine(platform.EndpointsDirectory, "haproxy", "servers.cfg");
        await Eventually.HoldsAsync("the known formats show both, too", async () =>
            (await platform.Api.GetAsync("/v2/endpoints/revisions")).Json is var told
            && told["nodes"]![0]!["views"]!.AsArray().Any(v => v!["view"]!.GetValue<string>() == "files" && v["revision"]!.GetValue<long>() >= told["revision"]!.GetValue<long>()));
        var checkedIt = (await Command.RunAsync("haproxy", "-c", "-f", At("own.cfg"), "-f", servers)).Must("haproxy -c");
        Assert.DoesNotContain("ALERT", checkedIt, StringComparison.Ordinal);
        Assert.Contains($"backend shop_web_{servicePort}", await File.ReadAllTextAsync(servers), StringComparison.Ordinal);
        Assert.Contains("web-shop.marathon.mesos", await File.ReadAllTextAsync(Path.Combine(platform.EndpointsDirectory, "hosts")), StringComparison.Ordinal);
        var cluster = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(platform.EndpointsDirectory, "envoy", "eds", $"shop_web_{servicePort}.json")))!;
        Assert.Equal(2, cluster["resources"]![0]!["endpoints"]![0]!["lb_endpoints"]!.AsArray().Count);

        // A mistake, as HAProxy itself finds it: the good file stays, and the node says why.
        var good = await File.ReadAllTextAsync(haproxy);
        await File.WriteAllTextAsync(At("own.liquid"), "this is no configuration\n");
        await Eventually.HoldsAsync("the node says what is wrong", async () => (await AdminAsync(platform.AdminPort))["problems"]!.AsArray()
            .Any(p => p!["view"]!.GetValue<string>() == "templates" && p["why"]!.GetValue<string>().Contains("its check refuses it", StringComparison.Ordinal)));
        Assert.Equal(good, await File.ReadAllTextAsync(haproxy));
    }

    [Fact]
    public async Task Names_are_split_between_us_and_another_server_in_either_direction()
    {
        var port = Ports.Free();
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions
        {
            Runtime = "process", Flags = new Dictionary<string, string> { ["--dns-resolvers"] = $"corp.example=127.0.0.1:{port}" },
        });
        await platform.Api.CreateAsync(Sleeper("/shop/web", 1));
        await platform.Api.ReadyAsync("/shop/web");
        var address = await Eventually.GetAsync("it has a name", async () => (await platform.DigAsync("web-shop.marathon.mesos", "A")).Data("A"), x => x.Length == 1);
        using var dnsmasq = Process.Start("dnsmasq",
        [
            "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1", $"--port={port}", "--user=root", "--pid-file=",
            $"--server=/mesos/127.0.0.1#{platform.DnsPort}", "--address=/intranet.corp.example/192.0.2.77", "--local=/corp.example/",
        ]);
        try
        {
            // It in front, as a machine's own resolver is that sends our zone to us.
            var inFront = await Eventually.GetAsync("the split resolver answers", () => AskAsync("127.0.0.1", port, "web-shop.marathon.mesos"), x => x?.Status == "NOERROR" && x.Answers.Length > 0);
            Assert.Equal(address, inFront!.Data("A"));
            Assert.Equal("NXDOMAIN", (await Dig.AskAsync("127.0.0.1", port, "nobody.marathon.mesos", "A")).Status);
            // Us in front, with a server named for one zone.
            Assert.Equal(["192.0.2.77"], (await platform.DigAsync("intranet.corp.example", "A")).Data("A"));
            Assert.Equal(["192.0.2.77"], (await platform.DigAsync("InTraNet.Corp.Example", "A", tcp: true)).Data("A"));
            Assert.Equal("NXDOMAIN", (await platform.DigAsync("nobody.corp.example", "A")).Status);
            Assert.Equal("NXDOMAIN", (await platform.DigAsync("nobody.service.consul", "A")).Status);
        }
        finally
        {
            dnsmasq.Kill();
            await dnsmasq.WaitForExitAsync();
        }
        // What it said is remembered for its time; what it was not asked fails, and our own names do not.
        Assert.Equal("SERVFAIL", (await platform.DigAsync("other.corp.example", "A")).Status);
        Assert.Equal(address, (await platform.DigAsync("web-shop.marathon.mesos", "A")).Data("A"));
    }

    [Fact]
    public async Task A_node_whose_scheduler_is_gone_answers_from_its_last_table_and_says_how_old_it_is_also_after_its_own_restart()
    {
        var link = Ports.Free();
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions
        {
            Runtime = "process", Flags = new Dictionary<string, string> { ["--link"] = $"http://127.0.0.1:{link}", ["--insecure"] = "true" },
        });
        await using var node = new OtherNode(_home, link);
        node.Start();
        await Eventually.HoldsAsync("the node has joined", async () => (await platform.Api.GetAsync("/v2/endpoints")).Json["nodes"]!.AsArray().Any(n => n!["node"]!.GetValue<string>() == node.Name));
        await platform.Api.CreateAsync(Sleeper("/stays", 1));
        await platform.Api.ReadyAsync("/stays");
        var expected = await Eventually.GetAsync("it has a name", async () => (await platform.DigAsync("_stays._tcp.marathon.mesos", "SRV")).Data("SRV"), x => x.Length == 1);
        await Eventually.HoldsAsync("the node knows it", async () => (await node.DigAsync("_stays._tcp.marathon.mesos", "SRV"))?.Data("SRV").SequenceEqual(expected) == true);
        await Eventually.HoldsAsync("and it is on the node's disk", () => Task.FromResult(File.Exists(node.Table) && File.ReadAllText(node.Table).Contains("/stays", StringComparison.Ordinal)));
        await Eventually.HoldsAsync("its age is told", async () => await node.AgeAsync() == "\"0\"");

        await platform.KillAsync();
        await Eventually.HoldsAsync("the node says that nobody is heard", async () => Age(await node.AgeAsync()) >= 2);
        Assert.Equal(expected, (await node.DigAsync("_stays._tcp.marathon.mesos", "SRV"))!.Data("SRV"));

        await node.KillAsync();
        node.Start();
        await Eventually.HoldsAsync("it answers anew from its disk", async () => (await node.DigAsync("_stays._tcp.marathon.mesos", "SRV"))?.Data("SRV").SequenceEqual(expected) == true);
        await Eventually.HoldsAsync("with the age counted on", async () => Age(await node.AgeAsync()) >= 3);
        var page = await AdminAsync(node.AdminPort);
        Assert.True(page["schedulerSilentSeconds"]!.GetValue<double>() >= 3, page.ToJsonString());
        using (var http = new HttpClient())
            Assert.Contains("/stays", await http.GetStringAsync(new Uri($"http://127.0.0.1:{node.KvPort}/v1/kv/platform/apps/stays?raw")), StringComparison.Ordinal);
        Assert.Contains("/stays", await File.ReadAllTextAsync(Path.Combine(node.Data, "endpoints", "apps", "stays.json")), StringComparison.Ordinal);

        await platform.StartAgainAsync();
        await Eventually.HoldsAsync("the scheduler is heard again", async () => await node.AgeAsync() == "\"0\"");
    }

    private string At(string name) => Path.Combine(_home, name);

    private static JsonObject Sleeper(string id, int instances) => new()
    {
        ["id"] = id, ["cmd"] = "exec sleep 100000", ["instances"] = instances, ["cpus"] = 0.01, ["mem"] = 16, ["ports"] = new JsonArray(0),
    };

    /// <summary>A whole HAProxy configuration as a template, with HAProxy itself as its check, and a command that shows when it ran.</summary>
    private string WriteConfig()
    {
        File.WriteAllText(At("own.cfg"), "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 10s\n    timeout server 10s\nfrontend own\n    bind 127.0.0.1:1\n");
        File.WriteAllText(At("own.liquid"), """
            defaults
                mode tcp
                timeout connect 1s
                timeout client 10s
                timeout server 10s
            {% for app in apps %}{% for port in app.ports %}
            listen {{ port.backend }}
                bind 127.0.0.1:{{ 1 | plus: forloop.index0 }}
            {%- for server in port.servers %}
                server {{ server.id }} {{ server.at }}
            {%- endfor %}
            {% endfor %}{% endfor %}
            """);
        File.WriteAllText(At("files.json"), new JsonObject
        {
            ["templates"] = new JsonArray(new JsonObject
            {
                ["source"] = "own.liquid", ["destination"] = At("haproxy.cfg"), ["mode"] = "0640",
                ["check"] = new JsonArray("haproxy", "-c", "-f", "{file}"), ["command"] = new JsonArray("cp", At("haproxy.cfg"), At("reloaded")),
            }),
        }.ToJsonString());
        return At("haproxy.cfg");
    }

    private static async Task<JsonNode> AdminAsync(int port)
    {
        using var http = new HttpClient();
        return JsonNode.Parse(await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/revisions")))!;
    }

    private static async Task<DnsAnswer?> AskAsync(string address, int port, string name, string type = "A")
    {
        try
        {
            return await Dig.AskAsync(address, port, name, type);
        }
        catch (InvalidOperationException)
        {
            return null; // nobody listens there yet
        }
    }

    private static int Age(string? text) => int.TryParse(text?.Trim('"'), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) ? seconds : -1;

    /// <summary>A <c>platform node</c> beside the platform, on this same machine.</summary>
    private sealed class OtherNode(string home, int link) : IAsyncDisposable
    {
        private readonly int _doors = Ports.FreeBlock(4).First;
        private readonly (int First, int Last) _tasks = Ports.FreeBlock(20);
        private Process? _process;

        public string Name { get; } = $"ft-{Environment.ProcessId}-other";
        public string Data { get; } = Path.Combine(home, "node");
        public string Table => Path.Combine(Data, "agent", "endpoints.json");
        public int KvPort => _doors + 1;
        public int AdminPort => _doors + 3;

        public void Start()
        {
            // In a shell, for its output belongs in a file.
            var start = new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" \"$@\" >>\"$PLATFORM_TEST_LOG\" 2>&1", Machine.Program, "node",
                "--join", $"http://127.0.0.1:{link}", "--insecure", "--data", Data, "--node-name", Name, "--node-address", "127.0.0.1", "--runtime", "process",
                "--dns", $"127.0.0.1:{_doors}", "--kv", $"127.0.0.1:{KvPort}", "--edge", $"127.0.0.1:{_doors + 2}", "--admin", $"127.0.0.1:{AdminPort}",
                "--task-ports", $"{_tasks.First}-{_tasks.Last}"]);
            start.Environment["PLATFORM_TEST_LOG"] = Path.Combine(home, "node.log");
            _process = Process.Start(start);
        }

        public Task<DnsAnswer?> DigAsync(string name, string type) => AskAsync("127.0.0.1", _doors, name, type);

        public async Task<string?> AgeAsync() => (await DigAsync("age.marathon.mesos", "TXT"))?.Data("TXT").SingleOrDefault();

        public async Task KillAsync()
        {
            _process!.Kill();
            await _process.WaitForExitAsync();
        }

        public async ValueTask DisposeAsync()
        {
            if (_process is { HasExited: false }) await KillAsync();
            foreach (var process in Process.GetProcesses())
                using (process)
                    if (new FileInfo($"/proc/{process.Id}/cwd") is var cwd && Target(cwd)?.StartsWith(Data, StringComparison.Ordinal) == true) process.Kill();
        }

        private static string? Target(FileInfo cwd)
        {
            try
            {
                return cwd.LinkTarget;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return null; // it has ended, or is somebody else's
            }
        }
    }
}
