using System.Collections.Frozen;
using System.Text.Json;

namespace Platform.Model;

/// <summary>
/// Reads the shape of an app's JSON: types, ranges, required members, words. Rules that hold between fields are for
/// <see cref="AppOverlay"/> and <see cref="AppRules"/>.
/// </summary>
internal static class AppShape
{
    internal const int PortMax = 65_535;

    /// <summary>What only we write (contract 2.8); clients send it back with what they read.</summary>
    public static readonly FrozenSet<string> ReadOnlyMembers = FrozenSet.ToFrozenSet(
    [
        "versionInfo", "deployments", "tasks", "tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy", "tasksStats", "taskStats",
        "lastTaskFailure", "readinessCheckResults",
    ]);

    public static AppUpdate Read(JsonAt app) => new()
    {
        Id = app.Text("id"),
        Cmd = app.Text("cmd"),
        Args = app.TextList("args"),
        User = app.Text("user"),
        Env = app.Object("env") is { } env ? Env(env) : null,
        EnvSecrets = app.Object("env") is { } variables ? FetchShape.SecretReferences(variables) : null,
        Secrets = app.Object("secrets") is { } secrets ? FetchShape.Secrets(secrets) : null,
        Fetch = Each(app.List("fetch"), FetchShape.Fetch),
        Uris = app.TextList("uris"),
        StoreUrls = app.TextList("storeUrls"),
        Instances = app.Integer("instances", 0, int.MaxValue),
        Cpus = app.Number("cpus", 0, AppLimits.ResourceMax),
        MemMib = app.Number("mem", 0, AppLimits.ResourceMax),
        DiskMib = app.Number("disk", 0, AppLimits.ResourceMax),
        Executor = app.Text("executor"),
        Constraints = EachValue(app.List("constraints"), Constraint),
        AcceptedResourceRoles = app.TextList("acceptedResourceRoles"),
        BackoffSeconds = app.Number("backoffSeconds", 0, AppLimits.SecondsMax),
        BackoffFactor = app.Number("backoffFactor", 1, AppLimits.SecondsMax),
        MaxLaunchDelaySeconds = app.Number("maxLaunchDelaySeconds", 0, AppLimits.SecondsMax),
        Container = app.Object("container") is { } container ? Container(container) : null,
        Dependencies = app.TextList("dependencies"),
        HealthChecks = Each(app.List("healthChecks"), HealthCheck),
        ReadinessChecks = Each(app.List("readinessChecks"), ReadinessCheck),
        Labels = app.Texts("labels"),
        Networks = Each(app.List("networks"), Network),
        Ports = EachValue(app.List("ports"), x => x.AsInteger(0, PortMax)),
        PortDefinitions = Each(app.List("portDefinitions"), PortDefinition),
        RequirePorts = app.Flag("requirePorts"),
        UpgradeStrategy = app.Object("upgradeStrategy") is { } upgrade ? Upgrade(upgrade) : null,
        TaskKillGracePeriodSeconds = app.Number("taskKillGracePeriodSeconds", 0, AppLimits.SecondsMax),
        KillSelection = app.OneOf("killSelection", AppWords.KillSelections),
        Tty = app.Flag("tty"),
        ResourceLimits = app.Object("resourceLimits") is { } limits && limits.Element.EnumerateObject().Any() ? new ResourceLimits(Limit(limits, "cpus"), Limit(limits, "mem")) : null,
        ExecutorResources = app.Object("executorResources") is { } executor && executor.Element.EnumerateObject().Any() ? ExecutorResources(executor) : null,
        IpAddress = app.Object("ipAddress") is { } address ? new IpAddressUpdate(address.Text("networkName")) : null,
        Residency = app.Object("residency") is { } residency ? Residency(residency) : null,
        UnreachableStrategy = app.Member("unreachableStrategy") is { } unreachable ? Unreachable(unreachable) : null,
    };

