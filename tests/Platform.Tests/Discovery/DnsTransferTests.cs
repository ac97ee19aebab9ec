using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;

namespace Platform.Tests.Discovery;

/// <summary>Zone transfers as a strict client sees them, and who gets none.</summary>
public sealed class DnsTransferTests
{
    [Fact]
    public async Task The_difference_between_two_serials_makes_one_zone_of_the_other()
    {
        await using var served = await Served.StartAsync(BindDifferenceTests.RandomWorld(new Random(3)), "127.0.0.1");
        var from = served.Dns.Zone!.Serial;
        var before = await served.ZoneAsync();
        served.World.App("/new", World.Port(0, 10000)).Up("/new", 9000, "node-1", "10.0.0.1", "172.18.77.1", World.At(0, 31000, null, 80)).Gone("/a0");
        await served.World.ServedAsync(DnsServerHost.ViewName);

        var messages = await ZoneCopy.TakeAsync(served.EndPoint, Ixfr("mesos", from));
        var records = messages.SelectMany(x => x.InOrder).ToList();
        var soas = records.Select((x, i) => (x, i)).Where(x => x.x.Contains(" SOA ", StringComparison.Ordinal)).Select(x => x.i).ToList();
        Assert.Equal(4, soas.Count); // new, old and what went, new and what came, new
        var gone = records[(soas[1] + 1)..soas[2]];
        var come = records[(soas[2] + 1)..soas[3]];
        Assert.Empty(gone.Except(before));
        Assert.Contains(come, x => x.StartsWith("new.marathon.autoip.mesos. ", StringComparison.Ordinal));
        Assert.Equal(await served.ZoneAsync(), before.Except(gone).Concat(come).Where(x => !x.Contains(" SOA ", StringComparison.Ordinal)).Append(records[0]).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_serial_that_is_ours_is_one_record_and_one_nobody_remembers_is_the_whole_zone()
    {
        await using var served = await Served.StartAsync(World.Assorted(), "127.0.0.1");
        Assert.Single((await ZoneCopy.TakeAsync(served.EndPoint, Ixfr("mesos", served.Dns.Zone!.Serial))).Single().Answers);
        Assert.Equal(await served.ZoneAsync(), (await ZoneCopy.TakeAsync(served.EndPoint, Ixfr("mesos", 1))).SelectMany(x => x.Answers).Distinct().Order(StringComparer.Ordinal));
        var brief = await DnsMessageText.AskAsync(served.EndPoint, Ixfr("mesos", 1), TimeSpan.FromSeconds(20)); // by UDP: come by TCP
        Assert.Contains(" SOA ", Assert.Single(brief!.Answers), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("10.0.0.0/8", "mesos", 5)]
    [InlineData("127.0.0.0/8", "marathon.mesos", 9)] // no zone
    [InlineData("127.0.0.0/8", "web.mesos", 9)]
    [InlineData("", "consul", 5)]
    public async Task Only_those_on_the_list_get_a_zone_and_only_zones(string allowed, string zone, int rcode)
    {
        await using var served = await Served.StartAsync(World.Assorted(), allowed);
        Assert.Equal(rcode, (await ZoneCopy.TakeAsync(served.EndPoint, DnsWireTests.Packet(zone, DnsType.AXFR))).Single().Rcode);
        Assert.Equal(allowed.StartsWith("127", StringComparison.Ordinal) ? 9 : 5, (await DnsMessageText.AskAsync(served.EndPoint, DnsWireTests.Packet(zone, DnsType.AXFR), TimeSpan.FromSeconds(20)))!.Rcode);
    }

    [Fact]
    public async Task Zones_are_served_over_ipv6_as_well()
    {
        await using var served = await Served.StartAsync(World.Assorted(), "::1", IPAddress.IPv6Loopback);
        Assert.NotEmpty((await DnsMessageText.AskAsync(served.EndPoint, DnsWireTests.Packet("nginx.marathon.mesos", DnsType.A), TimeSpan.FromSeconds(20)))!.Answers);
        Assert.True((await served.ZoneAsync()).Length > 50);
    }

    [Theory]
    [InlineData("10.0.0.5", "10.0.0.5/32", "10.0.0.5:53")]
    [InlineData("10.0.0.5:5353, 10.1.0.0/16", "10.0.0.5/32 10.1.0.0/16", "10.0.0.5:5353")]
    [InlineData("[fd00::5]:53,fd00::6", "fd00::5/128 fd00::6/128", "[fd00::5]:53 [fd00::6]:53")]
    [InlineData("", "", "")]
    public void Secondaries_are_addresses_and_networks(string text, string networks, string notified)
    {
        Assert.True(DnsSecondaries.TryParse(text, out var secondaries, out _));
        Assert.Equal((networks, notified), (string.Join(' ', secondaries.Networks), string.Join(' ', secondaries.Notified)));
    }

    [Theory]
    [InlineData("everybody")]
    [InlineData("10.0.0.0/33")]
    [InlineData("5353")]
    public void What_is_no_address_is_said(string text)
    {
        Assert.False(DnsSecondaries.TryParse(text, out _, out var why));
        Assert.Contains($"'{text}'", why, StringComparison.Ordinal);
    }

    [Fact]
    public void A_network_that_asks_too_much_is_sent_to_tcp_and_no_other()
    {
        var rates = new ResponseRates(10, ticksPerSecond: 1000);
        var (one, two) = (LocalNetworks.Number(IPAddress.Parse("203.0.113.7")), LocalNetworks.Number(IPAddress.Parse("198.51.100.7")));
        var verdicts = Enumerable.Range(0, 20).Select(i => rates.Judge(LocalNetworks.Number(IPAddress.Parse($"203.0.113.{i}")), 5000)).ToList();
        Assert.Equal((10, 5, 5), (verdicts.Count(x => x == ResponseVerdict.Send), verdicts.Count(x => x == ResponseVerdict.Slip), verdicts.Count(x => x == ResponseVerdict.Drop)));
        Assert.Equal(ResponseVerdict.Send, rates.Judge(two, 5000));
        Assert.Equal(ResponseVerdict.Send, rates.Judge(one, 5100)); // a tenth of a second later there is one more
        Assert.NotEqual(ResponseVerdict.Send, rates.Judge(one, 5100));
        Assert.Equal(ResponseVerdict.Send, rates.Judge(one, 50_000));
    }

    [Fact]
    public void A_strangers_network_over_its_limit_gets_no_more_than_it_sends()
    {
        var world = World.Assorted();
        using var dns = new DnsServerHost(world.Feed, world.Views, new DnsOptions { Naming = new DnsNaming("marathon.mesos"), StrangersAnswersPerSecond = 1 }, NullLoggerFactory.Instance);
        var (packet, reply) = (DnsWireTests.Packet("_nginx._tcp.marathon.mesos", DnsType.SRV), new byte[1232]);
        var stranger = LocalNetworks.Number(IPAddress.Parse("203.0.113.1"));
        var lengths = Enumerable.Range(0, 50).Select(_ => ((IDnsFront)dns).Answer(packet, false, stranger, reply).ReplyLength).ToList();
        Assert.All(lengths.Skip(5), x => Assert.True(x <= packet.Length));
        Assert.Contains(lengths.Skip(5), x => x == packet.Length && (reply[2] & 2) != 0); // truncated: come by TCP
        Assert.True(((IDnsFront)dns).Answer(packet, true, stranger, reply).ReplyLength > 0);
        Assert.All(Enumerable.Range(0, 50), _ => Assert.True(((IDnsFront)dns).Answer(packet, false, LocalNetworks.Number(IPAddress.Loopback), reply).ReplyLength > 0));
    }

    private static byte[] Ixfr(string zone, uint serial)
    {
        byte[] packet =
        [
            0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, .. DnsMessage(zone), 0, 251, 0, 1,
            0xC0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(packet.Length - 20), serial);
        return packet;

        static byte[] DnsMessage(string zone) => Platform.Model.DnsNames.ToWire(zone);
    }

    private sealed class Served : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stopping = new();
        private Task _running = Task.CompletedTask;

        public required World World { get; init; }
        public required DnsServerHost Dns { get; init; }
        public required IPEndPoint EndPoint { get; init; }

        public static async Task<Served> StartAsync(World world, string allowed, IPAddress? address = null)
        {
            Assert.True(DnsSecondaries.TryParse(allowed.Length == 0 || allowed.Contains('/', StringComparison.Ordinal) ? allowed : $"{allowed}/{(allowed.Contains(':', StringComparison.Ordinal) ? 128 : 32)}", out var secondaries, out var why), why);
            var dns = new DnsServerHost(world.Feed, world.Views, new DnsOptions { Naming = new DnsNaming("marathon.mesos"), Secondaries = secondaries }, NullLoggerFactory.Instance);
            var endPoint = Assert.IsType<ListenResult.Listening>(dns.AddListener(new IPEndPoint(address ?? IPAddress.Loopback, 0))).EndPoint;
            var served = new Served { World = world, Dns = dns, EndPoint = endPoint };
            served._running = dns.RunAsync(served._stopping.Token);
            await world.ServedAsync(DnsServerHost.ViewName);
            return served;
        }

        public async Task<string[]> ZoneAsync() =>
            (await ZoneCopy.TakeAsync(EndPoint, DnsWireTests.Packet("mesos", DnsType.AXFR))).SelectMany(x => x.Answers).Distinct().Order(StringComparer.Ordinal).ToArray();

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await _running;
            Dns.Dispose();
            _stopping.Dispose();
        }
    }
}
