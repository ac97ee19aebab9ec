using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>Instances as the contract's tasks (section 3), in JSON and in the bridge's text.</summary>
internal static class TaskJson
{
    public const string Staging = "TASK_STAGING";
    public const string Starting = "TASK_STARTING";
    public const string Running = "TASK_RUNNING";
    public const string Killing = "TASK_KILLING";
    public const string Unreachable = "TASK_UNREACHABLE";

    /// <summary>The shown state. One that drains still serves, so it is running until its agent is told to stop it.</summary>
    public static string StateOf(ClusterState state, Instance instance)
    {
        if (!state.IsReachable(instance)) return Unreachable;
        if (instance is { IsStopping: true, Drained: true }) return Killing;
        return instance.Phase switch { Phase.Staging => Staging, Phase.Starting => Starting, _ => Running };
    }

    public static string NameOf(TerminalState state) => state switch
    {
        TerminalState.Finished => "TASK_FINISHED",
        TerminalState.Failed => "TASK_FAILED",
        TerminalState.Killed => "TASK_KILLED",
        TerminalState.Error => "TASK_ERROR",
        TerminalState.Lost => "TASK_LOST",
        TerminalState.Gone => "TASK_GONE",
        _ => throw new System.Diagnostics.UnreachableException($"{state}"),
    };

    public static void Write(Utf8JsonWriter writer, ClusterView view, Instance instance, bool withServicePorts)
    {
        var state = view.State;
        writer.WriteStartObject();
        writer.WriteString("id", instance.Id.TaskId);
        writer.WriteString("appId", instance.App.Path);
        writer.WriteString("host", instance.Node.Name);
        writer.WriteString("slaveId", instance.Node.Name);
        writer.WriteString("state", StateOf(state, instance));
        writer.WriteString("stagedAt", Timestamps.Text(instance.StagedAt));
        if (instance.StartedAt is { } startedAt) writer.WriteString("startedAt", Timestamps.Text(startedAt));
        writer.WriteString("version", instance.Version.ToString());
        WritePorts(writer, instance);
        if (withServicePorts)
        {
            writer.WriteStartArray("servicePorts");
            if (state.Apps.TryGetValue(instance.App, out var app))
                foreach (var port in app.DefinitionOf(instance).Ports) writer.WriteNumberValue(port.ServicePort);
            writer.WriteEndArray();
        }
        WriteAddresses(writer, state, instance);
        WriteHealth(writer, view, instance);
        if (state.Apps.TryGetValue(instance.App, out var owner) && owner.ReservationOf(instance.Id) is { } reservation) WriteVolumes(writer, instance.App, reservation);
        if (view.Details.TryGetValue(instance.Id, out var detail)) writer.WriteString("detail", detail); // our own addition: how far a pull is
        writer.WriteEndObject();
    }

    public static void WriteVolumes(Utf8JsonWriter writer, AppId app, Reservation reservation)
    {
        writer.WriteStartArray("localVolumes");
        foreach (var volume in reservation.Volumes)
        {
            writer.WriteStartObject();
            writer.WriteString("runSpecId", app.Path);
            writer.WriteString("containerPath", volume.ContainerPath);
            writer.WriteString("uuid", volume.Uuid);
            writer.WriteString("persistenceId", volume.PersistenceId(app));
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    /// <summary>Host ports in declared order; what is not published on the host has none.</summary>
    public static void WritePorts(Utf8JsonWriter writer, Instance instance)
    {
        writer.WriteStartArray("ports");
        foreach (var port in instance.HostPorts)
            if (port > 0) writer.WriteNumberValue(port);
        writer.WriteEndArray();
    }

    public static void WriteAddresses(Utf8JsonWriter writer, ClusterState state, Instance instance)
    {
        if (instance.Phase != Phase.Running || AddressOf(state, instance) is not { } address) return;
        writer.WriteStartArray("ipAddresses");
        writer.WriteStartObject();
        writer.WriteString("ipAddress", address);
        writer.WriteString("protocol", IPAddress.TryParse(address, out var ip) && ip.AddressFamily == AddressFamily.InterNetworkV6 ? "IPv6" : "IPv4");
        writer.WriteEndObject();
        writer.WriteEndArray();
    }

    /// <summary>
    /// The text form (contract 1.7): a line for each app and service port, every address followed by a tab. The bridge connects to what stands
    /// here, so it is the node's address, which always resolves. Without ports a line would only list hosts, and the bridge stumbles over
    /// one that has none: such an app is left out until a task runs.
    /// </summary>
    public static string Text(ClusterState state, IEnumerable<AppState> apps)
    {
        var text = new StringBuilder();
        foreach (var app in apps)
        {
            var name = app.Definition.Id.Underscored;
            var running = app.Instances.Values.Where(i => !i.IsStopping && StateOf(state, i) == Running).ToList(); // a bridge, too, lets go of what drains
            var ports = app.Definition.Ports;
            foreach (var port in ports)
            {
                text.Append(name).Append('\t').Append(port.ServicePort).Append('\t');
                var addresses = running.Select(i => $"{state.Nodes[i.Node].Description.Address}:{i.HostPorts.ElementAtOrDefault(port.Index)}");
                foreach (var address in addresses.Order(StringComparer.Ordinal)) text.Append(address).Append('\t');
                text.Append('\n');
            }
            if (!ports.IsEmpty || running.Count == 0) continue;
            text.Append(name).Append("\t \t");
            foreach (var host in running.Select(i => i.Node.Name).Order(StringComparer.Ordinal)) text.Append(host).Append('\t');
            text.Append('\n');
        }
        return text.ToString();
    }

    private static string? AddressOf(ClusterState state, Instance instance) =>
        instance.ContainerAddress ?? (state.Nodes.TryGetValue(instance.Node, out var node) ? node.Description.Address : null);

    private static void WriteHealth(Utf8JsonWriter writer, ClusterView view, Instance instance)
    {
        var health = HealthOf(view, instance);
        if (health.IsEmpty) return;
        writer.WriteStartArray("healthCheckResults");
        foreach (var check in health)
        {
            writer.WriteStartObject();
            writer.WriteBoolean("alive", check.Alive);
            writer.WriteNumber("consecutiveFailures", check.ConsecutiveFailures);
            if (check.FirstSuccessAt is { } first) writer.WriteString("firstSuccess", Timestamps.Text(first));
            if (check.LastSuccessAt is { } success) writer.WriteString("lastSuccess", Timestamps.Text(success));
            if (check.LastFailureAt is { } failure) writer.WriteString("lastFailure", Timestamps.Text(failure));
            if (check.LastFailureCause is { } cause) writer.WriteString("lastFailureCause", cause);
            writer.WriteString("instanceId", instance.Id.Instance);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    /// <summary>What was heard last, which is fresher than the log: that holds only what changed.</summary>
    public static EquatableArray<HealthState> HealthOf(ClusterView view, Instance instance) => view.Health.GetValueOrDefault(instance.Id, instance.Health);
}
