using Platform.Model;

namespace Platform.Agent.Core;

/// <summary>What runs an instance: an image in the container engine, or plain processes of the node.</summary>
public enum RuntimeKind { Docker, Process }

public static class Runtimes
{
    /// <summary>An app without an image is a plain process, whatever else its container says.</summary>
    public static RuntimeKind Of(AppDefinition app) => app.NeedsImage ? RuntimeKind.Docker : RuntimeKind.Process;
}

public enum ContainerState { Created, Running, Exited }

/// <summary>How a container or process ended. <paramref name="Code"/> is null when nobody saw it; <paramref name="LastOutput"/> is at most 20 lines.</summary>
public sealed record ContainerExit(int? Code, bool OutOfMemory, string LastOutput, DateTimeOffset At)
{
    /// <summary>Which one of a pod.</summary>
    public string? Container { get; init; }
}

/// <summary>
/// One container (or process group, or all the containers of a pod's instance) that carries our labels for this cluster and node, as its
/// runtime shows it.
/// </summary>
public sealed record ObservedContainer
{
    public required InstanceId Id { get; init; }
    public required long Serial { get; init; }
    public required RuntimeKind Runtime { get; init; }
    public required ContainerState State { get; init; }
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>Its own address, where it has one (bridge networking).</summary>
    public string? Address { get; init; }

    /// <summary>With <see cref="ContainerState.Exited"/>; or, of a pod that is still running, how the first of its containers ended.</summary>
    public ContainerExit? Exit { get; init; }
}

/// <summary>What a health check saw once.</summary>
public abstract record ProbeOutcome
{
    private ProbeOutcome() { }

    public sealed record Passed : ProbeOutcome;
    public sealed record Failed(string Cause) : ProbeOutcome;

    /// <summary>An answer that says nothing: 1xx under <c>ignoreHttp1xx</c>, or the engine could not run the check at all.</summary>
    public sealed record Undecided : ProbeOutcome;
}

/// <summary>Everything that can happen to an agent. Any of them may come late, twice or never: the core stays right.</summary>
public abstract record AgentInput
{
    private AgentInput() { }

    /// <summary>The scheduler's word. Ignored if its term is smaller than one seen, or its revision did not grow within the term.</summary>
    public sealed record Desired(long Term, long Revision, bool Complete, long NextSerial, EquatableArray<Assignment> Upsert, EquatableArray<InstanceId> Remove) : AgentInput
    {
        /// <summary>Every volume, by uuid, whose data is to be deleted.</summary>
        public EquatableArray<string> Wipe { get; init; }
    }

    /// <summary>What came of a <see cref="AgentStep.Wipe"/>: null = the data is gone.</summary>
    public sealed record Wiped(string Volume, string? Why) : AgentInput;

    /// <summary>Every container of ours that <paramref name="Runtime"/> holds. <paramref name="AsOf"/>: when the look began, so that a container made since is not taken for missing.</summary>
    public sealed record Listed(RuntimeKind Runtime, DateTimeOffset AsOf, EquatableArray<ObservedContainer> Containers) : AgentInput;

    /// <summary>One container's news: an event, or the result of a start.</summary>
    public sealed record Seen(ObservedContainer Container) : AgentInput;

    /// <summary>What a start is waiting for, in words.</summary>
    public sealed record Progress(InstanceId Id, string Detail) : AgentInput;

    /// <summary>The start can never work, and left no container: a bad parameter, no such user, an image that cannot be had; or it was cancelled in time.</summary>
    public sealed record StartRefused(InstanceId Id, TerminalState State, string Why) : AgentInput;

    /// <summary>The instance's running action ended well. After a start, <see cref="Seen"/> comes first.</summary>
    public sealed record Done(InstanceId Id) : AgentInput;

    /// <summary>The runtime did not answer; whether the action took effect is unknown. It will be tried again.</summary>
    public sealed record Failed(InstanceId Id, string Why) : AgentInput;

    public sealed record Probed(InstanceId Id, int Check, ProbeOutcome Outcome) : AgentInput;

