using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>What cannot be placed waits, says which rule refused it with numbers, and starts as soon as it can.</summary>
public sealed class ConstraintTests
{
    [DockerFact]
    public async Task Unique_on_one_node_runs_one_and_five_wait_with_the_reason()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await platform.Api.CreateAsync(Apps.Web("/alone", 6).With("constraints", new JsonArray(new JsonArray("hostname", "UNIQUE"))));

        var item = await Eventually.GetAsync("five wait", () => platform.Api.QueueItemAsync("/alone"), x => x?["count"]?.GetValue<int>() == 5);

        Assert.Equal(1, await RefusedAsync(platform, "/alone", "UnfulfilledConstraint"));
        Assert.True(item!["delay"]!["overdue"]!.GetValue<bool>());
        Assert.Equal(1, (await Eventually.GetAsync("one runs", () => platform.Api.AppAsync("/alone"), x => x.Running == 1)).Running);
        Assert.Single(await platform.Api.TasksAsync("/alone"));
    }

    [DockerFact]
    public async Task Too_large_for_the_node_waits_for_cpus_and_mem_and_runs_once_it_is_made_smaller()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await platform.Api.CreateAsync(Apps.Web("/large").With("cpus", 1000));
        await Eventually.GetAsync("it waits", () => platform.Api.QueueItemAsync("/large"), x => x is not null);
        Assert.Equal(1, await RefusedAsync(platform, "/large", "InsufficientCpus"));

        (await platform.Api.PutAsync("/v2/apps/large?force=true", new JsonObject { ["cpus"] = 0.01 })).Must(HttpStatusCode.OK);

        await platform.Api.ReadyAsync("/large");
        Assert.Null(await platform.Api.QueueItemAsync("/large"));
    }

    [DockerTheory]
    [InlineData("LIKE", "ft-.*", true)]
    [InlineData("LIKE", "ft", false)] // the whole value has to match
    [InlineData("UNLIKE", "ft-.*", false)]
    [InlineData("UNLIKE", "other", true)]
    public async Task Patterns_are_matched_against_the_whole_host_name(string op, string pattern, bool runs)
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await platform.Api.CreateAsync(Apps.Web("/pattern").With("constraints", new JsonArray(new JsonArray("hostname", op, pattern))));
        if (runs) await platform.Api.ReadyAsync("/pattern");
        else await Eventually.HoldsAsync("it is refused by the constraint", async () =>
            await platform.Api.QueueItemAsync("/pattern") is not null && await RefusedAsync(platform, "/pattern", "UnfulfilledConstraint") == 1);
        Assert.Equal(runs ? 1 : 0, (await platform.Api.TasksAsync("/pattern")).Length);
    }

    private static Task<int> RefusedAsync(PlatformUnderTest platform, string app, string reason) => Eventually.GetAsync($"{app} was refused by {reason}", async () =>
        (await platform.Api.QueueItemAsync(app))?["processedOffersSummary"]?["rejectSummaryLastOffers"]?.AsArray()
            .Where(x => x!["reason"]!.GetValue<string>() == reason).Sum(x => x!["declined"]!.GetValue<int>()) ?? 0, x => x > 0);
}
