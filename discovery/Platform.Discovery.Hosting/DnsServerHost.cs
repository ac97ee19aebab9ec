using System.Collections.Immutable;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// The DNS view: answers for the cluster's zone with authority, from the endpoint table alone, and forwards every other name for clients
/// that are near. It listens where it is told, one address after another; the bridge's gateway is only known once the agent has made it.
/// </summary>
public sealed partial class DnsServerHost : IDnsFront, IDisposable
{
    public const string ViewName = "dns";

    private static readonly TimeSpan SilenceLook = TimeSpan.FromSeconds(1);

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly DnsOptions _options;
    private readonly ILogger _logger;
    private readonly LocalNetworks _near = new();
    private readonly DnsForwarder _forwarder;
    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _changing = new();
    private readonly string _apex;
    private readonly TimeProvider _time;
    private ImmutableArray<(DnsUdpDoor Udp, DnsTcpDoor Tcp)> _doors = [];
    private DnsSchedulers _schedulers;
    private volatile DnsZone? _zone;
    private uint _turn;
    private int _forwards;
    private long _queries;
    private long _forwarded;
    private long _refusedForwards;

    public DnsServerHost(EndpointFeed feed, NodeViews views, DnsOptions options, ILoggerFactory loggers, TimeProvider? time = null)
    {
        _feed = feed;
        _views = views;
        _options = options;
        _logger = loggers.CreateLogger<DnsServerHost>();
        _apex = DnsZone.ApexOf(options.Domain);
        _schedulers = options.Schedulers;
        _time = time ?? TimeProvider.System;
        _forwarder = new DnsForwarder(options, IsOurs, _time, loggers.CreateLogger<DnsForwarder>());
        views.Expect(ViewName);
    }

    /// <summary>Where it listens now.</summary>
    public IReadOnlyList<IPEndPoint> Listeners => [.. _doors.Select(x => x.Udp.EndPoint)];

    /// <summary>Queries answered or passed on, those passed on, and those turned away because too many were waiting.</summary>
    public (long Queries, long Forwarded, long TurnedAway) Counts => (Volatile.Read(ref _queries), Volatile.Read(ref _forwarded), Volatile.Read(ref _refusedForwards));

    /// <summary>The zone now served, as text; null before the first table.</summary>
    public string? ZoneText => _zone?.ToString();

    /// <summary>
    /// Listens on one more address, UDP and TCP on the same port. Listening there already is success. The wildcard address means every
    /// address this machine has, each on a socket of its own, so that an answer leaves from the address that was asked.
    /// </summary>
    public ListenResult AddListener(IPEndPoint endPoint)
    {
        lock (_changing)
        {
            var any = endPoint.Address.Equals(IPAddress.Any) || endPoint.Address.Equals(IPAddress.IPv6Any);
            var addresses = any ? LocalNetworks.OwnAddresses(endPoint.AddressFamily).ToArray() : [endPoint.Address];
            var port = endPoint.Port;
            foreach (var address in addresses)
            {
                if (port != 0 && _doors.Any(x => x.Udp.EndPoint.Equals(new IPEndPoint(address, port)))) continue;
                if (Open(new IPEndPoint(address, port)) is ListenResult.Refused refused) return refused;
                port = _doors[^1].Udp.EndPoint.Port;
            }
            _near.Refresh();
            Refresh();
            return new ListenResult.Listening(new IPEndPoint(endPoint.Address, port));
        }
    }

    /// <summary>Tells who leads; the names <c>leader.</c> and <c>master.</c> follow.</summary>
    public void SetSchedulers(DnsSchedulers schedulers)
    {
        lock (_changing)
        {
            _schedulers = schedulers with { SilentSeconds = _schedulers.SilentSeconds };
            Refresh();
        }
    }

    /// <summary>Follows the table until told to stop, then closes the doors.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var telling = TellSilenceAsync(stopping);
        try
        {
            await foreach (var update in _feed.WatchAsync(EndpointCursor.Start, stopping).ConfigureAwait(false))
            {
                lock (_changing) Follow(update);
                _views.Served(ViewName, _zone!.Cursor);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            Dispose();
        }
        await telling.ConfigureAwait(false);
    }

