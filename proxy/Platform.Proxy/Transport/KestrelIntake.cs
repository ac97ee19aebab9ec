using System.Diagnostics.CodeAnalysis;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Platform.Proxy.Transport;

/// <summary>
/// Kestrel's transport. Kestrel can only listen on what it was told at its start; so it is told two doors that are no addresses, one a protocol,
/// and gets through them the connections that our own sockets accept, wherever and whenever those open.
/// </summary>
internal sealed class KestrelIntake : IConnectionListenerFactory, IDisposable
{
    private const int WaitingMax = 1024;
    private const int UnknownMax = 16_384;
    private static readonly TimeSpan FirstByteTimeout = TimeSpan.FromSeconds(60);

    private readonly SocketConnectionContextFactory _contexts;
    private readonly Door _http1 = new("http/1.1", guarded: true);
    private readonly Door _http2 = new("http/2", guarded: false);
    private int _unknown;

    public KestrelIntake(ILogger logger)
    {
        // No inline scheduling: this process is more than a proxy, and one blocking call would stall every connection of an I/O thread.
        _contexts = new SocketConnectionContextFactory(new SocketConnectionFactoryOptions { IOQueueCount = 0 }, logger);
    }

    public EndPoint Http1EndPoint => _http1.EndPoint;
    public EndPoint Http2EndPoint => _http2.EndPoint;

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(ReferenceEquals(endpoint, _http1.EndPoint) ? _http1 : _http2);

    /// <summary>Takes a connection over. Which protocol it speaks shows in its first bytes: HTTP/2 without TLS begins with a fixed line.</summary>
    public ValueTask AdmitAsync(Socket socket)
    {
        if (Interlocked.Increment(ref _unknown) > UnknownMax)
        {
            Interlocked.Decrement(ref _unknown);
            return _http1.AdmitAsync(socket, _contexts);
        }
        _ = RecogniseAsync(socket);
        return ValueTask.CompletedTask;
    }

    /// <summary>Takes over a connection of which somebody has read the first bytes.</summary>
    public void Admit(Socket socket, byte[] begun)
    {
        var door = begun.AsSpan().StartsWith("PRI"u8) ? _http2 : _http1;
        _ = door.AdmitAsync(socket, _contexts, begun).AsTask();
    }

    public void Dispose() => _contexts.Dispose();

    private async Task RecogniseAsync(Socket socket)
    {
        try
        {
            var door = _http1;
            try
            {
                var first = new byte[3];
                using var timeout = new CancellationTokenSource(FirstByteTimeout);
                var length = await socket.ReceiveAsync(first.AsMemory(), SocketFlags.Peek, timeout.Token).ConfigureAwait(false);
                if (length == 0)
                {
                    socket.Dispose();
                    return;
                }
                if (first.AsSpan().SequenceEqual("PRI"u8)) door = _http2;
            }
            finally
            {
                Interlocked.Decrement(ref _unknown);
            }
            await door.AdmitAsync(socket, _contexts).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            socket.Dispose(); // gone, or silent for too long
        }
    }

    private sealed record Guarded(PipeReader Input, PipeWriter Output) : IDuplexPipe;

    private sealed class DoorEndPoint(string name) : EndPoint
    {
        public override string ToString() => name;
    }

    private sealed class Door(string name, bool guarded) : IConnectionListener
    {
        private readonly Channel<ConnectionContext> _waiting = Channel.CreateBounded<ConnectionContext>(
            new BoundedChannelOptions(WaitingMax) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

        public EndPoint EndPoint { get; } = new DoorEndPoint(name);

        [SuppressMessage("Reliability", "CA2000", Justification = "Kestrel disposes the connections it accepts.")]
        public async ValueTask AdmitAsync(Socket socket, SocketConnectionContextFactory contexts, byte[]? begun = null)
        {
            ConnectionContext connection;
            try
            {
                socket.NoDelay = true;
                connection = contexts.Create(socket);
                if (begun is { Length: > 0 }) connection.Transport = new Guarded(new ReplayedInput(connection.Transport.Input, begun), connection.Transport.Output);
                if (guarded) Guard(connection);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                socket.Dispose();
                return;
            }
            try
            {
                await _waiting.Writer.WriteAsync(connection).ConfigureAwait(false);
            }
            catch (ChannelClosedException)
            {
                await connection.DisposeAsync().ConfigureAwait(false); // stopping
            }
        }

        private static void Guard(ConnectionContext connection)
        {
            var guard = new FramingGuard(connection.Transport.Input);
            connection.Features.Set(guard);
            connection.Transport = new Guarded(guard, connection.Transport.Output);
        }

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            try
            {
                return await _waiting.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (ChannelClosedException)
            {
                return null;
            }
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            _waiting.Writer.TryComplete();
            return ValueTask.CompletedTask;
        }

        public async ValueTask DisposeAsync()
        {
            _waiting.Writer.TryComplete();
            while (_waiting.Reader.TryRead(out var left)) await left.DisposeAsync().ConfigureAwait(false);
        }
    }
}
