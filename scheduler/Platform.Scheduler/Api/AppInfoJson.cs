using System.Text.Json;
using Microsoft.Extensions.Primitives;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>What an answer shows of an app beside its definition (contract 1.4 <c>embed</c>).</summary>
[Flags]
internal enum Embed { None = 0, Counts = 1, Deployments = 2, Tasks = 4, LastTaskFailure = 8, Readiness = 16, TaskStats = 32 }

/// <summary>How many tasks are in which state (contract 2.8). Health counts while a task runs and is within reach.</summary>
internal readonly record struct TaskCounts(int Staged, int Running, int Healthy, int Unhealthy)
{
    public static TaskCounts Of(ClusterView view, AppState app, IEnumerable<Instance> instances)
    {
        var counts = default(TaskCounts);
        foreach (var instance in instances)
            switch (TaskJson.StateOf(view.State, instance))
            {
                case TaskJson.Staging or TaskJson.Starting:
                    counts = counts with { Staged = counts.Staged + 1 };
                    break;
                case TaskJson.Running:
                    counts = counts with { Running = counts.Running + 1 };
                    var health = TaskJson.HealthOf(view, instance);
                    if (health.IsEmpty) break;
                    if (!health.Items.All(h => h.Alive)) counts = counts with { Unhealthy = counts.Unhealthy + 1 };
                    else if (health.Count >= app.DefinitionOf(instance).HealthChecks.Count) counts = counts with { Healthy = counts.Healthy + 1 };
                    break;
            }
        return counts;
    }
}

/// <summary>AppInfo: the definition with its read-only extras (contract 2.8).</summary>
internal static class AppInfoJson
{
    public const Embed ListDefault = Embed.Counts | Embed.Deployments;
    public const Embed SingleDefault = ListDefault | Embed.Tasks | Embed.LastTaskFailure;

    private static readonly string[] Prefixes = ["group.apps.", "apps.", "app."];

    /// <summary>Unknown names are ignored; what is shown anyway cannot be asked away.</summary>
    public static Embed Read(StringValues names, Embed always) => names.Aggregate(always, (embed, name) => embed | Of(name ?? ""));

    public static void Write(Utf8JsonWriter writer, ClusterView view, AppState app, Embed embed, DateTimeOffset now)
    {
        writer.WriteStartObject();
        AppJson.WriteMembers(writer, app.Definition);
        if (embed.HasFlag(Embed.Counts)) WriteCounts(writer, TaskCounts.Of(view, app, app.Instances.Values));
        if (embed.HasFlag(Embed.Deployments)) WriteDeployments(writer, view.State.DeploymentsOf(app.Definition.Id).Select(d => d.Id));
        if (embed.HasFlag(Embed.Readiness)) DeploymentsEndpoints.WriteReadiness(writer, view, app);
        if (embed.HasFlag(Embed.Tasks))
        {
            writer.WriteStartArray("tasks");
            foreach (var instance in app.Instances.Values) TaskJson.Write(writer, view, instance, withServicePorts: false);
            writer.WriteEndArray();
        }
        if (embed.HasFlag(Embed.LastTaskFailure) && app.LastFailure is { } failure) WriteFailure(writer, app.Definition.Id, failure);
        if (embed.HasFlag(Embed.TaskStats)) TaskStatsJson.Write(writer, view, app, now);
        writer.WriteEndObject();
    }

