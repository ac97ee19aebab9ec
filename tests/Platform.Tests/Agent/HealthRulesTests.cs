using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Tests.Agent;

/// <summary>Contract 5.5, a test for each row.</summary>
public sealed class HealthRulesTests
{
    private static readonly DateTimeOffset Start = AgentWorld.Epoch;
    private static readonly HealthCheck Check = new() { Protocol = HealthCheckProtocol.Http, PortIndex = 0, GracePeriodSeconds = 60, IntervalSeconds = 10, TimeoutSeconds = 5, MaxConsecutiveFailures = 3 };

    private static HealthVerdict Run(HealthCheck check, params (double At, string Outcome)[] probes)
    {
        var verdict = new HealthVerdict(new HealthState(), false);
        foreach (var (at, outcome) in probes)
            verdict = HealthRules.Apply(check, verdict.State, Outcome(outcome), counts: true, Start, Start.AddSeconds(at));
        return verdict;
    }

    private static ProbeOutcome Outcome(string text) => text switch
    {
        "ok" => new ProbeOutcome.Passed(),
        "1xx" => new ProbeOutcome.Undecided(),
        _ => new ProbeOutcome.Failed(text),
    };

    [Fact]
    public void NoProbeYet_IsNotAlive() => Assert.False(new HealthState().Alive);

    [Fact]
    public void FailureInGrace_LeavesAnEntryWithNothingCounted()
    {
        var state = Run(Check, (5, "503"), (59.9, "503")).State;
        Assert.Equal(new HealthState(), state);
        Assert.False(state.Seen);
        Assert.False(state.Alive);
    }

    [Fact]
    public void FailureAfterGrace_Counts()
    {
        var state = Run(Check, (60, "503")).State;
        Assert.Equal(1, state.ConsecutiveFailures);
        Assert.Equal("503", state.LastFailureCause);
        Assert.Equal(Start.AddSeconds(60), state.LastFailureAt);
        Assert.True(state.Seen);
    }

    [Fact]
    public void FirstSuccess_EndsTheGraceAtOnce()
    {
        var state = Run(Check, (1, "ok"), (2, "503")).State;
        Assert.Equal(1, state.ConsecutiveFailures);
        Assert.False(state.Alive);
    }

    [Fact]
    public void Success_ResetsTheCount_AndKeepsTheFirst()
    {
        var state = Run(Check, (1, "ok"), (2, "503"), (3, "503"), (4, "ok")).State;
        Assert.Equal(0, state.ConsecutiveFailures);
        Assert.Equal(Start.AddSeconds(1), state.FirstSuccessAt);
        Assert.Equal(Start.AddSeconds(4), state.LastSuccessAt);
        Assert.Equal("503", state.LastFailureCause);
        Assert.True(state.Alive);
    }

    [Theory]
    [InlineData(3, 3, false)]
    [InlineData(3, 4, true)]
    [InlineData(1, 1, false)]
    [InlineData(1, 2, true)]
    [InlineData(0, 50, false)]
    public void TheKill_ComesWithFailureMaxPlusOne_AndNeverWithZero(int max, int failures, bool kill)
    {
        var probes = Enumerable.Range(0, failures).Select(i => (61.0 + i, "503")).ToArray();
        Assert.Equal(kill, Run(Check with { MaxConsecutiveFailures = max }, probes).Kill);
    }

    [Fact]
    public void ASuccessInBetween_StartsTheCountAnew() =>
        Assert.False(Run(Check, (61, "x"), (62, "x"), (63, "x"), (64, "ok"), (65, "x"), (66, "x"), (67, "x")).Kill);

    [Fact]
    public void Ignored1xx_ChangesNothing()
    {
        var before = Run(Check, (61, "x")).State;
        Assert.Equal(before, HealthRules.Apply(Check, before, new ProbeOutcome.Undecided(), true, Start, Start.AddSeconds(62)).State);
    }

    [Fact]
    public void AnUncountedProbe_MayPassButNotFail()
    {
        var late = Start.AddSeconds(100);
        Assert.Equal(new HealthState(), HealthRules.Apply(Check, new HealthState(), new ProbeOutcome.Failed("x"), counts: false, Start, late).State);
        Assert.True(HealthRules.Apply(Check, new HealthState(), new ProbeOutcome.Passed(), counts: false, Start, late).State.Alive);
    }

    [Fact]
    public void SuccessInTheSameMillisecondAsAFailure_IsAlive_AndTheOtherWayRoundIsNot()
    {
        Assert.True(Run(Check, (61, "x"), (61, "ok")).State.Alive);
        Assert.False(Run(Check, (61, "ok"), (61, "x")).State.Alive);
    }

    [Theory]
    [InlineData(60, 5)]
    [InlineData(2, 2)]
    [InlineData(0, 0.1)]
    public void TheFirstCountedProbe_IsAtTheSmallerOfIntervalAndFiveSeconds(double interval, double first) =>
        Assert.Equal(Start.AddSeconds(first), ProbeSchedule.Register(Check with { IntervalSeconds = interval }, Start).CountingAt);

    [Fact]
    public void AMesosKind_WaitsItsDelay_AndIsNotProbedBefore()
    {
        var check = Check with { Protocol = HealthCheckProtocol.MesosHttp, DelaySeconds = 15 };
        var schedule = ProbeSchedule.Register(check, Start);
        Assert.Equal(Start.AddSeconds(15), schedule.NextAt(false, Start));
        Assert.Null(schedule.Due(check, false, Start.AddSeconds(14.9)));
        Assert.True(schedule.Due(check, false, Start.AddSeconds(15))!.Value.Next.InFlightCounts);
    }

    [Fact]
    public void EarlyProbes_StartAtOnce_BackOff_AndLeaveRoomForTheCountedOne()
    {
        List<double> early = [];
        List<double> counted = [];
        var schedule = ProbeSchedule.Register(Check, Start);
        for (var now = Start; now < Start.AddSeconds(26);)
        {
            var due = schedule.Due(Check, false, now);
            if (due is { } x)
            {
                (x.Next.InFlightCounts ? counted : early).Add((now - Start).TotalSeconds);
                if (!x.Next.InFlightCounts) Assert.True(now + x.Timeout <= schedule.CountingAt);
                schedule = x.Next.Answered(Check, now);
            }
            var next = schedule.NextAt(false, now)!.Value;
            Assert.True(next > now);
            now = next;
        }
        Assert.Equal([5, 15, 25], counted);
        Assert.Equal([0, 0.1, 0.2, 0.3], early.Take(4).Select(x => Math.Round(x, 3)));
        Assert.InRange(early.Count, 20, 50);
    }

    [Fact]
    public void AfterASuccess_OnlyTheContractsInstantsProbe()
    {
        var schedule = ProbeSchedule.Register(Check, Start).Due(Check, false, Start)!.Value.Next.Answered(Check, Start.AddSeconds(0.01));
        Assert.Equal(Start.AddSeconds(5), schedule.NextAt(true, Start.AddSeconds(0.01)));
        Assert.Null(schedule.Due(Check, true, Start.AddSeconds(4.9)));
    }

    [Fact]
    public void MissedInstants_AreSkipped_NotMadeUpFor()
    {
        var schedule = ProbeSchedule.Register(Check, Start).Due(Check, true, Start.AddSeconds(47))!.Value.Next;
        Assert.Equal(Start.AddSeconds(57), schedule.CountingAt);
    }
}
