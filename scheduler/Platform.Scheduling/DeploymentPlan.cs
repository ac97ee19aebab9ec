using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>From what is to what shall be, as ordered steps (contract 5.1). Empty steps are dropped; actions of one step run side by side.</summary>
public static class DeploymentPlan
{
    /// <param name="before">Every app users see, as it is.</param>
    /// <param name="after">Every app users shall see.</param>
    /// <param name="groups">What groups depend on, all apps in them do.</param>
    public static EquatableArray<DeploymentStep> Steps(
        ImmutableSortedDictionary<AppId, AppDefinition> before, ImmutableSortedDictionary<AppId, AppDefinition> after,
        ImmutableSortedDictionary<AppId, GroupDefinition>? groups = null)
    {
        var stops = before.Keys.Where(id => !after.ContainsKey(id)).Select(id => new DeploymentAction(DeploymentActionKind.StopApplication, id));
        var starts = after.Keys.Where(id => !before.ContainsKey(id)).Select(id => new DeploymentAction(DeploymentActionKind.StartApplication, id));
        var levels = Levels(after, groups);
        var changes = after.Values
            .Select(app => (app.Id, Action: Change(before.GetValueOrDefault(app.Id), app)))
            .Where(x => x.Action is not null)
            .GroupBy(x => levels[x.Id], x => new DeploymentAction(x.Action!.Value, x.Id))
            .OrderBy(g => g.Key);
        return new IEnumerable<DeploymentAction>[] { stops, starts }.Concat(changes)
            .Select(actions => new DeploymentStep(actions.Select(a => a with { IsPod = IsPod(a.App) }).ToEquatableArray()))
            .Where(step => !step.Actions.IsEmpty)
            .ToEquatableArray();

        bool IsPod(AppId id) => (after.GetValueOrDefault(id) ?? before[id]).Pod is not null;
    }

    /// <summary>The apps a dependency means: itself, or all apps of a group. A missing id means none.</summary>
    public static IEnumerable<AppId> Meant(AppId dependency, IEnumerable<AppId> apps) => apps.Where(a => a.IsWithin(dependency));

    /// <summary>True if following the dependencies leads back to where one began.</summary>
    public static bool HasCycle(ImmutableSortedDictionary<AppId, AppDefinition> apps, ImmutableSortedDictionary<AppId, GroupDefinition>? groups = null) =>
        Levels(apps, groups).Count < apps.Count;

    private static DeploymentActionKind? Change(AppDefinition? before, AppDefinition after)
    {
        if (before is null) return DeploymentActionKind.ScaleApplication;
        if (before.VersionInfo.LastConfigChangeAt != after.VersionInfo.LastConfigChangeAt && after.Instances > 0) return DeploymentActionKind.RestartApplication;
        return before.Version != after.Version ? DeploymentActionKind.ScaleApplication : null;
    }

    /// <summary>
    /// The length of each app's longest way down its dependencies; apps on or above a cycle have none. Each app is visited once, without recursion:
    /// what users nest or chain must not cost the scheduler its stack or its time.
    /// </summary>
    private static Dictionary<AppId, int> Levels(
        ImmutableSortedDictionary<AppId, AppDefinition> apps, ImmutableSortedDictionary<AppId, GroupDefinition>? groups)
    {
        var meant = new Dictionary<AppId, List<AppId>>();
        var waitsFor = new Dictionary<AppId, int>();
        var above = new Dictionary<AppId, List<AppId>>();
        foreach (var (id, app) in apps)
        {
            var below = app.Dependencies.Concat(Inherited(id, groups)).SelectMany(All).Where(a => a != id).Distinct().ToList();
            waitsFor[id] = below.Count;
            foreach (var dependency in below)
                if (above.TryGetValue(dependency, out var list)) list.Add(id);
                else above[dependency] = [id];
        }
        var levels = new Dictionary<AppId, int>();
        var level = apps.Keys.Where(id => waitsFor[id] == 0).ToList();
        for (var depth = 0; level.Count > 0; depth++)
        {
            foreach (var id in level) levels[id] = depth;
            level = level.SelectMany(id => above.GetValueOrDefault(id) ?? []).Where(id => --waitsFor[id] == 0).ToList();
        }
        return levels;

        List<AppId> All(AppId dependency) =>
            meant.TryGetValue(dependency, out var known) ? known : meant[dependency] = [.. Meant(dependency, apps.Keys)];
    }

    /// <summary>A group's dependencies are those of everything in it, at any depth.</summary>
    private static IEnumerable<AppId> Inherited(AppId app, ImmutableSortedDictionary<AppId, GroupDefinition>? groups)
    {
        if (groups is null || groups.IsEmpty) yield break;
        for (var group = app.Parent; ; group = group.Parent)
        {
            if (groups.TryGetValue(group, out var definition))
                foreach (var dependency in definition.Dependencies) yield return dependency;
            if (group.IsRoot) yield break;
        }
    }
}
