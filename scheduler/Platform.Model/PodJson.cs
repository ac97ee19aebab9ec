using System.Text.Json;

namespace Platform.Model;

/// <summary>The JSON of a pod: what answers, the cluster log and the agent link hold (contract 1.10).</summary>
public static class PodJson
{
    /// <summary>Beside apps, in the log and on the link, a pod is an object with this one member.</summary>
    internal const string StoredMember = "pod";

    public static void Write(Utf8JsonWriter writer, AppDefinition pod)
    {
        writer.WriteStartObject();
        WriteMembers(writer, pod);
        writer.WriteEndObject();
    }

    /// <summary>With what answers do not show: which version was the last of the configuration.</summary>
    internal static void WriteStored(Utf8JsonWriter writer, AppDefinition pod)
    {
        writer.WriteStartObject();
        writer.WriteStartObject(StoredMember);
        WriteMembers(writer, pod);
        if (pod.VersionInfo != default)
        {
            writer.WriteStartObject("versionInfo");
            writer.WriteString("lastScalingAt", pod.VersionInfo.LastScalingAt.ToString());
            writer.WriteString("lastConfigChangeAt", pod.VersionInfo.LastConfigChangeAt.ToString());
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void WriteMembers(Utf8JsonWriter writer, AppDefinition pod)
    {
        var spec = pod.Pod!;
        writer.WriteString("id", pod.Id.Path);
        AppJson.WriteMap(writer, "labels", pod.Labels);
        if (pod.Version != default) writer.WriteString("version", pod.Version.ToString());
        if (pod.User is { } user) writer.WriteString("user", user);
        AppJson.WriteMap(writer, "environment", pod.Env);
        writer.WriteStartArray("containers");
        foreach (var container in spec.Containers) WriteContainer(writer, container);
        writer.WriteEndArray();
        writer.WriteStartObject("secrets");
        writer.WriteEndObject();
        writer.WriteStartArray("volumes");
        foreach (var (name, hostPath) in spec.Volumes)
        {
            writer.WriteStartObject();
            writer.WriteString("name", name);
            if (hostPath is not null) writer.WriteString("host", hostPath);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartArray("networks");
        writer.WriteStartObject();
        writer.WriteString("mode", pod.Network == NetworkMode.Bridge ? "container/bridge" : "host");
        writer.WriteEndObject();
        writer.WriteEndArray();
        writer.WriteStartObject("scaling");
        writer.WriteString("kind", "fixed");
        writer.WriteNumber("instances", pod.Instances);
        writer.WriteEndObject();
        WriteScheduling(writer, pod);
        if (spec.ExecutorResources != default) WriteResources(writer, "executorResources", spec.ExecutorResources);
    }

    private static void WriteScheduling(Utf8JsonWriter writer, AppDefinition pod)
    {
        writer.WriteStartObject("scheduling");
        writer.WriteStartObject("backoff");
        writer.WriteNumber("backoff", pod.Backoff.Seconds);
        writer.WriteNumber("backoffFactor", pod.Backoff.Factor);
        writer.WriteNumber("maxLaunchDelay", pod.Backoff.MaxLaunchDelaySeconds);
        writer.WriteEndObject();
        writer.WriteStartObject("upgrade");
        writer.WriteNumber("minimumHealthCapacity", pod.UpgradeStrategy.MinimumHealthCapacity);
        writer.WriteNumber("maximumOverCapacity", pod.UpgradeStrategy.MaximumOverCapacity);
        writer.WriteEndObject();
        writer.WriteStartObject("placement");
        writer.WriteStartArray("constraints");
        foreach (var constraint in pod.Constraints)
        {
            writer.WriteStartObject();
            writer.WriteString("fieldName", constraint.Field);
            writer.WriteString("operator", AppWords.Of(AppWords.ConstraintOperators, constraint.Operator));
            if (constraint.Value is { } value) writer.WriteString("value", value);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        AppJson.WriteTexts(writer, "acceptedResourceRoles", pod.AcceptedResourceRoles);
        writer.WriteEndObject();
        writer.WriteString("killSelection", AppWords.Of(AppWords.KillSelections, pod.KillSelection));
        AppJson.WriteUnreachable(writer, pod);
        writer.WriteEndObject();
    }

    private static void WriteContainer(Utf8JsonWriter writer, PodContainer container)
    {
        writer.WriteStartObject();
        writer.WriteString("name", container.Name);
        if (container.Command is { } command)
        {
            writer.WriteStartObject("exec");
            WriteCommand(writer, command.Shell, command.Argv);
            if (command.OverrideEntrypoint) writer.WriteBoolean("overrideEntrypoint", true);
            writer.WriteEndObject();
        }
        WriteResources(writer, "resources", container.Resources);
        writer.WriteStartArray("endpoints");
        foreach (var endpoint in container.Endpoints) WriteEndpoint(writer, endpoint);
        writer.WriteEndArray();
        if (container.Image is { } image)
        {
            writer.WriteStartObject("image");
            writer.WriteString("kind", "DOCKER");
            writer.WriteString("id", image.Id);
            writer.WriteBoolean("forcePull", image.ForcePull);
            writer.WriteEndObject();
        }
        AppJson.WriteMap(writer, "environment", container.Environment);
        if (container.User is { } user) writer.WriteString("user", user);
        if (container.HealthCheck is { } check) WriteHealthCheck(writer, check);
        WriteMounts(writer, container);
        writer.WriteStartArray("artifacts");
        writer.WriteEndArray();
        AppJson.WriteMap(writer, "labels", container.Labels);
        if (container.KillGracePeriodSeconds is { } grace)
        {
            writer.WriteStartObject("lifecycle");
            writer.WriteNumber("killGracePeriodSeconds", grace);
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
    }

    private static void WriteMounts(Utf8JsonWriter writer, PodContainer container)
    {
        writer.WriteStartArray("volumeMounts");
        foreach (var (name, mountPath, readOnly) in container.VolumeMounts)
        {
            writer.WriteStartObject();
            writer.WriteString("name", name);
            writer.WriteString("mountPath", mountPath);
            writer.WriteBoolean("readOnly", readOnly);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void WriteEndpoint(Utf8JsonWriter writer, PodEndpoint endpoint)
    {
        writer.WriteStartObject();
        writer.WriteString("name", endpoint.Name);
        if (endpoint.ContainerPort is { } containerPort) writer.WriteNumber("containerPort", containerPort);
        if (endpoint.HostPort is { } hostPort) writer.WriteNumber("hostPort", hostPort);
        AppJson.WriteTexts(writer, "protocol", endpoint.Protocol.Split(',').Order(StringComparer.Ordinal));
        AppJson.WriteMap(writer, "labels", endpoint.Labels);
        if (endpoint.ServicePort > 0) writer.WriteNumber("servicePort", endpoint.ServicePort);
        writer.WriteEndObject();
    }

    private static void WriteHealthCheck(Utf8JsonWriter writer, HealthCheck check)
    {
        writer.WriteStartObject("healthCheck");
        var kind = check.Protocol switch { HealthCheckProtocol.Command => "exec", HealthCheckProtocol.MesosTcp => "tcp", _ => "http" };
        writer.WriteStartObject(kind);
        if (check.Protocol == HealthCheckProtocol.Command) WriteCommand(writer, check.Command, check.Argv);
        if (check.Endpoint is { } endpoint) writer.WriteString("endpoint", endpoint);
        if (check.Path is { } path)
        {
            writer.WriteString("path", path);
            writer.WriteString("scheme", check.Protocol == HealthCheckProtocol.MesosHttps ? "HTTPS" : "HTTP");
        }
        writer.WriteEndObject();
        writer.WriteNumber("gracePeriodSeconds", check.GracePeriodSeconds);
        writer.WriteNumber("intervalSeconds", check.IntervalSeconds);
        writer.WriteNumber("maxConsecutiveFailures", check.MaxConsecutiveFailures);
        writer.WriteNumber("timeoutSeconds", check.TimeoutSeconds);
        writer.WriteNumber("delaySeconds", check.DelaySeconds);
        writer.WriteEndObject();
    }

    private static void WriteCommand(Utf8JsonWriter writer, string? shell, EquatableArray<string> argv)
    {
        writer.WriteStartObject("command");
        if (shell is not null) writer.WriteString("shell", shell);
        else AppJson.WriteTexts(writer, "argv", argv);
        writer.WriteEndObject();
    }

    /// <summary>As a pod's containers have them: cores, MiB, MiB.</summary>
    public static void WriteResources(Utf8JsonWriter writer, string name, Resources resources)
    {
        writer.WriteStartObject(name);
        writer.WriteNumber("cpus", resources.Cpus);
        writer.WriteNumber("mem", resources.MemMib);
        writer.WriteNumber("disk", resources.DiskMib);
        writer.WriteNumber("gpus", 0);
        writer.WriteEndObject();
    }
}
