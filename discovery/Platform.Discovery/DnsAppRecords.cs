using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>The names below which apps live: <c>marathon.mesos</c>, <c>marathon.slave.mesos</c>, <c>marathon.containerip.mesos</c>.</summary>
internal sealed record DnsDomains(string Apex, string Apps, string Nodes, string Containers)
{
    public static DnsDomains Of(string domain) => new(DnsZone.ApexOf(domain), domain, Twin(domain, "slave"), Twin(domain, "containerip"));

    /// <summary><c>marathon.mesos</c> and <c>slave</c> make <c>marathon.slave.mesos</c>.</summary>
    private static string Twin(string domain, string kind) =>
        DnsZone.ApexOf(domain) is var apex && apex == domain ? $"{kind}.{apex}" : $"{domain[..domain.IndexOf('.', StringComparison.Ordinal)]}.{kind}.{apex}";
}

/// <summary>
/// All names of one app with their records. They are kept from zone to zone as long as the app's entry is the same object, and those of one
/// instance as long as its endpoint is: a change of one endpoint among ten thousand makes the records of one anew.
/// </summary>
internal sealed class DnsAppRecords
{
    private readonly Dictionary<InstanceId, Instance> _instances;

    private DnsAppRecords(ServiceEntry entry, KeyValuePair<string, DnsNode>[] shared, Dictionary<InstanceId, Instance> instances)
    {
        Entry = entry;
        _shared = shared;
        _instances = instances;
    }

    public ServiceEntry Entry { get; }

    /// <summary>The names of the app as a whole; each instance has its own beside.</summary>
    private readonly KeyValuePair<string, DnsNode>[] _shared;

    /// <summary>The names of <paramref name="one"/> but for those of instances that <paramref name="other"/> has as they are.</summary>
    public static IEnumerable<KeyValuePair<string, DnsNode>> Without(DnsAppRecords? one, DnsAppRecords? other) => one is null ? [] : one._shared
        .Concat(one._instances.Where(x => !ReferenceEquals(other?._instances.GetValueOrDefault(x.Key), x.Value)).SelectMany(x => x.Value.Names));

    /// <param name="Services">By port label (none, <c>port0</c>, the port's name) and protocol.</param>
    private sealed record Instance(Endpoint Endpoint, string Label, KeyValuePair<string, DnsNode>[] Names, DnsRecord Address, DnsRecord NodeAddress,
        List<((string Port, string Protocol) Key, DnsRecord Record)> Services, List<(string Protocol, DnsRecord Record)> NodeServices);

    /// <summary>
    /// Both spellings of the name, each with its node twin. An app without a ready instance keeps its names and has no data:
    /// a client walking its search list must not go on to another name because this one is being deployed.
    /// </summary>
    public static DnsAppRecords Of(ServiceEntry entry, DnsDomains domains, DnsAppRecords? before)
    {
        if (before is not null && ReferenceEquals(before.Entry, entry)) return before;
        var app = entry.Service.App;
        var label = DnsNames.AppLabel(app);
        var spellings = new List<(string Name, string Srv)> { (label, "_" + DnsNames.AppLabel(app, DnsNames.LabelLengthMax - 1)) };
        if (DnsNames.AppDotted(app) is { } dotted && dotted != label) spellings.Add((dotted, "_" + dotted));

        var instances = Instances(entry, domains, before);
        var names = new List<KeyValuePair<string, DnsNode>>(16);
        var sets = new SortedDictionary<(string Port, string Protocol), List<DnsRecord>>();
        var nodeSets = new SortedDictionary<string, List<DnsRecord>>(StringComparer.Ordinal);
        foreach (var port in entry.Service.Ports)
            foreach (var protocol in Protocols(port.Protocol))
                foreach (var name in PortLabels(port.Index, port.Name)) sets.TryAdd((name, protocol), []);
        foreach (var instance in instances.Values)
        {
            foreach (var (key, record) in instance.Services) ListOf(sets, key).Add(record);
            foreach (var (protocol, record) in instance.NodeServices) ListOf(nodeSets, protocol).Add(record);
        }
        var addresses = DnsNode.Addresses(instances.Values.Select(x => x.Address));
        var nodeAddresses = DnsNode.Addresses(instances.Values.Select(x => x.NodeAddress));
        foreach (var (name, srv) in spellings)
        {
            names.Add(new($"{name}.{domains.Apps}", addresses));
            names.Add(new($"{name}.{domains.Nodes}", nodeAddresses));
            foreach (var ((port, protocol), records) in sets) names.Add(new($"{(port.Length == 0 ? "" : $"_{port}.")}{srv}._{protocol}.{domains.Apps}", DnsNode.Of(records)));
            foreach (var (protocol, records) in nodeSets) names.Add(new($"{srv}._{protocol}.{domains.Nodes}", DnsNode.Of(records)));
        }
        return new DnsAppRecords(entry, [.. names], instances);
    }

