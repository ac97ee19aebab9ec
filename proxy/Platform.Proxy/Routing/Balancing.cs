namespace Platform.Proxy.Routing;

/// <summary>Least requests in flight; among equals the next in turn.</summary>
internal static class Balancing
{
    /// <summary>How many endpoints one look compares; a bigger app is sampled from a rotating start, which keeps a request's cost bounded.</summary>
    public const int ComparedMax = 64;

    private const int SuspectPenalty = 1 << 24;

    /// <summary>The endpoint to use now, or null if there is none. <paramref name="avoid"/> is only taken when it is the only one.</summary>
    public static Target? Choose(ReadOnlySpan<Target> targets, uint start, Upstream? avoid, long nowTickMs)
    {
        if (targets.IsEmpty) return null;
        Target? best = null;
        var bestLoad = int.MaxValue;
        var at = (int)(start % (uint)targets.Length);
        for (var i = Math.Min(targets.Length, ComparedMax); i > 0; i--)
        {
            var target = targets[at];
            if (++at == targets.Length) at = 0;
            var load = Load(target.Upstream, avoid, nowTickMs);
            if (load >= bestLoad) continue;
            best = target;
            bestLoad = load;
            if (load == 0) break;
        }
        return best;
    }

    private static int Load(Upstream upstream, Upstream? avoid, long nowTickMs)
    {
        var load = upstream.InFlight;
        if (ReferenceEquals(upstream, avoid)) load += 2 * SuspectPenalty;
        else if (upstream.IsSuspect(nowTickMs)) load += SuspectPenalty;
        return load;
    }
}
