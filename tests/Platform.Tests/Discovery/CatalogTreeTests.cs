using System.Text;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class CatalogTreeTests
{
    [Fact]
    public void The_catalog_of_an_assorted_table()
    {
        var tree = CatalogTree.Empty.Apply(Assorted().Snapshot);
        CatalogQuestion[] questions =
        [
            new CatalogQuestion.NodeList(), new CatalogQuestion.ServiceNames(), new CatalogQuestion.InstancesOf("web-eu-prod-dns"), new CatalogQuestion.HealthOf("tagged"),
            new CatalogQuestion.ServicesOn("node-2", AsList: false), new CatalogQuestion.ServicesOn("node-2", AsList: true), new CatalogQuestion.ChecksOn("node-1"),
            new CatalogQuestion.ServicesOn("nobody", AsList: false), new CatalogQuestion.ServicesOn("nobody", AsList: true), new CatalogQuestion.InstancesOf("nobody"),
        ];
        GoldenFile.Check("catalog/assorted.txt", string.Join("\n\n", questions.Select(x => $"{x}\n{Text(tree, x, CatalogQuery.Plain with { Pretty = true })}")));
    }

    [Fact]
    public void A_service_has_an_index_of_its_own_and_a_node_too()
    {
        var world = new World().Node("n", "10.0.0.1").Node("m", "10.0.0.2").App("/a", World.Port(0, 0)).App("/b", World.Port(0, 0))
            .Up("/a", 1, "n", "10.0.0.1", null, World.At(0, 31001)).Up("/b", 2, "n", "10.0.0.1", null, World.At(0, 31002));
        var tree = CatalogTree.Empty.Apply(world.Snapshot);
        world.Up("/a", 3, "m", "10.0.0.2", null, World.At(0, 31003));
        var next = tree.Apply(world.Snapshot);
        Assert.Equal((7, 6, 7), (next.ServiceIndex("a"), next.ServiceIndex("b"), next.ServicesIndex));
        Assert.Equal((6, 7, 6), (next.NodeIndex("n"), next.NodeIndex("m"), next.NodesIndex));
        Assert.Equal(["node/m", "service/a", "services"], next.Changed.Order(StringComparer.Ordinal));

        world.Down("/a", 1).Down("/a", 3);
        var gone = next.Apply(world.Snapshot);
        Assert.Equal((9, 6, 9), (gone.ServiceIndex("a"), gone.ServiceIndex("b"), gone.ServiceIndex("never seen")));
        Assert.Equal((9, 9), (gone.NodeIndex("m"), gone.NodeIndex("n")));
        Assert.Equal(["b"], gone.Services.Keys);
    }

    [Fact]
    public void What_says_the_same_again_moves_no_index()
    {
        var world = new World().Node("n", "10.0.0.1").App("/a", World.Port(0, 0)).Up("/a", 1, "n", "10.0.0.1", null, World.At(0, 31001));
        var tree = CatalogTree.Empty.Apply(world.Snapshot);
        var again = tree.Apply(world.Up("/a", 1, "n", "10.0.0.1", null, World.At(0, 31001)).App("/a", World.Port(0, 10_000)).Snapshot);
        Assert.Empty(again.Changed);
        Assert.Equal(tree.ServiceIndex("a"), again.ServiceIndex("a"));
    }

    [Fact]
    public void New_tags_change_every_instance_of_the_service()
    {
        var world = new World().Node("n", "10.0.0.1").App("/a", World.Port(0, 0)).Up("/a", 1, "n", "10.0.0.1", null, World.At(0, 31001));
        var tree = CatalogTree.Empty.Apply(world.Snapshot);
        var next = tree.Apply(world.App("/a", EquatableMap.From([new("tier", "front")]), World.Port(0, 0)).Snapshot);
        var instance = Assert.Single(next.OfService("a"));
        Assert.Equal(("[tier=front]", 3, 4), ($"{instance.Tags}", instance.CreateIndex, instance.ModifyIndex));
    }

    [Fact]
    public void The_incremental_catalog_equals_the_one_built_afresh()
    {
        var random = new Random(7);
        var world = new World();
        var tree = CatalogTree.Empty;
        for (var i = 0; i < 400; i++)
        {
            var app = $"/app{random.Next(4)}";
            switch (random.Next(7))
            {
                case 0: world.App(app, EquatableMap.From([new("v", $"{random.Next(2)}")]), World.Port(0, 0), World.Port(1, 0, random.Next(2) == 0 ? "admin" : null)); break;
                case 1: world.Gone(app); break;
                case 2: world.Down(app, random.Next(8)); break;
                case 3: world.Node($"n{random.Next(3)}", $"10.0.0.{random.Next(2)}"); break;
                default: world.Up(app, random.Next(8), $"n{random.Next(3)}", "10.0.0.1", null, World.At(0, 31000 + random.Next(2)), World.At(1, random.Next(2) * 32000)); break;
            }
            if (random.Next(3) != 0) continue;
            var next = tree.Apply(world.Snapshot);
            Assert.Equal(Shape(CatalogTree.Empty.Apply(world.Snapshot)), Shape(next));
            foreach (var service in tree.Services.Keys.Union(next.Services.Keys))
            {
                Assert.True(next.ServiceIndex(service) >= tree.ServiceIndex(service), $"the index of {service} went back at step {i}");
                if (Shape(tree, service) != Shape(next, service))
                {
                    Assert.True(next.ServiceIndex(service) > tree.ServiceIndex(service), $"the index of {service} stood still at step {i}");
                    Assert.Contains(CatalogTree.ServiceTopic(service), next.Changed);
                }
            }
            tree = next;
        }
    }

    [Theory]
    [InlineData("/web", 0, null, "web")]
    [InlineData("/prod/eu/web", 0, "http", "web-eu-prod")]
    [InlineData("/prod/eu/web", 1, "Admin_UI", "web-eu-prod-admin-ui")]
    [InlineData("/web", 2, null, "web-port2")]
    public void Ports_are_services_by_name(string app, int index, string? port, string service) => Assert.Equal(service, CatalogNames.Service(AppId.Parse(app), index, port));

    [Fact]
    public void Labels_are_tags() => Assert.Equal(
        ["blue", "green", "port=1", "public", "tier=front", "urlprefix-/shop", "yes"],
        CatalogNames.Tags(EquatableMap.From([new("tier", "front"), new("public", "tag"), new("yes", ""), new("SERVICE_TAGS", "urlprefix-/shop, green,blue")]), EquatableMap.From([new("port", "1")])));

    internal static World Assorted() => World.Assorted()
        .App("/tagged", EquatableMap.From([new("tier", "front")]), World.Port(0, 10008, "http"))
        .Up("/tagged", 8, "node-2", "10.0.0.2", null, World.At(0, 31008, "http", null, 10008));

    private static string Text(CatalogTree tree, CatalogQuestion question, CatalogQuery query) => Encoding.UTF8.GetString(Assert.IsType<CatalogAnswer.Found>(CatalogAnswers.Of(tree, question, query)).Json.Span);

    private static string Shape(CatalogTree tree) => string.Join('\n', tree.Services.Keys.Select(x => Shape(tree, x))
        .Concat(tree.Nodes.Values.Select(x => $"{x with { CreateIndex = 0, ModifyIndex = 0 }}: {string.Join(' ', tree.OnNode(x.Name).Select(s => s.Id))}")));

    private static string Shape(CatalogTree tree, string service) => $"{service}: {string.Join(' ', tree.OfService(service)
        .Select(x => $"{x.Node} {tree.Nodes.GetValueOrDefault(x.Node)?.Address} {x.Id} {x.Address}:{x.Port} {x.Tags} {x.Meta}"))}";
}
