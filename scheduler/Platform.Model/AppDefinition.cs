using System.Text.Json.Serialization;

namespace Platform.Model;

/// <summary>
/// What a user asked for, in the canonical form of contract section 2: old spellings are normalised before one of these exists,
/// defaults are filled in, and every rule that needs only the app itself has been checked (<see cref="AppReader"/>).
/// </summary>
[JsonConverter(typeof(AppDefinitionConverter))]
public sealed record AppDefinition
{
    public required AppId Id { get; init; }
    public string? Cmd { get; init; }
    public EquatableArray<string> Args { get; init; }
    public string? User { get; init; }
    public EquatableMap Env { get; init; } = EquatableMap.Empty;

    /// <summary>Variables whose value is a secret: name of the variable → name in <see cref="Secrets"/>. None of them is in <see cref="Env"/> too.</summary>
    public EquatableMap EnvSecrets { get; init; } = EquatableMap.Empty;

    /// <summary>The app's own name of a secret → its path in the secret store. Values are never part of a definition.</summary>
    public EquatableMap Secrets { get; init; } = EquatableMap.Empty;

    /// <summary>Contract 7.1; what was given as <c>uris</c> is here too.</summary>
    public EquatableArray<FetchUri> Fetch { get; init; }

    public IEnumerable<SecretVolume> SecretVolumes => Container?.Volumes.OfType<SecretVolume>() ?? [];

    /// <summary>Its tasks cannot start without values that only the scheduler has.</summary>
    public bool NeedsSecrets => EnvSecrets.Count > 0 || SecretVolumes.Any();

    /// <summary>URLs yet to be copied into the artifact store (contract 7.2); a stored definition has none, they are in <see cref="Fetch"/> by then.</summary>
    public EquatableArray<string> StoreUrls { get; init; }

    public int Instances { get; init; } = 1;
    public Resources Resources { get; init; } = Resources.Default;
    public string Executor { get; init; } = "";
    public EquatableArray<Constraint> Constraints { get; init; }
    public EquatableArray<string> AcceptedResourceRoles { get; init; }
    public Backoff Backoff { get; init; } = Backoff.Default;
    public Container? Container { get; init; }
    public EquatableArray<AppId> Dependencies { get; init; }
    public EquatableArray<HealthCheck> HealthChecks { get; init; }
    public EquatableArray<ReadinessCheck> ReadinessChecks { get; init; }
    public EquatableMap Labels { get; init; } = EquatableMap.Empty;
    public NetworkMode Network { get; init; } = NetworkMode.Host;

    /// <summary>Of the node's Docker network to join, in mode <see cref="NetworkMode.Container"/> only.</summary>
    public string? NetworkName { get; init; }

    /// <summary>Host mode only; empty in the others.</summary>
    public EquatableArray<PortDefinition> PortDefinitions { get; init; }

    public bool RequirePorts { get; init; }
    public UpgradeStrategy UpgradeStrategy { get; init; } = UpgradeStrategy.Default;
    public double? TaskKillGracePeriodSeconds { get; init; }
    public KillSelection KillSelection { get; init; }
    public UnreachableStrategy UnreachableStrategy { get; init; } = UnreachableStrategy.Default;
    public Residency? Residency { get; init; }

    /// <summary>A terminal is allocated for the task.</summary>
    public bool? Tty { get; init; }

    public ResourceLimits? ResourceLimits { get; init; }

    /// <summary>For an executor beside the task, which is never used here: kept and shown (contract 2.1).</summary>
    public Resources? ExecutorResources { get; init; }

    /// <summary>When this definition was stored; given by the scheduler, not by the user.</summary>
    public AppVersion Version { get; init; }

    public VersionInfo VersionInfo { get; init; }

    /// <summary>Null for an app. A pod's resources, ports, health checks and kill grace are those of its containers: see <see cref="WithPod"/>.</summary>
    public PodSpec? Pod { get; init; }

    /// <summary>Which old-style fields the user wrote, so that answers can mirror them (contract 2.4 [PICK]).</summary>
    public bool LegacyDockerNetwork { get; init; }

    /// <summary>Its instances are bound to the node where their reservation is, with the data they left there (contract 5.11).</summary>
    public bool IsResident => Residency is not null || PersistentVolumes.Any();

    public IEnumerable<PersistentVolume> PersistentVolumes => Container?.Volumes.OfType<PersistentVolume>() ?? [];

    /// <summary>What an instance takes of its node: its resources, and the disk of its volumes.</summary>
    public Resources Footprint => Resources + new Resources(0, 0, PersistentVolumes.Sum(x => x.SizeMib));

    public TimeSpan KillGrace => TimeSpan.FromSeconds(TaskKillGracePeriodSeconds ?? 3);

