using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Platform.Discovery.Hosting;

/// <summary>A question for an upstream server.</summary>
/// <param name="Name">Canonical: lower case.</param>
internal sealed record DnsForward(DnsQuery Query, string Name);

/// <summary>What is to be done with one packet, decided without waiting.</summary>
/// <param name="Transfer">Only over TCP: messages until there are no more; the front counts it until it is told <see cref="IDnsFront.TransferEnded"/>.</param>
internal readonly record struct DnsVerdict(int ReplyLength, DnsForward? Forward, DnsTransfer? Transfer = null)
{
    public static readonly DnsVerdict Silence = new(0, null);
}

/// <summary>Both halves of the door ask it; the host answers.</summary>
internal interface IDnsFront
{
    DnsVerdict Answer(ReadOnlySpan<byte> packet, bool tcp, UInt128 client, Span<byte> reply);
    ValueTask<int> ForwardAsync(byte[] packet, DnsForward forward, bool tcp, Memory<byte> reply);
    void TransferEnded();
    void PacketFailed(IPEndPoint door, Exception why);
}

/// <summary>The TCP half: questions of one connection are answered as they become ready (RFC 7766), within bounds on time and number.</summary>
internal sealed class DnsTcpDoor : IDisposable
{
    private const int PipelineMax = 64;
    private readonly TcpListener _listener;
    private readonly DnsOptions _options;
    private readonly IDnsFront _front;
    private readonly CancellationTokenSource _closing = new();
    private readonly ConcurrentDictionary<UInt128, int> _perClient = new();
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
        var client = LocalNetworks.Number(((IPEndPoint)socket.RemoteEndPoint!).Address);
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

    private sealed class Connection(Socket socket, UInt128 client, DnsOptions options, IDnsFront front, CancellationToken closing) : IDisposable
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
            if (verdict.Forward is { } forward)
            {
                await _pipeline.WaitAsync(closing).ConfigureAwait(false);
                _ = ForwardAsync(packet, forward, framed);
                return true;
            }
            if (verdict.Transfer is { } transfer)
            {
                await TransferAsync(transfer, framed).ConfigureAwait(false);
                return true;
            }
            if (verdict.ReplyLength == 0) return false;
            await SendAsync(framed, verdict.ReplyLength).ConfigureAwait(false);
            return true;
        }

        private async Task TransferAsync(DnsTransfer transfer, byte[] framed)
        {
            try
            {
                while (transfer.Next(framed.AsSpan(2)) is > 0 and var length) await SendAsync(framed, length).ConfigureAwait(false);
            }
            finally
            {
                front.TransferEnded();
            }
        }

        private async Task ForwardAsync(byte[] packet, DnsForward forward, byte[] framed)
        {
            try
            {
                var length = await front.ForwardAsync(packet, forward, tcp: true, framed.AsMemory(2)).ConfigureAwait(false);
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
