using Platform.Model;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>What contract 5 promises of deployments, checked event by event on the states on either side of it.</summary>
internal static class DeploymentChecks
{
    public static void Check(Folded folded)
    {
        CheckEnd(folded);
        switch (folded.Event)
        {
            case SchedulerEvent.DeploymentStarted x: CheckLocks(folded.After, x.Deployment); break;
            case SchedulerEvent.DeploymentStepStarted x: CheckOrder(folded.Before, x); break;
            case SchedulerEvent.DeploymentStepSucceeded x: CheckDone(folded.Before, x.Deployment, x.Step); break;
            case SchedulerEvent.InstancePlaced x:
                CheckTurn(folded.Before, x.App, "an instance is placed");
                Promise(folded.Before.Nodes[x.Node].Drain is null, $"{x.Instance} is placed on {x.Node}, which is being drained", x.Instance.Text);
                break;
            case SchedulerEvent.NodeRemoved x: CheckRemoval(folded.Before, x.Node); break;
            case SchedulerEvent.InstanceStopRequested x: CheckStop(folded, x); break;
            default: break;
        }
    }

    /// <summary>Nothing is left to look at: then no deployment waits for what is already so.</summary>
    public static void CheckIdle(ClusterState state)
    {
        foreach (var deployment in state.Deployments.Values)
        {
            Promise(deployment.CurrentStep > 0, $"deployment {deployment.Id} has not begun", deployment.Id);
            Promise(!deployment.CurrentActions.Items.All(a => IsDone(state, a)), $"step {deployment.CurrentStep} of deployment {deployment.Id} is done, and it stays", deployment.Id);
        }
    }

    /// <summary>By an oracle of its own: the action's goal is reached, its readiness checks included.</summary>
    public static bool IsDone(ClusterState state, DeploymentAction action)
    {
        if (action.Action == DeploymentActionKind.StartApplication || !state.Apps.TryGetValue(action.App, out var app)) return true;
        if (action.Action == DeploymentActionKind.StopApplication || app.Removing) return false;
        var there = app.Instances.Values.Where(state.IsReachable).ToList();
        return there.Count == app.Definition.Instances && there.TrueForAll(i => !i.IsStopping && app.IsCurrent(i) && app.IsReady(i) && !i.AwaitsReadiness);
    }

    /// <summary>A deployment leaves the state by succeeding or by being ended with a reason, and in no other way.</summary>
    private static void CheckEnd(Folded folded)
    {
        if (ReferenceEquals(folded.Before.Deployments, folded.After.Deployments)) return;
        foreach (var (id, deployment) in folded.Before.Deployments)
        {
            if (folded.After.Deployments.ContainsKey(id)) continue;
            var succeeded = folded.Event is SchedulerEvent.DeploymentSucceeded x && x.Deployment == id;
            Promise(succeeded || folded.Event is SchedulerEvent.DeploymentCancelled { Reason.Length: > 0 } c && c.Deployment == id, $"deployment {id} ended by {folded.Event}", id);
            if (succeeded) Promise(deployment.CurrentStep == deployment.Steps.Count, $"deployment {id} succeeded in step {deployment.CurrentStep} of {deployment.Steps.Count}", id);
        }
    }

    /// <summary>An app belongs to one deployment at a time.</summary>
    private static void CheckLocks(ClusterState state, Deployment begun)
    {
        var affected = begun.Affected.ToHashSet();
        foreach (var other in state.Deployments.Values)
            if (other.Id != begun.Id && other.Affected.FirstOrDefault(affected.Contains) is { } shared)
                Promise(false, $"deployments {begun.Id} and {other.Id} both change {shared}", shared.Path);
    }

    private static void CheckOrder(ClusterState before, SchedulerEvent.DeploymentStepStarted begun)
    {
        var deployment = before.Deployments[begun.Deployment];
        Promise(begun.Step == deployment.CurrentStep + 1, $"deployment {deployment.Id} goes from step {deployment.CurrentStep} to {begun.Step}", deployment.Id);
        if (begun.Step > 1) CheckDone(before, begun.Deployment, begun.Step - 1);
    }

    private static void CheckDone(ClusterState state, string id, int step)
    {
        foreach (var action in state.Deployments[id].Steps[step - 1].Actions)
            Promise(IsDone(state, action), $"step {step} of deployment {id} ends, and {action} is not done", action.App.Path);
    }

    private static void CheckTurn(ClusterState state, AppId app, string what)
    {
        foreach (var deployment in state.Deployments.Values)
        {
            var turn = deployment.Steps.Items.ToList().FindIndex(s => s.Actions.Items.Any(a => a.App == app && a.Action != DeploymentActionKind.StartApplication)) + 1;
            Promise(turn == 0 || turn <= deployment.CurrentStep, $"{what} of {app}, whose turn is step {turn} of deployment {deployment.Id}, in step {deployment.CurrentStep}", app.Path);
        }
    }

    /// <summary>Nobody loses anything by it that was not lost before.</summary>
    private static void CheckRemoval(ClusterState state, NodeId id)
    {
        var node = state.Nodes[id];
        Promise(node.LostAt is not null || node.Drain is not null, $"{id} is removed, and is in use", id.Name);
        Promise(node.Instances.IsEmpty, $"{id} is removed with {string.Join(' ', node.Instances)}", id.Name);
        Promise(!state.Apps.Values.Any(a => a.Reservations.Values.Any(r => r.Node == id)), $"{id} is removed with reservations", id.Name);
    }

    /// <summary>A drain whose time is up spares nothing, and waits for no app's turn.</summary>
    private static bool IsForced(ClusterState state, Instance instance, SchedulerEvent.InstanceStopRequested stop) =>
        stop.Reason == StopReason.NodeDrained && state.Nodes[instance.Node].Drain!.Until <= stop.At;

    /// <summary>A healthy one that we stop of our own accord leaves as many as the app's upgrade strategy asks for.</summary>
    private static void CheckStop(Folded folded, SchedulerEvent.InstanceStopRequested stop)
    {
        if (stop.Reason is not (StopReason.Replaced or StopReason.Scaled or StopReason.NodeDrained) || folded.Before.Instance(stop.Instance) is not { } instance) return;
        if (IsForced(folded.Before, instance, stop)) return;
        CheckTurn(folded.Before, instance.App, "an instance is stopped");
        var app = folded.Before.Apps[instance.App];
        bool Healthy(Instance i) => !i.IsStopping && app.IsReady(i) && folded.Before.IsReachable(i);
        if (!Healthy(instance)) return;
        var left = app.Instances.Values.Count(Healthy) - 1;
        var dip = app.Definition.IsResident && !app.IsCurrent(instance) ? 1 : 0; // its successor needs its volume, so it goes first
        var least = -dip + (int)Math.Ceiling(app.Definition.Instances * app.Definition.UpgradeStrategy.MinimumHealthCapacity - 1e-9);
        Promise(left >= least, $"stopping {stop.Instance} leaves {left} healthy instances of {instance.App}, {least} must stay", instance.App.Path);
    }

    private static void Promise(bool kept, string promise, string key)
    {
        if (!kept) throw new PromiseBrokenException(promise, key);
    }
}
