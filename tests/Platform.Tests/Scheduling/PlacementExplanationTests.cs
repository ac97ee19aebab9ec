using CsCheck;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Explanations are made by the code that places, so they cannot be wrong without a placement being wrong.</summary>
public sealed class PlacementExplanationTests
{
    private static PlacementExplanation Why(World world, string app = "/web") => PlacementExplanations.Of(world.State, AppId.Parse(app), world.Now);

    [Fact]
    public void Nothing_waits_nothing_to_explain()
    {
        var why = Why(World.With().App("/web").Settle());
        Assert.Equal(0, why.Waiting);
        Assert.True(why.Nodes.IsEmpty && why.Remedies.IsEmpty);
    }

    [Fact]
    public void Every_rule_of_every_node_with_its_numbers()
    {
        var why = Why(World.With(nodes: 2, cpus: 2).App("/web", with: a => a with { Resources = new Resources(4, 64, 0), Constraints = [new("hostname", ConstraintOperator.Like, "n1")] }));
        Assert.Equal(["n1", "n2"], why.Nodes.Select(n => n.Node.Name));
        Assert.Equal(
            [(PlacementRule.Role, true), (PlacementRule.Runtime, true), (PlacementRule.Constraint, false), (PlacementRule.Cpus, false), (PlacementRule.Mem, true), (PlacementRule.Disk, true), (PlacementRule.Ports, true)],
            why.Nodes[1].Rules.Select(r => (r.Rule, r.Passes)));
        Assert.Equal(new RuleVerdict(PlacementRule.Cpus, null, false, 4, 2, 2, "needs 4 cpus, 2 of 2 free"), why.Nodes[0].Rules[3]);
        Assert.Equal("cpus 2 instead of 4 on node n1", why.Remedies[0].Text);
    }

    [Theory]
    [InlineData("UNIQUE", "drop constraint hostname UNIQUE on node n1", "add a node with 0.5 cpus, 64 MiB of memory and 0 MiB of disk free")]
    [InlineData("ports", "let the platform choose the host ports (hostPort 0, requirePorts false) on node n1", "add a node with 0.5 cpus, 64 MiB of memory and 0 MiB of disk free, where host port 31005 is free")]
    public void The_nearest_changes(string what, string change, string node)
    {
        var world = World.With().App("/web", 2, with: a => what == "UNIQUE"
            ? a with { Constraints = [new("hostname", ConstraintOperator.Unique, null)] }
            : a with { PortDefinitions = [new PortDefinition(31005, "tcp", null, EquatableMap.Empty)], RequirePorts = true }).Settle();
        Assert.Equal([change, node], Why(world).Remedies.Select(r => r.Text));
    }

    private static readonly Gen<AppDefinition> AnyApp = Gen.Select(Gen.Int[1, 4], Gen.Int[1, 6], Gen.Int[1, 5], Gen.Int[0, 7]).Select((instances, cpus, mem, shape) => World.Definition("/x", instances) with
    {
        Resources = new Resources(cpus * 0.5, mem * 64, 0),
        RequirePorts = shape == 1,
        PortDefinitions = [new PortDefinition(shape == 1 ? 31001 : 0, "tcp", null, EquatableMap.Empty)],
        Constraints = shape switch
        {
            2 => [new("hostname", ConstraintOperator.Unique, null)],
            3 => [new("rack", ConstraintOperator.Is, "c")],
            4 => [new("rack", ConstraintOperator.MaxPer, "1")],
            5 => [new("rack", ConstraintOperator.GroupBy, "3"), new("hostname", ConstraintOperator.Unlike, "n1")],
            6 => [new("hostname", ConstraintOperator.Cluster, "n9")],
            _ => default,
        },
    });

    [Fact]
    public void A_proposed_change_places_and_an_explanation_is_there_exactly_when_something_waits() => AnyApp.Array[1, 5].Sample(apps =>
    {
        var world = Filled(apps);
        foreach (var app in world.State.Apps.Keys)
        {
            var why = Why(world, app.Path);
            Assert.Equal(world.Brain.Queue.ContainsKey(app), why.Waiting > 0);
            if (Planner.Plan(world.State, app, world.Now).Waiting is not { } waiting) continue;
            Assert.Equal(
                waiting.NoFits.Select(n => (n.Node, n.Detail)),
                why.Nodes.Select(n => (n.Node, n.Rules.Items.First(r => !r.Passes).Detail!)));
        }
        if (world.Brain.Queue.Keys.FirstOrDefault() is not { } first) return; // a new node is for the first in the queue
        foreach (var remedy in Why(world, first.Path).Remedies)
        {
            var other = Filled(apps);
            var before = other.InstancesOf(first.Path).Select(i => i.Id).ToHashSet();
            switch (remedy)
            {
                case Remedy.ChangeApp change:
                    other.Accept(new Command.WriteApps([new AppWrite(first, World.Json(change.App))], Partial: false, MayCreate: false, Force: true) { Origin = ChangeOrigin.Internal });
                    break;
                case Remedy.AddNode add:
                    other.Nodes[add.Node.Id.Name] = new FakeNode(add.Node);
                    other.Connect(add.Node.Id.Name);
                    break;
            }
            Assert.Contains(other.InstancesOf(first.Path), i => !before.Contains(i.Id));
        }
    }, iter: 300);

    private static World Filled(AppDefinition[] apps)
    {
        var world = World.With(nodes: 2, cpus: 3, memMib: 512, ports: 4, attributes: i => [("rack", i == 1 ? "a" : "b")]);
        for (var i = 0; i < apps.Length; i++) world.Ask(World.Create(apps[i] with { Id = AppId.Parse($"/x{i}") }));
        return world.Settle();
    }
}
