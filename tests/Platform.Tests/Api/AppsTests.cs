using System.Net;
using System.Text.Json.Nodes;
using Platform.Model;

namespace Platform.Tests.Api;

/// <summary>/v2/apps, row by row of contract 1.4.</summary>
public sealed class AppsTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 600","cpus":0.1,"mem":32,"instances":2,"labels":{"tier":"front","team":"a b"}}""";

    /// <summary>Found by the fuzz: <c>DELETE /v2/apps/f/a/tasks/x</c> means a task, so an app of that name could never be deleted.</summary>
    [Theory]
    [InlineData("/f/a/tasks/x")]
    [InlineData("/f/a/versions/x")]
    [InlineData("/tasks/x")]
    public async Task An_app_does_not_get_an_id_under_which_it_could_not_be_reached(string id)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var answer = (await world.PutAsync($"/v2/apps{id}", """{"cmd":"sleep 1"}""")).Must(HttpStatusCode.UnprocessableEntity);
        Assert.Equal("/id", (string?)answer.Json["details"]![0]!["path"]);
        Assert.Empty(world.State.Apps);
    }

    [Fact]
    public async Task The_life_of_an_app_reads_as_the_contract_has_it()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("GET", "/v2/apps");
        await transcript.NoteAsync("POST", "/v2/apps", Web);
        await transcript.NoteAsync("GET", "/v2/apps/shop/web");
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/apps");
        await transcript.NoteAsync("PUT", "/v2/apps/shop/web", """{"instances":1}""");
        await world.SettleAsync();
        await transcript.NoteAsync("PATCH", "/v2/apps/shop/web", """{"mem":48}""");
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/apps/shop/web");
        await transcript.NoteAsync("GET", "/v2/apps/shop/web/versions");
        await transcript.NoteAsync("GET", "/v2/apps/shop/web/versions/2026-01-01T10:00:00.000Z");
        await transcript.NoteAsync("POST", "/v2/apps/shop/web/restart");
        await world.SettleAsync();
        await transcript.NoteAsync("DELETE", "/v2/apps/shop/web");
        await transcript.NoteAsync("GET", "/v2/apps/shop/web");
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/tasks");
        transcript.Check("app-life");
    }

    [Theory]
    [InlineData("/v2/apps/shop/web")]
    [InlineData("/v2/apps//shop/web")]
    [InlineData("/v2//apps//shop//web/")]
    public async Task The_id_may_come_with_any_number_of_slashes(string path)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        Assert.Equal("/shop/web", (await world.GetAsync(path)).Must(HttpStatusCode.OK).Json["app"]!["id"]!.GetValue<string>());
        Assert.Single((await world.GetAsync(path.TrimEnd('/') + "/versions")).Must(HttpStatusCode.OK).Json["versions"]!.AsArray());
        (await world.DeleteAsync(path)).Must(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData("", "/db /shop/api /shop/web")]
    [InlineData("?id=SHOP", "/shop/api /shop/web")]
    [InlineData("?cmd=LEEP%206", "/shop/web")]
    [InlineData("?id=shop&cmd=nothing", "")]
    [InlineData("?label=tier", "/shop/api /shop/web")]
    [InlineData("?label=tier==front", "/shop/web")]
    [InlineData("?label=tier!=front", "/shop/api")]
    [InlineData("?label=tier%20in%20(front,back)", "/shop/api /shop/web")]
    [InlineData("?label=tier%20notin%20(front)", "/shop/api")]
    [InlineData("?label=team==a%5C%20b", "/shop/web")]
    [InlineData("?label=tier,team", "/shop/web")]
    [InlineData("?label=tier&id=api", "/shop/api")]
    public async Task The_list_is_filtered(string query, string expected)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.PostAsync("/v2/apps", Web);
        await world.PostAsync("/v2/apps", """{"id":"/shop/api","cmd":"serve","labels":{"tier":"back"}}""");
        await world.PostAsync("/v2/apps", """{"id":"/db","args":["db"],"container":{"docker":{"image":"db"}}}""");
        var apps = (await world.GetAsync("/v2/apps" + query)).Must(HttpStatusCode.OK).Json["apps"]!.AsArray();
        Assert.Equal(expected, string.Join(' ', apps.Select(a => a!["id"]!.GetValue<string>())));
    }

    [Theory]
    [InlineData("tier=")]
    [InlineData("tier in front")]
    [InlineData("tier in (front")]
    [InlineData("==x")]
    [InlineData("tier,,team")]
    [InlineData("tier team")]
    public async Task A_selector_that_is_none_is_422(string selector)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var answer = (await world.GetAsync("/v2/apps?label=" + Uri.EscapeDataString(selector))).Must(HttpStatusCode.UnprocessableEntity);
        Assert.Contains(selector, answer.Json["message"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v2/apps/*", "/db /shop/web")]
    [InlineData("/v2/apps/shop/*", "/shop/web")]
    [InlineData("/v2/apps//shop/*", "/shop/web")]
    public async Task A_star_lists_a_group_under_a_star(string path, string expected)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.PostAsync("/v2/apps", Web);
        await world.PostAsync("/v2/apps", """{"id":"/db","cmd":"serve"}""");
        var apps = (await world.GetAsync(path)).Must(HttpStatusCode.OK).Json["*"]!.AsArray();
        Assert.Equal(expected, string.Join(' ', apps.Select(a => a!["id"]!.GetValue<string>())));
        Assert.Equal("Group '/none' does not exist", (await world.GetAsync("/v2/apps/none/*")).Must(HttpStatusCode.NotFound).Json["message"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("", "tasks lastTaskFailure deployments tasksRunning")]
    [InlineData("?embed=apps.taskStats", "tasksStats tasks deployments")]
    [InlineData("?embed=app.readiness&embed=nonsense", "readinessCheckResults tasks")]
    public async Task A_single_app_shows_its_tasks_and_what_else_is_asked_for(string query, string expected)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await world.EndAsync(world.InstancesOf("/shop/web")[0], TerminalState.Failed, "Command exited with status 1");
        var app = (await world.GetAsync("/v2/apps/shop/web" + query)).Json["app"]!.AsObject();
        Assert.All(expected.Split(' '), name => Assert.True(app.ContainsKey(name), $"{name} is missing: {app}"));
        Assert.Equal(query.Contains("taskStats", StringComparison.Ordinal), app.ContainsKey("tasksStats"));
    }

    [Theory]
    [InlineData("", false, false)]
    [InlineData("?embed=apps.tasks", true, false)]
    [InlineData("?embed=lastTaskFailure", false, true)]
    [InlineData("?embed=group.apps.failures", true, true)]
    public async Task The_list_shows_counts_and_deployments_and_more_only_when_asked(string query, bool tasks, bool failure)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await world.EndAsync(world.InstancesOf("/shop/web")[0], TerminalState.Failed, "Command exited with status 1");
        var app = (await world.GetAsync("/v2/apps" + query)).Json["apps"]![0]!.AsObject();
        Assert.Equal(1, app["tasksRunning"]!.GetValue<int>());
        Assert.Empty(app["deployments"]!.AsArray());
        Assert.Equal(tasks, app.ContainsKey("tasks"));
        Assert.Equal(failure, app.ContainsKey("lastTaskFailure"));
    }

    [Fact]
    public async Task Health_failures_and_statistics_are_shown()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync("""{"id":"/checked","cmd":"serve","instances":3,"cpus":0.1,"ports":[0],"healthChecks":[{"protocol":"HTTP","path":"/health","gracePeriodSeconds":5}]}""");
        var all = world.InstancesOf("/checked");
        await world.ReportAsync(world.Running(all[1], alive: false));
        await world.EndAsync(all[2], TerminalState.Killed, "Task was killed since health check failed. Reason: ConnectionRefused", healthKill: true);
        await world.AdvanceAsync(30);
        var transcript = new Transcript(world);
        await transcript.NoteAsync("GET", "/v2/apps/checked?embed=app.taskStats");
        transcript.Check("app-health");
    }

    [Fact]
    public async Task Without_health_checks_nothing_is_healthy_nor_unhealthy()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var app = (await world.GetAsync("/v2/apps/shop/web")).Json["app"]!;
        Assert.Equal((0, 2, 0, 0), (Number(app, "tasksStaged"), Number(app, "tasksRunning"), Number(app, "tasksHealthy"), Number(app, "tasksUnhealthy")));
    }

    [Fact]
    public async Task Put_makes_what_is_not_there_and_patch_does_not()
    {
        await using var world = await ApiWorld.StartAsync();
        (await world.PatchAsync("/v2/apps/new", """{"cmd":"sleep 60"}""")).Must(HttpStatusCode.NotFound);
        (await world.PatchAsync("/v2/apps", """[{"id":"/new","cmd":"sleep 60"}]""")).Must(HttpStatusCode.NotFound);
        Assert.Empty((await world.StoredAsync()).Apps);
        var made = (await world.PutAsync("/v2/apps/new", """{"cmd":"sleep 60","cpus":0.1}""")).Must(HttpStatusCode.Created);
        Assert.Equal($"http://{world.Authority}/v2/apps/new", made.Header("Location"));
        Assert.Equal(made.Json["deploymentId"]!.GetValue<string>(), made.Header("Marathon-Deployment-Id"));
        await world.SettleAsync();
        var changed = (await world.PutAsync("/v2/apps/new", """{"instances":2}""")).Must(HttpStatusCode.OK);
        Assert.Null(changed.Header("Location"));
    }

    [Fact]
    public async Task Put_keeps_what_is_left_out_unless_the_whole_is_put()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        (await world.PutAsync("/v2/apps/shop/web", """{"mem":48}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal("front", (await world.GetAsync("/v2/apps/shop/web")).Json["app"]!["labels"]!["tier"]!.GetValue<string>());
        (await world.PutAsync("/v2/apps/shop/web?partialUpdate=false", """{"cmd":"sleep 1","cpus":0.1}""")).Must(HttpStatusCode.OK);
        Assert.Empty((await world.GetAsync("/v2/apps/shop/web")).Json["app"]!["labels"]!.AsObject());
    }

    [Fact]
    public async Task Putting_a_version_alone_rolls_back()
    {
        await using var world = await ApiWorld.StartAsync();
        var first = (await world.CreateAsync(Web)).Json["version"]!.GetValue<string>();
        (await world.PutAsync("/v2/apps/shop/web", """{"mem":48}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        (await world.PutAsync("/v2/apps/shop/web", $$"""{"version":"{{first}}"}""")).Must(HttpStatusCode.OK);
        Assert.Equal(32, (await world.GetAsync("/v2/apps/shop/web")).Json["app"]!["mem"]!.GetValue<double>());
        await world.SettleAsync();
        (await world.PutAsync("/v2/apps/shop/web", $$"""{"version":"{{first}}","mem":1}""")).Must(HttpStatusCode.UnprocessableEntity);
        (await world.PutAsync("/v2/apps/shop/web", """{"version":"2001-01-01T00:00:00.000Z"}""")).Must(HttpStatusCode.NotFound);
        (await world.PutAsync("/v2/apps/nowhere", $$"""{"version":"{{first}}"}""")).Must(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Several_apps_are_one_deployment()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("PUT", "/v2/apps", """[{"id":"/a","cmd":"sleep 1","cpus":0.1},{"id":"/b","cmd":"sleep 1","cpus":0.1,"dependencies":["/a"]}]""");
        await transcript.NoteAsync("GET", "/v2/deployments");
        await transcript.NoteAsync("PUT", "/v2/apps", """{"id":"/a"}""");
        await transcript.NoteAsync("PUT", "/v2/apps", """[{"cmd":"sleep 1"},{"id":"/a","instances":-1},{"id":"/b","instances":"x"}]""");
        transcript.Check("apps-array");
    }

    [Fact]
    public async Task A_no_op_has_a_result_too()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var answer = (await world.PutAsync("/v2/apps/shop/web", """{"instances":2}""")).Must(HttpStatusCode.OK);
        Assert.NotEmpty(answer.Json["deploymentId"]!.GetValue<string>());
        Assert.Empty((await world.GetAsync("/v2/deployments")).Json.AsArray());
        Assert.Single((await world.GetAsync("/v2/apps/shop/web/versions")).Json["versions"]!.AsArray());
    }

    [Fact]
    public async Task Restart_replaces_all_tasks_with_the_same_configuration()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var before = world.InstancesOf("/shop/web").Select(i => i.Id).ToHashSet();
        (await world.PostAsync("/v2/apps//shop/web/restart")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.DoesNotContain(world.InstancesOf("/shop/web"), i => before.Contains(i.Id));
        Assert.Equal("App '/none' does not exist", (await world.PostAsync("/v2/apps/none/restart")).Must(HttpStatusCode.NotFound).Json["message"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("GET", "/v2/apps/none", "App '/none' does not exist")]
    [InlineData("GET", "/v2/apps/NONE", "App '/NONE' does not exist")]
    [InlineData("GET", "/v2/apps/tasks", "App '/tasks' does not exist")]
    [InlineData("DELETE", "/v2/apps/none", "App '/none' does not exist")]
    [InlineData("DELETE", "/v2/apps/shop/web/restart", "App '/shop/web/restart' does not exist")]
    [InlineData("GET", "/v2/apps/none/tasks", "App '/none' does not exist")]
    [InlineData("GET", "/v2/apps/none/versions", "App '/none' does not exist")]
    [InlineData("GET", "/v2/apps/shop/web/versions/2001-01-01T00:00:00.000Z", "App '/shop/web' does not exist in version 2001-01-01T00:00:00.000Z")]
    [InlineData("GET", "/v2/apps/none/*/tasks", "Group '/none' does not exist")]
    [InlineData("DELETE", "/v2/apps/none/tasks", "App '/none' does not exist")]
    [InlineData("DELETE", "/v2/apps/shop/web/tasks/nonsense", "Task 'nonsense' does not exist")]
    [InlineData("DELETE", "/v2/deployments/none", "DeploymentPlan none does not exist")]
    [InlineData("DELETE", "/v2/queue/none/delay", "Application /none not found in tasks queue.")]
    [InlineData("DELETE", "/v2/queue//shop/web/delay", "Application /shop/web not found in tasks queue.")]
    public async Task What_is_not_there_is_404_with_its_name(string method, string path, string message)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var answer = (await world.SendAsync(new HttpMethod(method), path, null)).Must(HttpStatusCode.NotFound);
        Assert.Equal(message, answer.Json["message"]!.GetValue<string>());
    }

    [Fact]
    public async Task A_version_that_is_no_timestamp_is_422()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var answer = (await world.GetAsync("/v2/apps/shop/web/versions/yesterday")).Must(HttpStatusCode.UnprocessableEntity);
        Assert.StartsWith("Invalid timestamp provided 'yesterday'", answer.Json["message"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_long_list_arrives_whole()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var apps = new JsonArray([.. Enumerable.Range(0, 400).Select(i => new JsonObject { ["id"] = $"/many/a{i:000}", ["cmd"] = new string('x', 500), ["instances"] = 0 })]);
        (await world.PutAsync("/v2/apps", apps.ToJsonString())).Must(HttpStatusCode.OK);
        Assert.Equal(400, (await world.GetAsync("/v2/apps")).Json["apps"]!.AsArray().Count);
    }

    private static int Number(JsonNode app, string name) => app[name]!.GetValue<int>();
}
