using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>The schedulers as DNS names them: <c>leader.</c> and <c>master.</c>.</summary>
public sealed record DnsSchedulers(IPAddress? Leader, EquatableArray<IPAddress> All, int Port)
{
    public static readonly DnsSchedulers None = new(null, default, 0);

    /// <summary>For how long this node has heard none of them; null: it never did.</summary>
    public long? SilentSeconds { get; init; }
}

/// <summary>The names of the zones themselves: their servers, the schedulers, the revision, and the nodes.</summary>
internal sealed class DnsServerNames
{
    /// <summary>The zones' own servers change only with their listeners.</summary>
    private const int ServerTtlSeconds = 60;

    private readonly (EquatableArray<IPAddress> NameServers, DnsSchedulers Schedulers, ImmutableSortedDictionary<NodeId, NodeAddress> Nodes) _madeOf;

    private DnsServerNames(
        ImmutableArray<(string, DnsNode)> dated, ImmutableArray<(string, DnsNode)> @fixed, ImmutableArray<(string, DnsNode)> ofNodes,
        (EquatableArray<IPAddress>, DnsSchedulers, ImmutableSortedDictionary<NodeId, NodeAddress>) madeOf) => (Parts, _madeOf) = ([dated, @fixed, ofNodes], madeOf);

    /// <summary>Those that say the revision, made anew with each; those of servers and schedulers; those of nodes: the same array as long as nothing changed.</summary>
    public ImmutableArray<ImmutableArray<(string Name, DnsNode Node)>> Parts { get; }

    public static DnsServerNames Of(
        DnsDomains domains, EndpointSnapshot snapshot, EndpointCursor cursor, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers, DnsServerNames? before)
    {
        var sameServers = before is not null && before._madeOf.NameServers == nameServers && before._madeOf.Schedulers == schedulers;
        var sameNodes = before is not null && ReferenceEquals(before._madeOf.Nodes, snapshot.Nodes);
        return new DnsServerNames(
            Dated(domains, cursor), sameServers ? before!.Parts[1] : Fixed(domains, nameServers, schedulers),
            sameNodes ? before!.Parts[2] : Nodes(domains, snapshot.Nodes.Values), (nameServers, schedulers, snapshot.Nodes));
    }

    private static ImmutableArray<(string, DnsNode)> Dated(DnsDomains domains, EndpointCursor cursor)
    {
        // A prober learns from it which revision this server answers from.
        var revision = DnsRecord.Text(DnsZone.InstanceTtlSeconds, cursor.Revision.ToString(CultureInfo.InvariantCulture), cursor.Epoch);
        var names = ImmutableArray.Create(($"revision.{domains.Apps}", DnsNode.Of([revision])), (domains.Apex, Apex(domains.Apex, cursor)));
        return domains.Consul is { } consul ? names.Add((consul, Apex(consul, cursor))) : names;
    }

    private static ImmutableArray<(string, DnsNode)> Fixed(DnsDomains domains, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
    {
        var names = ImmutableArray.CreateBuilder<(string, DnsNode)>();
        var servers = DnsNode.Addresses(nameServers.Select(x => DnsRecord.Address(x, ServerTtlSeconds)));
        names.Add(($"ns1.{domains.Apex}", servers));
        if (domains.Consul is { } consul)
        {
            names.Add(($"ns1.{consul}", servers));
            foreach (var kind in new[] { domains.Services, domains.Machines, domains.Addresses }) names.Add((kind, DnsNode.Empty)); // there, however little is in them
        }
        foreach (var alias in domains.Aliases) names.Add((alias.Suffix, DnsNode.Empty));
        AddSchedulers(names, domains, schedulers);
        // How old this server's knowledge may be.
        if (schedulers.SilentSeconds is { } silent)
            names.Add(($"age.{domains.Apps}", DnsNode.Of([DnsRecord.Text(DnsZone.InstanceTtlSeconds, silent.ToString(CultureInfo.InvariantCulture))])));
        return names.ToImmutable();
    }

    /// <summary>The start of authority, for zones that are not in the map: each reverse name is one of its own.</summary>
    public static DnsNode Apex(string zone, EndpointCursor cursor)
    {
        var server = $"ns1.{zone}";
        return DnsNode
            .Of([DnsRecord.Authority(server, $"root.{server}", DnsZone.SerialOf(cursor), 60, 600, 86400, DnsZone.NegativeTtlSeconds, DnsZone.NegativeTtlSeconds)])
            .With(DnsNode.Of([DnsRecord.NameServer(server, ServerTtlSeconds)]));
    }

    private static void AddSchedulers(ImmutableArray<(string, DnsNode)>.Builder names, DnsDomains domains, DnsSchedulers schedulers)
    {
        var (apex, ttl) = (domains.Apex, DnsZone.InstanceTtlSeconds);
        var leader = DnsNode.Addresses(schedulers.Leader is { } address ? [DnsRecord.Address(address, ttl)] : []);
        names.Add(($"leader.{apex}", leader));
        if (domains.Apps != apex) names.Add((domains.Apps, leader));
        if (schedulers.Leader is not null && schedulers.Port > 0)
        {
            var service = DnsNode.Of([DnsRecord.Service(schedulers.Port, $"leader.{apex}", ttl)]);
            foreach (var protocol in new[] { "tcp", "udp" }) names.Add(($"_leader._{protocol}.{apex}", service)); // Mesos-DNS has both
            if (domains.Apps != apex) names.Add(($"_framework._tcp.{domains.Apps}", service));
        }
        names.Add(($"master.{apex}", DnsNode.Addresses(schedulers.All.Select(x => DnsRecord.Address(x, ttl)))));
        for (var i = 0; i < schedulers.All.Count; i++)
            names.Add((string.Create(CultureInfo.InvariantCulture, $"master{i}.{apex}"), DnsNode.Addresses([DnsRecord.Address(schedulers.All[i], ttl)])));
    }

    private static ImmutableArray<(string, DnsNode)> Nodes(DnsDomains domains, IEnumerable<NodeAddress> nodes)
    {
        var known = nodes.Select(x => (x.Node, Address: IPAddress.TryParse(x.Address, out var address) ? address : null)).Where(x => x.Address is not null)
            .Select(x => (x.Node, x.Address, Record: DnsRecord.Address(x.Address!, DnsZone.InstanceTtlSeconds))).ToList();
        var names = ImmutableArray.CreateBuilder<(string, DnsNode)>();
        names.Add(($"slave.{domains.Apex}", DnsNode.Addresses(known.Select(x => x.Record))));
        if (domains.Consul is null) return names.ToImmutable(); // and a node has no name of its own
        foreach (var (node, address, record) in known)
        {
            var name = $"{DnsNames.Label(node.Name)}.{domains.Machines}";
            names.Add((name, DnsNode.Of([record])));
            if (DnsRecord.ReverseName(address!) is { } reverse) names.Add((reverse, DnsNode.Of([DnsRecord.Pointer(name, DnsZone.InstanceTtlSeconds)])));
        }
        return names.ToImmutable();
    }
}
