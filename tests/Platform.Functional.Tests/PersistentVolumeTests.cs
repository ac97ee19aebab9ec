using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Data that outlives its tasks (contract 2.3, 5.11), with real directories under real tasks.</summary>
public sealed class PersistentVolumeTests
{
    [DockerFact]
    public Task Data_in_a_container_survives_its_tasks_and_the_platform() => SurvivesAsync(Resident("/db", docker: true), "auto");

    [Fact]
    public Task Data_of_a_process_survives_its_tasks_and_the_platform() => SurvivesAsync(Resident("/db", docker: false), "process");

    [DockerFact]
    public async Task Scaled_down_instances_keep_their_data_until_they_are_wiped()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await platform.Api.CreateAsync(Resident("/db", docker: true).With("instances", 2));
        await platform.Api.ReadyAsync("/db");
        var before = await VolumesAsync(platform);
        Assert.Equal(2, before.Distinct().Count());

        await ScaleAsync(platform, 1);
        Assert.Equal(2, Directories(platform).Length);
        await ScaleAsync(platform, 2);
        Assert.Equal(before.Order(), (await VolumesAsync(platform)).Order());
        Assert.Equal("1 2", string.Join(" ", (await StartsAsync(platform, before)).Order()));

        var wiped = Assert.Single(await TasksAsync(platform), t => t["id"]!.GetValue<string>().EndsWith("._app.2", StringComparison.Ordinal));
        (await platform.Api.DeleteAsync($"/v2/apps/db/tasks/{wiped["id"]!.GetValue<string>()}?wipe=true")).Must(HttpStatusCode.OK);
        var lost = VolumeOf(wiped);
        await Eventually.HoldsAsync("the wiped data is gone", () => Task.FromResult(!Directories(platform).Contains(lost)));
        await Eventually.HoldsAsync("an empty one has taken its place", async () => await VolumesAsync(platform) is { Length: 2 } now && !now.Contains(lost));
        await platform.Api.ReadyAsync("/db");

        await platform.Api.DeleteAsync("/v2/apps/db");
        await platform.Api.GoneAsync("/db");
        await Eventually.HoldsAsync("nothing is left of the app", () => Task.FromResult(Directories(platform).Length == 0));
    }

    private static async Task SurvivesAsync(JsonObject app, string runtime)
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = runtime });
        await platform.Api.CreateAsync(app);
        await platform.Api.ReadyAsync("/db");
        var first = Assert.Single(await TasksAsync(platform));
        var volume = first["localVolumes"]![0]!;
        Assert.Equal(("/db", "data", $"db#data#{VolumeOf(first)}"), (volume["runSpecId"]!.GetValue<string>(), volume["containerPath"]!.GetValue<string>(), volume["persistenceId"]!.GetValue<string>()));

        (await platform.Api.DeleteAsync($"/v2/apps/db/tasks/{first["id"]!.GetValue<string>()}")).Must(HttpStatusCode.OK);
        var second = await NextAsync(platform, first);
        Assert.Equal(first["id"]!.GetValue<string>().Replace("._app.1", "._app.2", StringComparison.Ordinal), second["id"]!.GetValue<string>());
        Assert.Equal(VolumeOf(first), VolumeOf(second));
        Assert.Equal(2, (await StartsAsync(platform, [VolumeOf(first)]))[0]);

        await platform.KillAsync();
        await platform.StartAgainAsync();
        await platform.Api.ReadyAsync("/db");
        (await platform.Api.PostAsync("/v2/apps/db/restart", new JsonObject())).Must(HttpStatusCode.OK);
        var third = await NextAsync(platform, second);
        Assert.Equal(VolumeOf(first), VolumeOf(third));
        Assert.Equal(3, (await StartsAsync(platform, [VolumeOf(first)]))[0]);
    }

    /// <summary>Each start of it leaves a line in its volume; it is healthy once it has.</summary>
    private static JsonObject Resident(string id, bool docker)
    {
        var container = new JsonObject
        {
            ["type"] = docker ? "DOCKER" : "MESOS",
            ["volumes"] = new JsonArray(new JsonObject { ["containerPath"] = "data", ["mode"] = "RW", ["persistent"] = new JsonObject { ["size"] = 10 } }),
        };
        if (docker) container["docker"] = new JsonObject { ["image"] = Machine.TestImage };
        var app = new JsonObject
        {
            ["id"] = id,
            ["cmd"] = "echo $MESOS_TASK_ID >> $MESOS_SANDBOX/data/starts && exec sleep 9999",
            ["cpus"] = 0.01,
            ["mem"] = 16,
            ["ports"] = new JsonArray(),
            ["taskKillGracePeriodSeconds"] = 0,
            ["container"] = container,
        }.WithCheck(new JsonObject { ["protocol"] = "COMMAND", ["command"] = new JsonObject { ["value"] = "grep -q $MESOS_TASK_ID $MESOS_SANDBOX/data/starts" }, ["delaySeconds"] = 0 });
        return docker ? app.With("user", "nobody") : app; // the test's own directory lets no other user through to a process's data
    }

    private static async Task<JsonNode[]> TasksAsync(PlatformUnderTest platform) =>
        [.. (await platform.Api.GetAsync("/v2/apps/db/tasks")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray().Select(t => t!)];

    private static async Task<JsonNode> NextAsync(PlatformUnderTest platform, JsonNode before)
    {
        await Eventually.HoldsAsync("another task is there", async () =>
            await TasksAsync(platform) is [var now] && now["id"]!.GetValue<string>() != before["id"]!.GetValue<string>());
        await platform.Api.ReadyAsync("/db");
        return Assert.Single(await TasksAsync(platform));
    }

    private static async Task ScaleAsync(PlatformUnderTest platform, int instances)
    {
        (await platform.Api.PutAsync("/v2/apps/db", new JsonObject { ["instances"] = instances })).Must(HttpStatusCode.OK);
        await platform.Api.ReadyAsync("/db");
        await Eventually.HoldsAsync($"{instances} tasks are left", async () => (await TasksAsync(platform)).Length == instances);
    }

    private static string VolumeOf(JsonNode task) => task["localVolumes"]![0]!["uuid"]!.GetValue<string>();
    private static async Task<string[]> VolumesAsync(PlatformUnderTest platform) => [.. (await TasksAsync(platform)).Select(VolumeOf)];
    private static string[] Directories(PlatformUnderTest platform) => [.. Directory.GetDirectories(Path.Combine(platform.DataDirectory, "volumes")).Select(d => Path.GetFileName(d))];

    private static async Task<int[]> StartsAsync(PlatformUnderTest platform, string[] volumes)
    {
        var starts = new List<int>();
        foreach (var volume in volumes) starts.Add((await File.ReadAllLinesAsync(Path.Combine(platform.DataDirectory, "volumes", volume, "starts"))).Length);
        return [.. starts];
    }
}
