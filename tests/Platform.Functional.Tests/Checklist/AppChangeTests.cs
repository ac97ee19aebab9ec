using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>Lines 22 to 40: reading, changing, scaling and taking back.</summary>
public sealed class AppChangeTests(OnePlatform one) : ChecklistTests(one)
{
    [DockerFact]
    public async Task Line_22_GET_lists_agree()
    {
        await RunAsync(Sleeper("/line22", 2));
        var ofApp = await TaskIdsAsync("/line22");
        static string[] Ids(JsonNode? tasks) => [.. tasks!.AsArray().Where(t => t!["appId"]!.GetValue<string>() == "/line22").Select(t => t!["id"]!.GetValue<string>()).Order(StringComparer.Ordinal)];
        Assert.Equal(2, ofApp.Length);
        Assert.Equal(ofApp, Ids((await Api.GetAsync("/v2/tasks")).Json["tasks"]));
        Assert.Equal(ofApp, Ids((await AppAsync("/line22"))["tasks"]));
        var listed = (await Api.GetAsync("/v2/apps?embed=apps.tasks")).Json["apps"]!.AsArray().Single(a => a!["id"]!.GetValue<string>() == "/line22")!;
        Assert.Equal(ofApp, Ids(listed["tasks"]));
        await RemoveAsync("/line22");
    }

    [DockerTheory]
    [InlineData("PUT")]
    [InlineData("PATCH")]
    public async Task Line_23_PUT_update_changes_cmd_cpus_instances_and_PATCH_too_and_GET_shows_new_values(string method)
    {
        var id = $"/line23-{method.ToLowerInvariant()}";
        await RunAsync(Sleeper(id));
        (await Api.SendAsync(new HttpMethod(method), $"/v2/apps{id}", """{"cmd":"sleep 8888","cpus":0.02,"instances":2}"""u8.ToArray())).Must(HttpStatusCode.OK);
        Assert.Equal(2, (await Api.ReadyAsync(id)).Running);
        var app = await AppAsync(id);
        Assert.Equal(("sleep 8888", 0.02, 2, 16), (app["cmd"]!.GetValue<string>(), app["cpus"]!.GetValue<double>(), app["instances"]!.GetValue<int>(), app["mem"]!.GetValue<int>()));
        await RemoveAsync(id);
    }

    [DockerFact]
    public async Task Line_24_Scale_1_2_1_keeps_the_first_task()
    {
        await RunAsync(Sleeper("/line24"));
        var first = await TaskIdsAsync("/line24");
        foreach (var instances in (int[])[2, 1])
        {
            await PutAsync("/line24", new JsonObject { ["instances"] = instances });
            Assert.Equal(instances, (await Api.ReadyAsync("/line24")).Running);
        }
        Assert.Equal(first, await TaskIdsAsync("/line24"));
        await RemoveAsync("/line24");
    }

    [DockerFact]
    public async Task Line_25_Restart_all_task_ids_new()
    {
        await RunAsync(Sleeper("/line25", 2));
        var before = await TaskIdsAsync("/line25");
        (await Api.SendAsync(HttpMethod.Post, "/v2/apps/line25/restart", null)).Must(HttpStatusCode.OK);
        await Api.ReadyAsync("/line25");
        var after = await TaskIdsAsync("/line25");
        Assert.Equal(2, after.Length);
        Assert.Empty(after.Intersect(before));
        await RemoveAsync("/line25");
    }

    [DockerFact]
    public async Task Line_26_versions_size_1_after_create_and_equal_to_app_version_after_update_size_2_and_versions_v_gives_old_config()
    {
        await RunAsync(Sleeper("/line26"));
        var version = Assert.Single((await Api.GetAsync("/v2/apps/line26/versions")).Json["versions"]!.AsArray())!.GetValue<string>();
        Assert.Equal((await AppAsync("/line26"))["version"]!.GetValue<string>(), version);
        await PutAsync("/line26", new JsonObject { ["cmd"] = "sleep 8888" });
        Assert.Equal(2, (await Api.GetAsync("/v2/apps/line26/versions")).Json["versions"]!.AsArray().Count);
        Assert.Equal("sleep 9999", (await Api.GetAsync($"/v2/apps/line26/versions/{version}")).Must(HttpStatusCode.OK).Json["cmd"]!.GetValue<string>());
        await RemoveAsync("/line26");
    }

    [DockerFact]
    public async Task Line_27_versionInfo_scale_changes_lastScalingAt_only_and_config_change_both()
    {
        await RunAsync(Sleeper("/line27"));
        var created = await InfoAsync("/line27");
        Assert.Equal(created.Scaling, created.Config);
        await PutAsync("/line27", new JsonObject { ["instances"] = 2 });
        await Api.ReadyAsync("/line27");
        var scaled = await InfoAsync("/line27");
        Assert.NotEqual(created.Scaling, scaled.Scaling);
        Assert.Equal(created.Config, scaled.Config);
        await PutAsync("/line27", new JsonObject { ["cmd"] = "sleep 8888" });
        var changed = await InfoAsync("/line27");
        Assert.NotEqual(scaled.Scaling, changed.Scaling);
        Assert.Equal(changed.Scaling, changed.Config);
        await Api.ReadyAsync("/line27");
        await RemoveAsync("/line27");
    }

