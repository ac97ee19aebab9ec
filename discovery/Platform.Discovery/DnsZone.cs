using System.Globalization;
using System.Net;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>The schedulers as DNS names them: <c>leader.</c> and <c>master.</c>.</summary>
public sealed record DnsSchedulers(IPAddress? Leader, EquatableArray<IPAddress> All, int Port)
{
    public static readonly DnsSchedulers None = new(null, default, 0);
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

    private readonly Dictionary<string, DnsNode> _nodes;
    private readonly Dictionary<string, DnsNode>.AlternateLookup<ReadOnlySpan<char>> _bySpan;

    private readonly DnsDomains _domains;
    private readonly Dictionary<AppId, DnsAppRecords> _apps;

    private DnsZone(DnsDomains domains, EndpointCursor cursor, Dictionary<string, DnsNode> nodes, Dictionary<AppId, DnsAppRecords> apps)
    {
        _domains = domains;
        _apps = apps;
        Cursor = cursor;
        _nodes = nodes;
        _bySpan = nodes.GetAlternateLookup<ReadOnlySpan<char>>();
        Authority = nodes[Apex].Of(DnsType.SOA)[0];
    }

    public string Apex => _domains.Apex;
    public EndpointCursor Cursor { get; }

    /// <summary>The apex's SOA, which goes with every "no".</summary>
    public DnsRecord Authority { get; }

    public int NameCount => _nodes.Count;

    /// <summary>A canonical (lower-case) name's records; null if it does not exist.</summary>
    public DnsNode? Find(ReadOnlySpan<char> name) => _bySpan.TryGetValue(name, out var node) ? node : null;

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

    /// <param name="before">An earlier zone of the same domain, whose unchanged apps are taken over.</param>
    public static DnsZone Build(
        EndpointSnapshot snapshot, string domain, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers, DnsZone? before = null)
    {
        var domains = DnsDomains.Of(domain);
        return new Builder(domains, before?._domains == domains ? before._apps : null).Build(snapshot, nameServers, schedulers);
    }

    /// <summary>As a zone file, sorted; for tests and for people.</summary>
    public override string ToString() => string.Join('\n', _nodes
        .OrderBy(x => string.Join('.', x.Key.Split('.').Reverse()), StringComparer.Ordinal)
        .SelectMany(x => x.Value.Sets.IsEmpty ? [$"{x.Key}. ; empty"] : x.Value.Sets.SelectMany(s => s.Select(r => $"{x.Key}. {r}"))));

    private sealed class Builder(DnsDomains domains, Dictionary<AppId, DnsAppRecords>? before)
    {
        private readonly Dictionary<string, DnsNode> _nodes = new(before?.Count * 40 ?? 64, StringComparer.Ordinal);

        public DnsZone Build(EndpointSnapshot snapshot, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
        {
            AddServers(snapshot, nameServers, schedulers);
            var apps = new Dictionary<AppId, DnsAppRecords>(snapshot.Services.Count);
            foreach (var (app, entry) in snapshot.Services)
            {
                var records = DnsAppRecords.Of(entry, domains, before?.GetValueOrDefault(app));
                apps[app] = records;
                foreach (var (name, node) in records.Names) Add(name, node);
            }
            return new DnsZone(domains, snapshot.Cursor, _nodes, apps);
        }

        private void AddServers(EndpointSnapshot snapshot, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
        {
            var ns = $"ns1.{domains.Apex}";
            _nodes[domains.Apex] = DnsNode
                .Of([DnsRecord.Authority(ns, $"root.{ns}", unchecked((uint)snapshot.Revision), 60, 600, 86400, NegativeTtlSeconds, NegativeTtlSeconds)])
                .With(DnsNode.Of([DnsRecord.NameServer(ns, ServerTtlSeconds)]));
            Add(ns, DnsNode.Addresses(nameServers.Select(x => DnsRecord.Address(x, ServerTtlSeconds))));

            var leader = DnsNode.Addresses(schedulers.Leader is { } address ? [DnsRecord.Address(address, InstanceTtlSeconds)] : []);
            Add($"leader.{domains.Apex}", leader);
            if (domains.Apps != domains.Apex) Add(domains.Apps, leader);
            if (schedulers.Leader is not null && schedulers.Port > 0)
                Add($"_leader._tcp.{domains.Apex}", DnsNode.Of([DnsRecord.Service(schedulers.Port, $"leader.{domains.Apex}", InstanceTtlSeconds)]));
            Add($"master.{domains.Apex}", DnsNode.Addresses(schedulers.All.Select(x => DnsRecord.Address(x, InstanceTtlSeconds))));
            for (var i = 0; i < schedulers.All.Count; i++)
                Add(string.Create(CultureInfo.InvariantCulture, $"master{i}.{domains.Apex}"), DnsNode.Addresses([DnsRecord.Address(schedulers.All[i], InstanceTtlSeconds)]));
            Add($"slave.{domains.Apex}", DnsNode.Addresses(snapshot.Nodes.Values
                .Select(x => IPAddress.TryParse(x.Address, out var node) ? node : null).OfType<IPAddress>().Select(x => DnsRecord.Address(x, InstanceTtlSeconds))));

            // A prober learns from it which revision this server answers from.
            Add($"revision.{domains.Apps}",
                DnsNode.Of([DnsRecord.Text(InstanceTtlSeconds, snapshot.Revision.ToString(CultureInfo.InvariantCulture), snapshot.Cursor.Epoch)]));
        }

        /// <summary>Two apps whose names mangle to one share it. With a name, every name above it exists: RFC 8020 forbids denying those.</summary>
        private void Add(string name, DnsNode node)
        {
            if (name.Length > DnsNames.NameLengthMax) return;
            if (!_nodes.TryAdd(name, node))
            {
                _nodes[name] = _nodes[name].With(node);
                return;
            }
            var bySpan = _nodes.GetAlternateLookup<ReadOnlySpan<char>>();
            for (var parent = Parent(name); !bySpan.ContainsKey(parent); parent = Parent(parent)) bySpan[parent] = DnsNode.Empty;
        }

        /// <summary>The apex is there before all others, so that the walk up ends there.</summary>
        private static ReadOnlySpan<char> Parent(ReadOnlySpan<char> name) => name[(name.IndexOf('.') + 1)..];
    }
}
