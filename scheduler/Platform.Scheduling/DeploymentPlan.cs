using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>From what is to what shall be, as ordered steps (contract 5.1). Empty steps are dropped; actions of one step run side by side.</summary>
public static class DeploymentPlan
{
    /// <param name="before">Every app users see, as it is.</param>
    /// <param name="after">Every app users shall see.</param>
    public static EquatableArray<DeploymentStep> Steps(
        ImmutableSortedDictionary<AppId, AppDefinition> before, ImmutableSortedDictionary<AppId, AppDefinition> after)
    {
        var stops = before.Keys.Where(id => !after.ContainsKey(id)).Select(id => new DeploymentAction(DeploymentActionKind.StopApplication, id));
        var starts = after.Keys.Where(id => !before.ContainsKey(id)).Select(id => new DeploymentAction(DeploymentActionKind.StartApplication, id));
        var changes = after.Values
            .Select(app => (app.Id, Action: Change(before.GetValueOrDefault(app.Id), app)))
            .Where(x => x.Action is not null)
            .GroupBy(x => Level(x.Id, after), x => new DeploymentAction(x.Action!.Value, x.Id))
            .OrderBy(g => g.Key);
        return new IEnumerable<DeploymentAction>[] { stops, starts }.Concat(changes)
            .Select(actions => new DeploymentStep(actions.ToEquatableArray()))
            .Where(step => !step.Actions.IsEmpty)
            .ToEquatableArray();
    }

    /// <summary>The apps a dependency means: itself, or all apps of a group. A missing id means none.</summary>
    public static IEnumerable<AppId> Meant(AppId dependency, IEnumerable<AppId> apps) => apps.Where(a => a.IsWithin(dependency));

    /// <summary>True if following the dependencies leads back to where one began.</summary>
    public static bool HasCycle(ImmutableSortedDictionary<AppId, AppDefinition> apps)
    {
        var done = new Dictionary<AppId, bool>(); // false while being walked
        bool Walk(AppId id)
        {
            if (done.TryGetValue(id, out var finished)) return !finished;
            done[id] = false;
            if (Below(id, apps).Any(Walk)) return true;
            done[id] = true;
            return false;
        }
        return apps.Keys.Any(Walk);
    }

    private static DeploymentActionKind? Change(AppDefinition? before, AppDefinition after)
    {
        if (before is null) return DeploymentActionKind.ScaleApplication;
        if (before.VersionInfo.LastConfigChangeAt != after.VersionInfo.LastConfigChangeAt && after.Instances > 0) return DeploymentActionKind.RestartApplication;
        return before.Version != after.Version ? DeploymentActionKind.ScaleApplication : null;
    }

    private static int Level(AppId id, ImmutableSortedDictionary<AppId, AppDefinition> apps) =>
        Below(id, apps).Select(below => Level(below, apps) + 1).DefaultIfEmpty(0).Max();

    private static IEnumerable<AppId> Below(AppId id, ImmutableSortedDictionary<AppId, AppDefinition> apps) =>
        apps[id].Dependencies.SelectMany(d => Meant(d, apps.Keys)).Where(a => a != id).Distinct();
}
