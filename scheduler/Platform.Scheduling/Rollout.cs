using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What an app should do next about its instance count and versions.</summary>
public sealed record RolloutStep(EquatableArray<InstanceId> Stop, int Launch)
{
    public static readonly RolloutStep Nothing = new(default, 0);
}

/// <summary>
/// Scaling and rolling restart (contract 5.2, 5.3), as one level-triggered rule: given what lives now, what may be stopped and started at once.
/// It keeps no memory of a course: asked again after every change, the steps of the contract's table come out.
/// </summary>
public static class Rollout
{
    public readonly record struct Bounds(int MinHealthy, int MaxCapacity);

    /// <summary>The bounds of a rolling restart to <paramref name="instances"/> instances, before the one extra that an even deadlock is allowed.</summary>
    public static Bounds BoundsOf(int instances, UpgradeStrategy strategy) => new(
        (int)Math.Ceiling(instances * strategy.MinimumHealthCapacity - 1e-9),
        (int)Math.Floor(instances * (1 + strategy.MaximumOverCapacity) + 1e-9));

    /// <param name="live">Instances that occupy capacity: everything not ended and not given up as unreachable.</param>
    public static RolloutStep Next(ClusterState state, AppState app, IReadOnlyCollection<Instance> live)
    {
        var wanted = app.Removing ? 0 : app.Definition.Instances;
        var active = live.Where(i => !i.IsStopping).ToList();
        if (app.Removing || wanted == 0) return new RolloutStep(active.Select(i => i.Id).ToEquatableArray(), 0);
        // Without its deployment a restart stops half way: whoever cancels one wants that (contract 5.4). What runs too much or too little is evened out.
        var leaving = Leaving(state, active);
        var restarts = active.Exists(i => !app.IsCurrent(i)) && state.DeploymentsOf(app.Definition.Id).Any();
        // A drained node's instances are replaced like those of an old version. Residents are not: their successors would need the volumes they leave behind.
        var old = active.Where(i => restarts && !app.IsCurrent(i) || !app.Definition.IsResident && leaving.Contains(i.Id)).ToList();
        if (old.Count > 0) return Replace(state, app, active, old, wanted, live.Count);
        var step = Scale(state, app, active, wanted, live.Count);
        return leaving.Count > 0 && step.Stop.IsEmpty ? step with { Stop = Spared(state, app, active, leaving, wanted) } : step;
    }

    private static HashSet<InstanceId> Leaving(ClusterState state, List<Instance> active) =>
        state.DrainingNodes == 0 ? [] : active.Where(i => state.IsDraining(i.Node)).Select(i => i.Id).ToHashSet();

    /// <summary>Of those that leave and cannot be replaced, as many as the app can do without.</summary>
    private static EquatableArray<InstanceId> Spared(ClusterState state, AppState app, List<Instance> active, HashSet<InstanceId> leaving, int wanted)
    {
        var spare = active.Count(i => IsHealthy(state, app, i)) - BoundsOf(wanted, app.Definition.UpgradeStrategy).MinHealthy;
        var (healthy, idle) = (active.Where(i => leaving.Contains(i.Id) && IsHealthy(state, app, i)), active.Where(i => leaving.Contains(i.Id) && !IsHealthy(state, app, i)));
        return idle.Concat(healthy.Take(Math.Max(0, spare))).Select(i => i.Id).ToEquatableArray();
    }

    private static RolloutStep Scale(ClusterState state, AppState app, List<Instance> active, int wanted, int alive)
    {
        var surplus = active.Count - wanted;
        if (surplus > 0) return new RolloutStep(KillOrder.Choose(state, app, active, surplus), 0);
        // One that is still stopping holds its place until it is gone: never more run than asked for.
        return new RolloutStep(default, Math.Max(0, Math.Min(wanted - active.Count, wanted - alive)));
    }

