using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>The rig sees what it is there to see: a load that never failed could also be one that never looked.</summary>
public sealed class RigTests
{
    [DockerFact]
    public async Task The_load_counts_what_is_answered_and_what_breaks()
    {
        await Machine.EnsureImagesAsync();
        var port = Ports.Free();
        var container = await Command.DockerAsync("run", "-d", "-p", $"127.0.0.1:{port}:8080", Machine.TestImage, "/bin/sh", "-c", "rails server -p 8080");
        try
        {
            var uri = new Uri($"http://127.0.0.1:{port}/");
            using var http = new HttpClient();
            await Eventually.HoldsAsync("the container answers", async () =>
            {
                try
                {
                    return (await http.GetStringAsync(uri)).StartsWith("program rails", StringComparison.Ordinal);
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            });

            await using var load = Load.Start(uri);
            await load.MoreAnsweredAsync(200);
            Assert.Empty(load.FailedSoFar);
            var wrk = await Wrk.RunAsync(uri, "demo", seconds: 1);
            Assert.True(wrk is { Requests: > 0, SocketErrors: 0, NotOk: 0 }, wrk.Text);
            Assert.True((await Wrk.RunAsync(new Uri(uri, "/nothing-here"), null, seconds: 1)).NotOk > 0);

            await Command.DockerAsync("kill", container);
            await Eventually.HoldsAsync("failures are counted", () => Task.FromResult(load.FailedSoFar.Length >= load.Workers));
            Assert.True((await load.StopAsync()).Answered >= 200);
        }
        finally
        {
            await Command.RunAsync("docker", "rm", "-f", container);
        }
    }
}
