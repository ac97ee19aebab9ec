using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;
using Xunit.Abstractions;

namespace Platform.Functional.Tests;

/// <summary>Whatever we do to an app under traffic, its callers do not notice.</summary>
public sealed class ZeroFailedRequestsTests(ITestOutputHelper output)
{
    private const string Vhost = "shop.example.test";

    [DockerFact]
    public async Task Ten_rollouts_and_scaling_fail_no_request_and_a_killed_task_at_most_those_in_flight()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        var servicePort = await DeployAsync(platform);

        await using var byPort = Load.Start(PlatformUnderTest.ServicePort(servicePort));
        await using var byName = Load.Start(platform.Edge(), Vhost);
        for (var release = 1; release <= 10; release++)
        {
            await ReleaseAsync(platform.Api, release);
            await byPort.MoreAnsweredAsync(20);
        }
        foreach (var instances in (int[])[6, 2])
        {
            (await platform.Api.PutAsync("/v2/apps/shop/web", new JsonObject { ["instances"] = instances })).Must(HttpStatusCode.OK);
            await platform.Api.ReadyAsync("/shop/web");
            await byName.MoreAnsweredAsync(50);
        }
        output.WriteLine($"before the kill: {byPort.Answered} by port, {byName.Answered} by name");
        Assert.Empty(byPort.FailedSoFar);
        Assert.Empty(byName.FailedSoFar);

        var victim = (await platform.Api.TasksAsync("/shop/web"))[0];
        await Command.DockerAsync("kill", victim.Container);
        var killedAt = DateTimeOffset.UtcNow;
        await Eventually.HoldsAsync("another task takes its place", async () =>
            await platform.Api.TasksAsync("/shop/web") is { Length: 2 } now && now.All(x => x.Id != victim.Id && x.Healthy));
        await byPort.MoreAnsweredAsync(50);
        await byName.MoreAnsweredAsync(50);

        var (port, name) = (await byPort.StopAsync(), await byName.StopAsync());
        output.WriteLine($"by port: {port}\nby name: {name}");
        Assert.All(port.Failed.Concat(name.Failed), x => Assert.True(x.BeganAt <= killedAt, $"began after the task was dead: {x}"));
        Assert.InRange(port.Failed.Length, 0, byPort.Workers);
        Assert.InRange(name.Failed.Length, 0, byName.Workers);
    }

    [DockerFact]
    public async Task Wrk_sees_no_error_through_port_and_vhost_during_rollouts()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        var servicePort = await DeployAsync(platform);

        var byPort = Wrk.RunAsync(PlatformUnderTest.ServicePort(servicePort), null, seconds: 20);
        var byName = Wrk.RunAsync(platform.Edge(), Vhost, seconds: 20);
        var releases = 0;
        while (!byPort.IsCompleted && !byName.IsCompleted) await ReleaseAsync(platform.Api, ++releases);

        foreach (var result in await Task.WhenAll(byPort, byName))
        {
            output.WriteLine($"{releases} releases\n{result.Text}");
            Assert.Equal((0, 0), (result.SocketErrors, result.NotOk));
            Assert.True(result.Requests > 0);
        }
        Assert.True(releases > 0);
    }

    [DockerFact]
    public async Task A_request_in_flight_is_answered_before_its_task_is_stopped()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await DeployAsync(platform);
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, platform.Edge("/cgi-bin/slow?12")) { Headers = { Host = Vhost } };
        var old = await platform.Api.TasksAsync("/shop/web");

        var slow = http.SendAsync(request);
        await Eventually.HoldsAsync("the slow request runs in a container", () => AnySleepsAsync(old));
        await ReleaseAsync(platform.Api, 1);

        using var response = await slow;
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var body = await response.Content.ReadAsStringAsync();
        Assert.Contains(old, x => body.Contains(x.Id, StringComparison.Ordinal));
    }

    private static async Task<bool> AnySleepsAsync(TaskView[] tasks)
    {
        foreach (var task in tasks)
            if ((await Command.DockerAsync("top", task.Container, "-o", "pid,args")).Contains("sleep 12", StringComparison.Ordinal)) return true;
        return false;
    }

    private static async Task<int> DeployAsync(PlatformUnderTest platform)
    {
        await platform.Api.CreateAsync(Apps.Web("/shop/web", 3).WithHttpCheck().With("labels", new JsonObject { ["HAPROXY_0_VHOST"] = Vhost }));
        return (await platform.Api.ReadyAsync("/shop/web")).ServicePorts[0];
    }

    private static async Task ReleaseAsync(MarathonApi api, int release)
    {
        var env = new JsonObject { ["RELEASE"] = release.ToString(CultureInfo.InvariantCulture) };
        var version = (await api.PutAsync("/v2/apps/shop/web", new JsonObject { ["env"] = env })).Must(HttpStatusCode.OK).Json["version"]!.GetValue<string>();
        await api.ReadyAsync("/shop/web");
        Assert.All(await api.TasksAsync("/shop/web"), x => Assert.Equal(version, x.Version));
    }
}
