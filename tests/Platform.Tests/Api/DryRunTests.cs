using System.Net;
using System.Text.Json.Nodes;
using Platform.Model;

namespace Platform.Tests.Api;

/// <summary>dryRun: what a change would do, without doing it.</summary>
public sealed class DryRunTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 600","cpus":1,"mem":32,"instances":3,"env":{"COLOUR":"blue"},"upgradeStrategy":{"minimumHealthCapacity":0.5,"maximumOverCapacity":0}}""";

    [Fact]
    public async Task A_plan_reads_as_it_should()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("POST", "/v2/apps?dryRun=true", Web);
        await world.CreateAsync(Web);
        await transcript.NoteAsync("PUT", "/v2/apps/shop/web?dryRun=true", """{"env":{"COLOUR":"green"},"labels":{"a":"b"}}""");
        await transcript.NoteAsync("PATCH", "/v2/apps/shop/web?dryRun=true", """{"instances":20}""");
        await transcript.NoteAsync("PUT", "/v2/groups/shop?dryRun=true", """{"dependencies":["/db"],"apps":[],"groups":[{"id":"api","apps":[{"id":"v1","cmd":"run","cpus":0.1}]}]}""");
        await transcript.NoteAsync("DELETE", "/v2/apps/shop/web?dryRun=true");
        transcript.Check("dry-runs");
    }

    [Theory]
    [InlineData("POST", "/v2/apps", """{"id":"/new","cmd":"run","cpus":0.1}""")]
    [InlineData("PUT", "/v2/apps/new", """{"cmd":"run","cpus":0.1}""")]
    [InlineData("PUT", "/v2/apps/shop/web", """{"mem":48}""")]
    [InlineData("PATCH", "/v2/apps/shop/web", """{"mem":48}""")]
    [InlineData("PUT", "/v2/apps", """[{"id":"/new","cmd":"run"}]""")]
    [InlineData("POST", "/v2/apps/shop/web/restart", null)]
    [InlineData("DELETE", "/v2/apps/shop/web", null)]
    [InlineData("POST", "/v2/groups", """{"id":"/new"}""")]
    [InlineData("PUT", "/v2/groups/shop", """{"scaleBy":2}""")]
    [InlineData("DELETE", "/v2/groups/shop", null)]
    [InlineData("DELETE", "/v2/apps/shop/web/tasks?scale=true", null)]
    public async Task What_is_planned_is_not_done(string method, string path, string? body)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var before = world.State;
        var planned = (await world.SendAsync(new HttpMethod(method), path + (path.Contains('?', StringComparison.Ordinal) ? "&" : "?") + "dryRun=true", body)).Must(HttpStatusCode.OK);
        Assert.NotNull(planned.Json["steps"]);
        Assert.Same(before, world.State);
    }

    [Theory]
    [InlineData("PUT", "/v2/apps/shop/web?dryRun=true", """{"mem":"x"}""", HttpStatusCode.UnprocessableEntity)]
    [InlineData("PATCH", "/v2/apps/none?dryRun=true", """{"mem":48}""", HttpStatusCode.NotFound)]
    [InlineData("POST", "/v2/apps?dryRun=true", Web, HttpStatusCode.Conflict)]
    [InlineData("PUT", "/v2/apps/shop/web?dryRun=perhaps", """{"mem":48}""", HttpStatusCode.BadRequest)]
    [InlineData("DELETE", "/v2/apps/shop/web/tasks?dryRun=true", null, HttpStatusCode.BadRequest)]
    [InlineData("PUT", "/v2/groups/shop?dryRun=true", """{"dependencies":["NO"]}""", HttpStatusCode.UnprocessableEntity)]
    public async Task What_would_be_refused_is_refused(string method, string path, string? body, HttpStatusCode status)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var before = world.State;
        (await world.SendAsync(new HttpMethod(method), path, body)).Must(status);
        Assert.Same(before, world.State);
    }

    [Fact]
    public async Task The_plan_comes_true()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        const string Change = """{"env":{"COLOUR":"green"},"instances":5}""";
        var planned = await world.PutAsync("/v2/apps/shop/web?dryRun=true", Change);
        Assert.True(planned.Json["complete"]!.GetValue<bool>());
        var app = planned.Json["apps"]![0]!;
        Assert.Equal("/env/COLOUR /instances", string.Join(' ', app["diff"]!.AsArray().Select(d => d!["path"]!.GetValue<string>()).Order()));
        Assert.Equal((3, 3), (app["healthy"]!["now"]!.GetValue<int>(), app["healthy"]!["least"]!.GetValue<int>()));
        var placed = app["placements"]!.AsArray().SelectMany(n => n!["instances"]!.AsArray().Select(i => (Node: n["node"]!.GetValue<string>(), Id: i!["id"]!.GetValue<string>()))).ToHashSet();

        (await world.SendAsync(HttpMethod.Put, "/v2/apps/shop/web", Change, headers: ("If-Match", planned.Header("ETag")!))).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal(planned.Json["steps"]!.ToJsonString(), Steps(world));
        Assert.Equal(placed.Order(), world.InstancesOf("/shop/web").Select(i => (Node: i.Node.Name, Id: i.Id.Text)).Order());
        (await world.SendAsync(HttpMethod.Put, "/v2/apps/shop/web", Change, headers: ("If-Match", planned.Header("ETag")!))).Must(HttpStatusCode.PreconditionFailed);
    }

    [Fact]
    public async Task What_runs_already_is_named_when_it_is_in_the_way()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var running = (await world.PostAsync("/v2/apps", Web)).Header("Marathon-Deployment-Id");
        var planned = (await world.PutAsync("/v2/apps/shop/web?dryRun=true", """{"mem":48}""")).Must(HttpStatusCode.OK).Json;
        Assert.Equal(running, planned["deploymentsInTheWay"]![0]!["id"]!.GetValue<string>());
        Assert.False(planned["complete"]!.GetValue<bool>());
        Assert.Equal(3, planned["apps"]![0]!["waiting"]!["count"]!.GetValue<int>());
        Assert.Single(world.State.Deployments);
    }

    private static string Steps(ApiWorld world)
    {
        var started = world.Published.Select(f => f.Event).OfType<Platform.Scheduling.SchedulerEvent.DeploymentStarted>().Last();
        return new JsonArray([.. started.Deployment.Steps.Items.Select(s => (JsonNode)new JsonObject
        {
            ["actions"] = new JsonArray([.. s.Actions.Items.Select(a => (JsonNode)new JsonObject { ["action"] = a.Action.ToString(), ["app"] = a.App.Path })]),
        })]).ToJsonString();
    }
}
