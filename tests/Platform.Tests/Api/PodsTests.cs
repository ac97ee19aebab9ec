using System.Net;
using System.Text.Json.Nodes;
using Platform.Model;
using Platform.Scheduler.Api;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>/v2/pods, row by row of contract 1.10.</summary>
public sealed class PodsTests
{
    private static string Pod(string id = "/shop/pod", int instances = 1, string colour = "blue", double cpus = 0.1) => $$$"""
        {"id":"{{{id}}}","environment":{"COLOUR":"{{{colour}}}"},"scaling":{"kind":"fixed","instances":{{{instances}}}},"networks":[{"mode":"container/bridge"}],
         "containers":[
          {"name":"web","resources":{"cpus":{{{FormattableString.Invariant($"{cpus}")}}},"mem":32},"image":{"kind":"DOCKER","id":"web"},"endpoints":[{"name":"http","containerPort":80,"hostPort":0}],
           "healthCheck":{"http":{"endpoint":"http"},"gracePeriodSeconds":5}},
          {"name":"side","resources":{"cpus":0.1,"mem":32},"image":{"kind":"DOCKER","id":"side"},"endpoints":[{"name":"admin","containerPort":90}]}]}
        """.ReplaceLineEndings("");

    private static async Task<ApiWorld> WithPodAsync(int instances = 1)
    {
        var world = await ApiWorld.StartAsync();
        (await world.PostAsync("/v2/pods", Pod(instances: instances))).Must(HttpStatusCode.Created);
        await world.SettleAsync();
        return world;
    }

    private static async Task<JsonNode> StatusAsync(ApiWorld world, string id = "/shop/pod") => (await world.GetAsync($"/v2/pods{id}::status")).Must(HttpStatusCode.OK).Json;
    private static string Text(JsonNode? node) => node!.GetValue<string>();

