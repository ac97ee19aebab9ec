using Platform.Model;
using Platform.Scheduler.Metrics;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>Where endpoints ask for a change: a decision comes back as what was accepted, or as the answer that refuses it.</summary>
internal sealed class CommandDoor(SchedulerLoop loop, EventHub hub, ApiOptions options, SchedulerMeters meters, TimeProvider time)
{
    /// <summary>So many of them are told in an event; the answer has all.</summary>
    private const int ReasonProblemsMax = 10;

    /// <param name="group">The group that a refused change would have changed; its followers are told that it was not, and why.</param>
    public async Task<(Decision.Accepted Accepted, Answer? Refusal)> AskAsync(Call call, Command command, AppId group)
    {
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
