using System.Net;
using Platform.Model;

namespace Platform.Tests.Api;

/// <summary>/v2/deployments and /v2/queue (contract 1.6, 1.8).</summary>
public sealed class DeploymentsTests
{
    [Fact]
    public async Task A_deployment_that_waits_is_shown_and_explained()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        await world.JoinAsync("node3", "10.0.0.3", cpus: 0.5);
        await transcript.NoteAsync("GET", "/v2/queue");
        await transcript.NoteAsync("GET", "/v2/deployments");
        await world.PostAsync("/v2/apps", """{"id":"/large","cmd":"sleep 1","cpus":1000,"instances":2}""");
        await world.PostAsync("/v2/apps", """{"id":"/picky","cmd":"sleep 1","cpus":1,"constraints":[["hostname","LIKE","node[13]"]],"instances":5}""");
        await transcript.NoteAsync("GET", "/v2/deployments");
        await transcript.NoteAsync("GET", "/v2/queue");
        transcript.Check("deployments-and-queue");
    }

    [Fact]
    public async Task A_delay_is_shown_and_can_be_taken_away()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync("""{"id":"/flaky","cmd":"sleep 1","cpus":0.1,"backoffSeconds":60}""");
        await world.EndAsync(world.InstancesOf("/flaky")[0], TerminalState.Failed, "exit 1");
        await world.AdvanceAsync(9.5);
        var item = (await world.GetAsync("/v2/queue")).Json["queue"]![0]!;
        Assert.Equal("/flaky", item["app"]!["id"]!.GetValue<string>());
        Assert.Equal(51, item["delay"]!["timeLeftSeconds"]!.GetValue<int>());
        Assert.False(item["delay"]!["overdue"]!.GetValue<bool>());
        Assert.Empty((await world.DeleteAsync("/v2/queue//flaky/delay")).Must(HttpStatusCode.NoContent).Body);
        Assert.Single(world.InstancesOf("/flaky"));
        Assert.Empty((await world.GetAsync("/v2/queue")).Json["queue"]!.AsArray());
        (await world.DeleteAsync("/v2/queue/flaky/delay")).Must(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Cancelled_with_force_it_only_ends()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var id = (await world.PostAsync("/v2/apps", """{"id":"/stuck","cmd":"sleep 1"}""")).Header("Marathon-Deployment-Id");
        Assert.Empty((await world.DeleteAsync($"/v2/deployments/{id}?force=true")).Must(HttpStatusCode.Accepted).Body);
        Assert.Empty((await world.GetAsync("/v2/deployments")).Json.AsArray());
        (await world.GetAsync("/v2/apps/stuck")).Must(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Cancelled_without_force_it_is_undone()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync("""{"id":"/web","cmd":"sleep 1","cpus":0.1}""");
        var id = (await world.PutAsync("/v2/apps/web", """{"cpus":1000}""")).Header("Marathon-Deployment-Id");
        var undone = (await world.DeleteAsync($"/v2/deployments/{id}")).Must(HttpStatusCode.OK);
        Assert.NotEqual(id, undone.Json["deploymentId"]!.GetValue<string>());
        await world.SettleAsync();
        Assert.Equal(0.1, (await world.GetAsync("/v2/apps/web")).Json["app"]!["cpus"]!.GetValue<double>());
        Assert.Empty((await world.GetAsync("/v2/deployments")).Json.AsArray());

        var first = (await world.PostAsync("/v2/apps", """{"id":"/first","cmd":"sleep 1","cpus":1000}""")).Header("Marathon-Deployment-Id");
        (await world.DeleteAsync($"/v2/deployments/{first}")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        (await world.GetAsync("/v2/apps/first")).Must(HttpStatusCode.NotFound);
    }
}
