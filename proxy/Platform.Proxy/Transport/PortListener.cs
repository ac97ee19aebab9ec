using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Platform.Proxy.Transport;

/// <summary>One listening socket and the loop that accepts from it.</summary>
internal sealed partial class PortListener : IDisposable
{
    private const int Backlog = 4096;
    private static readonly TimeSpan ExhaustedPause = TimeSpan.FromMilliseconds(100);

    private readonly Socket _socket;
    private readonly Func<Socket, int, ValueTask> _accepted;
    private readonly ILogger _logger;

    private PortListener(Socket socket, Func<Socket, int, ValueTask> accepted, ILogger logger)
    {
        (_socket, _accepted, _logger) = (socket, accepted, logger);
        EndPoint = (IPEndPoint)socket.LocalEndPoint!;
    }

    public IPEndPoint EndPoint { get; }

    /// <param name="accepted">Gets each connection and the port it came to; while it waits, no further connection is accepted here.</param>
    public static (PortListener? Listener, SocketError Error) TryOpen(IPEndPoint endPoint, Func<Socket, int, ValueTask> accepted, ILogger logger)
    {
        Socket? socket = null;
        try
        {
            socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            if (endPoint.Address.Equals(IPAddress.IPv6Any)) socket.DualMode = true;
            socket.Bind(endPoint);
            socket.Listen(Backlog);
            var listener = new PortListener(socket, accepted, logger);
            _ = listener.AcceptLoopAsync();
            return (listener, SocketError.Success);
        }
        catch (SocketException e)
        {
            socket?.Dispose();
            return (null, e.SocketErrorCode);
        }
    }

    /// <summary>Connections that were accepted before stay.</summary>
    public void Dispose() => _socket.Dispose();

    private async Task AcceptLoopAsync()
    {
        var exhausted = false;
        while (true)
        {
            try
            {
                var connection = await _socket.AcceptAsync().ConfigureAwait(false);
                exhausted = false;
                await _accepted(connection, EndPoint.Port).ConfigureAwait(false);
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.OperationAborted)
            {
                return;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
            {
                // The kernel keeps the connection in its backlog; accepting at once again would only spin.
                if (!exhausted) Exhausted(_logger, EndPoint, e.SocketErrorCode);
                exhausted = true;
                await Task.Delay(ExhaustedPause).ConfigureAwait(false);
            }
            catch (SocketException)
            {
                // the client left while it waited in the backlog
            }
        }
    }

    [LoggerMessage(5001, LogLevel.Error, "Cannot accept connections on {EndPoint}: {Error}; trying on")]
    private static partial void Exhausted(ILogger logger, IPEndPoint endPoint, SocketError error);
}
