using System.Globalization;
using Platform.Model;

namespace Platform.Scheduling;

public enum WaitKind { NotPlaced, Delayed, Starting, NotHealthy, NotReady, Draining, Stopping, Unreachable, Following }

/// <summary>One thing an app's step waits for. <paramref name="Text"/> is for people, with the numbers in it.</summary>
public sealed record WaitReason(WaitKind Kind, DateTimeOffset Since, InstanceId? Instance, NodeId? Node, string Text);

/// <summary>Why one action of a deployment's current step is not done (our own addition to contract 1.6).</summary>
/// <param name="More">Further reasons of the same kinds, which are not listed.</param>
/// <param name="Hint">The change of the app that would let the step go on, where the app's own strategy is what stops it.</param>
public sealed record DeploymentWait(AppId App, DateTimeOffset Since, EquatableArray<WaitReason> Reasons, int More, string? Hint);

/// <summary>
/// A step that does not go on says why and since when. Read from the same facts that the next step of the brain decides by; an action that is
/// not done always has at least one reason.
/// </summary>
public static class DeploymentWaits
{
    private const int ReasonsMax = 20;

    public static IEnumerable<DeploymentWait> Of(ClusterView view, Deployment deployment, DateTimeOffset now) =>
        from action in deployment.CurrentActions.Items
        where !DeploymentProgress.IsDone(view.State, action)
        select Of(view, deployment, view.State.Apps[action.App], now);

    private static DeploymentWait Of(ClusterView view, Deployment deployment, AppState app, DateTimeOffset now)
    {
        var reasons = Launches(view, app, now).Concat(app.Instances.Values.Select(i => OfInstance(view, app, i)).OfType<WaitReason>()).ToList();
        if (reasons.Count == 0)
            reasons.Add(new WaitReason(WaitKind.Following, deployment.StartedAt, null, null, "the next instances follow those that have just changed"));
        return new DeploymentWait(
            app.Definition.Id, reasons.Min(r => r.Since), reasons.Take(ReasonsMax).ToEquatableArray(), Math.Max(0, reasons.Count - ReasonsMax),
            view.Queue.ContainsKey(app.Definition.Id) ? PlacementExplanations.StrategyHint(view.State, app) : null);
    }

    private static IEnumerable<WaitReason> Launches(ClusterView view, AppState app, DateTimeOffset now)
    {
        if (!view.Queue.TryGetValue(app.Definition.Id, out var item)) return [];
        var explanation = item.Explanation;
        var what = explanation.Waiting == 1 ? "1 instance" : string.Create(CultureInfo.InvariantCulture, $"{explanation.Waiting} instances");
        if (explanation.DelayedUntil is { } until && until > now)
        {
            var failure = app.LastFailure is { } last ? $": {last.Message}" : "";
            return [new WaitReason(WaitKind.Delayed, item.Since, null, null, $"{what} not launched before {Timestamps.Text(until)}, because earlier ones failed{failure}")];
        }
        return explanation.NoFits.IsEmpty
            ? [new WaitReason(WaitKind.NotPlaced, item.Since, null, null, $"{what} not placed: no node is connected")]
            : explanation.NoFits.Select(n => new WaitReason(WaitKind.NotPlaced, item.Since, null, n.Node, $"{what} not placed on {n.Node}: {n.Detail}"));
    }

    private static WaitReason? OfInstance(ClusterView view, AppState app, Instance instance)
    {
        if (!view.State.IsReachable(instance))
            return Reason(WaitKind.Unreachable, view.State.Nodes[instance.Node].LostAt ?? instance.StagedAt, "its node is not reachable");
        if (instance.IsStopping)
            return instance.Drained
                ? Reason(WaitKind.Stopping, instance.StopAt, "it was told to stop and has not ended yet")
                : Reason(WaitKind.Draining, instance.StopAt, "requests are still in flight to it, or a node's proxy has not let go of it yet");
        if (!app.IsCurrent(instance)) return null; // it stays until its successor is there, and that is what is waited for
        if (instance.Phase != Phase.Running)
            return Reason(
                WaitKind.Starting, instance.StagedAt, view.Details.GetValueOrDefault(instance.Id) is { } detail ? $"it is starting: {detail}" : "it is starting");
        if (!app.IsReady(instance)) return Reason(WaitKind.NotHealthy, instance.StartedAt, NotHealthy(view.HealthOf(instance)));
        return instance.AwaitsReadiness ? Reason(WaitKind.NotReady, instance.ReadyAt, NotReady(view.ReadinessOf(instance))) : null;

        WaitReason Reason(WaitKind kind, DateTimeOffset? since, string text) => new(kind, since ?? instance.StagedAt, instance.Id, instance.Node, text);
    }

    private static string NotHealthy(EquatableArray<HealthState> health)
    {
        var causes = health.Where(h => !h.Alive && h.LastFailureCause is not null).Select(h => h.LastFailureCause!).Distinct().ToList();
        return causes.Count > 0 ? $"it runs, but its health checks fail: {string.Join("; ", causes)}" : "it runs, but its health checks have not passed yet";
    }

    private static string NotReady(EquatableArray<ReadinessState> readiness) =>
        readiness.Items.FirstOrDefault(r => !r.Ready) is not { } check ? "its readiness has not been asked for yet"
        : check.LastResponse is { } last ? string.Create(CultureInfo.InvariantCulture, $"it is healthy, but {check.Name} answers {last.Status}, not ready")
        : $"it is healthy, but {check.Name} does not say that it is ready";
}
