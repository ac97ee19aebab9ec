using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

/// <summary>A <c>platform scheduler</c> on this machine, and a <c>platform node</c> on each of several others, joined with tokens over TLS.</summary>
internal sealed class ClusterUnderTest : IAsyncDisposable
{
    private static int s_count;
    private readonly string _home = Directory.CreateTempSubdirectory("platform-ft-").FullName;
    private readonly string _name = string.Create(CultureInfo.InvariantCulture, $"ft-{System.Environment.ProcessId}-c{Interlocked.Increment(ref s_count)}");
    private readonly int _apiPort = Ports.Free();
    private readonly List<NodeUnderTest> _nodes = [];

    private ClusterUnderTest(Machines machines, params (string Flag, string Value)[] flags)
    {
        Machines = machines;
        var all = new Dictionary<string, string>
        {
            ["--data"] = Path.Combine(_home, "scheduler", "data"), ["--api"] = $"127.0.0.1:{_apiPort}", ["--link"] = $"{machines.Host}:8090", ["--service-ports"] = "10000-10100",
        };
        foreach (var (flag, value) in flags) all[flag] = value;
        Scheduler = new PlatformProcess("scheduler", Path.Combine(_home, "scheduler"), all, null);
        Api = new MarathonApi(new Uri($"http://127.0.0.1:{_apiPort}"));
    }

    public Machines Machines { get; }
    public PlatformProcess Scheduler { get; }
    public MarathonApi Api { get; }
    public IReadOnlyList<NodeUnderTest> Nodes => _nodes;
    public string NameOf(int machine) => $"{_name}-n{machine}";

    public static async Task<ClusterUnderTest> StartAsync(int nodes, params (string Flag, string Value)[] schedulerFlags)
    {
        var cluster = new ClusterUnderTest(await Machines.MakeAsync(nodes + 1), schedulerFlags); // one to spare, for whoever else may come
        try
        {
            await cluster.Scheduler.StartAsync();
            for (var i = 1; i <= nodes; i++) cluster._nodes.Add(cluster.NodeOn(i, await cluster.TokenAsync()));
            await Task.WhenAll(cluster._nodes.Select(n => n.Process.StartAsync()));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>As <c>platform node token</c> prints it.</summary>
    public async Task<string> TokenAsync() => (await Command.RunAsync(Machine.Program, "node", "token", "--api", $"127.0.0.1:{_apiPort}")).Must("platform node token").Trim();

    /// <summary>A node that is not started yet.</summary>
    public NodeUnderTest NodeOn(int machine, string? token, string? name = null)
    {
        var address = Machines.AddressOf(machine);
        var directory = Path.Combine(_home, name ?? $"n{machine}");
        var process = new PlatformProcess("node", directory, new Dictionary<string, string>
        {
            ["--data"] = Path.Combine(directory, "data"), ["--join"] = $"{Machines.Host}:8090", ["--node-name"] = name ?? NameOf(machine),
            ["--dns"] = $"{address}:53", ["--kv"] = $"{address}:8500", ["--edge"] = $"{address}:80", ["--admin"] = $"{address}:9090", ["--insecure"] = "true",
            ["--runtime"] = "process", ["--task-ports"] = "31000-31100", ["--attribute"] = $"rack=r{machine % 2}", ["--zone"] = $"z{machine}",
        }, Machines.NamespaceOf(machine));
        if (token is not null) process.Environment["PLATFORM_TOKEN"] = token;
        return new NodeUnderTest(name ?? NameOf(machine), address, Path.Combine(directory, "data"), process);
    }

    public async Task<JsonNode> NodeAsync(string name) => (await Api.GetAsync($"/v2/nodes/{name}")).Must(HttpStatusCode.OK).Json;

    public Task<Answer> AskNodeAsync(string name, string what) => Api.SendAsync(HttpMethod.Post, $"/v2/nodes/{name}/{what}", null);

    public Task StateAsync(string name, string state, double seconds = 90) =>
        Eventually.GetAsync($"{name} is {state}", async () => (await NodeAsync(name)).ToJsonString(), x => JsonNode.Parse(x)!["state"]!.GetValue<string>() == state, seconds);

    /// <summary>A web server that says which task it is, as a plain process.</summary>
    public static JsonObject Web(string id, int instances, int servicePort) => new JsonObject
    {
        ["id"] = id,
        ["cmd"] = "printf %s $MESOS_TASK_ID > index.html; exec busybox httpd -f -p $PORT -h .",
        ["instances"] = instances,
        ["cpus"] = 0.01,
        ["mem"] = 16,
        ["portDefinitions"] = new JsonArray(new JsonObject { ["port"] = servicePort }),
        ["labels"] = new JsonObject { ["HAPROXY_0_VHOST"] = "shop.example.test" },
    }.WithCheck(new JsonObject { ["protocol"] = "HTTP", ["path"] = "/index.html", ["portIndex"] = 0 });

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _nodes) await node.DisposeAsync();
        await Scheduler.DisposeAsync();
        await Machines.DisposeAsync(); // and with it every task
        Api.Dispose();
        Directory.Delete(_home, recursive: true);
    }
}

internal sealed class NodeUnderTest(string name, string address, string data, PlatformProcess process) : IAsyncDisposable
{
    private readonly HttpClient _http = new(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero }) { Timeout = TimeSpan.FromSeconds(30) };

    public string Name => name;
    public string Address => address;
    public PlatformProcess Process => process;

    /// <summary>The endpoint table that it would start with.</summary>
    public string TableOnDisk() => File.Exists(Path.Combine(data, "agent", "endpoints.json")) ? File.ReadAllText(Path.Combine(data, "agent", "endpoints.json")) : "";

    public Uri ServicePort(int port) => new($"http://{address}:{port}/index.html");

    public Task<DnsAnswer> DigAsync(string what, string type) => Dig.AskAsync(address, 53, what, type);

    /// <summary>The task that answered through this node's proxy.</summary>
    public Task<string> CallAsync(int servicePort) => _http.GetStringAsync(ServicePort(servicePort));

    /// <summary>The same while the door may not be open yet; null = nobody answered.</summary>
    public async Task<string?> TryCallAsync(int servicePort)
    {
        try
        {
            return await CallAsync(servicePort);
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    /// <summary>Waits until all of these tasks, and no other, have answered through this node's proxy.</summary>
    public async Task AnsweredByAsync(int servicePort, IReadOnlyCollection<string> tasks)
    {
        var answered = new HashSet<string>();
        await Eventually.GetAsync($"every task answers through {name}", async () =>
        {
            if (await TryCallAsync(servicePort) is { } task) answered.Add(task);
            return answered.Count;
        }, x => x >= tasks.Count, 60);
        Assert.Equal(tasks.Order(), answered.Order());
    }

    public Task<string> GetAsync(string door) => _http.GetStringAsync(new Uri($"http://{address}:{door}"));

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await process.DisposeAsync();
    }
}
