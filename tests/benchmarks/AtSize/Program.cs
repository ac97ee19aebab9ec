// AtSize [APPS] [INSTANCES] [NODES]: see at-size.sh.
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using AtSize;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Scheduler;
using Platform.Scheduler.Api;
using Platform.Scheduling;

int Argument(int index, int otherwise) => args.Length > index ? int.Parse(args[index], CultureInfo.InvariantCulture) : otherwise;
var (apps, instances, nodes) = (Argument(0, 2000), Argument(1, 5), Argument(2, 20));
var directory = Directory.CreateTempSubdirectory("platform-at-size-").FullName;
try
{
    await MeasureAsync();
    await RestartAsync();
    return 0;
}
finally
{
    Directory.Delete(directory, recursive: true);
}

async Task MeasureAsync()
{
    var before = GC.GetTotalMemory(forceFullCollection: true);
    await using var host = await HostAsync();
    await host.StartAsync(default);
    using var stop = new CancellationTokenSource();
    var running = Task.WhenAll(host.Loop.RunAsync(stop.Token), new SimulatedAgents(host.Loop, nodes).RunAsync(stop.Token));
    using var http = new HttpClient { BaseAddress = new Uri($"http://{host.Api}"), Timeout = TimeSpan.FromMinutes(5) };

    var watch = Stopwatch.StartNew();
    foreach (var batch in Enumerable.Range(0, apps).Chunk(200)) await SendAsync(http, HttpMethod.Put, "/v2/apps", $"[{string.Join(',', batch.Select(i => App(i, instances)))}]");
    await SettledAsync(host, apps * instances);
    Console.WriteLine(FormattableString.Invariant($"{apps} apps x {instances} instances on {nodes} nodes: running after {watch.Elapsed.TotalSeconds:F1} s, {host.Loop.Current.State.Revision} events"));
    var used = GC.GetTotalMemory(forceFullCollection: true) - before;
    Console.WriteLine(FormattableString.Invariant($"memory: {used / 1048576.0:F0} MiB in use, {used / 1024.0 / (apps * instances):F1} KiB an instance; resident {Environment.WorkingSet / 1048576} MiB"));

    Console.WriteLine($"  {"milliseconds",-34} {"p50",8} {"p99",8} {"max",8}");
    await MeasureOfAsync("GET /v2/apps (full list)", 20, _ => SendAsync(http, HttpMethod.Get, "/v2/apps"));
    await MeasureOfAsync("GET /v2/apps/{id}", 500, i => SendAsync(http, HttpMethod.Get, Path(i * 7 % apps)));
    await MeasureOfAsync("PUT /v2/apps/{id} (scale)", 200, i => SendAsync(http, HttpMethod.Put, Path(i * 7 % apps), "{\"instances\":" + (instances + 1) + "}"));
    await SettledAsync(host, 0);
    await MeasureOfAsync("PUT /v2/apps/{id} (new config)", 100, i => SendAsync(http, HttpMethod.Put, Path(i * 11 % apps) + "?force=true", "{\"env\":{\"ROUND\":\"" + i + "\"}}"));
    await SettledAsync(host, 0);
    await MeasureOfAsync("POST /v2/apps, 100 in a row", 100, i => SendAsync(http, HttpMethod.Post, "/v2/apps", App(apps + i, 1)));
    await SettledAsync(host, 0);
    await MeasureOfAsync("GET /v2/deployments", 100, _ => SendAsync(http, HttpMethod.Get, "/v2/deployments"));

    await stop.CancelAsync();
    await host.StopAsync(default);
    try
    {
        await running;
    }
    catch (OperationCanceledException)
    {
        // as asked
    }
}

async Task RestartAsync()
{
    var watch = Stopwatch.StartNew();
    await using var host = await HostAsync();
    Console.WriteLine(FormattableString.Invariant($"restart: {watch.Elapsed.TotalSeconds:F2} s from the log to {host.Loop.Current.State.Owners.Count} instances (revision {host.Loop.Current.State.Revision})"));
}

Task<SchedulerHost> HostAsync() => SchedulerHost.CreateAsync(
    new SchedulerHostOptions(
        directory, new IPEndPoint(IPAddress.Loopback, 0), System.IO.Path.Combine(directory, "link.sock"),
        new ApiOptions { Settings = new SchedulerSettings { ServicePortMax = 40000 } }),
    NullLoggerFactory.Instance, TimeProvider.System, default);

static string Path(int app) => FormattableString.Invariant($"/v2/apps/team{app % 50}/app{app}");

static string App(int index, int instances) => FormattableString.Invariant($$$"""
    {"id":"/team{{{index % 50}}}/app{{{index}}}","cmd":"serve","instances":{{{instances}}},"cpus":0.1,"mem":32,"env":{"NAME":"app{{{index}}}","LEVEL":"info"},
     "labels":{"team":"team{{{index % 50}}}"},"portDefinitions":[{"port":0,"name":"http"}],
     "healthChecks":[{"protocol":"HTTP","path":"/health","portIndex":0,"intervalSeconds":5}]}
    """);

static async Task SettledAsync(SchedulerHost host, int ready)
{
    while (host.Loop.Current.State is var state && (state.Deployments.Count > 0 || state.Owners.Count < ready)) await Task.Delay(20);
}

static async Task SendAsync(HttpClient http, HttpMethod method, string path, string? body = null)
{
    using var request = new HttpRequestMessage(method, path);
    if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
    using var response = await http.SendAsync(request);
    var answer = await response.Content.ReadAsStringAsync();
    if (!response.IsSuccessStatusCode) throw new InvalidOperationException($"{method} {path}: {(int)response.StatusCode} {answer}");
}

static async Task MeasureOfAsync(string what, int times, Func<int, Task> act)
{
    var took = new double[times];
    for (var i = 0; i < times; i++)
    {
        var since = Stopwatch.GetTimestamp();
        await act(i);
        took[i] = Stopwatch.GetElapsedTime(since).TotalMilliseconds;
    }
    Array.Sort(took);
    Console.WriteLine(FormattableString.Invariant($"  {what,-34} {took[times / 2],8:F1} {took[Math.Min(times - 1, times * 99 / 100)],8:F1} {took[^1],8:F1}"));
}