    private static RolloutStep Replace(ClusterState state, AppState app, List<Instance> active, List<Instance> old, int wanted, int alive)
    {
        var (minHealthy, maxCapacity) = BoundsOf(wanted, app.Definition.UpgradeStrategy);
        // A resident's successor runs on its volume, so there is never one beside it.
        if (app.Definition.IsResident) maxCapacity = wanted;
        // Full and nothing to spare: one extra is allowed, or the restart would never begin. Unhealthy ones count as taking up room,
        // so an upgrade of a wholly unhealthy app is not stuck either. Residents dip by one instead.
        if (minHealthy == maxCapacity && active.Count >= maxCapacity) (minHealthy, maxCapacity) = app.Definition.IsResident ? (minHealthy - 1, maxCapacity) : (minHealthy, maxCapacity + 1);

        var current = active.Except(old).ToList();
        var readyCurrent = current.Count(i => IsHealthy(state, app, i) && !i.AwaitsReadiness);
        var healthy = active.Count(i => IsHealthy(state, app, i) && !i.AwaitsReadiness);
        var spare = healthy - minHealthy;                                  // healthy ones that may go
        var replaced = old.Count - Math.Max(0, wanted - readyCurrent);     // old ones whose successor is ready
        var stop = new List<InstanceId>();
        foreach (var id in OldestUseFirst(state, app, old))
        {
            var isHealthy = IsHealthy(state, app, app.Instances[id]);
            if (isHealthy ? spare <= 0 : Math.Max(spare, replaced) <= 0) continue;
            stop.Add(id);
            spare -= 1;
            replaced -= 1;
        }
        if (current.Count > wanted) stop.AddRange(KillOrder.Choose(state, app, current, current.Count - wanted));
        return new RolloutStep(stop.ToEquatableArray(), Math.Max(0, Math.Min(wanted - current.Count, maxCapacity - alive)));
    }

    /// <summary>Unhealthy ones first: they serve nobody.</summary>
    private static IEnumerable<InstanceId> OldestUseFirst(ClusterState state, AppState app, List<Instance> old) =>
        KillOrder.Choose(state, app, old.Where(i => !IsHealthy(state, app, i)).ToList(), old.Count)
            .Concat(KillOrder.Choose(state, app, old.Where(i => IsHealthy(state, app, i)).ToList(), old.Count));

    private static bool IsHealthy(ClusterState state, AppState app, Instance instance) => app.IsReady(instance) && state.IsReachable(instance);
}

/// <summary>Who goes first when there are too many (contract 5.7).</summary>
public static class KillOrder
{
    public static EquatableArray<InstanceId> Choose(ClusterState state, AppState app, IReadOnlyCollection<Instance> from, int count)
    {
        var left = from.OrderBy(i => Rank(state, app, i)).ThenBy(i => Age(app, i)).ThenBy(i => i.Serial).ToList();
        var chosen = new List<InstanceId>();
        var groupings = app.Definition.Constraints.Where(c => c.Operator == ConstraintOperator.GroupBy).ToList();
        while (chosen.Count < count && left.Count > 0)
        {
            var fullest = groupings.Select(g => FullestGroups(state, g, left)).ToList();
            // Even groups are worth less than an instance that serves: as long as one does not, it goes, and the groups only say which of them.
            var idle = left.TakeWhile(i => Rank(state, app, i) < Serving).ToList();
            var pool = idle.Count > 0 ? idle : left;
            var victim = pool.FirstOrDefault(i => groupings.Zip(fullest).All(g => g.Second.Contains(Group(state, g.First, i)))) ?? pool[0];
            left.Remove(victim);
            chosen.Add(victim.Id);
        }
        return chosen.ToEquatableArray();
    }

    private const int Serving = 4;

    /// <summary>The contract's order, refined: of the running, those that are not healthy serve nobody and go before those that are.</summary>
    private static int Rank(ClusterState state, AppState app, Instance instance) =>
        !state.IsReachable(instance) ? 0 : instance.Phase switch { Phase.Staging => 1, Phase.Starting => 2, _ => app.IsReady(instance) ? Serving : 3 };

    private static long Age(AppState app, Instance instance)
    {
        var since = (instance.StartedAt ?? instance.StagedAt).UtcTicks;
        return app.Definition.KillSelection == KillSelection.YoungestFirst ? -since : since;
    }

    private static string Group(ClusterState state, Constraint grouping, Instance instance) =>
        Constraints.Value(state.Nodes[instance.Node].Description, grouping.Field) ?? "";

    private static HashSet<string> FullestGroups(ClusterState state, Constraint grouping, List<Instance> among)
    {
        var counts = among.CountBy(i => Group(state, grouping, i)).ToList();
        var most = counts.Max(c => c.Value);
        return counts.Where(c => c.Value == most).Select(c => c.Key).ToHashSet();
    }
}
