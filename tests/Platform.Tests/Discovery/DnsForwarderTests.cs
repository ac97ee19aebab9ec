using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;

namespace Platform.Tests.Discovery;

/// <summary>Forwarding against servers that lie, guess, change the spelling, fall silent or are overrun.</summary>
public sealed class DnsForwarderTests
{
    private const string Evil = "203.0.113.66";
    private const string Good = "192.0.2.7";

    [Fact]
    public async Task Ids_ports_and_spellings_are_drawn_anew()
    {
        await using var upstream = new Upstream((q, _) => [q.Answer(Good)]);
        using var asking = new Asking(upstream);
        for (var i = 0; i < 40; i++) Assert.Equal(Good, await asking.AddressAsync($"a-long-name-with-many-letters-{i}.example.com"));
        var asked = upstream.Questions.ToArray();
        Assert.True(asked.Select(x => x.Id).Distinct().Count() >= 38, "ids repeat");
        Assert.True(asked.Select(x => x.From.Port).Distinct().Count() >= 4, "one port serves more questions than it may");
        Assert.True(asked.GroupBy(x => x.From.Port).All(x => x.Count() <= 8), "one port serves more questions than it may");
        Assert.True(asked.Select(x => string.Concat(x.Name.Take(28).Select(char.IsUpper).Select(u => u ? 'U' : 'l'))).Distinct().Count() >= 38, "spellings repeat");
    }

    /// <summary>Everything a guesser can vary comes before the true answer.</summary>
    [Fact]
    public async Task Forged_replies_are_not_taken()
    {
        using var elsewhere = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        await using var upstream = new Upstream((q, tcp) =>
        {
            if (!tcp) elsewhere.Send(q.Answer(Evil), q.From); // the right id and question, from another port
            var wrongId = q.Answer(Evil);
            wrongId[1] ^= 1;
            var wrongName = q.Answer(Evil);
            wrongName[13] = (byte)(wrongName[13] == 'q' ? 'z' : 'q');
            var wrongType = q.Answer(Evil);
            wrongType[12 + q.QuestionLength - 3] = 28;
            var noReply = q.Answer(Evil);
            noReply[2] &= 0x7F;
            return tcp ? [q.Answer(Good)] : [wrongId, wrongName, wrongType, noReply, [], [1, 2, 3], q.Answer(Good)];
        });
        using var asking = new Asking(upstream);
        Assert.Equal(Good, await asking.AddressAsync("www.example.com"));
        Assert.Equal(Good, await asking.AddressAsync("www.example.com")); // and none of it is remembered
    }

    [Fact]
    public async Task Who_guesses_on_and_on_is_not_listened_to_and_the_answer_comes_by_tcp()
    {
        await using var upstream = new Upstream((q, tcp) => tcp ? [q.Answer(Good)] : [.. Enumerable.Range(1, 20).Select(i =>
        {
            var guess = q.Answer(Evil);
            guess[0] ^= (byte)i;
            return guess;
        })]);
        using var asking = new Asking(upstream);
        Assert.Equal(Good, await asking.AddressAsync("www.example.com"));
    }

    [Fact]
    public async Task An_answer_in_another_spelling_is_asked_for_again_by_tcp()
    {
        await using var upstream = new Upstream((q, tcp) =>
        {
            var reply = q.Answer(tcp ? Good : Evil);
            if (!tcp)
                for (var i = 12; i < 12 + q.QuestionLength - 4; i++) reply[i] = (byte)char.ToLowerInvariant((char)reply[i]);
            return [reply];
        });
        using var asking = new Asking(upstream);
        Assert.Equal(Good, await asking.AddressAsync("with-many-many-many-many-letters.example.com"));
    }

    [Fact]
    public async Task A_server_that_keeps_no_spelling_and_speaks_no_tcp_is_believed_on_id_and_port()
    {
        await using var upstream = new Upstream((q, tcp) =>
        {
            var reply = q.Answer(Good);
            for (var i = 12; i < 12 + q.QuestionLength - 4; i++) reply[i] = (byte)char.ToLowerInvariant((char)reply[i]);
            return tcp ? [] : [reply];
        });
        using var asking = new Asking(upstream);
        Assert.Equal(Good, await asking.AddressAsync("with-many-many-many-many-letters.example.com"));
    }

