using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Contract 5.8, operator by operator.</summary>
public sealed class ConstraintTests
{
    private static NodeDescription Node(string name, params (string Key, string Value)[] attributes) => new()
    {
        Id = NodeId.Parse(name),
        Address = "10.0.0.1",
        Total = new Resources(8, 1024, 0),
        TaskPortMin = 31000,
        TaskPortMax = 31099,
        Attributes = EquatableMap.From(attributes.Select(a => KeyValuePair.Create(a.Key, a.Value))),
    };

    private static bool Takes(ConstraintOperator op, string? value, string? mine, params string[] others)
    {
        var node = mine is null ? Node("n") : Node("n", ("rack", mine));
        return Constraints.Refusal(new Constraint("rack", op, value), node, others.Select((o, i) => Node($"o{i}", ("rack", o))).ToList()) is null;
    }

    [Theory]
    [InlineData("a", new string[0], true)]
    [InlineData("a", new[] { "b" }, true)]
    [InlineData("a", new[] { "b", "a" }, false)]
    [InlineData(null, new string[0], false)]
    public void Unique(string? mine, string[] others, bool takes) => Assert.Equal(takes, Takes(ConstraintOperator.Unique, null, mine, others));

    [Theory]
    [InlineData("a", "a", new string[0], true)]
    [InlineData("a", "b", new string[0], false)]
    [InlineData(null, "a", new string[0], true)]
    [InlineData("", "a", new[] { "a" }, true)]
    [InlineData(null, "b", new[] { "a" }, false)]
    [InlineData("a", null, new string[0], false)]
    public void Cluster(string? value, string? mine, string[] others, bool takes) => Assert.Equal(takes, Takes(ConstraintOperator.Cluster, value, mine, others));

    [Theory]
    [InlineData(null, "a", new string[0], true)]
    [InlineData(null, "b", new[] { "a" }, true)]
    [InlineData(null, "a", new[] { "a" }, true)] // without a number only the values already seen are known
    [InlineData("2", "a", new[] { "a" }, false)]
    [InlineData("2", "a", new[] { "a", "b" }, true)]
    [InlineData("2", "a", new[] { "a", "a", "b" }, false)]
    [InlineData("3", "a", new[] { "a", "b" }, false)] // until a third value has been seen
    [InlineData("3", "d", new[] { "a", "b", "c" }, true)] // a fourth value is still accepted
    [InlineData("3", null, new string[0], false)]
    public void GroupBy(string? value, string? mine, string[] others, bool takes) => Assert.Equal(takes, Takes(ConstraintOperator.GroupBy, value, mine, others));

    [Theory]
    [InlineData("rack-[1-3]", "rack-2", true)]
    [InlineData("rack-[1-3]", "rack-22", false)] // the whole text
    [InlineData("ack-2", "rack-2", false)]
    [InlineData("a|b", "ab", false)] // the anchors hold the whole alternation
    [InlineData(".*", "", true)]
    [InlineData(".*", null, false)]
    public void Like(string pattern, string? mine, bool takes) => Assert.Equal(takes, Takes(ConstraintOperator.Like, pattern, mine));

    [Theory]
    [InlineData("rack-[1-3]", "rack-2", false)]
    [InlineData("rack-[1-3]", "rack-22", true)]
    [InlineData("rack-[1-3]", null, true)] // a missing attribute satisfies only UNLIKE
    public void Unlike(string pattern, string? mine, bool takes) => Assert.Equal(takes, Takes(ConstraintOperator.Unlike, pattern, mine));

    [Theory]
    [InlineData("2", "a", new[] { "a" }, true)]
    [InlineData("2", "a", new[] { "a", "a", "b" }, false)]
    [InlineData("1", null, new string[0], false)]
    public void MaxPer(string value, string? mine, string[] others, bool takes) => Assert.Equal(takes, Takes(ConstraintOperator.MaxPer, value, mine, others));

    [Theory]
    [InlineData("1.0", "1", true)]
    [InlineData("1", "1.0000", true)]
    [InlineData("1.5", "1", false)]
    [InlineData("ssd", "ssd", true)]
    [InlineData("ssd", "SSD", false)]
    [InlineData("ssd", null, false)]
    public void Is(string value, string? mine, bool takes) => Assert.Equal(takes, Takes(ConstraintOperator.Is, value, mine));

    [Theory]
    [InlineData("hostname")]
    [InlineData("@hostname")]
    public void The_hostname_is_the_nodes_name(string field) => Assert.Equal("n7", Constraints.Value(Node("n7"), field));

    [Fact]
    public void Region_and_zone_are_attributes()
    {
        Assert.Equal("eu", Constraints.Value(Node("n", ("region", "eu"), ("zone", "z1")), "@region"));
        Assert.Equal("z1", Constraints.Value(Node("n", ("region", "eu"), ("zone", "z1")), "@zone"));
        Assert.Null(Constraints.Value(Node("n"), "@zone"));
    }

    [Fact]
    public void All_constraints_must_hold()
    {
        var world = World.With(nodes: 4, attributes: i => [("rack", i % 2 == 0 ? "even" : "odd")])
            .App("/web", 3, with: a => a with { Constraints = [new("hostname", ConstraintOperator.Unique, null), new("rack", ConstraintOperator.Is, "even")] }).Settle();
        Assert.Equal(["n2", "n4"], world.NodesOf("/web").Select(n => n.Name).Order());
        Assert.Equal(1, world.Brain.Queue[AppId.Parse("/web")].Explanation.Waiting);
    }

    [Fact]
    public void A_unique_app_can_follow_itself_on_the_same_nodes()
    {
        var world = World.With(nodes: 2)
            .App("/web", 2, with: a => a with { Constraints = [new("hostname", ConstraintOperator.Unique, null)], UpgradeStrategy = new UpgradeStrategy(0.5, 0) }).Settle();
        world.Accept(World.Put("/web", """{"cmd":"serve2"}"""));
        world.Settle();
        Assert.All(world.InstancesOf("/web"), i => Assert.True(world.Of("/web").IsCurrent(i)));
        Assert.Equal(2, world.NodesOf("/web").Distinct().Count());
        Assert.Empty(world.State.Deployments);
    }

    [Fact]
    public void Unreachable_instances_still_hold_their_place()
    {
        var world = World.With(nodes: 3, attributes: i => [("rack", i == 3 ? "b" : "a")])
            .App("/web", 2, with: a => a with
            {
                Constraints = [new("rack", ConstraintOperator.Unique, null)],
                UnreachableStrategy = new UnreachableStrategy(0, 3600),
            }).Settle();
        var lost = world.NodesOf("/web").Single(n => n.Name != "n3").Name;
        world.Lose(lost).Settle();
        Assert.Single(world.ReadyOf("/web"), i => i.Node.Name == "n3");
        Assert.Equal(2, world.InstancesOf("/web").Count); // the other node of rack a stays empty: the lost one may still run
        Assert.Equal(1, world.Brain.Queue[AppId.Parse("/web")].Explanation.Waiting);
    }
}
