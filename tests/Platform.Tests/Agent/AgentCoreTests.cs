using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Tests.Agent;

public sealed class AgentCoreTests
{
    private static readonly HealthCheck Http = new() { Protocol = HealthCheckProtocol.Http, PortIndex = 0, GracePeriodSeconds = 0, IntervalSeconds = 1, TimeoutSeconds = 1, MaxConsecutiveFailures = 2 };

    [Fact]
    public void NothingIsDone_BeforeTheFirstList()
    {
        var world = new AgentWorld();
        Assert.Empty(world.Step(world.Desired(AgentWorld.Assign(1))));
        Assert.False(world.Core.Adopted);
        Assert.Empty(world.Core.Reports());
    }

    [Fact]
    public void AnAssignment_IsStarted_AndReportedRunning()
    {
        var world = new AgentWorld();
        var a = AgentWorld.Assign(1);
        world.Step(world.List());
        Assert.IsType<AgentAction.Start>(Assert.Single(world.Step(world.Desired(a))));
        Assert.Equal(Persistence.BeforeActions, world.LastPersist);
        Assert.Contains(a.Id, world.Disk.Launched);
        Assert.Equal(Phase.Starting, world.Report(a)!.Phase);
        world.Step(new AgentInput.Progress(a.Id, "Pulling image web"));
        Assert.Equal((Phase.Staging, "Pulling image web"), (world.Report(a)!.Phase, world.Report(a)!.Detail));
        world.Step(new AgentInput.Seen(AgentWorld.Running(a)), new AgentInput.Done(a.Id));
        Assert.Equal((Phase.Running, "172.18.0.2", null), (world.Report(a)!.Phase, world.Report(a)!.ContainerAddress, world.Report(a)!.Detail));
    }