    /// <summary>The ports in declared order, whatever the network mode.</summary>
    public EquatableArray<AppPort> Ports => Pod is { } pod ? pod.PortsIn(Network) : Network == NetworkMode.Host
        ? PortDefinitions.Select((p, i) => new AppPort(i, p.Port, null, RequirePorts ? p.Port : 0, p.Protocol, p.Name, p.Labels)).ToEquatableArray()
        : (Container?.PortMappings ?? default)
            .Select((p, i) => new AppPort(i, p.ServicePort, p.ContainerPort, p.HostPort, p.Protocol, p.Name, p.Labels)).ToEquatableArray();

    /// <summary>Whether it runs in containers; otherwise as plain processes of the node.</summary>
    public bool NeedsImage => Pod is not null || Container?.Image is not null;

    /// <summary>The tasks of an instance (contract section 3): one, or one for each container of a pod.</summary>
    public IEnumerable<string> TaskIdsOf(InstanceId instance) => Pod is { } pod ? pod.Containers.Select(x => instance.TaskIdOf(x.Name)) : [instance.TaskId];

    /// <summary>The containers of a pod are stopped together, so that all get the longest grace that one of them asks for.</summary>
    public AppDefinition WithPod(PodSpec pod) => this with
    {
        Pod = pod,
        Resources = pod.TotalResources,
        HealthChecks = pod.HealthChecks(),
        TaskKillGracePeriodSeconds = pod.Containers.Max(x => x.KillGracePeriodSeconds),
    };
}

/// <summary>
/// One declared port. <paramref name="HostPort"/>: 0 = any free one, null = not published on the host.
/// <paramref name="ContainerPort"/>: null in host mode; 0 = the same as the host port.
/// </summary>
public sealed record AppPort(int Index, int ServicePort, int? ContainerPort, int? HostPort, string Protocol, string? Name, EquatableMap Labels);

/// <summary>What an instance needs, or a node has: cores, MiB, MiB.</summary>
public readonly record struct Resources(double Cpus, double MemMib, double DiskMib)
{
    public static readonly Resources Default = new(1, 128, 0);

    // Sums are rounded so that adding and later subtracting the same amounts ends where it began.
    public static Resources operator +(Resources a, Resources b) => new(Round(a.Cpus + b.Cpus), Round(a.MemMib + b.MemMib), Round(a.DiskMib + b.DiskMib));
    public static Resources operator -(Resources a, Resources b) => new(Round(a.Cpus - b.Cpus), Round(a.MemMib - b.MemMib), Round(a.DiskMib - b.DiskMib));

    private static double Round(double amount) => Math.Round(amount, 6);
}

/// <summary>
/// How far a task may go beyond what is reserved for it (contract 2.1): at least its request, <see cref="double.PositiveInfinity"/> = unlimited, null = as
/// without any: memory ends at the request, cpus are shared by weight.
/// </summary>
public sealed record ResourceLimits(double? Cpus, double? MemMib);

public enum ConstraintOperator { Unique, Cluster, GroupBy, Like, Unlike, MaxPer, Is }

/// <summary>Contract 5.8. <see cref="Field"/> is <c>hostname</c>, <c>@hostname</c>, <c>@region</c>, <c>@zone</c> or an attribute's name.</summary>
public sealed record Constraint(string Field, ConstraintOperator Operator, string? Value);

/// <summary>Contract 5.9: the delay before a launch after failures.</summary>
public sealed record Backoff(double Seconds, double Factor, double MaxLaunchDelaySeconds)
{
    public static readonly Backoff Default = new(1, 1.15, 300);
}

public enum ContainerType { Docker, Mesos }

/// <summary>Contract 2.2. <see cref="Image"/> is null for a plain process with volumes (type MESOS without docker).</summary>
public sealed record Container
{
    public ContainerType Type { get; init; }
    public string? Image { get; init; }
    public bool Privileged { get; init; }
    public bool ForcePullImage { get; init; }
    public EquatableArray<DockerParameter> Parameters { get; init; }
    public EquatableArray<Volume> Volumes { get; init; }
    public EquatableArray<PortMapping> PortMappings { get; init; }
}

public sealed record DockerParameter(string Key, string Value);

/// <summary>Contract 2.3.</summary>
public abstract record Volume(string ContainerPath);

/// <summary>A file that holds a secret. <paramref name="Secret"/> is a name in <see cref="AppDefinition.Secrets"/>.</summary>
public sealed record SecretVolume(string ContainerPath, string Secret) : Volume(ContainerPath);

/// <summary>A directory of the node's, whichever node that is.</summary>
public sealed record HostVolume(string ContainerPath, string HostPath, bool ReadOnly) : Volume(ContainerPath);