    [Fact]
    public async Task What_a_reply_says_of_other_names_is_neither_remembered_nor_passed_on()
    {
        var victim = Wire("victim.example.org");
        await using var upstream = new Upstream((q, _) => q.Name.StartsWith("victim", StringComparison.OrdinalIgnoreCase)
            ? [q.Answer(Good)]
            : q.Name.StartsWith("beside", StringComparison.OrdinalIgnoreCase)
                ? [q.Message([(q.Owner, 1, Bytes(Good))], [(Wire("example.org"), 2, Wire("ns.evil.example"))], [(victim, 1, Bytes(Evil))])]
                : [q.Message([(q.Owner, 1, Bytes(Good)), (victim, 1, Bytes(Evil))], [], [])]);
        using var asking = new Asking(upstream);

        var beside = (await asking.ReplyAsync("beside.example.com"))!;
        Assert.Equal((1, 0, 0), (beside[7], beside[9], beside[11]));
        Assert.DoesNotContain("victim", System.Text.Encoding.Latin1.GetString(beside), StringComparison.Ordinal);
        Assert.Null(await asking.ReplyAsync("within.example.com")); // an answer that speaks of others is none
        Assert.Equal(Good, await asking.AddressAsync("victim.example.org"));
    }

    [Fact]
    public async Task Aliases_are_followed_as_far_as_the_reply_leads()
    {
        var (cdn, edge) = (Wire("site.cdn.net"), Wire("Edge.Site.CDN.net"));
        await using var upstream = new Upstream((q, _) => [q.Message([(q.Owner, 5, cdn), (cdn, 5, edge), (Wire("edge.site.cdn.net"), 1, Bytes(Good))], [], [])]);
        using var asking = new Asking(upstream);
        Assert.Equal(3, (await asking.ReplyAsync("www.example.com"))![7]);
    }

    [Theory]
    [InlineData("example.com", 10_000, 300)] // a "no" for hours is somebody's slip
    [InlineData("com", 60, 60)]
    [InlineData("example.org", 60, 0)] // another zone's word
    public async Task A_no_is_remembered_as_long_as_its_own_zone_says_and_no_longer_than_we_like(string zone, int ttl, int keptSeconds)
    {
        var soa = (byte[])[.. Wire("ns." + zone), .. Wire("root." + zone), .. new byte[16], (byte)(ttl >> 24), (byte)(ttl >> 16), (byte)(ttl >> 8), (byte)ttl];
        await using var upstream = new Upstream((q, _) => [q.Message([], [(Wire(zone), 6, soa)], [], rcode: 3, ttl: ttl)]);
        using var asking = new Asking(upstream);
        Assert.Equal(3, (await asking.ReplyAsync("www.example.com"))![3] & 15);
        asking.Clock.Advance(TimeSpan.FromSeconds(Math.Max(0, keptSeconds - 1)));
        await asking.ReplyAsync("www.example.com");
        Assert.Equal(keptSeconds == 0 ? 2 : 1, upstream.Questions.Count);
        asking.Clock.Advance(TimeSpan.FromSeconds(2));
        await asking.ReplyAsync("www.example.com");
        Assert.Equal(keptSeconds == 0 ? 3 : 2, upstream.Questions.Count);
    }

    [Fact]
    public async Task Each_zone_may_have_servers_of_its_own_and_the_closest_counts()
    {
        await using var world = new Upstream((q, _) => [q.Answer("192.0.2.1")]);
        await using var corp = new Upstream((q, _) => [q.Answer("192.0.2.2")]);
        await using var lab = new Upstream((q, _) => [q.Answer("192.0.2.3")]);
        using var asking = new Asking(world, o => o with { ZoneUpstreams = [new("corp.example", [corp.EndPoint]), new("lab.corp.example", [lab.EndPoint])] });
        Assert.Equal("192.0.2.1", await asking.AddressAsync("www.example.com"));
        Assert.Equal("192.0.2.2", await asking.AddressAsync("www.corp.example"));
        Assert.Equal("192.0.2.2", await asking.AddressAsync("corp.example"));
        Assert.Equal("192.0.2.3", await asking.AddressAsync("www.lab.corp.example"));
        Assert.Equal("192.0.2.1", await asking.AddressAsync("notcorp.example"));
    }

