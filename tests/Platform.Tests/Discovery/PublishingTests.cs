using System.Collections.Immutable;
using Platform.Discovery;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class PublishingTests
{
    [Fact]
    public void From_whatever_is_there_the_plan_leads_to_what_is_wanted_and_touches_nothing_of_others()
    {
        var random = new Random(11);
        var world = new World();
        var (seen, wanted) = (Observation.Nothing with { ForeignNodes = ["platform-n2"], ForeignInstances = [("platform-n0", "theirs")], ForeignKeys = ["platform/apps/app1"] }, (Publication?)null);
        var (tree, keys) = (CatalogTree.Empty, KvTree.Empty);
        for (var i = 0; i < 200; i++)
        {
            var app = $"/app{random.Next(4)}";
            switch (random.Next(6))
            {
                case 0: world.App(app, World.Port(0, 0), World.Port(1, 0, "admin")); break;
                case 1: world.Gone(app); break;
                case 2: world.Down(app, random.Next(6)); break;
                case 3: world.Apply(random.Next(2) == 0 ? new EndpointChange.NodeSet(new NodeAddress(NodeId.Parse($"n{random.Next(3)}"), $"10.0.0.{random.Next(3)}")) : new EndpointChange.NodeRemoved(NodeId.Parse($"n{random.Next(3)}"))); break;
                default: world.Up(app, random.Next(6), $"n{random.Next(3)}", "10.0.0.1", null, World.At(0, 31000 + random.Next(3)), World.At(1, 32000)); break;
            }
            if (random.Next(3) != 0) continue;
            (tree, keys) = (tree.Apply(world.Snapshot), keys.Apply(world.Snapshot));
            wanted = Publication.Of(tree, keys, wanted);
            if (random.Next(8) == 0) seen = seen with { Nodes = Observation.Nothing.Nodes, Keys = Observation.Nothing.Keys }; // restarted empty
            if (random.Next(8) == 0 && seen.Keys.Count > 0) seen = seen with { Keys = seen.Keys.Remove(seen.Keys.Keys.First()) };
            var plan = Publishing.Plan(wanted, seen);
            Assert.DoesNotContain(plan.Steps, x => x is PublishStep.NodeSet { Node.Name: "platform-n2" } or PublishStep.NodeRemoved { Node: "platform-n2" or "platform-n0" }
                or PublishStep.InstanceRemoved { Id: "theirs" } or PublishStep.KeySet { Key: "platform/apps/app1" } or PublishStep.KeyRemoved { Key: "platform/apps/app1" });
            seen = plan.Steps.Aggregate(seen, Publishing.After);
            Assert.Empty(Publishing.Plan(wanted, seen).Steps);
            Assert.Equal(wanted.Nodes.Values.Where(x => x.Name != "platform-n2").Sum(x => x.Instances.Count), seen.Nodes.Values.Sum(x => x.Instances.Count));
        }
        Assert.Contains("node platform-n2", Publishing.Plan(Publication.Of(Nodes(tree, world), keys, null), seen).Conflicts);
    }

    [Fact]
    public void What_is_still_so_is_the_same_object()
    {
        var world = World.Assorted();
        var tree = CatalogTree.Empty.Apply(world.Snapshot);
        var first = Publication.Of(tree, KvTree.Empty, null);
        var second = Publication.Of(tree.Apply(world.Down("/nginx", 1).Snapshot), KvTree.Empty, first);
        Assert.All(second.Nodes.Values.SelectMany(x => x.Instances), x => Assert.Contains(first.Nodes.Values.SelectMany(n => n.Instances.Values), y => ReferenceEquals(x.Value, y)));
    }

    private static CatalogTree Nodes(CatalogTree tree, World world) => tree.Apply(world.Node("n2", "10.0.0.9").Snapshot);
}
