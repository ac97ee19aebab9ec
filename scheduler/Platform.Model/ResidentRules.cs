namespace Platform.Model;

/// <summary>What must hold of apps with persistent volumes (contract 2.3, 5.11).</summary>
public static class ResidentRules
{
    private const string NoChange = "Services with persistent volumes configured may not change {0}. The reservation they were started with stays as it is; deploy another app instead.";

    /// <summary>What may not change once it is there: data and reservation were made for the app as it was.</summary>
    public static IEnumerable<Problem> Changes(AppDefinition before, AppDefinition after)
    {
        if (!before.IsResident && !after.IsResident) yield break;
        if (!before.PersistentVolumes.SequenceEqual(after.PersistentVolumes)) yield return new Problem("/container/volumes", "Persistent volumes can not be changed!");
        if (before.Resources != after.Resources || before.RequirePorts != after.RequirePorts)
            yield return new Problem("/", NoChange.Replace("{0}", "resource requirements", StringComparison.Ordinal));
        if (!FixedPorts(before).SetEquals(FixedPorts(after)))
            yield return new Problem("/", NoChange.Replace("{0}", "host ports", StringComparison.Ordinal));
    }

    internal static void Check(AppDefinition app, ProblemList rules)
    {
        if (app.IsResident && app.UnreachableStrategy != UnreachableStrategy.Disabled)
            rules.Add("/unreachableStrategy", "unreachableStrategy must be disabled for resident tasks");
        if (app.Residency is not null && !app.PersistentVolumes.Any())
            rules.Add("/residency", "AppDefinition must contain persistent volumes and define residency");
    }

    internal static void Check(PersistentVolume volume, string path, ProblemList rules)
    {
        var isSegment = volume.ContainerPath is not ("." or "..") && !volume.ContainerPath.Any(x => x is '/' or ':' || char.IsControl(x));
        if (!isSegment) rules.Add($"{path}/containerPath", "must be one path segment, found in the task's sandbox: no '/' or ':', not '.' or '..'");
        if (!(volume.SizeMib > 0)) rules.Add($"{path}/persistent/size", "must be greater than 0");
    }

    private static HashSet<int> FixedPorts(AppDefinition app) => app.Ports.Select(x => x.HostPort ?? 0).Where(x => x > 0).ToHashSet();
}
