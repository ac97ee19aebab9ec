using Platform.Agent.Joining;
using Platform.Model;

namespace Platform.Agent;

/// <summary>Which instances the node runs.</summary>
public enum RuntimeChoice
{
    /// <summary>Plain processes, and containers if a Docker engine answers.</summary>
    Auto,
    Docker,
    Process,
}

/// <summary>What one agent is told at its start. Everything else it finds out, or hears from the scheduler.</summary>
public sealed record NodeAgentOptions
{
    public required NodeId NodeId { get; init; }
    public required string DataDirectory { get; init; }

    /// <summary><c>unix:/path</c> or http(s) addresses of schedulers, tried in turn.</summary>
    public required EquatableArray<string> Schedulers { get; init; }

    /// <summary>Where published ports and the proxy are reached; null = the bridge network's gateway, or loopback without Docker.</summary>
    public string? NodeAddress { get; init; }

    /// <summary>
    /// Known beforehand where scheduler and agent share a process. Otherwise it comes with the first Welcome: then the bridge network is made, and
    /// a node without <see cref="NodeAddress"/> names the local address that leads to the scheduler.
    /// </summary>
    public string? ClusterId { get; init; }

    public int TaskPortMin { get; init; } = 31000;
    public int TaskPortMax { get; init; } = 32000;
    public RuntimeChoice Runtime { get; init; } = RuntimeChoice.Auto;
    public EquatableMap Attributes { get; init; } = EquatableMap.Empty;

    /// <summary>Null = what the machine has.</summary>
    public Resources? Resources { get; init; }

    /// <summary>Null = <c>DOCKER_HOST</c>, or the usual socket.</summary>
    public string? DockerHost { get; init; }

    /// <summary>The resolver of bridge containers: null = the bridge gateway, "" = the engine's own choice.</summary>
    public string? ContainerDns { get; init; }

    public FetchOptions Fetch { get; init; } = new();

    /// <summary>By what it is known to schedulers on other machines; null for this machine's own, and where there are no certificates.</summary>
    public NodeCredentials? Credentials { get; init; }

    /// <summary>Of the program.</summary>
    public string? Version { get; init; }

    /// <summary>What of the machine is not for tasks.</summary>
    public Resources Reserved { get; init; }
}
