using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Somebody else's Consul as the place where tasks are found: published, repaired after every kind of outage, and nothing of others touched.</summary>
public sealed class ConsulPublishingTests
{
    private const double Patience = 90;

    [Fact]
    public async Task Tasks_stand_in_the_consul_come_and_go_with_the_app_and_the_door_leads_there()
    {
        await using var consul = await RealConsul.StartAsync();
        await using var platform = await StartAsync(consul);
        await platform.Api.CreateAsync(Sleeper("/shop/web", 2));
        await HasAsync(consul, "web-shop", 2);
        var entry = JsonNode.Parse(await consul.Http.GetStringAsync("/v1/health/service/web-shop?passing"))![0]!;
        var task = (await platform.Api.TasksAsync("/shop/web")).Single(x => entry["Service"]!["ID"]!.GetValue<string>().StartsWith(x.Id.Split("._app")[0], StringComparison.Ordinal));
        Assert.Equal(($"platform-{platform.NodeName}", task.Ports[0], "/shop/web"),
            (entry["Node"]!["Node"]!.GetValue<string>(), entry["Service"]!["Port"]!.GetValue<int>(), entry["Service"]!["Meta"]!["app"]!.GetValue<string>()));
        Assert.Equal(2, JsonNode.Parse(await consul.Http.GetStringAsync("/v1/kv/platform/services/shop/web?keys"))!.AsArray().Count);

        // The door is Consul's own now: what is written there is read here.
        using var put = await platform.Kv.PutAsync(new Uri("/v1/kv/some/key?flags=7", UriKind.Relative), new StringContent("value"));
        Assert.Equal("true", (await put.Content.ReadAsStringAsync()).Trim());
        Assert.Equal("value", await consul.Http.GetStringAsync("/v1/kv/some/key?raw"));
        Assert.Contains("web-shop", await platform.Kv.GetStringAsync("/v1/catalog/services"), StringComparison.Ordinal);

        (await platform.Api.PutAsync("/v2/apps/shop/web?force=true", new JsonObject { ["instances"] = 1 })).Must(HttpStatusCode.OK);
        await HasAsync(consul, "web-shop", 1);
        (await platform.Api.DeleteAsync("/v2/apps/shop/web?force=true")).Must(HttpStatusCode.OK);
        await HasAsync(consul, "web-shop", 0);
        Assert.Equal("value", await consul.Http.GetStringAsync("/v1/kv/some/key?raw"));
    }

    [Fact]
    public async Task A_consul_that_was_killed_and_comes_back_empty_is_filled_again()
    {
        await using var consul = await RealConsul.StartAsync();
        await using var platform = await StartAsync(consul);
        await platform.Api.CreateAsync(Sleeper("/web", 1));
        await HasAsync(consul, "web", 1);

        await consul.KillAsync();
        (await platform.Api.PutAsync("/v2/apps/web?force=true", new JsonObject { ["instances"] = 3 })).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("three run while nobody publishes them", async () => (await platform.Api.TasksAsync("/web")).Length == 3, Patience);
        using var unreachable = await platform.Kv.GetAsync(new Uri("/v1/catalog/services", UriKind.Relative));
        Assert.Equal(HttpStatusCode.BadGateway, unreachable.StatusCode);

        await consul.StartAgainAsync();
        await HasAsync(consul, "web", 3);
        await Eventually.HoldsAsync("its keys are back", async () => await CountAsync(consul, "/v1/kv/platform/services/web?keys") == 3, Patience);
    }

    [Fact]
    public async Task What_was_changed_there_while_the_platform_was_dead_is_put_right_and_what_is_others_stays()
    {
        await using var consul = await RealConsul.StartAsync();
        await using var platform = await StartAsync(consul);
        await platform.Api.CreateAsync(Sleeper("/web", 2));
        await HasAsync(consul, "web", 2);
        var node = $"platform-{platform.NodeName}";
        var first = JsonNode.Parse(await consul.Http.GetStringAsync("/v1/catalog/service/web"))![0]!["ServiceID"]!.GetValue<string>();

        // A stranger's node, a stranger's service on our node, a stranger's key among ours; and the name of a node that comes later.
        await PutAsync(consul, "/v1/catalog/register", """{"Node":"stranger","Address":"10.9.9.9","Service":{"Service":"web","ID":"theirs","Port":1}}""");
        await PutAsync(consul, "/v1/catalog/register", $$$"""{"Node":"{{{node}}}","Address":"127.0.0.1","SkipNodeUpdate":true,"Service":{"Service":"beside","ID":"beside","Port":2}}""");
        await PutAsync(consul, "/v1/kv/platform/apps/stranger", "mine");
        await platform.KillAsync();
        await PutAsync(consul, "/v1/catalog/deregister", $$"""{"Node":"{{node}}","ServiceID":"{{first}}"}""");
        await PutAsync(consul, "/v1/kv/platform/apps/web?cas=0", "never"); // no effect: the key is there
        using var gone = await consul.Http.DeleteAsync(new Uri("/v1/kv/platform/services/web?recurse", UriKind.Relative));
        await HasAsync(consul, "web", 2); // one of ours, one of theirs

        await platform.StartAgainAsync();
        await HasAsync(consul, "web", 3);
        await Eventually.HoldsAsync("the keys are back", async () => await CountAsync(consul, "/v1/kv/platform/services/web?keys") == 2, Patience);

        (await platform.Api.DeleteAsync("/v2/apps/web?force=true")).Must(HttpStatusCode.OK);
        await HasAsync(consul, "web", 1);
        Assert.Contains("theirs", await consul.Http.GetStringAsync("/v1/catalog/service/web"), StringComparison.Ordinal);
        Assert.Contains("beside", await consul.Http.GetStringAsync("/v1/catalog/service/beside"), StringComparison.Ordinal);
        Assert.Equal("mine", await consul.Http.GetStringAsync("/v1/kv/platform/apps/stranger?raw"));
    }

