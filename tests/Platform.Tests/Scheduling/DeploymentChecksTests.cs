using Platform.Model;
using Platform.Scheduling;
using Platform.Simulation;

namespace Platform.Tests.Scheduling;

/// <summary>The simulator's promises about deployments are themselves checked: each finds the log that breaks it.</summary>
public sealed class DeploymentChecksTests
{
    [Fact]
    public void A_dependant_that_starts_before_its_turn_is_found() => Breaks("whose turn is step", state =>
        new SchedulerEvent.InstancePlaced(InstanceId.Derive("c1", AppId.Parse("/app"), 99), 99, AppId.Parse("/app"), state.Apps[AppId.Parse("/app")].Definition.Version, NodeId.Parse("n1"), [0], default) { At = World.Start });

    [Fact]
    public void A_step_that_begins_before_the_one_below_is_done_is_found() =>
        Breaks("is not done", state => new SchedulerEvent.DeploymentStepStarted(One(state).Id, One(state).CurrentStep + 1) { At = World.Start });

    [Fact]
    public void A_success_half_way_is_found() => Breaks("succeeded in step", state => new SchedulerEvent.DeploymentSucceeded(One(state).Id) { At = World.Start });

    [Fact]
    public void An_end_without_a_reason_is_found() => Breaks("ended by", state => new SchedulerEvent.DeploymentCancelled(One(state).Id, "") { At = World.Start });

    [Fact]
    public void Two_deployments_of_one_app_are_found() => Breaks("both change", state =>
        new SchedulerEvent.DeploymentStarted(One(state) with { Id = "another" }, default, default, ChangeOrigin.Internal) { At = World.Start });

    [Fact]
    public void A_deployment_that_stays_when_all_is_done_is_found()
    {
        var before = HalfWay().State;
        var done = HalfWay().Settle().State;
        DeploymentChecks.CheckIdle(done);
        var stays = done with { Deployments = before.Deployments };
        Assert.Contains("and it stays", Assert.Throws<PromiseBrokenException>(() => DeploymentChecks.CheckIdle(stays)).Message, StringComparison.Ordinal);
    }

    private static void Breaks(string promise, Func<ClusterState, SchedulerEvent> next)
    {
        var state = HalfWay().State;
        var e = next(state);
        var broken = Assert.Throws<PromiseBrokenException>(() => DeploymentChecks.Check(new Folded(state, e, state.Fold(e))));
        Assert.Contains(promise, broken.Message, StringComparison.Ordinal);
    }

    private static Deployment One(ClusterState state) => state.Deployments.Values.Single();

    /// <summary>An app and what it leans on are being deployed; the app's turn has not come.</summary>
    private static World HalfWay()
    {
        var world = World.With();
        world.Accept(new Command.WriteApps(
            [Write("/db", ""), Write("/app", """, "dependencies":["/db"]""")], Partial: true, MayCreate: true, Force: false) { Origin = ChangeOrigin.Internal });
        return world;
    }

    private static AppWrite Write(string id, string more) => new(AppId.Parse(id), World.Json($$"""{"cmd":"serve","cpus":0.1,"mem":16{{more}}}"""));
}
