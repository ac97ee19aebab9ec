using System.Text;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class KvTreeTests
{
    [Fact]
    public void The_tree_of_an_assorted_table() => GoldenFile.Check("kv/assorted.txt",
        string.Join('\n', KvTree.Empty.Apply(World.Assorted().Snapshot).Under("").Select(x => $"{x.Key} = {Encoding.UTF8.GetString(x.Value.AsSpan())}")));

    [Fact]
    public void A_key_carries_the_revision_of_its_last_change_and_others_keep_theirs()
    {
        var world = new World().App("/a").App("/b");
        var first = KvTree.Empty.Apply(world.Snapshot);
        world.Up("/a", 1, "n", "10.0.0.1");
        var second = first.Apply(world.Snapshot);
        var key = $"platform/services/a/{World.Id("/a", 1)}";
        Assert.Equal((3, 3), (second.Find(key)!.CreateIndex, second.Find(key)!.ModifyIndex));
        Assert.Equal(2, second.Find("platform/apps/b")!.ModifyIndex);
        Assert.Equal([key, "platform/revision"], second.Changed.ToArray());

        world.Up("/a", 1, "n", "10.0.0.2");
        var third = second.Apply(world.Snapshot);
        Assert.Equal((3, 4), (third.Find(key)!.CreateIndex, third.Find(key)!.ModifyIndex));
        world.Up("/a", 1, "n", "10.0.0.2"); // the same again
        var fourth = third.Apply(world.Snapshot);
        Assert.Equal(4, fourth.Find(key)!.ModifyIndex);
        Assert.Equal(["platform/revision"], fourth.Changed.ToArray());
    }

    [Fact]
    public void A_deletion_moves_the_index_of_its_prefixes_and_of_nothing_else()
    {
        var world = new World().App("/a").App("/b").Up("/a", 1, "n", "10.0.0.1").Up("/b", 2, "n", "10.0.0.1");
        var before = KvTree.Empty.Apply(world.Snapshot);
        world.Down("/a", 1);
        var after = before.Apply(world.Snapshot);
        Assert.Equal(5, after.IndexUnder("platform/services/a/"));
        Assert.Equal(5, after.IndexOf($"platform/services/a/{World.Id("/a", 1)}"));
        Assert.Equal(5, after.IndexUnder("platform/services/"));
        Assert.Equal(before.IndexUnder("platform/services/b/"), after.IndexUnder("platform/services/b/"));
        Assert.Equal(1, after.IndexUnder("nothing/"));
        Assert.Equal(5, after.IndexUnder("")); // the revision itself lies below it
    }

    [Fact]
    public void The_incremental_tree_equals_the_one_built_afresh()
    {
        var random = new Random(42);
        var world = new World().Node("n", "10.0.0.1");
        var tree = KvTree.Empty;
        for (var i = 0; i < 400; i++)
        {
            var app = $"/app{random.Next(6)}";
            switch (random.Next(5))
            {
                case 0: world.App(app, World.Port(0, 10000 + random.Next(3))); break;
                case 1: world.Gone(app); break;
                case 2: world.Down(app, random.Next(8)); break;
                default: world.Up(app, random.Next(8), "n", $"10.0.0.{random.Next(3)}"); break;
            }
            if (random.Next(3) != 0) continue; // several revisions at once, now and then
            var next = tree.Apply(world.Snapshot);
            Assert.Equal(Shape(KvTree.Empty.Apply(world.Snapshot)), Shape(next));
            foreach (var prefix in new[] { "platform/apps/", "platform/services/app1/", "platform/services/" })
            {
                Assert.True(next.IndexUnder(prefix) >= tree.IndexUnder(prefix), $"index of {prefix} went back at step {i}");
                Assert.Equal(next.IndexUnder(prefix) != tree.IndexUnder(prefix), Shape(next, prefix) != Shape(tree, prefix) || next.Changed.Any(x => x.StartsWith(prefix, StringComparison.Ordinal)));
            }
            tree = next;
        }
    }

    [Fact]
    public void Another_cluster_starts_the_tree_afresh()
    {
        var tree = KvTree.Empty.Apply(World.Assorted().Snapshot);
        var other = new EndpointTable();
        other.Apply(new EndpointUpdate("other", 0, 3, true, [new EndpointChange.NodeSet(new NodeAddress(NodeId.Parse("x"), "10.9.9.9"))]));
        var next = tree.Apply(other.Current);
        Assert.Equal(["platform/nodes/x", "platform/revision"], next.Under("").Select(x => x.Key));
        Assert.Equal(3, next.IndexUnder("platform/"));
    }

    [Theory]
    [InlineData("/v1/kv/a/b?raw", "a/b")]
    [InlineData("/v1/kv//a///b", "a/b")]
    [InlineData("/v1/kv/a%2Fb", "a/b")]
    [InlineData("/v1/kv/a%252Fb", "a%2Fb")]
    [InlineData("/v1/kv/%C3%A7", "ç")]
    [InlineData("/v1/kv/a/../b/./c", "a/../b/./c")]
    [InlineData("/v1/kv/dir/", "dir/")]
    [InlineData("/v1/kv", "")]
    [InlineData("/v1/kv/?recurse", "")]
    [InlineData("http://host:1/v1/kv/x", "x")]
    [InlineData("/v1/kvx", null)]
    [InlineData("/v1/catalog/nodes", null)]
    public void Keys_are_read_from_the_raw_target(string target, string? key) => Assert.Equal(key, KvAnswers.KeyOf(target));

    [Theory]
    [InlineData("10s", 10_000)]
    [InlineData("1m30s", 90_000)]
    [InlineData("1.5h", 5_400_000)]
    [InlineData("250ms", 250)]
    [InlineData("5000000000", 5000)]
    [InlineData("10", 0)]
    [InlineData("10x", null)]
    [InlineData("s", null)]
    [InlineData("-1s", null)]
    public void Durations_are_read_as_go_writes_them(string text, int? milliseconds)
    {
        var ok = KvAnswers.TryParseDuration(text, out var duration);
        Assert.Equal(milliseconds, ok ? (int)duration.TotalMilliseconds : null);
    }

    private static string Shape(KvTree tree, string prefix = "") =>
        string.Join('\n', tree.Under(prefix).Select(x => $"{x.Key}={Encoding.UTF8.GetString(x.Value.AsSpan())}"));
}
