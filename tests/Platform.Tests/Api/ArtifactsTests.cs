using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Platform.Scheduler.Artifacts;

namespace Platform.Tests.Api;

/// <summary>Contract 7.2: the artifact store over the wire, and what a crash leaves of it.</summary>
public sealed class ArtifactsTests
{
    private static async Task<HttpResponseMessage> SendAsync(ApiWorld world, HttpMethod method, string path, HttpContent? content = null, Action<HttpRequestMessage>? with = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        with?.Invoke(request);
        return await world.Http.SendAsync(request);
    }

    private static MultipartFormDataContent Part(string name, string file, string content) => new() { { new StringContent(content), name, file } };

    private static FileInfo[] FilesOf(ApiWorld world) => [.. new DirectoryInfo(Path.Combine(world.Folder, "artifacts")).EnumerateFiles("*", SearchOption.AllDirectories)];

    [Fact]
    public async Task What_is_put_is_got_in_whole_and_in_part_until_it_is_deleted()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var bytes = new byte[3_500_000]; // more than any JSON body may have
        new Random(7).NextBytes(bytes);
        using var put = await SendAsync(world, HttpMethod.Put, "/v2/artifacts/web/site v1.tar.gz", new ByteArrayContent(bytes));
        Assert.Equal((HttpStatusCode.Created, $"http://{world.Authority}/v2/artifacts/web/site%20v1.tar.gz"), (put.StatusCode, put.Headers.Location!.AbsoluteUri));

        using var got = await SendAsync(world, HttpMethod.Get, put.Headers.Location.AbsolutePath);
        Assert.Equal(bytes, await got.Content.ReadAsByteArrayAsync());
        Assert.Equal(("application/x-gzip", bytes.Length), (got.Content.Headers.ContentType!.MediaType, got.Content.Headers.ContentLength));
        Assert.NotNull(got.Content.Headers.LastModified);
        using var part = await SendAsync(world, HttpMethod.Get, put.Headers.Location.AbsolutePath, with: x => x.Headers.Range = new RangeHeaderValue(10, 19));
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal(bytes[10..20], await part.Content.ReadAsByteArrayAsync());
        using var head = await SendAsync(world, HttpMethod.Head, put.Headers.Location.AbsolutePath);
        Assert.Equal((HttpStatusCode.OK, (long?)bytes.Length), (head.StatusCode, head.Content.Headers.ContentLength));