    private static Dictionary<InstanceId, Instance> Instances(ServiceEntry entry, DnsDomains domains, DnsAppRecords? before)
    {
        var instances = new Dictionary<InstanceId, Instance>(entry.Endpoints.Count);
        var labels = new HashSet<string>(entry.Endpoints.Count, StringComparer.Ordinal);
        var appLabel = entry.Service.App.ReverseDotted;
        foreach (var (id, endpoint) in entry.Endpoints)
        {
            if (!IPAddress.TryParse(endpoint.Address, out var node)) continue;
            var known = before?._instances.GetValueOrDefault(id);
            var label = known?.Endpoint.Node == endpoint.Node ? known.Label : DnsNames.InstanceLabel(appLabel, id, endpoint.Node);
            if (!labels.Add(label)) labels.Add(label = DnsNames.InstanceLabel(appLabel, id, endpoint.Node, 12)); // 25 bits of hash do collide
            instances[id] = known is not null && ReferenceEquals(known.Endpoint, endpoint) && known.Label == label ? known : Make(endpoint, label, node, domains);
        }
        return instances;
    }

    private static Instance Make(Endpoint endpoint, string label, IPAddress node, DnsDomains domains)
    {
        var container = endpoint.ContainerAddress is { } text && IPAddress.TryParse(text, out var parsed) ? parsed : null;

        // The address that works with the advertised ports: the node's where host ports are published, else the container's own.
        var onNode = container is null || endpoint.Ports.Any(x => x.HostPort > 0);
        var address = DnsRecord.Address(onNode ? node : container!, DnsZone.InstanceTtlSeconds);
        var nodeAddress = DnsRecord.Address(node, DnsZone.InstanceTtlSeconds);
        var (name, nodeName, containerName) = ($"{label}.{domains.Apps}", $"{label}.{domains.Nodes}", $"{label}.{domains.Containers}");

        // Some ports may be published and others not: the latter need a name that leads to the container.
        var split = onNode && container is not null && endpoint.Ports.Any(x => x.HostPort == 0);
        var names = new List<KeyValuePair<string, DnsNode>>(3) { new(name, DnsNode.Of([address])), new(nodeName, DnsNode.Of([nodeAddress])) };
        if (split) names.Add(new(containerName, DnsNode.Of([DnsRecord.Address(container!, DnsZone.InstanceTtlSeconds)])));

        var instance = new Instance(endpoint, label, [.. names], address, nodeAddress, [], []);
        foreach (var port in endpoint.Ports)
        {
            var number = port.HostPort > 0 ? port.HostPort : port.ContainerPort ?? 0;
            if (number == 0) continue;
            var record = DnsRecord.Service(number, port.HostPort > 0 || !split ? name : containerName, DnsZone.InstanceTtlSeconds);
            foreach (var protocol in Protocols(port.Protocol))
            {
                foreach (var portLabel in PortLabels(port.Index, port.Name)) instance.Services.Add(((portLabel, protocol), record));
                if (port.HostPort > 0) instance.NodeServices.Add((protocol, DnsRecord.Service(number, nodeName, DnsZone.InstanceTtlSeconds)));
            }
        }
        return instance;
    }

    private static string[] Protocols(string protocol) => protocol.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static IEnumerable<string> PortLabels(int index, string? name)
    {
        var numbered = string.Create(CultureInfo.InvariantCulture, $"port{index}");
        yield return "";
        yield return numbered;
        if (name is { Length: > 0 } && DnsNames.Label(name, DnsNames.LabelLengthMax - 1) is { Length: > 0 } label && label != numbered) yield return label;
    }

    private static List<DnsRecord> ListOf<TKey>(SortedDictionary<TKey, List<DnsRecord>> sets, TKey key) where TKey : notnull
    {
        if (!sets.TryGetValue(key, out var set)) sets[key] = set = [];
        return set;
    }
}
