using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>How a pod, an instance or a container is, since when, and why (contract 1.10).</summary>
internal readonly record struct PodCondition(string Status, DateTimeOffset Since, string? Message);

/// <summary>PodStatus: what is wanted, what there is, and how the last ones ended (contract 1.10).</summary>
internal static class PodStatusJson
{
    private const string Pending = "PENDING";
    private const string Staging = "STAGING";
    private const string Stable = "STABLE";
    private const string Degraded = "DEGRADED";
    private const string Terminal = "TERMINAL";

    public static void Write(Utf8JsonWriter writer, ClusterView view, AppState pod, DateTimeOffset now)
    {
        var instances = pod.Instances.Values.OrderBy(i => i.Serial).Select(i => (Instance: i, Condition: Of(view, pod, i))).ToList();
        var condition = Of(view, pod, [.. instances.Select(x => x.Condition)]);
        writer.WriteStartObject();
        writer.WriteString("id", pod.Definition.Id.Path);
        writer.WritePropertyName("spec");
        PodJson.Write(writer, pod.Definition);
        WriteCondition(writer, condition);
        writer.WriteStartArray("instances");
        foreach (var (instance, _) in instances) WriteInstance(writer, view, pod, instance, now);
        writer.WriteEndArray();
        writer.WriteStartArray("terminationHistory");
        foreach (var termination in pod.Terminations.Reverse()) WriteTermination(writer, pod, termination);
        writer.WriteEndArray();
        WriteLooked(writer, now, condition.Since);
        writer.WriteEndObject();
    }

    public static void WriteInstance(Utf8JsonWriter writer, ClusterView view, AppState pod, Instance instance, DateTimeOffset now)
    {
        var definition = pod.DefinitionOf(instance);
        var condition = Of(view, pod, instance);
        writer.WriteStartObject();
        writer.WriteString("id", instance.Id.Text);
        WriteCondition(writer, condition);
        writer.WriteString("agentHostname", instance.Node.Name);
        writer.WriteString("agentId", instance.Node.Name);
        PodJson.WriteResources(writer, "resources", instance.Resources);
        WriteNetworks(writer, view.State, definition, instance);
        writer.WriteStartArray("containers");
        foreach (var container in definition.Pod?.Containers ?? default) WriteContainer(writer, view, definition, instance, container, now);
        writer.WriteEndArray();
        writer.WriteStartArray("localVolumes"); // of persistent volumes, which pods have none of
        writer.WriteEndArray();
        writer.WriteString("specReference", $"/v2/pods{instance.App}::versions/{definition.Version}");
        writer.WriteString("role", "*");
        WriteLooked(writer, now, condition.Since);
        writer.WriteEndObject();
    }

    /// <summary>STABLE is enough of them, as the contract has it: one that is being replaced beside them does no harm.</summary>
    private static PodCondition Of(ClusterView view, AppState pod, PodCondition[] instances)
    {
        var wanted = pod.Definition.Instances;
        var stable = instances.Count(x => x.Status == Stable);
        var since = instances.Select(x => x.Since).Append(pod.Definition.Version.At).Max();
        if (pod.Removing) return new PodCondition(Terminal, since, "The pod is being deleted");
        if (stable >= wanted) return new PodCondition(Stable, since, null);
        var reasons = instances.Where(x => x.Message is not null).Select(x => x.Message!).Distinct();
        if (view.Queue.TryGetValue(pod.Definition.Id, out var item)) reasons = reasons.Append(WaitingOf(item));
        return new PodCondition(Degraded, since, string.Join("; ", reasons.Prepend($"{stable} of {wanted} instances are stable").Take(5)));
    }

    private static string WaitingOf(QueueItem item) => item.Explanation.DelayedUntil is { } until
        ? $"{item.Explanation.Waiting} wait until {Timestamps.Text(until)} after a failure"
        : $"{item.Explanation.Waiting} wait for a node: {string.Join(", ", item.Explanation.NoFits.Take(3).Select(x => $"{x.Node} {x.Detail}"))}";

    private static PodCondition Of(ClusterView view, AppState pod, Instance instance)
    {
        var state = view.State;
        view.Details.TryGetValue(instance.Id, out var detail);
        if (!state.IsReachable(instance))
            return new PodCondition(Degraded, state.Nodes[instance.Node].LostAt ?? instance.StagedAt, $"Node {instance.Node} is not reachable");
        if (instance.IsStopping) return new PodCondition(Terminal, instance.StopAt ?? instance.StagedAt, detail ?? ReasonOf(instance.StopReason));
        if (instance.Ending) return new PodCondition(Terminal, instance.StartedAt ?? instance.StagedAt, detail ?? "One of its containers has ended");
        if (instance.Phase == Phase.Staging && detail is null) return new PodCondition(Pending, instance.StagedAt, null);
        if (instance.Phase != Phase.Running) return new PodCondition(Staging, instance.StagedAt, detail);
        if (pod.IsReady(instance)) return new PodCondition(Stable, instance.ReadyAt ?? instance.StartedAt ?? instance.StagedAt, null);
        var checks = pod.DefinitionOf(instance).HealthChecks;
        var failing = TaskJson.HealthOf(view, instance).Zip(checks).Where(x => x.First is { Seen: true, Alive: false }).ToList();
        return failing.Count == 0
            ? new PodCondition(Staging, instance.StartedAt ?? instance.StagedAt, "Its health checks have not passed yet")
            : new PodCondition(Degraded, failing.Max(x => x.First.LastFailureAt) ?? instance.StagedAt, string.Join("; ", failing.Select(FailureOf)));
    }

