using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;

namespace Platform.Tests.Discovery;

/// <summary>Broken packets at both doors: nobody is hurt, nothing grows, and the next question is answered right. PLATFORM_DNS_FUZZ sets how many.</summary>
public sealed class DnsFuzzTests
{
    private const long GrowthMax = 256 << 20; // other tests run beside this one
    private static readonly int Packets = int.TryParse(Environment.GetEnvironmentVariable("PLATFORM_DNS_FUZZ"), CultureInfo.InvariantCulture, out var n) ? n : 20_000;

    private static readonly byte[][] Good =
    [
        DnsWireTests.Packet("nginx.marathon.mesos", DnsType.A), DnsWireTests.Packet("_web-eu-prod._tcp.marathon.mesos", DnsType.SRV, 1232),
        DnsWireTests.Packet("mesos", DnsType.SOA, 4096, options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]), DnsWireTests.Packet("nginx.service.dc1.consul", DnsType.ANY),
        DnsWireTests.Packet("5.0.18.172.in-addr.arpa", DnsType.PTR, 512), DnsWireTests.Packet("mesos", DnsType.AXFR), DnsWireTests.Packet("consul", DnsType.IXFR),
    ];

    [Theory]
    [InlineData(11)]
    public async Task Broken_packets_do_no_harm(int seed)
    {
        var random = new Random(seed);
        var world = World.Assorted();
        using var dns = new DnsServerHost(world.Feed, world.Views, new DnsOptions
        {
            Naming = new DnsNaming("marathon.mesos"), Upstreams = [new IPEndPoint(IPAddress.Loopback, 9)], UpstreamTimeout = TimeSpan.FromMilliseconds(100),
            Secondaries = new DnsSecondaries([IPNetwork.Parse("127.0.0.0/8")], default), TcpIdle = TimeSpan.FromSeconds(1),
        }, NullLoggerFactory.Instance);
        var door = Assert.IsType<ListenResult.Listening>(dns.AddListener(new IPEndPoint(IPAddress.Loopback, 0))).EndPoint;
        using var stopping = new CancellationTokenSource();
        var running = dns.RunAsync(stopping.Token);
        await world.ServedAsync(DnsServerHost.ViewName);
        var before = GC.GetTotalMemory(forceFullCollection: true);

        using (var udp = new UdpClient())
        {
            udp.Connect(door);
            for (var i = 0; i < Packets; i++)
            {
                await udp.SendAsync(Broken(random));
                // Now and then a good one, whose answer has to come: that also keeps the socket's queue from overflowing.
                if (i % 200 == 0) await AnsweredAsync(door, seed, i);
            }
        }
        for (var i = 0; i < Packets / 200; i++) await ByTcpAsync(door, random);
        await AnsweredAsync(door, seed, Packets);
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, GrowthMax);
        await stopping.CancelAsync();
        await running;
    }

    private static async Task AnsweredAsync(IPEndPoint door, int seed, int packet)
    {
        for (var tries = 0; tries < 10; tries++)
            if (await DnsMessageText.AskAsync(door, Good[0], TimeSpan.FromSeconds(5)) is { } reply)
            {
                Assert.Equal(2, reply.Answers.Length);
                return;
            }
        Assert.Fail($"seed {seed}: no answer after packet {packet}");
    }

    /// <summary>Several frames in a row: with broken packets in them, with lengths that lie, cut off in the middle. Whatever comes back is read until it ends.</summary>
    private static async Task ByTcpAsync(IPEndPoint door, Random random)
    {
        using var tcp = new TcpClient();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        try
        {
            await tcp.ConnectAsync(door, patience.Token);
            var stream = tcp.GetStream();
            for (var frames = random.Next(1, 8); frames > 0; frames--)
            {
                var packet = Broken(random);
                var framed = new byte[packet.Length + 2];
                BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)(random.Next(10) == 0 ? random.Next(65536) : packet.Length));
                packet.CopyTo(framed, 2);
                await stream.WriteAsync(framed.AsMemory(0, random.Next(10) == 0 ? random.Next(framed.Length) : framed.Length), patience.Token);
            }
            tcp.Client.Shutdown(SocketShutdown.Send);
            var buffer = new byte[65536];
            while (await stream.ReadAsync(buffer, patience.Token) > 0) { }
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // It hung up on us, as it should.
        }
    }

    private static byte[] Broken(Random random)
    {
        var packet = (byte[])Good[random.Next(Good.Length)].Clone();
        if (random.Next(4) == 0) random.NextBytes(packet.AsSpan(random.Next(packet.Length)));
        for (var i = random.Next(5); i > 0; i--) packet[random.Next(packet.Length)] = (byte)random.Next(256);
        if (random.Next(3) == 0) packet = packet[..random.Next(1, packet.Length + 1)];
        return random.Next(8) == 0 ? [.. packet, .. new byte[random.Next(64)]] : packet;
    }
}
