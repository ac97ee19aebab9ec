using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>Lines 16 to 21 and 38, 39, 72: checks of health and of readiness.</summary>
public sealed class HealthTests(OnePlatform one) : ChecklistTests(one)
{
    [DockerTheory]
    [InlineData("HTTP")]
    [InlineData("MESOS_HTTP")]
    [InlineData("TCP")]
    [InlineData("MESOS_TCP")]
    [InlineData("COMMAND")]
    public async Task Line_16_Health_checks_each_kind(string protocol)
    {
        var check = protocol == "COMMAND" ? CommandCheck("test -f /srv/serve") : new JsonObject { ["protocol"] = protocol, ["portIndex"] = 0, ["delaySeconds"] = 0 };
        var id = $"/line16-{protocol.ToLowerInvariant().Replace('_', '-')}";
        Assert.Equal(1, (await RunAsync(Apps.Web(id).WithCheck(check))).Healthy);
        await RemoveAsync(id);
    }

    [DockerFact]
    public async Task Line_16_Health_checks_port_in_place_of_portIndex()
    {
        var port = Ports.Free();
        var app = Apps.Web("/line16-port").WithCheck(new JsonObject { ["protocol"] = "HTTP", ["port"] = port });
        app["cmd"] = $"rails server -p {port}";
        var docker = app["container"]!["docker"]!.AsObject();
        docker["network"] = "HOST";
        docker.Remove("portMappings");
        Assert.Equal(1, (await RunAsync(app)).Healthy);
        await RemoveAsync("/line16-port");
    }

    [DockerTheory]
    [InlineData("HTTPS")]
    [InlineData("MESOS_HTTPS")]
    public async Task Line_16_Health_checks_HTTPS_and_MESOS_HTTPS(string protocol)
    {
        using var server = new TlsServer();
        var id = $"/line16-{protocol.ToLowerInvariant().Replace('_', '-')}";
        var app = server.Answer(Apps.Web(id)).WithCheck(new JsonObject { ["protocol"] = protocol, ["portIndex"] = 0, ["delaySeconds"] = 0 });
        Assert.Equal(1, (await RunAsync(app)).Healthy);
        await RemoveAsync(id);
    }

    [DockerFact]
    public async Task Line_17_No_health_checks_tasksHealthy_0_running_1()
    {
        await RunAsync(Sleeper("/line17"));
        var app = await AppAsync("/line17");
        Assert.Equal((0, 1), (app["tasksHealthy"]!.GetValue<int>(), app["tasksRunning"]!.GetValue<int>()));
        await RemoveAsync("/line17");
    }

    [DockerFact]
    public async Task Line_18_Always_failing_check_with_max_0_running_1_healthy_0_unhealthy_1()
    {
        await Api.CreateAsync(Sleeper("/line18").WithCheck(CommandCheck("false").With("maxConsecutiveFailures", 0).With("gracePeriodSeconds", 0)));
        var app = await Eventually.GetAsync("it is unhealthy", () => Api.AppAsync("/line18"), a => a.Unhealthy == 1);
        Assert.Equal((1, 0), (app.Running, app.Healthy));
        await RemoveAsync("/line18");
    }

    [DockerFact]
    public async Task Line_19_Unhealthy_app_never_finishes_its_deployment_and_failed_health_check_event_arrives_repeatedly()
    {
        await using var events = await EventStream.AttachAsync(Platform.ApiPort);
        await Api.CreateAsync(Sleeper("/line19").WithCheck(CommandCheck("false").With("maxConsecutiveFailures", 0).With("gracePeriodSeconds", 0)));
        await events.UntilAsync("it failed three times", seen =>
            seen.Count(e => e.Type == "failed_health_check_event" && e.Data["appId"]!.GetValue<string>() == "/line19") >= 3);
        Assert.Single(await DeploymentsOfAsync("/line19"));
        Assert.DoesNotContain(events.Events, e => e.Type == "deployment_success");
        await RemoveAsync("/line19");
    }

    [DockerFact]
    public async Task Line_20_Too_slow_health_check_also_fails()
    {
        var app = Apps.Web("/line20").WithHttpCheck("/cgi-bin/slow?30");
        var check = app["healthChecks"]![0]!;
        (check["timeoutSeconds"], check["gracePeriodSeconds"], check["maxConsecutiveFailures"]) = (1, 0, 0);
        await Api.CreateAsync(app);
        await Eventually.GetAsync("it is unhealthy", () => Api.AppAsync("/line20"), a => a.Unhealthy == 1);
        await RemoveAsync("/line20");
    }

