using Platform.Model;

namespace Platform.Agent.Core;

/// <summary>What one probe made of a check's state, and whether the instance has to die for it.</summary>
public readonly record struct HealthVerdict(HealthState State, bool Kill);

/// <summary>Contract 5.5, row by row.</summary>
public static class HealthRules
{
    /// <param name="counts">False for a probe between the contract's instants, made only to see readiness as soon as it is true: its failure is nobody's.</param>
    public static HealthVerdict Apply(HealthCheck check, HealthState state, ProbeOutcome outcome, bool counts, DateTimeOffset runningSince, DateTimeOffset now) => outcome switch
    {
        ProbeOutcome.Passed => new HealthVerdict(Succeeded(state, now), false),
        ProbeOutcome.Failed x when counts && !InGrace(check, state, runningSince, now) => Failed(check, state, x.Cause, now),
        ProbeOutcome.Failed or ProbeOutcome.Undecided => new HealthVerdict(state, false),
        _ => throw new System.Diagnostics.UnreachableException($"{outcome}"),
    };

    /// <summary>The first success ends the grace at once.</summary>
    public static bool InGrace(HealthCheck check, HealthState state, DateTimeOffset runningSince, DateTimeOffset now) =>
        state.FirstSuccessAt is null && now < runningSince + TimeSpan.FromSeconds(check.GracePeriodSeconds);

    private static HealthState Succeeded(HealthState state, DateTimeOffset now)
    {
        var at = Timestamps.ToMilliseconds(now);
        if (state.LastFailureAt is { } failure && at <= failure) at = failure.AddMilliseconds(1); // "alive" compares the two, in milliseconds once on the wire
        return state with { FirstSuccessAt = state.FirstSuccessAt ?? at, LastSuccessAt = at, ConsecutiveFailures = 0, Seen = true };
    }

    private static HealthVerdict Failed(HealthCheck check, HealthState state, string cause, DateTimeOffset now)
    {
        // Before incrementing: three tolerated failures mean death by the fourth.
        var kill = check.MaxConsecutiveFailures > 0 && state.ConsecutiveFailures >= check.MaxConsecutiveFailures;
        var at = Timestamps.ToMilliseconds(now);
        if (state.LastSuccessAt is { } success && at < success) at = success;
        return new HealthVerdict(state with { LastFailureAt = at, LastFailureCause = cause, ConsecutiveFailures = state.ConsecutiveFailures + 1, Seen = true }, kill);
    }
}

/// <summary>
/// When a check probes: at the contract's instants, which count, and until the first success also in between, which do not.
/// One probe of a check is in flight at a time; instants missed meanwhile are skipped, not made up for.
/// </summary>
public sealed record ProbeSchedule(DateTimeOffset RegisteredAt, DateTimeOffset CountingAt, DateTimeOffset EarlyAt, bool InFlight, bool InFlightCounts)
{
    public static readonly TimeSpan FirstMax = TimeSpan.FromSeconds(5);
    public static readonly TimeSpan IntervalMin = TimeSpan.FromMilliseconds(100);

    /// <summary>An early probe ends before the next counting one begins; with less room than this it is not worth making.</summary>
    public static readonly TimeSpan EarlyRoomMin = TimeSpan.FromMilliseconds(20);

    public static ProbeSchedule Register(HealthCheck check, DateTimeOffset now)
    {
        var first = check.IsMesosKind ? TimeSpan.FromSeconds(check.DelaySeconds) : Min(Interval(check), FirstMax);
        return new ProbeSchedule(now, now + first, check.IsMesosKind ? now + first : now, false, false);
    }

    public static TimeSpan Interval(HealthCheck check) => TimeSpan.FromSeconds(check.IntervalSeconds) is var x && x < IntervalMin ? IntervalMin : x;

    /// <summary>The probe that is due, if one is: its timeout, and the schedule with it in flight.</summary>
    public (ProbeSchedule Next, TimeSpan Timeout)? Due(HealthCheck check, bool everPassed, DateTimeOffset now)
    {
        if (InFlight) return null;
        var timeout = TimeSpan.FromSeconds(check.TimeoutSeconds);
        if (now >= CountingAt)
        {
            var next = CountingAt + Interval(check);
            return (this with { CountingAt = next > now ? next : now + Interval(check), InFlight = true, InFlightCounts = true }, timeout);
        }
        if ((everPassed && EarlyAt != RegisteredAt) || now < EarlyAt || CountingAt - now < EarlyRoomMin) return null;
        return (this with { EarlyAt = now + EarlyDelay(check, now), InFlight = true, InFlightCounts = false }, Min(timeout, CountingAt - now));
    }

    public DateTimeOffset? NextAt(bool everPassed, DateTimeOffset now)
    {
        if (InFlight) return null;
        var early = EarlyAt > now ? EarlyAt : now;
        return (everPassed && EarlyAt != RegisteredAt) || early + EarlyRoomMin > CountingAt ? CountingAt : early;
    }

    public ProbeSchedule Answered(HealthCheck check, DateTimeOffset now) =>
        this with { InFlight = false, InFlightCounts = false, EarlyAt = EarlyAt < now ? now + EarlyDelay(check, now) : EarlyAt };

    /// <summary>An eighth of the time waited so far: readiness is seen at most that much late, and a slow starter is not hammered.</summary>
    private TimeSpan EarlyDelay(HealthCheck check, DateTimeOffset now)
    {
        var floor = check.Protocol == HealthCheckProtocol.Command ? TimeSpan.FromMilliseconds(500) : TimeSpan.FromMilliseconds(100);
        var eighth = (now - RegisteredAt) / 8;
        return Min(eighth < floor ? floor : eighth, Interval(check));
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
