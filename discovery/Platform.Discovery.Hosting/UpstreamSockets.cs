using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Platform.Discovery.Hosting;

/// <summary>
/// Sockets towards the servers that are asked, one question on each at a time. Each has a port of its own, drawn anew, is connected, so that
/// only that server is heard, and is given up after a few questions: whoever would guess an answer has to guess the port as well.
/// </summary>
internal sealed class UpstreamSockets : IDisposable
{
    private const int IdlePerServerMax = 64;
    private const int QuestionsMax = 8;
    private static readonly TimeSpan IdleMax = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<IPEndPoint, ConcurrentStack<Pooled>> _idle = new();
    private volatile bool _closed;

    /// <param name="At">When it was last used.</param>
    private sealed record Pooled(Socket Socket, int Questions, long At);

    internal sealed class Lease(UpstreamSockets pool, IPEndPoint server, Socket socket, int questions) : IDisposable
    {
        private bool _keep;

        public Socket Socket => socket;

        /// <summary>The question was answered, and nothing else is on its way: the socket may be used again.</summary>
        public void Keep() => _keep = true;

        public void Dispose()
        {
            if (_keep) pool.Return(server, socket, questions + 1);
            else socket.Dispose();
        }
    }

    public Lease Take(IPEndPoint server)
    {
        if (_idle.TryGetValue(server, out var idle))
            while (idle.TryPop(out var pooled))
            {
                // One on which something has arrived that nobody waits for has been found by somebody.
                if (Environment.TickCount64 - pooled.At < IdleMax.TotalMilliseconds && pooled.Socket.Available == 0) return new Lease(this, server, pooled.Socket, pooled.Questions);
                pooled.Socket.Dispose();
            }
        return new Lease(this, server, Open(server), 0);
    }

    public void Dispose()
    {
        _closed = true;
        foreach (var idle in _idle.Values)
            while (idle.TryPop(out var pooled)) pooled.Socket.Dispose();
    }

    private void Return(IPEndPoint server, Socket socket, int questions)
    {
        var idle = _idle.GetOrAdd(server, _ => new ConcurrentStack<Pooled>());
        if (_closed || questions >= QuestionsMax || idle.Count >= IdlePerServerMax) socket.Dispose();
        else idle.Push(new Pooled(socket, questions, Environment.TickCount64));
    }

    /// <summary>The kernel draws the port at random from its own range, in which no task and no service has one: a port of theirs must not be taken.</summary>
    private static Socket Open(IPEndPoint server)
    {
        var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            socket.Connect(server);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
