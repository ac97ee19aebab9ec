using System.Net;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;

namespace Platform.Cli;

/// <summary>What the node's views are told: whom DNS asks and answers, and which files are kept.</summary>
public sealed partial record UpOptions
{
    public EndpointFilesOptions Files { get; init; } = new() { Directory = "" };

    /// <summary>Whom DNS asks for names that are not ours; empty = the machine's own resolvers.</summary>
    public EquatableArray<IPEndPoint> DnsResolvers { get; init; }

    public EquatableArray<DnsZoneResolvers> DnsZoneResolvers { get; init; }

    /// <summary>Who may ask for names that are not ours, beside this machine and its private networks.</summary>
    public EquatableArray<IPNetwork> DnsRecursionFor { get; init; }

    private UpOptions WithDiscovery(Func<string, string?> text, List<string> problems)
    {
        var files = new EndpointFilesOptions
        {
            Directory = Path.Combine(Data, "endpoints"), Domain = Domain, Node = NodeName.Name, TemplateMemory = Path.Combine(Data, "files", "templates.json"),
        };
        if (text("files-config") is { } config)
        {
            (files, var found) = EndpointFilesConfig.Read(files, config);
            problems.AddRange(found.Select(x => $"--files-config {config}: {x}"));
        }
        var (resolvers, zones) = Resolvers(Words("dns-resolvers"), problems);
        var networks = new List<IPNetwork>();
        foreach (var word in Words("dns-recursion"))
            if (IPNetwork.TryParse(word, out var network)) networks.Add(network);
            else problems.Add($"--dns-recursion {word}: a network is wanted, such as 192.0.2.0/24");
        return this with { Files = files, DnsResolvers = resolvers, DnsZoneResolvers = zones, DnsRecursionFor = networks.ToEquatableArray() };

        string[] Words(string flag) => (text(flag) ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
    }

    private (EquatableArray<IPEndPoint> All, EquatableArray<DnsZoneResolvers> Zones) Resolvers(string[] words, List<string> problems)
    {
        var all = new List<IPEndPoint>();
        var zones = new SortedDictionary<string, List<IPEndPoint>>(StringComparer.Ordinal);
        foreach (var word in words)
        {
            var cut = word.LastIndexOf('=');
            if (Server(word[(cut + 1)..]) is not { } server) problems.Add($"--dns-resolvers {word}: an address is wanted, such as 192.0.2.53 or 192.0.2.53:5353 or corp.example=192.0.2.53");
            else if (cut < 0) all.Add(server);
            else if (!DnsDomains.TryParse(word[..cut], out var zone, out var why)) problems.Add($"--dns-resolvers {word}: {why}");
            else if (DnsDomains.Of(Naming).Contain(zone)) problems.Add($"--dns-resolvers {word}: names in {zone} are answered here and asked of nobody");
            else if (zones.TryGetValue(zone, out var servers)) servers.Add(server);
            else zones[zone] = [server];
        }
        return (all.ToEquatableArray(), zones.Select(x => new DnsZoneResolvers(x.Key, x.Value.ToEquatableArray())).ToEquatableArray());
    }

    private static IPEndPoint? Server(string text) =>
        !IPEndPoint.TryParse(text, out var server) ? null : server.Port != 0 ? server : new IPEndPoint(server.Address, 53);
}
