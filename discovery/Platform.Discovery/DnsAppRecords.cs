using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// All names of one app with their records. They are kept from zone to zone as long as the app's entry is the same object, and those of one
/// instance as long as its endpoint is: a change of one endpoint among ten thousand makes the records of one anew.
/// </summary>
internal sealed class DnsAppRecords
{
    /// <summary>A comma-separated list of tags for the names of Consul's kind; the label is the one that Registrator knows.</summary>
    private const string TagsLabel = "SERVICE_TAGS";

    private readonly Dictionary<InstanceId, Instance> _instances;
    private readonly Dictionary<InstanceId, Instance> _starting;

    /// <summary>The names of the app as a whole; each instance has its own beside.</summary>
    private readonly KeyValuePair<string, DnsNode>[] _shared;

    private DnsAppRecords(
        ServiceEntry entry, KeyValuePair<string, DnsNode>[] shared, Dictionary<InstanceId, Instance> instances, Dictionary<InstanceId, Instance> starting)
    {
        Entry = entry;
        _shared = shared;
        _instances = instances;
        _starting = starting;
    }

    public ServiceEntry Entry { get; }

    /// <summary>The names of <paramref name="one"/> but for those that <paramref name="other"/> has as they are.</summary>
    public static IEnumerable<KeyValuePair<string, DnsNode>> Without(DnsAppRecords? one, DnsAppRecords? other) => one is null ? [] : Without(one._shared, other?._shared)
        .Concat(Without(one._instances, other?._instances).Concat(Without(one._starting, other?._starting)).SelectMany(x => x.Names));

    private static IEnumerable<KeyValuePair<string, DnsNode>> Without(KeyValuePair<string, DnsNode>[] one, KeyValuePair<string, DnsNode>[]? other)
    {
        if (other is null) return one;
        var there = ByName(other);
        return one.Where(x => !ReferenceEquals(there.GetValueOrDefault(x.Key), x.Value));
    }

    private static Dictionary<string, DnsNode> ByName(KeyValuePair<string, DnsNode>[] names)
    {
        var map = new Dictionary<string, DnsNode>(names.Length, StringComparer.Ordinal);
        foreach (var (name, node) in names) map[name] = node;
        return map;
    }

    /// <summary>The same of the addresses, one for each ready instance.</summary>
    public static IEnumerable<DnsRecord> AddressesWithout(DnsAppRecords? one, DnsAppRecords? other) =>
        one is null ? [] : Without(one._instances, other?._instances).Select(x => x.Address);

    private static IEnumerable<Instance> Without(Dictionary<InstanceId, Instance> one, Dictionary<InstanceId, Instance>? other) =>
        one.Where(x => !ReferenceEquals(other?.GetValueOrDefault(x.Key), x.Value)).Select(x => x.Value);

    /// <summary>Each ready instance with the names that Mesos-DNS would have for it.</summary>
    public IEnumerable<(InstanceId Task, IEnumerable<(string Name, DnsRecord Record)> Records)> Tasks(DnsDomains domains)
    {
        var spellings = Spellings(Entry.Service.App);
        return _instances.Select(x => (x.Key, Records(x.Value)));

        IEnumerable<(string, DnsRecord)> Records(Instance instance)
        {
            yield return ($"{instance.Label}.{domains.Apps}", instance.Address);
            yield return ($"{instance.Label}.{domains.Nodes}", instance.NodeAddress);
            foreach (var (name, srv) in spellings)
            {
                yield return ($"{name}.{domains.Apps}", instance.Address);
                yield return ($"{name}.{domains.Nodes}", instance.NodeAddress);
                foreach (var port in instance.Ports)
                    foreach (var protocol in port.Protocols)
                    {
                        foreach (var prefix in Prefixes(port.Index, port.Name)) yield return ($"{prefix}{srv}._{protocol}.{domains.Apps}", port.Service);
                        if (port.OnNode is { } onNode) yield return ($"{srv}._{protocol}.{domains.Nodes}", onNode);
                    }
            }
        }
    }

