using Platform.Model;
using Platform.Protocol.Trust;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Who may become a node: whoever shows a token that is known, open and its own, once.</summary>
public sealed class JoinTokenTests
{
    private static readonly JoinTokenText Token = JoinTokenText.Make(new string('a', 64));

    private static ClusterState With(params SchedulerEvent[] events) => events.Aggregate(
        ClusterState.Empty.Fold(new SchedulerEvent.ClusterFounded("c1") { At = World.Start })
            .Fold(new SchedulerEvent.AuthorityFounded("-", new SealedSecret("k", "b")) { At = World.Start }), (s, e) => s.Fold(e));

    private static SchedulerEvent.JoinTokenMade Made(double hours = 1) => new(Token.Token, Token.Hash, World.Start.AddHours(hours)) { At = World.Start };

    private static Decision Admit(ClusterState state, string node = "n1", string key = "k1", JoinTokenText? token = null, double afterHours = 0.5) => Decider.Decide(
        state, new Command.AdmitNode(NodeId.Parse(node), key, (token ?? Token).Token, (token ?? Token).Hash) { Origin = ChangeOrigin.Internal }, new SchedulerSettings(), World.Start.AddHours(afterHours));

    private static string Why(Decision decision) => Assert.IsType<Decision.Refused>(decision).Rejection.Message;
    private static ClusterState After(ClusterState state, Decision decision) => Assert.IsType<Decision.Accepted>(decision).Events.Aggregate(state, (s, e) => s.Fold(e));

    [Fact]
    public void A_token_admits_one_node_and_the_same_one_again_if_the_answer_was_lost()
    {
        var open = With(Made());
        var used = After(open, Admit(open));
        Assert.Equal("k1", used.Admissions[NodeId.Parse("n1")].KeyHash);
        Assert.True(Assert.IsType<Decision.Accepted>(Admit(used)).Events.IsEmpty);
        Assert.Equal($"join token {Token.Token} was used by node n1 at 2026-01-01T00:30:00Z, and each is good for one node", Why(Admit(used, "n2", "k2")));
        Assert.Contains("was used", Why(Admit(used, "n1", "k2")), StringComparison.Ordinal); // another machine of that name
    }

    [Fact]
    public void A_token_that_is_unknown_forged_revoked_or_expired_admits_nobody()
    {
        var open = With(Made());
        Assert.Contains("is not known", Why(Admit(With())), StringComparison.Ordinal);
        Assert.Contains("the secret is not that of", Why(Admit(open, token: Token with { Secret = new string('0', 32) })), StringComparison.Ordinal);
        Assert.Equal($"join token {Token.Token} expired at 2026-01-01T01:00:00Z", Why(Admit(open, afterHours: 1)));
        Assert.Contains("is not known", Why(Admit(With(Made(), new SchedulerEvent.JoinTokenRevoked(Token.Token) { At = World.Start }))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_is_taken_until_its_node_is_lost_or_removed()
    {
        var world = World.With();
        var state = world.State.Fold(new SchedulerEvent.AuthorityFounded("-", new SealedSecret("k", "b")) { At = World.Start }).Fold(Made());
        Assert.Contains("there is a node called n1", Why(Admit(state)), StringComparison.Ordinal);
        var lost = state.Fold(new SchedulerEvent.NodeLost(NodeId.Parse("n1")) { At = World.Start });
        Assert.Equal("k1", After(lost, Admit(lost)).Admissions[NodeId.Parse("n1")].KeyHash);
        var removed = After(lost, Admit(lost)).Fold(new SchedulerEvent.NodeRemoved(NodeId.Parse("n1")) { At = World.Start });
        Assert.Empty(removed.Admissions);
    }

    [Fact]
    public void Tokens_are_made_only_where_they_mean_something_and_are_forgotten_after_a_while()
    {
        Decision Make(ClusterState state, double hours, DateTimeOffset at) =>
            Decider.Decide(state, new Command.MakeJoinToken("t", "h", TimeSpan.FromHours(hours)) { Origin = ChangeOrigin.Internal }, new SchedulerSettings(), at);
        Assert.Equal(RejectCode.InUse, Assert.IsType<Decision.Refused>(Make(ClusterState.Empty, 1, World.Start)).Rejection.Code);
        Assert.Equal(RejectCode.BadArgument, Assert.IsType<Decision.Refused>(Make(With(), 0, World.Start)).Rejection.Code);
        Assert.Equal(RejectCode.BadArgument, Assert.IsType<Decision.Refused>(Make(With(), 24 * 7 + 1, World.Start)).Rejection.Code);
        var old = With(Made());
        Assert.Equal(["t"], After(old, Make(old, 1, World.Start.AddDays(8))).JoinTokens.Keys);
        Assert.Equal(2, After(old, Make(old, 1, World.Start.AddDays(2))).JoinTokens.Count);
    }

    [Fact]
    public void A_tokens_text_is_read_back_and_nothing_else_is_taken_for_one()
    {
        Assert.True(JoinTokenText.TryParse($" {Token}\n", out var read));
        Assert.Equal(Token, read);
        Assert.DoesNotContain(Token.Secret, Token.Hash, StringComparison.Ordinal);
        foreach (var bad in (string[])["", "x", Token.ToString()[..^1], Token.ToString().ToUpperInvariant(), "PJT2" + Token.ToString()[4..], Token + ".x"])
            Assert.False(JoinTokenText.TryParse(bad, out _), bad);
    }
}
