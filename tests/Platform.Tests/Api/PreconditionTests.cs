using System.Net;
using Platform.Model;

namespace Platform.Tests.Api;

/// <summary>Writes that say what they take their target for: If-Match, If-None-Match and the ETag of answers.</summary>
public sealed class PreconditionTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 600","cpus":0.1,"mem":32}""";

    [Fact]
    public async Task Every_answer_of_an_app_gives_the_tag_that_the_next_write_may_ask_for()
    {
        await using var world = await ApiWorld.StartAsync();
        var created = await world.CreateAsync(Web);
        var tag = created.Header("ETag")!;
        Assert.Equal($"\"{created.Json["version"]!.GetValue<string>()}\"", tag);
        Assert.Equal(tag, (await world.GetAsync("/v2/apps/shop/web")).Header("ETag"));
        Assert.Equal(tag, (await world.PutAsync("/v2/apps/shop/web", """{"instances":1}""")).Must(HttpStatusCode.OK).Header("ETag"));
        foreach (var (method, body) in new[] { ("PUT", """{"instances":2}"""), ("PATCH", """{"mem":48}""") })
        {
            var written = (await SendAsync(world, method, "/v2/apps/shop/web", body, ("If-Match", tag))).Must(HttpStatusCode.OK);
            Assert.NotEqual(tag, written.Header("ETag"));
            tag = written.Header("ETag")!;
            Assert.Equal(tag, (await world.GetAsync("/v2/apps/shop/web")).Header("ETag"));
            await world.SettleAsync();
        }
        (await SendAsync(world, "POST", "/v2/apps/shop/web/restart", null, ("If-Match", tag))).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        (await SendAsync(world, "DELETE", "/v2/apps/shop/web", null, ("If-Match", tag))).Must(HttpStatusCode.PreconditionFailed);
        (await SendAsync(world, "DELETE", "/v2/apps/shop/web", null, ("If-Match", $"\"nonsense\", {(await world.GetAsync("/v2/apps/shop/web")).Header("ETag")}"))).Must(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("PUT", "/v2/apps/shop/web", """{"mem":48}""")]
    [InlineData("PATCH", "/v2/apps/shop/web", """{"mem":48}""")]
    [InlineData("DELETE", "/v2/apps/shop/web", null)]
    [InlineData("POST", "/v2/apps/shop/web/restart", null)]
    [InlineData("PUT", "/v2/apps", """[{"id":"/a","cmd":"run"},{"id":"/b","cmd":"run"}]""")]
    [InlineData("POST", "/v2/apps", """{"id":"/a","cmd":"run"}""")]
    [InlineData("PUT", "/v2/groups/shop", """{"scaleBy":2}""")]
    [InlineData("PATCH", "/v2/groups/shop", """{"enforceRole":true}""")]
    [InlineData("DELETE", "/v2/groups/shop", null)]
    [InlineData("DELETE", "/v2/groups", null)]
    [InlineData("PUT", "/v2/apps/shop/web?dryRun=true", """{"mem":48}""")]
    public async Task A_stale_tag_is_412_and_changes_nothing(string method, string path, string? body)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var before = world.State.Revision;
        var refused = (await SendAsync(world, method, path, body, ("If-Match", "\"2001-01-01T00:00:00.000Z\""))).Must(HttpStatusCode.PreconditionFailed);
        var message = refused.Json["message"]!.GetValue<string>();
        Assert.Contains("2001-01-01T00:00:00.000Z", message, StringComparison.Ordinal);
        Assert.Contains("2026-01-01T10:00:00.000Z", message, StringComparison.Ordinal);
        Assert.Equal("\"2026-01-01T10:00:00.000Z\"", refused.Header("ETag"));
        Assert.Equal(before, world.State.Revision);
    }

    [Theory]
    [InlineData("/v2/apps/none", """{"cmd":"run"}""", "*", null, HttpStatusCode.PreconditionFailed)]
    [InlineData("/v2/apps/none", """{"cmd":"run"}""", "\"2026-01-01T10:00:00.000Z\"", null, HttpStatusCode.PreconditionFailed)]
    [InlineData("/v2/apps/none", """{"cmd":"run"}""", null, "*", HttpStatusCode.Created)]
    [InlineData("/v2/apps/shop/web", """{"mem":48}""", "*", null, HttpStatusCode.OK)]
    [InlineData("/v2/apps/shop/web", """{"mem":48}""", null, "*", HttpStatusCode.PreconditionFailed)]
    [InlineData("/v2/apps/shop/web", """{"mem":48}""", "W/\"2026-01-01T10:00:00.000Z\"", null, HttpStatusCode.PreconditionFailed)]
    [InlineData("/v2/apps/shop/web", """{"mem":48}""", "2026-01-01T10:00:00.000Z", null, HttpStatusCode.BadRequest)]
    [InlineData("/v2/apps/shop/web", """{"mem":48}""", null, "\"2026-01-01T10:00:00.000Z\"", HttpStatusCode.BadRequest)]
    [InlineData("/v2/apps/shop/web", """{"mem":"x"}""", "\"2001-01-01T00:00:00.000Z\"", null, HttpStatusCode.UnprocessableEntity)]
    [InlineData("/v2/groups/none", "{}", "*", null, HttpStatusCode.PreconditionFailed)]
    [InlineData("/v2/groups/none", "{}", null, "*", HttpStatusCode.OK)]
    [InlineData("/v2/groups/shop", "{}", null, "*", HttpStatusCode.PreconditionFailed)]
    public async Task A_star_is_for_being_there_or_not(string path, string body, string? match, string? noneMatch, HttpStatusCode status)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var header = match is not null ? ("If-Match", match) : ("If-None-Match", noneMatch!);
        (await SendAsync(world, "PUT", path, body, header)).Must(status);
    }

    [Fact]
    public async Task Of_two_who_saw_the_same_only_one_writes()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var tag = (await world.PostAsync("/v2/apps", Web)).Header("ETag")!;
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => SendAsync(world, "PUT", "/v2/apps/shop/web?force=true", $$"""{"mem":{{100 + i}}}""", ("If-Match", tag))));
        Assert.Single(answers, a => a.Status == HttpStatusCode.OK);
        Assert.Equal(7, answers.Count(a => a.Status == HttpStatusCode.PreconditionFailed));
    }

    [Fact]
    public async Task A_groups_tag_changes_with_whatever_is_in_it_and_with_nothing_else()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.PostAsync("/v2/groups", """{"id":"/shop","groups":[{"id":"eu"},{"id":"us"}]}""");
        await world.PostAsync("/v2/apps", """{"id":"/shop/eu/web","cmd":"run"}""");
        var (root, shop, eu, us) = (await TagAsync(world, ""), await TagAsync(world, "/shop"), await TagAsync(world, "/shop/eu"), await TagAsync(world, "/shop/us"));
        Assert.Equal((root, root), (shop, eu));
        Assert.NotEqual(eu, us);
        await world.PostAsync("/v2/apps", """{"id":"/other","cmd":"run"}""");
        Assert.NotEqual(root, await TagAsync(world, ""));
        Assert.Equal((shop, eu, us), (await TagAsync(world, "/shop"), await TagAsync(world, "/shop/eu"), await TagAsync(world, "/shop/us")));
        var deleted = (await SendAsync(world, "DELETE", "/v2/groups/shop/eu?force=true", null, ("If-Match", eu))).Must(HttpStatusCode.OK);
        Assert.Null(deleted.Header("ETag"));
        Assert.NotEqual(shop, await TagAsync(world, "/shop"));
        Assert.Equal(us, await TagAsync(world, "/shop/us"));
    }

    [Fact]
    public async Task A_tag_stays_however_many_versions_of_the_root_come_after_it()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.PostAsync("/v2/groups", """{"id":"/quiet"}""");
        var tag = await TagAsync(world, "/quiet");
        await world.PostAsync("/v2/apps", Web);
        for (var i = 0; i < 60; i++) await world.PutAsync("/v2/apps/shop/web?force=true", $$"""{"mem":{{100 + i}}}""");
        Assert.Equal(50, (await world.GetAsync("/v2/groups/versions")).Json.AsArray().Count);
        Assert.Equal(tag, await TagAsync(world, "/quiet"));
        (await SendAsync(world, "PUT", "/v2/groups/quiet", """{"dependencies":["/shop"]}""", ("If-Match", tag))).Must(HttpStatusCode.OK);
    }

    private static async Task<string> TagAsync(ApiWorld world, string group) => (await world.GetAsync("/v2/groups" + group)).Must(HttpStatusCode.OK).Header("ETag")!;

    private static Task<Heard> SendAsync(ApiWorld world, string method, string path, string? body, params (string, string)[] headers) =>
        world.SendAsync(new HttpMethod(method), path, body, headers: headers);
}
