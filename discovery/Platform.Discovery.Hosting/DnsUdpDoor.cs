using System.Net;
using System.Net.Sockets;

namespace Platform.Discovery.Hosting;

/// <summary>
/// The UDP half: threads that block in the kernel and take, and send, as many datagrams as a call may carry. Measured, blocking halves the cost
/// of an answer against asynchronous sockets, and batches take a sixth of the rest (tests/benchmarks/dns.sh); closing the socket ends them.
/// </summary>
internal sealed class DnsUdpDoor : IDisposable
{
    private readonly Socket _socket;
    private readonly IDnsFront _front;
    private readonly Thread[] _threads;
    private volatile bool _closed;

    public DnsUdpDoor(IPEndPoint endPoint, IDnsFront front)
    {
        _front = front;
        _socket = new Socket(endPoint.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (endPoint.AddressFamily == AddressFamily.InterNetworkV6) _socket.DualMode = false;
            _socket.ReceiveBufferSize = 1 << 20; // a burst of questions waits in the kernel rather than being lost
            _socket.Bind(endPoint);
        }
        catch
        {
            _socket.Dispose();
            throw;
        }
        EndPoint = (IPEndPoint)_socket.LocalEndPoint!;
        _threads = [.. Enumerable.Range(0, Math.Clamp(Environment.ProcessorCount / 2, 1, 4)).Select(i => new Thread(Serve) { IsBackground = true, Name = $"dns udp {EndPoint} {i}" })];
        foreach (var thread in _threads) thread.Start();
    }

    public IPEndPoint EndPoint { get; }

    public void Dispose()
    {
        _closed = true;
        _socket.Dispose();
        foreach (var thread in _threads) thread.Join(TimeSpan.FromSeconds(1));
    }

    private void Serve()
    {
        using var batch = new DatagramBatch(_socket.SafeHandle, EndPoint.AddressFamily, DnsWire.UdpPayloadMax);
        while (!_closed)
        {
            try
            {
                var received = batch.Receive();
                for (var i = 0; i < received; i++) Answer(batch, i);
                batch.Send();
            }
            catch (SocketException) when (_closed)
            {
                return;
            }
            catch (SocketException e)
            {
                _front.PacketFailed(EndPoint, e); // an unreachable client's ICMP, a forbidden destination: theirs, not ours
            }
        }
    }

    private void Answer(DatagramBatch batch, int index)
    {
        var packet = batch.Packet(index);
        var verdict = _front.Answer(packet, tcp: false, LocalNetworks.Number(batch.AddressOf(index)), batch.Reply(index));
        if (verdict.ReplyLength > 0) batch.Queue(index, verdict.ReplyLength);
        else if (verdict.Forward is { } forward) _ = ForwardAsync(packet.ToArray(), forward, batch.EndPointOf(index));
    }

    private async Task ForwardAsync(byte[] packet, DnsForward forward, IPEndPoint client)
    {
        try
        {
            var reply = new byte[DnsWire.UdpPayloadMax];
            var length = await _front.ForwardAsync(packet, forward, tcp: false, reply).ConfigureAwait(false);
            if (length > 0) await _socket.SendToAsync(reply.AsMemory(0, length), SocketFlags.None, client).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            if (!_closed) _front.PacketFailed(EndPoint, e);
        }
    }
}
