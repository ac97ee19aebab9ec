using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Clients that were written for Marathon, as their users have them.</summary>
public sealed class RealClientTests
{
    /// <summary>Strict about members it does not know: an answer that says more than the contract breaks it.</summary>
    [Fact]
    public async Task Debians_python3_marathon_does_its_work()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var script = Path.Combine(Machine.Repository, "tests", "clients", "marathon_client.py");
        var result = await Command.RunAsync("/usr/bin/python3", TimeSpan.FromSeconds(240), script, $"http://127.0.0.1:{platform.ApiPort}");
        Assert.Equal("done", result.Must("the client").Trim());
    }
}
