using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>Lines 69 to 77: queue, ends of tasks, server, events, pods and who may come in.</summary>
public sealed class OtherTests(OnePlatform one) : ChecklistTests(one)
{
    [DockerFact]
    public async Task Line_69_Queue_empty_5_pending_count_5_backed_off_timeLeftSeconds_above_0()
    {
        Assert.Empty((await Api.GetAsync("/v2/queue")).Json["queue"]!.AsArray());
        await Api.CreateAsync(Sleeper("/line69", 5).With("cpus", TooManyCpus));
        await Eventually.GetAsync("five wait", () => Api.QueueItemAsync("/line69"), item => item?["count"]?.GetValue<int>() == 5);
        await RemoveAsync("/line69");
        await Api.CreateAsync(Sleeper("/line69-back").With("cmd", "exit 1").With("backoffSeconds", 3000).With("maxLaunchDelaySeconds", 3600));
        await Eventually.GetAsync("it is backed off", () => Api.QueueItemAsync("/line69-back"), item => item?["delay"]?["timeLeftSeconds"]?.GetValue<int>() > 0);
        await RemoveAsync("/line69-back");
    }

    [DockerFact]
    public async Task Line_70_Killing_publishes_status_TASK_KILLING_and_wipe_gives_a_new_instance()
    {
        await using var events = await EventStream.AttachAsync(Platform.ApiPort);
        // It takes its time to end, so that being killed is a state in which it is seen.
        await RunAsync(Sleeper("/line70").With("cmd", "trap 'sleep 1; exit' TERM; while :; do sleep 0.1; done"));
        var first = Assert.Single(await Api.TasksAsync("/line70"));
        (await Api.DeleteAsync($"/v2/apps/line70/tasks/{first.Id}?wipe=true")).Must(HttpStatusCode.OK);
        await events.UntilAsync("TASK_KILLING and TASK_KILLED are told", seen => new[] { "TASK_KILLING", "TASK_KILLED" }.All(state => seen.Any(e =>
            e.Type == "status_update_event" && e.Data["taskId"]!.GetValue<string>() == first.Id && e.Data["taskStatus"]!.GetValue<string>() == state)));
        await Eventually.HoldsAsync("a new instance runs", async () =>
            await Api.TasksAsync("/line70") is [{ State: "TASK_RUNNING" } now] && now.Id.Split("._app")[0] != first.Id.Split("._app")[0]);
        await RemoveAsync("/line70");
    }

