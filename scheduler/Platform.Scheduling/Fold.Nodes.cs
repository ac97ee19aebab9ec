using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>How nodes are drained, admitted and removed.</summary>
public sealed partial record ClusterState
{
    private static readonly TimeSpan TokensRememberedFor = TimeSpan.FromDays(7);

    private ClusterState Drain(SchedulerEvent.NodeDrainStarted x) => Nodes.TryGetValue(x.Node, out var node)
        ? this with
        {
            Nodes = Nodes.SetItem(x.Node, node with { Drain = new NodeDrain(node.Drain?.Since ?? x.At, x.Until) }),
            DrainingNodes = node.Drain is null ? DrainingNodes + 1 : DrainingNodes,
        }
        : this;

    private ClusterState Resume(SchedulerEvent.NodeResumed x) => Nodes.TryGetValue(x.Node, out var node) && node.Drain is not null
        ? this with { Nodes = Nodes.SetItem(x.Node, node with { Drain = null }), DrainingNodes = DrainingNodes - 1 }
        : this;

    private ClusterState Remove(SchedulerEvent.NodeRemoved x) => Nodes.TryGetValue(x.Node, out var node)
        ? this with
        {
            Nodes = Nodes.Remove(x.Node),
            Admissions = Admissions.Remove(x.Node),
            LostNodes = node.LostAt is null ? LostNodes : LostNodes - 1,
            DrainingNodes = node.Drain is null ? DrainingNodes : DrainingNodes - 1,
        }
        : this;

    private ClusterState Admit(SchedulerEvent.NodeAdmitted x) => this with
    {
        Admissions = Admissions.SetItem(x.Node, new Admission(x.KeyHash, x.At)),
        JoinTokens = JoinTokens.TryGetValue(x.Token, out var token) ? JoinTokens.SetItem(x.Token, token with { UsedBy = x.Node, UsedAt = x.At }) : JoinTokens,
    };

    private ImmutableSortedDictionary<string, JoinToken> Remembered(DateTimeOffset now) =>
        JoinTokens.RemoveRange(JoinTokens.Where(t => t.Value.ExpiresAt + TokensRememberedFor < now).Select(t => t.Key));
}
