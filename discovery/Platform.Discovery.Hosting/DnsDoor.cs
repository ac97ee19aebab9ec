using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Platform.Discovery.Hosting;

/// <summary>What is to be done with one packet, decided without waiting.</summary>
internal readonly record struct DnsVerdict(int ReplyLength, DnsQuery? Forward)
{
    public static readonly DnsVerdict Silence = new(0, null);
}

/// <summary>Both halves of the door ask it; the host answers.</summary>
internal interface IDnsFront
{
    DnsVerdict Answer(ReadOnlySpan<byte> packet, bool tcp, IPAddress client, Span<byte> reply);
    ValueTask<int> ForwardAsync(byte[] packet, DnsQuery query, bool tcp, Memory<byte> reply);
    void PacketFailed(IPEndPoint door, Exception why);
}

/// <summary>
/// The UDP half: threads that block in the kernel. Measured, that halves the cost of an answer against asynchronous sockets
/// (reference/performance.md, part 3), and closing the socket ends them.
/// </summary>
internal sealed class DnsUdpDoor : IDisposable
{
    private const int PacketMax = 65535;
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
        var packet = new byte[PacketMax];
        var reply = new byte[DnsWire.UdpPayloadMax];
        var from = new SocketAddress(EndPoint.AddressFamily);
        while (!_closed)
        {
            try
            {
                var length = _socket.ReceiveFrom(packet, SocketFlags.None, from);
                Answer(packet.AsSpan(0, length), from, reply);
            }
            catch (Exception e) when (_closed && e is SocketException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e)
            {
                _front.PacketFailed(EndPoint, e); // an unreachable client's ICMP, a forbidden destination: theirs, not ours
            }
        }
    }

    private void Answer(ReadOnlySpan<byte> packet, SocketAddress from, byte[] reply)
    {
        var client = (IPEndPoint)EndPoint.Create(from);
        var verdict = _front.Answer(packet, tcp: false, client.Address, reply);
        if (verdict.ReplyLength > 0) _socket.SendTo(reply.AsSpan(0, verdict.ReplyLength), SocketFlags.None, from);
        else if (verdict.Forward is { } query) _ = ForwardAsync(packet.ToArray(), query, client);
    }

    private async Task ForwardAsync(byte[] packet, DnsQuery query, IPEndPoint client)
    {
        try
        {
            var reply = new byte[DnsWire.UdpPayloadMax];
            var length = await _front.ForwardAsync(packet, query, tcp: false, reply).ConfigureAwait(false);
            if (length > 0) await _socket.SendToAsync(reply.AsMemory(0, length), SocketFlags.None, client).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            if (!_closed) _front.PacketFailed(EndPoint, e);
        }
    }
}

/// <summary>The TCP half: questions of one connection are answered as they become ready (RFC 7766), within bounds on time and number.</summary>
internal sealed class DnsTcpDoor : IDisposable
{
    private const int PipelineMax = 64;
    private readonly TcpListener _listener;
    private readonly DnsOptions _options;
    private readonly IDnsFront _front;
    private readonly CancellationTokenSource _closing = new();
    private readonly ConcurrentDictionary<IPAddress, int> _perClient = new();
    private int _connections;

    public DnsTcpDoor(IPEndPoint endPoint, DnsOptions options, IDnsFront front)
    {
        _options = options;
        _front = front;
        _listener = new TcpListener(endPoint);
        _listener.Server.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true); // old connections in TIME_WAIT must not keep us out
        try
        {
            _listener.Start(256);
        }
        catch
        {
            _listener.Dispose();
            throw;
        }
        EndPoint = (IPEndPoint)_listener.LocalEndpoint;
        _ = AcceptAsync();
    }

    public IPEndPoint EndPoint { get; }

    public void Dispose()
    {
        _closing.Cancel();
        _listener.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_closing.IsCancellationRequested)
        {
            try
            {
                var socket = await _listener.AcceptSocketAsync(_closing.Token).ConfigureAwait(false);
                _ = ServeAsync(socket);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e)
            {
                if (_closing.IsCancellationRequested) return;
                _front.PacketFailed(EndPoint, e);
                await Task.Delay(TimeSpan.FromMilliseconds(50)).ConfigureAwait(false); // out of descriptors: accepting at once would spin
            }
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        var client = ((IPEndPoint)socket.RemoteEndPoint!).Address;
        var mine = _perClient.AddOrUpdate(client, 1, static (_, n) => n + 1);
        var all = Interlocked.Increment(ref _connections);
        using var connection = new Connection(socket, client, _options, _front, _closing.Token);
        try
        {
            if (mine <= _options.TcpConnectionsPerClientMax && all <= _options.TcpConnectionsMax) await connection.ServeAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // It hung up, was idle for too long, or we close: all the same to us.
        }
        finally
        {
            Interlocked.Decrement(ref _connections);
            if (_perClient.AddOrUpdate(client, 0, static (_, n) => n - 1) == 0) _perClient.TryRemove(KeyValuePair.Create(client, 0));
        }
    }

    private sealed class Connection(Socket socket, IPAddress client, DnsOptions options, IDnsFront front, CancellationToken closing) : IDisposable
    {
        private readonly NetworkStream _stream = new(socket, ownsSocket: true);
        private readonly SemaphoreSlim _writing = new(1);
        private readonly SemaphoreSlim _pipeline = new(PipelineMax);

        public async Task ServeAsync()
        {
            socket.NoDelay = true;
            using var idle = CancellationTokenSource.CreateLinkedTokenSource(closing);
            var prefix = new byte[2];
            while (true)
            {
                idle.CancelAfter(options.TcpIdle); // one whole question at least in this time, however it is cut into pieces
                await _stream.ReadExactlyAsync(prefix, idle.Token).ConfigureAwait(false);
                var packet = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
                await _stream.ReadExactlyAsync(packet, idle.Token).ConfigureAwait(false);
                if (!await AnswerAsync(packet).ConfigureAwait(false)) return;
            }
        }

        /// <summary>False for bytes that are no query: whoever sends them over TCP is no DNS client.</summary>
        private async Task<bool> AnswerAsync(byte[] packet)
        {
            var framed = new byte[2 + DnsWire.TcpMax];
            var verdict = front.Answer(packet, tcp: true, client, framed.AsSpan(2));
            if (verdict.Forward is { } query)
            {
                await _pipeline.WaitAsync(closing).ConfigureAwait(false);
                _ = ForwardAsync(packet, query, framed);
                return true;
            }
            if (verdict.ReplyLength == 0) return false;
            await SendAsync(framed, verdict.ReplyLength).ConfigureAwait(false);
            return true;
        }

        private async Task ForwardAsync(byte[] packet, DnsQuery query, byte[] framed)
        {
            try
            {
                var length = await front.ForwardAsync(packet, query, tcp: true, framed.AsMemory(2)).ConfigureAwait(false);
                if (length > 0) await SendAsync(framed, length).ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // The asker has gone.
            }
            finally
            {
                _pipeline.Release();
            }
        }

        private async Task SendAsync(byte[] framed, int length)
        {
            BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)length);
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(closing);
            patience.CancelAfter(options.TcpIdle);
            await _writing.WaitAsync(patience.Token).ConfigureAwait(false);
            try
            {
                await _stream.WriteAsync(framed.AsMemory(0, 2 + length), patience.Token).ConfigureAwait(false);
            }
            finally
            {
                _writing.Release();
            }
        }

        /// <summary>The semaphores hold no handle as long as nobody asks for one, and a late forward may still release them.</summary>
        public void Dispose() => _stream.Dispose();
    }
}
