using System.Globalization;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What becomes of the commands about groups (contract 1.5).</summary>
internal static class GroupDecisions
{
    /// <summary>A rounding error must not start an instance: 10 × 1.1 is 11.</summary>
    private const double ScalePrecision = 1e-9;

    public static Decision Write(RootChange change, Command.WriteGroup x)
    {
        switch (GroupReader.Read(x.Body, x.Group))
        {
            case GroupReadResult.Structure structure: return Write(change, x, structure.Group);
            case GroupReadResult.Rollback rollback: return RollBack(change, x, rollback);
            case GroupReadResult.Scaling scaling: return Scale(change, x, scaling);
            case GroupReadResult.Refused refused: return Decider.NotValid(refused.Refusal);
            default: throw new System.Diagnostics.UnreachableException();
        }
    }

    public static Decision Patch(RootChange change, Command.PatchGroup x)
    {
        var (enforce, refusal) = GroupReader.ReadPatch(x.Body);
        if (refusal is not null) return Decider.NotValid(refusal);
        if (x.Group.IsRoot || !x.Group.Parent.IsRoot) return NotValid("/id", "Path needs to be top-level");
        if (!change.Before.HasGroup(x.Group)) return NotFound(x.Group);
        var definition = change.Before.Groups.GetValueOrDefault(x.Group) ?? new GroupDefinition(x.Group, default, null);
        change.Group = x.Group;
        change.SetGroup(definition with { EnforceRole = enforce });
        return change.Decide(force: false);
    }

    public static Decision Delete(RootChange change, Command.DeleteGroup x)
    {
        if (!change.Before.HasGroup(x.Group)) return NotFound(x.Group);
        change.Group = x.Group;
        RemoveAllIn(change, x.Group);
        return change.Decide(x.Force);
    }

    private static Decision Write(RootChange change, Command.WriteGroup x, GroupUpdate update)
    {
        var exists = change.Before.HasGroup(update.Id);
        if (!x.MayExist)
        {
            if (exists) return Decider.Refuse(RejectCode.Exists, $"Group {update.Id} is already created. Use PUT to change this group.");
            if (change.Before.Apps.ContainsKey(update.Id)) return Decider.Refuse(RejectCode.Exists, $"An app with the path {update.Id} already exists.");
        }
        var problems = new List<Problem>();
        change.Group = update.Id;
        for (var around = update.Id; !around.IsRoot; around = around.Parent) change.Keep(around);
        Apply(change, update, problems);
        return problems.Count > 0 ? NotValid(problems) : change.Decide(x.Force, created: !exists);
    }

    private static void Apply(RootChange change, GroupUpdate update, List<Problem> problems)
    {
        var before = change.Before;
        var known = before.Groups.GetValueOrDefault(update.Id);
        if (!update.Id.IsRoot) change.Keep(update.Id);
        if (before.HasGroup(update.Id) && update.EnforceRole is { } enforce && enforce != (known?.EnforceRole ?? false))
            problems.Add(new Problem($"{update.Path}/enforceRole", "enforceRole of an existing group is changed by PATCH only"));
        var enforceRole = before.HasGroup(update.Id) ? known?.EnforceRole : update.EnforceRole;
        var next = new GroupDefinition(update.Id, update.Dependencies ?? known?.Dependencies ?? default, enforceRole);
        if (next != (known ?? new GroupDefinition(update.Id, default, null))) change.SetGroup(next);

        if (update.Apps is { } apps)
        {
            foreach (var id in before.AppsIn(update.Id).Where(a => a.Pod is null).Select(a => a.Id).Except(apps.Select(a => a.Id))) change.Remove(id);
            foreach (var app in apps) change.Set(app);
        }
        foreach (var pod in update.Pods ?? default) change.Set(pod);
        if (update.Groups is not { } groups) return;
        foreach (var id in before.GroupsIn(update.Id).Except(groups.Select(g => g.Id))) RemoveAllIn(change, id);
        foreach (var group in groups) Apply(change, group, problems);
    }

    private static Decision RollBack(RootChange change, Command.WriteGroup x, GroupReadResult.Rollback rollback)
    {
        if (change.State.RootAsOf(rollback.Version) is not { } then || !then.HasGroup(rollback.Group))
            return Decider.Refuse(RejectCode.BadArgument, $"Group {rollback.Group} not available in version {rollback.Version}");
        change.Group = rollback.Group;
        var now = change.Before;
        foreach (var app in then.AppsWithin(rollback.Group)) change.Set(app);
        foreach (var app in now.AppsWithin(rollback.Group).Where(a => !then.Apps.ContainsKey(a.Id))) change.Remove(app.Id);
        foreach (var group in then.Groups.Values.Where(g => g.Id.IsWithin(rollback.Group))) change.SetGroup(group);
        foreach (var id in now.Groups.Keys.Where(id => id.IsWithin(rollback.Group) && !then.Groups.ContainsKey(id))) change.RemoveGroup(id);
        return change.Decide(x.Force, created: !now.HasGroup(rollback.Group));
    }

    private static Decision Scale(RootChange change, Command.WriteGroup x, GroupReadResult.Scaling scaling)
    {
        if (!change.Before.HasGroup(scaling.Group)) return NotFound(scaling.Group);
        change.Group = scaling.Group;
        var problems = new List<Problem>();
        foreach (var app in change.Before.AppsWithin(scaling.Group))
        {
            var instances = Math.Ceiling(app.Instances * scaling.Factor - ScalePrecision);
            if (instances <= AppLimits.InstancesMax) change.Set(app with { Instances = (int)Math.Max(0, instances) });
            else problems.Add(new Problem("/scaleBy", string.Create(
                CultureInfo.InvariantCulture, $"{app.Id} would have {instances} instances, at most {AppLimits.InstancesMax} are allowed")));
        }
        return problems.Count > 0 ? NotValid(problems) : change.Decide(x.Force);
    }

    private static void RemoveAllIn(RootChange change, AppId group)
    {
        foreach (var app in change.Before.AppsWithin(group)) change.Remove(app.Id);
        foreach (var id in change.Before.Groups.Keys.Where(id => id.IsWithin(group))) change.RemoveGroup(id);
    }

    private static Decision.Refused NotFound(AppId group) => Decider.Refuse(RejectCode.NotFound, $"Group '{group}' does not exist");
    private static Decision.Refused NotValid(string path, string reason) => NotValid([new Problem(path, reason)]);

    private static Decision.Refused NotValid(List<Problem> problems) =>
        Decider.NotValid(new Refusal(RefusalFamily.ObjectNotValid, problems.Take(AppLimits.ProblemsMax).ToEquatableArray()));
}
