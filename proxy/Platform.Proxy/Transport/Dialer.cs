using System.Net;
using System.Net.Sockets;

namespace Platform.Proxy.Transport;

/// <summary>A task's port could not be connected to; nothing has been sent.</summary>
internal sealed class ConnectFailedException(string message, Exception inner) : IOException(message, inner);

/// <summary>Opens connections to tasks, within a time.</summary>
internal static class Dialer
{
    /// <exception cref="ConnectFailedException">Refused, unreachable or too slow.</exception>
    public static async ValueTask<Socket> ConnectAsync(string host, int port, TimeSpan timeout, CancellationToken stopping)
    {
        var isAddress = IPAddress.TryParse(host, out var address);
        var socket = isAddress
            ? new Socket(address!.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
            : new Socket(SocketType.Stream, ProtocolType.Tcp);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        deadline.CancelAfter(timeout);
        try
        {
            socket.NoDelay = true;
            if (isAddress) await socket.ConnectAsync(new IPEndPoint(address!, port), deadline.Token).ConfigureAwait(false);
            else await socket.ConnectAsync(host, port, deadline.Token).ConfigureAwait(false);
            return socket;
        }
        catch (OperationCanceledException e) when (!stopping.IsCancellationRequested)
        {
            socket.Dispose();
            throw new ConnectFailedException($"no answer within {timeout.TotalSeconds:0.#} s", e);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new ConnectFailedException(e.SocketErrorCode == SocketError.ConnectionRefused ? "connection refused" : $"{e.SocketErrorCode}", e);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
