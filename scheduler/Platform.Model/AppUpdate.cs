namespace Platform.Model;

/// <summary>
/// A body whose shape is right: old spellings are one with the new, what it does not say is null. Laid over an existing app or over
/// the defaults by <see cref="AppOverlay"/>.
/// </summary>
internal sealed record AppUpdate
{
    public string? Id { get; init; }
    public string? Cmd { get; init; }
    public EquatableArray<string>? Args { get; init; }
    public string? User { get; init; }
    public EquatableMap? Env { get; init; }

    /// <summary>Given exactly when <see cref="Env"/> is.</summary>
    public EquatableMap? EnvSecrets { get; init; }

    public EquatableMap? Secrets { get; init; }
    public EquatableArray<FetchUri>? Fetch { get; init; }

    /// <summary>The old spelling of <see cref="Fetch"/>, or its mirror.</summary>
    public EquatableArray<string>? Uris { get; init; }

    public EquatableArray<string>? StoreUrls { get; init; }
    public int? Instances { get; init; }
    public double? Cpus { get; init; }
    public double? MemMib { get; init; }
    public double? DiskMib { get; init; }
    public string? Executor { get; init; }

    /// <summary>Not yet read as constraints: what is wrong inside one is a broken rule, not a wrong shape.</summary>
    public EquatableArray<EquatableArray<string>>? Constraints { get; init; }

    public EquatableArray<string>? AcceptedResourceRoles { get; init; }
    public double? BackoffSeconds { get; init; }
    public double? BackoffFactor { get; init; }
    public double? MaxLaunchDelaySeconds { get; init; }
    public ContainerUpdate? Container { get; init; }
    public EquatableArray<string>? Dependencies { get; init; }
    public EquatableArray<HealthCheck>? HealthChecks { get; init; }
    public EquatableMap? Labels { get; init; }
    public EquatableArray<NetworkUpdate>? Networks { get; init; }
    public EquatableArray<int>? Ports { get; init; }
    public EquatableArray<PortDefinition>? PortDefinitions { get; init; }
    public bool? RequirePorts { get; init; }
    public UpgradeUpdate? UpgradeStrategy { get; init; }
    public double? TaskKillGracePeriodSeconds { get; init; }
    public KillSelection? KillSelection { get; init; }
    public UnreachableStrategy? UnreachableStrategy { get; init; }
    public Residency? Residency { get; init; }
    public bool? Tty { get; init; }
    public ResourceLimits? ResourceLimits { get; init; }
    public Resources? ExecutorResources { get; init; }

    /// <summary>The old form of a named network (contract 2.4).</summary>
    public IpAddressUpdate? IpAddress { get; init; }
}

/// <param name="Mode">Null when the body leaves it out, which means a named container network.</param>
internal sealed record NetworkUpdate(NetworkWord? Mode, string? Name, EquatableMap? Labels);

internal sealed record IpAddressUpdate(string? NetworkName);

internal sealed record UpgradeUpdate(double? MinimumHealthCapacity, double? MaximumOverCapacity);

/// <param name="Container">Without its port mappings.</param>
/// <param name="PortMappings">Of <c>container.portMappings</c>.</param>
/// <param name="DockerNetwork">The old place of the network's mode.</param>
/// <param name="DockerPortMappings">The old place of the port mappings.</param>
internal sealed record ContainerUpdate(
    Container Container, bool HasDocker, EquatableArray<PortMapping>? PortMappings,
    NetworkWord? DockerNetwork, EquatableArray<PortMapping>? DockerPortMappings);
