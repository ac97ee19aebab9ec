using Platform.Model;

namespace Platform.Scheduling;

/// <summary>Where an instance goes: filters first, each refusal recorded, then the best of what is left.</summary>
public static class Placement
{
    public abstract record Outcome
    {
        public sealed record Placed(Offer On, EquatableArray<int> HostPorts) : Outcome;
        public sealed record Refused(EquatableArray<NoFit> NoFits) : Outcome;
    }

    /// <param name="offers">Every reachable node, with what is left of it.</param>
    /// <param name="beside">The app's other live instances.</param>
    public static Outcome Place(AppDefinition app, InstanceId id, IReadOnlyList<Offer> offers, ComparisonGroup beside)
    {
        Offer? best = null;
        EquatableArray<int> bestPorts = default;
        Score bestScore = default;
        ulong? bestLot = null;
        var refusals = new List<NoFit>();
        var seed = Hash(HashStart, id.Text);
        var declared = app.Ports;
        var runtime = Runtime(app);
        foreach (var offer in offers)
        {
            // A node that would not be chosen anyway need not say whether it could be: refusals count only where there is no node at all.
            var score = new Score(beside.CountOn(offer.Node.Id), offer.Load);
            if (best is not null && !IsBetter(score, offer)) continue;
            if (Refusal(app, runtime, offer, beside) is { } refusal)
            {
                refusals.Add(refusal);
                continue;
            }
            var (ports, portless) = offer.DrawPorts(declared);
            if (portless is not null) refusals.Add(portless);
            else (best, bestPorts, bestScore, bestLot) = (offer, ports, score, null);
        }

        // Few of the same app first, then little load, then by lot, which is drawn only when it decides.
        bool IsBetter(Score a, Offer on) => a.OfSameApp != bestScore.OfSameApp ? a.OfSameApp < bestScore.OfSameApp
            : a.Load < bestScore.Load || (a.Load <= bestScore.Load && Hash(seed, on.Node.Id.Name) < (bestLot ??= Hash(seed, best!.Node.Id.Name)));

        return best is null ? new Outcome.Refused(refusals.ToEquatableArray()) : new Outcome.Placed(best, bestPorts);
    }

    private readonly record struct Score(int OfSameApp, double Load);

    /// <summary>Everything but the ports, which are drawn only where the instance would go.</summary>
    private static NoFit? Refusal(AppDefinition app, string runtime, Offer offer, ComparisonGroup beside)
    {
        if (offer.Closed is { } closed) return closed;
        if (!offer.Node.Runtimes.Items.Contains(runtime))
            return new NoFit(offer.Node.Id, NoFitReason.UnfulfilledConstraint, $"the node runs no {runtime} tasks");
        foreach (var constraint in app.Constraints)
            if (Constraints.Refusal(constraint, offer.Node, beside) is { } why)
                return new NoFit(offer.Node.Id, NoFitReason.UnfulfilledConstraint, why);
        return offer.Lacks(app.Footprint);
    }

    /// <summary>A resident instance goes back to where its reservation is: room is there, and only its ports have to be drawn anew.</summary>
    public static Outcome PlaceOn(AppDefinition app, Reservation reservation, IReadOnlyList<Offer> offers)
    {
        if (offers.FirstOrDefault(o => o.Node.Id == reservation.Node) is not { } offer)
            return Refused(NoFitReason.NoCorrespondingReservationFound, "the instance's volumes are on this node, which is not reachable");
        if (offer.Closed is not null) return Refused(NoFitReason.AgentMaintenance, "the instance's volumes are on this node, which is being drained");
        if (!offer.Node.Runtimes.Items.Contains(Runtime(app)))
            return Refused(NoFitReason.UnfulfilledConstraint, $"the instance's volumes are on this node, which runs no {Runtime(app)} tasks");
        var (ports, portless) = offer.DrawPorts(app.Ports);
        return portless is null ? new Outcome.Placed(offer, ports) : new Outcome.Refused([portless]);

        Outcome.Refused Refused(NoFitReason reason, string detail) => new([new NoFit(reservation.Node, reason, detail)]);
    }

    /// <summary>Every rule on its own, where <see cref="Place"/> stops at the first that refuses: the first here that does not pass is its refusal.</summary>
    public static IEnumerable<RuleVerdict> Judge(AppDefinition app, Offer offer, ComparisonGroup beside)
    {
        var runtime = Runtime(app);
        var runs = offer.Node.Runtimes.Items.Contains(runtime);
        if (offer.Closed is { } closed) yield return new RuleVerdict(PlacementRule.Maintenance, null, false, null, null, null, closed.Detail);
        yield return new RuleVerdict(PlacementRule.Role, "*", true, null, null, null, null); // there is only this one
        yield return new RuleVerdict(PlacementRule.Runtime, runtime, runs, null, null, null, runs ? null : $"the node runs no {runtime} tasks");
        foreach (var constraint in app.Constraints)
        {
            var refusal = Constraints.Refusal(constraint, offer.Node, beside);
            yield return new RuleVerdict(PlacementRule.Constraint, Constraints.Text(constraint), refusal is null, null, null, null, refusal);
        }
        var (need, free, total) = (app.Resources, offer.Free, offer.Node.Total);
        yield return Amount(PlacementRule.Cpus, need.Cpus, free.Cpus, total.Cpus, offer.Lacks(need with { MemMib = 0, DiskMib = 0 }));
        yield return Amount(PlacementRule.Mem, need.MemMib, free.MemMib, total.MemMib, offer.Lacks(need with { Cpus = 0, DiskMib = 0 }));
        yield return Amount(PlacementRule.Disk, need.DiskMib, free.DiskMib, total.DiskMib, offer.Lacks(need with { Cpus = 0, MemMib = 0 }));
        yield return Amount(
            PlacementRule.Ports, app.Ports.Count(p => p.HostPort is not null), offer.FreePorts,
            offer.Node.TaskPortMax - offer.Node.TaskPortMin + 1, offer.DrawPorts(app.Ports).Refusal);
    }

    private static RuleVerdict Amount(PlacementRule rule, double asked, double free, double total, NoFit? refusal) =>
        new(rule, null, refusal is null, asked, free, total, refusal?.Detail);

    /// <summary>What a node must be able to run for this app.</summary>
    public static string Runtime(AppDefinition app) => app.NeedsImage ? "docker" : "process";

    private const ulong HashStart = 14695981039346656037;

    /// <summary>FNV-1a of instance and node, for rendezvous: equal nodes are told apart by the pair alone, so replay chooses the same and instances spread.</summary>
    private static ulong Hash(ulong hash, string text)
    {
        foreach (var c in text) hash = (hash ^ c) * 1099511628211;
        return hash;
    }
}
