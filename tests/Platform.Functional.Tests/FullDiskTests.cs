using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;
using Xunit.Abstractions;

namespace Platform.Functional.Tests;

/// <summary>A data directory without space refuses writes and nothing else.</summary>
public sealed class FullDiskTests(ITestOutputHelper output)
{
    private const int WritesMax = 300;
    private const int BallastBytes = 60_000; // below what one variable may have

    [DockerAndRootFact]
    public async Task Writes_answer_503_all_else_goes_on_and_space_brings_writes_back()
    {
        var mount = Directory.CreateTempSubdirectory("platform-ft-disk-").FullName;
        (await Command.RunAsync("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount)).Must("mount");
        try
        {
            await RunAsync(mount);
        }
        finally
        {
            (await Command.RunAsync("umount", "-l", mount)).Must("umount");
            Directory.Delete(mount, recursive: true);
        }
    }

    private async Task RunAsync(string mount)
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { DataDirectory = Path.Combine(mount, "data") });
        await platform.Api.CreateAsync(Apps.Web("/steady", 2));
        var port = (await platform.Api.ReadyAsync("/steady")).ServicePorts[0];
        var containers = await platform.ContainersAsync();
        var acknowledged = new List<string> { "/steady" };

        var filler = Path.Combine(mount, "filler");
        await Command.RunAsync("dd", "if=/dev/zero", $"of={filler}", "bs=64k"); // ends with 'no space left'
        var refused = await WriteUntilRefusedAsync(platform.Api, acknowledged);
        output.WriteLine($"{acknowledged.Count - 1} writes fitted into what the log had left; then: {refused.Body}");
        Assert.NotEqual("", refused.Json["message"]!.GetValue<string>());

        Assert.Equal(acknowledged.Order(StringComparer.Ordinal), await platform.Api.AppIdsAsync());
        Assert.Equal(HttpStatusCode.OK, (await platform.Api.GetAsync("/v2/tasks")).Status);
        Assert.Equal("NOERROR", (await platform.DigAsync("steady.marathon.mesos", "A")).Status);
        await using (var load = Load.Start(PlatformUnderTest.ServicePort(port)))
        {
            await load.MoreAnsweredAsync(50);
            Assert.Empty((await load.StopAsync()).Failed);
        }
        Assert.Equal(containers, await platform.ContainersAsync());

        File.Delete(filler);
        await Eventually.GetAsync("writes are taken again", async () => (await platform.Api.PutAsync("/v2/apps/after", Big("/after"))).Status,
            x => x is HttpStatusCode.Created or HttpStatusCode.OK);
        acknowledged.Add("/after");
        await platform.KillAsync();
        await platform.StartAgainAsync();
        Assert.Equal(acknowledged.Order(StringComparer.Ordinal), await platform.Api.AppIdsAsync());
        Assert.Equal(containers, await platform.ContainersAsync());
    }

    private static async Task<Answer> WriteUntilRefusedAsync(MarathonApi api, List<string> acknowledged)
    {
        for (var i = 0; i < WritesMax; i++)
        {
            var id = $"/filling/app{i}";
            var answer = await api.PostAsync("/v2/apps", Big(id));
            if (answer.Status == HttpStatusCode.ServiceUnavailable) return answer;
            answer.Must(HttpStatusCode.Created);
            acknowledged.Add(id);
        }
        throw new InvalidOperationException($"{WritesMax} writes of {BallastBytes} bytes were acknowledged on a full disk");
    }

    private static JsonObject Big(string id) =>
        Apps.Idle(id).With("env", new JsonObject { ["BALLAST"] = new string('b', BallastBytes) });
}
