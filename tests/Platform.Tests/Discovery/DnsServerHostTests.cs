using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using DnsClient;
using DnsClient.Protocol;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Platform.Discovery;
using Platform.Discovery.Hosting;

namespace Platform.Tests.Discovery;

/// <summary>The whole DNS view on loopback, asked by a second implementation (DnsClient) and by raw sockets.</summary>
public sealed class DnsServerHostTests
{
    [Fact]
    public async Task A_change_of_the_table_is_served_and_acknowledged_revision_by_revision()
    {
        await using var host = await Host.StartAsync(World.Assorted());
        Assert.Equal("16", Assert.Single((await host.Client.QueryAsync("revision.marathon.mesos", QueryType.TXT)).Answers.TxtRecords()).Text.First());
        host.World.Up("/quiet", 9, "node-1", "10.0.0.1", null, World.At(0, 31009));
        await host.World.ServedAsync(DnsServerHost.ViewName);
        Assert.Equal("17", Assert.Single((await host.Client.QueryAsync("revision.marathon.mesos", QueryType.TXT)).Answers.TxtRecords()).Text.First());
        Assert.Equal("10.0.0.1", Assert.Single((await host.Client.QueryAsync("quiet.marathon.mesos", QueryType.A)).Answers.ARecords()).Address.ToString());
        host.World.Down("/quiet", 9);
        await host.World.ServedAsync(DnsServerHost.ViewName);
        Assert.Empty((await host.Client.QueryAsync("quiet.marathon.mesos", QueryType.A)).Answers);
    }

    [Fact]
    public async Task A_second_implementation_reads_every_kind_of_record()
    {
        await using var host = await Host.StartAsync(World.Assorted());
        var services = await host.Client.QueryAsync("_nginx._tcp.marathon.mesos", QueryType.SRV);
        Assert.Equal([31001, 31002], services.Answers.SrvRecords().Select(x => (int)x.Port).Order());
        Assert.Equal(services.Answers.SrvRecords().Select(x => x.Target.Value), services.Additionals.ARecords().Select(x => x.DomainName.Value));
        Assert.True(services.Header.HasAuthorityAnswer);

        var authority = Assert.Single((await host.Client.QueryAsync("mesos", QueryType.SOA)).Answers.SoaRecords());
        Assert.Equal((16u, "ns1.mesos.", 1u), (authority.Serial, authority.MName.Value, authority.Minimum));
        var servers = await host.Client.QueryAsync("mesos", QueryType.NS);
        Assert.Equal("ns1.mesos.", Assert.Single(servers.Answers.NsRecords()).NSDName.Value);
        Assert.Equal("127.0.0.1", Assert.Single(servers.Additionals.ARecords()).Address.ToString());
        Assert.Equal("fd00::1", Assert.Single((await host.Client.QueryAsync("six.marathon.mesos", QueryType.AAAA)).Answers.AaaaRecords()).Address.ToString());

        var missing = await host.Client.QueryAsync("nope.marathon.mesos", QueryType.A);
        Assert.Equal(DnsHeaderResponseCode.NotExistentDomain, missing.Header.ResponseCode);
        Assert.Equal("mesos.", Assert.Single(missing.Authorities.OfType<SoaRecord>()).DomainName.Value);
    }

    [Fact]
    public async Task Answers_take_turns()
    {
        await using var host = await Host.StartAsync(World.Assorted());
        var firsts = new HashSet<string>();
        for (var i = 0; i < 4; i++) firsts.Add((await host.Client.QueryAsync("nginx.marathon.mesos", QueryType.A)).Answers.ARecords().First().Address.ToString());
        Assert.Equal(2, firsts.Count);
    }

