using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class EndpointFilesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("platform-files-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("/nginx")]
    [InlineData("/prod/eu/web")]
    [InlineData("/mixed")]
    [InlineData("/quiet")]
    public void The_file_of_one_app(string app) => GoldenFile.Check(
        $"files/{AppId.Parse(app).Underscored}.json", Encoding.UTF8.GetString(EndpointFileSet.App(World.Assorted().Snapshot.Services[AppId.Parse(app)])));

    [Fact]
    public void The_targets_of_an_assorted_table() =>
        GoldenFile.Check("files/targets.json", Encoding.UTF8.GetString(EndpointFileSet.Prometheus(World.Assorted().Snapshot.Services)));

    [Fact]
    public async Task Files_follow_the_table_and_go_with_their_app()
    {
        var world = new World().App("/shop/web").App("/other").Up("/shop/web", 1, "n", "10.0.0.1", null, World.At(0, 31000));
        await using (new Running(world, _directory))
        {
            await world.ServedAsync(EndpointFiles.ViewName);
            Assert.Equal(["_meta.json", "apps/other.json", "apps/shop_web.json", "prometheus/targets.json"], Files());
            Assert.Contains("31000", Text("apps/shop_web.json"));
            Assert.Contains("\"10.0.0.1:31000\"", Text("prometheus/targets.json"));
            var untouched = File.GetLastWriteTimeUtc(Path.Combine(_directory, "apps/other.json"));
            Assert.Contains("\"revision\": 3", Text("_meta.json"));

            world.Up("/shop/web", 1, "n", "10.0.0.1", null, World.At(0, 31007));
            await world.ServedAsync(EndpointFiles.ViewName);
            Assert.Contains("31007", Text("apps/shop_web.json"));
            Assert.Equal(untouched, File.GetLastWriteTimeUtc(Path.Combine(_directory, "apps/other.json")));

            world.Gone("/shop/web");
            await world.ServedAsync(EndpointFiles.ViewName);
            Assert.Equal(["_meta.json", "apps/other.json", "prometheus/targets.json"], Files());
            Assert.Equal("[]", Text("prometheus/targets.json"));
        }
        Assert.Contains("apps/other.json", Files()); // the end of the writer is not the end of the apps
    }

    [Fact]
    public async Task A_new_writer_removes_what_an_earlier_one_left_and_nothing_of_others()
    {
        var world = new World().App("/old");
        await using (new Running(world, _directory)) await world.ServedAsync(EndpointFiles.ViewName);
        File.WriteAllText(Path.Combine(_directory, "apps", "strangers.json"), "{}");

        world = new World().App("/new");
        await using (new Running(world, _directory)) await world.ServedAsync(EndpointFiles.ViewName);
        Assert.Equal(["_meta.json", "apps/new.json", "apps/strangers.json", "prometheus/targets.json"], Files());
    }

    [Fact]
    public async Task A_manifest_that_points_outside_removes_nothing_there()
    {
        var outside = Path.Combine(_directory, "..", Path.GetFileName(_directory) + "-outside.json");
        File.WriteAllText(outside, "{}");
        try
        {
            File.WriteAllText(Path.Combine(_directory, "_meta.json"), $$"""{"files":["../{{Path.GetFileName(outside)}}", "{{Path.GetFullPath(outside)}}", 7]}""");
            var world = new World().App("/a");
            await using (new Running(world, _directory)) await world.ServedAsync(EndpointFiles.ViewName);
            Assert.True(File.Exists(outside));
        }
        finally
        {
            File.Delete(outside);
        }
    }

    private string[] Files() => [.. Directory.EnumerateFiles(_directory, "*", SearchOption.AllDirectories).Select(x => Path.GetRelativePath(_directory, x)).Order(StringComparer.Ordinal)];

    private string Text(string name) => File.ReadAllText(Path.Combine(_directory, name));

    private sealed class Running : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stopping = new();
        private readonly Task _running;

        public Running(World world, string directory) =>
            _running = Task.Run(() => new EndpointFiles(world.Feed, world.Views, directory, NullLoggerFactory.Instance).RunAsync(_stopping.Token));

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await _running;
            _stopping.Dispose();
        }
    }
}
