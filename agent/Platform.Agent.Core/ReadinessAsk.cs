using Platform.Model;

namespace Platform.Agent.Core;

/// <summary>
/// Contract 5.6: one readiness check of one instance. It is asked as soon as the task runs and then each interval until the answer's status is one
/// of those wanted, and never again after that. One question is in flight at a time.
/// </summary>
internal sealed record ReadinessAsk(DateTimeOffset? NextAt, bool InFlight, ReadinessState? State)
{
    public static readonly ReadinessAsk Fresh = new(null, false, null);

    public bool IsOpen => State is not { Ready: true };

    public bool IsDue(DateTimeOffset now) => IsOpen && !InFlight && !(NextAt > now);

    public ReadinessAsk Asked(ReadinessCheck check, DateTimeOffset now) =>
        this with { NextAt = now + TimeSpan.FromSeconds(check.IntervalSeconds), InFlight = true };

    public ReadinessAsk Answered(ReadinessCheck check, ReadinessResponse response) => this with
    {
        InFlight = false,
        State = new ReadinessState(check.Name, check.StatusCodesForReady.Items.Contains(response.Status), check.PreserveLastResponse ? response : null),
    };
}