    [Fact]
    public async Task While_servers_are_down_old_answers_serve_and_they_are_not_asked_for_each_question()
    {
        var alive = true;
        await using var upstream = new Upstream((q, _) => alive ? [q.Answer(Good)] : []);
        using var asking = new Asking(upstream, o => o with { UpstreamTimeout = TimeSpan.FromMilliseconds(300) });
        Assert.Equal(Good, await asking.AddressAsync("www.example.com"));
        alive = false;
        asking.Clock.Advance(TimeSpan.FromHours(2));
        Assert.Equal(Good, await asking.AddressAsync("www.example.com"));
        Assert.Null(await asking.ReplyAsync("unknown.example.com"));
        var asked = upstream.Questions.Count;
        for (var i = 0; i < 10; i++)
        {
            Assert.Equal(Good, await asking.AddressAsync("www.example.com"));
            Assert.Null(await asking.ReplyAsync("unknown.example.com"));
        }
        Assert.Equal(asked, upstream.Questions.Count);

        alive = true;
        asking.Clock.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(Good, await asking.AddressAsync("www.example.com"));
        Assert.Equal(Good, await asking.AddressAsync("unknown.example.com"));
        alive = false;
        asking.Clock.Advance(TimeSpan.FromDays(2));
        Assert.Null(await asking.ReplyAsync("www.example.com")); // too old to be better than none
    }

    [Fact]
    public async Task Only_so_many_questions_are_under_way_at_once()
    {
        var (now, most) = (0, 0);
        var release = new TaskCompletionSource();
        await using var upstream = new Upstream((q, _) => [q.Answer(Good)], async () =>
        {
            most = Math.Max(most, Interlocked.Increment(ref now));
            await release.Task;
            Interlocked.Decrement(ref now);
        });
        using var asking = new Asking(upstream, o => o with { UpstreamExchangesMax = 3 });
        var answers = Enumerable.Range(0, 20).Select(i => asking.AddressAsync($"n{i}.example.com")).ToArray();
        await UntilAsync(() => Volatile.Read(ref now) == 3);
        release.SetResult();
        Assert.All(await Task.WhenAll(answers), x => Assert.Equal(Good, x));
        Assert.Equal(3, most);
    }

    [Fact]
    public async Task The_memory_is_bounded_and_the_eldest_goes_first()
    {
        await using var upstream = new Upstream((q, _) => [q.Answer(Good)]);
        using var asking = new Asking(upstream, o => o with { CacheEntriesMax = 10 });
        for (var i = 0; i < 30; i++) await asking.AddressAsync($"n{i}.example.com");
        Assert.Equal(30, upstream.Questions.Count);
        await asking.AddressAsync("n29.example.com");
        await asking.AddressAsync("n21.example.com");
        Assert.Equal(30, upstream.Questions.Count);
        await asking.AddressAsync("n5.example.com");
        Assert.Equal(31, upstream.Questions.Count);
    }

    [Fact]
    public void Consuls_names_are_asked_of_nobody_and_recursion_is_for_those_who_are_near_or_allowed()
    {
        var world = World.Assorted();
        using var dns = new DnsServerHost(world.Feed, world.Views, new DnsOptions { Naming = new DnsNaming("marathon.mesos"), RecursionFor = [IPNetwork.Parse("198.51.100.0/24")] }, NullLoggerFactory.Instance);
        (bool Forwards, int Rcode) Ask(string name, string client)
        {
            var reply = new byte[512];
            var verdict = ((IDnsFront)dns).Answer(DnsWireTests.Packet(name, DnsType.A), false, LocalNetworks.Number(IPAddress.Parse(client)), reply);
            return (verdict.Forward is not null, reply[3] & 15);
        }
        Assert.Equal((false, 2), Ask("no-such-app.service.consul", "127.0.0.1")); // a zone of ours, of which nothing is known yet
        Assert.Equal((true, 0), Ask("www.example.com", "127.0.0.1"));
        Assert.Equal((true, 0), Ask("www.example.com", "198.51.100.9"));
        Assert.Equal((false, 5), Ask("www.example.com", "198.51.101.9"));
    }

