using System.Collections.Immutable;
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

    private DnsZone(string apex, EndpointCursor cursor, Dictionary<string, DnsNode> nodes)
    {
        Apex = apex;
        Cursor = cursor;
        _nodes = nodes;
        _bySpan = nodes.GetAlternateLookup<ReadOnlySpan<char>>();
        Authority = nodes[apex].Of(DnsType.SOA)[0];
    }

    public string Apex { get; }
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

    public static DnsZone Build(EndpointSnapshot snapshot, string domain, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers) =>
        new Builder(domain).Build(snapshot, nameServers, schedulers);

    /// <summary>As a zone file, sorted; for tests and for people.</summary>
    public override string ToString() => string.Join('\n', _nodes
        .OrderBy(x => string.Join('.', x.Key.Split('.').Reverse()), StringComparer.Ordinal)
        .SelectMany(x => x.Value.Sets.IsEmpty ? [$"{x.Key}. ; empty"] : x.Value.Sets.SelectMany(s => s.Select(r => $"{x.Key}. {r}"))));

    private sealed class Builder(string domain)
    {
        private readonly string _apex = ApexOf(domain);
        private readonly string _slaveDomain = Twin(domain, "slave");
        private readonly string _containerDomain = Twin(domain, "containerip");
        private readonly Dictionary<string, DnsNode> _nodes = new(StringComparer.Ordinal);

        /// <summary><c>marathon.mesos</c> and <c>slave</c> make <c>marathon.slave.mesos</c>.</summary>
        private static string Twin(string domain, string kind) =>
            ApexOf(domain) is var apex && apex == domain ? $"{kind}.{apex}" : $"{domain[..domain.IndexOf('.', StringComparison.Ordinal)]}.{kind}.{apex}";

        public DnsZone Build(EndpointSnapshot snapshot, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
        {
            _nodes.EnsureCapacity(64 + snapshot.Services.Values.Sum(x => 16 + (2 * x.Endpoints.Count)));
            AddServers(snapshot, nameServers, schedulers);
            foreach (var entry in snapshot.Services.Values) AddApp(entry);
            return new DnsZone(_apex, snapshot.Cursor, _nodes);
        }

        private void AddServers(EndpointSnapshot snapshot, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
        {
            var ns = $"ns1.{_apex}";
            _nodes[_apex] = DnsNode.Empty
                .With([DnsRecord.Authority(ns, $"root.{ns}", unchecked((uint)snapshot.Revision), 60, 600, 86400, NegativeTtlSeconds, NegativeTtlSeconds)])
                .With([DnsRecord.NameServer(ns, ServerTtlSeconds)]);
            AddAddresses(ns, nameServers.Select(x => DnsRecord.Address(x, ServerTtlSeconds)));

            if (schedulers.Leader is { } leader)
            {
                var record = DnsRecord.Address(leader, InstanceTtlSeconds);
                AddAddresses($"leader.{_apex}", [record]);
                if (domain != _apex) AddAddresses(domain, [record]);
                if (schedulers.Port > 0)
                    Add($"_leader._tcp.{_apex}", [DnsRecord.Service(schedulers.Port, $"leader.{_apex}", DnsNames.ToWire($"leader.{_apex}"), InstanceTtlSeconds)]);
            }
            AddAddresses($"master.{_apex}", schedulers.All.Select(x => DnsRecord.Address(x, InstanceTtlSeconds)));
            for (var i = 0; i < schedulers.All.Count; i++)
                AddAddresses(string.Create(CultureInfo.InvariantCulture, $"master{i}.{_apex}"), [DnsRecord.Address(schedulers.All[i], InstanceTtlSeconds)]);
            AddAddresses($"slave.{_apex}", snapshot.Nodes.Values.Select(x => Parse(x.Address)).OfType<IPAddress>().Distinct()
                .Select(x => DnsRecord.Address(x, InstanceTtlSeconds)));

            // A prober learns from it which revision this server answers from.
            Add($"revision.{domain}", [DnsRecord.Text(InstanceTtlSeconds, snapshot.Revision.ToString(CultureInfo.InvariantCulture), snapshot.Cursor.Epoch)]);
        }

        /// <summary>
        /// Both spellings of the name, each with its node twin. An app without a ready instance keeps its names and has no data:
        /// a client walking its search list must not go on to another name because this one is being deployed.
        /// </summary>
        private void AddApp(ServiceEntry entry)
        {
            var app = entry.Service.App;
            var spellings = new List<(string Name, string Srv)> { (DnsNames.AppLabel(app), "_" + DnsNames.AppLabel(app, DnsNames.LabelLengthMax - 1)) };
            if (DnsNames.AppDotted(app) is { } dotted && dotted != spellings[0].Name) spellings.Add((dotted, "_" + dotted));

            var sets = new AppSets();
            foreach (var endpoint in entry.Endpoints.Values) AddInstance(endpoint, sets);
            foreach (var (name, srv) in spellings)
            {
                AddAddresses($"{name}.{domain}", sets.Addresses);
                AddAddresses($"{name}.{_slaveDomain}", sets.NodeAddresses);
                foreach (var ((port, protocol), records) in sets.Services)
                    Add($"{(port.Length == 0 ? "" : $"_{port}.")}{srv}._{protocol}.{domain}", [.. records]);
                foreach (var (protocol, records) in sets.NodeServices) Add($"{srv}._{protocol}.{_slaveDomain}", [.. records]);
            }
        }

        /// <summary>What an app's names share; filled instance by instance.</summary>
        private sealed class AppSets
        {
            public HashSet<DnsRecord> Seen { get; } = new(AddressComparer.Instance);
            public List<DnsRecord> Addresses { get; } = [];
            public HashSet<DnsRecord> NodesSeen { get; } = new(AddressComparer.Instance);
            public List<DnsRecord> NodeAddresses { get; } = [];

            /// <summary>By port label (none, <c>port0</c>, the port's name) and protocol.</summary>
            public SortedDictionary<(string Port, string Protocol), List<DnsRecord>> Services { get; } = [];

            public SortedDictionary<string, List<DnsRecord>> NodeServices { get; } = new(StringComparer.Ordinal);
        }

        private void AddInstance(Endpoint endpoint, AppSets sets)
        {
            if (Parse(endpoint.Address) is not { } nodeAddress) return;
            var containerAddress = endpoint.ContainerAddress is { } text ? Parse(text) : null;
            var published = endpoint.Ports.Any(x => x.HostPort > 0);

            // The address that works with the advertised ports: the node's where host ports are published, else the container's own.
            var onNode = published || containerAddress is null;
            var address = DnsRecord.Address(onNode ? nodeAddress : containerAddress!, InstanceTtlSeconds);
            var node = DnsRecord.Address(nodeAddress, InstanceTtlSeconds);
            if (sets.Seen.Add(address)) sets.Addresses.Add(address);
            if (sets.NodesSeen.Add(node)) sets.NodeAddresses.Add(node);

            var label = DnsNames.InstanceLabel(endpoint.App, endpoint.Instance, endpoint.Node);
            if (_nodes.ContainsKey($"{label}.{domain}")) label = DnsNames.InstanceLabel(endpoint.App, endpoint.Instance, endpoint.Node, 12); // 25 bits of hash do collide
            var name = $"{label}.{domain}";
            Add(name, [address]);
            Add($"{label}.{_slaveDomain}", [node]);
            if (endpoint.Ports.IsEmpty) return;

            var target = (Name: name, Wire: DnsNames.ToWire(name));
            var containerTarget = target;
            if (onNode && containerAddress is not null && endpoint.Ports.Any(x => x.HostPort == 0))
            {
                // Some of its ports are published and some are not: those need a name that leads to the container.
                containerTarget = ($"{label}.{_containerDomain}", DnsNames.ToWire($"{label}.{_containerDomain}"));
                Add(containerTarget.Name, [DnsRecord.Address(containerAddress, InstanceTtlSeconds)]);
            }
            var slaveTarget = (Name: $"{label}.{_slaveDomain}", Wire: DnsNames.ToWire($"{label}.{_slaveDomain}"));
            foreach (var port in endpoint.Ports) AddPort(port, target, containerTarget, slaveTarget, sets);
        }

        private static void AddPort(EndpointPort port, (string Name, byte[] Wire) target, (string Name, byte[] Wire) containerTarget,
            (string Name, byte[] Wire) slaveTarget, AppSets sets)
        {
            var number = port.HostPort > 0 ? port.HostPort : port.ContainerPort ?? 0;
            if (number == 0) return;
            var to = port.HostPort > 0 ? target : containerTarget;
            var record = DnsRecord.Service(number, to.Name, to.Wire, InstanceTtlSeconds);
            var label = port.Name is { Length: > 0 } given ? DnsNames.Label(given, DnsNames.LabelLengthMax - 1) : "";
            var numbered = string.Create(CultureInfo.InvariantCulture, $"port{port.Index}");
            foreach (var protocol in port.Protocol.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                Of(sets.Services, ("", protocol)).Add(record);
                Of(sets.Services, (numbered, protocol)).Add(record);
                if (label.Length > 0 && label != numbered) Of(sets.Services, (label, protocol)).Add(record);
                if (port.HostPort > 0) Of(sets.NodeServices, protocol).Add(DnsRecord.Service(number, slaveTarget.Name, slaveTarget.Wire, InstanceTtlSeconds));
            }
        }

        private static List<DnsRecord> Of<TKey>(SortedDictionary<TKey, List<DnsRecord>> sets, TKey key) where TKey : notnull
        {
            if (!sets.TryGetValue(key, out var set)) sets[key] = set = [];
            return set;
        }

        private void AddAddresses(string name, IEnumerable<DnsRecord> addresses)
        {
            var any = false;
            foreach (var set in addresses.GroupBy(x => x.Type))
            {
                Add(name, [.. set]);
                any = true;
            }
            if (!any) Touch(name);
        }

        private void Add(string name, ImmutableArray<DnsRecord> set)
        {
            if (set.IsEmpty || name.Length > DnsNames.NameLengthMax) return;
            Touch(name);
            _nodes[name] = _nodes[name].With(set);
        }

        /// <summary>Makes a name exist, and with it every name above it: a name above one that exists must not be denied.</summary>
        private void Touch(string name)
        {
            if (name.Length > DnsNames.NameLengthMax) return;
            while (_nodes.TryAdd(name, DnsNode.Empty) && name != _apex) name = name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..];
        }

        private static IPAddress? Parse(string address) => IPAddress.TryParse(address, out var parsed) ? parsed : null;
    }

    /// <summary>Compares address records by content; the record's own equality compares the arrays' identity.</summary>
    private sealed class AddressComparer : IEqualityComparer<DnsRecord>
    {
        public static readonly AddressComparer Instance = new();

        public bool Equals(DnsRecord? x, DnsRecord? y) => x is not null && y is not null && x.Type == y.Type && x.Data.AsSpan().SequenceEqual(y.Data.AsSpan());

        public int GetHashCode(DnsRecord record)
        {
            var hash = new HashCode();
            hash.AddBytes(record.Data.AsSpan());
            return hash.ToHashCode();
        }
    }
}
