using Platform.Model;
using Platform.Scheduler.Metrics;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>Where endpoints ask for a change: a decision comes back as what was accepted, or as the answer to give in its place.</summary>
internal sealed class CommandDoor(SchedulerLoop loop, EventHub hub, ApiOptions options, SchedulerMeters meters, TimeProvider time)
{
    /// <summary>So many of them are told in an event; the answer has all.</summary>
    private const int ReasonProblemsMax = 10;

    /// <summary>The answer in place of a change is its refusal, or, under <c>dryRun</c>, its plan: whatever is asked so, changes nothing.</summary>
    /// <param name="group">The group that a refused change would have changed; its followers are told why it was not.</param>
    public async Task<(Decision.Accepted Accepted, Answer? Instead)> AskAsync(Call call, Command command, AppId group)
    {
        command = command with { Precondition = call.Precondition };
        if (call.Flags.DryRun == true) return (null!, Rehearse(call, command));
        var decision = await DecideAsync(call, command).ConfigureAwait(false);
        if (decision is Decision.Accepted accepted) return (accepted, null);
        var rejection = ((Decision.Refused)decision).Rejection;
        if (rejection.Code is RejectCode.Locked or RejectCode.NotValid or RejectCode.TooMany)
            hub.Tell(ContractEvents.GroupChangeFailed(group, ReasonOf(rejection), time.GetUtcNow()));
        return (null!, Answer.Of(rejection));
    }

    private static string ReasonOf(Rejection rejection) =>
        rejection.Details.IsEmpty ? rejection.Message
            : "Object is not valid: " + string.Join("; ", rejection.Details.Take(ReasonProblemsMax).Select(p => $"{p.Path} {p.Reason}"));

    /// <summary>On the caller's thread and its view of the cluster: the loop goes on meanwhile.</summary>
    private Answer Rehearse(Call call, Command command)
    {
        var now = time.GetUtcNow();
        return Decider.Decide(call.View.State, Forced(command), options.Settings, now) switch
        {
            Decision.Refused refused => Answer.Of(refused.Rejection),
            Decision.Accepted accepted when accepted.Events.Items.Any(e => e is SchedulerEvent.DeploymentStarted) =>
                RehearsalJson.Answer(Rehearsal.Of(call.View.State, accepted, now)),
            _ => Answer.Message(400, "This makes no deployment that a dryRun could show"),
        };
    }

    /// <summary>A plan is shown even where running deployments are in its way; it names them.</summary>
    private static Command Forced(Command command) => command switch
    {
        Command.CreateApp x => x with { Force = true },
        Command.WriteApps x => x with { Force = true },
        Command.DeleteApp x => x with { Force = true },
        Command.RestartApp x => x with { Force = true },
        Command.KillInstances x => x with { Force = true },
        Command.CreatePod x => x with { Force = true },
        Command.WritePod x => x with { Force = true },
        Command.DeletePod x => x with { Force = true },
        Command.WriteGroup x => x with { Force = true },
        Command.DeleteGroup x => x with { Force = true },
        _ => command,
    };

    private async Task<Decision> DecideAsync(Call call, Command command)
    {
        var askedAt = time.GetTimestamp();
        try
        {
            return await loop.AskAsync(command, call.Http.RequestAborted).WaitAsync(options.DecisionMax, time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new SchedulerUnavailableException("The scheduler has not decided in time; the change may still be made");
        }
        finally
        {
            meters.Decided(time.GetElapsedTime(askedAt));
        }
    }
}
