using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// Why an app's instances wait: how many, since the last attempt, and what each node said. Kept as data from the placement that refused.
/// </summary>
public sealed record Explanation(int Waiting, DateTimeOffset? DelayedUntil, EquatableArray<NoFit> NoFits);

/// <summary>What to do about one app now: the events that say so, when to look again, and what still waits.</summary>
/// <param name="NodesTried">How many nodes were asked in all, and how many of the launches found one.</param>
public sealed record Plan(AppId App, EquatableArray<SchedulerEvent> Events, DateTimeOffset? NextLookAt, Explanation? Waiting, int Tried, int Placed);

public static class Planner
{
    /// <summary>How many launches one plan makes at most; the app is looked at again at once for the rest.</summary>
    public const int LaunchesMax = 200;

    public static Plan Plan(ClusterState state, AppId id, DateTimeOffset now)
    {
        var app = state.Apps[id];
        if (state.DeploymentsOf(id).Any(d => d.IsHeld(id))) return new Plan(id, default, null, null, 0, 0);

        var lost = Unreachable.Ended(state, app, now);
        if (!lost.IsEmpty) return new Plan(id, lost, now, null, 0, 0);

        var live = app.Instances.Values.Where(i => !Unreachable.IsInactive(state, app, i, now)).ToList();
        var releases = Reservations.Released(app, now);
        if (!releases.IsEmpty) return new Plan(id, releases, now, null, 0, 0);
        if (app.Removing && app.Instances.IsEmpty && app.Reservations.IsEmpty)
            return new Plan(id, [new SchedulerEvent.AppTerminated(id) { At = now }], null, null, 0, 0);

        var step = Rollout.Next(state, app, live);
        var stops = step.Stop.Select(SchedulerEvent (i) => new SchedulerEvent.InstanceStopRequested(i, Reason(state, app, app.Instances[i])) { At = now });
        var wake = Unreachable.NextLookAt(state, app, now);
        if (step.Launch == 0) return new Plan(id, stops.ToEquatableArray(), wake, null, 0, 0);

        if (app.Delay is { } delay && delay.Until > now)
            return new Plan(id, stops.ToEquatableArray(), Earlier(wake, delay.Until), new Explanation(step.Launch, delay.Until, default), 0, 0);

        return Launch(state, app, step.Launch, stops, wake, now);
    }

    private static Plan Launch(
        ClusterState state, AppState app, int count, IEnumerable<SchedulerEvent> stops, DateTimeOffset? wake, DateTimeOffset now)
    {
        var definition = app.Definition;
        var offers = Offers(state);
        var beside = Beside(state, app);
        var events = stops.ToList();
        var launched = 0;
        var tried = 0;
        var claims = new Reservations.Claims(app);
        for (; launched < Math.Min(count, LaunchesMax); launched++)
        {
            var serial = state.NextSerial + launched;
            var claimed = claims.Take(definition, offers, ref tried);
            var id = claimed?.Id ?? InstanceId.Derive(state.ClusterId, definition.Id, serial);
            if (claimed is null && claims.MayReserve) tried += offers.Count;
            var outcome = claimed?.Outcome ?? (claims.MayReserve ? Placement.Place(definition, id, offers, beside) : new Placement.Outcome.Refused(default));
            if (outcome is Placement.Outcome.Refused refused)
            {
                var noFits = claims.NoFits.Concat(refused.NoFits).ToEquatableArray();
                return new Plan(definition.Id, events.ToEquatableArray(), wake, new Explanation(count - launched, null, noFits), tried, launched);
            }
            var placed = (Placement.Outcome.Placed)outcome;
            placed.On.Take(claimed is null ? definition.Footprint : default, placed.HostPorts);
            beside.Add(placed.On.Node);
            if (claimed is null && definition.IsResident) events.Add(claims.Reserve(state.ClusterId, id, serial, placed.On.Node.Id, now));
            events.Add(new SchedulerEvent.InstancePlaced(
                id, serial, definition.Id, definition.VersionInfo.LastConfigChangeAt, placed.On.Node.Id, placed.HostPorts, definition.Footprint) { At = now });
        }
        return new Plan(definition.Id, events.ToEquatableArray(), launched < count ? now : wake, null, tried, launched);
    }

    internal static IEnumerable<Node> Reachable(ClusterState state) => state.Nodes.Values.Where(n => n.LostAt is null);

    internal static List<Offer> Offers(ClusterState state) => Reachable(state).Select(n => new Offer(n)).ToList();

    /// <summary>
    /// Those that are being stopped do not count against UNIQUE and its kin, or no upgrade could ever follow itself (contract 5.8, from 1.9).
    /// Unreachable ones do, even when they are replaced: they may still run where they are.
    /// </summary>
    internal static ComparisonGroup Beside(ClusterState state, AppState app) =>
        new(app.Instances.Values.Where(i => !i.IsStopping).Select(i => state.Nodes[i.Node].Description));

    private static StopReason Reason(ClusterState state, AppState app, Instance instance) =>
        app.Removing ? StopReason.AppRemoved
            : state.IsDraining(instance.Node) ? StopReason.NodeDrained
            : app.IsCurrent(instance) ? StopReason.Scaled
            : StopReason.Replaced;

    private static DateTimeOffset? Earlier(DateTimeOffset? a, DateTimeOffset? b) => a is null || b < a ? b : a;
}

/// <summary>Instances on lost nodes (contract 5.10): given up for replacement after a while, forgotten after a longer one.</summary>
public static class Unreachable
{
    /// <summary>A replacement may start: it no longer counts.</summary>
    public static bool IsInactive(ClusterState state, AppState app, Instance instance, DateTimeOffset now) =>
        LostAt(state, instance) is { } lostAt
        && app.DefinitionOf(instance).UnreachableStrategy.InactiveAfterSeconds is { } seconds
        && now >= lostAt.AddSeconds(seconds);

    /// <summary>Those to forget: past the expunge time, or to be stopped anyway. Should one return, its node is told to stop it.</summary>
    public static EquatableArray<SchedulerEvent> Ended(ClusterState state, AppState app, DateTimeOffset now) => state.LostNodes == 0 ? default : app.Instances.Values
        .Where(i => LostAt(state, i) is { } lostAt && (i.IsStopping || app.Removing || IsExpunged(app, i, lostAt, now)))
        .Select(SchedulerEvent (i) => new SchedulerEvent.InstanceEnded(i.Id, new InstanceEnd(
            TerminalState.Lost, $"Node {i.Node} is not reachable", null, false, false, now)) { At = now })
        .ToEquatableArray();

    public static DateTimeOffset? NextLookAt(ClusterState state, AppState app, DateTimeOffset now) => state.LostNodes == 0 ? null : app.Instances.Values
        .Select(i => (Lost: LostAt(state, i), Strategy: app.DefinitionOf(i).UnreachableStrategy))
        .Where(x => x.Lost is not null)
        .SelectMany(x => new[] { x.Strategy.InactiveAfterSeconds, x.Strategy.ExpungeAfterSeconds }
            .OfType<double>().Select(s => (DateTimeOffset?)x.Lost!.Value.AddSeconds(s)))
        .Where(at => at > now)
        .Min();

    private static bool IsExpunged(AppState app, Instance instance, DateTimeOffset lostAt, DateTimeOffset now) =>
        app.DefinitionOf(instance).UnreachableStrategy.ExpungeAfterSeconds is { } seconds && now >= lostAt.AddSeconds(seconds);

    private static DateTimeOffset? LostAt(ClusterState state, Instance instance) => state.LostNodes > 0 && state.Nodes.TryGetValue(instance.Node, out var node) ? node.LostAt : null;
}