    /// <summary>The app's name mangled and, where its id has several parts, with its dots.</summary>
    private static List<(string Name, string Srv)> Spellings(AppId app)
    {
        var label = DnsNames.AppLabel(app);
        var spellings = new List<(string Name, string Srv)> { (label, "_" + DnsNames.AppLabel(app, DnsNames.ServiceLabelLengthMax)) };
        if (DnsNames.AppDotted(app) is { } dotted && dotted != label) spellings.Add((dotted, "_" + dotted));
        return spellings;
    }

    private sealed record Instance(
        Endpoint Endpoint, string Label, KeyValuePair<string, DnsNode>[] Names, DnsRecord Address, DnsRecord NodeAddress, DnsRecord ContainerAddress, Port[] Ports);

    /// <summary>One port of one instance.</summary>
    /// <param name="OnNode">By way of the node; null where the port is not published there.</param>
    /// <param name="Consul">As the zone of Consul's kind says it; null without one.</param>
    private sealed record Port(int Index, string? Name, string[] Protocols, DnsRecord Service, DnsRecord? OnNode, DnsRecord? Consul);

    /// <summary>
    /// Both spellings of the name, each with its twins. An app without a ready instance keeps its names and has no data:
    /// a client walking its search list must not go on to another name because this one is being deployed.
    /// </summary>
    public static DnsAppRecords Of(ServiceEntry entry, DnsDomains domains, DnsAppRecords? before)
    {
        if (before is not null && ReferenceEquals(before.Entry, entry)) return before;
        var service = entry.Service;
        var spellings = Spellings(service.App);
        var labels = new HashSet<string>(entry.Endpoints.Count + entry.Starting.Count, StringComparer.Ordinal);
        var instances = Instances(entry.Endpoints, domains, before?._instances, labels, starting: false);
        var starting = Instances(entry.Starting, domains, before?._starting, labels, starting: true);
        var names = new List<KeyValuePair<string, DnsNode>>(24);
        var addresses = DnsNode.Addresses(instances.Values.Select(x => x.Address));
        AddTwin(names, spellings, domains.Apps, addresses, Services(service, instances.Values));
        AddTwin(names, spellings, domains.Nodes, DnsNode.Addresses(instances.Values.Select(x => x.NodeAddress)), OnNodes(instances.Values));
        AddTwin(names, spellings, domains.Containers, DnsNode.Addresses(instances.Values.Select(x => x.ContainerAddress)), []);
        if (DnsView.ShowsAll(service.Labels))
        {
            var all = instances.Values.Concat(starting.Values).ToList();
            AddTwin(names, spellings, domains.All, DnsNode.Addresses(all.Select(x => x.Address)), Services(service, all));
        }
        if (domains.Consul is not null) AddConsul(names, service, DnsNames.AppLabel(service.App, DnsNames.ServiceLabelLengthMax), domains.Services, addresses, instances.Values);
        return new DnsAppRecords(entry, before is null ? [.. names] : Kept(names, before._shared), instances, starting);
    }

    /// <summary>What says the same as before is the same: the zone and its secondaries need not hear of it.</summary>
    private static KeyValuePair<string, DnsNode>[] Kept(List<KeyValuePair<string, DnsNode>> names, KeyValuePair<string, DnsNode>[] before)
    {
        var there = ByName(before);
        return [.. names.Select(x => there.TryGetValue(x.Key, out var known) && known.HasContentOf(x.Value) ? KeyValuePair.Create(x.Key, known) : x)];
    }

    private static void AddTwin(
        List<KeyValuePair<string, DnsNode>> names, List<(string Name, string Srv)> spellings, string domain, DnsNode addresses, List<(string Prefix, string Protocol, DnsNode Node)> services)
    {
        foreach (var (name, srv) in spellings)
        {
            names.Add(new($"{name}.{domain}", addresses));
            foreach (var (prefix, protocol, node) in services) names.Add(new($"{prefix}{srv}._{protocol}.{domain}", node));
        }
    }