    [DockerTheory]
    [InlineData(60)]
    [InlineData(0)]
    public async Task Line_71_taskKillGracePeriod_long_and_short_ended_within_the_time(int grace)
    {
        // With a long one it ends by itself as soon as it is asked; with a short one it never would.
        var id = $"/line71-{grace}";
        await RunAsync(Sleeper(id).With("taskKillGracePeriodSeconds", grace).With("cmd", $"trap {(grace > 0 ? "exit" : "''")} TERM; while :; do sleep 0.1; done"));
        var before = DateTime.UtcNow;
        (await Api.DeleteAsync($"/v2/apps{id}/tasks?scale=true")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("it has ended", async () => (await Api.TasksAsync(id)).Length == 0);
        Assert.True(DateTime.UtcNow - before < TimeSpan.FromSeconds(60), "it was waited for as long as a task that does not end");
        await RemoveAsync(id);
    }

    [DockerFact]
    public async Task Line_73_v2_info_correct_and_without_ZK_credentials()
    {
        var info = (await Api.GetAsync("/v2/info")).Must(HttpStatusCode.OK);
        Assert.Equal("marathon", info.Json["name"]!.GetValue<string>());
        Assert.True(info.Json["elected"]!.GetValue<bool>());
        Assert.Equal(Platform.ApiPort, info.Json["http_config"]!["http_port"]!.GetValue<int>());
        Assert.DoesNotContain("zk://", info.Body, StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task Line_74_Event_stream_filter_by_type_and_small_plans_only()
    {
        await using var events = await EventStream.AttachAsync(Platform.ApiPort, "?event_type=deployment_success&event_type=deployment_info");
        await RunAsync(Sleeper("/line74"));
        var seen = await events.UntilAsync("deployment_success", all => all.Any(e => e.Type == "deployment_success"));
        Assert.Equal(["deployment_info", "deployment_success"], seen.Select(e => e.Type).Distinct());
        Assert.All(seen, e => Assert.Equal(["id", "steps", "version"], e.Data["plan"]!.AsObject().Select(m => m.Key).Order(StringComparer.Ordinal)));
        await RemoveAsync("/line74");
    }

    [DockerFact]
    public async Task Line_75_metrics_200_and_Prometheus_form_app_gauge_increments_HTTP_byte_counters()
    {
        var before = (await Api.GetAsync("/metrics")).Must(HttpStatusCode.OK).Json;
        await RunAsync(Sleeper("/line75"));
        var after = (await Api.GetAsync("/metrics")).Must(HttpStatusCode.OK).Json;
        Assert.Equal(Gauge(before) + 1, Gauge(after));
        Assert.True(after["counters"]!["marathon.http.responses.size.counter.bytes"]!["count"]!.GetValue<double>() > 0);
        var text = (await Api.GetAsync("/metrics/prometheus")).Must(HttpStatusCode.OK).Body;
        Assert.Matches(@"(?m)^marathon_apps_active_gauge \d+", text);
        await RemoveAsync("/line75");

        static double Gauge(JsonNode metrics) => metrics["gauges"]!["marathon.apps.active.gauge"]!["value"]!.GetValue<double>();
    }

    [DockerFact]
    public async Task Line_76_Pods_HEAD_create_list_status_scale_up_and_down_versions_update_delete()
    {
        (await Api.SendAsync(HttpMethod.Head, "/v2/pods", null)).Must(HttpStatusCode.OK);
        var pod = new JsonObject
        {
            ["id"] = "/line76",
            ["containers"] = new JsonArray(new JsonObject
            {
                ["name"] = "only", ["resources"] = new JsonObject { ["cpus"] = 0.01, ["mem"] = 32 },
                ["image"] = new JsonObject { ["kind"] = "DOCKER", ["id"] = Machine.TestImage }, ["exec"] = new JsonObject { ["command"] = new JsonObject { ["shell"] = "sleep 9999" } },
            }),
        };
        (await Api.PostAsync("/v2/pods", pod)).Must(HttpStatusCode.Created);
        await StableAsync(1);
        foreach (var instances in (int[])[2, 1])
        {
            (await Api.PutAsync("/v2/pods/line76", pod.With("scaling", new JsonObject { ["kind"] = "fixed", ["instances"] = instances }))).Must(HttpStatusCode.OK);
            await StableAsync(instances);
        }
        (await Api.PutAsync("/v2/pods/line76", pod.With("environment", new JsonObject { ["A"] = "1" }))).Must(HttpStatusCode.OK);
        await StableAsync(1);
        Assert.Equal("/line76", Assert.Single((await Api.GetAsync("/v2/pods")).Json.AsArray())!["id"]!.GetValue<string>());
        Assert.Equal(4, (await Api.GetAsync("/v2/pods/line76::versions")).Json.AsArray().Count);
        (await Api.DeleteAsync("/v2/pods/line76")).Must(HttpStatusCode.Accepted);
        await Eventually.HoldsAsync("it is gone", async () => (await Api.GetAsync("/v2/pods/line76::status")).Status == HttpStatusCode.NotFound);

        Task StableAsync(int instances) => Eventually.HoldsAsync($"{instances} are stable", async () =>
            (await Api.GetAsync("/v2/pods/line76::status")).Json is { } status && status["status"]?.GetValue<string>() == "STABLE"
            && status["instances"] is JsonArray now && now.Count == instances && (await Api.GetAsync("/v2/deployments")).Json.AsArray().Count == 0);
    }

    [DockerFact]
    public async Task Line_77_Auth_no_token_401()
    {
        var flags = new Dictionary<string, string> { ["--http-credentials"] = "admin:s3cret" };
        await using var guarded = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process", Flags = flags });
        foreach (var path in (string[])["/v2/apps", "/ping", "/ui/", "/metrics", "/v2/info"]) (await guarded.Api.GetAsync(path)).Must(HttpStatusCode.Unauthorized);
    }
}
