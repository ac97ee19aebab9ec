using System.Net;
using System.Text.Json.Nodes;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>/v2/groups, row by row of contract 1.5.</summary>
public sealed class GroupsTests
{
    private const string Shop = """
        {"id":"/shop","apps":[{"id":"web","cmd":"serve","cpus":0.1,"mem":32,"dependencies":["../db/main"]}],
         "groups":[{"id":"db","dependencies":["../../base"],"apps":[{"id":"main","cmd":"store","cpus":0.1,"mem":32,"instances":2}]},{"id":"empty"}]}
        """;

    [Fact]
    public async Task The_life_of_a_group_reads_as_the_contract_has_it()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("GET", "/v2/groups");
        await transcript.NoteAsync("POST", "/v2/groups", Shop);
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/groups/shop");
        await transcript.NoteAsync("GET", "/v2/groups?embed=group.groups&embed=group.apps&embed=group.apps.counts");
        await transcript.NoteAsync("PUT", "/v2/groups/shop/db", """{"scaleBy":1.5}""");
        await world.SettleAsync();
        await transcript.NoteAsync("PATCH", "/v2/groups/shop", """{"enforceRole":true}""");
        await transcript.NoteAsync("GET", "/v2/groups/shop/versions");
        await transcript.NoteAsync("GET", "/v2/groups/shop/db/versions");
        await transcript.NoteAsync("GET", "/v2/groups/shop/db/versions/2026-01-01T10:00:00.000Z");
        await transcript.NoteAsync("GET", "/v2/groups/shop/db/apps");
        await transcript.NoteAsync("DELETE", "/v2/groups/shop");
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/groups");
        transcript.Check("group-life");
    }

    [Theory]
    [InlineData("", "apps dependencies groups id pods version")]
    [InlineData("?embed=group.groups", "dependencies groups id version")]
    [InlineData("?embed=group.apps", "apps dependencies id version")]
    [InlineData("?embed=group.pods&embed=group.groups", "dependencies groups id pods version")]
    [InlineData("?embed=group.apps.tasks", "apps dependencies id version")]
    [InlineData("?embed=nonsense", "apps dependencies groups id pods version")]
    public async Task What_is_shown_of_a_group_is_what_is_asked_for(string query, string members)
    {
        await using var world = await WithShopAsync();
        var group = (await world.GetAsync("/v2/groups/shop" + query)).Must(HttpStatusCode.OK).Json.AsObject();
        Assert.Equal(members, string.Join(' ', group.Select(x => x.Key).Order()));
        if (group["apps"] is { } apps) Assert.Equal(query.Contains("tasks", StringComparison.Ordinal), apps[0]!.AsObject().ContainsKey("tasks"));
    }

    [Fact]
    public async Task Relative_ids_are_absolute_in_answers()
    {
        await using var world = await WithShopAsync();
        var group = (await world.GetAsync("/v2/groups/shop")).Json;
        Assert.Equal("/shop/db/main", group["apps"]![0]!["dependencies"]![0]!.GetValue<string>());
        Assert.Equal("/base", group["groups"]![0]!["dependencies"]![0]!.GetValue<string>());
    }

    [Theory]
    [InlineData("GET", "/v2/groups/none", null, HttpStatusCode.NotFound, "Group '/none' does not exist")]
    [InlineData("GET", "/v2/groups/NONE", null, HttpStatusCode.NotFound, "Group '/NONE' does not exist")]
    [InlineData("GET", "/v2/groups/shop/web", null, HttpStatusCode.NotFound, "Group '/shop/web' does not exist")]
    [InlineData("GET", "/v2/groups/none/apps", null, HttpStatusCode.NotFound, "Group '/none' does not exist")]
    [InlineData("GET", "/v2/groups/none/versions", null, HttpStatusCode.NotFound, "Group '/none' does not exist")]
    [InlineData("GET", "/v2/groups/shop/versions/2001-01-01T00:00:00.000Z", null, HttpStatusCode.NotFound, "Group '/shop' does not exist in version 2001-01-01T00:00:00.000Z")]
    [InlineData("GET", "/v2/groups/shop/versions/yesterday", null, HttpStatusCode.UnprocessableEntity, "Invalid timestamp provided 'yesterday'. Expecting ISO-8601 datetime string.")]
    [InlineData("POST", "/v2/groups", """{"id":"/shop"}""", HttpStatusCode.Conflict, "Group /shop is already created. Use PUT to change this group.")]
    [InlineData("POST", "/v2/groups", "{}", HttpStatusCode.Conflict, "Group / is already created. Use PUT to change this group.")]
    [InlineData("POST", "/v2/groups/shop", """{"id":"web"}""", HttpStatusCode.Conflict, "An app with the path /shop/web already exists.")]
    [InlineData("DELETE", "/v2/groups/none", null, HttpStatusCode.NotFound, "Group '/none' does not exist")]
    [InlineData("PATCH", "/v2/groups/none", """{"enforceRole":true}""", HttpStatusCode.NotFound, "Group '/none' does not exist")]
    [InlineData("PUT", "/v2/groups/none", """{"scaleBy":2}""", HttpStatusCode.NotFound, "Group '/none' does not exist")]
    [InlineData("PUT", "/v2/groups/shop", """{"version":"2001-01-01T00:00:00.000Z"}""", HttpStatusCode.UnprocessableEntity, "Group /shop not available in version 2001-01-01T00:00:00.000Z")]
    public async Task What_cannot_be_is_refused_with_the_contracts_words(string method, string path, string? body, HttpStatusCode status, string message)
    {
        await using var world = await WithShopAsync();
        var before = world.State.Revision;
        Assert.Equal(message, (await world.SendAsync(new HttpMethod(method), path, body)).Must(status).Json["message"]!.GetValue<string>());
        Assert.Equal(before, world.State.Revision);
    }

    [Theory]
    [InlineData("PUT", "/v2/groups/shop", """{"scaleBy":2,"apps":[]}""", "/scaleBy")]
    [InlineData("PUT", "/v2/groups/shop", """{"scaleBy":-1}""", "/scaleBy")]
    [InlineData("PUT", "/v2/groups/shop", """{"scaleBy":40000}""", "/scaleBy")]
    [InlineData("PUT", "/v2/groups/shop", """{"groups":[{"id":"db","scaleBy":2}]}""", "/groups(0)/scaleBy")]
    [InlineData("PUT", "/v2/groups/shop", """{"version":"yesterday"}""", "/version")]
    [InlineData("PUT", "/v2/groups/shop", """{"id":"/other"}""", "/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"id":"../other"}""", "/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"id":"No!"}""", "/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"id":7}""", "/id")]
    [InlineData("PUT", "/v2/groups/shop", "[]", "/")]
    [InlineData("PUT", "/v2/groups/shop", """{"apps":{}}""", "/apps")]
    [InlineData("PUT", "/v2/groups/shop", """{"apps":[{"id":"/h/a","cmd":"run"}]}""", "/apps(0)/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"apps":[{"id":"a/b","cmd":"run"}]}""", "/apps(0)/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"apps":[{"id":"a","cmd":"run"},{"id":"a","cmd":"run"}]}""", "/apps(1)/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"apps":[{"id":"a","cmd":"run"}],"groups":[{"id":"a"}]}""", "/groups(0)/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"groups":[{"id":"/elsewhere"}]}""", "/groups(0)/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"groups":[{}]}""", "/groups(0)/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"groups":[{"id":"g","apps":[{"id":"a"}]}]}""", "/groups(0)/apps(0)")]
    [InlineData("PUT", "/v2/groups/shop", """{"groups":[{"id":"web"}]}""", "/id")]
    [InlineData("PUT", "/v2/groups/shop/web", "{}", "/id")]
    [InlineData("PUT", "/v2/groups/shop", """{"dependencies":["NO"]}""", "/dependencies(0)")]
    [InlineData("PUT", "/v2/groups/shop", """{"pods":[{"id":"p"}]}""", "/pods(0)/containers")]
    [InlineData("PUT", "/v2/groups/shop", """{"enforceRole":true}""", "/enforceRole")]
    [InlineData("PUT", "/v2/groups/new", """{"groups":[{"id":"in","enforceRole":true}]}""", "/groups(0)/enforceRole")]
    [InlineData("PUT", "/v2/groups/new", """{"dependencies":["/new"],"apps":[{"id":"a","cmd":"run"},{"id":"b","cmd":"run"}]}""", "/dependencies")]
    [InlineData("PUT", "/v2/groups/Ne!w", "{}", "/id")]
    [InlineData("PATCH", "/v2/groups/shop/db", """{"enforceRole":true}""", "/id")]
    [InlineData("PATCH", "/v2/groups", """{"enforceRole":true}""", "/id")]
    [InlineData("PATCH", "/v2/groups/shop", """{"enforceRole":"yes"}""", "/enforceRole")]
    [InlineData("PATCH", "/v2/groups/shop", "{}", "/enforceRole")]
    [InlineData("POST", "/v2/apps", """{"id":"/shop/empty","cmd":"run"}""", "/id")]
    public async Task Broken_bodies_are_422_with_the_place_and_store_nothing(string method, string path, string body, string place)
    {
        await using var world = await WithShopAsync();
        var before = world.State.Revision;
        var details = (await world.SendAsync(new HttpMethod(method), path, body)).Must(HttpStatusCode.UnprocessableEntity).Json["details"]!.AsArray();
        Assert.Contains(details, d => d!["path"]!.GetValue<string>() == place);
        Assert.Equal(before, world.State.Revision);
    }

    [Fact]
    public async Task All_that_is_wrong_anywhere_in_a_group_is_told_at_once()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var transcript = new Transcript(world);
        await transcript.NoteAsync("PUT", "/v2/groups/g", """
            {"dependencies":["",7],"apps":[{"id":"a","instances":"x"},{"id":"b","cmd":"run","upgradeStrategy":{"minimumHealthCapacity":2}}],"groups":[{"id":"c","apps":[{"cmd":"run"}]}]}
            """);
        await transcript.NoteAsync("PUT", "/v2/groups/g", "{broken");
        await transcript.NoteAsync("PATCH", "/v2/groups/g/h", """{"enforceRole":true}""");
        await transcript.NoteAsync("TRACE", "/v2/groups/g");
        transcript.Check("group-refusals");
    }

    [Fact]
    public async Task What_is_read_can_be_put_back_and_changes_nothing()
    {
        await using var world = await WithShopAsync();
        await world.CreateAsync("""{"id":"/implied/by/app","cmd":"run","cpus":0.1,"healthChecks":[{"protocol":"HTTP"}],"container":{"docker":{"image":"i","network":"BRIDGE","portMappings":[{"containerPort":80}]}}}""");
        (await world.PatchAsync("/v2/groups/shop", """{"enforceRole":false}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        var read = await world.GetAsync("/v2/groups");
        var versions = (await world.GetAsync("/v2/groups/versions")).Body;
        var put = (await world.PutAsync("/v2/groups", read.Body)).Must(HttpStatusCode.OK);
        Assert.Equal(read.Header("ETag"), put.Header("ETag"));
        Assert.Empty(world.State.Deployments);
        Assert.Equal(read.Body, (await world.GetAsync("/v2/groups")).Body);
        Assert.Equal(versions, (await world.GetAsync("/v2/groups/versions")).Body);
        (await world.PutAsync("/v2/groups?dryRun=true", read.Body)).Must(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Missing_apps_and_groups_are_stopped_where_a_list_is_given_and_kept_where_none_is()
    {
        await using var world = await WithShopAsync();
        (await world.PutAsync("/v2/groups/shop", """{"apps":[{"id":"new","cmd":"run","cpus":0.1}]}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal("/shop/db/main /shop/new", Ids((await world.GetAsync("/v2/apps")).Json["apps"]!));
        (await world.PutAsync("/v2/groups/shop", """{"groups":[{"id":"empty"}]}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal("/shop/new", Ids((await world.GetAsync("/v2/apps")).Json["apps"]!));
        (await world.GetAsync("/v2/groups/shop/db")).Must(HttpStatusCode.NotFound);
        (await world.PutAsync("/v2/groups/shop", """{"apps":[]}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Empty((await world.GetAsync("/v2/groups/shop")).Must(HttpStatusCode.OK).Json["apps"]!.AsArray());
    }

    [Fact]
    public async Task One_changed_app_restarts_alone()
    {
        await using var world = await WithShopAsync();
        var kept = world.InstancesOf("/shop/db/main").Select(i => i.Id).ToList();
        var replaced = world.InstancesOf("/shop/web").Select(i => i.Id).ToList();
        (await world.PutAsync("/v2/groups/shop", Shop.Replace("\"serve\"", "\"serve more\"", StringComparison.Ordinal))).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal(kept, world.InstancesOf("/shop/db/main").Select(i => i.Id));
        Assert.DoesNotContain(world.InstancesOf("/shop/web"), i => replaced.Contains(i.Id));
    }

    [Theory]
    [InlineData("/v2/groups", "shop", "/shop")]
    [InlineData("/v2/groups/a/b", null, "/a/b")]
    [InlineData("/v2/groups/a", "b", "/a/b")]
    [InlineData("/v2/groups/a", "a", "/a")]
    [InlineData("/v2/groups/a", "/a", "/a")]
    public async Task An_empty_group_is_created_where_its_id_says_with_what_is_around_it(string url, string? id, string made)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var answer = (await world.PostAsync(url, id is null ? "{}" : $$"""{"id":"{{id}}"}""")).Must(HttpStatusCode.Created);
        Assert.Equal($"http://{world.Authority}/v2/groups{made}", answer.Header("Location"));
        Assert.Equal(answer.Json["deploymentId"]!.GetValue<string>(), answer.Header("Marathon-Deployment-Id"));
        for (var group = AppId.Parse(made); !group.IsRoot; group = group.Parent) (await world.GetAsync("/v2/groups" + group)).Must(HttpStatusCode.OK);
        (await world.PutAsync("/v2/groups" + made, "{}")).Must(HttpStatusCode.OK);
        (await world.DeleteAsync("/v2/groups" + made)).Must(HttpStatusCode.OK);
        (await world.DeleteAsync("/v2/groups" + made)).Must(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task An_empty_group_lists_nothing_where_a_missing_one_is_404()
    {
        await using var world = await WithShopAsync();
        Assert.Empty((await world.GetAsync("/v2/apps/shop/empty/*")).Must(HttpStatusCode.OK).Json["*"]!.AsArray());
        Assert.Empty((await world.GetAsync("/v2/apps/shop/empty/*/tasks")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray());
        Assert.Empty((await world.GetAsync("/v2/groups/shop/empty/apps")).Must(HttpStatusCode.OK).Json.AsArray());
        Assert.Equal(3, (await world.GetAsync("/v2/apps/shop/*/tasks")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray().Count);
        (await world.GetAsync("/v2/apps/none/*")).Must(HttpStatusCode.NotFound);
        (await world.GetAsync("/v2/apps/none/*/tasks")).Must(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_group_that_is_locked_is_refused_unless_forced()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var running = (await world.PostAsync("/v2/groups", Shop)).Must(HttpStatusCode.Created).Json["deploymentId"]!.GetValue<string>();
        await using var stream = await StreamReading.AttachAsync(world, "?event_type=group_change_failed&event_type=group_change_success&event_type=api_post_event");
        var refused = (await world.DeleteAsync("/v2/groups/shop")).Must(HttpStatusCode.Conflict);
        Assert.Equal(running, refused.Json["deployments"]![0]!["id"]!.GetValue<string>());
        var told = await stream.NextAsync();
        Assert.Equal(("group_change_failed", "/"), (told.Type, told.Data["groupId"]!.GetValue<string>()));
        (await world.PutAsync("/v2/groups/shop", """{"scaleBy":2}""")).Must(HttpStatusCode.Conflict);
        await stream.NextAsync();
        (await world.PutAsync("/v2/groups/shop/db?force=true", """{"scaleBy":2}""")).Must(HttpStatusCode.OK);
        told = await stream.NextAsync();
        Assert.Equal(("group_change_success", "/shop"), (told.Type, told.Data["groupId"]!.GetValue<string>()));
        (await world.DeleteAsync("/v2/groups?force=true")).Must(HttpStatusCode.OK);
        Assert.Empty((await world.GetAsync("/v2/groups")).Json["groups"]!.AsArray());
    }

    [Theory]
    [InlineData(2, 2, 4)]
    [InlineData(1.1, 10, 11)]
    [InlineData(1.5, 3, 5)]
    [InlineData(0, 3, 0)]
    public async Task Scaling_multiplies_and_rounds_up(double factor, int before, int after)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.PostAsync("/v2/apps", $$"""{"id":"/g/h/a","cmd":"run","instances":{{before}}}""");
        (await world.PutAsync("/v2/groups/g?force=true", FormattableString.Invariant($$"""{"scaleBy":{{factor}}}"""))).Must(HttpStatusCode.OK);
        Assert.Equal(after, world.State.Apps[AppId.Parse("/g/h/a")].Definition.Instances);
    }

    [Fact]
    public async Task A_group_rolls_back_to_what_it_was_even_when_its_apps_are_forgotten()
    {
        await using var world = await WithShopAsync();
        var read = (await world.GetAsync("/v2/groups/shop")).Json;
        var version = read["version"]!.GetValue<string>();
        (await world.DeleteAsync("/v2/groups/shop")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Empty(world.State.Apps);
        (await world.PutAsync("/v2/groups/shop", $$"""{"version":"{{version}}"}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal(WithoutVersions(read), WithoutVersions((await world.GetAsync("/v2/groups/shop")).Json));
        Assert.Equal(WithoutVersions(read), WithoutVersions((await world.GetAsync($"/v2/groups/shop/versions/{version}")).Json));
        Assert.Equal(Text(world.State), Text(await world.StoredAsync()));
    }

    [Fact]
    public async Task Cancelling_a_deployment_restores_its_groups()
    {
        await using var world = await WithShopAsync();
        var read = (await world.GetAsync("/v2/groups")).Json;
        var id = (await world.PutAsync("/v2/groups/shop", """{"dependencies":["/base"],"apps":[{"id":"web","cmd":"other","cpus":1000}],"groups":[{"id":"other"}]}""")).Header("Marathon-Deployment-Id");
        Assert.NotEqual(WithoutVersions(read), WithoutVersions((await world.GetAsync("/v2/groups")).Json));
        (await world.DeleteAsync($"/v2/deployments/{id}")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal(WithoutVersions(read), WithoutVersions((await world.GetAsync("/v2/groups")).Json));
        Assert.Empty(world.State.Deployments);
    }

    internal static async Task<ApiWorld> WithShopAsync()
    {
        var world = await ApiWorld.StartAsync();
        (await world.PostAsync("/v2/groups", Shop)).Must(HttpStatusCode.Created);
        await world.SettleAsync();
        return world;
    }

    private static string Text(ClusterState state) => System.Text.Encoding.UTF8.GetString(Platform.Scheduler.SchedulerJson.Write(state));

    private static string Ids(JsonNode apps) => string.Join(' ', apps.AsArray().Select(a => a!["id"]!.GetValue<string>()));

    private static string WithoutVersions(JsonNode group)
    {
        foreach (var node in All(group).OfType<JsonObject>().ToList())
        {
            node.Remove("version");
            node.Remove("versionInfo");
        }
        return group.ToJsonString();
    }

    private static IEnumerable<JsonNode> All(JsonNode node) => (node switch
    {
        JsonObject x => x.Select(m => m.Value),
        JsonArray x => x,
        _ => [],
    }).OfType<JsonNode>().SelectMany(All).Prepend(node);
}