/// <summary>
/// A directory that is made for one instance, on the node where it first runs, and outlives its tasks. <paramref name="ContainerPath"/> is one segment,
/// found in the task's sandbox. Its size is reserved on the node's disk; it is not enforced.
/// </summary>
public sealed record PersistentVolume(string ContainerPath, double SizeMib) : Volume(ContainerPath);

/// <summary>
/// The old word for an app with persistent volumes (contract 2.1): kept and shown, of no effect beyond making the app resident.
/// </summary>
public sealed record Residency(double RelaunchEscalationTimeoutSeconds, string TaskLostBehavior);

/// <summary>One mode for a whole app: <c>host</c>, <c>container/bridge</c> or <c>container</c>, which is a network of a name that the nodes must have.</summary>
public enum NetworkMode { Host, Bridge, Container }

/// <summary>
/// <see cref="HostPort"/>: null = not published, 0 = any free one. <see cref="ContainerPort"/> 0 = the same as the host port.
/// Protocol: <c>tcp</c>, <c>udp</c> or <c>udp,tcp</c>.
/// </summary>
public sealed record PortMapping(int ContainerPort, int? HostPort, int ServicePort, string Protocol, string? Name, EquatableMap Labels);

/// <summary><see cref="Port"/> is the service port (and the host port under requirePorts); 0 = to be assigned.</summary>
public sealed record PortDefinition(int Port, string Protocol, string? Name, EquatableMap Labels);

public enum HealthCheckProtocol { Http, Https, Tcp, Command, MesosHttp, MesosHttps, MesosTcp }

/// <summary>Contract 2.6.</summary>
public sealed record HealthCheck
{
    public HealthCheckProtocol Protocol { get; init; }
    public string? Path { get; init; }
    public int? PortIndex { get; init; }
    public int? Port { get; init; }
    public string? Command { get; init; }

    /// <summary>Of a pod's COMMAND check: words to run without a shell, instead of <see cref="Command"/>.</summary>
    public EquatableArray<string> Argv { get; init; }

    /// <summary>The pod's container that a COMMAND runs in; null for an app, which has only one.</summary>
    public string? Container { get; init; }

    /// <summary>The name of the pod's endpoint that is probed.</summary>
    public string? Endpoint { get; init; }

    public double GracePeriodSeconds { get; init; } = 300;
    public double IntervalSeconds { get; init; } = 60;
    public double TimeoutSeconds { get; init; } = 20;
    public int MaxConsecutiveFailures { get; init; } = 3;
    public bool IgnoreHttp1xx { get; init; }
    public double DelaySeconds { get; init; } = 15;

    public bool IsHttp => Protocol is HealthCheckProtocol.Http or HealthCheckProtocol.Https or HealthCheckProtocol.MesosHttp or HealthCheckProtocol.MesosHttps;
    public bool IsMesosKind => Protocol is HealthCheckProtocol.MesosHttp or HealthCheckProtocol.MesosHttps or HealthCheckProtocol.MesosTcp;
}

/// <summary>Contract 2.7: asked only while a deployment waits for a new instance. The protocol is HTTP, or HTTPS with any certificate.</summary>
public sealed record ReadinessCheck
{
    public string Name { get; init; } = "readinessCheck";
    public bool Https { get; init; }
    public string Path { get; init; } = "/";
    public string PortName { get; init; } = "http-api";
    public double IntervalSeconds { get; init; } = 30;
    public double TimeoutSeconds { get; init; } = 10;
    public EquatableArray<int> StatusCodesForReady { get; init; } = [200];

    /// <summary>Users are shown what the task answered last, not only whether it was ready.</summary>
    public bool PreserveLastResponse { get; init; }
}

/// <summary>Contract 5.3.</summary>
public readonly record struct UpgradeStrategy(double MinimumHealthCapacity, double MaximumOverCapacity)
{
    public static readonly UpgradeStrategy Default = new(1, 1);

    /// <summary>A second instance cannot use the first one's volume: it has to go first.</summary>
    public static readonly UpgradeStrategy Resident = new(0.5, 0);
}

public enum KillSelection { YoungestFirst, OldestFirst }

/// <summary>Contract 5.10. Both null = "disabled": wait for ever.</summary>
public sealed record UnreachableStrategy(double? InactiveAfterSeconds, double? ExpungeAfterSeconds)
{
    public static readonly UnreachableStrategy Default = new(0, 0);
    public static readonly UnreachableStrategy Disabled = new(null, null);
}

/// <summary>Contract 2.9: the version when only the count last changed, and when the configuration did. Tasks carry the latter.</summary>
public readonly record struct VersionInfo(AppVersion LastScalingAt, AppVersion LastConfigChangeAt);