    /// <summary>By port (none, <c>_port0.</c>, the port's name) and protocol; a declared port has its names before any instance does.</summary>
    private static List<(string Prefix, string Protocol, DnsNode Node)> Services(Service service, IReadOnlyCollection<Instance> instances)
    {
        var sets = new SortedDictionary<(string Prefix, string Protocol), List<DnsRecord>>();
        foreach (var port in service.Ports)
            foreach (var protocol in Protocols(port.Protocol))
                foreach (var prefix in Prefixes(port.Index, PortName(port.Name))) sets.TryAdd((prefix, protocol), []);
        foreach (var port in instances.SelectMany(x => x.Ports))
            foreach (var protocol in port.Protocols)
                foreach (var prefix in Prefixes(port.Index, port.Name)) ListOf(sets, (prefix, protocol)).Add(port.Service);
        return [.. sets.Select(x => (x.Key.Prefix, x.Key.Protocol, DnsNode.Of(x.Value)))];
    }

    private static List<(string Prefix, string Protocol, DnsNode Node)> OnNodes(IEnumerable<Instance> instances)
    {
        var sets = new SortedDictionary<string, List<DnsRecord>>(StringComparer.Ordinal);
        foreach (var port in instances.SelectMany(x => x.Ports))
            if (port.OnNode is { } record)
                foreach (var protocol in port.Protocols) ListOf(sets, protocol).Add(record);
        return [.. sets.Select(x => ("", x.Key, DnsNode.Of(x.Value)))];
    }

    /// <summary>
    /// <c>web.service.consul</c> has addresses and services, <c>_web._tcp.service.consul</c> is the RFC 2782 form; a tag in front of the name, or
    /// in the protocol's place, narrows it. A port's name is a tag that means this port alone: Consul has one service a port.
    /// </summary>
    private static void AddConsul(
        List<KeyValuePair<string, DnsNode>> names, Service service, string label, string domain, DnsNode addresses, IReadOnlyCollection<Instance> instances)
    {
        var ports = instances.SelectMany(x => x.Ports).ToList();
        var all = DnsNode.Of(ports.Select(x => x.Consul!).ToList());
        var both = addresses.With(all);
        names.Add(new($"{label}.{domain}", both));
        var protocols = service.Ports.SelectMany(x => Protocols(x.Protocol)).Concat(ports.SelectMany(x => x.Protocols)).ToHashSet();
        foreach (var protocol in protocols)
            names.Add(new($"_{label}._{protocol}.{domain}", DnsNode.Of(ports.Where(x => x.Protocols.Contains(protocol)).Select(x => x.Consul!).ToList())));

        var seen = new HashSet<string>(protocols, StringComparer.Ordinal);
        foreach (var tag in Tags(service).Where(seen.Add)) Add(tag, both, all);
        foreach (var name in service.Ports.Select(x => PortName(x.Name)).Concat(ports.Select(x => x.Name)).OfType<string>().Where(seen.Add))
        {
            var mine = DnsNode.Of(ports.Where(x => x.Name == name).Select(x => x.Consul!).ToList());
            Add(name, addresses.With(mine), mine);
        }

        void Add(string tag, DnsNode plain, DnsNode services)
        {
            names.Add(new($"{tag}.{label}.{domain}", plain));
            names.Add(new($"_{label}._{tag}.{domain}", services));
        }
    }

    private static IEnumerable<string> Tags(Service service) => service.Labels.TryGetValue(TagsLabel, out var tags)
        ? tags.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(x => DnsNames.Label(x, DnsNames.ServiceLabelLengthMax)).Where(x => x.Length > 0)
        : [];

    private static Dictionary<InstanceId, Instance> Instances(
        IReadOnlyCollection<KeyValuePair<InstanceId, Endpoint>> endpoints, DnsDomains domains, Dictionary<InstanceId, Instance>? before, HashSet<string> labels, bool starting)
    {
        var instances = new Dictionary<InstanceId, Instance>(endpoints.Count);
        foreach (var (id, endpoint) in endpoints)
        {
            if (!IPAddress.TryParse(endpoint.Address, out var node)) continue;
            var known = before?.GetValueOrDefault(id);
            var name = endpoint.App.ReverseDotted;
            var label = known?.Endpoint.Node == endpoint.Node ? known.Label : DnsNames.InstanceLabel(name, id, endpoint.Node);
            if (!labels.Add(label)) labels.Add(label = DnsNames.InstanceLabel(name, id, endpoint.Node, 12)); // 25 bits of hash do collide
            instances[id] = known is not null && ReferenceEquals(known.Endpoint, endpoint) && known.Label == label ? known : Make(endpoint, label, node, domains, starting);
        }
        return instances;
    }