    /// <summary>While a scheduler is heard this is a look each second and nothing more.</summary>
    private async Task TellSilenceAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            var silent = (long?)_views.Silence()?.TotalSeconds;
            lock (_changing)
                if (silent != _schedulers.SilentSeconds)
                {
                    _schedulers = _schedulers with { SilentSeconds = silent };
                    Refresh();
                }
            await Task.Delay(SilenceLook, _time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    public void Dispose()
    {
        _closing.Cancel();
        lock (_changing)
        {
            foreach (var (udp, tcp) in _doors)
            {
                udp.Dispose();
                tcp.Dispose();
            }
            _doors = [];
        }
    }

    DnsVerdict IDnsFront.Answer(ReadOnlySpan<byte> packet, bool tcp, UInt128 client, Span<byte> reply)
    {
        Span<char> buffer = stackalloc char[DnsWire.NameMax];
        if (!DnsWire.TryParse(packet, buffer, out var query)) return DnsVerdict.Silence;
        Interlocked.Increment(ref _queries);
        ReadOnlySpan<char> name = buffer[..query.NameLength];
        var zone = _zone;
        DnsAnswer answer;
        var near = false;
        if (query.Problem is { } problem) answer = new DnsAnswer(problem);
        else if (DnsNames.IsWithin(name, _apex))
        {
            near = query.RecursionDesired && _near.Contains(client);
            // "I do not know yet" is not "there is no such name": the latter would be remembered by the asker.
            answer = zone is null ? DnsAnswer.ServFail : DnsAnswers.Of(zone, name, query.Type, query.Class, Interlocked.Increment(ref _turn));
        }
        else
        {
            near = _near.Contains(client);
            var forwardable = near && query is { RecursionDesired: true, Class: 1 } && (DnsType)query.Type is not (DnsType.AXFR or DnsType.IXFR);
            if (forwardable && TryForward(name)) return new DnsVerdict(0, new DnsForward(query, name.ToString()));
            answer = forwardable ? DnsAnswer.ServFail : DnsAnswer.Refused;
        }
        return new DnsVerdict(DnsWire.Encode(packet, query, answer, _apex.Length, near, tcp, reply), null);
    }

    private bool TryForward(ReadOnlySpan<char> name)
    {
        if (Interlocked.Increment(ref _forwards) <= _options.ForwardsMax) return true;
        Interlocked.Decrement(ref _forwards);
        if (Interlocked.Increment(ref _refusedForwards) % 1000 == 1) TooManyForwards(name.ToString(), _options.ForwardsMax);
        return false;
    }

    async ValueTask<int> IDnsFront.ForwardAsync(byte[] packet, DnsForward forward, bool tcp, Memory<byte> reply)
    {
        try
        {
            Interlocked.Increment(ref _forwarded);
            var question = packet.AsMemory(DnsWire.HeaderLength, forward.Query.QuestionLength);
            return await _forwarder.ResolveAsync(forward, question, _closing.Token).ConfigureAwait(false) is { } found
                ? DnsWire.Relay(found.Reply.Message, found.Reply.Skeleton, found.AgeSeconds, packet, forward.Query, tcp, reply.Span)
                : DnsWire.Encode(packet, forward.Query, DnsAnswer.ServFail, 0, true, tcp, reply.Span);
        }
        finally
        {
            Interlocked.Decrement(ref _forwards);
        }
    }

    void IDnsFront.PacketFailed(IPEndPoint door, Exception why) => PacketLost(door, why.Message);

    private ListenResult Open(IPEndPoint endPoint)
    {
        // TCP first: with port 0 its port is the scarcer one, and the UDP half then asks for the same number. Somebody may hold that one.
        for (var tries = endPoint.Port == 0 ? 16 : 1; ; tries--)
        {
            DnsTcpDoor? tcp = null;
            try
            {
                tcp = new DnsTcpDoor(endPoint, _options, this);
                var udp = new DnsUdpDoor(tcp.EndPoint, this);
                _doors = _doors.Add((udp, tcp));
                Listening(udp.EndPoint);
                return new ListenResult.Listening(udp.EndPoint);
            }
            catch (SocketException e)
            {
                tcp?.Dispose();
                if (e.SocketErrorCode == SocketError.AddressAlreadyInUse && tries > 1) continue;
                return new ListenResult.Refused(endPoint, e.SocketErrorCode, Why(endPoint, e));
            }
        }
    }

    private static string Why(IPEndPoint endPoint, SocketException e) => e.SocketErrorCode switch
    {
        SocketError.AddressAlreadyInUse => $"cannot listen on {endPoint}: another program uses this port (a DNS server of this machine?)",
        SocketError.AccessDenied => $"cannot listen on {endPoint}: ports below 1024 need root or CAP_NET_BIND_SERVICE",
        SocketError.AddressNotAvailable => $"cannot listen on {endPoint}: this machine has no such address",
        _ => $"cannot listen on {endPoint}: {e.Message}",
    };

    /// <summary>The table may be ahead of the update by now: the zone then shows the newer entries of the apps concerned, under the older revision.</summary>
    private void Follow(EndpointUpdate update)
    {
        var snapshot = _feed.Current;
        var follows = _zone is { } before && !update.Complete && update.Epoch == before.Cursor.Epoch && snapshot.Cursor.Epoch == update.Epoch;
        _zone = follows
            ? _zone!.Next(snapshot, new EndpointCursor(update.Epoch, update.To), update.TouchedApps(), NameServers(), _schedulers)
            : DnsZone.Build(snapshot, _options.Domain, NameServers(), _schedulers);
    }

    /// <summary>The names of the servers themselves have changed.</summary>
    private void Refresh()
    {
        if (_zone is { } zone) _zone = zone.Next(_feed.Current, zone.Cursor, [], NameServers(), _schedulers);
    }

    private EquatableArray<IPAddress> NameServers() => _doors.Select(x => x.Udp.EndPoint.Address).Distinct().ToEquatableArray();

    private bool IsOurs(IPEndPoint server) => _doors.Any(x => x.Udp.EndPoint.Equals(server));

    [LoggerMessage(5001, LogLevel.Information, "DNS listens on {EndPoint}, UDP and TCP")]
    private partial void Listening(IPEndPoint endPoint);

    [LoggerMessage(5002, LogLevel.Warning, "Too many questions wait for upstream servers (limit {Limit}); turned {Name} away")]
    private partial void TooManyForwards(string name, int limit);

    [LoggerMessage(5003, LogLevel.Debug, "DNS at {Door} lost a packet: {Why}")]
    private partial void PacketLost(IPEndPoint door, string why);
}
