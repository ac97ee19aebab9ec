// Propagation API DNS KV EDGE ENDPOINTS-DIRECTORY CHANGES: see propagation.sh. With commas between, each of DNS to DIRECTORY is one for each node: see
// propagation-nodes.sh; then a change counts as visible when the last node shows it, and its beginning is the node's: the probe that succeeded.
using System.Globalization;
using System.Text.Json.Nodes;
using Propagation;

const string App = "propagation";
var (api, dns, kv, edge, directory, changes) = (args[0], args[1], args[2], args[3], args[4], int.Parse(args[5], CultureInfo.InvariantCulture));

using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
using var stop = new CancellationTokenSource();
await using var ready = await ReadyEvents.FollowAsync(api, stop.Token);
var queries = dns.Split(',').Select(d => new SrvQuery(d, $"_{App}._tcp.marathon.mesos")).ToList();
var nodes = queries.Count;
var pause = TimeSpan.FromMilliseconds(nodes == 1 ? 1 : 4); // what looks must not be what is measured
View[] views =
[
    .. queries.Select((q, i) => new View("DNS", i, pause, q.PortsAsync)),
    .. kv.Split(',').Select((k, i) => new View("KV", i, pause, () => TextAsync(new Uri($"http://{k}/v1/kv/platform/services/{App}?recurse"), null))),
    .. directory.Split(',').Select((d, i) => new View("file", i, pause, () => Task.FromResult(FileText(d)))),
    .. edge.Split(',').Select((e, i) => new View("proxy", i, pause, () => TextAsync(new Uri($"http://{e}/index.html"), $"{App}.marathon.mesos"))),
];

await SendAsync(HttpMethod.Put, $$"""
    {"id":"/{{App}}","instances":0,"cpus":0.01,"mem":16,"ports":[0],"cmd":"printf %s $MESOS_TASK_ID > index.html; exec busybox httpd -f -p $PORT -h .",
     "healthChecks":[{"protocol":"HTTP","path":"/index.html","portIndex":0,"intervalSeconds":1,"gracePeriodSeconds":10,"timeoutSeconds":2}]}
    """);

foreach (var view in views) view.Watch(stop.Token);
List<double> toScheduler = [];
var warmup = nodes == 1 ? 0 : 50; // six programs compile their hot paths on the cores that are measured: that is over first
for (var i = 0; i < warmup + changes; i++)
{
    if (i == warmup)
    {
        toScheduler.Clear();
        foreach (var view in views) view.DelaysMs.Clear();
    }
    foreach (var view in views) view.Expect(task: true);
    await ScaleAsync(1);
    var task = await ready.NextAsync(TimeSpan.FromSeconds(30));
    if (nodes > 1)
    {
        var succeededAt = await FirstSuccessAsync();
        toScheduler.Add((task.ReadyAt - succeededAt).TotalMilliseconds);
        task = task with { ReadyAt = succeededAt };
    }
    foreach (var view in views) await view.SeesAsync(task, TimeSpan.FromSeconds(10));
    foreach (var view in views) view.Expect(task: false);
    await ScaleAsync(0);
    foreach (var view in views) await view.LosesAsync(task, TimeSpan.FromSeconds(30));
}
await stop.CancelAsync();

foreach (var query in queries) query.Dispose();

Console.WriteLine(nodes == 1 ? $"endpoint ready → visible, {changes} changes, milliseconds" : $"probe succeeded on its node → visible on every one of {nodes} nodes, {changes} changes after {warmup} to warm up, milliseconds");
Console.WriteLine($"  {"view",-9} {"median",8} {"p99",8} {"max",8} {"looks/s",9}");
foreach (var kind in views.GroupBy(v => v.Name))
    Print(kind.Key, Enumerable.Range(0, changes).Select(i => kind.Max(v => v.DelaysMs[i])), kind.Sum(v => v.LooksPerSecond));
if (nodes > 1) Print("(decided)", toScheduler, 0); // of which: until the scheduler knew
if (nodes > 1) Print("all", Enumerable.Range(0, changes).Select(i => views.Max(v => v.DelaysMs[i])), views.Sum(v => v.LooksPerSecond));
return 0;

static void Print(string name, IEnumerable<double> delaysMs, double looksPerSecond)
{
    var sorted = delaysMs.Order().ToArray();
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {name,-9} {At(sorted, 0.5),8:F1} {At(sorted, 0.99),8:F1} {sorted[^1],8:F1} {looksPerSecond,9:F0}"));
}

// By the node's own clock, which is the machine's: whole milliseconds.
async Task<DateTimeOffset> FirstSuccessAsync()
{
    var tasks = JsonNode.Parse(await http.GetStringAsync(new Uri($"http://{api}/v2/apps/{App}/tasks")))!["tasks"]!.AsArray();
    return DateTimeOffset.Parse(tasks.Single()!["healthCheckResults"]![0]!["firstSuccess"]!.GetValue<string>(), CultureInfo.InvariantCulture);
}

static double At(double[] sorted, double share) => sorted[Math.Min(sorted.Length - 1, (int)Math.Ceiling(share * sorted.Length) - 1)];

async Task ScaleAsync(int instances) => await SendAsync(HttpMethod.Put, $$"""{"instances":{{instances}}}""");

async Task SendAsync(HttpMethod method, string body)
{
    // The deployment before this one may be about to end; its lock is not what is measured.
    for (var tries = 0; ; tries++)
    {
        using var request = new HttpRequestMessage(method, $"http://{api}/v2/apps/{App}") { Content = new StringContent(body, null, "application/json") };
        using var response = await http.SendAsync(request);
        if (response.IsSuccessStatusCode) return;
        if ((int)response.StatusCode != 409 || tries == 1000) throw new InvalidOperationException($"{response.StatusCode}: {await response.Content.ReadAsStringAsync()}");
        await Task.Delay(10);
    }
}

async Task<string> TextAsync(Uri uri, string? host)
{
    using var request = new HttpRequestMessage(HttpMethod.Get, uri) { Headers = { Host = host } };
    using var response = await http.SendAsync(request);
    if (!response.IsSuccessStatusCode) return "";
    var text = await response.Content.ReadAsStringAsync();
    if (host is not null) return text;
    var values = JsonNode.Parse(text)!.AsArray().Select(x => x!["Value"]?.GetValue<string>() ?? "");
    return string.Join('\n', values.Select(x => System.Text.Encoding.UTF8.GetString(Convert.FromBase64String(x))));
}

static string FileText(string directory)
{
    try
    {
        var file = Directory.EnumerateFiles(directory, $"{App}.json", SearchOption.AllDirectories).FirstOrDefault();
        return file is null ? "" : File.ReadAllText(file);
    }
    catch (IOException)
    {
        return ""; // replaced or removed between the two calls
    }
}
