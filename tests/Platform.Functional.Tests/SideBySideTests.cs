using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Several platforms and other people's containers on one machine do not see each other.</summary>
public sealed class SideBySideTests
{
    [DockerFact]
    public async Task Two_platforms_and_a_stranger_leave_each_other_alone()
    {
        var stranger = $"stranger-{Environment.ProcessId}";
        // It even carries labels like ours, of a cluster that is not here.
        await Command.DockerAsync("run", "-d", "--name", stranger, "--label", "platform.cluster=somebody-elses", "--label", "platform.instance=x.instance-1", Machine.TestImage, "sleep", "600");
        try
        {
            var before = await InspectAsync(stranger);
            await using var first = await PlatformUnderTest.StartAsync();
            await using var second = await PlatformUnderTest.StartAsync();
            foreach (var platform in (PlatformUnderTest[])[first, second])
            {
                await platform.Api.CreateAsync(Apps.Web("/same", 2));
                await platform.Api.ReadyAsync("/same");
            }
            var (ofFirst, ofSecond) = (await first.ContainersAsync(), await second.ContainersAsync());
            Assert.Equal((2, 2), (ofFirst.Length, ofSecond.Length));
            Assert.Empty(ofFirst.Intersect(ofSecond));

            await first.KillAsync();
            await first.StartAgainAsync();
            await first.Api.ReadyAsync("/same");
            await first.Api.DeleteAsync("/v2/apps/same");
            await first.Api.GoneAsync("/same");

            await Eventually.GetAsync("the first has no containers", first.ContainersAsync, x => x.Length == 0);
            Assert.Equal(ofSecond, await second.ContainersAsync());
            Assert.Equal(["/same"], await second.Api.AppIdsAsync());
            Assert.Equal(before, await InspectAsync(stranger));
        }
        finally
        {
            await Command.RunAsync("docker", "rm", "-f", stranger);
        }
    }

    private static Task<string> InspectAsync(string container) => Command.DockerAsync("inspect", "--format", "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}}", container);
}
