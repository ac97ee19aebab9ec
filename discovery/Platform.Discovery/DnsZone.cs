using System.Collections.Immutable;
using System.Net;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>The zone that a name is in: how long its apex's name is, and its start of authority, which goes with every "no".</summary>
public readonly record struct DnsCut(int ApexLength, DnsRecord Authority, bool IsReverse);

/// <summary>
/// The record set of one endpoint snapshot, in all zones that a node answers for with authority. A domain <c>marathon.mesos</c> is read as
/// Mesos-DNS has it: its first label is the framework, the rest is the zone, so that apps are <c>web.marathon.mesos</c> and their node twins
/// <c>web.marathon.slave.mesos</c>. A domain of one label is a zone without a framework label. Whoever chooses <c>a.example.com</c> gives
/// us all of <c>example.com</c>: choose a zone of its own. The zone <c>consul</c> beside it says the same in Consul's way, and every address
/// of the table has its name for the way back.
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

    private readonly DnsNameMap _names;
    private readonly ImmutableDictionary<AppId, DnsAppRecords> _apps;
    private readonly ImmutableDictionary<AppId, DnsGroup> _groups;
    private readonly DnsServerNames _servers;
    private readonly DnsCut _own;
    private readonly DnsCut _consul;

    private DnsZone(
        DnsDomains domains, EndpointCursor cursor, DnsNameMap names, ImmutableDictionary<AppId, DnsAppRecords> apps, ImmutableDictionary<AppId, DnsGroup> groups,
        DnsServerNames servers)
    {
        Domains = domains;
        Cursor = cursor;
        _names = names;
        _apps = apps;
        _groups = groups;
        _servers = servers;
        Reverse = DnsServerNames.Apex(domains.Apex, cursor);
        _own = Cut(domains.Apex);
        if (domains.Consul is { } consul) _consul = Cut(consul);

        DnsCut Cut(string apex) => new(apex.Length, Find(apex)!.Of(DnsType.SOA)[0], false);
    }

    public DnsDomains Domains { get; }
    public string Apex => Domains.Apex;
    public EndpointCursor Cursor { get; }
    public uint Serial => SerialOf(Cursor);

    /// <summary>The apex's SOA, which goes with every "no".</summary>
    public DnsRecord Authority => _own.Authority;

    /// <summary>What a reverse name has beside its pointer.</summary>
    internal DnsNode Reverse { get; }

    public int NameCount => _names.Count;

    /// <summary>All nodes' zones of one cluster count alike: its revision.</summary>
    internal static uint SerialOf(EndpointCursor cursor) => unchecked((uint)cursor.Revision);

    /// <summary>A canonical (lower-case) name's records; null if it does not exist.</summary>
    public DnsNode? Find(ReadOnlySpan<char> name) => _names.Find(name)?.Node ?? FindByAlias(name);

    /// <summary>The zone a name lies in; null if it is none of ours.</summary>
    public DnsCut? CutOf(ReadOnlySpan<char> name)
    {
        if (DnsNames.IsWithin(name, Apex)) return _own;
        if (Domains.Consul is { } consul && DnsNames.IsWithin(name, consul)) return _consul;
        return DnsDomains.IsReverse(name) && _names.Find(name) is not null ? new DnsCut(name.Length, Reverse.Of(DnsType.SOA)[0], true) : null;
    }

    private DnsNode? FindByAlias(ReadOnlySpan<char> name)
    {
        foreach (var (suffix, target) in Domains.Aliases)
        {
            if (name.Length <= suffix.Length || !DnsNames.IsWithin(name, suffix)) continue;
            Span<char> other = stackalloc char[DnsWire.NameMax];
            var prefix = name[..^suffix.Length];
            if (prefix.Length + target.Length > other.Length) return null;
            prefix.CopyTo(other);
            target.CopyTo(other[prefix.Length..]);
            return _names.Find(other[..(prefix.Length + target.Length)])?.Node;
        }
        return null;
    }

    /// <summary>The zone of a whole snapshot.</summary>
    public static DnsZone Build(EndpointSnapshot snapshot, DnsNaming naming, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers)
    {
        var domains = DnsDomains.Of(naming);
        return Make(domains, null, snapshot, snapshot.Cursor, snapshot.Services.Keys, DnsServerNames.Of(domains, snapshot, snapshot.Cursor, nameServers, schedulers, null));
    }

    /// <summary>This zone brought to a later snapshot of the same table. It costs what changed, not what is there.</summary>
    /// <param name="cursor">Where the zone then stands: all apps that changed up to it are among <paramref name="touched"/>.</param>
    public DnsZone Next(
        EndpointSnapshot snapshot, EndpointCursor cursor, IEnumerable<AppId> touched, EquatableArray<IPAddress> nameServers, DnsSchedulers schedulers) =>
        Make(Domains, this, snapshot, cursor, touched, DnsServerNames.Of(Domains, snapshot, cursor, nameServers, schedulers, _servers));

    /// <summary>Every name of every zone, aliases written out, in no order.</summary>
    public IEnumerable<(string Name, DnsNode Node)> Names => _names.Entries.SelectMany(x => Spellings(x.Name).Select(name => (name, x.Node)));

    /// <summary>Every ready task with the addresses and services that are its own.</summary>
    public IEnumerable<(InstanceId Task, AppId App, IEnumerable<(string Name, DnsRecord Record)> Records)> Tasks =>
        _apps.OrderBy(x => x.Key).SelectMany(x => x.Value.Tasks(Domains).Select(t => (t.Task, x.Key, t.Records)));

    /// <summary>The names whose records differ between two states, aliases written out.</summary>
    public static IEnumerable<(string Name, DnsNode? Before, DnsNode? After)> Differences(DnsZone before, DnsZone after) => DnsNameMap
        .Differences(before._names, after._names).SelectMany(x => after.Spellings((x.Before ?? x.After)!.Name).Select(name => (name, x.Before?.Node, x.After?.Node)));

    /// <summary>As a zone file, sorted; for tests and for people. Aliases are left out.</summary>
    public override string ToString() => string.Join('\n', _names.Entries
        .OrderBy(x => string.Join('.', x.Name.Split('.').Reverse()), StringComparer.Ordinal)
        .SelectMany(x => x.Node.Sets.IsEmpty ? (IEnumerable<string>)[$"{x.Name}. ; empty"] : x.Node.Sets.SelectMany(s => s.Select(r => $"{x.Name}. {r}")).Order(StringComparer.Ordinal)));

    private IEnumerable<string> Spellings(string name)
    {
        yield return name;
        foreach (var (suffix, target) in Domains.Aliases)
            if (name.Length > target.Length && DnsNames.IsWithin(name, target)) yield return name[..^target.Length] + suffix;
    }

    private static DnsZone Make(DnsDomains domains, DnsZone? before, EndpointSnapshot snapshot, EndpointCursor cursor, IEnumerable<AppId> touched, DnsServerNames servers)
    {
        var builder = (before?._names ?? DnsNameMap.Empty).ToBuilder();
        // What is new comes before what is old goes: a name that stays is never without its parts.
        for (var i = 0; i < servers.Parts.Length; i++)
        {
            if (before?._servers.Parts[i] == servers.Parts[i]) continue;
            Add(servers.Parts[i].Select(x => KeyValuePair.Create(x.Name, x.Node)));
            if (before is not null) Remove(before._servers.Parts[i].Select(x => KeyValuePair.Create(x.Name, x.Node)));
        }
        var apps = (before?._apps ?? ImmutableDictionary<AppId, DnsAppRecords>.Empty).ToBuilder();
        var groups = (before?._groups ?? ImmutableDictionary<AppId, DnsGroup>.Empty).ToBuilder();
        var regrouped = new HashSet<AppId>();
        foreach (var app in touched)
        {
            var old = apps.GetValueOrDefault(app);
            var now = snapshot.Services.TryGetValue(app, out var entry) ? DnsAppRecords.Of(entry, domains, old) : null;
            if (ReferenceEquals(old, now)) continue;
            Add(DnsAppRecords.Without(now, old));
            Remove(DnsAppRecords.Without(old, now));
            if (now is null) apps.Remove(app);
            else apps[app] = now;
            foreach (var group in DnsGroup.Around(app))
            {
                regrouped.Add(group);
                var counted = groups.GetValueOrDefault(group, DnsGroup.Empty)
                    .With((now is null ? 0 : 1) - (old is null ? 0 : 1), DnsAppRecords.AddressesWithout(now, old), DnsAppRecords.AddressesWithout(old, now));
                if (counted is null) groups.Remove(group);
                else groups[group] = counted;
            }
        }
        foreach (var group in regrouped)
        {
            var (old, now) = (before?._groups.GetValueOrDefault(group)?.Node, groups.GetValueOrDefault(group)?.Node);
            if (ReferenceEquals(old, now)) continue;
            if (now is not null) builder.Add(DnsGroup.NameOf(group, domains), now, domains.Apex);
            if (old is not null) builder.Remove(DnsGroup.NameOf(group, domains), old, domains.Apex);
        }
        return new DnsZone(domains, cursor, builder.ToMap(), apps.ToImmutable(), groups.ToImmutable(), servers);

        void Add(IEnumerable<KeyValuePair<string, DnsNode>> names)
        {
            foreach (var (name, node) in names) builder.Add(name, node, domains.ApexOf(name));
        }

        void Remove(IEnumerable<KeyValuePair<string, DnsNode>> names)
        {
            foreach (var (name, node) in names) builder.Remove(name, node, domains.ApexOf(name));
        }
    }
}
