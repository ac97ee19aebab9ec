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
    public void The_backends_of_an_assorted_table() =>
        GoldenFile.Check("files/servers.cfg", Encoding.UTF8.GetString(EndpointFileSet.HaproxyOf(Entries.Select(EndpointFileSet.HaproxyPiece))));

    [Fact]
    public void The_hosts_of_an_assorted_table() =>
        GoldenFile.Check("files/hosts", Encoding.UTF8.GetString(EndpointFileSet.HostsOf(Entries.Select(x => EndpointFileSet.HostsPiece(x, "marathon.mesos")))));

    [Fact]
    public void The_clusters_of_an_assorted_table() =>
        GoldenFile.Check("files/eds.txt", string.Concat(Entries.SelectMany(EndpointFileSet.Envoy).Select(x => $"{x.Name}\n{Encoding.UTF8.GetString(x.Content)}\n")));

    private static IEnumerable<ServiceEntry> Entries => World.Assorted().Snapshot.Services.Values;

    /// <summary>Envoy takes a version for what it says it is: the same only when all is the same.</summary>
    [Fact]
    public void A_clusters_version_follows_what_it_says_and_nothing_else()
    {
        string Version(World world) => System.Text.Json.Nodes.JsonNode.Parse(EndpointFileSet.Envoy(world.Snapshot.Services[AppId.Parse("/a")]).Single().Content)!["version_info"]!.GetValue<string>();
        World One() => new World().App("/a", World.Port(0, 10000)).Up("/a", 1, "n", "10.0.0.1", null, World.At(0, 31000));
        Assert.Equal(Version(One()), Version(One().App("/b")));
        Assert.NotEqual(Version(One()), Version(One().Up("/a", 2, "n", "10.0.0.1", null, World.At(0, 31001))));
        Assert.NotEqual(Version(One()), Version(One().Up("/a", 1, "n", "10.0.0.1", null, World.At(0, 31009))));
    }

    [Fact]
    public async Task Whoever_copies_the_directory_meanwhile_finds_nothing_half_done()
    {
        var world = new World().App("/web", World.Port(0, 10080));
        var strangers = new System.Collections.Concurrent.ConcurrentBag<string>();
        using var watch = new FileSystemWatcher(_directory) { IncludeSubdirectories = true };
        watch.Created += (_, e) => strangers.Add(e.Name!); // a rename into the directory is seen as one, too, and under the final name
        watch.Renamed += (_, e) => strangers.Add(e.OldName ?? "");
        watch.EnableRaisingEvents = true;
        await using (new Running(world, _directory))
        {
            for (var i = 0; i < 20; i++)
            {
                world.Up("/web", i, "n", "10.0.0.1", null, World.At(0, 31000 + i));
                await world.ServedAsync(EndpointFiles.ViewName);
                foreach (var file in Files().Where(x => x.EndsWith(".json", StringComparison.Ordinal))) Assert.NotNull(System.Text.Json.Nodes.JsonNode.Parse(Text(file)));
            }
        }
        var expected = Files().Concat(["apps", "prometheus", "haproxy", "envoy", "envoy/eds"]).ToHashSet();
        Assert.DoesNotContain(strangers, x => x.Length > 0 && !expected.Contains(x));
        Assert.Empty(Directory.GetDirectories(Path.GetDirectoryName(_directory)!, $".{Path.GetFileName(_directory)}*"));
    }

    [Fact]
    public async Task Files_have_the_mode_they_were_told_and_so_have_their_folders()
    {
        var rights = FileRights.Default with { Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead };
        var world = new World().App("/web", World.Port(0, 10080));
        await using (new Running(world, _directory)) await world.ServedAsync(EndpointFiles.ViewName);
        Assert.Equal(FileRights.Default.Mode, File.GetUnixFileMode(Path.Combine(_directory, "hosts")));
        world = new World().App("/web", World.Port(0, 10080));
        await using (new Running(world, _directory, rights)) await world.ServedAsync(EndpointFiles.ViewName);
        Assert.All(Files(), x => Assert.Equal(rights.Mode, File.GetUnixFileMode(Path.Combine(_directory, x))));
        Assert.Equal(rights.Mode | UnixFileMode.UserExecute | UnixFileMode.GroupExecute, File.GetUnixFileMode(Path.Combine(_directory, "apps")));
    }

    [Fact]
    public async Task A_directory_that_somebody_removed_is_made_anew_with_the_next_change()
    {
        var world = new World().App("/web");
        await using (new Running(world, _directory))
        {
            await world.ServedAsync(EndpointFiles.ViewName);
            Directory.Delete(_directory, recursive: true);
            world.App("/other");
            await world.ServedAsync(EndpointFiles.ViewName);
            Assert.Contains("apps/web.json", Files());
            Assert.Contains("apps/other.json", Files());
            Assert.Empty(world.Views.Current.Problems);
        }
    }

    [Fact]
    public async Task Files_follow_the_table_and_go_with_their_app()
    {
        var world = new World().App("/shop/web", World.Port(0, 10080)).App("/other").Up("/shop/web", 1, "n", "10.0.0.1", null, World.At(0, 31000));
        await using (new Running(world, _directory))
        {
            await world.ServedAsync(EndpointFiles.ViewName);
            Assert.Equal(["_meta.json", "apps/other.json", "apps/shop_web.json", "envoy/eds/shop_web_10080.json", "haproxy/servers.cfg", "hosts", "prometheus/targets.json"], Files());
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
            Assert.Equal(["_meta.json", "apps/other.json", "haproxy/servers.cfg", "hosts", "prometheus/targets.json"], Files());
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
        Assert.Equal(["_meta.json", "apps/new.json", "apps/strangers.json", "haproxy/servers.cfg", "hosts", "prometheus/targets.json"], Files());
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

        public Running(World world, string directory, FileRights? rights = null) =>
            _running = Task.Run(() => new EndpointFiles(world.Feed, world.Views, new EndpointFilesOptions { Directory = directory, Rights = rights ?? FileRights.Default }, NullLoggerFactory.Instance).RunAsync(_stopping.Token));

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await _running;
            _stopping.Dispose();
        }
    }
}
