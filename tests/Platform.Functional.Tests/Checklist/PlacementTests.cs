using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>Lines 41 to 45: where tasks may go, and what is told of those that may go nowhere.</summary>
public sealed class PlacementTests(OnePlatform one) : ChecklistTests(one)
{
    private JsonObject Pinned(string id, string? host = null) =>
        Sleeper(id).With("constraints", new JsonArray(new JsonArray("hostname", "CLUSTER", host ?? Platform.NodeName)));

    [DockerFact]
    public async Task Line_41_Host_pinned_app_scales_to_10_on_that_host()
    {
        await RunAsync(Pinned("/line41"));
        await PutAsync("/line41", new JsonObject { ["instances"] = 10 });
        await Api.ReadyAsync("/line41");
        Assert.Equal(Enumerable.Repeat(Platform.NodeName, 10), (await Api.TasksAsync("/line41")).Select(t => t.Host));
        await RemoveAsync("/line41");
    }

    [DockerFact]
    public async Task Line_42_Pinned_app_recovers_on_the_same_host_after_agent_stop_and_start()
    {
        await RunAsync(Pinned("/line42").With("backoffSeconds", 0).With("cmd", "echo $$ > pid; exec sleep 9999"));
        var task = Assert.Single(await Api.TasksAsync("/line42"));
        var pid = (await File.ReadAllTextAsync(Path.Combine(Platform.DataDirectory, "sandboxes", task.Id, "pid"))).Trim();
        Assert.Equal(0, await Platform.TerminateAsync());
        (await Command.RunAsync("kill", "-KILL", pid)).Must("kill");
        await Platform.StartAgainAsync();
        await Eventually.HoldsAsync("another runs on the same host", async () =>
            await Api.TasksAsync("/line42") is [{ State: "TASK_RUNNING" } now] && now.Id != task.Id && now.Host == Platform.NodeName);
        await RemoveAsync("/line42");
    }

    [DockerFact]
    public async Task Line_43_Pinned_too_large_for_the_host_exactly_1_task_1_deployment_pending()
    {
        await Api.CreateAsync(Pinned("/line43").With("instances", 2).With("cpus", Environment.ProcessorCount * 0.6));
        await RunningAsync("/line43", 1);
        await Eventually.GetAsync("one waits", () => Api.QueueItemAsync("/line43"), item => item?["count"]?.GetValue<int>() == 1);
        Assert.Single(await Api.TasksAsync("/line43"));
        Assert.Single(await DeploymentsOfAsync("/line43"));
        await RemoveAsync("/line43");
    }

    [DockerFact]
    public async Task Line_44_Unknown_host_0_tasks()
    {
        await Api.CreateAsync(Pinned("/line44", "no-such-host"));
        Assert.Equal(1, (await DeclinedAsync("/line44"))["UnfulfilledConstraint"]);
        Assert.Empty(await Api.TasksAsync("/line44"));
        await RemoveAsync("/line44");
    }

    [DockerFact]
    public async Task Line_45_Queue_lists_reasons_UnfulfilledRole_and_InsufficientCpus()
    {
        await Api.CreateAsync(Sleeper("/line45").With("cpus", TooManyCpus));
        var declined = await DeclinedAsync("/line45");
        Assert.Equal((0, 1), (declined["UnfulfilledRole"], declined["InsufficientCpus"])); // there is one role, and whoever asks for another is refused at once
        var other = await Api.PostAsync("/v2/apps", Sleeper("/line45-role").With("acceptedResourceRoles", new JsonArray("other")));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, other.Status);
        await RemoveAsync("/line45");
    }

    private async Task<Dictionary<string, int>> DeclinedAsync(string id)
    {
        var item = await Eventually.GetAsync("it was refused", () => Api.QueueItemAsync(id),
            i => i?["processedOffersSummary"]?["rejectSummaryLastOffers"]?.AsArray().Any(r => r?["declined"]?.GetValue<int>() > 0) == true);
        return item!["processedOffersSummary"]!["rejectSummaryLastOffers"]!.AsArray().ToDictionary(r => r!["reason"]!.GetValue<string>(), r => r!["declined"]!.GetValue<int>());
    }
}
