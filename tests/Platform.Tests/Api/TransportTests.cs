using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Platform.Scheduler.Api;

namespace Platform.Tests.Api;

/// <summary>What holds for every request, whatever it asks (contract 1.1).</summary>
public sealed class TransportTests
{
    [Fact]
    public async Task Answers_are_gzipped_for_those_who_ask()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        for (var i = 0; i < 400; i++) (await world.PostAsync("/v2/apps?force=true", $$"""{"id":"/a{{i}}","instances":0,"cmd":"{{new string('x', 400)}}"}""")).Must(HttpStatusCode.Created);
        var plain = await world.Http.GetByteArrayAsync(new Uri("/v2/apps", UriKind.Relative));
        Assert.True(plain.Length > 2 * 64 * 1024); // in several pieces
        foreach (var path in (string[])["/v2/apps", "/v2/info", "/ping", "/v2/apps/none"])
        {
            using var response = await AskAsync(world, path, r => r.Headers.AcceptEncoding.ParseAdd("gzip, deflate"));
            Assert.Equal(["gzip"], response.Content.Headers.ContentEncoding);
            Assert.Contains("Accept-Encoding", response.Headers.Vary);
            await using var unpacking = new GZipStream(await response.Content.ReadAsStreamAsync(), CompressionMode.Decompress);
            var unpacked = await new StreamReader(unpacking).ReadToEndAsync();
            using var other = await AskAsync(world, path, _ => { });
            Assert.Empty(other.Content.Headers.ContentEncoding);
            Assert.Equal(await other.Content.ReadAsStringAsync(), unpacked);
        }
    }

    [Theory]
    [InlineData("gzip;q=0", false)]
    [InlineData("identity", false)]
    [InlineData("br, *", true)]
    [InlineData("*;q=0", false)]
    [InlineData("GZIP", true)]
    public async Task What_a_client_takes_is_read_with_its_weights(string said, bool gzipped)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var response = await AskAsync(world, "/v2/info", r => r.Headers.TryAddWithoutValidation("Accept-Encoding", said));
        Assert.Equal(gzipped, response.Content.Headers.ContentEncoding.Count > 0);
    }

    [Fact]
    public async Task The_event_stream_is_never_gzipped()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v2/events");
        request.Headers.Accept.ParseAdd("text/event-stream");
        request.Headers.AcceptEncoding.ParseAdd("gzip");
        using var response = await world.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Empty(response.Content.Headers.ContentEncoding);
        var line = await new StreamReader(await response.Content.ReadAsStreamAsync()).ReadLineAsync();
        Assert.Equal("event: event_stream_attached", line);
    }

    [Theory]
    [InlineData("/ping")]
    [InlineData("/v2/apps")]
    [InlineData("/nowhere")]
    [InlineData("/ui/")]
    [InlineData("/metrics")]
    [InlineData("/v2/events")]
    public async Task With_credentials_nobody_comes_in_without_them(string path)
    {
        Assert.True(HttpCredentials.TryParse("admin:pass:with:colons", out var credentials));
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { Credentials = credentials, Realm = "Here" });
        foreach (var header in (string?[])[null, "Basic", "Basic !", "Basic " + Encoded("admin:wrong"), "Basic " + Encoded("admin:pass:with:colonsx"), "Bearer x"])
        {
            using var refused = await AskAsync(world, path, r => { if (header is not null) r.Headers.TryAddWithoutValidation("Authorization", header); });
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            Assert.Equal("Basic realm=\"Here\"", refused.Headers.WwwAuthenticate.ToString());
            Assert.Equal("""{"message":"Invalid username or password."}""", await refused.Content.ReadAsStringAsync());
        }
        using var admitted = await AskAsync(world, path, r => r.Headers.Authorization = new AuthenticationHeaderValue("Basic", Encoded("admin:pass:with:colons")));
        Assert.NotEqual(HttpStatusCode.Unauthorized, admitted.StatusCode);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nobody")]
    [InlineData(":password")]
    public void Credentials_are_a_user_a_colon_and_a_password(string text) => Assert.False(HttpCredentials.TryParse(text, out _));

    [Fact]
    public async Task Pages_of_named_origins_may_read_answers_and_no_others()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { AllowedOrigins = ["http://a.example", "http://b.example"] });
        using var named = await AskAsync(world, "/ping", r => r.Headers.Add("Origin", "http://b.example"));
        Assert.Equal(["http://b.example"], named.Headers.GetValues("Access-Control-Allow-Origin"));
        Assert.Equal(["GET, HEAD, OPTIONS"], named.Headers.GetValues("Access-Control-Allow-Methods"));
        Assert.Equal(["86400"], named.Headers.GetValues("Access-Control-Max-Age"));
        Assert.Contains("Origin", named.Headers.Vary);
        using var preflight = await AskAsync(world, "/v2/apps", r =>
        {
            r.Method = HttpMethod.Options;
            r.Headers.Add("Origin", "http://a.example");
            r.Headers.Add("Access-Control-Request-Headers", "X-One, X-Two");
        });
        Assert.Equal(HttpStatusCode.OK, preflight.StatusCode);
        Assert.Equal(["X-One, X-Two"], preflight.Headers.GetValues("Access-Control-Allow-Headers"));
        using var stranger = await AskAsync(world, "/ping", r => r.Headers.Add("Origin", "http://evil.example"));
        Assert.False(stranger.Headers.Contains("Access-Control-Allow-Origin"));
    }

    [Fact]
    public async Task Without_a_named_origin_there_are_no_such_headers()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var answer = await AskAsync(world, "/ping", r => r.Headers.Add("Origin", "http://a.example"));
        Assert.DoesNotContain(answer.Headers, h => h.Key.StartsWith("Access-Control", StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task One_request_too_many_is_503_and_streams_do_not_count()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { ConcurrentRequestsMax = 1 });
        await using var stream = await StreamReading.AttachAsync(world);
        await stream.NextAsync();
        (await world.GetAsync("/ping")).Must(HttpStatusCode.OK);
        using var half = new System.Net.Sockets.TcpClient();
        await half.ConnectAsync(IPAddress.Loopback, world.Http.BaseAddress!.Port);
        await half.GetStream().WriteAsync(Encoding.ASCII.GetBytes("POST /v2/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")); // the rest never comes
        var refused = await UntilAsync(() => world.GetAsync("/ping"), a => a.Status == HttpStatusCode.ServiceUnavailable);
        Assert.Equal("1", refused.Header("Retry-After"));
        half.Close();
        await UntilAsync(() => world.GetAsync("/ping"), a => a.Status == HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_root_leads_to_a_page_that_says_what_there_is()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false }) { BaseAddress = world.Http.BaseAddress };
        foreach (var (from, to) in ((string, string)[])[("/", "/ui/"), ("/ui", "/ui/"), ("/help", "/v2/openapi.json")]) await MovedAsync(from, to);
        var page = (await world.GetAsync("/ui/")).Must(HttpStatusCode.OK);
        Assert.Equal("text/html; charset=utf-8", page.Header("Content-Type"));
        foreach (var link in page.Body.Split("href=\"").Skip(1).Select(x => x[..x.IndexOf('"', StringComparison.Ordinal)]))
            (await world.GetAsync(link)).Must(HttpStatusCode.OK);

        async Task MovedAsync(string from, string to)
        {
            using var answer = await http.GetAsync(new Uri(from, UriKind.Relative));
            Assert.Equal((HttpStatusCode.Found, to), (answer.StatusCode, answer.Headers.Location!.OriginalString));
        }
    }

    private static async Task<HttpResponseMessage> AskAsync(ApiWorld world, string path, Action<HttpRequestMessage> change)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        change(request);
        return await world.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    private static async Task<Heard> UntilAsync(Func<Task<Heard>> ask, Func<Heard, bool> good)
    {
        using var deadline = new CancellationTokenSource(Suite.Patience); // never reached when all is well
        while (true)
        {
            var answer = await ask();
            if (good(answer)) return answer;
            await Task.Delay(10, deadline.Token);
        }
    }

    private static string Encoded(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));
}
