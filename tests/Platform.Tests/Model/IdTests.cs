using System.Text.Json;
using Platform.Model;

namespace Platform.Tests.Model;

public sealed class IdTests
{
    private const string Uuid = "6f3e0c1a-9b7d-8e21-8c44-0123456789ab";

    [Theory]
    [InlineData("/", "/")]
    [InlineData("web", "/web")]
    [InlineData("/web", "/web")]
    [InlineData("/web/", "/web")]
    [InlineData("//shop//eu/web", "/shop/eu/web")]
    [InlineData("/shop/./eu/../web", "/shop/web")]
    [InlineData("../../x", "/x")]
    [InlineData("/a.b-c/d.e", "/a.b-c/d.e")]
    [InlineData("/0/9-9", "/0/9-9")]
    public void Paths_are_resolved(string text, string path)
    {
        Assert.True(AppId.TryParse(text, out var id, out _));
        Assert.Equal(path, id.Path);
    }

    [Theory]
    [InlineData("db", "/g/db")]
    [InlineData("../db", "/db")]
    [InlineData("/db", "/db")]
    [InlineData(".", "/g")]
    public void Relative_paths_count_from_the_group(string text, string path)
    {
        Assert.True(AppId.TryParse(text, out var id, out _, AppId.Parse("/g")));
        Assert.Equal(path, id.Path);
    }

    [Theory]
    [InlineData("/Web")]
    [InlineData("/a_b")]
    [InlineData("/-a")]
    [InlineData("/a-")]
    [InlineData("/a..b")]
    [InlineData("/.a")]
    [InlineData("/a b")]
    [InlineData("/a\n")]
    [InlineData("/ä")]
    [InlineData("/...")]
    public void Other_segments_are_refused(string text)
    {
        Assert.False(AppId.TryParse(text, out var id, out var why));
        Assert.Null(id);
        Assert.StartsWith("must fully match regular expression", why, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1023, true)]
    [InlineData(1024, false)]
    public void The_length_is_bounded(int length, bool accepted) => Assert.Equal(accepted, AppId.TryParse("/" + new string('a', length), out _, out _));

    [Fact]
    public void A_long_bad_path_is_refused_quickly() => Assert.False(AppId.TryParse("/" + string.Concat(Enumerable.Repeat("a.", 500_000)) + "!", out _, out _));

    [Fact]
    public void Parts_and_relations()
    {
        var id = AppId.Parse("/shop/eu/web");
        Assert.Equal("shop_eu_web", id.Underscored);
        Assert.Equal("web.eu.shop", id.ReverseDotted);
        Assert.Equal("/shop/eu", id.Parent.Path);
        Assert.Equal(AppId.Root, AppId.Parse("/web").Parent);
        Assert.True(id.IsWithin(AppId.Root));
        Assert.True(id.IsWithin(AppId.Parse("/shop")));
        Assert.True(id.IsWithin(id));
        Assert.False(AppId.Parse("/production").IsWithin(AppId.Parse("/prod")));
        Assert.Empty(AppId.Root.Segments);
        Assert.Equal("\"/shop/eu/web\"", JsonSerializer.Serialize(id));
    }

    [Theory]
    [InlineData("2014-09-24T05:21:22.123Z", "2014-09-24T05:21:22.123Z")]
    [InlineData("2014-09-24T05:21:22Z", "2014-09-24T05:21:22.000Z")]
    [InlineData("2014-09-24T05:21:22.1239Z", "2014-09-24T05:21:22.123Z")]
    [InlineData("2014-09-24T07:21:22.123+02:00", "2014-09-24T05:21:22.123Z")]
    [InlineData("2014-09-24", "2014-09-24T00:00:00.000Z")]
    [InlineData("0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z")]
    public void Versions_are_instants(string text, string printed)
    {
        Assert.True(AppVersion.TryParse(text, out var version));
        Assert.Equal(printed, version.Value.ToString());
        Assert.Equal(version, JsonSerializer.Deserialize<AppVersion>(JsonSerializer.Serialize(version.Value)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("now")]
    [InlineData("24/09/2014")]
    [InlineData("2014")]
    [InlineData("2014-13-01T00:00:00Z")]
    [InlineData("12:00:00.000Z")]
    [InlineData("2014-09-24T05:21:22.123Zzz")]
    [InlineData(" 2014-09-24T05:21:22.123Z")]
    public void Other_texts_are_no_versions(string text) => Assert.False(AppVersion.TryParse(text, out _));

    [Fact]
    public void The_next_version_is_later()
    {
        Assert.True(AppVersion.TryParse("2014-09-24T05:21:22.999Z", out var version));
        Assert.Equal("2014-09-24T05:21:23.000Z", version.Value.Next.ToString());
        Assert.True(version.Value.Next > version.Value);
    }

    [Fact]
    public void Instance_ids_follow_from_cluster_and_serial()
    {
        var app = AppId.Parse("/shop/web.v2");
        var id = InstanceId.Derive("c1", app, 7);
        Assert.Equal(id, InstanceId.Derive("c1", app, 7));
        Assert.NotEqual(id, InstanceId.Derive("c1", app, 8));
        Assert.NotEqual(id, InstanceId.Derive("c2", app, 7));
        Assert.StartsWith("shop_web.v2.instance-", id.Text, StringComparison.Ordinal);
        Assert.Equal('8', id.Uuid[14]); // RFC 9562: version, then variant
        Assert.Contains(id.Uuid[19], "89ab");
        Assert.Equal(id.Text + "._app.1", id.TaskId);
        Assert.Equal(id, InstanceId.Parse(id.TaskId));
        Assert.Equal(id, InstanceId.Parse(id.Text));
        Assert.Equal(id, JsonSerializer.Deserialize<InstanceId>(JsonSerializer.Serialize(id)));
    }

    [Fact]
    public void Serials_give_different_ids() =>
        Assert.Equal(10_000, Enumerable.Range(0, 10_000).Select(x => InstanceId.Derive("c", AppId.Parse("/x"), x)).Distinct().Count());

    [Theory]
    [InlineData("web.instance-" + Uuid, true)]
    [InlineData("web.instance-" + Uuid + "._app.1", true)]
    [InlineData("a_b.c.instance-x.instance-" + Uuid, true)]
    [InlineData(".instance-" + Uuid, false)]
    [InlineData("web.instance-", false)]
    [InlineData("web.instance-" + Uuid + "._app.2", true)] // a resident's second task
    [InlineData("web.instance-" + Uuid + "._app.0", false)]
    [InlineData("web.instance-" + Uuid + "._app.01", false)]
    [InlineData("web.instance-" + Uuid + "._app.99999999999", false)]
    [InlineData("web.instance- " + Uuid, false)]
    [InlineData("web.instance-6F3E0C1A-9B7D-8E21-8C44-0123456789AB", false)]
    [InlineData("web.instance-6f3e0c1a9b7d8e218c440123456789ab", false)]
    [InlineData("../web.instance-" + Uuid, false)]
    [InlineData("we b.instance-" + Uuid, false)]
    [InlineData("WEB.instance-" + Uuid, false)]
    [InlineData("", false)]
    public void Instance_ids_have_one_spelling(string text, bool accepted) => Assert.Equal(accepted, InstanceId.TryParse(text, out _));

    [Theory]
    [InlineData("node-1.rack_2", true)]
    [InlineData("10.0.0.1", true)]
    [InlineData("", false)]
    [InlineData("-a", false)]
    [InlineData("a b", false)]
    [InlineData("ä", false)]
    public void Node_names(string text, bool accepted) => Assert.Equal(accepted, NodeId.TryParse(text, out _, out _));
}