    [Fact]
    public async Task What_is_too_long_for_a_datagram_comes_over_tcp()
    {
        var world = new World().App("/big");
        for (var i = 0; i < 300; i++) world.Up("/big", i, $"node-{i}", $"10.0.{i / 200}.{(i % 200) + 1}", null, World.At(0, 31000 + i));
        await using var host = await Host.StartAsync(world);
        var cut = await host.AskRawAsync(DnsWireTests.Packet("_big._tcp.marathon.mesos", DnsType.SRV));
        Assert.True(cut.Length <= 512 && (cut[2] & 2) != 0);
        Assert.Equal(300, (await host.Client.QueryAsync("_big._tcp.marathon.mesos", QueryType.SRV)).Answers.SrvRecords().Count());
    }

    [Fact]
    public async Task Questions_in_pieces_and_in_a_row_are_answered_on_one_connection()
    {
        await using var host = await Host.StartAsync(World.Assorted());
        using var client = new TcpClient();
        await client.ConnectAsync(host.EndPoint);
        var stream = client.GetStream();
        var packet = DnsWireTests.Packet("nginx.marathon.mesos", DnsType.A);
        byte[] framed = [0, (byte)packet.Length, .. packet];
        foreach (var b in framed) await stream.WriteAsync((byte[])[b]);
        await stream.WriteAsync((byte[])[.. framed, .. framed]);
        for (var i = 0; i < 3; i++) Assert.Equal(2, (await ReadFrameAsync(stream))[7]);
    }

    [Fact]
    public async Task Before_the_first_table_nothing_is_denied()
    {
        await using var host = await Host.StartAsync(new World(), wait: false);
        Assert.Equal(DnsHeaderResponseCode.ServerFailure, (await host.Client.QueryAsync("nginx.marathon.mesos", QueryType.A)).Header.ResponseCode);
        host.World.App("/nginx").Up("/nginx", 1, "n-1", "10.0.0.1");
        await host.World.ServedAsync(DnsServerHost.ViewName);
        Assert.Single((await host.Client.QueryAsync("nginx.marathon.mesos", QueryType.A)).Answers);
    }

    [Fact]
    public async Task Other_names_are_asked_upstream_once_and_remembered_for_their_time()
    {
        var time = new FakeTimeProvider();
        await using var upstream = new FakeUpstream((q, _) => [FakeUpstream.Address(q, "192.0.2.7", 60)]);
        await using var host = await Host.StartAsync(World.Assorted(), time, upstream.EndPoint);
        var answer = await host.Client.QueryAsync("www.example.com", QueryType.A);
        Assert.Equal(("192.0.2.7", 60), (answer.Answers.ARecords().Single().Address.ToString(), answer.Answers[0].InitialTimeToLive));
        Assert.True(answer.Header.RecursionAvailable);
        time.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal(40, (await host.Client.QueryAsync("WWW.example.com", QueryType.A)).Answers[0].InitialTimeToLive);
        Assert.Equal(1, upstream.Asked);
        time.Advance(TimeSpan.FromSeconds(41));
        Assert.Equal(60, (await host.Client.QueryAsync("www.example.com", QueryType.A)).Answers[0].InitialTimeToLive);
        Assert.Equal(2, upstream.Asked);
    }

    [Fact]
    public async Task Equal_questions_share_one_exchange()
    {
        var release = new TaskCompletionSource();
        await using var upstream = new FakeUpstream((q, _) => [FakeUpstream.Address(q, "192.0.2.7", 60)], release.Task);
        await using var host = await Host.StartAsync(World.Assorted(), null, upstream.EndPoint);
        var asked = Enumerable.Range(0, 20).Select(_ => host.AskRawAsync(DnsWireTests.Packet("shared.example.com", DnsType.A))).ToArray();
        await upstream.FirstAsked;
        await Suite.UntilAsync(() => host.Dns.Counts.Forwarded == 20, () => $"{host.Dns.Counts}");
        release.SetResult();
        foreach (var reply in await Task.WhenAll(asked)) Assert.Equal(1, reply[7]);
        Assert.Equal(1, upstream.Asked);
    }

