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
        var refusals = new List<NoFit>();
        var seed = Hash(HashStart, id.Text);
        var declared = app.Ports;
        var runtime = Runtime(app);
        foreach (var offer in offers)
        {
            if (Refusal(app, runtime, offer, beside) is { } refusal)
            {
                refusals.Add(refusal);
                continue;
            }
            var score = new Score(beside.CountOn(offer.Node.Id), offer.Load);
            if (best is not null && !IsBetter(score, offer, bestScore, best)) continue;
            var (ports, portless) = offer.DrawPorts(declared);
            if (portless is not null) refusals.Add(portless);
            else (best, bestPorts, bestScore) = (offer, ports, score);
        }

        // Few of the same app first, then little load, then by lot, which is drawn only when it decides.
        bool IsBetter(Score a, Offer on, Score b, Offer other) => a.OfSameApp != b.OfSameApp ? a.OfSameApp < b.OfSameApp
            : a.Load < b.Load || (a.Load <= b.Load && Hash(seed, on.Node.Id.Name) < Hash(seed, other.Node.Id.Name));

        return best is null ? new Outcome.Refused(refusals.ToEquatableArray()) : new Outcome.Placed(best, bestPorts);
    }

    private readonly record struct Score(int OfSameApp, double Load);

    /// <summary>Everything but the ports, which are drawn only where the instance would go.</summary>
    private static NoFit? Refusal(AppDefinition app, string runtime, Offer offer, ComparisonGroup beside)
    {
        if (!offer.Node.Runtimes.Items.Contains(runtime))
            return new NoFit(offer.Node.Id, NoFitReason.UnfulfilledConstraint, $"the node runs no {runtime} tasks");
        foreach (var constraint in app.Constraints)
            if (Constraints.Refusal(constraint, offer.Node, beside) is { } why)
                return new NoFit(offer.Node.Id, NoFitReason.UnfulfilledConstraint, why);
        return offer.Lacks(app.Resources);
    }

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