    [Fact]
    public async Task A_node_name_that_is_somebody_elses_is_left_alone_and_said()
    {
        await using var consul = await RealConsul.StartAsync();
        await PutAsync(consul, "/v1/catalog/register", """{"Node":"platform-taken","Address":"10.9.9.9","NodeMeta":{"owner":"stranger"}}""");
        await using var platform = await PlatformUnderTest.StartAsync(Options(consul, ("--node-name", "taken")));
        await platform.Api.CreateAsync(Sleeper("/web", 1));
        await Eventually.HoldsAsync("the keys are published", async () => await CountAsync(consul, "/v1/kv/platform/services/web?keys") == 1, Patience);
        Assert.Equal(0, await CountAsync(consul, "/v1/catalog/service/web"));
        Assert.Contains("stranger", await consul.Http.GetStringAsync("/v1/catalog/node/platform-taken"), StringComparison.Ordinal);
        Assert.Contains("node platform-taken", await File.ReadAllTextAsync(platform.LogPath), StringComparison.Ordinal);
    }

    [Fact]
    public async Task With_a_token_it_publishes_where_others_may_not_write_and_lends_it_to_nobody()
    {
        const string token = "6f1f2c1e-6d8c-4f0e-9c0f-3a4b5c6d7e8f";
        await using var consul = await RealConsul.StartAsync($$"""acl { enabled = true default_policy = "deny" tokens { master = "{{token}}" } }""", token);
        await using var platform = await PlatformUnderTest.StartAsync(Options(consul, ("--consul-token", token)));
        await platform.Api.CreateAsync(Sleeper("/web", 1));
        await HasAsync(consul, "web", 1);
        using var refused = await platform.Kv.PutAsync(new Uri("/v1/kv/some/key", UriKind.Relative), new StringContent("value"));
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri("/v1/kv/some/key", UriKind.Relative)) { Content = new StringContent("value") };
        request.Headers.Add("X-Consul-Token", token);
        using var allowed = await platform.Kv.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, allowed.StatusCode);
        Assert.DoesNotContain(token, await File.ReadAllTextAsync(platform.LogPath), StringComparison.Ordinal);
    }

    private static Task<PlatformUnderTest> StartAsync(RealConsul consul) => PlatformUnderTest.StartAsync(Options(consul));

    private static PlatformOptions Options(RealConsul consul, params (string Flag, string Value)[] more) => new()
    {
        Runtime = "process",
        Flags = more.Append(("--consul", $"http://127.0.0.1:{consul.HttpPort}")).ToDictionary(x => x.Item1, x => x.Item2),
    };

    private static JsonObject Sleeper(string id, int instances) => new()
    {
        ["id"] = id, ["cmd"] = "exec sleep 99999", ["instances"] = instances, ["cpus"] = 0.01, ["mem"] = 16,
        ["portDefinitions"] = new JsonArray(new JsonObject { ["port"] = 0, ["name"] = "http" }),
    };

    private static Task HasAsync(RealConsul consul, string service, int count) =>
        Eventually.GetAsync($"{count} instances of {service} in Consul", () => CountAsync(consul, $"/v1/health/service/{service}?passing"), x => x == count, Patience);

    /// <summary>Of an array; nothing there is 0.</summary>
    private static async Task<int> CountAsync(RealConsul consul, string path)
    {
        using var answer = await consul.Http.GetAsync(new Uri(path, UriKind.Relative));
        if (answer.StatusCode == HttpStatusCode.NotFound) return 0;
        return JsonNode.Parse(await answer.Content.ReadAsStringAsync())!.AsArray().Count;
    }

    private static async Task PutAsync(RealConsul consul, string path, string body)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var answer = await consul.Http.PutAsync(new Uri(path, UriKind.Relative), content);
        Assert.True(answer.IsSuccessStatusCode, $"{path}: {await answer.Content.ReadAsStringAsync()}");
    }
}
