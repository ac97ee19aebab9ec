using Platform.Model;

namespace Platform.Scheduling;

/// <summary>Decides on draining, resuming and removing nodes.</summary>
internal static class NodeDecisions
{
    /// <summary>The longest time a drain may be given.</summary>
    public static readonly TimeSpan WithinMax = TimeSpan.FromDays(30);

    public static Decision Drain(ClusterState state, Command.DrainNode x, DateTimeOffset now)
    {
        if (!state.Nodes.TryGetValue(x.Node, out var node)) return NotFound(x.Node);
        if (x.Within is { } within && (within < TimeSpan.Zero || within > WithinMax))
            return Decider.Refuse(RejectCode.BadArgument, $"A drain may be given from 0 seconds to {WithinMax.TotalDays:0} days");
        var until = now + x.Within;
        return node.Drain is { } drain && drain.Until == until ? Accepted() : Accepted(new SchedulerEvent.NodeDrainStarted(x.Node, until) { At = now });
    }

    public static Decision Resume(ClusterState state, Command.ResumeNode x, DateTimeOffset now) =>
        !state.Nodes.TryGetValue(x.Node, out var node) ? NotFound(x.Node)
            : node.Drain is null ? Accepted()
            : Accepted(new SchedulerEvent.NodeResumed(x.Node) { At = now });

    public static Decision Remove(ClusterState state, Command.RemoveNode x, DateTimeOffset now)
    {
        if (!state.Nodes.TryGetValue(x.Node, out var node)) return NotFound(x.Node);
        if (node.LostAt is null && !node.IsDrained)
            return Decider.Refuse(RejectCode.InUse, node.Drain is null
                ? $"Node '{x.Node}' is in use. Drain it first (POST /v2/nodes/{x.Node}/drain), or stop it: once it is lost, it can be removed"
                : $"Node '{x.Node}' is being drained, and still has {node.Instances.Count} instances");
        var reserved = state.Apps.Values
            .SelectMany(a => a.Reservations.Where(r => r.Value.Node == x.Node).Select(r => (App: a.Definition.Id, Instance: r.Key)))
            .ToList();
        if (reserved.Count > 0 && !x.Force)
            return Decider.Refuse(RejectCode.InUse, $"Node '{x.Node}' holds persistent volumes of {string.Join(", ", reserved.Select(r => r.App).Distinct())}. "
                + "With force=true they are given up, and their instances begin anew elsewhere");
        return Accepted([
            .. node.Instances.Select(SchedulerEvent (i) => new SchedulerEvent.InstanceEnded(
                i, new InstanceEnd(TerminalState.Lost, $"Node {x.Node} was removed", null, false, false, now)) { At = now }),
            .. reserved.Select(SchedulerEvent (r) => new SchedulerEvent.ReservationReleased(r.Instance, r.App) { At = now }),
            new SchedulerEvent.NodeRemoved(x.Node) { At = now },
        ]);
    }

    private static Decision.Accepted Accepted(params ReadOnlySpan<SchedulerEvent> events) => new(EquatableArray.Create(events), Reply.Done);

    private static Decision.Refused NotFound(NodeId node) => Decider.Refuse(RejectCode.NotFound, $"Node '{node}' does not exist");
}

/// <summary>Decides who may become a node. Secrets are compared by their hashes: neither the inbox nor the log ever sees one.</summary>
internal static class JoinDecisions
{
    public const int TokensMax = 1000;
    public static readonly TimeSpan LifetimeMax = TimeSpan.FromDays(7);

    public static Decision Make(ClusterState state, Command.MakeJoinToken x, DateTimeOffset now)
    {
        if (state.Authority is null)
            return Decider.Refuse(RejectCode.InUse, "The link is not open to other machines: start the scheduler with --link ADDRESS:PORT");
        if (x.Lifetime <= TimeSpan.Zero || x.Lifetime > LifetimeMax)
            return Decider.Refuse(RejectCode.BadArgument, $"A join token is good for more than 0 seconds and at most {LifetimeMax.TotalDays:0} days");
        if (state.JoinTokens.Count >= TokensMax)
            return Decider.Refuse(RejectCode.TooMany, $"{TokensMax} join tokens are remembered already, which is the most; revoke some, or wait until they are forgotten");
        return new Decision.Accepted([new SchedulerEvent.JoinTokenMade(x.Token, x.Hash, now + x.Lifetime) { At = now }], Reply.Done);
    }

    public static Decision Revoke(ClusterState state, Command.RevokeJoinToken x, DateTimeOffset now) => state.JoinTokens.ContainsKey(x.Token)
        ? new Decision.Accepted([new SchedulerEvent.JoinTokenRevoked(x.Token) { At = now }], Reply.Done)
        : Decider.Refuse(RejectCode.NotFound, $"Join token '{x.Token}' does not exist");

    /// <summary>The same machine may ask again: the answer to its first attempt may have been lost.</summary>
    public static Decision Admit(ClusterState state, Command.AdmitNode x, DateTimeOffset now)
    {
        if (!state.JoinTokens.TryGetValue(x.Token, out var token)) return No($"join token {x.Token} is not known: it was revoked, or it is another cluster's, or long expired");
        if (token.Hash != x.Hash) return No($"the secret is not that of join token {x.Token}");
        var known = state.Admissions.GetValueOrDefault(x.Node);
        if (token.UsedBy is { } user)
            return user == x.Node && known?.KeyHash == x.KeyHash ? new Decision.Accepted(default, Reply.Done)
                : No($"join token {x.Token} was used by node {user} at {token.UsedAt:yyyy-MM-ddTHH:mm:ssZ}, and each is good for one node");
        if (token.ExpiresAt <= now) return No($"join token {x.Token} expired at {token.ExpiresAt:yyyy-MM-ddTHH:mm:ssZ}");
        if (state.Nodes.TryGetValue(x.Node, out var node) ? node.LostAt is null : known is not null && known.KeyHash != x.KeyHash)
            return No($"there is a node called {x.Node}. Choose another name with --node-name, or join again when that one is lost or removed");
        return new Decision.Accepted([new SchedulerEvent.NodeAdmitted(x.Node, x.KeyHash, x.Token) { At = now }], Reply.Done);
    }

    private static Decision.Refused No(string why) => Decider.Refuse(RejectCode.BadArgument, why);
}