    /// <summary>Members with <c>{"secret": …}</c> are read by <see cref="FetchShape.SecretReferences"/>; they must not count as a wrong type here.</summary>
    internal static EquatableMap Env(JsonAt env)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in env.Element.EnumerateObject().Select(x => x.Name).Distinct(StringComparer.Ordinal))
        {
            if (env.Member(name) is { } value && !FetchShape.IsSecretReference(value.Element) && value.AsText() is { } text) texts[name] = text;
        }
        return EquatableMap.From(texts);
    }

    private static EquatableArray<string>? Constraint(JsonAt constraint) => Each(constraint.AsList(), x => x.AsText());

    private static ContainerUpdate? Container(JsonAt container)
    {
        var docker = container.Object("docker");
        return new ContainerUpdate(
            new Container
            {
                Type = container.OneOf("type", AppWords.ContainerTypes) ?? ContainerType.Docker,
                Image = docker?.RequiredText("image", lengthMin: 1),
                Privileged = docker?.Flag("privileged") ?? false,
                ForcePullImage = docker?.Flag("forcePullImage") ?? false,
                Parameters = docker?.Member("parameters") is { } parameters ? Parameters(parameters) : default,
                Volumes = Each(container.List("volumes"), Volume) ?? default,
            },
            HasDocker: docker is not null,
            Each(container.List("portMappings"), PortMapping),
            docker?.OneOf("network", AppWords.DockerNetworks),
            Each(docker?.List("portMappings"), PortMapping));
    }

    /// <summary>An array of key and value, or, as 0.7 had it, one object.</summary>
    private static EquatableArray<DockerParameter> Parameters(JsonAt parameters)
    {
        if (parameters.Element.ValueKind == JsonValueKind.Object)
            return parameters.AsTexts().Select(x => new DockerParameter(x.Key, x.Value)).ToEquatableArray();
        return Each(parameters.AsList(), Parameter) ?? default;
    }

    private static DockerParameter? Parameter(JsonAt item)
    {
        if (item.AsObject() is not { } parameter) return null;
        var (key, value) = (parameter.RequiredText("key", lengthMin: 1), parameter.RequiredText("value"));
        return key is null || value is null ? null : new DockerParameter(key, value);
    }

    private static Volume? Volume(JsonAt item)
    {
        if (FetchShape.IsSecretReference(item.Element)) return FetchShape.SecretVolume(item);
        if (item.AsObject() is not { } volume) return null;
        if (volume.Object("persistent") is { } persistent) return PersistentVolume(volume, persistent);
        // Will be refused; until then it keeps its place, so that the indices of the others are right.
        if (UnavailableFields.IsManagedVolume(volume.Element)) return new HostVolume(item.Path, "/", ReadOnly: true);
        var containerPath = volume.RequiredText("containerPath", lengthMin: 1);
        var hostPath = volume.RequiredText("hostPath", lengthMin: 1);
        var readOnly = volume.OneOf("mode", AppWords.VolumeModes) ?? false;
        return containerPath is null || hostPath is null ? null : new HostVolume(containerPath, hostPath, readOnly);
    }

    private static PersistentVolume? PersistentVolume(JsonAt volume, JsonAt persistent)
    {
        var containerPath = volume.RequiredText("containerPath", lengthMin: 1);
        if (persistent.Member("size") is not { } size)
        {
            persistent.Missing("size");
            return null;
        }
        return size.AsNumber(double.NegativeInfinity, AppLimits.ResourceMax) is { } mib && containerPath is not null ? new PersistentVolume(containerPath, mib) : null;
    }

    private static double? Limit(JsonAt limits, string name) => limits.Member(name) is not { } limit ? null
        : limit.Element.ValueKind == JsonValueKind.String && limit.Element.GetString() == "unlimited" ? double.PositiveInfinity
        : limit.AsNumber(0, AppLimits.ResourceMax);

    private static Resources ExecutorResources(JsonAt executor) => new(
        executor.Number("cpus", 0, AppLimits.ResourceMax) ?? 0.1, executor.Number("mem", 0, AppLimits.ResourceMax) ?? 32, executor.Number("disk", 0, AppLimits.ResourceMax) ?? 10);

    private static Residency Residency(JsonAt residency) => new(
        residency.Number("relaunchEscalationTimeoutSeconds", 0, AppLimits.SecondsMax) ?? 3600,
        residency.OneOf("taskLostBehavior", AppWords.TaskLostBehaviors) == true ? "RELAUNCH_AFTER_TIMEOUT" : "WAIT_FOREVER");

    internal static NetworkUpdate? Network(JsonAt item) => item.AsObject() is { } network
        ? new NetworkUpdate(network.OneOf("mode", AppWords.NetworkModes), network.Text("name"), network.Texts("labels"))
        : null;

    private static PortMapping? PortMapping(JsonAt item) => item.AsObject() is { } mapping
        ? new PortMapping(
            mapping.Integer("containerPort", 0, PortMax) ?? 0, mapping.Integer("hostPort", 0, PortMax), mapping.Integer("servicePort", 0, PortMax) ?? 0,
            PortProtocol(mapping), mapping.Text("name"), mapping.Texts("labels") ?? EquatableMap.Empty)
        : null;

    private static PortDefinition? PortDefinition(JsonAt item) => item.AsObject() is { } definition
        ? new PortDefinition(
            definition.Integer("port", 0, PortMax) ?? 0, PortProtocol(definition), definition.Text("name"), definition.Texts("labels") ?? EquatableMap.Empty)
        : null;

    private static readonly Dictionary<string, PortWord> PortProtocols = new(StringComparer.OrdinalIgnoreCase)
    {
        ["tcp"] = PortWord.Tcp, ["udp"] = PortWord.Udp, ["udp,tcp"] = PortWord.Both, ["tcp,udp"] = PortWord.Both,
    };

    private enum PortWord { Tcp, Udp, Both }

    private static string PortProtocol(JsonAt port) => port.OneOf("protocol", PortProtocols) switch
    {
        PortWord.Udp => "udp",
        PortWord.Both => "udp,tcp",
        _ => "tcp",
    };

    private static HealthCheck? HealthCheck(JsonAt item)
    {
        if (item.AsObject() is not { } check) return null;
        var protocol = check.OneOf("protocol", AppWords.HealthCheckProtocols) ?? HealthCheckProtocol.Http;
        var path = check.Text("path") ?? "/";
        var defaults = new HealthCheck { Protocol = protocol };
        return defaults with
        {
            Path = defaults.IsHttp ? (path.StartsWith('/') ? path : "/" + path) : null,
            PortIndex = check.Integer("portIndex", 0, int.MaxValue),
            Port = check.Integer("port", 0, PortMax),
            Command = check.Object("command")?.RequiredText("value", lengthMin: 1),
            GracePeriodSeconds = check.Number("gracePeriodSeconds", 0, AppLimits.SecondsMax) ?? defaults.GracePeriodSeconds,
            IntervalSeconds = check.Number("intervalSeconds", 0, AppLimits.SecondsMax) ?? defaults.IntervalSeconds,
            TimeoutSeconds = check.Number("timeoutSeconds", 0, AppLimits.SecondsMax) ?? defaults.TimeoutSeconds,
            MaxConsecutiveFailures = check.Integer("maxConsecutiveFailures", 0, int.MaxValue) ?? defaults.MaxConsecutiveFailures,
            IgnoreHttp1xx = check.Flag("ignoreHttp1xx") ?? defaults.IgnoreHttp1xx,
            DelaySeconds = check.Number("delaySeconds", 0, AppLimits.SecondsMax) ?? defaults.DelaySeconds,
        };
    }

    private static ReadinessCheck? ReadinessCheck(JsonAt item)
    {
        if (item.AsObject() is not { } check) return null;
        var defaults = new ReadinessCheck();
        var path = check.Text("path") ?? defaults.Path;
        return new ReadinessCheck
        {
            Name = check.Text("name") ?? defaults.Name,
            Https = check.OneOf("protocol", AppWords.ReadinessProtocols) ?? defaults.Https,
            Path = path.StartsWith('/') ? path : "/" + path,
            PortName = check.Text("portName") ?? defaults.PortName,
            IntervalSeconds = check.Number("intervalSeconds", 0, AppLimits.SecondsMax) ?? defaults.IntervalSeconds,
            TimeoutSeconds = check.Number("timeoutSeconds", 0, AppLimits.SecondsMax) ?? defaults.TimeoutSeconds,
            StatusCodesForReady = EachValue(check.List("httpStatusCodesForReady"), x => x.AsInteger(100, 599)) ?? defaults.StatusCodesForReady,
            PreserveLastResponse = check.Flag("preserveLastResponse") ?? defaults.PreserveLastResponse,
        };
    }

    // Whether the members lie between 0 and 1 is a rule with a text of its own, not a range of the shape.
    internal static UpgradeUpdate Upgrade(JsonAt upgrade) => new(
        upgrade.Number("minimumHealthCapacity", double.NegativeInfinity, double.PositiveInfinity),
        upgrade.Number("maximumOverCapacity", double.NegativeInfinity, double.PositiveInfinity));

    private static readonly Dictionary<string, bool> UnreachableWords = new(StringComparer.OrdinalIgnoreCase) { ["disabled"] = true };

    internal static UnreachableStrategy? Unreachable(JsonAt strategy)
    {
        if (strategy.Element.ValueKind == JsonValueKind.String)
            return strategy.AsOneOf(UnreachableWords) is null ? null : UnreachableStrategy.Disabled;
        if (strategy.AsObject() is not { } times) return null;
        var inactive = times.Number("inactiveAfterSeconds", 0, AppLimits.SecondsMax) ?? 0;
        return new UnreachableStrategy(inactive, times.Number("expungeAfterSeconds", 0, AppLimits.SecondsMax) ?? inactive); // never before it is inactive
    }

    internal static EquatableArray<T>? Each<T>(List<JsonAt>? items, Func<JsonAt, T?> read) where T : class
    {
        if (items is null) return null;
        var values = new List<T>(items.Count);
        foreach (var item in items)
            if (read(item) is { } value) values.Add(value);
        return values.ToEquatableArray();
    }

    private static EquatableArray<T>? EachValue<T>(List<JsonAt>? items, Func<JsonAt, T?> read) where T : struct
    {
        if (items is null) return null;
        var values = new List<T>(items.Count);
        foreach (var item in items)
            if (read(item) is { } value) values.Add(value);
        return values.ToEquatableArray();
    }
}
