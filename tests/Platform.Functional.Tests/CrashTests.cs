using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;
using Xunit.Abstractions;

namespace Platform.Functional.Tests;

/// <summary>Containers outlive the platform, and what it acknowledged outlives it too.</summary>
public sealed class CrashTests(ITestOutputHelper output)
{
    [DockerFact]
    public async Task Killed_under_traffic_with_five_apps_it_finds_the_same_containers_and_endpoints_again()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        var apps = Enumerable.Range(1, 5).Select(i => $"/crash/app{i}").ToArray();
        foreach (var app in apps) await platform.Api.CreateAsync(Apps.Web(app, 2).WithHttpCheck());
        foreach (var app in apps) await platform.Api.ReadyAsync(app);
        var containers = await platform.ContainersAsync();
        var tasks = await TaskIdsAsync(platform, apps);
        var records = await RecordsAsync(platform, apps);
        Assert.Equal(10, containers.Length);
        Assert.All(records, x => Assert.Equal(2, x.Split(',').Length));

        await using (var load = Load.Start(platform.Edge(), "app1-crash.marathon.mesos"))
        {
            await load.MoreAnsweredAsync(100);
            await platform.KillAsync();
        }
        await platform.StartAgainAsync();
        output.WriteLine($"ready again after {platform.StartToReady.TotalMilliseconds:F0} ms");

        await Eventually.GetAsync("the endpoints are back", () => RecordsAsync(platform, apps), x => x.SequenceEqual(records));
        await using (var load = Load.Start(platform.Edge(), "app1-crash.marathon.mesos"))
        {
            await load.MoreAnsweredAsync(100);
            Assert.Empty((await load.StopAsync()).Failed);
        }
        foreach (var app in apps) await platform.Api.ReadyAsync(app);
        Assert.Equal(containers, await platform.ContainersAsync());
        Assert.Equal(tasks, await TaskIdsAsync(platform, apps));
    }

    [DockerFact]
    public async Task Every_change_acknowledged_before_a_kill_is_there_afterwards()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        var acknowledged = new ConcurrentDictionary<string, int>();
        for (var round = 0; round < 3; round++)
        {
            var writers = Enumerable.Range(0, 3).Select(w => WriteUntilCutOffAsync(platform.Api, $"r{round}w{w}", acknowledged)).ToArray();
            var target = acknowledged.Count + 15;
            await Eventually.HoldsAsync("15 more writes acknowledged", () => Task.FromResult(acknowledged.Count >= target));
            await platform.KillAsync();
            await Task.WhenAll(writers);
            await platform.StartAgainAsync();

            var stored = (await platform.Api.GetAsync("/v2/apps")).Must(HttpStatusCode.OK).Json["apps"]!.AsArray()
                .ToDictionary(x => x!["id"]!.GetValue<string>(), x => int.Parse(x!["env"]!["MARK"]!.GetValue<string>(), CultureInfo.InvariantCulture));
            // The write that was cut off may be there or not; never less than what was acknowledged.
            Assert.All(acknowledged, x => Assert.InRange(stored.GetValueOrDefault(x.Key, -1), x.Value, x.Value + 1));
        }
        output.WriteLine($"{acknowledged.Count} acknowledged writes, none lost");
    }

    [DockerFact]
    public async Task Sigterm_leaves_the_tasks_running_and_exits_zero()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await platform.Api.CreateAsync(Apps.Web("/stays"));
        await platform.Api.ReadyAsync("/stays");
        var containers = await platform.ContainersAsync();

        Assert.Equal(0, await platform.TerminateAsync());

        Assert.Equal(containers, await platform.ContainersAsync());
        Assert.EndsWith("running", Assert.Single(containers), StringComparison.Ordinal);
        await platform.StartAgainAsync();
        await platform.Api.ReadyAsync("/stays");
        Assert.Equal(containers, await platform.ContainersAsync());
    }

    [DockerFact]
    public async Task A_task_that_died_while_the_platform_was_down_is_replaced()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await platform.Api.CreateAsync(Apps.Web("/phoenix", 2).With("backoffSeconds", 0));
        await platform.Api.ReadyAsync("/phoenix");
        var tasks = await platform.Api.TasksAsync("/phoenix");
        await platform.KillAsync();
        await Command.DockerAsync("kill", tasks[0].Container);

        await platform.StartAgainAsync();

        await Eventually.HoldsAsync("a new task beside the one that lived on", async () =>
            await platform.Api.TasksAsync("/phoenix") is { Length: 2 } now && now.All(x => x.State == "TASK_RUNNING" && x.Id != tasks[0].Id) && now.Any(x => x.Id == tasks[1].Id));
    }

    [DockerFact]
    public async Task With_stop_tasks_on_exit_nothing_is_left()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { StopTasksOnExit = true });
        await platform.Api.CreateAsync(Apps.Web("/goes", 2));
        await platform.Api.ReadyAsync("/goes");

        Assert.Equal(0, await platform.TerminateAsync());

        Assert.DoesNotContain(await platform.ContainersAsync(), x => x.EndsWith("running", StringComparison.Ordinal));
    }

    /// <summary>Creates and then changes apps without instances, so that the log and nothing else is busy, until the platform is gone.</summary>
    private static async Task WriteUntilCutOffAsync(MarathonApi api, string name, ConcurrentDictionary<string, int> acknowledged)
    {
        for (var i = 0; i < 10_000; i++)
        {
            var id = $"/ack/{name}-{i / 2}";
            var app = Apps.Idle(id).With("env", new JsonObject { ["MARK"] = i.ToString(CultureInfo.InvariantCulture) });
            try
            {
                var answer = i % 2 == 0 ? await api.PostAsync("/v2/apps", app) : await api.PutAsync($"/v2/apps{id}", app);
                if (answer.Status is HttpStatusCode.Created or HttpStatusCode.OK) acknowledged[id] = i;
                else if (answer.Status != HttpStatusCode.Conflict) throw new InvalidOperationException($"answered {answer.Status}: {answer.Body}");
            }
            catch (HttpRequestException)
            {
                return; // cut off: this write was not acknowledged
            }
        }
    }

    private static async Task<string[]> TaskIdsAsync(PlatformUnderTest platform, string[] apps)
    {
        var ids = new List<string>();
        foreach (var app in apps) ids.AddRange((await platform.Api.TasksAsync(app)).Select(x => x.Id).Order(StringComparer.Ordinal));
        return [.. ids];
    }

    private static async Task<string[]> RecordsAsync(PlatformUnderTest platform, string[] apps)
    {
        var records = new List<string>();
        foreach (var app in apps)
        {
            var parts = app.Trim('/').Split('/');
            records.Add(string.Join(',', (await platform.DigAsync($"_{parts[1]}-{parts[0]}._tcp.marathon.mesos", "SRV")).Data("SRV")));
        }
        return [.. records];
    }
}
