using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;

namespace Platform.Tests.Discovery;

/// <summary>BIND as a secondary: it copies our zones once, and is told of every change from then on.</summary>
public sealed class BindSecondaryTests
{
    [Fact]
    public async Task A_secondary_copies_the_zones_and_follows_every_change()
    {
        var random = new Random(5);
        var world = BindDifferenceTests.RandomWorld(random);
        var bind = new IPEndPoint(IPAddress.Loopback, NamedServer.FreePort());
        using var dns = new DnsServerHost(world.Feed, world.Views, new DnsOptions
        {
            Naming = new DnsNaming("marathon.mesos"), Secondaries = new DnsSecondaries([IPNetwork.Parse("127.0.0.1/32")], [bind]),
        }, NullLoggerFactory.Instance);
        var ours = Assert.IsType<ListenResult.Listening>(dns.AddListener(new IPEndPoint(IPAddress.Loopback, 0))).EndPoint;
        using var stopping = new CancellationTokenSource();
        var running = dns.RunAsync(stopping.Token);
        await world.ServedAsync(DnsServerHost.ViewName);
        await using (var named = NamedServer.Start(bind.Port, ours, "mesos", "consul"))
        {
            foreach (var zone in new[] { "mesos", "consul" }) await named.HasAsync(zone, dns.Zone!.Serial);
            for (var round = 0; round < 5; round++)
            {
                // Several revisions between two notices, among them apps that come, change their ports and go.
                for (var i = 0; i < 4; i++)
                {
                    var app = $"/late{random.Next(3)}";
                    if (random.Next(4) == 0) world.Gone(app);
                    else world.App(app, World.Port(0, 10000, random.Next(2) == 0 ? "http" : null)).Up(app, 9000 + random.Next(4), "node-1", $"10.0.0.{random.Next(1, 3)}", "172.18.99.9", World.At(0, 31000, "http", 80));
                }
                await world.ServedAsync(DnsServerHost.ViewName);
                foreach (var zone in new[] { "mesos", "consul" })
                {
                    await named.HasAsync(zone, dns.Zone!.Serial);
                    Assert.Equal(await RecordsAsync(ours, zone), await RecordsAsync(bind, zone));
                }
            }
            Assert.True(named.HasJournal("mesos") && named.HasJournal("consul"), named.Log);
        }
        await stopping.CancelAsync();
        await running;
    }

    /// <summary>A whole zone as a client sees it that transfers it.</summary>
    private static async Task<string[]> RecordsAsync(IPEndPoint server, string zone) =>
        (await ZoneCopy.TakeAsync(server, DnsWireTests.Packet(zone, DnsType.AXFR))).SelectMany(x => x.Answers).Distinct().Order(StringComparer.Ordinal).ToArray();
}
