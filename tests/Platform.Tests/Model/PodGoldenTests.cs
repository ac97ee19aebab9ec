using System.Text;
using System.Text.Json;
using Platform.Model;

namespace Platform.Tests.Model;

/// <summary>
/// Golden/pods/&lt;case&gt;/input.json is what a client sends; what comes of it is pod.json, or problems.json (the 422's body). Every pod that
/// is accepted comes back from the log and the link as it was, and from its own answer.
/// </summary>
public sealed class PodGoldenTests
{
    public static TheoryData<string> Cases() => [.. Directory.GetDirectories(Path.Combine(Golden.Root, "pods")).Select(x => Path.GetFileName(x)!).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void An_input_gives_what_was_reviewed(string name)
    {
        var result = PodReader.Read(AppJsonTests.Parse(Golden.Read($"pods/{name}/input.json")));
        Assert.Equal(name.StartsWith("refused-", StringComparison.Ordinal), result is ReadResult.Refused);
        if (result is ReadResult.Refused refused)
        {
            Golden.Check($"pods/{name}/problems.json", Indented(refused.Refusal.Write));
            return;
        }
        var pod = Assert.IsType<ReadResult.App>(result).Definition;
        var answer = Indented(w => PodJson.Write(w, pod));
        Golden.Check($"pods/{name}/pod.json", answer);
        var stored = pod with { Version = new AppVersion(DateTimeOffset.UnixEpoch), VersionInfo = new VersionInfo(new AppVersion(DateTimeOffset.UnixEpoch), new AppVersion(DateTimeOffset.UnixEpoch)) };
        Assert.Equal(stored, JsonSerializer.Deserialize<AppDefinition>(JsonSerializer.Serialize(stored)));
        Assert.Equal(pod, Assert.IsType<ReadResult.App>(PodReader.Read(AppJsonTests.Parse(answer))).Definition);
    }

    [Fact]
    public void What_the_scheduler_needs_follows_from_the_containers()
    {
        var pod = Assert.IsType<ReadResult.App>(PodReader.Read(AppJsonTests.Parse(Golden.Read("pods/everything/input.json")))).Definition;
        Assert.Equal(new Resources(1.7, 256, 20), pod.Resources);
        Assert.Equal(["http", "dns", "admin", "raw"], pod.Ports.Select(x => x.Name!));
        Assert.Equal([80, 53, 9000, 7], pod.Ports.Select(x => x.ContainerPort!.Value));
        Assert.Equal([0, 5353, null, null], pod.Ports.Select(x => x.HostPort));
        Assert.Equal([("web", 0), ("side-car", null), ("third", (int?)3)], pod.HealthChecks.Select(x => (x.Container!, x.PortIndex)));
        Assert.Equal(TimeSpan.FromSeconds(8), pod.KillGrace);
        Assert.True(pod.NeedsImage);
    }

    [Fact]
    public void A_service_port_is_given_to_each_endpoint_and_kept_by_the_next_version()
    {
        var pod = Assert.IsType<ReadResult.App>(PodReader.Read(AppJsonTests.Parse(Golden.Read("pods/everything/input.json")))).Definition;
        Assert.True(ServicePorts.TryAssign(pod, null, new HashSet<int> { 10000 }, 10000, 10100, out var first, out _));
        Assert.Equal([10001, 10053, 10002, 10003], first.Ports.Select(x => x.ServicePort));
        Assert.True(ServicePorts.TryAssign(pod, first, new HashSet<int> { 10000 }, 10000, 10100, out var second, out _));
        Assert.Equal(first, second);
        Assert.False(AppChange.ConfigChanged(first, second));
        Assert.False(ServicePorts.TryAssign(pod, null, new HashSet<int>(), 10000, 10001, out _, out var problem));
        Assert.Equal("/containers", problem.Path);
    }

    private static string Indented(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, AppJson.WriterOptions with { Indented = true })) write(writer);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
