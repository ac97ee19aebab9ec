using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>A start that cannot be is refused with a sentence and the documented exit code.</summary>
public sealed class TakenPortTests
{
    private const int BadOption = 23;

    [Theory]
    [InlineData("--api")]
    [InlineData("--dns")]
    [InlineData("--kv")]
    [InlineData("--edge")]
    [InlineData("--admin")]
    public async Task A_taken_door_stops_the_start_with_a_sentence_that_names_its_flag(string flag)
    {
        var port = Ports.Free();
        using var taken = Ports.Occupy(port);

        var (code, said) = await PlatformUnderTest.RefusedStartAsync(Process(new Dictionary<string, string> { [flag] = $"127.0.0.1:{port}" }));

        Assert.True(code == BadOption, $"exit code {code}: {said}");
        Assert.Contains(flag, said, StringComparison.Ordinal);
        Assert.Contains($"{port}", said, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", said, StringComparison.Ordinal); // a sentence, not a stack trace
    }

    [Theory]
    [InlineData("--api", "nonsense")]
    [InlineData("--task-ports", "500-100")]
    [InlineData("--task-ports", "1-70000")]
    [InlineData("--runtime", "chroot")]
    [InlineData("--node-name", "bad name!")]
    public async Task A_flag_that_cannot_be_is_refused_by_name(string flag, string value)
    {
        var (code, said) = await PlatformUnderTest.RefusedStartAsync(Process(new Dictionary<string, string> { [flag] = value }));
        Assert.True(code == BadOption, $"exit code {code}: {said}");
        Assert.Contains(flag, said, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_platform_on_the_same_data_is_refused()
    {
        await using var first = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var (code, said) = await PlatformUnderTest.RefusedStartAsync(new PlatformOptions { Runtime = "process", DataDirectory = first.DataDirectory });
        Assert.NotEqual(0, code);
        Assert.Contains(first.DataDirectory, said, StringComparison.Ordinal);
        Assert.Empty(await first.Api.AppIdsAsync());
    }

    private static PlatformOptions Process(Dictionary<string, string> flags) => new() { Runtime = "process", Flags = flags };
}