    /// <summary>The answer to a POST: the app as it was stored, before anything of it has begun to run.</summary>
    public static void WriteCreated(Utf8JsonWriter writer, AppDefinition app, string deployment)
    {
        writer.WriteStartObject();
        AppJson.WriteMembers(writer, app);
        WriteCounts(writer, default);
        WriteDeployments(writer, [deployment]);
        writer.WriteStartArray("tasks"); // clients of 1.4 and before read it
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static Embed Of(string name)
    {
        var prefix = Prefixes.FirstOrDefault(p => name.StartsWith(p, StringComparison.Ordinal)) ?? "";
        return name[prefix.Length..] switch
        {
            "tasks" => Embed.Tasks | Embed.Deployments,
            "counts" => Embed.Counts,
            "deployments" => Embed.Deployments,
            "readiness" => Embed.Readiness,
            "lastTaskFailure" => Embed.LastTaskFailure,
            "taskStats" => Embed.TaskStats,
            "failures" => Embed.Tasks | Embed.LastTaskFailure | Embed.Deployments,
            _ => Embed.None,
        };
    }

    private static void WriteCounts(Utf8JsonWriter writer, TaskCounts counts)
    {
        writer.WriteNumber("tasksStaged", counts.Staged);
        writer.WriteNumber("tasksRunning", counts.Running);
        writer.WriteNumber("tasksHealthy", counts.Healthy);
        writer.WriteNumber("tasksUnhealthy", counts.Unhealthy);
    }

    private static void WriteDeployments(Utf8JsonWriter writer, IEnumerable<string> ids)
    {
        writer.WriteStartArray("deployments");
        foreach (var id in ids)
        {
            writer.WriteStartObject();
            writer.WriteString("id", id);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void WriteFailure(Utf8JsonWriter writer, AppId app, TaskFailure failure)
    {
        writer.WriteStartObject("lastTaskFailure");
        writer.WriteString("appId", app.Path);
        writer.WriteString("host", failure.Node.Name);
        writer.WriteString("message", failure.Message);
        writer.WriteString("state", TaskJson.NameOf(failure.State));
        writer.WriteString("taskId", failure.Instance.TaskId);
        writer.WriteString("timestamp", Timestamps.Text(failure.At));
        writer.WriteString("version", failure.Version.ToString());
        writer.WriteString("slaveId", failure.Node.Name);
        writer.WriteEndObject();
    }
}

/// <summary><c>tasksStats</c>: the embed is spelled <c>apps.taskStats</c>, the key is not (contract 2.8). Groups without tasks are left out.</summary>
internal static class TaskStatsJson
{
    public static void Write(Utf8JsonWriter writer, ClusterView view, AppState app, DateTimeOffset now)
    {
        var all = app.Instances.Values;
        var info = app.Definition.VersionInfo;
        writer.WriteStartObject("tasksStats");
        WriteGroup(writer, "startedAfterLastScaling", view, app, [.. all.Where(i => i.StagedAt >= info.LastScalingAt.At)], now);
        WriteGroup(writer, "withLatestConfig", view, app, [.. all.Where(app.IsCurrent)], now);
        WriteGroup(writer, "withOutdatedConfig", view, app, [.. all.Where(i => !app.IsCurrent(i))], now);
        WriteGroup(writer, "totalSummary", view, app, [.. all], now);
        writer.WriteEndObject();
    }

    private static void WriteGroup(Utf8JsonWriter writer, string name, ClusterView view, AppState app, Instance[] instances, DateTimeOffset now)
    {
        if (instances.Length == 0) return;
        var counts = TaskCounts.Of(view, app, instances);
        writer.WriteStartObject(name);
        writer.WriteStartObject("stats");
        writer.WriteStartObject("counts");
        writer.WriteNumber("staged", counts.Staged);
        writer.WriteNumber("running", counts.Running);
        writer.WriteNumber("healthy", counts.Healthy);
        writer.WriteNumber("unhealthy", counts.Unhealthy);
        writer.WriteEndObject();
        WriteLifeTime(writer, [.. instances.Where(i => i.StartedAt is not null).Select(i => Math.Max(0, (now - i.StartedAt!.Value).TotalSeconds)).Order()]);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void WriteLifeTime(Utf8JsonWriter writer, double[] sortedSeconds)
    {
        if (sortedSeconds.Length == 0) return;
        var middle = sortedSeconds.Length / 2;
        var median = sortedSeconds.Length % 2 == 1 ? sortedSeconds[middle] : (sortedSeconds[middle - 1] + sortedSeconds[middle]) / 2;
        writer.WriteStartObject("lifeTime");
        writer.WriteNumber("averageSeconds", Math.Round(sortedSeconds.Average(), 3));
        writer.WriteNumber("medianSeconds", Math.Round(median, 3));
        writer.WriteEndObject();
    }
}
