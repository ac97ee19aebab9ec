using System.Net;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>The talk's five bodies, byte for byte, do what the talk says.</summary>
public sealed class TalkTests
{
    [DockerFact]
    public async Task The_five_bodies_run_and_the_constraint_explains_who_waits()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        var api = platform.Api;

        (await SendAsync(api, HttpMethod.Post, "/v2/apps", "app-ruby.json")).Must(HttpStatusCode.Created);
        await api.ReadyAsync("rails-demo");

        (await SendAsync(api, HttpMethod.Put, "/v2/apps/demo", "app-python.json")).Must(HttpStatusCode.Created);
        await api.ReadyAsync("demo");
        var tasks = await api.TasksAsync("demo");
        Assert.Equal(3, tasks.Length);

        (await SendAsync(api, HttpMethod.Put, "/v2/apps/demo", "scale-app.json")).Must(HttpStatusCode.OK);
        await api.ReadyAsync("demo");
        Assert.Equal(tasks.Select(x => x.Id).Order(), (await api.TasksAsync("demo")).Select(x => x.Id).Order());

        (await SendAsync(api, HttpMethod.Post, "/v2/apps", "app-with-healthcheck.json")).Must(HttpStatusCode.Created);
        Assert.Equal(1, (await api.ReadyAsync("healthcheck-demo")).Healthy);

        (await SendAsync(api, HttpMethod.Post, "/v2/apps", "app-with-constraint.json")).Must(HttpStatusCode.Created);
        await Eventually.GetAsync("one instance of constraint-demo is healthy", () => api.AppAsync("constraint-demo"), x => x is { Healthy: 1, Staged: 0 });
        var waiting = await Eventually.GetAsync("five wait", () => api.QueueItemAsync("/constraint-demo"), x => x?["count"]?.GetValue<int>() == 5);
        var refusals = waiting!["processedOffersSummary"]!["rejectSummaryLastOffers"]!.AsArray();
        Assert.Contains(refusals, x => x!["reason"]!.GetValue<string>() == "UnfulfilledConstraint" && x["declined"]!.GetValue<int>() >= 1);
        Assert.True(waiting["delay"]!["overdue"]!.GetValue<bool>(), $"it waits for a node, not for a backoff: {waiting}");

        foreach (var app in (string[])["rails-demo", "demo", "healthcheck-demo", "constraint-demo"])
            Assert.Contains($"{app}.instance-", await CallAsync(platform.Edge(), $"{app}.marathon.mesos"), StringComparison.Ordinal);
        Assert.Contains("program", await CallAsync(PlatformUnderTest.ServicePort(3000), null), StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task An_app_without_checks_counts_running_not_healthy_and_a_same_put_restarts_nothing()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        var app = Apps.Web("/shop/web", 2);
        await platform.Api.CreateAsync(app);
        var ready = await platform.Api.ReadyAsync("/shop/web");
        Assert.Equal((2, 0, 0), (ready.Running, ready.Healthy, ready.Unhealthy));
        var before = await platform.ContainersAsync();

        (await platform.Api.PutAsync("/v2/apps//shop/web", app.DeepClone())).Must(HttpStatusCode.OK);

        await platform.Api.ReadyAsync("/shop/web");
        Assert.Equal(before, await platform.ContainersAsync());
    }

    private static Task<Answer> SendAsync(MarathonApi api, HttpMethod method, string path, string file) =>
        api.SendAsync(method, path, File.ReadAllBytes(Path.Combine(Machine.Repository, "examples", "talk", file)));

    private static async Task<string> CallAsync(Uri uri, string? host)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, uri) { Headers = { Host = host } };
        using var response = await http.SendAsync(request);
        return (await response.EnsureSuccessStatusCode().Content.ReadAsStringAsync()).Trim();
    }
}