    [Fact]
    public async Task A_guessers_replies_are_not_taken()
    {
        await using var upstream = new FakeUpstream((q, tcp) =>
        {
            var wrongId = FakeUpstream.Address(q, "203.0.113.66", 60);
            wrongId[0] ^= 0xFF;
            var wrongQuestion = FakeUpstream.Address(q, "203.0.113.66", 60);
            wrongQuestion[13] = (byte)'z';
            return tcp ? [FakeUpstream.Address(q, "192.0.2.7", 60)] : [.. Enumerable.Repeat(wrongId, 4), .. Enumerable.Repeat(wrongQuestion, 4)];
        });
        await using var host = await Host.StartAsync(World.Assorted(), null, upstream.EndPoint);
        Assert.Equal("192.0.2.7", (await host.Client.QueryAsync("www.example.com", QueryType.A)).Answers.ARecords().Single().Address.ToString());
    }

    [Fact]
    public async Task A_cut_reply_is_asked_for_again_over_tcp()
    {
        await using var upstream = new FakeUpstream((q, tcp) =>
        {
            var reply = FakeUpstream.Address(q, tcp ? "192.0.2.7" : "192.0.2.8", 60);
            if (!tcp) reply[2] |= 2;
            return [reply];
        });
        await using var host = await Host.StartAsync(World.Assorted(), null, upstream.EndPoint);
        Assert.Equal("192.0.2.7", (await host.Client.QueryAsync("www.example.com", QueryType.A)).Answers.ARecords().Single().Address.ToString());
    }

    [Fact]
    public async Task With_dead_upstreams_other_names_fail_ours_do_not_and_old_answers_help_out()
    {
        var alive = true;
        var time = new FakeTimeProvider();
        await using var upstream = new FakeUpstream((q, _) => alive ? [FakeUpstream.Address(q, "192.0.2.7", 5)] : []);
        await using var host = await Host.StartAsync(World.Assorted(), time, upstream.EndPoint, upstreamSeconds: 1);
        await host.Client.QueryAsync("known.example.com", QueryType.A);
        alive = false;
        time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal(DnsHeaderResponseCode.ServerFailure, (await host.Client.QueryAsync("unknown.example.com", QueryType.A)).Header.ResponseCode);
        Assert.Equal("192.0.2.7", (await host.Client.QueryAsync("known.example.com", QueryType.A)).Answers.ARecords().Single().Address.ToString());
        Assert.NotEmpty((await host.Client.QueryAsync("nginx.marathon.mesos", QueryType.A)).Answers);
    }

    [Fact]
    public async Task More_waiting_clients_than_allowed_are_turned_away_at_once()
    {
        var release = new TaskCompletionSource();
        await using var upstream = new FakeUpstream((q, _) => [FakeUpstream.Address(q, "192.0.2.7", 60)], release.Task);
        await using var host = await Host.StartAsync(World.Assorted(), null, upstream.EndPoint, forwardsMax: 2);
        var waiting = new[] { host.AskRawAsync(DnsWireTests.Packet("a.example.com", DnsType.A)), host.AskRawAsync(DnsWireTests.Packet("b.example.com", DnsType.A)) };
        await Suite.UntilAsync(() => host.Dns.Counts.Queries == 2, () => $"{host.Dns.Counts}");
        Assert.Equal(2, (await host.AskRawAsync(DnsWireTests.Packet("c.example.com", DnsType.A)))[3] & 15);
        Assert.Equal(1, host.Dns.Counts.TurnedAway);
        release.SetResult();
        foreach (var reply in await Task.WhenAll(waiting)) Assert.Equal(0, reply[3] & 15);
    }

    [Fact]
    public async Task Without_recursion_wanted_other_names_are_refused()
    {
        await using var upstream = new FakeUpstream((q, _) => [FakeUpstream.Address(q, "192.0.2.7", 60)]);
        await using var host = await Host.StartAsync(World.Assorted(), null, upstream.EndPoint);
        var packet = DnsWireTests.Packet("www.example.com", DnsType.A);
        packet[2] = 0;
        Assert.Equal(5, (await host.AskRawAsync(packet))[3] & 15);
        Assert.Equal(0, upstream.Asked);
    }

