using System.Collections.Immutable;
using System.Globalization;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// Every app has names in DNS that no other has: what cannot be is said when the app is created, not found out by whoever asks for the name.
/// Apps that are there already are left in peace, and so are their ports as long as they stay as they are.
/// </summary>
internal static class NamesInUse
{
    /// <param name="apps">All as they will be.</param>
    /// <param name="before">All as they are.</param>
    public static IEnumerable<Problem> Problems(
        ImmutableSortedDictionary<AppId, AppDefinition> apps, ImmutableSortedDictionary<AppId, AppDefinition> before, IReadOnlyCollection<AppId> set, string domain)
    {
        var problems = set.Where(apps.ContainsKey).Select(id => apps[id]).SelectMany(x => OfPorts(x, before.GetValueOrDefault(x.Id)));
        var created = set.Where(id => apps.ContainsKey(id) && !before.ContainsKey(id)).ToList();
        if (created.Count == 0) return problems;

        // Ids with one name are of one length, and groups with one name are written with a dot in one of them: few need to be looked at.
        var lengths = created.Select(x => x.Path.Length).ToHashSet();
        var holders = apps.Keys.Where(x => lengths.Contains(x.Path.Length)).ToLookup(id => DnsNames.AppLabel(id), StringComparer.Ordinal);
        var dotted = created.Any(IsDotted);
        var groups = apps.Keys.Where(x => dotted || IsDotted(x)).SelectMany(Around).Distinct().ToLookup(x => x.ReverseDotted, StringComparer.Ordinal);
        return problems.Concat(created.SelectMany(id => OfApp(id, holders, domain).Concat(OfGroups(id, groups, domain))));
    }

    private static IEnumerable<Problem> OfApp(AppId id, ILookup<string, AppId> holders, string domain)
    {
        var name = id.ReverseDotted;
        if (name.Length > DnsNames.ServiceLabelLengthMax)
            yield return new Problem("/id", string.Create(CultureInfo.InvariantCulture,
                $"makes a DNS label of {name.Length} characters, {name.Replace('.', '-')}; {DnsNames.ServiceLabelLengthMax} are possible"));
        else if (DnsNames.IsReserved(name, domain)) yield return new Problem("/id", $"its name in DNS, {name}.{domain}, is one of the zone's own");
        else if (holders[DnsNames.AppLabel(id)].FirstOrDefault(x => x != id) is { } other)
            yield return new Problem("/id", $"its name in DNS, {DnsNames.AppLabel(id)}.{domain}, is that of {other} already");
    }

    private static IEnumerable<Problem> OfGroups(AppId id, ILookup<string, AppId> groups, string domain) =>
        from @group in Around(id)
        let other = groups[@group.ReverseDotted].FirstOrDefault(x => x != @group)
        where other is not null
        select new Problem("/id", $"the name of its group {@group} in DNS, {@group.ReverseDotted} in {domain}, is that of the group {other} already");

    private static IEnumerable<Problem> OfPorts(AppDefinition app, AppDefinition? before)
    {
        if (before is not null && before.Ports == app.Ports) yield break;
        var taken = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < app.Ports.Count; i++) taken[string.Create(CultureInfo.InvariantCulture, $"port{i}")] = i;
        foreach (var port in app.Ports)
        {
            if (port.Name is not { Length: > 0 } name) continue;
            var label = DnsNames.Label(name);
            if (name.Length > DnsNames.ServiceLabelLengthMax)
                yield return new Problem(PathOf(port.Index), $"must not be longer than {DnsNames.ServiceLabelLengthMax} characters: it is a label in DNS");
            else if (label.Length > 0 && taken.GetValueOrDefault(label, port.Index) is var other && other != port.Index)
                yield return new Problem(PathOf(port.Index), $"'{name}' is the name of port {other} in DNS");
            else taken[label] = port.Index;
        }

        string PathOf(int port) => app.Pod is not null ? "/containers" : string.Create(CultureInfo.InvariantCulture,
            $"{(app.Network == NetworkMode.Host ? "/portDefinitions" : "/container/portMappings")}({port})/name");
    }

    private static bool IsDotted(AppId id) => id.Path.Contains('.', StringComparison.Ordinal);

    private static IEnumerable<AppId> Around(AppId app)
    {
        for (var group = app.Parent; !group.IsRoot; group = group.Parent) yield return group;
    }
}
