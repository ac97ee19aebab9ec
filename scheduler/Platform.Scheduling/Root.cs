using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>The root group with all that is in it, as users see it: now, or at one of its versions. Who is in whom is found out once.</summary>
/// <param name="groups">What was said of groups; one that is not here exists as long as an app or a group is in it.</param>
public sealed class Root(ImmutableSortedDictionary<AppId, AppDefinition> apps, ImmutableSortedDictionary<AppId, GroupDefinition> groups)
{
    private ImmutableSortedSet<AppId>? _groupIds;
    private ILookup<AppId, AppDefinition>? _appsIn;
    private ILookup<AppId, AppId>? _groupsIn;

    public ImmutableSortedDictionary<AppId, AppDefinition> Apps => apps;
    public ImmutableSortedDictionary<AppId, GroupDefinition> Groups => groups;

    /// <summary>Every group below the root, each after its parent.</summary>
    public ImmutableSortedSet<AppId> GroupIds => _groupIds ??= FindGroups();

    public bool HasGroup(AppId id) => id.IsRoot || GroupIds.Contains(id);

    /// <summary>The group's own apps.</summary>
    public IEnumerable<AppDefinition> AppsIn(AppId group) => (_appsIn ??= apps.Values.ToLookup(a => a.Id.Parent))[group];

    /// <summary>The groups directly in it.</summary>
    public IEnumerable<AppId> GroupsIn(AppId group) => (_groupsIn ??= GroupIds.ToLookup(g => g.Parent))[group];

    /// <summary>The apps of the group and of all groups in it.</summary>
    public IEnumerable<AppDefinition> AppsWithin(AppId group) => apps.Values.Where(a => a.Id != group && a.Id.IsWithin(group));

    private ImmutableSortedSet<AppId> FindGroups()
    {
        var ids = new HashSet<AppId>();
        foreach (var start in apps.Keys.Select(a => a.Parent).Concat(groups.Keys))
            for (var id = start; !id.IsRoot && ids.Add(id);) id = id.Parent;
        return [.. ids];
    }
}

/// <summary>What was said of a group before a change; null = nothing.</summary>
public sealed record OriginalGroup(AppId Group, GroupDefinition? Definition);

/// <summary>
/// A version of the root, kept as what takes its change back: as much as was touched, however large the root is. Definitions are those that the
/// state held anyway, so that a version stays whole when its apps are forgotten.
/// </summary>
public sealed record RootVersion(AppVersion Version, EquatableArray<OriginalApp> Apps, EquatableArray<OriginalGroup> Groups)
{
    public bool Touches(AppId group) => Apps.Items.Any(a => a.App != group && a.App.IsWithin(group)) || Groups.Items.Any(g => g.Group.IsWithin(group));
}

public sealed partial record ClusterState
{
    public const int RootVersionsMax = 50;

    /// <summary>What was said of groups themselves.</summary>
    public ImmutableSortedDictionary<AppId, GroupDefinition> Groups { get; init; } = ImmutableSortedDictionary<AppId, GroupDefinition>.Empty;

    /// <summary>The newest versions of the root.</summary>
    public ImmutableSortedDictionary<AppVersion, RootVersion> RootVersions { get; init; } = ImmutableSortedDictionary<AppVersion, RootVersion>.Empty;

    /// <summary>For each group the version of the root that last changed something in it.</summary>
    public ImmutableSortedDictionary<AppId, AppVersion> GroupVersions { get; init; } = ImmutableSortedDictionary<AppId, AppVersion>.Empty;

    public Root CurrentRoot() => new(Apps.Where(a => !a.Value.Removing).ToImmutableSortedDictionary(a => a.Key, a => a.Value.Definition), Groups);

    public bool HasGroup(AppId id) => id.IsRoot || Groups.Keys.Any(g => g.IsWithin(id))
        || Apps.Values.Any(a => !a.Removing && a.Definition.Id != id && a.Definition.Id.IsWithin(id));

    /// <summary>The version of an existing group. A state from before groups had any says what its apps say.</summary>
    public AppVersion VersionOf(AppId group)
    {
        if (group.IsRoot) return RootVersions.IsEmpty ? LastVersion : RootVersions.Keys.Last();
        return GroupVersions.TryGetValue(group, out var version) ? version
            : Apps.Values.Where(a => a.Definition.Id.IsWithin(group)).Select(a => a.Definition.Version).Append(default).Max();
    }

    /// <summary>Newest first: those that changed the group and left it in existence.</summary>
    public IEnumerable<AppVersion> VersionsOf(AppId group)
    {
        if (group.IsRoot) return RootVersions.Keys.Reverse();
        return RootVersions.Values.Reverse().Where(v => v.Touches(group) && RootAsOf(v.Version)!.HasGroup(group)).Select(v => v.Version);
    }

    /// <summary>The root as it was; null if that version is not kept, or never was.</summary>
    public Root? RootAsOf(AppVersion version)
    {
        if (!RootVersions.ContainsKey(version)) return null;
        var now = CurrentRoot();
        var (apps, groups) = (now.Apps.ToBuilder(), now.Groups.ToBuilder());
        foreach (var later in RootVersions.Values.Reverse().TakeWhile(v => v.Version > version))
        {
            foreach (var (id, definition) in later.Apps)
                if (definition is null) apps.Remove(id);
                else apps[id] = definition;
            foreach (var (id, definition) in later.Groups)
                if (definition is null) groups.Remove(id);
                else groups[id] = definition;
        }
        return new Root(apps.ToImmutable(), groups.ToImmutable());
    }

    /// <summary>The version of a group as of a version of the root.</summary>
    public AppVersion VersionOf(AppId group, AppVersion asOf) => group.IsRoot ? asOf
        : RootVersions.Values.Reverse().Where(v => v.Version <= asOf && v.Touches(group)).Select(v => v.Version).Append(RootVersions.Keys.First()).First();

    private ClusterState WithRootVersion(ClusterState before, SchedulerEvent.DeploymentStarted x)
    {
        var apps = x.Set.Select(d => d.Id).Concat(x.Removed.Where(id => before.App(id) is not null)).Distinct()
            .Select(id => new OriginalApp(id, before.App(id)?.Definition)).ToEquatableArray();
        var groups = x.SetGroups.Select(g => g.Id).Concat(x.RemovedGroups).Distinct()
            .Select(id => new OriginalGroup(id, before.Groups.GetValueOrDefault(id))).ToEquatableArray();
        if (apps.IsEmpty && groups.IsEmpty) return this;
        var version = new RootVersion(x.Deployment.Version, apps, groups);
        var versions = RootVersions.SetItem(version.Version, version);
        var groupVersions = GroupVersions.SetItems(GroupsAround(version).Select(g => KeyValuePair.Create(g, version.Version)));
        if (!x.Removed.IsEmpty || !x.RemovedGroups.IsEmpty) groupVersions = groupVersions.RemoveRange(groupVersions.Keys.Except(CurrentRoot().GroupIds));
        return this with { RootVersions = versions.RemoveRange(versions.Keys.Take(versions.Count - RootVersionsMax)), GroupVersions = groupVersions };
    }

    private static HashSet<AppId> GroupsAround(RootVersion change)
    {
        var around = new HashSet<AppId>();
        foreach (var start in change.Apps.Select(a => a.App.Parent).Concat(change.Groups.Select(g => g.Group)))
            for (var id = start; !id.IsRoot && around.Add(id);) id = id.Parent;
        return around;
    }
}
