using System.Net;
using System.Net.Sockets;

namespace Platform.Proxy;

/// <summary>How a node's edge proxy is set up.</summary>
public sealed record EdgeProxyOptions
{
    /// <summary>The edge door: where host names are routed. Port 0 takes a free one. Service ports listen on the same address.</summary>
    public required IPEndPoint EdgeEndPoint { get; init; }

    /// <summary>A second address for the edge port and all service ports; more can follow (<see cref="EdgeProxy.AddAddress"/>).</summary>
    public IPAddress? NodeAddress { get; init; }

    /// <summary>The cluster's DNS domain, from which apps' own host names are made.</summary>
    public required string Domain { get; init; }

    /// <summary>How long <see cref="EdgeProxy.StopAsync"/> lets requests and relays finish.</summary>
    public TimeSpan StopGrace { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a task may take to accept a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a client may take for the head of a request, from its first byte on.</summary>
    public TimeSpan RequestHeadTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long an ordinary exchange may be silent, both ways, before it is given up.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(100);

    /// <summary>The same for WebSockets, event streams and gRPC, whose silence is normal.</summary>
    public TimeSpan StreamIdleTimeout { get; init; } = TimeSpan.FromHours(1);

    /// <summary>
    /// How long a connection to a task is kept for the next request. With the second that it may take to be noticed, below the idle timeouts of
    /// common servers (5 s), so that it is we who close.
    /// </summary>
    public TimeSpan PooledConnectionIdleTimeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>Client connections open at one time; further ones are closed at once.</summary>
    public int ConnectionsMax { get; init; } = 50_000;

    /// <summary>Threads that relay plain HTTP/1.1 requests; 0 leaves all of them to Kestrel and YARP.</summary>
    public int RelayThreads { get; init; } = Math.Clamp(Environment.ProcessorCount, 1, 8);

    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>The edge door could not be opened.</summary>
public sealed record BindFailure(IPEndPoint EndPoint, SocketError Error)
{
    /// <summary>Ends a sentence that begins with the endpoint.</summary>
    public string Reason => Error switch
    {
        SocketError.AddressAlreadyInUse => "is taken by another program",
        SocketError.AccessDenied => "is forbidden: ports below 1024 need root or CAP_NET_BIND_SERVICE",
        SocketError.AddressNotAvailable => "is not an address of this machine",
        _ => $"cannot be listened on ({Error})",
    };
}
