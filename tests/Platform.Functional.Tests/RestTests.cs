using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>The rest of the contract's life of an app, on real containers.</summary>
public sealed class RestTests(OnePlatform one) : IClassFixture<OnePlatform>
{
    private MarathonApi Api => one.Platform.Api;

    [DockerFact]
    public async Task Post_answers_with_the_app_its_place_and_its_deployment()
    {
        var answer = await Api.CreateAsync(Apps.Web("/fresh"));
        Assert.EndsWith("/v2/apps/fresh", answer.Headers.Location!.ToString(), StringComparison.Ordinal);
        var deployment = Assert.Single(answer.Headers.GetValues("Marathon-Deployment-Id"));
        Assert.Equal(deployment, answer.Json["deployments"]![0]!["id"]!.GetValue<string>());
        Assert.Equal("/fresh", answer.Json["id"]!.GetValue<string>());
        Assert.Equal(0, answer.Json["tasksRunning"]!.GetValue<int>());
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", answer.Json["version"]!.GetValue<string>());
        await Api.ReadyAsync("/fresh");
        await RemoveAsync("/fresh");
    }

    [DockerFact]
    public async Task Scaling_keeps_the_first_task_and_a_change_replaces_all()
    {
        await Api.CreateAsync(Apps.Web("/scaled"));
        await Api.ReadyAsync("/scaled");
        var first = Assert.Single(await Api.TasksAsync("/scaled")).Id;

        foreach (var instances in (int[])[3, 1])
        {
            (await Api.PutAsync("/v2/apps/scaled", new JsonObject { ["instances"] = instances })).Must(HttpStatusCode.OK);
            await Api.ReadyAsync("/scaled");
            Assert.Equal(instances, (await Api.TasksAsync("/scaled")).Length);
            Assert.Contains(await Api.TasksAsync("/scaled"), x => x.Id == first);
        }
        (await Api.PutAsync("/v2/apps/scaled", new JsonObject { ["mem"] = 48 })).Must(HttpStatusCode.OK);
        await Api.ReadyAsync("/scaled");
        Assert.NotEqual(first, Assert.Single(await Api.TasksAsync("/scaled")).Id);

        var versions = (await Api.GetAsync("/v2/apps/scaled/versions")).Json["versions"]!.AsArray().Select(x => x!.GetValue<string>()).ToArray();
        Assert.Equal(4, versions.Length);
        Assert.Equal(versions.OrderDescending(StringComparer.Ordinal), versions);
        Assert.Equal(32, (await Api.GetAsync($"/v2/apps/scaled/versions/{versions[^1]}")).Json["mem"]!.GetValue<double>());
        await RemoveAsync("/scaled");
    }

