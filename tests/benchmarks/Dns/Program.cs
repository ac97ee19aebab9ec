using System.Globalization;
using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;

// A node's DNS server over a table of many apps, and the same zone as a file for the servers it is compared with.
//   dns-bench zone APPS            prints the zone as a zone file
//   dns-bench serve APPS IP:PORT   serves it until its input ends, then says what the process allocated for each query
const string domain = "marathon.mesos";
if (args is not ["zone" or "serve", var countText, ..] || !int.TryParse(countText, CultureInfo.InvariantCulture, out var apps))
{
    Console.Error.WriteLine("usage: dns-bench zone APPS | serve APPS IP:PORT");
    return 64;
}
var feed = new EndpointFeed(new EndpointTable());
feed.Apply(new EndpointUpdate("bench", 0, 1, true, Changes(apps).ToEquatableArray()));
if (args[0] == "zone")
{
    Console.WriteLine("$ORIGIN .");
    foreach (var line in DnsZone.Build(feed.Current, new DnsNaming(domain), [IPAddress.Loopback], DnsSchedulers.None).ToString().Split('\n'))
        if (!line.EndsWith("; empty", StringComparison.Ordinal)) Console.WriteLine(line);
    return 0;
}
using var host = new DnsServerHost(feed, new NodeViews(), new DnsOptions { Naming = new DnsNaming(domain) }, NullLoggerFactory.Instance);
if (host.AddListener(IPEndPoint.Parse(args[2])) is ListenResult.Refused refused)
{
    Console.Error.WriteLine(refused.Why);
    return 1;
}
using var stopping = new CancellationTokenSource();
var running = host.RunAsync(stopping.Token);
while (host.Zone is null) await Task.Delay(10);
Console.WriteLine("ready");
long allocated = 0, queries = 0;
while (Console.ReadLine() is { } line)
{
    // "mark": what follows is counted.
    if (line != "mark") continue;
    (allocated, queries) = (GC.GetTotalAllocatedBytes(), host.Counts.Queries);
}
if (host.Counts.Queries - queries is > 0 and var asked)
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"allocated {(GC.GetTotalAllocatedBytes() - allocated) / (double)asked:F2} bytes a query over {asked} queries"));
await stopping.CancelAsync();
await running;
return 0;

static IEnumerable<EndpointChange> Changes(int apps)
{
    var version = new AppVersion(DateTimeOffset.UnixEpoch);
    for (var a = 0; a < apps; a++)
    {
        var id = AppId.Parse(string.Create(CultureInfo.InvariantCulture, $"/app{a}"));
        yield return new EndpointChange.ServiceSet(new Service
        {
            App = id, Version = version, Ports = [new ServicePort(0, 10000 + (a % 10000), "tcp", "http", true, EquatableMap.Empty)],
        });
        for (var i = 0; i < 2; i++)
            yield return new EndpointChange.EndpointSet(new Endpoint
            {
                Instance = InstanceId.Derive("bench", id, (2 * a) + i), App = id, Version = version, Node = NodeId.Parse($"node-{i}"), Address = $"10.0.{i}.1",
                ReadyAt = version.At, Ports = [new EndpointPort(0, 31000 + (a % 1000), null, 10000 + (a % 10000), "tcp", "http")],
            });
    }
}
