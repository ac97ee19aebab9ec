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

/// <summary>
/// The record set of one endpoint snapshot. A domain <c>marathon.mesos</c> is read as Mesos-DNS has it: its first label is the framework,
/// the rest is the zone we answer for with authority, so that apps are <c>web.marathon.mesos</c> and their node twins
/// <c>web.marathon.slave.mesos</c>. A domain of one label is a zone without a framework label. Whoever chooses <c>a.example.com</c> gives
/// us all of <c>example.com</c>: choose a zone of its own.
/// </summary>
public sealed class DnsZone
{
    /// <summary>
    /// One second: a client that honours it follows a deployment within a second (the draining proxy covers that second), and a client that
    /// asks in a tight loop through a cache still costs us one question a second. Zero is treated as "do not even share" by some resolvers.
    /// </summary>
    public const int InstanceTtlSeconds = 1;

    /// <summary>How long a "no" may be kept: the app that is missing now may be ready in the next second.</summary>
    public const int NegativeTtlSeconds = 1;

    /// <summary>The zone's own servers change only with its listeners.</summary>
    private const int ServerTtlSeconds = 60;

    private readonly DnsDomains _domains;
    private readonly DnsNameMap _names;
    private readonly ImmutableDictionary<AppId, DnsAppRecords> _apps;
    private readonly ImmutableArray<(string Name, DnsNode Node)> _servers;

    private DnsZone(DnsDomains domains, EndpointCursor cursor, DnsNameMap names, ImmutableDictionary<AppId, DnsAppRecords> apps, ImmutableArray<(string, DnsNode)> servers)
    {
        _domains = domains;
        Cursor = cursor;
        _names = names;
        _apps = apps;
        _servers = servers;
        Authority = Find(Apex)!.Of(DnsType.SOA)[0];
    }

    public string Apex => _domains.Apex;
    public EndpointCursor Cursor { get; }

    /// <summary>The apex's SOA, which goes with every "no".</summary>
    public DnsRecord Authority { get; }

    public int NameCount => _names.Count;

    /// <summary>A canonical (lower-case) name's records; null if it does not exist.</summary>
    public DnsNode? Find(ReadOnlySpan<char> name) => _names.Find(name)?.Node;

    /// <summary>The zone that a domain lies in: <c>mesos</c> for <c>marathon.mesos</c>.</summary>
    public static string ApexOf(string domain) => domain.IndexOf('.', StringComparison.Ordinal) is > 0 and var dot ? domain[(dot + 1)..] : domain;

