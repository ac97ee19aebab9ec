using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Platform.Agent;
using Platform.Agent.Fetching;
using Platform.Model;
using Platform.Protocol.Transfer;

namespace Platform.Tests.Agent;

#pragma warning disable CA1001 // xunit's DisposeAsync is not the one the analyzer knows

/// <summary>The fetcher against a real HTTP server: the waits are for facts.</summary>
public sealed class ArtifactFetcherTests : IAsyncLifetime
{
    private readonly string _home = Directory.CreateTempSubdirectory("platform-fetch-").FullName;
    private readonly TaskCompletionSource _open = new();
    private WebApplication _server = null!;
    private int _asked;

    private string Url => _server.Urls.First();
    private string Sandbox => Path.Combine(_home, "sandbox");

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        _server = builder.Build();
        _server.Urls.Add("http://127.0.0.1:0");
        _server.MapGet("/file", () => $"content {Interlocked.Increment(ref _asked)}");
        _server.MapGet("/slow", async (HttpContext http) =>
        {
            Interlocked.Increment(ref _asked);
            await http.Response.WriteAsync("begun ");
            await http.Response.Body.FlushAsync();
            await _open.Task.WaitAsync(http.RequestAborted);
            await http.Response.WriteAsync("ended");
        });
        _server.MapGet("/there", () => Results.Redirect("/file"));
        _server.MapGet("/round", () => Results.Redirect("/round"));
        _server.MapGet("/local", () => Results.Redirect("file:///etc/passwd"));
        await _server.StartAsync();
        Directory.CreateDirectory(Sandbox);
    }

    public async Task DisposeAsync()
    {
        _open.TrySetResult();
        await _server.DisposeAsync();
        Directory.Delete(_home, recursive: true);
    }

    private ArtifactFetcher Fetcher(FetchOptions? options = null) => new(options ?? new FetchOptions(), Path.Combine(_home, "cache"), TimeProvider.System);

    private static Assignment With(params FetchUri[] fetch) => AgentWorld.Assign(1, app: x => x with { Fetch = fetch.ToEquatableArray() });

    private Task FetchAsync(ArtifactFetcher fetcher, FetchUri uri, string? into = null, CancellationToken cancelled = default)
    {
        Directory.CreateDirectory(into ?? Sandbox);
        return fetcher.FetchAsync(With(uri), into ?? Sandbox, null, new Progress<string>(), cancelled);
    }

    private static FetchUri Plain(string uri, string? dest = null, bool cache = false) => new(uri, false, false, cache, dest);

    [Fact]
    public async Task A_file_lands_where_it_is_asked_for_and_redirects_are_followed()
    {
        using var fetcher = Fetcher();
        await fetcher.FetchAsync(With(Plain($"{Url}/there", "in/here"), new FetchUri($"{Url}/file", true, true, false, null)), Sandbox, null, new Progress<string>(), default);
        Assert.Equal("content 1", File.ReadAllText(Path.Combine(Sandbox, "in/here")));
        Assert.True(File.GetUnixFileMode(Path.Combine(Sandbox, "file")).HasFlag(UnixFileMode.UserExecute | UnixFileMode.OtherExecute));
        Assert.False(File.GetUnixFileMode(Path.Combine(Sandbox, "in/here")).HasFlag(UnixFileMode.UserExecute));
        Assert.False(Directory.Exists(Path.Combine(Sandbox, ".platform", "fetch")));
    }

    [Theory]
    [InlineData("/missing", "the server answered 404 Not Found")]
    [InlineData("/round", "it redirects more than 10 times")]
    [InlineData("/local", "it redirects to 'file:', which is not followed")]
    public async Task A_failure_says_why(string path, string why)
    {
        using var fetcher = Fetcher();
        var failure = await Assert.ThrowsAsync<FetchFailedException>(() => FetchAsync(fetcher, Plain(Url + path, "x")));
        Assert.StartsWith($"Failed to fetch all URIs for container {With().Id.TaskId}: {Url}{path}: {why}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_body_that_breaks_off_is_no_artifact()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var fetcher = Fetcher();
        var fetching = FetchAsync(fetcher, Plain($"http://{listener.LocalEndpoint}/torn"));
        using (var client = await listener.AcceptTcpClientAsync())
        {
            var buffer = new byte[4096];
            Assert.True(await client.GetStream().ReadAsync(buffer) > 0);
            await client.GetStream().WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"u8.ToArray());
        }
        Assert.Contains(": the connection broke after 4 bytes", (await Assert.ThrowsAsync<FetchFailedException>(() => fetching)).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(Sandbox, "torn")));
    }

    [Fact]
    public async Task Files_of_the_node_are_copied_and_what_is_no_file_is_refused()
    {
        using var fetcher = Fetcher(new FetchOptions { BytesMax = 100 });
        var file = Path.Combine(_home, "of the node");
        File.WriteAllText(file, "here");
        await FetchAsync(fetcher, Plain(new Uri(file).AbsoluteUri, "copy"));
        Assert.Equal("here", File.ReadAllText(Path.Combine(Sandbox, "copy")));
        foreach (var (path, why) in new[] { ("/nowhere", "no such file"), ("/etc", "directory"), ("/dev/zero", "larger") })
            Assert.Contains(why, (await Assert.ThrowsAsync<FetchFailedException>(() => FetchAsync(fetcher, Plain(path, "x")))).Message, StringComparison.Ordinal);
        using var pipe = System.Diagnostics.Process.Start("mkfifo", Path.Combine(_home, "pipe"));
        pipe.WaitForExit();
        Assert.Contains("no plain file", (await Assert.ThrowsAsync<FetchFailedException>(() => FetchAsync(fetcher, Plain(Path.Combine(_home, "pipe"), "x")))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_too_large_is_refused()
    {
        using var fetcher = Fetcher(new FetchOptions { BytesMax = 5 });
        Assert.Contains("larger than the 5 bytes", (await Assert.ThrowsAsync<FetchFailedException>(() => FetchAsync(fetcher, Plain($"{Url}/file")))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Private_addresses_can_be_forbidden_but_for_the_store()
    {
        var options = new FetchOptions { ForbidPrivate = true, ArtifactStore = () => new Uri(Url).Authority };
        using var fetcher = Fetcher(options);
        foreach (var host in new[] { new Uri(Url).Authority, $"localhost:{new Uri(Url).Port}", $"[::ffff:127.0.0.1]:{new Uri(Url).Port}", "169.254.169.254" })
            Assert.Contains("private addresses may not be fetched from",
                (await Assert.ThrowsAsync<FetchFailedException>(() => FetchAsync(fetcher, Plain($"http://{host}/file")))).Message, StringComparison.Ordinal);
        Assert.Equal(0, _asked);
        var store = await Assert.ThrowsAsync<FetchFailedException>(() => FetchAsync(fetcher, Plain($"{Url}/v2/artifacts/x")));
        Assert.Contains("404", store.Message, StringComparison.Ordinal); // it was asked
    }

    [Theory]
    [InlineData("8.8.8.8", true)]
    [InlineData("2606:4700::1", true)]
    [InlineData("10.1.2.3", false)]
    [InlineData("172.31.0.1", false)]
    [InlineData("172.32.0.1", true)]
    [InlineData("192.168.0.1", false)]
    [InlineData("169.254.169.254", false)]
    [InlineData("100.64.0.1", false)]
    [InlineData("0.0.0.0", false)]
    [InlineData("255.255.255.255", false)]
    [InlineData("::1", false)]
    [InlineData("fe80::1", false)]
    [InlineData("fd00::1", false)]
    [InlineData("::ffff:10.0.0.1", false)]
    [InlineData("64:ff9b::a00:1", false)]
    [InlineData("2002:a00:1::", false)]
    [InlineData("::127.0.0.1", false)]
    public void Which_addresses_are_public(string address, bool isPublic) => Assert.Equal(isPublic, PublicAddresses.Contains(IPAddress.Parse(address)));

    [Fact]
    public async Task Several_tasks_at_once_share_one_download_and_later_ones_the_cache()
    {
        using var fetcher = Fetcher();
        var tasks = Enumerable.Range(0, 8).Select(i => FetchAsync(fetcher, Plain($"{Url}/slow", cache: true), Path.Combine(_home, $"s{i}"))).ToList();
        await EventuallyAsync(() => _asked == 1);
        _open.SetResult();
        await Task.WhenAll(tasks);
        await FetchAsync(fetcher, Plain($"{Url}/slow", cache: true));
        Assert.Equal(1, _asked);
        Assert.All(Enumerable.Range(0, 8), i => Assert.Equal("begun ended", File.ReadAllText(Path.Combine(_home, $"s{i}", "slow"))));
    }

    [Fact]
    public async Task A_damaged_copy_in_the_cache_is_found_and_fetched_anew()
    {
        using var fetcher = Fetcher();
        await FetchAsync(fetcher, Plain($"{Url}/file", cache: true));
        var kept = Assert.Single(Directory.GetFiles(Path.Combine(_home, "cache")));
        File.WriteAllText(kept, "content X");
        await FetchAsync(fetcher, Plain($"{Url}/file", cache: true));
        Assert.Equal("content 2", File.ReadAllText(Path.Combine(Sandbox, "file")));
        Assert.NotEqual(kept, Assert.Single(Directory.GetFiles(Path.Combine(_home, "cache"))));
    }

    [Fact]
    public async Task The_least_recently_used_go_first()
    {
        var clock = new FakeTimeProvider(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        var cache = new FetchCache(Path.Combine(_home, "lru"), 25, clock);
        var downloads = new List<string>();
        async Task UseAsync(string uri)
        {
            clock.Advance(TimeSpan.FromMinutes(1));
            await cache.CopyAsync("", uri, Path.Combine(_home, "out"), async to =>
            {
                downloads.Add(uri);
                await File.WriteAllTextAsync(to, uri.PadRight(10));
            }, default);
        }
        foreach (var uri in new[] { "a", "b", "a", "c", "a", "b" }) await UseAsync(uri);
        Assert.Equal(["a", "b", "c", "b"], downloads); // c drove b out, which was used before a
        Assert.Equal(2, Directory.GetFiles(Path.Combine(_home, "lru")).Length);
    }

    [Fact]
    public async Task One_user_is_not_given_what_another_fetched()
    {
        using var fetcher = Fetcher();
        await FetchAsync(fetcher, Plain($"{Url}/file", cache: true));
        var other = With(Plain($"{Url}/file", cache: true));
        await fetcher.FetchAsync(other with { App = other.App with { User = "nobody" } }, Sandbox, null, new Progress<string>(), default);
        Assert.Equal(2, _asked);
    }

    [Fact]
    public async Task A_kill_ends_a_fetch()
    {
        using var fetcher = Fetcher();
        using var kill = new CancellationTokenSource();
        var fetching = FetchAsync(fetcher, Plain($"{Url}/slow"), cancelled: kill.Token);
        await EventuallyAsync(() => _asked == 1);
        await kill.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => fetching);
    }

    [Fact]
    public void A_sandbox_is_filled_through_no_link()
    {
        var outside = Directory.CreateDirectory(Path.Combine(_home, "outside")).FullName;
        File.WriteAllText(Path.Combine(outside, "kept"), "kept");
        Directory.CreateSymbolicLink(Path.Combine(Sandbox, "d"), outside);
        File.CreateSymbolicLink(Path.Combine(Sandbox, "f"), Path.Combine(outside, "kept"));
        string Incoming()
        {
            File.WriteAllText(Path.Combine(_home, "incoming"), "new");
            return Path.Combine(_home, "incoming");
        }
        Assert.Throws<ArchiveRefusedException>(() => SandboxTree.Place(Sandbox, Incoming(), "d/kept"));
        SandboxTree.Place(Sandbox, Incoming(), "f");
        var tree = Directory.CreateDirectory(Path.Combine(_home, "tree", "d")).FullName;
        File.WriteAllText(Path.Combine(tree, "kept"), "new");
        SandboxTree.Merge(Path.Combine(_home, "tree"), Sandbox);
        Assert.Equal("kept", File.ReadAllText(Path.Combine(outside, "kept")));
        Assert.Equal("new", File.ReadAllText(Path.Combine(Sandbox, "d", "kept")));
        Assert.Equal("new", File.ReadAllText(Path.Combine(Sandbox, "f")));
    }

    private static async Task EventuallyAsync(Func<bool> holds)
    {
        using var deadline = new CancellationTokenSource(Suite.Patience);
        while (!holds()) await Task.Delay(5, deadline.Token);
    }
}