    private static string FailureOf((HealthState State, HealthCheck Check) x) =>
        $"The health check of container '{x.Check.Container}' fails: {x.State.LastFailureCause}";

    private static string? ReasonOf(StopReason? reason) => reason switch
    {
        StopReason.Scaled => "The pod is being scaled down",
        StopReason.Replaced => "It is replaced by one of a newer version",
        StopReason.KilledByUser => "It was killed by a user",
        StopReason.AppRemoved => "The pod is being deleted",
        StopReason.Unhealthy => "Its health check failed",
        StopReason.NodeDrained => "Its node is being drained",
        _ => null,
    };

    private static void WriteContainer(
        Utf8JsonWriter writer, ClusterView view, AppDefinition definition, Instance instance, PodContainer container, DateTimeOffset now)
    {
        var since = instance.StartedAt ?? instance.StagedAt;
        var verdict = VerdictOf(view, definition, instance, container);
        writer.WriteStartObject();
        writer.WriteString("name", container.Name);
        writer.WriteString("status", TaskJson.StateOf(view.State, instance));
        writer.WriteString("statusSince", Timestamps.Text(since));
        writer.WriteStartArray("conditions");
        if (verdict is { } healthy)
        {
            writer.WriteStartObject();
            writer.WriteString("name", "healthy");
            writer.WriteString("value", healthy ? "true" : "false");
            writer.WriteString("lastChanged", Timestamps.Text(HealthOf(view, definition, instance, container) is { } health
                ? (healthy ? health.FirstSuccessAt : health.LastFailureAt) ?? since : since));
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteString("containerId", instance.Id.TaskIdOf(container.Name));
        WriteEndpoints(writer, definition, instance, container, verdict);
        PodJson.WriteResources(writer, "resources", container.Resources);
        WriteLooked(writer, now, since);
        writer.WriteEndObject();
    }

    /// <summary>The check of a container speaks for the endpoint that it probes; a command speaks for all of them.</summary>
    private static void WriteEndpoints(Utf8JsonWriter writer, AppDefinition definition, Instance instance, PodContainer container, bool? verdict)
    {
        writer.WriteStartArray("endpoints");
        foreach (var port in definition.Ports)
        {
            if (container.Endpoints.All(x => x.Name != port.Name)) continue;
            writer.WriteStartObject();
            writer.WriteString("name", port.Name);
            if (instance.HostPorts.ElementAtOrDefault(port.Index) is > 0 and var hostPort) writer.WriteNumber("allocatedHostPort", hostPort);
            if (verdict is { } healthy && (container.HealthCheck!.Endpoint ?? port.Name) == port.Name) writer.WriteBoolean("healthy", healthy);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static HealthState? HealthOf(ClusterView view, AppDefinition definition, Instance instance, PodContainer container)
    {
        var check = definition.HealthChecks.FirstOrDefault(x => x.Container == container.Name);
        return check is null ? null : TaskJson.HealthOf(view, instance).ElementAtOrDefault(definition.HealthChecks.Items.IndexOf(check));
    }

    /// <summary>Null without a check, and while nothing has come of it yet.</summary>
    private static bool? VerdictOf(ClusterView view, AppDefinition definition, Instance instance, PodContainer container) =>
        HealthOf(view, definition, instance, container) is { Seen: true } health ? health.Alive : null;

    private static void WriteNetworks(Utf8JsonWriter writer, ClusterState state, AppDefinition definition, Instance instance)
    {
        writer.WriteStartArray("networks");
        var address = definition.Network == NetworkMode.Host
            ? state.Nodes.TryGetValue(instance.Node, out var node) ? node.Description.Address : null
            : instance.ContainerAddress;
        if (instance.Phase == Phase.Running && address is not null)
        {
            writer.WriteStartObject();
            writer.WriteStartArray("addresses");
            writer.WriteStringValue(address);
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void WriteTermination(Utf8JsonWriter writer, AppState pod, PodTermination termination)
    {
        var version = pod.Versions.GetValueOrDefault(termination.Version);
        writer.WriteStartObject();
        writer.WriteString("instanceID", termination.Instance.Text);
        writer.WriteString("startedAt", Timestamps.Text(termination.StagedAt));
        writer.WriteString("terminatedAt", Timestamps.Text(termination.At));
        writer.WriteString("message", termination.Message);
        writer.WriteStartArray("containers");
        foreach (var container in version?.Pod?.Containers ?? default)
        {
            writer.WriteStartObject();
            writer.WriteString("containerId", termination.Instance.TaskIdOf(container.Name));
            if (container.Name == termination.Container)
            {
                writer.WriteStartObject("termination");
                if (termination.ExitCode is { } code) writer.WriteNumber("exitCode", code);
                writer.WriteString("message", termination.Message);
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void WriteCondition(Utf8JsonWriter writer, PodCondition condition)
    {
        writer.WriteString("status", condition.Status);
        writer.WriteString("statusSince", Timestamps.Text(condition.Since));
        if (condition.Message is { } message) writer.WriteString("message", message);
    }

    private static void WriteLooked(Utf8JsonWriter writer, DateTimeOffset now, DateTimeOffset changed)
    {
        writer.WriteString("lastUpdated", Timestamps.Text(now));
        writer.WriteString("lastChanged", Timestamps.Text(changed));
    }
}
