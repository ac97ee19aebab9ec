using System.Net;
using Platform.Model;

namespace Platform.Discovery.Hosting;

public sealed record DnsOptions
{
    public required DnsNaming Naming { get; init; }

    /// <summary>Who is asked for names outside the zone; empty means the machine's own resolvers.</summary>
    public EquatableArray<IPEndPoint> Upstreams { get; init; }

    /// <summary>Who is asked for the names of certain zones instead; the closest zone counts.</summary>
    public EquatableArray<DnsZoneResolvers> ZoneUpstreams { get; init; }

    /// <summary>Who may ask for names outside the zone, beside this machine and the private networks it is in.</summary>
    public EquatableArray<IPNetwork> RecursionFor { get; init; }

    /// <summary>Where the machine's resolvers are written down; read again when it changes.</summary>
    public string ResolverFile { get; init; } = "/etc/resolv.conf";

    /// <summary>From the question to SERVFAIL, all upstreams together.</summary>
    public TimeSpan UpstreamTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How many clients may wait for an upstream at once; more are told SERVFAIL.</summary>
    public int ForwardsMax { get; init; } = 1000;

    /// <summary>Questions to upstreams under way at once, each with a socket; further ones wait within their time.</summary>
    public int UpstreamExchangesMax { get; init; } = 256;

    /// <summary>How old an answer may be that is given because no upstream answers.</summary>
    public TimeSpan StaleMax { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Answers of upstreams that are kept; the oldest goes first.</summary>
    public int CacheEntriesMax { get; init; } = 8192;

    public int TcpConnectionsMax { get; init; } = 1000;
    public int TcpConnectionsPerClientMax { get; init; } = 100;
    public TimeSpan TcpIdle { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Who may copy our zones; by default nobody.</summary>
    public DnsSecondaries Secondaries { get; init; } = DnsSecondaries.None;

    /// <summary>Answers over UDP a second for a network that this machine is not in; 0 = as many as it asks for.</summary>
    public int StrangersAnswersPerSecond { get; init; } = 200;

    /// <summary>Zone transfers at once.</summary>
    public int TransfersMax { get; init; } = 4;

    public DnsSchedulers Schedulers { get; init; } = DnsSchedulers.None;
}

/// <summary>What became of opening a door: where it listens, or why it cannot. The program puts the flag's name in front of <c>Why</c>.</summary>
public abstract record ListenResult
{
    private ListenResult() { }

    public sealed record Listening(IPEndPoint EndPoint) : ListenResult;
    public sealed record Refused(IPEndPoint EndPoint, System.Net.Sockets.SocketError Error, string Why) : ListenResult;
}
