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
    /// <param name="beside">The nodes of the app's other live instances: the comparison group of the constraints.</param>
    public static Outcome Place(AppDefinition app, InstanceId id, IReadOnlyList<Offer> offers, IReadOnlyCollection<NodeDescription> beside)
    {
        Offer? best = null;
        EquatableArray<int> bestPorts = default;
        (int, double, ulong) bestScore = default;
        var refusals = new List<NoFit>();
        foreach (var offer in offers)
        {
            var (ports, refusal) = Fit(app, offer, beside);
            if (refusal is not null)
            {
                refusals.Add(refusal);
                continue;
            }
            var score = (beside.Count(n => n.Id == offer.Node.Id), offer.Load, Rendezvous(id, offer.Node.Id));
            if (best is not null && score.CompareTo(bestScore) >= 0) continue;
            (best, bestPorts, bestScore) = (offer, ports, score);
        }
        return best is null ? new Outcome.Refused(refusals.ToEquatableArray()) : new Outcome.Placed(best, bestPorts);
    }

    private static (EquatableArray<int> Ports, NoFit? Refusal) Fit(AppDefinition app, Offer offer, IReadOnlyCollection<NodeDescription> beside)
    {
        if (Runtime(app) is var runtime && !offer.Node.Runtimes.Contains(runtime))
            return (default, new NoFit(offer.Node.Id, NoFitReason.UnfulfilledConstraint, $"the node runs no {runtime} tasks"));
        foreach (var constraint in app.Constraints)
            if (Constraints.Refusal(constraint, offer.Node, beside) is { } why)
                return (default, new NoFit(offer.Node.Id, NoFitReason.UnfulfilledConstraint, why));
        if (offer.Lacks(app.Resources) is { } lacking) return (default, lacking);
        return offer.DrawPorts(app.Ports);
    }

    /// <summary>What a node must be able to run for this app.</summary>
    public static string Runtime(AppDefinition app) => app.Container?.Image is null ? "process" : "docker";

    /// <summary>Highest-random-weight hashing: equal nodes are told apart by the pair alone, so replay chooses the same and instances spread.</summary>
    private static ulong Rendezvous(InstanceId instance, NodeId node)
    {
        const ulong prime = 1099511628211;
        var hash = 14695981039346656037; // FNV-1a
        foreach (var c in instance.Text) hash = (hash ^ c) * prime;
        foreach (var c in node.Name) hash = (hash ^ c) * prime;
        return hash;
    }
}
