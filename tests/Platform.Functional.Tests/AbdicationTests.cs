using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>DELETE /v2/leader on one machine: the scheduler begins anew from its log, and nobody's traffic notices.</summary>
public sealed class AbdicationTests
{
    [Fact]
    public async Task The_scheduler_begins_anew_while_tasks_and_the_proxy_serve_on()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        await platform.Api.CreateAsync(new JsonObject
        {
            ["id"] = "/stays", ["cmd"] = "printf here > index.html; exec busybox httpd -f -p $PORT -h .", ["cpus"] = 0.01, ["mem"] = 16, ["ports"] = new JsonArray(0),
        }.WithCheck(new JsonObject { ["protocol"] = "HTTP", ["path"] = "/index.html", ["portIndex"] = 0 }));
        var port = (await platform.Api.ReadyAsync("/stays")).ServicePorts[0];
        using var calling = new CancellationTokenSource();
        var calls = CallAsync(port, calling.Token);
        // A change that cannot end: it must be there afterwards, unfinished.
        (await platform.Api.PostAsync("/v2/apps", new JsonObject { ["id"] = "/stuck", ["cmd"] = "sleep 1", ["cpus"] = 1000 })).Must(HttpStatusCode.Created);
        var tasks = (await platform.Api.TasksAsync("/stays")).Select(t => t.Id);
        var stuck = (await platform.Api.GetAsync("/v2/deployments")).Json[0]!["id"]!.GetValue<string>();
        var process = platform.ProcessId;

        for (var round = 1; round <= 3; round++)
        {
            var said = (await platform.Api.DeleteAsync("/v2/leader")).Must(HttpStatusCode.OK);
            Assert.Equal("Leadership abdicated", said.Json["message"]!.GetValue<string>());
            await Eventually.HoldsAsync("it leads again", () => Task.FromResult(platform.Log().Split("Leading again").Length == round + 1));
            Assert.Equal(tasks, (await platform.Api.TasksAsync("/stays")).Select(t => t.Id));
            Assert.Equal(stuck, (await platform.Api.GetAsync("/v2/deployments")).Json[0]!["id"]!.GetValue<string>());
        }
        Assert.Equal(process, platform.ProcessId);
        await calling.CancelAsync();
        Assert.True(await calls > 20); // and none of them failed
        await Eventually.HoldsAsync("its node has come back", async () =>
            (await platform.Api.GetAsync("/metrics")).Json["gauges"]?["platform.nodes.active.gauge"]?["value"]?.GetValue<double>() == 1);
        (await platform.Api.PutAsync("/v2/apps/stays", new JsonObject { ["instances"] = 2 })).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("it is scaled as ever", async () => (await platform.Api.AppAsync("/stays")).Running == 2);
        Assert.Equal(0, await platform.TerminateAsync());
    }

    /// <summary>One call after the other through the proxy; the first that fails ends it.</summary>
    private static async Task<int> CallAsync(int port, CancellationToken stopping)
    {
        using var http = new HttpClient();
        var calls = 0;
        for (; !stopping.IsCancellationRequested; calls++)
            Assert.Equal("here", await http.GetStringAsync(PlatformUnderTest.ServicePort(port, "/index.html"), CancellationToken.None));
        return calls;
    }

    [Fact]
    public async Task With_credentials_the_door_may_face_the_network_and_asks_for_them()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions
        {
            Runtime = "process", Flags = new Dictionary<string, string> { ["--http-credentials"] = "admin:s3cret", ["--http-realm"] = "Platform" },
        });
        (await platform.Api.GetAsync("/ping")).Must(HttpStatusCode.Unauthorized);
        using var http = new HttpClient { BaseAddress = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{platform.ApiPort}")) };
        http.DefaultRequestHeaders.Authorization = new("Basic", Convert.ToBase64String("admin:s3cret"u8));
        Assert.Equal("pong", await http.GetStringAsync(new Uri("/ping", UriKind.Relative)));
        Assert.DoesNotContain("s3cret", await http.GetStringAsync(new Uri("/config", UriKind.Relative)), StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", platform.Log(), StringComparison.Ordinal);
    }
}
