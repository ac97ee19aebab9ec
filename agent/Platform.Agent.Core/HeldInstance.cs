using Platform.Model;

namespace Platform.Agent.Core;

/// <summary>One instance as this node holds it: what is wanted, what is there, and what is being done about the difference.</summary>
internal sealed class HeldInstance(InstanceId id, long serial, RuntimeKind runtime)
{
    internal enum Work { None, Start, Terminate, Kill, Remove }

    public InstanceId Id { get; } = id;
    public long Serial { get; } = serial;
    public RuntimeKind Runtime { get; } = runtime;

    /// <summary>The last one seen; kept after the scheduler let go of the instance, for its kill grace.</summary>
    public Assignment? Assignment { get; set; }

    /// <summary>Whether the desired state lists it now.</summary>
    public bool Listed { get; set; }

    /// <summary>A start was asked for, in this life of the agent or an earlier one.</summary>
    public bool Launched { get; set; }

    /// <summary>In this life: then a missing container is not yet made; otherwise it is lost.</summary>
    public bool LaunchedNow { get; set; }

    /// <summary>A container of it certainly was there; one that is missing now is lost, not yet to be made.</summary>
    public bool Made { get; set; }

    /// <summary>It was seen running or ended; it cannot be said to be staging any more.</summary>
    public bool Ran { get; set; }

    public ObservedContainer? Container { get; set; }
    public DateTimeOffset KnownSince { get; set; }
    public Work Busy { get; set; }
    public bool StartCancelled { get; set; }
    public string? Detail { get; set; }

    /// <summary>An unanswered start leaves open whether there is a container; a look begun later than this tells.</summary>
    public DateTimeOffset? UncertainSince { get; set; }

    public int Attempts { get; set; }
    public DateTimeOffset FailedAt { get; set; }
    public DateTimeOffset? RetryAt { get; set; }

    /// <summary>Set with the SIGTERM's order: an exit after it is a kill, one before it is the task's own.</summary>
    public bool Stopping { get; set; }
    public string? HealthKill { get; set; }
    public DateTimeOffset? TerminatedAt { get; set; }
    public DateTimeOffset? KillAt { get; set; }

    /// <summary>A pod's end to be: one of its containers has ended, and with the last of them this becomes <see cref="End"/>.</summary>
    public InstanceEnd? Ending { get; set; }

    public InstanceEnd? End { get; set; }
    public HealthState[] Health { get; set; } = [];
    public ProbeSchedule?[] Schedules { get; set; } = [];
    public ReadinessAsk[] Readiness { get; set; } = [];
    public InstanceReport? Reported { get; set; }

    public bool IsRunning => Container?.State == ContainerState.Running && End is null;
    public EquatableArray<HealthCheck> Checks => Assignment?.App.HealthChecks ?? default;
    public TimeSpan KillGrace => Assignment?.App.KillGrace ?? TimeSpan.FromSeconds(3);

    public InstanceReport Report() => new()
    {
        Id = Id,
        Serial = Serial,
        Phase = Ran ? Phase.Running : Busy == Work.Start && Detail is null ? Phase.Starting : Phase.Staging,
        StartedAt = Container?.StartedAt,
        ContainerAddress = Container?.Address,
        Health = Health.ToEquatableArray(),
        Readiness = Readiness.Select(x => x.State).OfType<ReadinessState>().ToEquatableArray(),
        Detail = End is null ? Detail : null,
        Ending = End is null && Ending is not null,
        End = End,
    };

    /// <summary>Takes a container's news. An exit is final: nothing of ours restarts a container.</summary>
    public void Observe(ObservedContainer seen, DateTimeOffset now)
    {
        if (Container is null) KnownSince = now;
        Made = true;
        Ran |= seen.State != ContainerState.Created;
        if (Container?.State == ContainerState.Exited && seen.State != ContainerState.Exited) return;
        Container = Container is null ? seen : seen with { StartedAt = seen.StartedAt ?? Container.StartedAt, Address = seen.Address ?? Container.Address };
        UncertainSince = null;
        if (seen is { State: ContainerState.Running, Exit: { } first }) Ending ??= EndOf(first, now);
        if (seen.State == ContainerState.Exited) End ??= Ending ?? EndOf(seen.Exit ?? new ContainerExit(null, false, "", now), now);
        else if (seen.State == ContainerState.Running && !Stopping) Detail = null;
    }

    /// <summary>The runtime certainly has no container of it any more, or never had one.</summary>
    public void Vanish(DateTimeOffset now)
    {
        UncertainSince = null;
        if (Made || !LaunchedNow)
            End ??= Ending ?? (Stopping || (Listed && Assignment?.Goal == Goal.Stop)
                ? Killed("Task was killed; its container is gone", null, now)
                : new InstanceEnd(TerminalState.Lost, "The task's container is gone: it was removed by someone else, or the node lost it", null, false, false, now));
        Container = null;
    }

    public InstanceEnd Killed(string message, int? exitCode, DateTimeOffset now) => HealthKill is { } reason
        ? new InstanceEnd(TerminalState.Killed, $"Task was killed since health check failed. Reason: {reason}", exitCode, false, true, now)
        : new InstanceEnd(TerminalState.Killed, message, exitCode, false, false, now);

    private InstanceEnd EndOf(ContainerExit exit, DateTimeOffset now)
    {
        var at = exit.At > now ? now : exit.At;
        if (Stopping || (Listed && Assignment?.Goal == Goal.Stop && !LaunchedNow))
            return Killed(exit.Code is { } code ? $"Task was killed; it ended with status {code}" : "Task was killed", exit.Code, at);
        if (exit.OutOfMemory)
            return new InstanceEnd(TerminalState.Failed, WithOutput(OutOfMemoryText(exit), exit), exit.Code, true, false, at) { Container = exit.Container };
        var what = exit.Container is { } name ? $"Container '{name}'" : Runtime == RuntimeKind.Docker ? "Container" : "Command";
        return exit.Code switch
        {
            0 => new InstanceEnd(TerminalState.Finished, $"{what} exited with status 0", 0, false, false, at),
            { } failed => new InstanceEnd(TerminalState.Failed, WithOutput($"{what} exited with status {failed}{SignalText(failed)}", exit), failed, false, false, at),
            null => new InstanceEnd(TerminalState.Failed, WithOutput($"{what} ended, and its exit status is not known", exit), null, false, false, at),
        } with { Container = exit.Container };
    }

    private string What => Runtime == RuntimeKind.Docker ? "Container" : "Command";

    private string OutOfMemoryText(ContainerExit exit)
    {
        var whose = exit.Container is { } name ? $"Memory limit of container '{name}' exceeded" : "Memory limit exceeded";
        var limit = Assignment?.App is { } app ? app.Pod?.Find(exit.Container)?.Resources.MemMib ?? app.ResourceLimits?.MemMib ?? app.Resources.MemMib : (double?)null;
        return limit is null ? whose : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{whose}: the task's limit is {limit} MiB");
    }

    private static string SignalText(int code) => code switch { 137 => " (SIGKILL)", 139 => " (SIGSEGV)", 134 => " (SIGABRT)", 143 => " (SIGTERM)", 126 => " (not executable)", 127 => " (command not found)", _ => "" };

    private static string WithOutput(string text, ContainerExit exit) => exit.LastOutput.Length == 0 ? text : $"{text}. Last output:\n{exit.LastOutput}";
}