        using var again = await SendAsync(world, HttpMethod.Post, "/v2/artifacts/web/site v1.tar.gz", new StringContent("new"));
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.Equal(3, world.Artifacts.BytesUsed);
        for (var i = 0; i < 2; i++)
            Assert.Equal(HttpStatusCode.OK, (await world.DeleteAsync("/v2/artifacts/web/site v1.tar.gz")).Status);
        Assert.Equal("No artifact with path web/site v1.tar.gz", (string)(await world.GetAsync("/v2/artifacts/web/site v1.tar.gz")).Must(HttpStatusCode.NotFound).Json["message"]!);
        Assert.Equal(0, world.Artifacts.BytesUsed);
        Assert.Empty(FilesOf(world));
    }

    [Fact]
    public async Task A_form_names_the_artifact_unless_the_url_does()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var named = await SendAsync(world, HttpMethod.Post, "/v2/artifacts", Part("file", "a/b.zip", "zip"));
        Assert.Equal((HttpStatusCode.Created, "/v2/artifacts/a/b.zip"), (named.StatusCode, named.Headers.Location!.AbsolutePath));
        using var url = await SendAsync(world, HttpMethod.Put, "/v2/artifacts/c.zip", Part("file", "other.zip", "zip"));
        Assert.Equal("/v2/artifacts/c.zip", url.Headers.Location!.AbsolutePath);
        Assert.Equal("zip", (await world.GetAsync("/v2/artifacts/c.zip")).Must(HttpStatusCode.OK).Body);
        foreach (var (path, content) in new (string, HttpContent)[] { ("/v2/artifacts", Part("upload", "x", "x")), ("/v2/artifacts/x", Part("upload", "x", "x")), ("/v2/artifacts", new StringContent("x")) })
        {
            using var refused = await SendAsync(world, HttpMethod.Post, path, content);
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.StatusCode);
            Assert.Contains("Please use 'file' as form parameter name!", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        Assert.Equal(2, FilesOf(world).Length);
    }

    [Theory]
    [InlineData("../out")]
    [InlineData("a/../../out")]
    [InlineData("a//b")]
    [InlineData("")]
    public async Task A_name_that_leads_out_is_refused(string name)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var form = new MultipartFormDataContent("b") { new ByteArrayContent("x"u8.ToArray()) };
        form.First().Headers.TryAddWithoutValidation("Content-Disposition", $"form-data; name=\"file\"; filename=\"{name}\"");
        using var refused = await SendAsync(world, HttpMethod.Post, "/v2/artifacts", form);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.StatusCode);
        Assert.Empty(FilesOf(world));
    }

    [Theory]
    [InlineData("/v2/artifacts/../../../etc/passwd")]
    [InlineData("/v2/artifacts/%2e%2e/%2e%2e/etc/passwd")]
    [InlineData("/v2/artifacts/..%2f..%2f..%2fetc%2fpasswd")]
    public async Task A_path_that_leads_out_finds_nothing(string path)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(world.Authority));
        await using var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        var answer = await new StreamReader(stream).ReadToEndAsync();
        Assert.StartsWith("HTTP/1.1 404", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("root:", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_quota_holds_and_what_did_not_fit_leaves_nothing()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var first = await SendAsync(world, HttpMethod.Put, "/v2/artifacts/a", new ByteArrayContent(new byte[3 << 20]));
        Assert.Equal(HttpStatusCode.Created, first.StatusCode);
        using var second = await SendAsync(world, HttpMethod.Put, "/v2/artifacts/b", new ByteArrayContent(new byte[2 << 20]));
        Assert.Equal(HttpStatusCode.InsufficientStorage, second.StatusCode);
        Assert.Contains("--artifact-quota", await second.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(3 << 20, world.Artifacts.BytesUsed);
        Assert.Equal("a", Assert.Single(FilesOf(world)).Name);
        Assert.Equal(HttpStatusCode.NotFound, (await world.GetAsync("/v2/artifacts/b")).Status);
        using var below = await SendAsync(world, HttpMethod.Put, "/v2/artifacts/a/b", new StringContent("x"));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, below.StatusCode);
        Assert.Equal(3 << 20, world.Artifacts.BytesUsed);
    }

    /// <summary>Found by the fuzz.</summary>
    [Fact]
    public async Task A_form_without_its_end_is_the_senders_mistake()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var form = new StringContent("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello");
        form.Headers.ContentType = System.Net.Http.Headers.MediaTypeHeaderValue.Parse("multipart/form-data; boundary=x");
        using var refused = await SendAsync(world, HttpMethod.Post, "/v2/artifacts", form);
        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        Assert.Empty(FilesOf(world));
    }

    [Fact]
    public async Task An_upload_that_breaks_off_leaves_the_old_artifact_whole()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var first = await SendAsync(world, HttpMethod.Put, "/v2/artifacts/a", new StringContent("old"));
        using (var client = new TcpClient())
        {
            await client.ConnectAsync(IPEndPoint.Parse(world.Authority));
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes("PUT /v2/artifacts/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"));
            using var arrived = new CancellationTokenSource(Suite.Patience);
            while (FilesOf(world).Sum(x => x.Length) < 7) await Task.Delay(5, arrived.Token);
        }
        using var deadline = new CancellationTokenSource(Suite.Patience);
        while (FilesOf(world).Length > 1 || world.Artifacts.BytesUsed != 3) await Task.Delay(5, deadline.Token);
        Assert.Equal("old", (await world.GetAsync("/v2/artifacts/a")).Body);
    }

    /// <summary>Every state of the disk that a kill can leave: nothing of the new, all of it beside, all of it in place.</summary>
    [Fact]
    public async Task A_start_takes_up_what_is_whole_and_removes_what_is_not()
    {
        var home = Directory.CreateTempSubdirectory("platform-store-");
        try
        {
            var store = new ArtifactStore(home.FullName, 1000);
            await store.PutAsync("a/b", new MemoryStream("whole"u8.ToArray()), default);
            File.WriteAllText(Path.Combine(home.FullName, "incoming", "torn"), "ha");
            var next = new ArtifactStore(home.FullName, 1000);
            Assert.Equal(5, next.BytesUsed);
            Assert.Empty(Directory.GetFiles(Path.Combine(home.FullName, "incoming")));
            using var file = new StreamReader(next.Open("a/b")!);
            Assert.Equal("whole", await file.ReadToEndAsync());
        }
        finally
        {
            home.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task StoreUrls_become_artifacts_of_the_store()
    {
        await using var world = await ApiWorld.StartAsync();
        using var source = await SendAsync(world, HttpMethod.Put, "/v2/artifacts/src/app.tgz", new StringContent("bytes"));
        var created = (await world.PostAsync("/v2/apps", $$"""{"id":"/x","cmd":"run","uris":["http://h/other"],"storeUrls":["{{source.Headers.Location}}"]}""")).Must(HttpStatusCode.Created).Json;
        var copy = (string)created["uris"]![1]!;
        Assert.Equal($"http://{world.Authority}/v2/artifacts/277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9/app.tgz", copy);
        Assert.True((bool)created["fetch"]![1]!["extract"]!);
        Assert.Null(created["storeUrls"]);
        Assert.Equal("bytes", (await world.GetAsync(new Uri(copy).AbsolutePath)).Body);
        await world.SettleAsync();

        var refused = (await world.PutAsync("/v2/apps/x", $$"""{"storeUrls":["http://{{world.Authority}}/v2/artifacts/none.tgz"]}""")).Must(HttpStatusCode.UnprocessableEntity);
        Assert.Equal("/storeUrls(0)", (string)refused.Json["details"]![0]!["path"]!);
        Assert.Contains("the server answered 404", refused.Body, StringComparison.Ordinal);
        Assert.Equal(2, world.State.Apps.Single().Value.Definition.Fetch.Count);
        (await world.PostAsync("/v2/apps", $$"""{"id":"/y","storeUrls":["{{source.Headers.Location}}"]}""")).Must(HttpStatusCode.UnprocessableEntity);
    }
}