    [Fact]
    public async Task The_life_of_a_pod_reads_as_the_contract_has_it()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("HEAD", "/v2/pods");
        await transcript.NoteAsync("GET", "/v2/pods");
        await transcript.NoteAsync("POST", "/v2/pods", Pod());
        await transcript.NoteAsync("GET", "/v2/deployments");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::status");
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/pods::status");
        await world.AdvanceAsync(1);
        await transcript.NoteAsync("PUT", "/v2/pods/shop/pod", Pod(instances: 2));
        await world.SettleAsync();
        await world.AdvanceAsync(1);
        await transcript.NoteAsync("PUT", "/v2/pods/shop/pod", Pod(instances: 2, colour: "green"));
        await transcript.NoteAsync("GET", "/v2/deployments");
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::versions");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::versions/2026-01-01T10:00:00.000Z");
        await transcript.NoteAsync("DELETE", $"/v2/pods/shop/pod::instances/{world.InstancesOf("/shop/pod")[0].Id}");
        await world.SettleAsync();
        await transcript.NoteAsync("DELETE", "/v2/pods/shop/pod::instances?wipe=true", $"[\"{world.InstancesOf("/shop/pod")[0].Id}\"]");
        await world.SettleAsync();
        await world.AdvanceAsync(1);
        await transcript.NoteAsync("DELETE", "/v2/pods/shop/pod");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod");
        await transcript.NoteAsync("GET", "/v2/deployments");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::status");
        await world.SettleAsync();
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::status");
        transcript.Check("pod-life");
    }

    [Fact]
    public async Task What_is_refused_says_why_and_stores_nothing()
    {
        await using var world = await WithPodAsync();
        (await world.PostAsync("/v2/apps", """{"id":"/shop/app","cmd":"serve"}""")).Must(HttpStatusCode.Created);
        await world.SettleAsync();
        var before = await world.StoredAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("POST", "/v2/pods", Pod());
        await transcript.NoteAsync("POST", "/v2/pods", "{");
        await transcript.NoteAsync("POST", "/v2/pods", "");
        await transcript.NoteAsync("POST", "/v2/pods", """{"id":"/x","containers":[{"name":"One","image":{"id":"x"},"artifacts":[{"uri":"http://x"}]},{"name":"two"}]}""");
        await transcript.NoteAsync("POST", "/v2/pods", """{"id":1}""");
        await transcript.NoteAsync("POST", "/v2/pods", Pod("/shop/app"));
        await transcript.NoteAsync("PUT", "/v2/pods/shop/app", Pod("/shop/app"));
        await transcript.NoteAsync("POST", "/v2/pods", Pod("/shop"));
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":"/shop/pod","cmd":"serve"}""");
        await transcript.NoteAsync("PUT", "/v2/apps/shop/pod", """{"cmd":"serve"}""");
        await transcript.NoteAsync("PATCH", "/v2/apps/shop/pod", """{"instances":3}""");
        await transcript.NoteAsync("PUT", "/v2/pods/shop/pod", Pod("/shop/other"));
        await transcript.NoteAsync("PUT", "/v2/pods/Shop", Pod());
        await transcript.NoteAsync("GET", "/v2/pods/none");
        await transcript.NoteAsync("GET", "/v2/pods/shop/app");
        await transcript.NoteAsync("DELETE", "/v2/pods/none");
        await transcript.NoteAsync("GET", "/v2/pods/none::status");
        await transcript.NoteAsync("GET", "/v2/pods/none::versions");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::versions/2020-01-01T00:00:00.000Z");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::versions/yesterday");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::nothing");
        await transcript.NoteAsync("DELETE", "/v2/pods/none::instances/x");
        await transcript.NoteAsync("DELETE", "/v2/pods/shop/pod::instances/x");
        await transcript.NoteAsync("DELETE", "/v2/pods/shop/pod::instances/shop_pod.instance-00000000-0000-0000-0000-000000000000");
        await transcript.NoteAsync("DELETE", "/v2/pods/shop/pod::instances", """{"ids":[]}""");
        await transcript.NoteAsync("DELETE", "/v2/pods/shop/pod::instances", """["x",1]""");
        await transcript.NoteAsync("PATCH", "/v2/pods", "{}");
        await transcript.NoteAsync("POST", "/v2/pods/shop/pod", "{}");
        await transcript.NoteAsync("PUT", "/v2/pods/shop/pod::status", "{}");
        await transcript.NoteAsync("GET", "/v2/pods/shop/pod::instances");
        await transcript.NoteAsync("POST", "/v2/pods::status", "{}");
        transcript.Check("pod-refusals");
        Assert.Equal(before.Revision, (await world.StoredAsync()).Revision);
    }

    [Theory]
    [InlineData("/v2/pods/shop/pod")]
    [InlineData("/v2/pods//shop/pod")]
    [InlineData("/v2//pods//shop//pod/")]
    public async Task The_id_may_come_with_any_number_of_slashes(string path)
    {
        await using var world = await WithPodAsync();
        Assert.Equal("/shop/pod", Text((await world.GetAsync(path)).Must(HttpStatusCode.OK).Json["id"]));
        Assert.Equal("STABLE", Text((await world.GetAsync(path.TrimEnd('/') + "::status")).Must(HttpStatusCode.OK).Json["status"]));
        (await world.DeleteAsync(path)).Must(HttpStatusCode.Accepted);
    }

    [Fact]
    public async Task Apps_and_tasks_do_not_show_pods()
    {
        await using var world = await WithPodAsync();
        var instance = Assert.Single(world.InstancesOf("/shop/pod"));
        Assert.Empty((await world.GetAsync("/v2/apps")).Json["apps"]!.AsArray());
        Assert.Empty((await world.GetAsync("/v2/tasks")).Json["tasks"]!.AsArray());
        Assert.Equal("", (await world.GetAsync("/v2/tasks", "text/plain")).Body);
        foreach (var path in new[] { "/v2/apps/shop/pod", "/v2/apps/shop/pod/tasks", "/v2/apps/shop/pod/versions" }) (await world.GetAsync(path)).Must(HttpStatusCode.NotFound);
        (await world.DeleteAsync("/v2/apps/shop/pod")).Must(HttpStatusCode.NotFound);
        (await world.PostAsync("/v2/apps/shop/pod/restart")).Must(HttpStatusCode.NotFound);
        Assert.Empty((await world.PostAsync("/v2/tasks/delete", $$"""{"ids":["{{instance.Id}}"]}""")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray());
        Assert.False(Assert.Single(world.InstancesOf("/shop/pod")).IsStopping);
    }

    [Fact]
    public async Task A_write_that_changes_nothing_answers_the_pod_as_it_is()
    {
        await using var world = await WithPodAsync();
        var version = Text((await world.GetAsync("/v2/pods/shop/pod")).Json["version"]);
        await world.AdvanceAsync(1);
        var again = (await world.PutAsync("/v2/pods/shop/pod", Pod())).Must(HttpStatusCode.OK);
        Assert.Equal(version, Text(again.Json["version"]));
        Assert.NotNull(again.Header("Marathon-Deployment-Id"));
        Assert.Single((await world.GetAsync("/v2/pods/shop/pod::versions")).Json.AsArray());
    }

    [Fact]
    public async Task What_waits_is_in_the_queue_as_a_pod_and_its_status_says_why()
    {
        await using var world = await ApiWorld.StartAsync();
        (await world.PostAsync("/v2/pods", Pod(cpus: 100))).Must(HttpStatusCode.Created);
        var item = Assert.Single((await world.GetAsync("/v2/queue")).Json["queue"]!.AsArray())!;
        Assert.Equal("/shop/pod", Text(item["pod"]!["id"]));
        Assert.Null(item["app"]);
        var status = await StatusAsync(world);
        Assert.Equal("DEGRADED", Text(status["status"]));
        Assert.StartsWith("0 of 1 instances are stable; 1 wait for a node: node1 needs 100.1 cpus", Text(status["message"]), StringComparison.Ordinal);
        (await world.DeleteAsync("/v2/queue/shop/pod/delay")).Must(HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task An_instance_is_pending_staging_stable_degraded_or_terminal_and_says_why()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 1);
        (await world.PostAsync("/v2/pods", Pod())).Must(HttpStatusCode.Created);
        var instance = Assert.Single(world.InstancesOf("/shop/pod"));
        var running = world.Running(instance);

        await AssertAsync("PENDING", null, null);
        await world.ReportAsync(running with { Phase = Phase.Staging, StartedAt = null, Health = [new HealthState()], Detail = "Pulling image web" });
        await AssertAsync("STAGING", "Pulling image web", null);
        await world.ReportAsync(running with { Health = [new HealthState()] });
        await AssertAsync("STAGING", "Its health checks have not passed yet", null);
        await world.ReportAsync(running);
        await AssertAsync("STABLE", null, true);
        await world.ReportAsync(world.Running(instance, alive: false));
        await AssertAsync("DEGRADED", "The health check of container 'web' fails: ConnectionRefused", false);
        await world.ReportAsync(running with { Ending = true, Detail = "Stopping: Container 'side' exited with status 3" });
        await AssertAsync("TERMINAL", "Stopping: Container 'side' exited with status 3", true);

        async Task AssertAsync(string status, string? message, bool? healthy)
        {
            var pod = await StatusAsync(world);
            var shown = Assert.Single(pod["instances"]!.AsArray())!;
            Assert.Equal((status, message), (Text(shown["status"]), shown["message"]?.GetValue<string>()));
            Assert.Equal(status == "STABLE" ? "STABLE" : "DEGRADED", Text(pod["status"]));
            Assert.Equal(healthy, shown["containers"]![0]!["endpoints"]![0]!["healthy"]?.GetValue<bool>());
            Assert.Null(shown["containers"]![1]!["endpoints"]![0]!["healthy"]);
        }
    }

    [Fact]
    public async Task The_last_ends_are_told_with_the_container_that_ended_and_no_more_than_twenty()
    {
        await using var world = await WithPodAsync();
        for (var i = 0; i < AppState.TerminationsMax + 2; i++)
        {
            var instance = Assert.Single(world.InstancesOf("/shop/pod"));
            var end = new InstanceEnd(TerminalState.Failed, $"Container 'side' exited with status {i}", i, false, false, world.Clock.GetUtcNow()) { Container = "side" };
            await world.ReportAsync(world.Running(instance) with { End = end });
            await world.AdvanceAsync(600);
            await world.SettleAsync();
        }
        var history = (await StatusAsync(world))["terminationHistory"]!.AsArray();
        Assert.Equal(AppState.TerminationsMax, history.Count);
        Assert.Equal($"Container 'side' exited with status {AppState.TerminationsMax + 1}", Text(history[0]!["message"]));
        Assert.Null(history[0]!["containers"]![0]!["termination"]);
        Assert.Equal(AppState.TerminationsMax + 1, history[0]!["containers"]![1]!["termination"]!["exitCode"]!.GetValue<int>());
        Assert.Equal((await world.StoredAsync()).Apps[AppId.Parse("/shop/pod")].Terminations, world.State.Apps[AppId.Parse("/shop/pod")].Terminations);
    }

    [Fact]
    public async Task Events_tell_of_the_pod_and_of_each_containers_task()
    {
        await using var world = await WithPodAsync();
        (await world.PutAsync("/v2/pods/shop/pod", Pod(colour: "green"))).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        (await world.DeleteAsync("/v2/pods//shop/pod")).Must(HttpStatusCode.Accepted);
        await world.SettleAsync();
        var events = world.Published.SelectMany(ContractEvents.Of).Select(x => (x.Type, Data: JsonNode.Parse(x.Json)!)).ToList();
        Assert.Equal(
            ["pod_created_event /v2/pods", "pod_updated_event /v2/pods/shop/pod", "pod_deleted_event /v2/pods//shop/pod"],
            events.Where(x => x.Type.StartsWith("pod_", StringComparison.Ordinal)).Select(x => $"{x.Type} {Text(x.Data["uri"])}"));
        Assert.All(events.Where(x => x.Type.StartsWith("pod_", StringComparison.Ordinal)), x => Assert.Equal("127.0.0.1", Text(x.Data["clientIp"])));
        Assert.DoesNotContain(events, x => x.Type is "api_post_event" or "add_health_check_event");
        var running = events.Where(x => x.Type == "status_update_event" && Text(x.Data["taskStatus"]) == "TASK_RUNNING").Select(x => Text(x.Data["taskId"])).ToList();
        Assert.Equal(4, running.Count);
        Assert.Equal(["web", "side", "web", "side"], running.Select(x => x[(x.LastIndexOf('.') + 1)..]));
        var plan = events.First(x => x.Type == "deployment_info").Data["currentStep"]!["actions"]![0]!;
        Assert.Equal(("StartPod", "/shop/pod"), (Text(plan["action"]), Text(plan["pod"])));
        Assert.Null(plan["app"]);
    }

    [Fact]
    public async Task Groups_show_make_and_keep_their_pods()
    {
        await using var world = await WithPodAsync();
        (await world.PutAsync("/v2/groups/shop", $$"""{"apps":[{"id":"app","cmd":"serve"}],"pods":[{{Pod("other")}}]}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        var group = (await world.GetAsync("/v2/groups/shop")).Json;
        Assert.Equal(["/shop/app"], group["apps"]!.AsArray().Select(x => Text(x!["id"])));
        Assert.Equal(["/shop/other", "/shop/pod"], group["pods"]!.AsArray().Select(x => Text(x!["id"])));
        Assert.Equal("STABLE", Text((await StatusAsync(world, "/shop/other"))["status"]));

        (await world.PutAsync("/v2/groups/shop", """{"apps":[],"pods":[]}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal(2, (await world.GetAsync("/v2/groups/shop")).Json["pods"]!.AsArray().Count);
        Assert.Empty((await world.GetAsync("/v2/groups/shop/apps")).Json.AsArray());
        (await world.PutAsync("/v2/groups/shop", """{"scaleBy":2}""")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal(2, world.InstancesOf("/shop/pod").Length);
        (await world.DeleteAsync("/v2/groups/shop")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Empty((await world.GetAsync("/v2/pods")).Json.AsArray());
    }

    [Theory]
    [InlineData("""{"pods":[{"id":"p"}]}""", "/pods(0)/containers")]
    [InlineData("""{"pods":[{"id":"/elsewhere/p","containers":[{"name":"a","image":{"id":"i"}}]}]}""", "/pods(0)/id")]
    [InlineData("""{"groups":[{"id":"eu","pods":[{"id":"p","containers":[{"name":"A","image":{"id":"i"}}]}]}]}""", "/groups(0)/pods(0)/containers(0)/name")]
    [InlineData("""{"apps":[{"id":"pod","cmd":"serve"}]}""", "/id")]
    [InlineData("""{"apps":[{"id":"x","cmd":"serve"}],"pods":[{"id":"x","containers":[{"name":"a","image":{"id":"i"}}]}]}""", "/pods(0)/id")]
    public async Task What_is_wrong_with_a_pod_in_a_group_is_told_with_its_place(string body, string path)
    {
        await using var world = await WithPodAsync();
        var refused = (await world.PutAsync("/v2/groups/shop", body)).Must(HttpStatusCode.UnprocessableEntity);
        Assert.Contains(path, refused.Json["details"]!.AsArray().Select(x => Text(x!["path"])));
    }

    [Fact]
    public async Task A_dry_run_shows_the_plan_and_a_precondition_is_kept()
    {
        await using var world = await WithPodAsync();
        var plan = (await world.PutAsync("/v2/pods/shop/pod?dryRun=true", Pod(colour: "green"))).Must(HttpStatusCode.OK).Json;
        Assert.Equal("RestartPod", Text(plan["steps"]![0]!["actions"]![0]!["action"]));
        var difference = Assert.Single(plan["apps"]![0]!["diff"]!.AsArray())!;
        Assert.Equal(("/environment/COLOUR", "blue", "green"), (Text(difference["path"]), Text(difference["from"]), Text(difference["to"])));
        Assert.Equal("blue", Text((await world.GetAsync("/v2/pods/shop/pod")).Json["environment"]!["COLOUR"]));
        using var request = new HttpRequestMessage(HttpMethod.Put, "/v2/pods/shop/pod") { Content = new StringContent(Pod(colour: "green")) };
        request.Headers.TryAddWithoutValidation("If-Match", "\"2020-01-01T00:00:00.000Z\"");
        Assert.Equal(HttpStatusCode.PreconditionFailed, (await world.Http.SendAsync(request)).StatusCode);
    }

    [Fact]
    public async Task A_pod_in_a_running_deployment_is_locked_unless_forced()
    {
        await using var world = await ApiWorld.StartAsync();
        (await world.PostAsync("/v2/pods", Pod(cpus: 100))).Must(HttpStatusCode.Created);
        (await world.PutAsync("/v2/pods/shop/pod", Pod())).Must(HttpStatusCode.Conflict);
        (await world.DeleteAsync("/v2/pods/shop/pod")).Must(HttpStatusCode.Conflict);
        (await world.PutAsync("/v2/pods/shop/pod?force=true", Pod())).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Equal("STABLE", Text((await StatusAsync(world))["status"]));
    }
}
