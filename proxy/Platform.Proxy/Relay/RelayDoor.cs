using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Platform.Proxy.Routing;
using Platform.Proxy.Transport;

namespace Platform.Proxy.Relay;

/// <summary>
/// Client connections. Plain HTTP/1.1 requests and everything in tcp mode are relayed here, by a few threads with an event loop each; the first request of a
/// connection that is anything else takes the connection along to Kestrel and YARP, before a byte of it was forwarded, and there it stays.
/// </summary>
internal sealed class RelayDoor
{
    private readonly RelayLoop[] _loops;
    private readonly int _connectionsMax;
    private int _connections;
    private uint _next;

    public RelayDoor(LiveRoutes routes, EdgeProxyOptions options, Action<Socket, byte[]> handOver, Action<Socket, int> leaveTcp, ILogger logger)
    {
        _connectionsMax = options.ConnectionsMax;
        _loops = [.. Enumerable.Range(0, options.RelayThreads).Select(_ =>
            new RelayLoop(routes, options, handOver, leaveTcp, () => Interlocked.Decrement(ref _connections), logger))];
    }

    /// <summary>Off: every connection is Kestrel's from its start.</summary>
    public bool IsOff => _loops.Length == 0;

    /// <summary>Connections that are here now.</summary>
    public int Connections => Volatile.Read(ref _connections);

    public void Start()
    {
        for (var i = 0; i < _loops.Length; i++) _loops[i].Start(i);
    }

    public void Admit(Socket socket, int port, PortMode mode)
    {
        if (Interlocked.Increment(ref _connections) > _connectionsMax)
        {
            Interlocked.Decrement(ref _connections);
            TcpRelay.Reset(socket);
            return;
        }
        _loops[Interlocked.Increment(ref _next) % (uint)_loops.Length].Admit(socket, port, mode);
    }

    public Task StopAsync(CancellationToken hurry) => Task.WhenAll(_loops.Select(x => x.StopAsync(hurry)));
}
