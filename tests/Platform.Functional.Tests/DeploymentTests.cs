using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Deployments in depth: readiness, time-out with rollback, explanations, and what is remembered; on real containers.</summary>
public sealed class DeploymentTests(OnePlatform one) : IClassFixture<OnePlatform>
{
    private MarathonApi Api => one.Platform.Api;

    private async Task<JsonNode?> DeploymentOfAsync(string id) =>
        (await Api.GetAsync("/v2/deployments")).Json.AsArray().FirstOrDefault(d => d?["affectedApps"]?.AsArray().Any(a => a?.GetValue<string>() == id) == true);

    private async Task<JsonNode> RecordAsync(string deployment) => (await Api.GetAsync($"/v2/deployments/records/{deployment}")).Must(HttpStatusCode.OK).Json;

    [DockerFact]
    public async Task A_deployment_waits_for_readiness_and_nobody_is_asked_afterwards()
    {
        var app = Apps.Web("/slow").WithHttpCheck().With("readinessChecks", new JsonArray(new JsonObject
        {
            ["name"] = "warm", ["portName"] = "http", ["path"] = "/warm.txt", ["intervalSeconds"] = 2, ["timeoutSeconds"] = 1.9, ["preserveLastResponse"] = true,
        }));
        app["container"]!["docker"]!["portMappings"]![0]!["name"] = "http";
        await Api.CreateAsync(app);
        await Eventually.GetAsync("it is healthy", () => Api.AppAsync("/slow"), x => x.Healthy == 1);
        // The first question may come before the task listens, which is shown as 504.
        var result = await Eventually.GetAsync("its readiness was answered",
            async () => (await DeploymentOfAsync("/slow"))?["currentActions"]?.AsArray().FirstOrDefault()?["readinessCheckResults"]?.AsArray().FirstOrDefault(),
            x => x?["lastResponse"]?["status"]?.GetValue<int>() == 404);
        Assert.False(result!["ready"]!.GetValue<bool>());
        Assert.Equal("notReady", (await DeploymentOfAsync("/slow"))!["waiting"]![0]!["reasons"]![0]!["kind"]!.GetValue<string>());
        Assert.Single((await one.Platform.DigAsync("_slow._tcp.marathon.mesos", "SRV")).Answers); // it is healthy: callers may have it
        Assert.Single((await Api.GetAsync("/v2/apps/slow?embed=apps.readiness")).Json["app"]!["readinessCheckResults"]!.AsArray());

        var task = (await Api.TasksAsync("/slow"))[0];
        await Command.DockerAsync("exec", task.Container, "sh", "-c", "for root in /tmp/www.*; do echo yes > $root/warm.txt; done");
        await Api.ReadyAsync("/slow");
        await Command.DockerAsync("exec", task.Container, "sh", "-c", "rm /tmp/www.*/warm.txt");
        await Task.Delay(3000); // longer than the interval: were it asked again, it would now be known as not ready
        Assert.Null(await DeploymentOfAsync("/slow"));
        Assert.Equal(task.Id, Assert.Single(await Api.TasksAsync("/slow")).Id);
        Assert.Empty((await Api.GetAsync("/v2/apps/slow?embed=apps.readiness")).Json["app"]!["readinessCheckResults"]!.AsArray());
        await Api.DeleteAsync("/v2/apps/slow");
    }

    [DockerFact]
    public async Task A_bad_release_ends_in_time_is_rolled_back_and_fails_no_request()
    {
        await Api.CreateAsync(Apps.Web("/release", 2).WithHttpCheck());
        var ready = await Api.ReadyAsync("/release");
        await using var load = Load.Start(PlatformUnderTest.ServicePort(ready.ServicePorts[0]));
        await load.MoreAnsweredAsync(20);
        var bad = (await Api.PutAsync("/v2/apps/release", new JsonObject
        {
            // The limit comes with the release, so that nothing else of the test is measured by the clock.
            ["cmd"] = "sleep 1000", ["labels"] = new JsonObject { ["PLATFORM_DEPLOY_TIMEOUT"] = "6s", ["PLATFORM_AUTO_ROLLBACK"] = "true" },
        })).Must(HttpStatusCode.OK);
        var id = bad.Json["deploymentId"]!.GetValue<string>();

        var record = await Eventually.GetAsync("the release is given up", () => RecordAsync(id), x => x["outcome"]?.GetValue<string>() is { } now && now != "running");
        Assert.Equal("timedOut", record["outcome"]!.GetValue<string>());
        Assert.Contains("not succeeded within 6 s; /release: it runs, but its health checks", record["reason"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Contains(record["changes"]![0]!["fields"]!.AsArray(), f => f?["path"]?.GetValue<string>() == "/cmd" && f["to"]?.GetValue<string>() == "sleep 1000");
        Assert.Equal("/v2/apps/release", record["origin"]!["uri"]!.GetValue<string>());

        await Api.ReadyAsync("/release");
        var app = (await Api.GetAsync("/v2/apps/release")).Json["app"]!;
        Assert.Equal($"rails server -p {Apps.ContainerPort}", app["cmd"]!.GetValue<string>());
        var undone = await Eventually.GetAsync("it is undone", async () => (await Api.GetAsync("/v2/deployments/records?app=/release")).Json["records"]![0]!,
            x => x["outcome"]?.GetValue<string>() is { } now && now != "running");
        Assert.Equal((id, "succeeded"), (undone["rollbackOf"]!.GetValue<string>(), undone["outcome"]!.GetValue<string>()));
        await load.MoreAnsweredAsync(20);
        Assert.Empty(load.FailedSoFar);
        Assert.True(record["requests"]!["served"]!.GetValue<long>() > 0, $"{record["requests"]}");
        Assert.Equal(0, record["requests"]!["failed"]!.GetValue<long>());
        await Api.DeleteAsync("/v2/apps/release");
    }

    [DockerFact]
    public async Task What_waits_is_explained_and_the_proposed_change_places_it()
    {
        await Api.CreateAsync(Apps.Web("/lonely", 2).With("constraints", new JsonArray(new JsonArray("hostname", "UNIQUE"))));
        await Eventually.GetAsync("one of two runs", () => Api.AppAsync("/lonely"), x => x.Running == 1);
        var why = (await Api.GetAsync("/v2/apps/lonely/explain")).Must(HttpStatusCode.OK).Json;
        Assert.Equal(1, why["waiting"]!.GetValue<int>());
        Assert.Equal($"drop constraint hostname UNIQUE on node {one.Platform.NodeName}", why["changes"]![0]!.GetValue<string>());
        (await Api.PutAsync("/v2/apps/lonely?force=true", new JsonObject { ["constraints"] = new JsonArray() })).Must(HttpStatusCode.OK);
        await Api.ReadyAsync("/lonely");
        Assert.Equal(0, (await Api.GetAsync("/v2/apps/lonely/explain")).Json["waiting"]!.GetValue<int>());
        await Api.DeleteAsync("/v2/apps/lonely");
    }
}
