using Platform.Discovery;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>Requests of the KV doors, decided on the store that is part of the cluster's state.</summary>
internal static class StoreDecisions
{
    public static Decision Decide(ClusterState state, StoreRequest request, DateTimeOffset now)
    {
        var decision = StoreDecide.Decide(state.Store, request, (node, check) => CheckOf(state, node, check), state.Revision + 1, now);
        var index = decision.Event is null ? state.Store.Index : state.Revision + 1;
        return new Decision.Accepted(
            decision.Event is { } e ? [new SchedulerEvent.Stored(e) { At = now }] : default,
            Reply.Done with { Store = new StoreAnswer(index, decision.Reply) });
    }

    /// <summary>A node's own check says what the scheduler thinks of it.</summary>
    private static CheckVerdict CheckOf(ClusterState state, string node, string check)
    {
        if (!NodeId.TryParse(node, out var id, out _) || !state.Nodes.TryGetValue(id, out var known)) return CheckVerdict.NoSuchNode;
        if (check != KvSession.NodeAlive) return CheckVerdict.Missing;
        return known.LostAt is null ? CheckVerdict.Well : CheckVerdict.Critical;
    }
}