    /// <summary>Lower case, no dot at either end, every label of 1 to 63 letters, digits and inner hyphens or underscores.</summary>
    public static bool TryParseDomain(string text, out string domain, out string? why)
    {
        domain = text.ToLowerInvariant().Trim('.');
        var ok = domain.Length is > 0 and <= 120 // leaves room for an app's name in front
            && domain.Split('.').All(x => x.Length is > 0 and <= DnsNames.LabelLengthMax && x[0] != '-' && x[^1] != '-'
                && x.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'));
        why = ok ? null : $"'{text}' is no domain: 1 to 120 characters, labels of letters, digits and inner hyphens, joined by dots";
        return ok;
    }

    /// <summary>The zone of a whole snapshot.</summary>
    public static DnsZone Build(EndpointSnapshot snapshot, string domain, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
    {
        var domains = DnsDomains.Of(domain);
        return Make(domains, snapshot, snapshot.Cursor, snapshot.Services.Keys, DnsNameMap.Empty, ImmutableDictionary<AppId, DnsAppRecords>.Empty, [],
            Servers(domains, snapshot, snapshot.Cursor, nameServers, schedulers));
    }

    /// <summary>This zone brought to a later snapshot of the same table. It costs what changed, not what is there.</summary>
    /// <param name="cursor">Where the zone then stands: all apps that changed up to it are among <paramref name="touched"/>.</param>
    public DnsZone Next(
        EndpointSnapshot snapshot, EndpointCursor cursor, IEnumerable<AppId> touched, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers) =>
        Make(_domains, snapshot, cursor, touched, _names, _apps, _servers, Servers(_domains, snapshot, cursor, nameServers, schedulers));

    /// <summary>As a zone file, sorted; for tests and for people.</summary>
    public override string ToString() => string.Join('\n', _names.Entries
        .OrderBy(x => string.Join('.', x.Name.Split('.').Reverse()), StringComparer.Ordinal)
        .SelectMany(x => x.Node.Sets.IsEmpty ? (IEnumerable<string>)[$"{x.Name}. ; empty"] : x.Node.Sets.SelectMany(s => s.Select(r => $"{x.Name}. {r}")).Order(StringComparer.Ordinal)));

    private static DnsZone Make(
        DnsDomains domains, EndpointSnapshot snapshot, EndpointCursor cursor, IEnumerable<AppId> touched, DnsNameMap names,
        ImmutableDictionary<AppId, DnsAppRecords> apps, ImmutableArray<(string Name, DnsNode Node)> serversBefore, ImmutableArray<(string Name, DnsNode Node)> servers)
    {
        var builder = names.ToBuilder();
        // What is new comes before what is old goes: a name that stays is never without its parts.
        foreach (var (name, node) in servers) builder.Add(name, node, domains.Apex);
        foreach (var (name, node) in serversBefore) builder.Remove(name, node, domains.Apex);
        var changed = apps.ToBuilder();
        foreach (var app in touched)
        {
            var before = apps.GetValueOrDefault(app);
            var after = snapshot.Services.TryGetValue(app, out var entry) ? DnsAppRecords.Of(entry, domains, before) : null;
            if (ReferenceEquals(before, after)) continue;
            foreach (var (name, node) in DnsAppRecords.Without(after, before)) builder.Add(name, node, domains.Apex);
            foreach (var (name, node) in DnsAppRecords.Without(before, after)) builder.Remove(name, node, domains.Apex);
            if (after is null) changed.Remove(app);
            else changed[app] = after;
        }
        return new DnsZone(domains, cursor, builder.ToMap(), changed.ToImmutable(), servers);
    }

    /// <summary>The names of the zone itself: its servers, the schedulers, the nodes, and the revision.</summary>
    private static ImmutableArray<(string Name, DnsNode Node)> Servers(
        DnsDomains domains, EndpointSnapshot snapshot, EndpointCursor cursor, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
    {
        var names = ImmutableArray.CreateBuilder<(string, DnsNode)>();
        var ns = $"ns1.{domains.Apex}";
        names.Add((domains.Apex, DnsNode
            .Of([DnsRecord.Authority(ns, $"root.{ns}", unchecked((uint)cursor.Revision), 60, 600, 86400, NegativeTtlSeconds, NegativeTtlSeconds)])
            .With(DnsNode.Of([DnsRecord.NameServer(ns, ServerTtlSeconds)]))));
        names.Add((ns, DnsNode.Addresses(nameServers.Select(x => DnsRecord.Address(x, ServerTtlSeconds)))));

        var leader = DnsNode.Addresses(schedulers.Leader is { } address ? [DnsRecord.Address(address, InstanceTtlSeconds)] : []);
        names.Add(($"leader.{domains.Apex}", leader));
        if (domains.Apps != domains.Apex) names.Add((domains.Apps, leader));
        if (schedulers.Leader is not null && schedulers.Port > 0)
            names.Add(($"_leader._tcp.{domains.Apex}", DnsNode.Of([DnsRecord.Service(schedulers.Port, $"leader.{domains.Apex}", InstanceTtlSeconds)])));
        names.Add(($"master.{domains.Apex}", DnsNode.Addresses(schedulers.All.Select(x => DnsRecord.Address(x, InstanceTtlSeconds)))));
        for (var i = 0; i < schedulers.All.Count; i++)
            names.Add((string.Create(CultureInfo.InvariantCulture, $"master{i}.{domains.Apex}"), DnsNode.Addresses([DnsRecord.Address(schedulers.All[i], InstanceTtlSeconds)])));
        names.Add(($"slave.{domains.Apex}", DnsNode.Addresses(snapshot.Nodes.Values
            .Select(x => IPAddress.TryParse(x.Address, out var node) ? node : null).OfType<IPAddress>().Select(x => DnsRecord.Address(x, InstanceTtlSeconds)))));

        // A prober learns from it which revision this server answers from.
        names.Add(($"revision.{domains.Apps}", DnsNode.Of([DnsRecord.Text(InstanceTtlSeconds, cursor.Revision.ToString(CultureInfo.InvariantCulture), cursor.Epoch)])));
        // And how old its knowledge may be.
        if (schedulers.SilentSeconds is { } silent)
            names.Add(($"age.{domains.Apps}", DnsNode.Of([DnsRecord.Text(InstanceTtlSeconds, silent.ToString(CultureInfo.InvariantCulture))])));
        return names.ToImmutable();
    }
}
