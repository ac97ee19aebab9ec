using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

public sealed class HealthCheckTests(OnePlatform one) : IClassFixture<OnePlatform>
{
    private PlatformUnderTest Platform => one.Platform;

    [DockerTheory]
    [InlineData("http", """{"protocol":"HTTP","path":"/health","portIndex":0}""")]
    [InlineData("mesos-http", """{"protocol":"MESOS_HTTP","path":"/health","portIndex":0,"delaySeconds":0}""")]
    [InlineData("tcp", """{"protocol":"TCP","portIndex":0}""")]
    [InlineData("mesos-tcp", """{"protocol":"MESOS_TCP","portIndex":0,"delaySeconds":0}""")]
    [InlineData("command", """{"protocol":"COMMAND","command":{"value":"test -f /srv/serve"},"delaySeconds":0}""")]
    public async Task Each_kind_of_check_finds_a_healthy_task_healthy(string name, string check)
    {
        await Platform.Api.CreateAsync(Apps.Web($"/kinds/{name}").WithCheck(JsonNode.Parse(check)!.AsObject()));
        var app = await Platform.Api.ReadyAsync($"/kinds/{name}");
        Assert.Equal((1, 1, 0), (app.Running, app.Healthy, app.Unhealthy));
        Assert.True(Assert.Single(await Platform.Api.TasksAsync($"/kinds/{name}")).Healthy);
        await Platform.Api.DeleteAsync($"/v2/apps/kinds/{name}");
    }

    [DockerFact]
    public async Task A_failing_task_is_killed_at_failure_max_plus_one_and_replaced()
    {
        using var probes = new SharedDirectory();
        const int max = 2;
        var app = Apps.Web("/failing").With("backoffSeconds", 30).WithCheck(new JsonObject
        {
            ["protocol"] = "COMMAND",
            ["command"] = new JsonObject { ["value"] = "echo $MESOS_TASK_ID >> /probes/seen; false" },
            ["gracePeriodSeconds"] = 0,
            ["delaySeconds"] = 0,
            ["maxConsecutiveFailures"] = max,
        });
        app["container"]!["volumes"] = new JsonArray(new JsonObject { ["containerPath"] = "/probes", ["hostPath"] = probes.Path, ["mode"] = "RW" });
        await Platform.Api.CreateAsync(app);

        var failure = await Eventually.GetAsync("the kill is told", async () =>
            (await Platform.Api.GetAsync("/v2/apps/failing?embed=app.lastTaskFailure")).Json["app"]?["lastTaskFailure"], x => x is not null);

        Assert.Equal("TASK_KILLED", failure!["state"]!.GetValue<string>());
        Assert.StartsWith("Task was killed since health check failed", failure["message"]!.GetValue<string>(), StringComparison.Ordinal);
        var first = failure["taskId"]!.GetValue<string>();
        // Early probes, which look for the first success and are not counted, come on top; the arithmetic itself is the unit tests' matter.
        Assert.InRange(File.ReadLines(Path.Combine(probes.Path, "seen")).Count(x => x == first), max + 1, 100);
        Assert.Empty((await Platform.DigAsync("_failing._tcp.marathon.mesos", "SRV")).Answers);
        await Platform.Api.DeleteAsync("/v2/apps/failing");
    }

    [DockerFact]
    public async Task With_max_zero_a_failing_task_is_never_killed_and_never_published()
    {
        var app = Apps.Web("/spared").WithHttpCheck("/nowhere");
        app["healthChecks"]![0]!["gracePeriodSeconds"] = 0;
        app["healthChecks"]![0]!["maxConsecutiveFailures"] = 0;
        await Platform.Api.CreateAsync(app);
        await Eventually.GetAsync("it failed five times", async () =>
            (await Platform.Api.GetAsync("/v2/apps/spared/tasks")).Json["tasks"]?.AsArray().FirstOrDefault()?["healthCheckResults"]?.AsArray().FirstOrDefault()?["consecutiveFailures"]?.GetValue<int>() ?? 0, x => x >= 5);
        var view = await Platform.Api.AppAsync("/spared");
        Assert.Equal((1, 0, 1), (view.Running, view.Healthy, view.Unhealthy));
        Assert.Empty((await Platform.DigAsync("spared.marathon.mesos", "A")).Answers);
        await Platform.Api.DeleteAsync("/v2/apps/spared?force=true");
    }

    [DockerFact]
    public async Task A_task_that_becomes_unhealthy_leaves_every_view_and_comes_back_with_its_health()
    {
        await Platform.Api.CreateAsync(Apps.Web("/moody", 2).WithCheck(new JsonObject { ["protocol"] = "COMMAND", ["command"] = new JsonObject { ["value"] = "! test -f /tmp/ill" }, ["delaySeconds"] = 0, ["maxConsecutiveFailures"] = 1000 }));
        await Platform.Api.ReadyAsync("/moody");
        var ill = (await Platform.Api.TasksAsync("/moody"))[0];

        await Command.DockerAsync("exec", ill.Container, "touch", "/tmp/ill");
        await Eventually.GetAsync("one SRV record is left", async () => (await Platform.DigAsync("_moody._tcp.marathon.mesos", "SRV")).Answers.Length, x => x == 1);
        Assert.Equal(1, (await Platform.Api.AppAsync("/moody")).Healthy);

        await Command.DockerAsync("exec", ill.Container, "rm", "/tmp/ill");
        await Eventually.GetAsync("both are back", async () => (await Platform.DigAsync("_moody._tcp.marathon.mesos", "SRV")).Answers.Length, x => x == 2);
        Assert.Contains(await Platform.Api.TasksAsync("/moody"), x => x.Id == ill.Id);
        await Platform.Api.DeleteAsync("/v2/apps/moody");
    }

    private sealed class SharedDirectory : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("platform-ft-shared-").FullName;
        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
