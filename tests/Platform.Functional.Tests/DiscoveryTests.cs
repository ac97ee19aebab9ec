using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>One app, seen through every view: DNS, KV, files, environment, proxy; and from inside a container.</summary>
public sealed class DiscoveryTests(DiscoveryTests.World world) : IClassFixture<DiscoveryTests.World>
{
    public sealed class World : IAsyncLifetime
    {
        private readonly OnePlatform _one = new();

        internal PlatformUnderTest Platform => _one.Platform;
        internal TaskView[] Tasks { get; private set; } = [];
        internal TaskView Client { get; private set; } = null!;
        internal int ServicePort { get; private set; }

        public async Task InitializeAsync()
        {
            if (Machine.MissingForDocker is not null) return;
            await _one.InitializeAsync();
            await Platform.Api.CreateAsync(Apps.Web("/shop/web", 2).WithHttpCheck().With("env", new JsonObject { ["GREETING"] = "hello $HOME" }));
            ServicePort = (await Platform.Api.ReadyAsync("/shop/web")).ServicePorts[0];
            Tasks = await Platform.Api.TasksAsync("/shop/web");
            await Platform.Api.CreateAsync(Apps.Web("/shop/client").With("dependencies", new JsonArray("/shop/web")));
            await Platform.Api.ReadyAsync("/shop/client");
            Client = Assert.Single(await Platform.Api.TasksAsync("/shop/client"));
        }

        public Task DisposeAsync() => _one.DisposeAsync();
    }

    private PlatformUnderTest Platform => world.Platform;

    [DockerTheory]
    [InlineData("web-shop.marathon.mesos", false)]
    [InlineData("web-shop.marathon.mesos", true)]
    [InlineData("web.shop.marathon.mesos", false)]
    [InlineData("WEB-Shop.Marathon.MESOS", false)]
    public async Task Dns_gives_an_address_for_each_name_of_the_app(string name, bool tcp)
    {
        var answer = await Platform.DigAsync(name, "A", tcp);
        Assert.Equal("NOERROR", answer.Status);
        Assert.NotEmpty(answer.Data("A"));
        Assert.All(answer.Data("A"), x => Assert.True(IPAddress.TryParse(x, out _), x));
    }

