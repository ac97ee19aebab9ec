using System.Net;
using System.Text.Json.Nodes;
using Platform.Model;

namespace Platform.Tests.Api;

/// <summary>Our additions around deployments, as they look from outside.</summary>
public sealed class DeploymentDetailTests
{
    [Fact]
    public async Task Readiness_waiting_records_and_explanations()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("POST", "/v2/apps", """
            {"id":"/web","cmd":"serve","cpus":3,"portDefinitions":[{"port":0,"name":"http"}],
             "readinessChecks":[{"name":"warm","portName":"http","path":"warm","intervalSeconds":5,"timeoutSeconds":2,"httpStatusCodesForReady":[200,204],"preserveLastResponse":true}],
             "labels":{"PLATFORM_DEPLOY_TIMEOUT":"5m","PLATFORM_AUTO_ROLLBACK":"true"}}
            """);
        await SayAsync(world, new ReadinessState("warm", false, new ReadinessResponse(504, "text/plain", "connection refused")));
        await transcript.NoteAsync("GET", "/v2/deployments");
        await SayAsync(world, new ReadinessState("warm", true, new ReadinessResponse(204, "text/plain", "")));
        await transcript.NoteAsync("GET", "/v2/deployments");
        await transcript.NoteAsync("PUT", "/v2/apps/web", """{"instances":3}""");
        await transcript.NoteAsync("GET", "/v2/apps/web/explain");
        await transcript.NoteAsync("GET", "/v2/apps/nothing/explain");
        await transcript.NoteAsync("GET", "/v2/deployments/records?app=/web");
        await transcript.NoteAsync("GET", "/v2/deployments/records/nothing");
        transcript.Check("deployment-details");
    }

    [Fact]
    public async Task An_app_may_be_called_explain()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync("""{"id":"/grp/explain","cmd":"sleep 1","cpus":0.1}""");
        Assert.Equal("/grp/explain", (await world.GetAsync("/v2/apps/grp/explain")).Must(HttpStatusCode.OK).Json["app"]!["id"]!.GetValue<string>());
    }

    [Fact]
    public async Task What_cannot_be_is_refused_all_at_once()
    {
        await using var world = await ApiWorld.StartAsync();
        var answer = (await world.PostAsync("/v2/apps", """
            {"id":"/web","cmd":"serve","labels":{"PLATFORM_DEPLOY_TIMEOUT":"soon","PLATFORM_AUTO_ROLLBACK":"maybe"},
             "readinessChecks":[{"portName":"nowhere","intervalSeconds":5,"timeoutSeconds":5,"httpStatusCodesForReady":[]}]}
            """)).Must(HttpStatusCode.UnprocessableEntity);
        Assert.Equal(
            [
                "/labels/PLATFORM_AUTO_ROLLBACK", "/labels/PLATFORM_DEPLOY_TIMEOUT",
                "/readinessChecks(0)/httpStatusCodesForReady", "/readinessChecks(0)/portName", "/readinessChecks(0)/timeoutSeconds",
            ],
            answer.Json["details"]!.AsArray().Select(d => d!["path"]!.GetValue<string>()).Order(StringComparer.Ordinal));
        Assert.Contains("No port definition reference for portName nowhere", answer.Body);
        var two = (await world.PostAsync("/v2/apps", """{"id":"/web","cmd":"serve","readinessChecks":[{},{}]}""")).Must(HttpStatusCode.UnprocessableEntity);
        Assert.Contains("may have at most 1 readiness check, has 2", two.Body);
        Assert.Empty(world.State.Apps);
    }

    private static async Task SayAsync(ApiWorld world, ReadinessState state)
    {
        foreach (var instance in world.InstancesOf("/web")) await world.ReportAsync(world.Running(instance) with { Readiness = [state] });
    }
}
