using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>Lines 58 to 68: what happens to the platform must not happen to its tasks.</summary>
public sealed class ResilienceTests(OnePlatform one) : ChecklistTests(one)
{
    [DockerTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Line_58_Master_restart_and_agent_bounce_task_id_kept_app_reachable_again(bool killed)
    {
        var id = $"/line58-{(killed ? "killed" : "ended")}";
        var port = (await RunAsync(Apps.Web(id).WithHttpCheck())).ServicePorts[0];
        var before = await TaskIdsAsync(id);
        if (killed) await Platform.KillAsync();
        else Assert.Equal(0, await Platform.TerminateAsync());
        await Platform.StartAgainAsync();
        await Api.ReadyAsync(id);
        Assert.Equal(before, await TaskIdsAsync(id));
        await Eventually.HoldsAsync("it is reachable again", async () =>
        {
            using var http = new HttpClient();
            using var answer = await http.GetAsync(PlatformUnderTest.ServicePort(port));
            return answer.StatusCode == HttpStatusCode.OK;
        });
        await RemoveAsync(id);
    }

    [DockerFact]
    public async Task Line_61_leader_DELETE_says_Leadership_abdicated_apps_and_task_ids_survive_a_deleted_app_does_not_rise_again()
    {
        await RunAsync(Sleeper("/line61"));
        await RunAsync(Sleeper("/line61-deleted"));
        await RemoveAsync("/line61-deleted");
        var before = await TaskIdsAsync("/line61");
        for (var round = 1; round <= 3; round++)
        {
            await AbdicateAsync();
            Assert.Contains(':', (await Api.GetAsync("/v2/leader")).Must(HttpStatusCode.OK).Json["leader"]!.GetValue<string>());
            Assert.Equal(before, await TaskIdsAsync("/line61"));
        }
        (await Api.GetAsync("/v2/apps/line61-deleted")).Must(HttpStatusCode.NotFound);
        await RemoveAsync("/line61");
    }

    [DockerFact]
    public async Task Line_62_Abdication_with_an_unfinished_deployment_2_unhealthy_tasks_continues_under_the_new_leader()
    {
        var flag = Path.Combine(Path.GetTempPath(), $"platform-line62-{Guid.NewGuid():n}");
        await Api.CreateAsync(Sleeper("/line62", 2).WithCheck(CommandCheck($"test -f {flag}").With("maxConsecutiveFailures", 0).With("gracePeriodSeconds", 0)));
        await Eventually.GetAsync("both are unhealthy", () => Api.AppAsync("/line62"), a => a.Unhealthy == 2);
        var deployment = Assert.Single(await DeploymentsOfAsync("/line62"))["id"]!.GetValue<string>();
        await AbdicateAsync();
        Assert.Equal(deployment, Assert.Single(await DeploymentsOfAsync("/line62"))["id"]!.GetValue<string>());
        await File.WriteAllTextAsync(flag, "");
        Assert.Equal(2, (await Api.ReadyAsync("/line62")).Healthy);
        File.Delete(flag);
        await RemoveAsync("/line62");
    }

    [DockerFact]
    public async Task Line_62_A_deployment_with_1_ready_and_1_unready_task_continues()
    {
        var app = Apps.Web("/line62-ready", 2);
        app["container"]!["docker"]!["portMappings"]![0]!["name"] = "http";
        app["readinessChecks"] = new JsonArray(new JsonObject { ["portName"] = "http", ["path"] = "/warm.txt", ["intervalSeconds"] = 2, ["timeoutSeconds"] = 1.9 });
        await Api.CreateAsync(app);
        await RunningAsync("/line62-ready", 2);
        var tasks = await Api.TasksAsync("/line62-ready");
        await WarmAsync(tasks[0]);
        await Eventually.HoldsAsync("one is ready", async () => (await DeploymentsOfAsync("/line62-ready")) is [var only]
            && only["currentActions"]?.AsArray().FirstOrDefault()?["readinessCheckResults"]?.AsArray().Count(r => r?["ready"]?.GetValue<bool>() == true) == 1);
        await AbdicateAsync();
        Assert.Single(await DeploymentsOfAsync("/line62-ready"));
        await WarmAsync(tasks[1]);
        await Api.ReadyAsync("/line62-ready");
        await RemoveAsync("/line62-ready");
    }

    [DockerFact]
    public async Task Line_63_GET_root_302()
    {
        using var http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false });
        using var answer = await http.GetAsync(new Uri($"http://127.0.0.1:{Platform.ApiPort}/"));
        Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
        Assert.EndsWith("/ui/", answer.Headers.Location!.ToString(), StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task Line_64_404_and_POST_without_Content_Type()
    {
        (await Api.GetAsync("/v2/no/such/thing")).Must(HttpStatusCode.NotFound);
        using var http = new HttpClient();
        using var body = new ByteArrayContent(System.Text.Encoding.UTF8.GetBytes(Sleeper("/line64").ToJsonString()));
        using var answer = await http.PostAsync(new Uri($"http://127.0.0.1:{Platform.ApiPort}/v2/apps"), body);
        Assert.Null(body.Headers.ContentType);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        await Api.ReadyAsync("/line64");
        await RemoveAsync("/line64");
    }

    [DockerFact]
    public async Task Line_65_Second_instance_on_a_bound_port_exits_with_error()
    {
        var flags = new Dictionary<string, string> { ["--api"] = $"127.0.0.1:{Platform.ApiPort}" };
        var (code, said) = await PlatformUnderTest.RefusedStartAsync(new PlatformOptions { Runtime = "process", Flags = flags });
        Assert.NotEqual(0, code);
        Assert.Contains("--api", said, StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task Line_67_Restart_keeps_data_in_a_persistent_volume_and_kill_re_attaches()
    {
        await RunAsync(Resident("/line67"));
        (await Api.SendAsync(HttpMethod.Post, "/v2/apps/line67/restart", null)).Must(HttpStatusCode.OK);
        await StartsAsync("/line67", 2);
        (await Api.DeleteAsync("/v2/apps/line67/tasks")).Must(HttpStatusCode.OK);
        await StartsAsync("/line67", 3);
        await RemoveAsync("/line67");
    }

    [DockerFact]
    public async Task Line_68_wipe_frees_scale_down_keeps_reservation_resident_restart_and_config_change()
    {
        await RunAsync(Resident("/line68").With("instances", 2));
        await Api.ReadyAsync("/line68");
        var volumes = await VolumesAsync("/line68");
        await PutAsync("/line68", new JsonObject { ["instances"] = 1 });
        await Api.ReadyAsync("/line68");
        await PutAsync("/line68", new JsonObject { ["instances"] = 2 });
        await Api.ReadyAsync("/line68");
        Assert.Equal(volumes, await VolumesAsync("/line68"));
        await PutAsync("/line68", new JsonObject { ["env"] = new JsonObject { ["CHANGED"] = "yes" } });
        await Api.ReadyAsync("/line68");
        Assert.Equal(volumes, await VolumesAsync("/line68"));
        (await Api.DeleteAsync("/v2/apps/line68/tasks?wipe=true")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("both have new volumes", async () => await VolumesAsync("/line68") is { Length: 2 } now && !now.Intersect(volumes).Any());
        await RemoveAsync("/line68");
    }

    /// <summary>Each start adds a line to the data, and only then is it healthy.</summary>
    private static JsonObject Resident(string id) => Sleeper(id).With("cmd", "echo start >> data/starts; sleep 9999")
        .With("backoffSeconds", 0)
        .With("container", new JsonObject { ["type"] = "MESOS", ["volumes"] = new JsonArray(new JsonObject { ["containerPath"] = "data", ["mode"] = "RW", ["persistent"] = new JsonObject { ["size"] = 10 } }) })
        .WithCheck(CommandCheck("test -s $MESOS_SANDBOX/data/starts"));

    private async Task<string[]> VolumesAsync(string id) =>
    [
        .. (await Api.GetAsync($"/v2/apps{id}/tasks")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray()
            .Select(t => t!["localVolumes"]![0]!["uuid"]!.GetValue<string>()).Order(StringComparer.Ordinal),
    ];

    private Task StartsAsync(string id, int count) => Eventually.HoldsAsync($"it has started {count} times on its volume", async () =>
    {
        if (await VolumesAsync(id) is not [var volume] || (await Api.AppAsync(id)).Healthy != 1) return false;
        var starts = Directory.EnumerateFiles(Path.Combine(Platform.DataDirectory, "volumes", volume), "starts", SearchOption.AllDirectories).FirstOrDefault();
        return starts is not null && (await File.ReadAllLinesAsync(starts)).Length == count;
    });

    private async Task AbdicateAsync()
    {
        var before = Platform.Log().Split("Leading again").Length;
        Assert.Equal("Leadership abdicated", (await Api.DeleteAsync("/v2/leader")).Must(HttpStatusCode.OK).Json["message"]!.GetValue<string>());
        await Eventually.HoldsAsync("it leads again", () => Task.FromResult(Platform.Log().Split("Leading again").Length == before + 1));
    }

    private static Task<string> WarmAsync(TaskView task) =>
        Command.DockerAsync("exec", task.Container, "sh", "-c", "for root in /tmp/www.*; do echo yes > $root/warm.txt; done");
}