    [Fact]
    public void No_reply_however_broken_is_more_than_not_believed()
    {
        var random = new Random(11);
        var question = new Question(DnsWire.Query(7, [.. Wire("www.example.com"), 0, 1, 0, 1], true, false, false), new IPEndPoint(IPAddress.Loopback, 1));
        var good = question.Message([(question.Owner, 5, Wire("site.cdn.net")), (Wire("site.cdn.net"), 1, Bytes(Good))], [(Wire("com"), 6, new byte[40])], [(Wire("x"), 1, Bytes(Evil))]);
        Assert.NotNull(UpstreamReply.Trusted(good, proofs: false));
        var believed = 0;
        for (var i = 0; i < 100_000; i++)
        {
            var reply = good.AsSpan(0, random.Next(4) == 0 ? random.Next(12, good.Length + 1) : good.Length).ToArray();
            for (var n = random.Next(4); n > 0; n--) reply[random.Next(2, reply.Length)] = (byte)random.Next(256);
            if (UpstreamReply.Trusted(reply, proofs: i % 2 == 0) is not { } trusted) continue;
            believed++;
            Assert.True(trusted.Length <= reply.Length && trusted[10] == 0 && trusted[11] == 0);
        }
        Assert.True(believed > 1000, $"{believed}");
    }

    private static async Task UntilAsync(Func<bool> holds)
    {
        for (var deadline = DateTime.UtcNow.AddSeconds(60); !holds(); await Task.Delay(5)) Assert.True(DateTime.UtcNow < deadline);
    }

    private static byte[] Wire(string name) => [.. name.Split('.').SelectMany(x => (byte[])[(byte)x.Length, .. System.Text.Encoding.ASCII.GetBytes(x)]), 0];

    private static byte[] Bytes(string address) => IPAddress.Parse(address).GetAddressBytes();

    private sealed class Asking : IDisposable
    {
        private readonly DnsForwarder _forwarder;

        public Asking(Upstream upstream, Func<DnsOptions, DnsOptions>? also = null)
        {
            var options = new DnsOptions { Naming = new DnsNaming("marathon.mesos"), Upstreams = [upstream.EndPoint], UpstreamTimeout = TimeSpan.FromSeconds(30) };
            _forwarder = new DnsForwarder(also?.Invoke(options) ?? options, _ => false, Clock, NullLogger.Instance);
        }

        public FakeTimeProvider Clock { get; } = new();

        public void Dispose() => _forwarder.Dispose();

        public async Task<byte[]?> ReplyAsync(string name)
        {
            var packet = DnsWire.Query(1, [.. Wire(name), 0, 1, 0, 1], recursionDesired: true, checkingDisabled: false, dnssecOk: false);
            var query = Parsed(packet);
            var question = packet.AsMemory(DnsWire.HeaderLength, query.QuestionLength);
            return await _forwarder.ResolveAsync(new DnsForward(query, name), question, CancellationToken.None) is { } found ? found.Reply.Message : null;
        }

        /// <summary>The address at the end of the answer.</summary>
        public async Task<string?> AddressAsync(string name) => await ReplyAsync(name) is { Length: > 4 } reply && reply[7] > 0 ? new IPAddress(reply.AsSpan(reply.Length - 4)).ToString() : null;

        private static DnsQuery Parsed(byte[] packet)
        {
            Span<char> name = stackalloc char[DnsWire.NameMax];
            Assert.True(DnsWire.TryParse(packet, name, out var query));
            return query;
        }
    }

    /// <summary>What the server was asked, in the spelling it was asked in.</summary>
    private sealed record Question(byte[] Packet, IPEndPoint From)
    {
        public int Id => (Packet[0] << 8) | Packet[1];
        public int QuestionLength { get; } = Array.IndexOf(Packet, (byte)0, 12) + 5 - 12;
        public byte[] Owner => Packet[12..(12 + QuestionLength - 4)];

