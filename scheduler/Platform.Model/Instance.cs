using System.Text.Json.Serialization;

namespace Platform.Model;

/// <summary>Intent, written by the scheduler only.</summary>
public enum Goal { Run, Stop }

/// <summary>Fact, written from agents' reports only. Terminal states end the instance and are found in <see cref="TerminalState"/>.</summary>
public enum Phase { Staging, Starting, Running }

/// <summary>How an instance ended (contract section 3).</summary>
public enum TerminalState { Finished, Failed, Killed, Error, Lost, Gone }

/// <summary>The verdict of one health check of one instance (contract 5.5), as the agent that runs it saw it.</summary>
public sealed record HealthState
{
    public DateTimeOffset? FirstSuccessAt { get; init; }
    public DateTimeOffset? LastSuccessAt { get; init; }
    public DateTimeOffset? LastFailureAt { get; init; }
    public string? LastFailureCause { get; init; }
    public int ConsecutiveFailures { get; init; }

    /// <summary>Failures inside the grace period leave an entry with nothing counted; it is false then.</summary>
    public bool Seen { get; init; }

    public bool Alive => LastSuccessAt is { } success && (LastFailureAt is not { } failure || success > failure);
}

/// <summary>The verdict of one readiness check of one instance (contract 1.6, 5.6).</summary>
/// <param name="LastResponse">Only where the check preserves it.</param>
public sealed record ReadinessState(string Name, bool Ready, ReadinessResponse? LastResponse);

/// <summary>What the task answered; one that could not be asked is shown as 504 with the reason as text.</summary>
public sealed record ReadinessResponse(int Status, string ContentType, string Body);

/// <summary>What the scheduler wants of one instance on one node: everything the agent needs, and nothing it must ask for.</summary>
/// <param name="HostPorts">One for each declared port, in order; 0 where the port is not published on the host.</param>
/// <param name="Env">The complete environment (contract section 4), dependencies' addresses included.</param>
public sealed record Assignment(InstanceId Id, long Serial, Goal Goal, AppDefinition App, EquatableArray<int> HostPorts, EquatableMap Env)
{
    /// <summary>The volumes that were made for the instance on this node, or are to be made when it first starts.</summary>
    public EquatableArray<LocalVolume> Volumes { get; init; }

    /// <summary>
    /// The values of the app's secrets. Null: not told; an agent that took the assignment from its own disk has to wait for the scheduler,
    /// for no disk ever holds them.
    /// </summary>
    [JsonIgnore]
    public RevealedSecrets? Secrets { get; init; }

    /// <summary>A deployment waits for its readiness: the node asks for it until it is there.</summary>
    public bool AwaitsReadiness { get; init; }
}

/// <summary>One persistent volume of one instance. <paramref name="Uuid"/> names its directory on the node, and is never given twice.</summary>
public sealed record LocalVolume(string ContainerPath, string Uuid, double SizeMib)
{
    /// <summary>The contract's name of it (section 3).</summary>
    public string PersistenceId(AppId app) => $"{app.Underscored}#{ContainerPath}#{Uuid}";
}

/// <summary>Secrets in the clear, on their way from the scheduler to the task they are for, and nowhere else: not in a text, a log or a file of state.</summary>
/// <param name="Env">Variable → value.</param>
/// <param name="Files">Path in the container → content.</param>
/// <param name="Inaccessible">Paths of secrets that the store does not have, or cannot open.</param>
public sealed record RevealedSecrets(EquatableMap Env, EquatableMap Files, EquatableArray<string> Inaccessible)
{
    public override string ToString() => "(secrets)";
}

/// <summary>What an agent says of one instance it holds, or held until a moment ago.</summary>
public sealed record InstanceReport
{
    public required InstanceId Id { get; init; }
    public required long Serial { get; init; }
    public Phase Phase { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public string? ContainerAddress { get; init; }
    public EquatableArray<HealthState> Health { get; init; }

    /// <summary>Empty until its readiness was asked for.</summary>
    public EquatableArray<ReadinessState> Readiness { get; init; }

    /// <summary>What is going on while it is not running yet: pull progress, a wait.</summary>
    public string? Detail { get; init; }

    public InstanceEnd? End { get; init; }

    /// <summary>One container of a pod has ended, and the others are being stopped; the <see cref="End"/> follows when none is left.</summary>
    public bool Ending { get; init; }
}

/// <summary>How and why an instance ended; <see cref="Message"/> is what the user reads in lastTaskFailure.</summary>
public sealed record InstanceEnd(TerminalState State, string Message, int? ExitCode, bool OutOfMemory, bool HealthKill, DateTimeOffset At)
{
    /// <summary>Of a pod: the container that ended first, by itself.</summary>
    public string? Container { get; init; }
}

/// <summary>A machine that runs instances.</summary>
public sealed record NodeDescription
{
    public required NodeId Id { get; init; }

    /// <summary>Where its published task ports and its proxy are reached.</summary>
    public required string Address { get; init; }

    public required Resources Total { get; init; }
    public required int TaskPortMin { get; init; }
    public required int TaskPortMax { get; init; }
    public EquatableMap Attributes { get; init; } = EquatableMap.Empty;

    /// <summary>What it can run: <c>docker</c>, <c>process</c>.</summary>
    public EquatableArray<string> Runtimes { get; init; }

    /// <summary>What the machine has beyond <see cref="Total"/>, and keeps for itself.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public Resources Reserved { get; init; }

    /// <summary>Of the program it runs; null from versions that did not say.</summary>
    public string? Version { get; init; }
}