    [Fact]
    public void ARunningContainer_IsAdopted_NotStarted()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld(null, AgentWorld.Running(a)).Settle();
        world.Settle(world.List(), world.Desired(a));
        Assert.Empty(world.Trace);
        Assert.Equal(Phase.Running, world.Report(a)!.Phase);
    }

    [Theory]
    [InlineData(0, false, TerminalState.Finished, "Container exited with status 0")]
    [InlineData(3, false, TerminalState.Failed, "Container exited with status 3. Last output:\nboom")]
    [InlineData(137, true, TerminalState.Failed, "Memory limit exceeded: the task's limit is 128 MiB. Last output:\nboom")]
    [InlineData(127, false, TerminalState.Failed, "Container exited with status 127 (command not found). Last output:\nboom")]
    public void AnExit_IsTold(int code, bool outOfMemory, TerminalState state, string message)
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a));
        world.Settle(new AgentInput.Seen(AgentWorld.Exited(a, code, outOfMemory, code == 0 ? "" : "boom")));
        var end = world.Report(a)!.End!;
        Assert.Equal((state, message, (int?)code, outOfMemory), (end.State, end.Message, end.ExitCode, end.OutOfMemory));
        Assert.Single(world.Trace); // and never started again
    }

    [Fact]
    public void AStop_Terminates_WaitsTheGrace_Kills_AndKeepsReportingUntilLetGo()
    {
        var a = AgentWorld.Assign(1, app: x => x with { TaskKillGracePeriodSeconds = 5 });
        var world = new AgentWorld();
        world.Stubborn.Add(a.Id);
        world.Settle(world.List(), world.Desired(a));
        world.Settle(world.Desired(a with { Goal = Goal.Stop }));
        Assert.IsType<AgentAction.Terminate>(world.Trace[^1]);
        world.Advance(4.99);
        Assert.IsType<AgentAction.Terminate>(world.Trace[^1]);
        world.Advance(0.01);
        Assert.IsType<AgentAction.Kill>(world.Trace[^1]);
        Assert.Equal((TerminalState.Killed, (int?)137), (world.Report(a)!.End!.State, world.Report(a)!.End!.ExitCode));
        Assert.Contains(a.Id, world.Containers.Keys);
        world.Settle(world.Desired());
        Assert.IsType<AgentAction.Remove>(world.Trace[^1]);
        Assert.Empty(world.Core.Reports());
        Assert.Empty(world.Containers);
    }

    [Fact]
    public void AKillThatIsNotConfirmed_IsSentAgain()
    {
        var a = AgentWorld.Assign(1, app: x => x with { TaskKillGracePeriodSeconds = 0 });
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a));
        world.Step(world.Desired(a with { Goal = Goal.Stop }));
        Assert.IsType<AgentAction.Kill>(Assert.Single(world.Step(new AgentInput.Done(a.Id)))); // the SIGTERM went out, and nothing came of it
        Assert.Empty(world.Step(new AgentInput.Done(a.Id)));
        Assert.Equal(world.Now + AgentCore.KillAgainAfter, world.NextLookAt);
        world.Pass(AgentCore.KillAgainAfter.TotalSeconds);
        Assert.IsType<AgentAction.Kill>(Assert.Single(world.Step()));
    }

    [Fact]
    public void AVolumeIsNotWiped_WhileATaskRunsThatAnEarlierLifeHadLetGoOf()
    {
        var stranger = AgentWorld.Assign(1) with { Volumes = [new LocalVolume("data", "v1", 10)] };
        var world = new AgentWorld(null, AgentWorld.Running(stranger));
        Assert.Empty(world.Core.Step(world.Now, world.Desired() with { Wipe = ["v1"] }).Wipe); // not listed yet
        Assert.Empty(world.Core.Step(world.Now, world.List()).Wipe);
        Assert.Equal(["v1"], world.Core.Step(world.Now, new AgentInput.Seen(AgentWorld.Exited(stranger, 0))).Wipe);
    }

    [Fact]
    public void AStop_IsNeverTakenBack()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a), world.Desired(a with { Goal = Goal.Stop }), world.Desired(a));
        Assert.Equal(TerminalState.Killed, world.Report(a)!.End!.State);
    }

    [Fact]
    public void AStopBeforeTheStart_EndsWithoutAContainer()
    {
        var a = AgentWorld.Assign(1, Goal.Stop);
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a));
        Assert.Equal(TerminalState.Killed, world.Report(a)!.End!.State);
        Assert.Empty(world.Trace);
    }

    [Fact]
    public void AStopDuringAPull_CancelsTheStart_Once()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Step(world.List(), world.Desired(a));
        Assert.IsType<AgentAction.CancelStart>(Assert.Single(world.Step(world.Desired(a with { Goal = Goal.Stop }))));
        Assert.Empty(world.Step());
        world.Step(new AgentInput.StartRefused(a.Id, TerminalState.Killed, "Task was killed before it was started"));
        Assert.Equal(TerminalState.Killed, world.Report(a)!.End!.State);
    }

    [Fact]
    public void AnUnknownStranger_IsStoppedOnlyBelowTheNextSerial()
    {
        var known = AgentWorld.Assign(5);
        var newer = AgentWorld.Assign(2000);
        var world = new AgentWorld(null, AgentWorld.Running(known), AgentWorld.Running(newer));
        world.Settle(world.List(), world.Desired());
        Assert.Equal([newer.Id], world.Containers.Keys);
        Assert.Equal([newer.Id], world.Core.Reports().Select(x => x.Id));
    }

    [Fact]
    public void WithoutAnyDesiredState_NothingIsTouched()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld(null, AgentWorld.Running(a));
        world.Settle(world.List()).Advance(3600);
        Assert.Empty(world.Trace);
        Assert.Equal(Phase.Running, world.Report(a)!.Phase);
    }

    [Fact]
    public void StaleAndReorderedDesiredStates_AreIgnored()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        var first = world.Desired(a);
        var second = world.Desired();
        world.Settle(world.List(), second, first);
        Assert.Empty(world.Trace);
        world.Settle(new AgentInput.Desired(0, 99, true, 1000, [a], default)); // a deposed leader
        world.Settle(new AgentInput.Desired(2, 1, false, 1000, [a], default)); // a delta of a term we have no base of
        Assert.Empty(world.Trace);
        world.Settle(new AgentInput.Desired(2, 1, true, 1000, [a], default));
        Assert.Single(world.Trace);
    }

    [Fact]
    public void Deltas_AddAndRemove()
    {
        var (a, b) = (AgentWorld.Assign(1), AgentWorld.Assign(2));
        var world = new AgentWorld();
        world.Settle(world.List(), new AgentInput.Desired(1, 1, true, 3, [a], default));
        world.Settle(new AgentInput.Desired(1, 2, false, 3, [b], [a.Id]));
        Assert.Equal([b.Id], world.Containers.Keys);
    }

    [Fact]
    public void ASilentEngine_IsAskedAgainLater_AndTheTaskIsNotReportedEnded()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Step(world.List(), world.Desired(a));
        world.Step(new AgentInput.Failed(a.Id, "Docker does not answer"));
        world.Forget();
        Assert.Equal((Phase.Staging, "Docker does not answer; trying again", null), (world.Report(a)!.Phase, world.Report(a)!.Detail, world.Report(a)!.End));
        Assert.InRange(world.NextLookAt!.Value - world.Now, TimeSpan.FromSeconds(0.1), TimeSpan.FromSeconds(0.2));
        world.Advance(1);
        Assert.Equal(Phase.Running, world.Report(a)!.Phase);
        Assert.Equal(2, world.Trace.OfType<AgentAction.Start>().Count());
        Assert.Equal(1, world.Creates[a.Id]);
    }

    [Fact]
    public void AnUnansweredStartThatIsNoLongerWanted_EndsOnlyWhenAListTellsWhatItDid()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Step(world.List(), world.Desired(a));
        world.Step(new AgentInput.Failed(a.Id, "timeout"), world.Desired(a with { Goal = Goal.Stop }));
        world.Forget();
        world.Advance(10);
        Assert.Null(world.Report(a)!.End);
        world.Containers[a.Id] = AgentWorld.Running(a);
        world.Settle(world.List());
        Assert.Equal(TerminalState.Killed, world.Report(a)!.End!.State);
    }

    [Fact]
    public void AListFromBeforeTheStart_DoesNotMakeItMissing_ALaterOneDoes()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Settle(world.List());
        var old = world.List();
        world.Advance(1).Settle(world.Desired(a)).Settle(old);
        Assert.Null(world.Report(a)!.End);
        world.Containers.Clear();
        world.Advance(1).Settle(world.List());
        Assert.Equal(TerminalState.Lost, world.Report(a)!.End!.State);
        Assert.Single(world.Trace);
    }

    [Fact]
    public void AfterARestart_ALaunchedInstanceWithoutAContainer_IsLost_NotStartedAgain()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a));
        world.Containers.Clear();
        world.Restart();
        Assert.Equal(TerminalState.Lost, world.Report(a)!.End!.State);
        Assert.Equal(1, world.Creates[a.Id]);
    }

    [Fact]
    public void ARefusedStart_IsToldAgainAfterARestart()
    {
        var a = AgentWorld.Assign(1);
        var world = new AgentWorld();
        world.Step(world.List(), world.Desired(a));
        world.Step(new AgentInput.StartRefused(a.Id, TerminalState.Failed, "No such user 'bad'"));
        var told = world.Report(a)!.End;
        world.Restart();
        Assert.Equal(told, world.Report(a)!.End);
    }

    [Fact]
    public void AfterARestart_HealthIsTheSame_UntilAProbeSaysOtherwise()
    {
        var a = AgentWorld.Assign(1, checks: Http);
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a)).Advance(3);
        var before = Assert.Single(world.Report(a)!.Health);
        Assert.True(before.Alive);
        world.Answer = _ => null;
        world.Restart();
        Assert.True(Assert.Single(world.Report(a)!.Health).Alive);
        Assert.Equal(before.FirstSuccessAt, Assert.Single(world.Report(a)!.Health).FirstSuccessAt);
    }

    [Fact]
    public void AHealthKill_ReportsNotAliveBeforeTheSigterm_AndEndsAsOne()
    {
        var a = AgentWorld.Assign(1, checks: Http);
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a)).Advance(2.5);
        world.Answer = _ => new ProbeOutcome.Failed("HTTP 503");
        world.Advance(1);
        Assert.False(Assert.Single(world.Report(a)!.Health).Alive);
        Assert.DoesNotContain(world.Trace, x => x is AgentAction.Terminate);
        world.Advance(1);
        Assert.DoesNotContain(world.Trace, x => x is AgentAction.Terminate);
        world.Advance(1);
        Assert.Contains(world.Trace, x => x is AgentAction.Terminate);
        var end = world.Report(a)!.End!;
        Assert.Equal((TerminalState.Killed, true, "Task was killed since health check failed. Reason: HTTP 503"), (end.State, end.HealthKill, end.Message));
    }

    [Fact]
    public void AStoppingTask_IsNotProbed()
    {
        var a = AgentWorld.Assign(1, checks: Http);
        var world = new AgentWorld();
        world.Stubborn.Add(a.Id);
        world.Settle(world.List(), world.Desired(a)).Advance(2);
        world.Settle(world.Desired(a with { Goal = Goal.Stop }));
        var probes = world.Trace.OfType<AgentAction.Probe>().Count();
        world.Advance(2.9);
        Assert.Equal(probes, world.Trace.OfType<AgentAction.Probe>().Count());
    }

    [Fact]
    public void ProbesGoToThePublishedPort_OrTheContainersOwn()
    {
        var published = AgentWorld.Assign(1, checks: Http);
        var inside = AgentWorld.Assign(2, checks: Http) with { HostPorts = [0] };
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(published, inside));
        var targets = world.Trace.OfType<AgentAction.Probe>().DistinctBy(x => x.Id).ToDictionary(x => x.Id, x => (x.Address, x.Port));
        Assert.Equal(("10.0.0.1", 31001), targets[published.Id]);
        Assert.Equal(("172.18.0.2", 8080), targets[inside.Id]);
    }

    [Fact]
    public void ACheckThatKeepsPassing_IsNoNews()
    {
        var a = AgentWorld.Assign(1, checks: Http);
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a)).Advance(1.5);
        var step = world.Core.Step(world.Now.AddSeconds(1));
        var probe = Assert.IsType<AgentAction.Probe>(Assert.Single(step.Actions));
        Assert.Empty(world.Core.Step(world.Now.AddSeconds(1.01), new AgentInput.Probed(a.Id, probe.Index, new ProbeOutcome.Passed())).ChangedReports);
    }

    [Fact]
    public void AVolumeIsWiped_WhenItsTaskHasEnded_AndToldUntilForgotten()
    {
        var world = new AgentWorld();
        var a = AgentWorld.Assign(1) with { Volumes = [new LocalVolume("data", "v1", 10)] };
        world.Settle(world.List(), world.Desired(a));
        Assert.DoesNotContain("v1", world.Core.Step(world.Now, world.Desired(a) with { Wipe = ["v1", "v2"] }).Wipe);
        var ended = world.Core.Step(world.Now, new AgentInput.Seen(AgentWorld.Exited(a, 0)));
        Assert.Equal(["v1"], ended.Wipe);
        Assert.Empty(world.Core.Wiped);
        var failed = world.Core.Step(world.Now, new AgentInput.Wiped("v1", "busy"), new AgentInput.Wiped("v2", null));
        Assert.Empty(failed.Wipe);
        Assert.Equal(["v2"], world.Core.Wiped);
        Assert.Equal(world.Now.AddSeconds(5), failed.NextLookAt);
        world.Pass(5);
        Assert.Equal(["v1"], world.Core.Step(world.Now).Wipe);
        world.Core.Step(world.Now, new AgentInput.Wiped("v1", null), world.Desired());
        Assert.Empty(world.Core.Wiped);
    }

    [Fact]
    public void TheNextIncarnation_WaitsForTheOneBefore()
    {
        var world = new AgentWorld();
        var a = AgentWorld.Assign(1);
        var next = AgentWorld.Assign(2) with { Id = a.Id.Next(2) };
        world.Settle(world.List(), world.Desired(a));
        world.Stubborn.Add(a.Id);
        world.Settle(world.Desired(next));
        Assert.DoesNotContain(next.Id, world.Creates.Keys);
        world.Advance(4);
        Assert.Contains(next.Id, world.Creates.Keys);
        Assert.Null(world.Report(a));
    }

    [Fact]
    public void ANodeWithoutTheRuntime_RefusesWithASentence()
    {
        var a = AgentWorld.Assign(1, app: x => x with { Container = null, Cmd = "true" });
        var world = new AgentWorld();
        world.Settle(world.List(), world.Desired(a));
        Assert.Equal("This node cannot run it: it has no process runtime", world.Report(a)!.End!.Message);
    }
}