    [DockerFact]
    public async Task Line_28_Kill_one_task_replaced_with_scale_instances_1_less_kill_all_kill_all_and_scale_instances_0()
    {
        await RunAsync(Sleeper("/line28", 3));
        var first = await TaskIdsAsync("/line28");
        (await Api.DeleteAsync($"/v2/apps/line28/tasks/{first[0]}")).Must(HttpStatusCode.OK);
        await RunningWithoutAsync("/line28", 3, first[..1]);
        var second = await TaskIdsAsync("/line28");
        (await Api.DeleteAsync($"/v2/apps/line28/tasks/{second[0]}?scale=true")).Must(HttpStatusCode.OK);
        Assert.Equal(2, (await Api.ReadyAsync("/line28")).Instances);
        var third = await TaskIdsAsync("/line28");
        Assert.Equal(2, (await Api.DeleteAsync("/v2/apps/line28/tasks")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray().Count);
        await RunningWithoutAsync("/line28", 2, third);
        (await Api.DeleteAsync("/v2/apps/line28/tasks?scale=true")).Must(HttpStatusCode.OK);
        Assert.Equal((0, 0), await Api.ReadyAsync("/line28") is var none ? (none.Instances, none.Running) : default);
        await RemoveAsync("/line28");
    }

    [DockerFact]
    public async Task Line_29_DELETE_app_200_then_404_and_no_tasks()
    {
        await RunAsync(Sleeper("/line29"));
        (await Api.DeleteAsync("/v2/apps/line29")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("no task is left", async () => (await Api.GetAsync("/v2/tasks")).Json["tasks"]!.AsArray().All(t => t!["appId"]!.GetValue<string>() != "/line29"));
        (await Api.GetAsync("/v2/apps/line29")).Must(HttpStatusCode.NotFound);
        (await Api.GetAsync("/v2/apps/line29/tasks")).Must(HttpStatusCode.NotFound);
    }

    [DockerFact]
    public async Task Line_30_Event_order_for_create_api_post_event_group_change_success_deployment_info_status_update_event_deployment_success()
    {
        await using var events = await EventStream.AttachAsync(Platform.ApiPort);
        await RunAsync(Sleeper("/line30"));
        var seen = await events.UntilAsync("deployment_success", all => all.Any(e => e.Type == "deployment_success"));
        string[] order = ["api_post_event", "group_change_success", "deployment_info", "status_update_event", "deployment_success"];
        Assert.Equal(order, seen.Select(e => e.Type).Where(order.Contains).Distinct());
        await RemoveAsync("/line30");
    }

    [DockerFact]
    public async Task Line_31_Cancel_DELETE_deployment_force_true_202_deployment_failed_v2_deployments_empty_app_remains()
    {
        await using var events = await EventStream.AttachAsync(Platform.ApiPort);
        await Api.CreateAsync(Sleeper("/line31").With("cpus", TooManyCpus));
        var deployment = Assert.Single(await DeploymentsOfAsync("/line31"))["id"]!.GetValue<string>();
        var answer = (await Api.DeleteAsync($"/v2/deployments/{deployment}?force=true")).Must(HttpStatusCode.Accepted);
        Assert.Empty(answer.Body);
        await events.UntilAsync("deployment_failed", seen => seen.Any(e => e.Type == "deployment_failed" && e.Data["id"]!.GetValue<string>() == deployment));
        Assert.Empty(await DeploymentsOfAsync("/line31"));
        Assert.Equal(TooManyCpus, (await AppAsync("/line31"))["cpus"]!.GetValue<double>());
        await RemoveAsync("/line31");
    }

    [DockerFact]
    public async Task Line_32_Rollback_DELETE_deployment_of_a_first_create_app_gone_404()
    {
        await Api.CreateAsync(Sleeper("/line32").With("cpus", TooManyCpus));
        var deployment = Assert.Single(await DeploymentsOfAsync("/line32"))["id"]!.GetValue<string>();
        (await Api.DeleteAsync($"/v2/deployments/{deployment}")).Must(HttpStatusCode.OK);
        await Api.GoneAsync("/line32");
    }

    [DockerTheory]
    [InlineData("""{"minimumHealthCapacity":0,"maximumOverCapacity":0}""")]
    [InlineData("""{"minimumHealthCapacity":1,"maximumOverCapacity":1}""")] // the default
    public async Task Line_33_Rollback_of_a_stuck_update_old_version_running_with_default_strategy_too(string strategy)
    {
        await RunAsync(Sleeper("/line33", 2).With("upgradeStrategy", JsonNode.Parse(strategy)!));
        var deployment = await PutAsync("/line33", new JsonObject { ["cpus"] = TooManyCpus });
        await Eventually.HoldsAsync("it waits", async () => await Api.QueueItemAsync("/line33") is not null);
        (await Api.DeleteAsync($"/v2/deployments/{deployment}")).Must(HttpStatusCode.OK);
        Assert.Equal(2, (await Api.ReadyAsync("/line33")).Running);
        Assert.Equal(0.01, (await AppAsync("/line33"))["cpus"]!.GetValue<double>());
        await RemoveAsync("/line33");
    }

    [DockerFact]
    public async Task Line_34_A_plain_app_has_no_docker_block_in_the_answer()
    {
        await Api.CreateAsync(Sleeper("/line34"));
        Assert.False((await AppAsync("/line34")).ContainsKey("container"));
        await Api.ReadyAsync("/line34");
        await RemoveAsync("/line34");
    }

    [DockerFact]
    public async Task Line_35_Docker_app_with_port_mappings_update_keeps_mapping_and_update_of_ports_sets_them_right()
    {
        var before = (await RunAsync(Apps.Web("/line35").WithHttpCheck())).ServicePorts;
        await PutAsync("/line35", new JsonObject { ["env"] = new JsonObject { ["A"] = "1" } });
        Assert.Equal(before, (await Api.ReadyAsync("/line35")).ServicePorts);
        var container = Apps.Web("/line35")["container"]!.DeepClone();
        container["docker"]!["portMappings"]!.AsArray().Add(new JsonObject { ["containerPort"] = 9999, ["hostPort"] = 0 });
        await PutAsync("/line35", new JsonObject { ["container"] = container });
        var after = await Api.ReadyAsync("/line35");
        Assert.Equal(2, after.ServicePorts.Length);
        Assert.Equal(before[0], after.ServicePorts[0]);
        Assert.Equal(2, Assert.Single(await Api.TasksAsync("/line35")).Ports.Length);
        await RemoveAsync("/line35");
    }

    [DockerFact]
    public async Task Line_36_tty_flag_gives_test_t_0_success()
    {
        Assert.Equal(1, (await RunAsync(Sleeper("/line36").With("tty", true).With("cmd", "test -t 0 && touch tty-is-there && sleep 9999")
            .WithCheck(CommandCheck("test -f $MESOS_SANDBOX/tty-is-there")))).Healthy);
        await RemoveAsync("/line36");
    }

    [DockerFact]
    public async Task Line_37_Rolled_back_scale_down_gives_2_tasks_again()
    {
        // It ends slowly, so that there is a scale-down to roll back.
        var app = Sleeper("/line37", 2).With("cmd", "trap 'sleep 3; exit' TERM; while :; do sleep 0.1; done").With("taskKillGracePeriodSeconds", 60);
        await RunAsync(app);
        var deployment = await PutAsync("/line37", new JsonObject { ["instances"] = 1 });
        (await Api.DeleteAsync($"/v2/deployments/{deployment}")).Must(HttpStatusCode.OK);
        var after = await Api.ReadyAsync("/line37");
        Assert.Equal((2, 2), (after.Instances, after.Running));
        await RemoveAsync("/line37");
    }

    [DockerFact]
    public async Task Line_40_Secrets_by_env_and_file()
    {
        (await Api.SendAsync(HttpMethod.Put, "/v2/secrets/line40", """{"value":"open sesame"}"""u8.ToArray())).Must(HttpStatusCode.Created);
        var app = Apps.Web("/line40").With("secrets", new JsonObject { ["s"] = new JsonObject { ["source"] = "line40" } })
            .With("env", new JsonObject { ["S"] = new JsonObject { ["secret"] = "s" } })
            .WithCheck(CommandCheck("test ${#S} = 11 && test \"$S\" = \"$(cat /keep/it)\""));
        app["container"]!["volumes"] = new JsonArray(new JsonObject { ["containerPath"] = "/keep/it", ["secret"] = "s" });
        Assert.Equal(1, (await RunAsync(app)).Healthy);
        Assert.DoesNotContain("sesame", (await Api.GetAsync("/v2/apps/line40?embed=app.tasks")).Body, StringComparison.Ordinal);
        await RemoveAsync("/line40");
        (await Api.DeleteAsync("/v2/secrets/line40")).Must(HttpStatusCode.OK);
    }

    [DockerFact]
    public async Task Line_40_Inaccessible_secret_denied()
    {
        var app = Sleeper("/line40-denied").With("secrets", new JsonObject { ["s"] = new JsonObject { ["source"] = "no/such/secret" } })
            .With("env", new JsonObject { ["S"] = new JsonObject { ["secret"] = "s" } });
        await Api.CreateAsync(app.With("backoffSeconds", 30));
        Assert.Equal("Inaccessible secret: no/such/secret", await FailureAsync("/line40-denied"));
        await RemoveAsync("/line40-denied");
    }

    private async Task<(string Scaling, string Config)> InfoAsync(string id)
    {
        var info = (await AppAsync(id))["versionInfo"]!;
        return (info["lastScalingAt"]!.GetValue<string>(), info["lastConfigChangeAt"]!.GetValue<string>());
    }

    private Task RunningWithoutAsync(string id, int count, string[] killed) => Eventually.HoldsAsync($"{count} others run", async () =>
        await Api.TasksAsync(id) is var now && now.Length == count && now.All(t => t.State == "TASK_RUNNING" && !killed.Contains(t.Id)));
}