    /// <summary>What a readiness check was answered; 504 if the task could not be asked.</summary>
    public sealed record ReadinessAnswered(InstanceId Id, int Check, ReadinessResponse Response) : AgentInput;
}

/// <summary>What the shell is to do. Of the first five, one at a time for each instance, answered by exactly one Done, Failed or StartRefused; CancelStart is not answered.</summary>
public abstract record AgentAction(InstanceId Id)
{
    /// <summary>Make and start the container, pulling its image if need be. One that exists already under the instance's name is adopted, and started if it never was.</summary>
    public sealed record Start(Assignment Assignment) : AgentAction(Assignment.Id);

    /// <summary>SIGTERM. One that is gone or has ended is success.</summary>
    public sealed record Terminate(InstanceId Id, RuntimeKind Runtime) : AgentAction(Id);

    /// <summary>SIGKILL. One that is gone or has ended is success.</summary>
    public sealed record Kill(InstanceId Id, RuntimeKind Runtime) : AgentAction(Id);

    /// <summary>Remove what is left of an ended one.</summary>
    public sealed record Remove(InstanceId Id, RuntimeKind Runtime) : AgentAction(Id);

    /// <summary>Give up a start that is still waiting or pulling; one that is past that point completes as usual.</summary>
    public sealed record CancelStart(InstanceId Id) : AgentAction(Id);

    /// <summary>Answered by exactly one <see cref="AgentInput.Probed"/>. <paramref name="Address"/> is null when the instance has none to be probed at: a failure.</summary>
    public sealed record Probe(InstanceId Id, int Index, HealthCheck Check, RuntimeKind Runtime, string? Address, int Port, TimeSpan Timeout) : AgentAction(Id);

    /// <summary>Answered by exactly one <see cref="AgentInput.ReadinessAnswered"/>.</summary>
    public sealed record AskReadiness(InstanceId Id, int Index, ReadinessCheck Check, string? Address, int Port) : AgentAction(Id);
}

/// <summary>Whether, and how urgently, <see cref="AgentCore.Memory"/> has to reach the disk.</summary>
public enum Persistence
{
    None,

    /// <summary>Soon, in the background: health verdicts and ends.</summary>
    Soon,

    /// <summary>With fsync, before any action of this step: what is desired, and what may have been started.</summary>
    BeforeActions,
}

/// <summary>What one step decided.</summary>
/// <param name="ChangedReports">Instances whose report changed in more than the time of the last successful check.</param>
/// <param name="NextLookAt">When to step again even if nothing happens.</param>
public sealed record AgentStep(EquatableArray<AgentAction> Actions, EquatableArray<InstanceReport> ChangedReports, DateTimeOffset? NextLookAt, Persistence Persist)
{
    /// <summary>Volumes, by uuid, whose data is to be deleted now. Each is answered by one <see cref="AgentInput.Wiped"/>.</summary>
    public EquatableArray<string> Wipe { get; init; }
}

/// <summary>What of the core outlives the agent's process.</summary>
public sealed record AgentMemory
{
    public static readonly AgentMemory Empty = new();

    /// <summary>The cluster this node belongs to; null until a scheduler said so.</summary>
    public string? ClusterId { get; init; }

    public long Term { get; init; }

    /// <summary>Of the last desired state taken; null before the first.</summary>
    public long? Revision { get; init; }

    public long NextSerial { get; init; }
    public EquatableArray<Assignment> Assignments { get; init; }

    /// <summary>Of the assignments, those a start was ever asked for: an id is started once, also across restarts of the agent.</summary>
    public EquatableArray<InstanceId> Launched { get; init; }

    public EquatableArray<HealthMemory> Health { get; init; }

    /// <summary>How those that ended did, while the scheduler lists them: a refused start leaves no container to tell it again.</summary>
    public EquatableArray<EndMemory> Ends { get; init; }
}

public sealed record EndMemory(InstanceId Id, InstanceEnd End);

public sealed record HealthMemory(InstanceId Id, EquatableArray<HealthState> Checks);
