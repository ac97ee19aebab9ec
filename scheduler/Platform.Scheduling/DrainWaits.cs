using Platform.Model;

namespace Platform.Scheduling;

/// <summary>One app with instances left on a node that is being drained, and what they wait for.</summary>
public sealed record DrainWait(AppId App, int Instances, string Reason);

/// <summary>Why a node is not empty yet: told from the same rules that decide when it is.</summary>
public static class DrainWaits
{
    public static IEnumerable<DrainWait> Of(ClusterView view, Node node)
    {
        if (node.Drain is not { } drain) yield break;
        var state = view.State;
        foreach (var group in node.Instances.Select(state.Instance).OfType<Instance>().GroupBy(i => (i.App, Reason: ReasonOf(view, i))).OrderBy(g => g.Key.App))
            yield return new DrainWait(group.Key.App, group.Count(), group.Key.Reason
                + (drain.Until is { } until && group.Any(i => !i.IsStopping) ? $" (at {until.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ} it is stopped in any case)" : ""));
    }

    private static string ReasonOf(ClusterView view, Instance instance)
    {
        var state = view.State;
        var app = state.Apps[instance.App];
        if (!state.IsReachable(instance)) return "the node is lost";
        if (instance.IsStopping)
            return instance.Drained ? "the task is being stopped" : $"proxies have not all let go of it: {Holding(view, instance)}";
        if (state.DeploymentsOf(instance.App).FirstOrDefault(d => d.IsHeld(instance.App)) is { } held) return $"the app's turn in deployment {held.Id} has not come";
        if (app.Definition.IsResident)
            return "its volumes are on this node, and without it fewer instances than upgradeStrategy.minimumHealthCapacity asks for would be healthy";
        if (view.Queue.TryGetValue(instance.App, out var queued))
            return queued.Explanation.DelayedUntil is { } delayed ? $"its successor is delayed until {delayed.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ}, for launches of the app failed"
                : $"no node takes its successor: {string.Join("; ", queued.Explanation.NoFits.Where(n => n.Node != instance.Node).Select(n => $"{n.Node}: {n.Detail}").DefaultIfEmpty("there is no other"))}";
        return "its successor is not ready yet";
    }

    private static string Holding(ClusterView view, Instance instance) => string.Join(", ", view.State.Nodes.Values
        .Where(n => n.LostAt is null)
        .Select(n => (n.Description.Id, Contact: view.Contacts.GetValueOrDefault(n.Description.Id)))
        .Select(n => n.Contact is not { Connected: true } contact ? $"{n.Id} is not connected"
            : contact.ServedRevision < instance.WithdrawnRevision ? $"{n.Id} serves revision {contact.ServedRevision} of {instance.WithdrawnRevision}"
            : contact.Draining.Contains(instance.Id) ? $"{n.Id} has requests in flight"
            : null)
        .OfType<string>().DefaultIfEmpty("any moment now"));
}