    [DockerTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Srv_records_lead_to_every_ready_task_and_to_nothing_else(bool tcp)
    {
        var targets = await TargetsAsync(tcp);
        Assert.Equal(2, targets.Length);
        var answered = new List<string>();
        foreach (var (address, port) in targets) answered.Add(await CallAsync(new Uri($"http://{address}:{port}/")));
        Assert.All(world.Tasks, task => Assert.Contains(answered, x => x.Contains(task.Id, StringComparison.Ordinal)));
    }

    [DockerFact]
    public async Task Dns_tells_a_name_without_such_data_from_no_name()
    {
        var noData = await Platform.DigAsync("web-shop.marathon.mesos", "TXT");
        Assert.Equal("NOERROR", noData.Status);
        Assert.Empty(noData.Answers);
        Assert.Equal("SOA", Assert.Single(noData.Authority).Type);

        var noName = await Platform.DigAsync("nobody.marathon.mesos", "A");
        Assert.Equal("NXDOMAIN", noName.Status);
        Assert.Empty(noName.Answers);
        Assert.Equal("SOA", Assert.Single(noName.Authority).Type);

        var emptyNonTerminal = await Platform.DigAsync("_tcp.marathon.mesos", "A");
        Assert.Equal("NOERROR", emptyNonTerminal.Status);
        Assert.Empty(emptyNonTerminal.Answers);
    }

    [DockerFact]
    public async Task From_inside_a_bridge_container_the_same_names_resolve_and_answer()
    {
        var expected = (await Platform.DigAsync("web-shop.marathon.mesos", "A")).Data("A");
        var seen = await Command.DockerAsync("exec", world.Client.Container, "nslookup", "web-shop.marathon.mesos");
        Assert.All(expected, x => Assert.Contains(x, seen, StringComparison.Ordinal));

        foreach (var (address, port) in await TargetsAsync(tcp: false))
            Assert.Contains("task    shop_web.instance-", await Command.DockerAsync("exec", world.Client.Container, "wget", "-qO-", "-T", "5", $"http://{address}:{port}/"), StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task A_dependency_is_in_the_environment_and_leads_through_the_nodes_proxy()
    {
        var env = await EnvironmentAsync(world.Client);
        var (host, port) = (env.Single(x => x.Key.EndsWith("WEB_SERVICE_HOST", StringComparison.Ordinal)).Value, env.Single(x => x.Key.EndsWith("WEB_SERVICE_PORT", StringComparison.Ordinal)).Value);
        Assert.Equal($"{world.ServicePort}", port);
        Assert.Contains("task    shop_web.instance-", await Command.DockerAsync("exec", world.Client.Container, "wget", "-qO-", "-T", "5", $"http://{host}:{port}/"), StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task A_task_knows_itself_from_its_environment()
    {
        var task = world.Tasks[0];
        var env = await EnvironmentAsync(task);
        Assert.Equal(task.Id, env["MESOS_TASK_ID"]);
        Assert.Equal("/shop/web", env["MARATHON_APP_ID"]);
        Assert.Equal(task.Version, env["MARATHON_APP_VERSION"]);
        Assert.Equal(Machine.TestImage, env["MARATHON_APP_DOCKER_IMAGE"]);
        Assert.Equal("32.0", env["MARATHON_APP_RESOURCE_MEM"]);
        Assert.Equal("0.01", env["MARATHON_APP_RESOURCE_CPUS"]);
        Assert.Equal(task.Host, env["HOST"]);
        Assert.Equal([$"{task.Ports[0]}", $"{task.Ports[0]}", $"{task.Ports[0]}", $"{task.Ports[0]}"], [env["PORT"], env["PORT0"], env["PORTS"], env[$"PORT_{Apps.ContainerPort}"]]);
        Assert.Equal("hello $HOME", env["GREETING"]);
    }

    [DockerFact]
    public async Task Kv_has_the_same_endpoints_under_the_published_tree()
    {
        var entries = JsonNode.Parse(await Platform.Kv.GetStringAsync("/v1/kv/platform/services/shop/web?recurse"))!.AsArray();
        var values = string.Join('\n', entries.Select(x => $"{x!["Key"]} {Encoding.UTF8.GetString(Convert.FromBase64String(x["Value"]?.GetValue<string>() ?? ""))}"));
        Assert.All(world.Tasks, x => Assert.Contains($"{x.Ports[0]}", values, StringComparison.Ordinal));

        var keys = JsonNode.Parse(await Platform.Kv.GetStringAsync("/v1/kv/platform/services/shop/web?keys"))!.AsArray().Select(x => x!.GetValue<string>());
        Assert.Equal(entries.Select(x => x!["Key"]!.GetValue<string>()), keys);
        var first = entries[0]!["Key"]!.GetValue<string>();
        Assert.Equal(Encoding.UTF8.GetString(Convert.FromBase64String(entries[0]!["Value"]!.GetValue<string>())), await Platform.Kv.GetStringAsync($"/v1/kv/{first}?raw"));

        using var missing = await Platform.Kv.GetAsync(new Uri("/v1/kv/platform/services/nobody", UriKind.Relative));
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
        Assert.True(long.Parse(missing.Headers.GetValues("X-Consul-Index").Single(), System.Globalization.CultureInfo.InvariantCulture) >= 1);
    }

    [DockerFact]
    public async Task Files_have_the_same_endpoints_in_both_formats()
    {
        var files = Directory.EnumerateFiles(Platform.EndpointsDirectory, "*web*.json", SearchOption.AllDirectories).ToArray();
        var texts = await Task.WhenAll(files.Select(x => File.ReadAllTextAsync(x)));
        Assert.Contains(texts, x => JsonNode.Parse(x) is JsonArray groups && groups.All(g => g!["targets"] is JsonArray));
        Assert.Contains(texts, x => JsonNode.Parse(x) is JsonObject);
        Assert.All(texts, text => Assert.All(world.Tasks, task => Assert.Contains($"{task.Ports[0]}", text, StringComparison.Ordinal)));
    }

    [DockerFact]
    public async Task The_proxy_sets_the_forwarding_headers_itself_and_balances()
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, Platform.Edge("/cgi-bin/request"));
        request.Headers.Host = "web-shop.marathon.mesos";
        request.Headers.Add("X-Forwarded-For", "203.0.113.9");
        using var response = await http.SendAsync(request);
        var seen = (await response.Content.ReadAsStringAsync()).Split('\n');
        Assert.Contains("HTTP_X_FORWARDED_FOR=127.0.0.1", seen);
        Assert.Contains("HTTP_X_FORWARDED_PROTO=http", seen);

        var tasks = new HashSet<string>();
        for (var i = 0; i < 20; i++) tasks.Add((await CallAsync(PlatformUnderTest.ServicePort(world.ServicePort))).Split('\n').First(x => x.StartsWith("task", StringComparison.Ordinal)));
        Assert.Equal(2, tasks.Count);
    }

    [DockerFact]
    public async Task A_service_without_a_ready_task_keeps_its_port_and_answers_503()
    {
        await Platform.Api.CreateAsync(Apps.Web("/empty", 0));
        var port = (await Platform.Api.ReadyAsync("/empty")).ServicePorts[0];
        using var http = new HttpClient();
        using var response = await http.GetAsync(PlatformUnderTest.ServicePort(port));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Contains("empty", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal("NOERROR", (await Platform.DigAsync("web-shop.marathon.mesos", "A")).Status);
    }

    private async Task<(string Address, int Port)[]> TargetsAsync(bool tcp)
    {
        var targets = new List<(string, int)>();
        var srv = await Platform.DigAsync("_web-shop._tcp.marathon.mesos", "SRV", tcp);
        Assert.Equal("NOERROR", srv.Status);
        foreach (var record in srv.Data("SRV"))
        {
            var parts = record.Split(' '); // priority weight port target
            foreach (var address in (await Platform.DigAsync(parts[3].TrimEnd('.'), "A", tcp)).Data("A"))
                targets.Add((address, int.Parse(parts[2], System.Globalization.CultureInfo.InvariantCulture)));
        }
        return [.. targets];
    }

    private static async Task<Dictionary<string, string>> EnvironmentAsync(TaskView task) =>
        (await Command.DockerAsync("exec", task.Container, "env")).Split('\n').Select(x => x.Split('=', 2)).ToDictionary(x => x[0], x => x[1]);

    private static async Task<string> CallAsync(Uri uri)
    {
        using var http = new HttpClient();
        return await http.GetStringAsync(uri);
    }
}