    [DockerFact]
    public async Task Line_21_HTTPS_readiness_check_ready()
    {
        using var server = new TlsServer();
        var app = server.Answer(Apps.Web("/line21"));
        app["container"]!["docker"]!["portMappings"]![0]!["name"] = "https";
        app["readinessChecks"] = new JsonArray(new JsonObject { ["name"] = "ready", ["protocol"] = "HTTPS", ["path"] = "/", ["portName"] = "https", ["intervalSeconds"] = 2, ["timeoutSeconds"] = 1.9 });
        Assert.Equal(1, (await RunAsync(app)).Running); // that its deployment has ended says that it was found ready
        await RemoveAsync("/line21");
    }

    [DockerFact]
    public async Task Line_38_Unhealthy_update_rolls_back_to_1_healthy()
    {
        await RunAsync(Sleeper("/line38").WithCheck(CommandCheck("true")));
        var update = new JsonObject { ["healthChecks"] = new JsonArray(CommandCheck("false").With("gracePeriodSeconds", 0).With("intervalSeconds", 1).With("maxConsecutiveFailures", 0)) };
        var deployment = await PutAsync("/line38", update);
        await Eventually.GetAsync("the new one is unhealthy", () => Api.AppAsync("/line38"), a => a.Unhealthy == 1);
        (await Api.DeleteAsync($"/v2/deployments/{deployment}")).Must(HttpStatusCode.OK);
        Assert.Equal(1, (await Api.ReadyAsync("/line38")).Healthy);
        Assert.Equal("true", (await AppAsync("/line38"))["healthChecks"]![0]!["command"]!["value"]!.GetValue<string>());
        await RemoveAsync("/line38");
    }

    [DockerTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Line_39_Deployment_waits_for_readiness_with_and_without_health_checks_and_upgrade_waits_too(bool healthChecks)
    {
        var id = $"/line39-{(healthChecks ? "with" : "without")}";
        var app = Apps.Web(id);
        if (healthChecks) app.WithHttpCheck();
        app["container"]!["docker"]!["portMappings"]![0]!["name"] = "http";
        app["readinessChecks"] = new JsonArray(new JsonObject { ["portName"] = "http", ["path"] = "/warm.txt", ["intervalSeconds"] = 2, ["timeoutSeconds"] = 1.9 });
        await Api.CreateAsync(app);
        for (var round = 0; round < 2; round++)
        {
            await Eventually.HoldsAsync("it answered that it is not ready", async () => (await DeploymentsOfAsync(id)) is [var only]
                && only["currentActions"]?.AsArray().FirstOrDefault()?["readinessCheckResults"]?.AsArray().Any(r => r?["ready"]?.GetValue<bool>() == false) == true);
            var tasks = (await AppAsync(id))["tasks"]!.AsArray();
            var newest = tasks.MaxBy(t => t!["stagedAt"]!.GetValue<string>(), StringComparer.Ordinal)!["id"]!.GetValue<string>();
            await Command.DockerAsync("exec", $"platform-{newest}", "sh", "-c", "for root in /tmp/www.*; do echo yes > $root/warm.txt; done");
            await Api.ReadyAsync(id);
            if (round == 0) await PutAsync(id, new JsonObject { ["env"] = new JsonObject { ["ROUND"] = "2" } });
        }
        await RemoveAsync(id);
    }

    [DockerTheory]
    [InlineData("HTTP")]
    [InlineData("MESOS_HTTP")]
    public async Task Line_72_Marathon_run_and_Mesos_run_failing_checks_kill_the_task_and_a_new_one_runs(string protocol)
    {
        var id = $"/line72-{protocol.ToLowerInvariant().Replace('_', '-')}";
        var check = new JsonObject { ["protocol"] = protocol, ["path"] = "/health", ["portIndex"] = 0, ["delaySeconds"] = 0, ["maxConsecutiveFailures"] = 1 };
        await RunAsync(Apps.Web(id).With("backoffSeconds", 0).WithCheck(check));
        var ill = Assert.Single(await Api.TasksAsync(id));
        await Command.DockerAsync("exec", ill.Container, "sh", "-c", "rm -rf /tmp/www.*");
        var failure = await FailureAsync(id);
        Assert.StartsWith("Task was killed since health check failed", failure, StringComparison.Ordinal);
        await Eventually.HoldsAsync("a new one runs", async () => await Api.TasksAsync(id) is [{ Healthy: true } now] && now.Id != ill.Id);
        await RemoveAsync(id);
    }
}
