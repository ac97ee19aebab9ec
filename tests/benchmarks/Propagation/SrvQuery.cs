using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Propagation;

/// <summary>Asks one SRV question by UDP again and again; no resolver, so nothing is cached and nothing but the server is measured.</summary>
internal sealed class SrvQuery : IDisposable
{
    private const ushort Srv = 33;
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
    private readonly byte[] _query;
    private readonly byte[] _answer = new byte[4096];
    private ushort _id;

    public SrvQuery(string server, string name)
    {
        _socket.Connect(IPEndPoint.Parse(server));
        var labels = name.Split('.').SelectMany(x => (byte[])[(byte)x.Length, .. Encoding.ASCII.GetBytes(x)]);
        _query = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, .. labels, 0, 0, (byte)Srv, 0, 1];
    }

    /// <summary>The ports of all SRV records in the answer.</summary>
    public async Task<string> PortsAsync()
    {
        BinaryPrimitives.WriteUInt16BigEndian(_query, ++_id);
        await _socket.SendAsync(_query);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        int bytes;
        do bytes = await _socket.ReceiveAsync(_answer, limit.Token);
        while (BinaryPrimitives.ReadUInt16BigEndian(_answer) != _id);
        return string.Join(' ', Ports(_answer.AsSpan(0, bytes), _query.Length));
    }

    public void Dispose() => _socket.Dispose();

    private static List<int> Ports(ReadOnlySpan<byte> message, int questionEnd)
    {
        var ports = new List<int>();
        var at = questionEnd;
        for (var left = BinaryPrimitives.ReadUInt16BigEndian(message[6..]); left > 0; left--)
        {
            at = AfterName(message, at);
            var (type, dataBytes) = (BinaryPrimitives.ReadUInt16BigEndian(message[at..]), BinaryPrimitives.ReadUInt16BigEndian(message[(at + 8)..]));
            at += 10;
            if (type == Srv) ports.Add(BinaryPrimitives.ReadUInt16BigEndian(message[(at + 4)..]));
            at += dataBytes;
        }
        ports.Sort();
        return ports;
    }

    private static int AfterName(ReadOnlySpan<byte> message, int at)
    {
        for (; message[at] != 0; at += message[at] + 1)
            if (message[at] >= 0xC0) return at + 2;
        return at + 1;
    }
}
