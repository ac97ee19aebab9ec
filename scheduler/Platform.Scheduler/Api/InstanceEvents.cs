using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>The contract's events about one instance (6.2): its state, its health, its end.</summary>
internal static class InstanceEvents
{
    /// <summary>Two events, where the shown state is another one than before.</summary>
    public static IEnumerable<ContractEvent> OfChange(DateTimeOffset at, ClusterState before, ClusterState after, InstanceId id)
    {
        if (after.Instance(id) is not { } now) return [];
        var state = TaskJson.StateOf(after, now);
        if (before.Instance(id) is { } old && TaskJson.StateOf(before, old) == state) return [];
        return [.. StatusUpdates(at, after, now, state, ""), Changed(at, now, ConditionOf(state))];
    }

    public static IEnumerable<ContractEvent> OfEnd(SchedulerEvent.InstanceEnded x, ClusterState before)
    {
        if (before.Instance(x.Instance) is not { } instance) yield break;
        var state = TaskJson.NameOf(x.End.State);
        if (x.End.HealthKill) yield return UnhealthyKill(x, instance, before.Apps[instance.App].DefinitionOf(instance).TaskIdsOf(instance.Id).First());
        foreach (var update in StatusUpdates(x.At, before, instance, state, x.End.Message)) yield return update;
        yield return Changed(x.At, instance, ConditionOf(state));
    }

    public static IEnumerable<ContractEvent> OfHealth(DateTimeOffset at, ClusterState before, ClusterState after, InstanceId id)
    {
        if (after.Instance(id) is not { } now) yield break;
        var old = before.Instance(id);
        var app = after.Apps[now.App];
        var checks = app.DefinitionOf(now).HealthChecks;
        for (var i = 0; i < Math.Min(checks.Count, now.Health.Count); i++)
        {
            var was = old is not null && i < old.Health.Count ? old.Health[i] : new HealthState();
            if (now.Health[i].LastFailureAt is { } failedAt && failedAt != was.LastFailureAt) yield return CheckFailed(at, now, checks[i]);
            if (now.Health[i].Alive != was.Alive) yield return AliveChanged(at, now, now.Health[i].Alive);
        }
        if (Verdict(app, now) is { } healthy && healthy != (old is null ? null : Verdict(app, old))) yield return HealthChanged(at, now, healthy);
    }

    /// <summary>Null while one of its checks has not been heard of.</summary>
    private static bool? Verdict(AppState app, Instance instance)
    {
        var checks = app.DefinitionOf(instance).HealthChecks.Count;
        if (checks == 0) return null;
        if (instance.Health.Items.Any(h => h is { Seen: true, Alive: false })) return false;
        return instance.Health.Count >= checks && instance.Health.Items.All(h => h.Alive) ? true : null;
    }

    /// <summary>One for each task: an app's instance has one, a pod's has one for each container.</summary>
    private static IEnumerable<ContractEvent> StatusUpdates(DateTimeOffset at, ClusterState cluster, Instance instance, string state, string message) =>
        cluster.Apps[instance.App].DefinitionOf(instance).TaskIdsOf(instance.Id).Select(task => StatusUpdate(at, cluster, instance, task, state, message));

    private static ContractEvent StatusUpdate(DateTimeOffset at, ClusterState cluster, Instance instance, string task, string state, string message) =>
        ContractEvents.Of("status_update_event", at, writer =>
        {
            writer.WriteString("slaveId", instance.Node.Name);
            writer.WriteString("taskId", task);
            writer.WriteString("taskStatus", state);
            writer.WriteString("message", message);
            writer.WriteString("appId", instance.App.Path);
            writer.WriteString("host", instance.Node.Name);
            TaskJson.WriteAddresses(writer, cluster, instance);
            TaskJson.WritePorts(writer, instance);
            writer.WriteString("version", instance.Version.ToString());
        });

    private static ContractEvent Changed(DateTimeOffset at, Instance instance, string condition) =>
        ContractEvents.Of("instance_changed_event", at, writer =>
        {
            writer.WriteString("instanceId", instance.Id.Instance);
            writer.WriteString("condition", condition);
            writer.WriteString("runSpecId", instance.App.Path);
            writer.WriteString("agentId", instance.Node.Name);
            writer.WriteString("host", instance.Node.Name);
            writer.WriteString("runSpecVersion", instance.Version.ToString());
        });

    private static ContractEvent CheckFailed(DateTimeOffset at, Instance instance, HealthCheck check) =>
        ContractEvents.Of("failed_health_check_event", at, writer =>
        {
            writer.WriteString("appId", instance.App.Path);
            writer.WriteString("taskId", instance.Id.Instance); // the contract's name for an instance's id here
            writer.WritePropertyName("healthCheck");
            AppJson.WriteHealthCheck(writer, check);
        });

    private static ContractEvent AliveChanged(DateTimeOffset at, Instance instance, bool alive) =>
        ContractEvents.Of("health_status_changed_event", at, writer =>
        {
            writer.WriteString("appId", instance.App.Path);
            writer.WriteString("instanceId", instance.Id.Instance);
            writer.WriteString("version", instance.Version.ToString());
            writer.WriteBoolean("alive", alive);
        });

    private static ContractEvent HealthChanged(DateTimeOffset at, Instance instance, bool healthy) =>
        ContractEvents.Of("instance_health_changed_event", at, writer =>
        {
            writer.WriteString("instanceId", instance.Id.Instance);
            writer.WriteString("runSpecId", instance.App.Path);
            writer.WriteBoolean("healthy", healthy);
            writer.WriteString("runSpecVersion", instance.Version.ToString());
        });

    private static ContractEvent UnhealthyKill(SchedulerEvent.InstanceEnded x, Instance instance, string task) =>
        ContractEvents.Of("unhealthy_instance_kill_event", x.At, writer =>
        {
            const string mark = "Reason: ";
            var cut = x.End.Message.IndexOf(mark, StringComparison.Ordinal);
            writer.WriteString("appId", instance.App.Path);
            writer.WriteString("taskId", task);
            writer.WriteString("instanceId", instance.Id.Instance);
            writer.WriteString("version", instance.Version.ToString());
            writer.WriteString("reason", cut < 0 ? x.End.Message : x.End.Message[(cut + mark.Length)..]);
            writer.WriteString("host", instance.Node.Name);
            writer.WriteString("slaveId", instance.Node.Name);
        });

    /// <summary>TASK_RUNNING → Running. Marathon has no condition "Lost": what will not come back is gone.</summary>
    private static string ConditionOf(string state) =>
        state == "TASK_LOST" ? "Gone" : state["TASK_".Length..][..1] + state["TASK_".Length..][1..].ToLowerInvariant();
}
