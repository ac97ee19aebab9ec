using Platform.Model;

namespace Platform.Discovery;

/// <summary>How the operator wants things called.</summary>
/// <param name="Domain">Where apps are named, in canonical form (<see cref="DnsDomains.TryParse"/>).</param>
/// <param name="Consul">The zone that speaks Consul's names; null = none.</param>
/// <param name="Datacenter">What Consul's names may carry between kind and zone, <c>web.service.dc1.consul</c>.</param>
public sealed record DnsNaming(string Domain, string? Consul = "consul", string Datacenter = "dc1");

/// <summary>
/// The names below which things live. The first label of <c>marathon.mesos</c> is the framework, as Mesos-DNS has it, and each way of looking
/// at an app is a twin of that domain: <c>marathon.slave.mesos</c> (its nodes), <c>marathon.containerip.mesos</c> (its containers),
/// <c>marathon.all.mesos</c> (with what is not ready yet), <c>marathon.group.mesos</c> (whole groups). No app can be called like one of them.
/// </summary>
public sealed class DnsDomains
{
    private DnsDomains(DnsNaming naming)
    {
        var domain = naming.Domain;
        Naming = naming;
        Apex = DnsNames.ZoneOf(domain);
        (Apps, Nodes, Containers, All, Groups) = (domain, Twin("slave"), Twin("containerip"), Twin("all"), Twin("group"));
        (Services, Machines, Addresses) = ($"service.{naming.Consul}", $"node.{naming.Consul}", $"addr.{naming.Consul}");
        var aliases = new List<Alias>();
        // The names of dcos-net: agentip is the node, autoip what works with the advertised ports, which the plain names give anyway.
        if (Apps != Apex) aliases.AddRange([new(Twin("autoip"), Apps), new(Twin("agentip"), Nodes)]);
        if (naming.Consul is { } consul)
            foreach (var kind in new[] { "service", "node", "addr" }) aliases.Add(new($"{kind}.{naming.Datacenter}.{consul}", $"{kind}.{consul}"));
        Aliases = aliases.ToEquatableArray();

        string Twin(string kind) => Apex == domain ? $"{kind}.{Apex}" : $"{domain[..domain.IndexOf('.', StringComparison.Ordinal)]}.{kind}.{Apex}";
    }

    public DnsNaming Naming { get; }
    public string Apex { get; }
    public string? Consul => Naming.Consul;

    /// <summary>What Mesos would call our framework: the domain's first label.</summary>
    public string Framework => Apps == Apex ? Apps : Apps[..^(Apex.Length + 1)];

    internal string Apps { get; }
    internal string Nodes { get; }
    internal string Containers { get; }
    internal string All { get; }
    internal string Groups { get; }

    /// <summary>Consul's three kinds of names; of no use without <see cref="Consul"/>.</summary>
    internal string Services { get; }
    internal string Machines { get; }
    internal string Addresses { get; }

    /// <summary>Everything below <paramref name="Suffix"/> stands for the same below <paramref name="Target"/>.</summary>
    internal readonly record struct Alias(string Suffix, string Target);

    /// <summary>Names that cost nothing: they are looked up by another name, and written out only in a transfer.</summary>
    internal EquatableArray<Alias> Aliases { get; }

    public static DnsDomains Of(DnsNaming naming) => new(naming);

    /// <summary>The zones we answer for whatever the table holds.</summary>
    public bool Contain(ReadOnlySpan<char> name) => DnsNames.IsWithin(name, Apex) || (Consul is { } consul && DnsNames.IsWithin(name, consul));

    /// <summary>Where a name of ours has its start of authority. A name for an address is a zone of its own: we know that one and not its neighbours.</summary>
    internal string ApexOf(string name) => IsReverse(name) ? name : Consul is { } consul && DnsNames.IsWithin(name, consul) ? consul : Apex;

    public static bool IsReverse(ReadOnlySpan<char> name) => name.EndsWith(".arpa", StringComparison.Ordinal);

    /// <summary>Lower case, no dot at either end, every label of 1 to 63 letters, digits and inner hyphens or underscores.</summary>
    public static bool TryParse(string text, out string domain, out string? why)
    {
        domain = text.ToLowerInvariant().Trim('.');
        var ok = domain.Length is > 0 and <= DnsNames.DomainLengthMax
            && domain.Split('.').All(x => x.Length is > 0 and <= DnsNames.LabelLengthMax && x[0] != '-' && x[^1] != '-'
                && x.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'));
        why = ok ? null : $"'{text}' is no domain: 1 to {DnsNames.DomainLengthMax} characters, labels of letters, digits and inner hyphens, joined by dots";
        return ok;
    }
}
