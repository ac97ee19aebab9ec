namespace Platform.Model;

/// <summary>
/// What makes a definition a pod (contract 1.10): several containers of one instance, which share the network namespace and volumes of their
/// node. What a pod has in common with an app (count, labels, environment, placement, upgrade) stands in <see cref="AppDefinition"/>, and what
/// the scheduler needs of the containers follows from here: the sum of their resources, their endpoints as ports, their health checks.
/// </summary>
public sealed record PodSpec
{
    public EquatableArray<PodContainer> Containers { get; init; }
    public EquatableArray<PodVolume> Volumes { get; init; }

    /// <summary>Reserved beside what the containers ask for; nothing unless the pod says so.</summary>
    public Resources ExecutorResources { get; init; }

    public Resources TotalResources => Containers.Aggregate(ExecutorResources, (sum, container) => sum + container.Resources);

    /// <summary>The endpoints of all containers, in order.</summary>
    public IEnumerable<PodEndpoint> Endpoints => Containers.SelectMany(x => x.Endpoints);

    /// <summary>The one whose name a check or an exit carries; null for a name that no container has.</summary>
    public PodContainer? Find(string? name) => Containers.FirstOrDefault(x => x.Name == name);

    public EquatableArray<AppPort> PortsIn(NetworkMode network) => Endpoints
        .Select((x, i) => new AppPort(i, x.ServicePort, network == NetworkMode.Host ? null : x.ContainerPort, x.HostPort, x.Protocol, x.Name, x.Labels))
        .ToEquatableArray();

    /// <summary>Each bound to its container, and to its endpoint's place among the pod's ports.</summary>
    public EquatableArray<HealthCheck> HealthChecks()
    {
        var endpoints = Endpoints.Select(x => x.Name).ToList();
        return Containers.Where(x => x.HealthCheck is not null)
            .Select(x => x.HealthCheck! with
            {
                Container = x.Name,
                PortIndex = x.HealthCheck.Endpoint is { } endpoint && endpoints.IndexOf(endpoint) is >= 0 and var index ? index : null,
            })
            .ToEquatableArray();
    }

    public PodSpec WithServicePorts(IReadOnlyList<int> ports)
    {
        var next = 0;
        return this with
        {
            Containers = Containers
                .Select(x => x with { Endpoints = x.Endpoints.Select(e => e with { ServicePort = ports[next++] }).ToEquatableArray() })
                .ToEquatableArray(),
        };
    }
}

/// <summary>One container of a pod.</summary>
public sealed record PodContainer
{
    public required string Name { get; init; }

    /// <summary>Null: what the image does by itself.</summary>
    public PodCommand? Command { get; init; }

    public Resources Resources { get; init; } = Resources.Default;
    public EquatableArray<PodEndpoint> Endpoints { get; init; }
    public PodImage? Image { get; init; }
    public EquatableMap Environment { get; init; } = EquatableMap.Empty;

    /// <summary>Null: the pod's.</summary>
    public string? User { get; init; }

    /// <summary>As the container has it: its endpoint by name only. <see cref="PodSpec.HealthChecks"/> binds it.</summary>
    public HealthCheck? HealthCheck { get; init; }

    public EquatableArray<PodVolumeMount> VolumeMounts { get; init; }
    public EquatableMap Labels { get; init; } = EquatableMap.Empty;
    public double? KillGracePeriodSeconds { get; init; }
}

/// <summary><c>exec</c>: either a line for the shell, or words that go to the image's entry point, or instead of it.</summary>
public sealed record PodCommand(string? Shell, EquatableArray<string> Argv, bool OverrideEntrypoint);

/// <summary>
/// <see cref="ContainerPort"/>: null in host mode, 0 = the same as the host port. <see cref="HostPort"/>: null = not published, 0 = any free one.
/// <see cref="ServicePort"/> is our addition: the number under which the proxies serve the endpoint; 0 = to be assigned.
/// </summary>
public sealed record PodEndpoint(string Name, int? ContainerPort, int? HostPort, int ServicePort, string Protocol, EquatableMap Labels);

public sealed record PodImage(string Id, bool ForcePull);

/// <summary>Of the node at <see cref="HostPath"/>; without one, made for the instance and gone with it.</summary>
public sealed record PodVolume(string Name, string? HostPath);

public sealed record PodVolumeMount(string Name, string MountPath, bool ReadOnly);
