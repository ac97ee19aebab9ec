using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Platform.Tests.Discovery;

/// <summary>Any server's message as comparable text: compression undone, names in lower case, sections sorted. A reader that owes nothing to the code it judges.</summary>
internal sealed record DnsMessageText(int Flags, int Rcode, byte[] Question, string[] Answers, string[] Authority, string[] Additional, string? Opt, int Length)
{
    /// <summary>The answer as it came.</summary>
    public string[] InOrder { get; private init; } = [];

    /// <summary>The answer's first, which a transfer also ends with.</summary>
    public static string FirstRecord(ReadOnlySpan<byte> message)
    {
        byte[] one = [.. message[..6], 0, 1, 0, 0, 0, 0, .. message[12..]];
        return Read(one, whole: false).Answers[0];
    }

    public bool IsTruncated => (Flags & 0x0200) != 0;
    public bool IsAuthoritative => (Flags & 0x0400) != 0;

    public static DnsMessageText Read(ReadOnlySpan<byte> message, bool whole = true)
    {
        var at = 12;
        var questions = Number(message[4..]);
        for (var i = 0; i < questions; i++)
        {
            Name(message, ref at);
            at += 4;
        }
        var question = message[12..at].ToArray();
        string? opt = null;
        string[] inOrder = [];
        var rcode = message[3] & 15;
        var sections = new List<string>[3];
        for (var s = 0; s < 3; s++)
        {
            sections[s] = [];
            for (var i = Number(message[(6 + (2 * s))..]); i > 0; i--)
            {
                var owner = Name(message, ref at);
                var (type, @class, ttl, length) = (Number(message[at..]), Number(message[(at + 2)..]), BinaryPrimitives.ReadUInt32BigEndian(message[(at + 4)..]), Number(message[(at + 8)..]));
                at += 10;
                if (type == 41)
                {
                    opt = string.Create(CultureInfo.InvariantCulture, $"version {(ttl >> 16) & 255} do {(ttl >> 15) & 1} {Convert.ToHexString(message.Slice(at, length))}");
                    rcode |= (int)(ttl >> 24) << 4;
                }
                else sections[s].Add(string.Create(CultureInfo.InvariantCulture, $"{owner} {ttl} {@class} {Data(message, at, length, type)}"));
                at += length;
            }
            if (s == 0) inOrder = [.. sections[0]];
            sections[s].Sort(StringComparer.Ordinal);
        }
        Assert.True(!whole || at == message.Length, $"{message.Length - at} bytes after the message: {Convert.ToHexString(message)}");
        return new DnsMessageText(Number(message[2..]), rcode, question, [.. sections[0]], [.. sections[1]], [.. sections[2]], opt, message.Length) { InOrder = inOrder };
    }

    /// <summary>Null when nobody answers in time.</summary>
    public static async Task<DnsMessageText?> AskAsync(IPEndPoint server, byte[] packet, TimeSpan patience)
    {
        using var socket = new UdpClient(server.AddressFamily);
        socket.Connect(server);
        using var deadline = new CancellationTokenSource(patience);
        try
        {
            await socket.SendAsync(packet, deadline.Token);
            return Read((await socket.ReceiveAsync(deadline.Token)).Buffer);
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException)
        {
            return null;
        }
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"""
        flags {Flags:x4} rcode {Rcode} opt {Opt} length {Length}
          answer {string.Join(" | ", Answers)}
          authority {string.Join(" | ", Authority)}
          additional {string.Join(" | ", Additional)}
        """);

    private static string Data(ReadOnlySpan<byte> message, int at, int length, int type)
    {
        var data = message.Slice(at, length);
        switch (type)
        {
            case 33:
                var target = at + 6;
                return string.Create(CultureInfo.InvariantCulture, $"SRV {Number(data)} {Number(data[2..])} {Number(data[4..])} {Name(message, ref target)}");
            case 2 or 12:
                return $"{(type == 2 ? "NS" : "PTR")} {Name(message, ref at)}";
            case 6:
                var text = $"SOA {Name(message, ref at)} {Name(message, ref at)}";
                for (var i = 0; i < 5; i++, at += 4) text += string.Create(CultureInfo.InvariantCulture, $" {BinaryPrimitives.ReadUInt32BigEndian(message[at..])}");
                return text;
            default:
                return string.Create(CultureInfo.InvariantCulture, $"TYPE{type} {Convert.ToHexString(data)}");
        }
    }

    private static string Name(ReadOnlySpan<byte> message, ref int at)
    {
        var name = new StringBuilder();
        var end = -1;
        for (var hops = 0; message[at] != 0;)
        {
            if (message[at] >= 0xC0)
            {
                if (end < 0) end = at + 2;
                at = Number(message[at..]) & 0x3FFF;
                Assert.True(++hops < 128, "a name that points round and round");
                continue;
            }
            name.Append(Encoding.Latin1.GetString(message.Slice(at + 1, message[at])).ToLowerInvariant()).Append('.');
            at += message[at] + 1;
        }
        at = end < 0 ? at + 1 : end;
        return name.Length == 0 ? "." : name.ToString();
    }

    private static int Number(ReadOnlySpan<byte> at) => BinaryPrimitives.ReadUInt16BigEndian(at);
}
