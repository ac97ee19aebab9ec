using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;

namespace Platform.Tests.Discovery;

/// <summary>
/// One zone of random apps in two servers: ours, and BIND, which copied it from us. Random questions go to both, and the answers must be the same.
/// Where they are not meant to be, <see cref="Expected"/> says so, and why. PLATFORM_DNS_QUERIES sets how many.
/// </summary>
public sealed class BindDifferenceTests
{
    private static readonly int Queries = int.TryParse(Environment.GetEnvironmentVariable("PLATFORM_DNS_QUERIES"), CultureInfo.InvariantCulture, out var n) ? n : 4000;
    private static readonly ushort[] Types = [1, 1, 1, 28, 33, 33, 33, 16, 6, 2, 12, 15, 5, 65, 43, 46, 255, 13, 257, 1234, 65280];

    [Theory]
    [InlineData(1)]
    [InlineData(20260102)]
    public async Task Random_questions_are_answered_as_bind_answers_them(int seed)
    {
        var random = new Random(seed);
        var world = RandomWorld(random);
        var bindPort = NamedServer.FreePort();
        using var dns = new DnsServerHost(world.Feed, world.Views, new DnsOptions
        {
            Naming = new DnsNaming("marathon.mesos"), Upstreams = [new IPEndPoint(IPAddress.Loopback, 9)],
            Secondaries = new DnsSecondaries([IPNetwork.Parse("127.0.0.0/8")], default), Schedulers = new DnsSchedulers(IPAddress.Parse("10.0.0.9"), [IPAddress.Parse("10.0.0.9")], 8080),
        }, NullLoggerFactory.Instance);
        var ours = Assert.IsType<ListenResult.Listening>(dns.AddListener(new IPEndPoint(IPAddress.Loopback, 0))).EndPoint;
        using var stopping = new CancellationTokenSource();
        var running = dns.RunAsync(stopping.Token);
        await world.ServedAsync(DnsServerHost.ViewName);
        await using var named = NamedServer.Start(bindPort, ours, "mesos", "consul");
        foreach (var zone in new[] { "mesos", "consul" }) await named.HasAsync(zone, dns.Zone!.Serial);

        var names = dns.Zone!.Names.Select(x => x.Name).Where(x => !x.EndsWith(".arpa", StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToArray();
        // Names that are there and have nothing, nor has anything below: an app without a ready instance. A copy of the records cannot hold them.
        var full = dns.Zone.Names.Where(x => !x.Node.Sets.IsEmpty).SelectMany(x => Above(x.Name)).ToHashSet(StringComparer.Ordinal);
        var bare = names.Where(x => !full.Contains(x)).ToHashSet(StringComparer.Ordinal);
        using var we = new Asker(ours);
        using var bind = new Asker(named.EndPoint);
        var differences = new List<string>();
        for (var asked = 0; asked < Queries / 2 && differences.Count < 10; asked += Asker.TogetherMax)
        {
            var tcp = random.Next(8) == 0;
            var queries = Enumerable.Range(0, Asker.TogetherMax).Select(i => RandomQuery(random, names, (ushort)i, tcp)).ToArray();
            var packets = queries.Select(x => x.Packet).ToArray();
            var replies = await Task.WhenAll(we.AskAsync(packets, tcp), bind.AskAsync(packets, tcp));
            foreach (var ((packet, question), a, b) in queries.Zip(replies[0], replies[1]))
                if (Difference(packet, question, a, b, bare.Contains(question.Name)) is { } difference)
                    differences.Add($"{question}{(tcp ? " tcp" : "")}: {difference}\nours {a}\nbind {b}\n{Convert.ToHexString(packet)}\n");
        }
        await stopping.CancelAsync();
        await running;
        Assert.True(differences.Count == 0, $"seed {seed}:\n{string.Join('\n', differences)}");
    }

    private sealed record Question(string Name, ushort Type, ushort Class, int Opcode, int? Payload, int Version, bool RecursionDesired)
    {
        public bool InZone => DnsNames.IsWithin(Name, "mesos") || DnsNames.IsWithin(Name, "consul");
    }

    /// <summary>What is to be compared.</summary>
    private static Comparison Expected(Question question) => question switch
    {
        // We say NOTIMP to every operation but the query; BIND calls those FORMERR that have no name.
        { Opcode: not 0 } => Comparison.AnyError,
        { Version: not 0 } => Comparison.Code,
        // We refuse what is asked in another class; BIND calls the classes NONE and ANY malformed.
        { Class: not 1 } => Comparison.AnyError,
        // RFC 8482 leaves it to the server: we say HINFO, BIND all it has.
        { Type: 255 } => Comparison.Code,
        _ => Comparison.All,
    };

    private enum Comparison { Code, AnyError, All }

    private static string? Difference(byte[] packet, Question question, DnsMessageText a, DnsMessageText b, bool bare)
    {
        var comparison = Expected(question);
        if (bare && comparison != Comparison.AnyError && a.Rcode == 0) return (a.Rcode, b.Rcode, a.Answers.Length, a.Authority.Length) == (0, 3, 0, 1) ? null : "an app with no instance has its names, and no data";
        if (comparison == Comparison.AnyError) return a.Rcode != 0 && b.Rcode != 0 ? null : "one error, one answer";
        if (a.Rcode != b.Rcode) return "codes";
        if (comparison == Comparison.Code) return null;
        if (!a.Question.AsSpan().SequenceEqual(packet.AsSpan(12, a.Question.Length)) || !a.Question.AsSpan().SequenceEqual(b.Question)) return "questions echoed";
        // All but RA, which we set for those we would ask others for.
        if ((a.Flags & ~0x80) != (b.Flags & ~0x80)) return "flags";
        if (a.Opt != b.Opt) return "OPT";
        var sizeMax = question.Payload is { } payload ? Math.Clamp(payload, 512, 1232) : 512;
        if (a.IsTruncated)
        {
            // Which records make it into a cut answer is nobody's business; that there is no more room for one, is.
            return a.Answers.Except(b.Answers).Count() is var strange && strange > 0 && b.Answers.Length >= a.Answers.Length ? null : a.Length > sizeMax ? "too long" : null;
        }
        if (!a.Answers.SequenceEqual(b.Answers)) return "answers";
        if (!a.Authority.SequenceEqual(b.Authority)) return "authority";
        // Of additional records as many as fit: we never have fewer than BIND, and where nothing is short the same.
        if (a.Additional.SequenceEqual(b.Additional)) return null;
        // To those who say that 512 bytes are all they take, BIND now and then gives none; we give all that fit.
        if (question.Payload is not null && sizeMax == 512 && b.Additional.Length == 0) return null;
        return a.Additional.Length >= b.Additional.Length && a.Length > sizeMax - 64 ? null : "additional";
    }

    private static IEnumerable<string> Above(string name)
    {
        for (var at = 0; at >= 0; at = name.IndexOf('.', StringComparison.Ordinal)) yield return name = at == 0 ? name : name[(at + 1)..];
    }

    private static (byte[] Packet, Question Question) RandomQuery(Random random, string[] names, ushort id, bool tcp)
    {
        var name = names[random.Next(names.Length)];
        name = random.Next(8) switch
        {
            0 => "x." + name,                                               // below
            1 => name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..], // above
            2 => name[..(name.Length / 2)] + "q" + name[(name.Length / 2)..], // beside
            3 when random.Next(3) == 0 => new[] { "", "com", "example.com", "mesos.example.com", "xmesos", "tcp.mesos", "1.0.0.127.in-addr.arpa" }[random.Next(7)],
            _ => name,
        };
        if (name.Split('.').Any(x => x.Length is 0 or > 63) || name.Length > 253) name = "mesos";
        var spelled = new string([.. name.Select(c => random.Next(4) == 0 ? char.ToUpperInvariant(c) : c)]);
        var type = Types[random.Next(Types.Length)];
        // BIND has no view of class CHAOS here, and says so to one address only now and then; a connection is always answered.
        var @class = (ushort)(random.Next(20) switch { 0 when tcp => 3, 1 => 255, 2 => 254, _ => 1 });
        int? payload = random.Next(3) == 0 ? null : new[] { 0, 511, 512, 700, 1000, 1232, 1400, 4096, 65535 }[random.Next(9)];
        var version = random.Next(40) == 0 ? 1 : 0;
        var opcode = random.Next(40) == 0 ? new[] { 1, 2, 3, 6, 15 }[random.Next(5)] : 0;
        // Outside our zones we would ask others for those who are near and want that; BIND here has nobody to ask.
        var recursion = random.Next(2) == 0 && new Question(name, type, @class, 0, null, 0, false).InZone;
        var wire = spelled.Length == 0 ? [0] : DnsNames.ToWire(spelled);
        byte[] packet =
        [
            0, 0, (byte)((opcode << 3) | (recursion ? 1 : 0)), (byte)(random.Next(2) << 4), 0, 1, 0, 0, 0, 0, 0, (byte)(payload is null ? 0 : 1),
            .. wire, (byte)(type >> 8), (byte)type, (byte)(@class >> 8), (byte)@class,
            .. payload is { } size ? (byte[])[0, 0, 41, (byte)(size >> 8), (byte)size, 0, (byte)version, (byte)(random.Next(2) << 7), 0, 0, 0] : [],
        ];
        BinaryPrimitives.WriteUInt16BigEndian(packet, id);
        return (packet, new Question(name, type, @class, opcode, payload, payload is null ? 0 : version, recursion));
    }

    internal static World RandomWorld(Random random)
    {
        var world = new World().Node("node-1", "10.0.0.1").Node("node-2", "10.0.0.2").Node("node-3", "fd00::3");
        string[] addresses = ["10.0.0.1", "10.0.0.2", "fd00::3"];
        for (var a = 0; a < 40; a++)
        {
            var app = (a % 4) switch { 0 => $"/a{a}", 1 => $"/shop/b{a}", 2 => $"/shop/eu/c-{a}", _ => $"/d{a}.x/y" };
            var ports = Enumerable.Range(0, random.Next(4)).Select(p => (Index: p, Name: random.Next(2) == 0 ? null : new[] { "http", "Admin", "grpc.api", "dns" }[p], Protocol: random.Next(4) == 0 ? "udp,tcp" : "tcp")).ToArray();
            var labels = new Dictionary<string, string>();
            if (random.Next(3) == 0) labels["SERVICE_TAGS"] = "v1,blue";
            if (random.Next(3) == 0) labels[DnsView.AllLabel] = "true";
            world.App(app, EquatableMap.From(labels), [.. ports.Select(p => World.Port(p.Index, 10000 + p.Index, p.Name, p.Protocol))]);
            var instances = a % 7 == 0 ? random.Next(60) : random.Next(5);
            for (var i = 0; i < instances; i++)
            {
                var node = random.Next(3);
                var endpoint = World.Endpoint(app, (a * 100) + i, $"node-{node + 1}", addresses[node], random.Next(2) == 0 ? $"172.18.{a}.{i}" : null,
                    [.. ports.Select(p => World.At(p.Index, random.Next(3) == 0 ? 0 : 31000 + i, p.Name, 80 + p.Index, 10000 + p.Index, p.Protocol))]);
                world.Apply(random.Next(5) == 0 ? new EndpointChange.StartingSet(endpoint) : new EndpointChange.EndpointSet(endpoint));
            }
        }
        return world;
    }

    /// <summary>Many questions at a time, over UDP or one TCP connection; their numbers tell the replies apart.</summary>
    private sealed class Asker(IPEndPoint server) : IDisposable
    {
        public const int TogetherMax = 64;

        private readonly UdpClient _udp = Connected(server);

        public async Task<DnsMessageText[]> AskAsync(byte[][] packets, bool tcp)
        {
            var replies = new byte[packets.Length][];
            for (var tries = 0; tries < 5 && replies.Contains(null); tries++)
            {
                using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
                try
                {
                    if (tcp) await ByTcpAsync(packets, replies, patience.Token);
                    else await ByUdpAsync(packets, replies, patience.Token);
                }
                catch (OperationCanceledException)
                {
                    // Datagrams may get lost: those that are missing are asked for again.
                }
            }
            return [.. replies.Select(x => DnsMessageText.Read(x))];
        }

        private async Task ByUdpAsync(byte[][] packets, byte[][] replies, CancellationToken patience)
        {
            foreach (var (packet, reply) in packets.Zip(replies))
                if (reply is null) await _udp.SendAsync(packet, patience);
            while (replies.Contains(null)) Sort((await _udp.ReceiveAsync(patience)).Buffer, packets, replies);
        }

        private async Task ByTcpAsync(byte[][] packets, byte[][] replies, CancellationToken patience)
        {
            using var tcp = new TcpClient();
            await tcp.ConnectAsync(server, patience);
            var stream = tcp.GetStream();
            await stream.WriteAsync((byte[])[.. packets.SelectMany(x => (byte[])[(byte)(x.Length >> 8), (byte)x.Length, .. x])], patience);
            var prefix = new byte[2];
            while (replies.Contains(null))
            {
                await stream.ReadExactlyAsync(prefix, patience);
                var reply = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
                await stream.ReadExactlyAsync(reply, patience);
                Sort(reply, packets, replies);
            }
        }

        /// <summary>A late reply to a question of the round before is none to one of this.</summary>
        private static void Sort(byte[] reply, byte[][] packets, byte[][] replies)
        {
            var at = BinaryPrimitives.ReadUInt16BigEndian(reply);
            if (at >= packets.Length) return;
            var question = reply[5] == 0 ? [] : DnsMessageText.Read(reply).Question;
            if (question.AsSpan().SequenceEqual(packets[at].AsSpan(12, question.Length))) replies[at] = reply;
        }

        public void Dispose() => _udp.Dispose();

        private static UdpClient Connected(IPEndPoint server)
        {
            var client = new UdpClient();
            client.Connect(server);
            client.Client.ReceiveBufferSize = 1 << 20;
            return client;
        }
    }
}
