using System.Buffers;
using System.Net;
using System.Net.Sockets;

namespace Platform.Proxy.Transport;

/// <summary>Copies bytes both ways between two sockets until both sides have ended.</summary>
/// <remarks>
/// Each direction reads only what the other side has taken, so a slow reader slows its peer and not our memory. A buffer is held only while
/// bytes are under way: an idle connection costs none. The end of one direction is passed on and leaves the other one open.
/// </remarks>
internal sealed class TcpRelay(Socket client, Socket server, TimeProvider time)
{
    private const int BufferBytes = 64 * 1024;
    private static readonly TimeSpan KeepAliveAfter = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan HalfClosedIdleMax = TimeSpan.FromMinutes(5);

    private long _bytes;

    public async Task RunAsync()
    {
        KeepAlive(client);
        KeepAlive(server);
        var there = PumpAsync(client, server);
        var back = PumpAsync(server, client);
        var first = await Task.WhenAny(there, back).ConfigureAwait(false);
        var second = ReferenceEquals(first, there) ? back : there;
        await BoundHalfClosedAsync(second).ConfigureAwait(false);
        await Task.WhenAll(there, back).ConfigureAwait(false);
    }

    /// <summary>Both ends see a reset.</summary>
    public void Abort()
    {
        Reset(client);
        Reset(server);
    }

    public static void Reset(Socket socket)
    {
        try
        {
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // it is gone already
        }
        socket.Dispose();
    }

    private async Task PumpAsync(Socket from, Socket to)
    {
        try
        {
            while (true)
            {
                await from.ReceiveAsync(Memory<byte>.Empty).ConfigureAwait(false); // wait for data before renting a buffer
                var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
                try
                {
                    int read;
                    do
                    {
                        read = await from.ReceiveAsync(buffer.AsMemory()).ConfigureAwait(false);
                        if (read == 0)
                        {
                            to.Shutdown(SocketShutdown.Send);
                            return;
                        }
                        for (var sent = 0; sent < read;) sent += await to.SendAsync(buffer.AsMemory(sent, read - sent)).ConfigureAwait(false);
                        Interlocked.Add(ref _bytes, read);
                    }
                    while (read == buffer.Length);
                }
                finally
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Abort(); // a broken side breaks the other too, so that neither waits for ever
        }
    }

    /// <summary>One side has ended and the other may never do so: such a connection is given up when nothing moves any more.</summary>
    private async Task BoundHalfClosedAsync(Task remaining)
    {
        while (true)
        {
            var before = Interlocked.Read(ref _bytes);
            try
            {
                await remaining.WaitAsync(HalfClosedIdleMax, time).ConfigureAwait(false);
                return;
            }
            catch (TimeoutException)
            {
                if (Interlocked.Read(ref _bytes) == before) Abort();
            }
        }
    }

    private static void KeepAlive(Socket socket)
    {
        try
        {
            socket.NoDelay = true;
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, (int)KeepAliveAfter.TotalSeconds);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // the pumps will find out
        }
    }
}
