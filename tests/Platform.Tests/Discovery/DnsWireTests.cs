using System.Net;
using System.Text;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class DnsWireTests
{
    private static readonly DnsZone Zone = DnsZone.Build(World.Assorted().Snapshot, new DnsNaming("marathon.mesos"), [IPAddress.Loopback], DnsSchedulers.None);

    [Fact]
    public void A_query_is_read_and_its_spelling_echoed()
    {
        var packet = Packet("NgInX.Marathon.mesos", DnsType.A);
        var query = Parse(packet, out var question);
        Assert.Equal(new DnsQuestion("nginx.marathon.mesos", 1, 1), question);
        Assert.Null(query.Problem);
        var reply = Answer(packet);
        Assert.Equal(packet[12..(12 + query.QuestionLength)], reply[12..(12 + query.QuestionLength)]);
        Assert.Equal((0x84 | 1, 0), (reply[2], reply[3])); // QR, AA, RD copied; no error
    }

    [Theory]
    [InlineData(0, 512)]
    [InlineData(100, 512)]     // less than 512 means 512
    [InlineData(900, 900)]
    [InlineData(65535, 1232)]
    public void A_reply_keeps_to_what_the_asker_and_the_path_can_take(int payload, int expected)
    {
        var world = new World().App("/big");
        for (var i = 0; i < 100; i++) world.Up("/big", i, $"node-{i}", $"10.0.0.{i + 1}", null, World.At(0, 31000 + i));
        var zone = DnsZone.Build(world.Snapshot, new DnsNaming("marathon.mesos"), [], DnsSchedulers.None);
        var packet = Packet("_big._tcp.marathon.mesos", DnsType.SRV, payload == 0 ? null : payload);
        var query = Parse(packet, out var question);
        var buffer = new byte[65535];
        var length = DnsWire.Encode(packet, query, DnsAnswers.Of(zone, question, 0), true, tcp: false, buffer);
        Assert.InRange(length, expected - 80, expected);
        Assert.Equal(2, buffer[2] & 2); // TC
        Assert.Equal(payload == 0 ? 0 : 1, buffer[11]); // OPT only to those who sent one

        length = DnsWire.Encode(packet, query, DnsAnswers.Of(zone, question, 0), true, tcp: true, buffer);
        Assert.Equal((100, 0), (buffer[7], buffer[2] & 2));
        Assert.True(length > 1232);
    }

    [Fact]
    public void Versions_operations_and_forms_that_are_not_ours_are_named()
    {
        var badVersion = Packet("nginx.marathon.mesos", DnsType.A, 1232, version: 1);
        var reply = Answer(badVersion);
        Assert.Equal(0, reply[3] & 15);
        Assert.Equal(1, reply[^6]);  // the OPT's extended code: 16 >> 4
        Assert.Equal(0, reply[^5]);  // version 0 is what we speak

        var notify = Packet("nginx.marathon.mesos", DnsType.SOA);
        notify[2] = 4 << 3;
        reply = Answer(notify);
        Assert.Equal((12, 0x80 | (4 << 3), 4), (reply.Length, reply[2], reply[3]));

        var two = Packet("nginx.marathon.mesos", DnsType.A);
        two[5] = 2;
        Assert.Equal(1, Answer(two)[3] & 15);

        var trailing = (byte[])[.. Packet("nginx.marathon.mesos", DnsType.A), 0];
        Assert.Equal(1, Answer(trailing)[3] & 15);

        var response = Packet("nginx.marathon.mesos", DnsType.A);
        response[2] |= 0x80;
        Assert.False(DnsWire.TryParse(response, new char[DnsWire.NameMax], out _));
        Assert.False(DnsWire.TryParse(response.AsSpan(0, 11), new char[DnsWire.NameMax], out _));
    }

    [Fact]
    public void Unknown_options_and_a_cookie_do_not_change_the_answer()
    {
        var cookie = Packet("nginx.marathon.mesos", DnsType.A, 1232, options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xFD, 0xE9, 0, 0]);
        Assert.Equal(Answer(Packet("nginx.marathon.mesos", DnsType.A, 1232)), Answer(cookie));
        var broken = Packet("nginx.marathon.mesos", DnsType.A, 1232, options: [0, 10, 0, 9, 1]);
        Assert.Equal(1, Answer(broken)[3] & 15);
    }

    [Fact]
    public void A_dot_inside_a_label_is_not_a_boundary()
    {
        var packet = Packet("x", DnsType.A);
        var name = (byte[])[14, .. Encoding.ASCII.GetBytes("nginx.marathon"), 5, .. "mesos"u8, 0];
        packet = [.. packet[..12], .. name, .. packet[^4..]];
        Assert.Equal(3, Answer(packet)[3] & 15);
    }

    [Fact]
    public void Names_at_the_limit_are_read_and_beyond_it_are_malformed()
    {
        var label = new string('a', 63);
        Assert.Null(Parse(Packet($"{label}.{label}.{label}.{new string('a', 61)}", DnsType.A)).Problem);
        Assert.Equal(DnsRcode.FormErr, Parse(Packet($"{label}.{label}.{label}.{new string('a', 62)}", DnsType.A)).Problem);
        Assert.Null(Parse(Packet(string.Join('.', Enumerable.Repeat("a", 127)), DnsType.A)).Problem);
        Assert.Null(Parse(Packet("", DnsType.NS)).Problem);
    }

    [Fact]
    public void Another_servers_answer_is_passed_on_with_its_own_bytes_an_aged_ttl_and_our_hop()
    {
        var asked = Packet("WWW.example.com", (DnsType)65, 1232);
        var query = Parse(asked);
        var question = asked.AsSpan(12, query.QuestionLength).ToArray();
        byte[] record = [0xC0, 12, 0, 65, 0, 1, 0, 0, 1, 44, 0, 5, 0, 1, 0, 0xC3, 0xA4];
        byte[] opt = [0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0];
        byte[] message = [9, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1, .. question, .. record, .. opt];
        var buffer = new byte[1232];
        var skeleton = DnsWire.Scan(message)!;
        var reply = buffer[..DnsWire.Relay(message, skeleton, 100, asked, query, false, buffer)];
        byte[] aged = [.. record];
        aged[8] = 200;
        aged[9] = 0;
        aged[8] = 0;
        aged[9] = 200;
        Assert.Equal((byte[])[asked[0], asked[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1, .. question, .. aged, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0], reply);

        var plain = Packet("WWW.example.com", (DnsType)65);
        reply = buffer[..DnsWire.Relay(message, skeleton, 400, plain, Parse(plain), false, buffer)];
        Assert.Equal((0, 0), (reply[11], reply[^9])); // no OPT; a TTL that has run out is 0, not negative
    }

    /// <summary>The hot path: a question of a client without and with EDNS, a service with its addresses, and a name that is not there.</summary>
    [Fact]
    public void Answering_allocates_nothing()
    {
        byte[][] packets =
        [
            Packet("nginx.marathon.mesos", DnsType.A), Packet("nginx.marathon.mesos", DnsType.A, 1232, options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
            Packet("_nginx._tcp.marathon.mesos", DnsType.SRV, 1232), Packet("nope.marathon.mesos", DnsType.A), Packet("nginx.marathon.mesos", DnsType.ANY),
        ];
        var reply = new byte[1232];
        for (var i = 0; i < 1000; i++) Ask();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++) Ask();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Ask()
        {
            Span<char> name = stackalloc char[DnsWire.NameMax];
            foreach (var packet in packets)
            {
                DnsWire.TryParse(packet, name, out var query);
                DnsWire.Encode(packet, query, DnsAnswers.Of(Zone, name[..query.NameLength], query.Type, query.Class, query.Id), true, false, reply);
            }
        }
    }

    /// <summary>Mutations of good packets and noise: nothing throws, nothing answers an answer, every reply is a message.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(20260101)]
    public void Twenty_thousand_malformed_packets_do_no_harm(int seed)
    {
        var random = new Random(seed);
        byte[][] good =
        [
            Packet("nginx.marathon.mesos", DnsType.A), Packet("_nginx._tcp.marathon.mesos", DnsType.SRV, 1232),
            Packet("mesos", DnsType.SOA, 4096, options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]), Packet("x.marathon.mesos", DnsType.ANY),
            [7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1], // a name that points to itself
        ];
        var reply = new byte[65535];
        var name = new char[DnsWire.NameMax];
        for (var n = 0; n < 20_000; n++)
        {
            var packet = (byte[])good[random.Next(good.Length)].Clone();
            if (random.Next(4) == 0) random.NextBytes(packet.AsSpan(random.Next(packet.Length)));
            for (var i = random.Next(5); i > 0; i--) packet[random.Next(packet.Length)] = (byte)random.Next(256);
            if (random.Next(3) == 0) packet = packet[..random.Next(packet.Length + 1)];
            if (random.Next(8) == 0) packet = [.. packet, .. new byte[random.Next(64)]];

            DnsWire.Scan(packet);
            if (!DnsWire.TryParse(packet, name, out var query)) continue;
            var answer = query.Problem is { } problem ? new DnsAnswer(problem)
                : DnsNames.IsWithin(name.AsSpan(0, query.NameLength), "mesos")
                    ? DnsAnswers.Of(Zone, name.AsSpan(0, query.NameLength), query.Type, query.Class, (uint)n) : DnsAnswer.Refused;
            foreach (var tcp in new[] { false, true })
            {
                var length = DnsWire.Encode(packet, query, answer, true, tcp, reply);
                Assert.True(length >= 12 && (tcp || length <= 1232) && (reply[2] & 0x80) != 0, $"seed {seed}, packet {n}: {Convert.ToHexString(packet)}");
                Assert.True(query.QuestionLength == 0 || DnsWire.Scan(reply.AsSpan(0, length)) is not null, $"seed {seed}, packet {n}: {Convert.ToHexString(packet)}");
            }
        }
    }

    internal static byte[] Packet(string name, DnsType type, int? payload = null, byte version = 0, byte[]? options = null)
    {
        byte[] question = [.. DnsNames.ToWire(name), (byte)((int)type >> 8), (byte)type, 0, 1];
        byte[] head = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, (byte)(payload is null ? 0 : 1)];
        if (payload is not { } size) return [.. head, .. question];
        options ??= [];
        return [.. head, .. question, 0, 0, 41, (byte)(size >> 8), (byte)size, 0, version, 0, 0, 0, (byte)options.Length, .. options];
    }

    internal static DnsQuery Parse(byte[] packet) => Parse(packet, out _);

    internal static DnsQuery Parse(byte[] packet, out DnsQuestion question)
    {
        var name = new char[DnsWire.NameMax];
        Assert.True(DnsWire.TryParse(packet, name, out var query));
        question = new DnsQuestion(new string(name, 0, query.NameLength), query.Type, query.Class);
        return query;
    }

    private static byte[] Answer(byte[] packet)
    {
        var query = Parse(packet, out var question);
        var answer = query.Problem is { } problem ? new DnsAnswer(problem) : DnsAnswers.Of(Zone, question, 0);
        var reply = new byte[1232];
        return reply[..DnsWire.Encode(packet, query, answer, false, false, reply)];
    }
}
