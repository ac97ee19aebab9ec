using System.Diagnostics.CodeAnalysis;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Unicode;

namespace Platform.Model;

/// <summary>The JSON of an app: what answers, the cluster log and the agent link hold (contract 1.1, 2), and the first look at a request body.</summary>
public static class AppJson
{
    /// <summary>Deeper bodies are refused; no form of the contract comes near.</summary>
    public const int DepthMax = 64;

    /// <summary>For a person who reads an answer: a quote in a command stays one. Answers are never put into HTML, and say that they are JSON.</summary>
    public static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>
    /// Parses a request body. On failure <paramref name="message"/> and <paramref name="why"/> are the two texts of the 400. On success every text
    /// in the document can be decoded, so that reading it cannot throw.
    /// </summary>
    public static bool TryParseBody(
        ReadOnlyMemory<byte> body, [NotNullWhen(true)] out JsonDocument? document,
        [NotNullWhen(false)] out string? message, [NotNullWhen(false)] out string? why)
    {
        document = null;
        if (body.Span.StartsWith("\uFEFF"u8)) body = body[3..];
        message = "Please specify data in JSON format";
        why = "the request has no body";
        if (body.Span.Trim(" \t\r\n"u8).IsEmpty) return false;
        message = "Invalid JSON";
        why = "the body is not UTF-8";
        if (!Utf8.IsValid(body.Span)) return false;
        try
        {
            CheckEscapes(body.Span);
            document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = DepthMax });
        }
        catch (JsonException broken)
        {
            why = broken.Message;
            return false;
        }
        message = why = null;
        return true;
    }

    // Half a surrogate pair (\ud800) is well-formed JSON that no string can hold; JsonElement would throw long after the edge.
    private static void CheckEscapes(ReadOnlySpan<byte> body)
    {
        if (!body.Contains((byte)'\\')) return;
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = DepthMax });
        while (reader.Read())
        {
            if (!reader.ValueIsEscaped || reader.TokenType is not (JsonTokenType.String or JsonTokenType.PropertyName)) continue;
            try
            {
                _ = reader.GetString();
            }
            catch (InvalidOperationException)
            {
                throw new JsonException($"a text before byte {reader.TokenStartIndex + reader.ValueSpan.Length} holds half a surrogate pair");
            }
        }
    }

    /// <summary>The canonical form with its read-only mirrors, as one object.</summary>
    public static void Write(Utf8JsonWriter writer, AppDefinition app)
    {
        writer.WriteStartObject();
        WriteMembers(writer, app);
        writer.WriteEndObject();
    }

    /// <summary>The members of the object only: answers put the read-only extras (contract 2.8) behind them.</summary>
    public static void WriteMembers(Utf8JsonWriter writer, AppDefinition app)
    {
        writer.WriteString("id", app.Id.Path);
        WriteCommand(writer, app);
        WritePlacement(writer, app);
        if (app.Container is { } container) WriteContainer(writer, app, container);
        if (!app.Dependencies.IsEmpty) WriteTexts(writer, "dependencies", app.Dependencies.Select(x => x.Path));
        if (!app.HealthChecks.IsEmpty)
        {
            writer.WriteStartArray("healthChecks");
            foreach (var check in app.HealthChecks) WriteHealthCheck(writer, check);
            writer.WriteEndArray();
        }
        if (!app.ReadinessChecks.IsEmpty) WriteReadinessChecks(writer, app.ReadinessChecks);
        WriteMap(writer, "labels", app.Labels);
        WriteNetworks(writer, app);
        WriteStrategies(writer, app);
        if (app.Version != default) writer.WriteString("version", app.Version.ToString());
        if (app.VersionInfo == default) return;
        writer.WriteStartObject("versionInfo");
        writer.WriteString("lastScalingAt", app.VersionInfo.LastScalingAt.ToString());
        writer.WriteString("lastConfigChangeAt", app.VersionInfo.LastConfigChangeAt.ToString());
        writer.WriteEndObject();
    }

    /// <summary>A health check as apps and events show it.</summary>
    public static void WriteHealthCheck(Utf8JsonWriter writer, HealthCheck check)
    {
        writer.WriteStartObject();
        writer.WriteString("protocol", AppWords.Of(AppWords.HealthCheckProtocols, check.Protocol));
        if (check.Path is { } path) writer.WriteString("path", path);
        if (check.PortIndex is { } index) writer.WriteNumber("portIndex", index);
        if (check.Port is { } port) writer.WriteNumber("port", port);
        if (check.Command is { } command)
        {
            writer.WriteStartObject("command");
            writer.WriteString("value", command);
            writer.WriteEndObject();
        }
        writer.WriteNumber("gracePeriodSeconds", check.GracePeriodSeconds);
        writer.WriteNumber("intervalSeconds", check.IntervalSeconds);
        writer.WriteNumber("timeoutSeconds", check.TimeoutSeconds);
        writer.WriteNumber("maxConsecutiveFailures", check.MaxConsecutiveFailures);
        writer.WriteNumber("delaySeconds", check.DelaySeconds);
        writer.WriteBoolean("ignoreHttp1xx", check.IgnoreHttp1xx);
        writer.WriteEndObject();
    }

    private static void WriteReadinessChecks(Utf8JsonWriter writer, EquatableArray<ReadinessCheck> checks)
    {
        writer.WriteStartArray("readinessChecks");
        foreach (var check in checks)
        {
            writer.WriteStartObject();
            writer.WriteString("name", check.Name);
            writer.WriteString("protocol", AppWords.Of(AppWords.ReadinessProtocols, check.Https));
            writer.WriteString("path", check.Path);
            writer.WriteString("portName", check.PortName);
            writer.WriteNumber("intervalSeconds", check.IntervalSeconds);
            writer.WriteNumber("timeoutSeconds", check.TimeoutSeconds);
            writer.WriteStartArray("httpStatusCodesForReady");
            foreach (var code in check.StatusCodesForReady) writer.WriteNumberValue(code);
            writer.WriteEndArray();
            writer.WriteBoolean("preserveLastResponse", check.PreserveLastResponse);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void WriteCommand(Utf8JsonWriter writer, AppDefinition app)
    {
        if (app.Cmd is { } cmd) writer.WriteString("cmd", cmd);
        if (!app.Args.IsEmpty) WriteTexts(writer, "args", app.Args);
        if (app.User is { } user) writer.WriteString("user", user);
        FetchJson.Write(writer, app);
        writer.WriteNumber("instances", app.Instances);
        writer.WriteNumber("cpus", app.Resources.Cpus);
        writer.WriteNumber("mem", app.Resources.MemMib);
        writer.WriteNumber("disk", app.Resources.DiskMib);
        writer.WriteNumber("gpus", 0);
        writer.WriteString("executor", app.Executor);
    }

    private static void WritePlacement(Utf8JsonWriter writer, AppDefinition app)
    {
        if (!app.AcceptedResourceRoles.IsEmpty) WriteTexts(writer, "acceptedResourceRoles", app.AcceptedResourceRoles);
        if (!app.Constraints.IsEmpty)
        {
            writer.WriteStartArray("constraints");
            foreach (var constraint in app.Constraints)
            {
                writer.WriteStartArray();
                writer.WriteStringValue(constraint.Field);
                writer.WriteStringValue(AppWords.Of(AppWords.ConstraintOperators, constraint.Operator));
                if (constraint.Value is { } value) writer.WriteStringValue(value);
                writer.WriteEndArray();
            }
            writer.WriteEndArray();
        }
        writer.WriteNumber("backoffSeconds", app.Backoff.Seconds);
        writer.WriteNumber("backoffFactor", app.Backoff.Factor);
        writer.WriteNumber("maxLaunchDelaySeconds", app.Backoff.MaxLaunchDelaySeconds);
    }

    private static void WriteContainer(Utf8JsonWriter writer, AppDefinition app, Container container)
    {
        writer.WriteStartObject("container");
        writer.WriteString("type", AppWords.Of(AppWords.ContainerTypes, container.Type));
        if (container.Image is { } image)
        {
            writer.WriteStartObject("docker");
            writer.WriteString("image", image);
            writer.WriteBoolean("privileged", container.Privileged);
            writer.WriteBoolean("forcePullImage", container.ForcePullImage);
            if (container.Type == ContainerType.Docker) WriteParameters(writer, container);
            if (app.LegacyDockerNetwork)
            {
                writer.WriteString("network", app.Network switch { NetworkMode.Bridge => "BRIDGE", NetworkMode.Container => "USER", _ => "HOST" });
                if (app.Network != NetworkMode.Host) WriteMappings(writer, container.PortMappings);
            }
            writer.WriteEndObject();
        }
        writer.WriteStartArray("volumes");
        foreach (var volume in container.Volumes)
        {
            writer.WriteStartObject();
            writer.WriteString("containerPath", volume.ContainerPath);
            WriteKind(writer, volume);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        if (app.Network != NetworkMode.Host) WriteMappings(writer, container.PortMappings);
        writer.WriteEndObject();
    }

    private static void WriteKind(Utf8JsonWriter writer, Volume volume)
    {
        switch (volume)
        {
            case HostVolume host:
                writer.WriteString("hostPath", host.HostPath);
                writer.WriteString("mode", host.ReadOnly ? "RO" : "RW");
                break;
            case SecretVolume secret:
                writer.WriteString("secret", secret.Secret);
                break;
            case PersistentVolume persistent:
                writer.WriteString("mode", "RW");
                writer.WriteStartObject("persistent");
                writer.WriteString("type", "root");
                writer.WriteNumber("size", persistent.SizeMib);
                writer.WriteEndObject();
                break;
        }
    }

    private static void WriteParameters(Utf8JsonWriter writer, Container container)
    {
        writer.WriteStartArray("parameters");
        foreach (var (key, value) in container.Parameters)
        {
            writer.WriteStartObject();
            writer.WriteString("key", key);
            writer.WriteString("value", value);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void WriteMappings(Utf8JsonWriter writer, EquatableArray<PortMapping> mappings)
    {
        writer.WriteStartArray("portMappings");
        foreach (var mapping in mappings)
        {
            writer.WriteStartObject();
            writer.WriteNumber("containerPort", mapping.ContainerPort);
            if (mapping.HostPort is { } hostPort) writer.WriteNumber("hostPort", hostPort);
            writer.WriteNumber("servicePort", mapping.ServicePort);
            WritePortRest(writer, mapping.Protocol, mapping.Name, mapping.Labels);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void WriteNetworks(Utf8JsonWriter writer, AppDefinition app)
    {
        writer.WriteStartArray("networks");
        writer.WriteStartObject();
        writer.WriteString("mode", app.Network switch { NetworkMode.Bridge => "container/bridge", NetworkMode.Container => "container", _ => "host" });
        if (app.NetworkName is { } network) writer.WriteString("name", network);
        writer.WriteEndObject();
        writer.WriteEndArray();
        writer.WriteStartArray("ports");
        foreach (var port in app.Ports) writer.WriteNumberValue(port.ServicePort);
        writer.WriteEndArray();
        if (app.Network == NetworkMode.Host)
        {
            writer.WriteStartArray("portDefinitions");
            foreach (var definition in app.PortDefinitions)
            {
                writer.WriteStartObject();
                writer.WriteNumber("port", definition.Port);
                WritePortRest(writer, definition.Protocol, definition.Name, definition.Labels);
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
        }
        writer.WriteBoolean("requirePorts", app.RequirePorts);
    }

    private static void WritePortRest(Utf8JsonWriter writer, string protocol, string? name, EquatableMap labels)
    {
        writer.WriteString("protocol", protocol);
        if (name is not null) writer.WriteString("name", name);
        WriteMap(writer, "labels", labels);
    }

    private static void WriteStrategies(Utf8JsonWriter writer, AppDefinition app)
    {
        writer.WriteStartObject("upgradeStrategy");
        writer.WriteNumber("minimumHealthCapacity", app.UpgradeStrategy.MinimumHealthCapacity);
        writer.WriteNumber("maximumOverCapacity", app.UpgradeStrategy.MaximumOverCapacity);
        writer.WriteEndObject();
        if (app.TaskKillGracePeriodSeconds is { } grace) writer.WriteNumber("taskKillGracePeriodSeconds", grace);
        writer.WriteString("killSelection", AppWords.Of(AppWords.KillSelections, app.KillSelection));
        if (app.Tty is { } tty) writer.WriteBoolean("tty", tty);
        WriteLimits(writer, app);
        if (app.Residency is { } residency)
        {
            writer.WriteStartObject("residency");
            writer.WriteNumber("relaunchEscalationTimeoutSeconds", residency.RelaunchEscalationTimeoutSeconds);
            writer.WriteString("taskLostBehavior", residency.TaskLostBehavior);
            writer.WriteEndObject();
        }
        WriteUnreachable(writer, app);
    }

    internal static void WriteUnreachable(Utf8JsonWriter writer, AppDefinition app)
    {
        if (app.UnreachableStrategy is not { InactiveAfterSeconds: { } inactive, ExpungeAfterSeconds: { } expunge })
        {
            writer.WriteString("unreachableStrategy", "disabled");
            return;
        }
        writer.WriteStartObject("unreachableStrategy");
        writer.WriteNumber("inactiveAfterSeconds", inactive);
        writer.WriteNumber("expungeAfterSeconds", expunge);
        writer.WriteEndObject();
    }

    private static void WriteLimits(Utf8JsonWriter writer, AppDefinition app)
    {
        if (app.ResourceLimits is { } limits)
        {
            writer.WriteStartObject("resourceLimits");
            WriteLimit(writer, "cpus", limits.Cpus);
            WriteLimit(writer, "mem", limits.MemMib);
            writer.WriteEndObject();
        }
        if (app.ExecutorResources is not { } executor) return;
        writer.WriteStartObject("executorResources");
        writer.WriteNumber("cpus", executor.Cpus);
        writer.WriteNumber("mem", executor.MemMib);
        writer.WriteNumber("disk", executor.DiskMib);
        writer.WriteEndObject();
    }

    private static void WriteLimit(Utf8JsonWriter writer, string name, double? limit)
    {
        if (limit is not { } number) return;
        if (double.IsInfinity(number)) writer.WriteString(name, "unlimited");
        else writer.WriteNumber(name, number);
    }

    internal static void WriteTexts(Utf8JsonWriter writer, string name, IEnumerable<string> texts)
    {
        writer.WriteStartArray(name);
        foreach (var text in texts) writer.WriteStringValue(text);
        writer.WriteEndArray();
    }

    internal static void WriteMap(Utf8JsonWriter writer, string name, EquatableMap map)
    {
        writer.WriteStartObject(name);
        foreach (var (key, value) in map) writer.WriteString(key, value);
        writer.WriteEndObject();
    }
}

/// <summary>Lets <see cref="JsonSerializer"/> carry an app in log events and messages; reading gives back exactly what was written.</summary>
internal sealed class AppDefinitionConverter : JsonConverter<AppDefinition>
{
    public override AppDefinition Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        using var document = JsonDocument.ParseValue(ref reader);
        if (document.RootElement.TryGetProperty(PodJson.StoredMember, out var pod)) return PodReader.ReadStored(pod);
        return AppReader.ReadStored(document.RootElement);
    }

    public override void Write(Utf8JsonWriter writer, AppDefinition value, JsonSerializerOptions options)
    {
        if (value.Pod is null) AppJson.Write(writer, value);
        else PodJson.WriteStored(writer, value);
    }
}