    [Fact]
    public async Task A_port_that_is_taken_is_told_in_a_sentence_and_one_we_hold_is_success()
    {
        await using var host = await Host.StartAsync(World.Assorted());
        Assert.IsType<ListenResult.Listening>(host.Dns.AddListener(host.EndPoint));
        Assert.Single(host.Dns.Listeners);

        using var other = new DnsServerHost(host.World.Feed, new NodeViews(), new DnsOptions { Domain = "marathon.mesos" }, NullLoggerFactory.Instance);
        var refused = Assert.IsType<ListenResult.Refused>(other.AddListener(host.EndPoint));
        Assert.Equal(SocketError.AddressAlreadyInUse, refused.Error);
        Assert.Contains(host.EndPoint.ToString(), refused.Why);

        var second = Assert.IsType<ListenResult.Listening>(host.Dns.AddListener(new IPEndPoint(IPAddress.Parse("127.0.0.2"), 0)));
        var client = new LookupClient(new LookupClientOptions(second.EndPoint) { UseCache = false });
        Assert.Equal(["127.0.0.1", "127.0.0.2"], (await client.QueryAsync("ns1.mesos", QueryType.A)).Answers.ARecords().Select(x => x.Address.ToString()).Order());
    }

    [Fact]
    public async Task Twenty_thousand_malformed_packets_are_survived_and_the_next_question_answered()
    {
        await using var host = await Host.StartAsync(World.Assorted());
        var front = (IDnsFront)host.Dns;
        var random = new Random(7);
        var reply = new byte[65535];
        var good = DnsWireTests.Packet("_nginx._tcp.marathon.mesos", DnsType.SRV, 1232, options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        for (var i = 0; i < 20_000; i++)
        {
            var packet = good.AsSpan(0, random.Next(good.Length + 1)).ToArray();
            for (var n = random.Next(6); n > 0 && packet.Length > 0; n--) packet[random.Next(packet.Length)] = (byte)random.Next(256);
            front.Answer(packet, i % 2 == 0, LocalNetworks.Number(IPAddress.Parse("203.0.113.1")), reply);
        }
        using var noise = new UdpClient();
        for (var i = 0; i < 200; i++)
        {
            var packet = new byte[random.Next(1, 600)];
            random.NextBytes(packet);
            await noise.SendAsync(packet, host.EndPoint);
        }
        await noise.SendAsync(new byte[] { 0 }, host.EndPoint);
        Assert.NotEmpty((await host.Client.QueryAsync("nginx.marathon.mesos", QueryType.A)).Answers);
    }

    [Fact]
    public void Strangers_get_our_zone_and_no_recursion()
    {
        var world = World.Assorted();
        using var dns = new DnsServerHost(world.Feed, world.Views, new DnsOptions { Domain = "marathon.mesos" }, NullLoggerFactory.Instance);
        var reply = new byte[512];
        var verdict = ((IDnsFront)dns).Answer(DnsWireTests.Packet("www.example.com", DnsType.A), false, LocalNetworks.Number(IPAddress.Parse("203.0.113.1")), reply);
        Assert.Null(verdict.Forward);
        Assert.Equal((5, 0), (reply[3] & 15, reply[3] & 0x80));
    }

    private static async Task<byte[]> ReadFrameAsync(NetworkStream stream)
    {
        var prefix = new byte[2];
        await stream.ReadExactlyAsync(prefix);
        var frame = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
        await stream.ReadExactlyAsync(frame);
        return frame;
    }

    private sealed class Host : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stopping = new();
        private Task _running = Task.CompletedTask;

        public required World World { get; init; }
        public required DnsServerHost Dns { get; init; }
        public required IPEndPoint EndPoint { get; init; }
        public required LookupClient Client { get; init; }

        public static async Task<Host> StartAsync(World world, TimeProvider? time = null, IPEndPoint? upstream = null, int forwardsMax = 1000, bool wait = true, int upstreamSeconds = 180)
        {
            var options = new DnsOptions { Domain = "marathon.mesos", Upstreams = [upstream ?? new IPEndPoint(IPAddress.Loopback, 9)], ForwardsMax = forwardsMax, UpstreamTimeout = TimeSpan.FromSeconds(upstreamSeconds) };
            var dns = new DnsServerHost(world.Feed, world.Views, options, NullLoggerFactory.Instance, time);
            var listening = Assert.IsType<ListenResult.Listening>(dns.AddListener(new IPEndPoint(IPAddress.Loopback, 0)));
            var client = new LookupClient(new LookupClientOptions(listening.EndPoint) { UseCache = false, Timeout = Suite.Patience, Retries = 0, ThrowDnsErrors = false });
            var host = new Host { World = world, Dns = dns, EndPoint = listening.EndPoint, Client = client };
            host._running = dns.RunAsync(host._stopping.Token);
            if (wait) await world.ServedAsync(DnsServerHost.ViewName);
            return host;
        }

        public async Task<byte[]> AskRawAsync(byte[] packet)
        {
            using var socket = new UdpClient();
            socket.Connect(EndPoint);
            await socket.SendAsync(packet);
            using var patience = new CancellationTokenSource(Suite.Patience);
            return (await socket.ReceiveAsync(patience.Token)).Buffer;
        }

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await _running;
            Dns.Dispose();
            _stopping.Dispose();
        }
    }

    /// <summary>A name server that says what the test tells it, by UDP and TCP on one port.</summary>
    private sealed class FakeUpstream : IAsyncDisposable
    {
        private readonly TcpListener _tcp = new(IPAddress.Loopback, 0);
        private readonly UdpClient _udp;
        private readonly Func<byte[], bool, byte[][]> _answer;
        private readonly Task? _hold;
        private readonly TaskCompletionSource _firstAsked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Task _serving;
        private readonly CancellationTokenSource _closing = new();
        private int _asked;

        public FakeUpstream(Func<byte[], bool, byte[][]> answer, Task? hold = null)
        {
            _answer = answer;
            _hold = hold;
            _tcp.Start();
            EndPoint = (IPEndPoint)_tcp.LocalEndpoint;
            _udp = new UdpClient(EndPoint);
            _serving = Task.WhenAll(ServeUdpAsync(), ServeTcpAsync());
        }

        public IPEndPoint EndPoint { get; }
        public int Asked => Volatile.Read(ref _asked);
        public Task FirstAsked => _firstAsked.Task;

        public static byte[] Address(byte[] query, string address, int ttl)
        {
            var question = DnsWireTests.Parse(query).QuestionLength;
            byte[] record = [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, (byte)ttl, 0, 4, .. IPAddress.Parse(address).GetAddressBytes()];
            return [query[0], query[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, .. query[12..(12 + question)], .. record];
        }

        public async ValueTask DisposeAsync()
        {
            await _closing.CancelAsync();
            _udp.Dispose();
            _tcp.Dispose();
            await _serving;
            _closing.Dispose();
        }

        private async Task ServeUdpAsync()
        {
            try
            {
                while (true)
                {
                    var received = await _udp.ReceiveAsync();
                    Interlocked.Increment(ref _asked);
                    _firstAsked.TrySetResult();
                    if (_hold is not null) await _hold.WaitAsync(_closing.Token);
                    foreach (var reply in _answer(received.Buffer, false)) await _udp.SendAsync(reply, received.RemoteEndPoint);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                // Closed: the test is over.
            }
        }

        private async Task ServeTcpAsync()
        {
            try
            {
                while (true)
                {
                    using var client = await _tcp.AcceptTcpClientAsync();
                    var query = await ReadFrameAsync(client.GetStream());
                    foreach (var reply in _answer(query, true)) await client.GetStream().WriteAsync((byte[])[(byte)(reply.Length >> 8), (byte)reply.Length, .. reply]);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or InvalidOperationException)
            {
                // Closed: the test is over.
            }
        }
    }
}
