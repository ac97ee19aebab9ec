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

/// <summary>What the scheduler wants of one instance on one node: everything the agent needs, and nothing it must ask for.</summary>
/// <param name="HostPorts">One for each declared port, in order; 0 where the port is not published on the host.</param>
/// <param name="Env">The complete environment (contract section 4), dependencies' addresses included.</param>
public sealed record Assignment(InstanceId Id, long Serial, Goal Goal, AppDefinition App, EquatableArray<int> HostPorts, EquatableMap Env);

/// <summary>What an agent says of one instance it holds, or held until a moment ago.</summary>
public sealed record InstanceReport
{
    public required InstanceId Id { get; init; }
    public required long Serial { get; init; }
    public Phase Phase { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public string? ContainerAddress { get; init; }
    public EquatableArray<HealthState> Health { get; init; }

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
}
