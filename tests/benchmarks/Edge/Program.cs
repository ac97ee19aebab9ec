using System.Globalization;
using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Proxy;

// A node's edge proxy in front of one backend, as an app in http mode and as one in tcp mode.
//   edge-bench BACKEND-PORT HTTP-PORT TCP-PORT [RELAY-THREADS]    serves until its input ends; between "mark" and "tell" it counts what the process allocates
if (args.Length < 3)
{
    Console.Error.WriteLine("usage: edge-bench BACKEND-PORT HTTP-PORT TCP-PORT [RELAY-THREADS]");
    return 64;
}
var ports = args.Select(x => int.Parse(x, CultureInfo.InvariantCulture)).ToArray();
var feed = new EndpointFeed(new EndpointTable());
feed.Apply(new EndpointUpdate("bench", 0, 1, true, Apps(ports[0], ports[1], ports[2]).ToEquatableArray()));
var options = new EdgeProxyOptions { EdgeEndPoint = new IPEndPoint(IPAddress.Loopback, 0), Domain = "bench" };
if (ports.Length > 3) options = options with { RelayThreads = ports[3] };
var views = new NodeViews();
await using var proxy = new EdgeProxy(options, feed, views, NullLoggerFactory.Instance);
if (await proxy.StartAsync(CancellationToken.None) is { } failure)
{
    Console.Error.WriteLine($"{failure.EndPoint} {failure.Reason}");
    return 1;
}
Console.WriteLine("ready");
var (allocated, requests) = (0L, 0L);
while (Console.ReadLine() is { } line)
{
    if (line == "mark") (allocated, requests) = (GC.GetTotalAllocatedBytes(), Requests());
    else if (line == "tell" && Requests() - requests is > 0 and var counted)
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"allocated {(GC.GetTotalAllocatedBytes() - allocated) / (double)counted:F1} bytes a request over {counted} requests"));
}
return 0;

long Requests() => views.Traffic().Sum(x => x.Requests);

static IEnumerable<EndpointChange> Apps(int backend, int http, int tcp)
{
    foreach (var (name, port, mode) in new[] { ("/web", http, "http"), ("/raw", tcp, "tcp") })
    {
        var version = new AppVersion(DateTimeOffset.UnixEpoch);
        yield return new EndpointChange.ServiceSet(new Service
        {
            App = AppId.Parse(name),
            Version = version,
            Labels = EquatableMap.From([KeyValuePair.Create("HAPROXY_0_MODE", mode)]),
            Ports = [new ServicePort(0, port, "tcp", null, false, EquatableMap.Empty)],
        });
        yield return new EndpointChange.EndpointSet(new Endpoint
        {
            Instance = InstanceId.Derive("bench", AppId.Parse(name), 1),
            App = AppId.Parse(name),
            Version = version,
            Node = NodeId.Parse("n1"),
            Address = "127.0.0.1",
            ReadyAt = DateTimeOffset.UnixEpoch,
            Ports = [new EndpointPort(0, backend, null, 0, "tcp", null)],
        });
    }
}