        public string Name
        {
            get
            {
                var labels = new List<string>();
                for (var at = 12; Packet[at] != 0; at += Packet[at] + 1) labels.Add(System.Text.Encoding.ASCII.GetString(Packet, at + 1, Packet[at]));
                return string.Join('.', labels);
            }
        }

        public byte[] Answer(string address) => Message([([0xC0, 12], 1, Bytes(address))], [], []);

        public byte[] Message((byte[] Owner, int Type, byte[] Data)[] answers, (byte[], int, byte[])[] authorities, (byte[], int, byte[])[] additionals, int rcode = 0, int ttl = 60) =>
        [
            Packet[0], Packet[1], 0x81, (byte)(0x80 | rcode), 0, 1, 0, (byte)answers.Length, 0, (byte)authorities.Length, 0, (byte)additionals.Length,
            .. Packet[12..(12 + QuestionLength)], .. ((byte[] Owner, int Type, byte[] Data)[])[.. answers, .. authorities, .. additionals] is var all
                ? all.SelectMany(x => (byte[])[.. x.Owner, 0, (byte)x.Type, 0, 1, (byte)(ttl >> 24), (byte)(ttl >> 16), (byte)(ttl >> 8), (byte)ttl, 0, (byte)x.Data.Length, .. x.Data])
                : [],
        ];
    }

    /// <summary>A name server that says what the test tells it, by UDP and TCP on one port; each question is answered by itself.</summary>
    private sealed class Upstream : IAsyncDisposable
    {
        private readonly TcpListener _tcp = new(IPAddress.Loopback, 0);
        private readonly UdpClient _udp;
        private readonly Func<Question, bool, byte[][]> _answer;
        private readonly Func<Task> _hold;
        private readonly Task _serving;

        public Upstream(Func<Question, bool, byte[][]> answer, Func<Task>? hold = null)
        {
            (_answer, _hold) = (answer, hold ?? (() => Task.CompletedTask));
            for (; ; )
                try
                {
                    _tcp.Start();
                    _udp = new UdpClient((IPEndPoint)_tcp.LocalEndpoint);
                    break;
                }
                catch (SocketException)
                {
                    _tcp.Stop(); // somebody has the port's other half
                }
            EndPoint = (IPEndPoint)_tcp.LocalEndpoint;
            _serving = Task.WhenAll(ServeUdpAsync(), ServeTcpAsync());
        }

        public IPEndPoint EndPoint { get; }

        /// <summary>Those by UDP.</summary>
        public ConcurrentQueue<Question> Questions { get; } = new();

        public async ValueTask DisposeAsync()
        {
            _udp.Dispose();
            _tcp.Dispose();
            await _serving;
        }

        private async Task ServeUdpAsync()
        {
            try
            {
                while (true)
                {
                    var received = await _udp.ReceiveAsync();
                    var question = new Question(received.Buffer, received.RemoteEndPoint);
                    Questions.Enqueue(question);
                    _ = AnswerAsync(question);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Closed: the test is over.
            }
        }

        private async Task AnswerAsync(Question question)
        {
            await _hold();
            foreach (var reply in _answer(question, false)) await _udp.SendAsync(reply, question.From);
        }

        private async Task ServeTcpAsync()
        {
            try
            {
                while (true)
                {
                    using var client = await _tcp.AcceptTcpClientAsync();
                    var prefix = new byte[2];
                    await client.GetStream().ReadExactlyAsync(prefix);
                    var packet = new byte[(prefix[0] << 8) | prefix[1]];
                    await client.GetStream().ReadExactlyAsync(packet);
                    foreach (var reply in _answer(new Question(packet, (IPEndPoint)client.Client.RemoteEndPoint!), true))
                        await client.GetStream().WriteAsync((byte[])[(byte)(reply.Length >> 8), (byte)reply.Length, .. reply]);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or InvalidOperationException)
            {
                // Closed: the test is over.
            }
        }
    }
}