    [DockerFact]
    public async Task A_killed_task_is_replaced_and_with_scale_it_is_not()
    {
        await Api.CreateAsync(Apps.Web("/killed", 2));
        await Api.ReadyAsync("/killed");
        var tasks = await Api.TasksAsync("/killed");

        (await Api.DeleteAsync($"/v2/apps/killed/tasks/{tasks[0].Id}")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("another takes its place", async () =>
            await Api.TasksAsync("/killed") is { Length: 2 } now && now.All(x => x.Id != tasks[0].Id && x.State == "TASK_RUNNING"));

        (await Api.DeleteAsync($"/v2/apps/killed/tasks/{tasks[1].Id}?scale=true")).Must(HttpStatusCode.OK);
        await Api.ReadyAsync("/killed");
        Assert.Equal(1, (await Api.AppAsync("/killed")).Instances);
        Assert.DoesNotContain(await Api.TasksAsync("/killed"), x => x.Id == tasks[1].Id);
        (await Api.DeleteAsync("/v2/apps/killed/tasks/killed.instance-00000000-0000-8000-8000-000000000000._app.1")).Must(HttpStatusCode.NotFound);
        await RemoveAsync("/killed");
    }

    [DockerFact]
    public async Task An_app_in_deployment_is_locked_until_force_or_cancel()
    {
        await Api.CreateAsync(Apps.Web("/locked").With("cpus", 1000));
        var locked = (await Api.PutAsync("/v2/apps/locked", new JsonObject { ["instances"] = 2 })).Must(HttpStatusCode.Conflict);
        var deployment = locked.Json["deployments"]![0]!["id"]!.GetValue<string>();
        Assert.Contains((await Api.GetAsync("/v2/deployments")).Json.AsArray(), x => x!["id"]!.GetValue<string>() == deployment);

        Assert.Equal(HttpStatusCode.Accepted, (await Api.DeleteAsync($"/v2/deployments/{deployment}?force=true")).Status);
        await Eventually.HoldsAsync("the deployment is gone", async () =>
            (await Api.GetAsync("/v2/deployments")).Json.AsArray().All(x => x!["id"]!.GetValue<string>() != deployment));
        Assert.Contains("/locked", await Api.AppIdsAsync());
        await RemoveAsync("/locked");
    }

    [DockerFact]
    public async Task Cancelling_a_first_deployment_without_force_takes_the_app_back()
    {
        var created = await Api.CreateAsync(Apps.Web("/undone").With("cpus", 1000));
        var deployment = created.Headers.GetValues("Marathon-Deployment-Id").Single();
        (await Api.DeleteAsync($"/v2/deployments/{deployment}")).Must(HttpStatusCode.OK);
        await Api.GoneAsync("/undone");
    }

    [DockerFact]
    public async Task Tasks_are_listed_as_json_and_as_the_bridges_text()
    {
        await Api.CreateAsync(Apps.Web("/listed/web", 2));
        var port = (await Api.ReadyAsync("/listed/web")).ServicePorts[0];
        var tasks = await Api.TasksAsync("/listed/web");

        var json = (await Api.GetAsync("/v2/tasks")).Json["tasks"]!.AsArray().Where(x => x!["appId"]!.GetValue<string>() == "/listed/web").ToArray();
        Assert.Equal(2, json.Length);
        Assert.All(json, x => Assert.Equal(port, x!["servicePorts"]![0]!.GetValue<int>()));

        var line = (await Api.GetAsync("/v2/tasks", "text/plain")).Body.Split('\n').Single(x => x.StartsWith("listed_web\t", StringComparison.Ordinal)).Split('\t');
        Assert.Equal($"{port}", line[1]);
        Assert.Equal(tasks.Select(x => $"{x.Ports[0]}").Order(), line[2..^1].Select(x => x.Split(':')[1]).Order());
        Assert.Equal("", line[^1]); // every address is followed by a tab
        await RemoveAsync("/listed/web");
    }

    [DockerFact]
    public async Task Sigterm_is_followed_by_sigkill_only_after_the_grace_period()
    {
        using var marks = new MarkDirectory();
        var app = Apps.Web("/slow-end").With("taskKillGracePeriodSeconds", 20);
        app["cmd"] = "trap 'echo asked > /marks/asked; sleep 2; echo done > /marks/done; exit 0' TERM; while :; do sleep 0.1; done";
        app["container"]!["volumes"] = new JsonArray(new JsonObject { ["containerPath"] = "/marks", ["hostPath"] = marks.Path, ["mode"] = "RW" });
        await Api.CreateAsync(app);
        await Api.ReadyAsync("/slow-end");
        await RemoveAsync("/slow-end");
        Assert.True(File.Exists(Path.Combine(marks.Path, "done")), "it was killed before it could end by itself");
    }

    [DockerFact]
    public async Task Being_killed_for_too_much_memory_is_told_apart()
    {
        var app = Apps.Web("/hungry").With("mem", 32).With("backoffSeconds", 60);
        app["cmd"] = "tail /dev/zero";
        await Api.CreateAsync(app);
        var failure = await Eventually.GetAsync("the failure is told", async () =>
            (await Api.GetAsync("/v2/apps/hungry?embed=app.lastTaskFailure")).Json["app"]?["lastTaskFailure"], x => x is not null);
        Assert.Contains("memory", failure!["message"]!.GetValue<string>(), StringComparison.OrdinalIgnoreCase);
        await RemoveAsync("/hungry");
    }

    [DockerFact]
    public async Task Ping_info_and_leader_answer()
    {
        Assert.Equal("pong", (await Api.GetAsync("/ping", "text/plain")).Must(HttpStatusCode.OK).Body.Trim());
        Assert.Equal("marathon", (await Api.GetAsync("/v2/info")).Json["name"]!.GetValue<string>());
        Assert.Contains(':', (await Api.GetAsync("/v2/leader")).Json["leader"]!.GetValue<string>());
    }

    private async Task RemoveAsync(string app)
    {
        (await Api.DeleteAsync($"/v2/apps{app}")).Must(HttpStatusCode.OK);
        await Api.GoneAsync(app);
        await Eventually.HoldsAsync($"{app} has no container", async () => (await one.Platform.ContainersAsync()).All(x => !x.StartsWith($"/platform-{app[1..].Replace('/', '_')}.", StringComparison.Ordinal)));
    }

    private sealed class MarkDirectory : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("platform-ft-marks-").FullName;
        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
