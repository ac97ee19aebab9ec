using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>Lines 1 to 15: how an app comes to run, and what becomes of it when it does not.</summary>
public sealed class AppLifeTests(OnePlatform one) : ChecklistTests(one)
{
    [DockerTheory]
    [InlineData("process")]
    [InlineData("DOCKER")]
    [InlineData("MESOS")]
    public async Task Line_01_A_sleep_command_app_reaches_1_running_task_same_with_a_Docker_image_and_under_the_Mesos_engine(string kind)
    {
        var app = Sleeper($"/line01-{kind.ToLowerInvariant()}");
        if (kind != "process") app["container"] = new JsonObject { ["type"] = kind, ["docker"] = new JsonObject { ["image"] = Machine.TestImage } };
        Assert.Equal(1, (await RunAsync(app)).Running);
        await RemoveAsync(IdOf(app));
    }

    [DockerFact]
    public async Task Line_02_A_task_that_traps_SIGTERM_is_still_listed_after_the_default_3_s_when_set_to_more_and_gone_after_it()
    {
        var mark = Path.Combine(Path.GetTempPath(), $"platform-line02-{Guid.NewGuid():n}");
        var app = Sleeper("/line02").With("taskKillGracePeriodSeconds", 6).With("cmd", $"trap 'touch {mark}' TERM; while :; do sleep 0.1; done");
        await RunAsync(app);
        var task = Assert.Single(await TaskIdsAsync("/line02"));
        (await Api.DeleteAsync($"/v2/apps/line02/tasks/{task}?scale=true")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("it was asked to end", () => Task.FromResult(File.Exists(mark)));
        await Eventually.HoldsAsync("it is gone", async () => (await TaskIdsAsync("/line02")).Length == 0);
        // By the clock it could only be too soon: that the machine was busy makes it later.
        var lasted = DateTime.UtcNow - File.GetLastWriteTimeUtc(mark);
        Assert.True(lasted > TimeSpan.FromSeconds(5), $"it was given {lasted.TotalSeconds} s of 6");
        File.Delete(mark);
        await RemoveAsync("/line02");
    }

    [DockerFact]
    public async Task Line_03_Bridge_Docker_app_a_request_to_host_PORT0_answers_and_the_DNS_name_of_the_app_resolves()
    {
        await RunAsync(Apps.Web("/line03").WithHttpCheck());
        var task = Assert.Single(await Api.TasksAsync("/line03"));
        var address = Assert.Single((await Platform.DigAsync("line03.marathon.mesos", "A")).Answers).Data;
        Assert.Contains(task.Id, await GetTextAsync(new Uri($"http://{address}:{task.Ports[0]}/")), StringComparison.Ordinal);
        await RemoveAsync("/line03");
    }

    [DockerFact]
    public async Task Line_04_A_task_starts_within_10_s_of_the_POST()
    {
        await RunAsync(Sleeper("/line04"));
        var app = await AppAsync("/line04");
        var took = Time(app["tasks"]![0]!["startedAt"]!) - Time(app["version"]!);
        Assert.InRange(took.TotalSeconds, 0, 10);
        await RemoveAsync("/line04");
    }

    [DockerFact]
    public async Task Line_05_ui_gives_200_and_ping_gives_pong()
    {
        Assert.Contains("<html", (await Api.GetAsync("/ui/")).Must(HttpStatusCode.OK).Body, StringComparison.OrdinalIgnoreCase);
        Assert.Equal("pong", (await Api.GetAsync("/ping")).Must(HttpStatusCode.OK).Body);
    }

    [DockerFact]
    public async Task Line_06_Killing_a_task_leads_to_another_one_with_a_different_id()
    {
        await RunAsync(Sleeper("/line06"));
        var first = Assert.Single(await TaskIdsAsync("/line06"));
        (await Api.DeleteAsync($"/v2/apps/line06/tasks/{first}")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("another runs", async () => await Api.TasksAsync("/line06") is [{ State: "TASK_RUNNING" } now] && now.Id != first);
        await RemoveAsync("/line06");
    }

    [DockerFact]
    public async Task Line_07_user_is_honoured_and_of_an_unknown_user_the_lastTaskFailure_contains_No_such_user_bad()
    {
        var honoured = Sleeper("/line07").With("user", "nobody").With("cmd", "test \"$(id -un)\" = nobody && sleep 9999");
        Assert.Equal(1, (await RunAsync(honoured.WithCheck(CommandCheck("test \"$(id -un)\" = nobody")))).Healthy);
        await Api.CreateAsync(Sleeper("/line07-bad").With("user", "bad").With("backoffSeconds", 30));
        Assert.Contains("No such user 'bad'", await FailureAsync("/line07-bad"), StringComparison.Ordinal);
        await RemoveAsync("/line07", "/line07-bad");
    }

    [DockerFact]
    public async Task Line_08_A_bad_artifact_gives_a_lastTaskFailure_with_Failed_to_fetch_all_URIs_for_container()
    {
        await Api.CreateAsync(Sleeper("/line08").With("uris", new JsonArray("file:///no/such/file.tgz")).With("backoffSeconds", 30));
        Assert.Contains("Failed to fetch all URIs for container", await FailureAsync("/line08"), StringComparison.Ordinal);
        await RemoveAsync("/line08");
    }

    [DockerFact]
    public async Task Line_09_Without_user_the_default_user_runs_it()
    {
        var condition = $"test \"$(id -un)\" = {Environment.UserName}";
        Assert.Equal(1, (await RunAsync(Sleeper("/line09").With("cmd", $"{condition} && sleep 9999").WithCheck(CommandCheck(condition)))).Healthy);
        await RemoveAsync("/line09");
    }

    [DockerFact]
    public async Task Line_10_POST_gives_201_exactly_one_deployment_then_running_and_event_deployment_success()
    {
        await using var events = await EventStream.AttachAsync(Platform.ApiPort);
        var answer = (await Api.PostAsync("/v2/apps", Sleeper("/line10"))).Must(HttpStatusCode.Created);
        var deployment = Assert.Single(answer.Json["deployments"]!.AsArray())!["id"]!.GetValue<string>();
        Assert.Equal(deployment, Assert.Single(answer.Headers.GetValues("Marathon-Deployment-Id")));
        Assert.Equal(1, (await Api.ReadyAsync("/line10")).Running);
        await events.UntilAsync("deployment_success", seen => seen.Any(e => e.Type == "deployment_success" && e.Data["id"]!.GetValue<string>() == deployment));
        await RemoveAsync("/line10");
    }

    [DockerFact]
    public async Task Line_11_PUT_of_the_same_definition_does_not_restart_and_still_gives_200()
    {
        await RunAsync(Sleeper("/line11", 2));
        var before = await TaskIdsAsync("/line11");
        await PutAsync("/line11", Sleeper("/line11", 2));
        await Api.ReadyAsync("/line11");
        Assert.Equal(before, await TaskIdsAsync("/line11"));
        await RemoveAsync("/line11");
    }

    [DockerFact]
    public async Task Line_12_Backoff_is_reset_on_config_change_and_not_on_scaling()
    {
        await FailOnceAsync("/line12");
        await PutAsync("/line12", new JsonObject { ["instances"] = 2 }, force: true);
        Assert.True(await SecondsLeftAsync("/line12") > 1000);
        await PutAsync("/line12", new JsonObject { ["cmd"] = "sleep 9999" }, force: true);
        Assert.Equal(2, (await Api.ReadyAsync("/line12")).Running);
        await RemoveAsync("/line12");
    }

    [DockerFact]
    public async Task Line_13_Queue_delay_is_visible_and_DELETE_delay_gives_204_and_the_app_starts_at_once()
    {
        await FailOnceAsync("/line13");
        var first = (await AppAsync("/line13"))["lastTaskFailure"]!["taskId"]!.GetValue<string>();
        Assert.True(await SecondsLeftAsync("/line13") > 1000);
        (await Api.DeleteAsync("/v2/queue/line13/delay")).Must(HttpStatusCode.NoContent);
        await Eventually.HoldsAsync("another task was started, and failed", async () =>
            (await AppAsync("/line13"))["lastTaskFailure"]?["taskId"]?.GetValue<string>() is { } now && now != first);
        await RemoveAsync("/line13");
    }

    [DockerFact]
    public async Task Line_14_Restart_of_an_app_in_backoff_starts_at_once()
    {
        await FailOnceAsync("/line14");
        var first = (await AppAsync("/line14"))["lastTaskFailure"]!["taskId"]!.GetValue<string>();
        (await Api.SendAsync(HttpMethod.Post, "/v2/apps/line14/restart?force=true", null)).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("another task was started, and failed", async () =>
            (await AppAsync("/line14"))["lastTaskFailure"]?["taskId"]?.GetValue<string>() is { } now && now != first);
        await RemoveAsync("/line14");
    }

    private static DateTimeOffset Time(JsonNode text) => DateTimeOffset.Parse(text.GetValue<string>(), CultureInfo.InvariantCulture);

    private async Task FailOnceAsync(string id)
    {
        await Api.CreateAsync(Sleeper(id).With("cmd", "exit 1").With("backoffSeconds", 3000).With("maxLaunchDelaySeconds", 3600));
        await FailureAsync(id);
    }

    private async Task<int> SecondsLeftAsync(string id) => (await Eventually.GetAsync("it is in the queue",
        async () => (await Api.QueueItemAsync(id))?["delay"]?["timeLeftSeconds"]?.GetValue<int>(), left => left is not null))!.Value;
}