    private static Instance Make(Endpoint endpoint, string label, IPAddress node, DnsDomains domains, bool starting)
    {
        var container = endpoint.ContainerAddress is { } text && IPAddress.TryParse(text, out var parsed) ? parsed : null;

        // The address that works with the advertised ports: the node's where host ports are published, else the container's own.
        var onNode = container is null || endpoint.Ports.Any(x => x.HostPort > 0);
        var nodeAddress = DnsRecord.Address(node, DnsZone.InstanceTtlSeconds);
        var containerAddress = container is null ? nodeAddress : DnsRecord.Address(container, DnsZone.InstanceTtlSeconds);
        var address = onNode ? nodeAddress : containerAddress;

        // Some ports may be published and others not: the latter need a name that leads to the container.
        var split = onNode && container is not null && endpoint.Ports.Any(x => x.HostPort == 0);
        var (name, containerName) = starting ? ($"{label}.{domains.All}", $"container.{label}.{domains.All}") : ($"{label}.{domains.Apps}", $"{label}.{domains.Containers}");
        var names = new List<KeyValuePair<string, DnsNode>>(6) { new(name, DnsNode.Of([address]).With(DnsNode.Of([About(endpoint)]))) };
        if (!starting || split) names.Add(new(containerName, DnsNode.Of([containerAddress])));
        if (!starting)
        {
            names.Add(new($"{label}.{domains.Nodes}", DnsNode.Of([nodeAddress])));
            // The name that a container's address leads back to has that address.
            if (container is not null && DnsRecord.ReverseName(container) is { } reverse)
                names.Add(new(reverse, DnsNode.Of([DnsRecord.Pointer(onNode ? containerName : name, DnsZone.InstanceTtlSeconds)])));
        }
        var consul = starting || domains.Consul is null ? null : $"{label}.{domains.Addresses}";
        var consulContainer = consul is null || !split ? consul : $"{label}.container.{domains.Addresses}";
        if (consul is not null) names.Add(new(consul, DnsNode.Of([address])));
        if (consulContainer != consul) names.Add(new(consulContainer!, DnsNode.Of([containerAddress])));

        var ports = new List<Port>(endpoint.Ports.Count);
        foreach (var port in endpoint.Ports)
        {
            var published = port.HostPort > 0;
            var number = published ? port.HostPort : port.ContainerPort ?? 0;
            if (number == 0) continue;
            ports.Add(new Port(
                port.Index, PortName(port.Name), Protocols(port.Protocol),
                DnsRecord.Service(number, published || !split ? name : containerName, DnsZone.InstanceTtlSeconds),
                published && !starting ? DnsRecord.Service(number, $"{label}.{domains.Nodes}", DnsZone.InstanceTtlSeconds) : null,
                consul is null ? null : DnsRecord.Service(number, published ? consul : consulContainer!, DnsZone.InstanceTtlSeconds, priority: 1)));
        }
        return new Instance(endpoint, label, [.. names], address, nodeAddress, containerAddress, [.. ports]);
    }

    private static DnsRecord About(Endpoint endpoint) => DnsRecord.Text(
        DnsZone.InstanceTtlSeconds, $"task={endpoint.Instance.TaskId}", $"version={endpoint.Version}", $"node={endpoint.Node}");

    private static string[] Protocols(string protocol) => protocol switch
    {
        "tcp" => Tcp, // by far the most
        _ => protocol.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries),
    };

    private static readonly string[] Tcp = ["tcp"];

    private static string? PortName(string? name) => name is { Length: > 0 } && DnsNames.Label(name, DnsNames.ServiceLabelLengthMax) is { Length: > 0 } label ? label : null;

    private static IEnumerable<string> Prefixes(int index, string? name)
    {
        var numbered = string.Create(CultureInfo.InvariantCulture, $"port{index}");
        yield return "";
        yield return $"_{numbered}.";
        if (name is not null && name != numbered) yield return $"_{name}.";
    }

    private static List<DnsRecord> ListOf<TKey>(SortedDictionary<TKey, List<DnsRecord>> sets, TKey key) where TKey : notnull
    {
        if (!sets.TryGetValue(key, out var set)) sets[key] = set = [];
        return set;
    }
}
