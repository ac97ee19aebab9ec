using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Platform.Proxy;

namespace Platform.Tests.Proxy;

public sealed class EdgeHttpTests
{
    [System.Runtime.CompilerServices.ModuleInitializer]
    internal static void Harden() => EdgeProxy.HardenRuntime();

    [Theory]
    [InlineData("web.shop.marathon.mesos")]
    [InlineData("web-shop.marathon.mesos")]
    [InlineData("WEB-Shop.Marathon.Mesos")]
    [InlineData("shop.example.com")]
    [InlineData("shop.example.com:8080")]
    public async Task An_app_is_reached_by_each_of_its_names(string host)
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await WebBackend.SayingAsync("hello");
        var port = await world.AppAsync("/shop/web", ("HAPROXY_0_VHOST", "Shop.Example.com"));
        await world.ReadyAsync("/shop/web", backend.Port);

        using var answer = await world.GetAsync(host);
        Assert.Equal("hello", await answer.Content.ReadAsStringAsync());
        Assert.Equal("hello", await world.TextAsync(port));
    }

    [Fact]
    public async Task Without_a_ready_task_the_answer_says_so_and_with_one_it_comes_at_once()
    {
        await using var world = await EdgeWorld.StartAsync();
        var port = await world.AppAsync("/web");
        using (var answer = await world.GetAsync("web.marathon.mesos"))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
            Assert.Equal("/web has no ready task\n", await answer.Content.ReadAsStringAsync());
            Assert.Equal("text/plain", answer.Content.Headers.ContentType!.MediaType);
        }
        await using var backend = await WebBackend.SayingAsync("hello");
        var instance = await world.ReadyAsync("/web", backend.Port);
        Assert.Equal("hello", await world.TextAsync(port));

        await world.WithdrawAsync(instance);
        using var after = await world.Client.GetAsync(new Uri($"http://127.0.0.1:{port}/"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, after.StatusCode);
    }

    [Fact]
    public async Task An_unknown_name_is_not_found()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var answer = await world.GetAsync("nobody.example.com");
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        Assert.Contains("nobody.example.com", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Requests_are_spread_over_all_ready_tasks()
    {
        await using var world = await EdgeWorld.StartAsync();
        var port = await world.AppAsync("/web");
        var backends = new List<WebBackend>();
        for (var i = 0; i < 3; i++)
        {
            backends.Add(await WebBackend.SayingAsync($"task {i}"));
            await world.ReadyAsync("/web", backends[i].Port);
        }
        var answers = new List<string>();
        for (var i = 0; i < 9; i++) answers.Add(await world.TextAsync(port));
        Assert.Equal([3, 3, 3], answers.CountBy(x => x).Select(x => x.Value));
        foreach (var backend in backends) await backend.DisposeAsync();
    }

    [Fact]
    public async Task The_edge_says_who_asked_and_clients_cannot()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await EchoHeadersAsync();
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);

        var answer = await EdgeWorld.RawAsync(port, $"""
            GET / HTTP/1.1
            Host: web.marathon.mesos:{port}
            X-Forwarded-For: 6.6.6.6
            x-forwarded-proto: https
            X-Forwarded-Host: evil
            X-Forwarded-Prefix: /evil
            Forwarded: for=6.6.6.6
            X-Real-IP: 6.6.6.6
            X-Original-URL: /admin
            Proxy: evil
            Via: evil
            Connection: close, X-Secret, Host, keep-alive
            X-Secret: for the proxy only
            X-Kept: yes
            Keep-Alive: timeout=5
            TE: gzip


            """.ReplaceLineEndings("\r\n"));
        var body = answer[(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        var seen = body.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal);
        Assert.Equal(
        [
            $"Host: web.marathon.mesos:{port}", "X-Forwarded-For: 127.0.0.1", $"X-Forwarded-Host: web.marathon.mesos:{port}", $"X-Forwarded-Port: {port}",
            "X-Forwarded-Proto: http", "X-Kept: yes",
        ], seen);
    }

    [Fact]
    public async Task What_a_response_names_in_Connection_stops_at_the_edge()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            await RawBackend.SendAsync(socket, "HTTP/1.1 200 Fine\r\nConnection: close, X-Inner\r\nX-Inner: 1\r\nX-Outer: 2\r\n"
                + "Keep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok");
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        var answer = await EdgeWorld.RawAsync(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", x => x.EndsWith("ok", StringComparison.Ordinal));
        Assert.StartsWith("HTTP/1.1 200 Fine\r\n", answer, StringComparison.Ordinal);
        Assert.Contains("X-Outer: 2", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("X-Inner", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("Keep-Alive", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("Connection:", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/a%2fb")]
    [InlineData("/a%2Fb/%7Ec/../d/./e//f")]
    [InlineData("/%E2%82%AC?q=%20a+b&c=%23")]
    [InlineData("//double/slash?")]
    [InlineData("/a\\b|c^d{e}")]
    [InlineData("/?a=b?c=/d")]
    public async Task The_target_arrives_as_it_was_spelled(string target)
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await WebBackend.StartAsync(x => x.Response.WriteAsync(x.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget));
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        var answer = await EdgeWorld.RawAsync(port, $"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        Assert.EndsWith($"\r\n{target}\r\n0\r\n\r\n", answer, StringComparison.Ordinal);

        var absolute = await EdgeWorld.RawAsync(port, $"GET http://a{target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        Assert.EndsWith($"\r\n{target}\r\n0\r\n\r\n", absolute, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData(405, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData(501, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")]
    [InlineData(400, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\nHost: a\n\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\r\nx\r\n0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a b\r\nx\r\n0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\u0001\r\nx\r\n0\r\n\r\n")]
    [InlineData(400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\u0001b\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\u007fb\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\r\nX(Y: b\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\r\nX\u0001Y: b\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n")]
    [InlineData(400, "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n")]
    public async Task Ambiguous_requests_reach_no_task(int status, string request)
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(RawBackend.HeadAsync);
        var port = await world.AppAsync("/web", ("HAPROXY_0_VHOST", "a"));
        await world.ReadyAsync("/web", backend.Port);
        var answer = await EdgeWorld.RawAsync(port, request); // the read ends because the connection is closed
        Assert.StartsWith(string.Create(CultureInfo.InvariantCulture, $"HTTP/1.1 {status} "), answer, StringComparison.Ordinal);
        Assert.Equal(0, backend.Connections);
    }

    [Fact]
    public async Task Header_bytes_pass_unchanged_both_ways()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            var head = await RawBackend.HeadAsync(socket);
            var name = head.Split("\r\n").Single(x => x.StartsWith("X-Name:", StringComparison.Ordinal));
            await RawBackend.SendAsync(socket, $"HTTP/1.1 200 OK\r\n{name}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        var answer = await EdgeWorld.RawAsync(port, "GET / HTTP/1.1\r\nHost: a\r\nX-Name: J\xC3\xB6rg \xFC\r\nConnection: close\r\n\r\n");
        Assert.Contains("\r\nX-Name: J\xC3\xB6rg \xFC\r\n", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_WebSocket_is_a_tunnel()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await WebBackend.StartAsync(EchoSocketAsync);
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);

        using var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{port}/chat"), CancellationToken.None);
        var buffer = new byte[100_000];
        foreach (var length in new[] { 1, 100, 70_000 })
        {
            var sent = RandomNumberGenerator.GetBytes(length);
            await socket.SendAsync(sent, WebSocketMessageType.Binary, true, CancellationToken.None);
            var at = 0;
            WebSocketReceiveResult part;
            do
            {
                part = await socket.ReceiveAsync(new ArraySegment<byte>(buffer, at, buffer.Length - at), CancellationToken.None);
                at += part.Count;
            }
            while (!part.EndOfMessage);
            Assert.Equal(sent, buffer[..at]);
        }
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "done", CancellationToken.None);
        Assert.Equal("done", socket.CloseStatusDescription);
    }

    [Fact]
    public async Task Events_arrive_while_the_response_goes_on()
    {
        await using var world = await EdgeWorld.StartAsync();
        var asked = new SemaphoreSlim(0);
        await using var backend = await WebBackend.StartAsync(async context =>
        {
            context.Response.ContentType = "text/event-stream";
            for (var i = 0; i < 3; i++)
            {
                await context.Response.WriteAsync($"data: {i}\n\n");
                await context.Response.Body.FlushAsync();
                await asked.WaitAsync(context.RequestAborted);
            }
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var stream = new StreamReader(await world.Client.GetStreamAsync(new Uri($"http://127.0.0.1:{port}/")));
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal($"data: {i}", await stream.ReadLineAsync()); // the next one is not sent before this one was seen
            Assert.Equal("", await stream.ReadLineAsync());
            asked.Release();
        }
        Assert.Null(await stream.ReadLineAsync());
    }

    [Fact]
    public async Task Large_bodies_stream_through_both_ways()
    {
        const int size = 48 * 1024 * 1024; // above Kestrel's default limit for bodies
        var body = new byte[size];
        new Random(7).NextBytes(body);
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await WebBackend.StartAsync(async context =>
        {
            context.Response.Headers["X-Hash"] = Convert.ToHexString(await SHA256.HashDataAsync(context.Request.Body));
            await context.Response.Body.WriteAsync(body);
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);

        using var content = new StreamContent(new MemoryStream(body)); // of unknown length: chunked
        content.Headers.ContentLength = null;
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{port}/") { Content = content };
        using var answer = await world.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        var hash = SHA256.HashData(body);
        Assert.Equal(Convert.ToHexString(hash), answer.Headers.GetValues("X-Hash").Single());
        Assert.Equal(hash, await SHA256.HashDataAsync(await answer.Content.ReadAsStreamAsync()));
    }

    [Fact]
    public async Task Over_http2_without_tls_the_edge_answers_too_and_grpc_keeps_its_trailers()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var plain = await WebBackend.StartAsync(x => x.Response.WriteAsync(x.Request.Protocol));
        await using var grpc = await WebBackend.StartAsync(async context =>
        {
            context.Response.ContentType = "application/grpc";
            await context.Request.Body.CopyToAsync(context.Response.Body);
            context.Response.AppendTrailer("grpc-status", "0");
        }, HttpProtocols.Http2);
        await world.ReadyAsync("/plain", await DeployAsync(world, "/plain", plain));
        await world.ReadyAsync("/grpc", await DeployAsync(world, "/grpc", grpc));

        using var toPlain = await world.SendAsync(HttpMethod.Get, "plain.marathon.mesos", "/", x =>
            (x.Version, x.VersionPolicy) = (HttpVersion.Version20, HttpVersionPolicy.RequestVersionExact));
        Assert.Equal("HTTP/1.1", await toPlain.Content.ReadAsStringAsync());
        Assert.Equal(HttpVersion.Version20, toPlain.Version);

        using var toGrpc = await world.SendAsync(HttpMethod.Post, "grpc.marathon.mesos", "/service/method", x =>
        {
            (x.Version, x.VersionPolicy) = (HttpVersion.Version20, HttpVersionPolicy.RequestVersionExact);
            x.Content = new ByteArrayContent([0, 0, 0, 0, 1, 42]);
            x.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
            x.Headers.TE.ParseAdd("trailers");
        });
        Assert.Equal([0, 0, 0, 0, 1, 42], await toGrpc.Content.ReadAsByteArrayAsync());
        Assert.Equal("0", toGrpc.TrailingHeaders.GetValues("grpc-status").Single());
    }

    [Fact]
    public async Task Only_listed_networks_reach_a_port_that_lists_some_and_a_password_closes_it()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await WebBackend.SayingAsync("hello");
        foreach (var (app, label, value, status) in new[]
        {
            ("/far", "HAPROXY_0_BACKEND_NETWORK_ALLOWED_ACL", "10.0.0.0/8", HttpStatusCode.Forbidden),
            ("/near", "HAPROXY_0_BACKEND_NETWORK_ALLOWED_ACL", "10.0.0.0/8 127.0.0.0/8", HttpStatusCode.OK),
            ("/secret", "HAPROXY_0_AUTH", "realm:user:hash", HttpStatusCode.ServiceUnavailable),
        })
        {
            var port = await world.AppAsync(app, (label, value));
            await world.ReadyAsync(app, backend.Port);
            using var byPort = await world.Client.GetAsync(new Uri($"http://127.0.0.1:{port}/"));
            using var byName = await world.GetAsync($"{app[1..]}.marathon.mesos");
            Assert.Equal((status, status), (byPort.StatusCode, byName.StatusCode));
        }
    }

    private static async Task<int> DeployAsync(EdgeWorld world, string app, WebBackend backend)
    {
        await world.AppAsync(app);
        return backend.Port;
    }

    private static Task<WebBackend> EchoHeadersAsync() => WebBackend.StartAsync(async context =>
    {
        var text = new StringBuilder();
        foreach (var (name, value) in context.Request.Headers) text.Append(CultureInfo.InvariantCulture, $"{name}: {value}\n");
        context.Response.ContentLength = text.Length;
        await context.Response.WriteAsync(text.ToString());
    });

    private static async Task EchoSocketAsync(HttpContext context)
    {
        using var socket = await context.WebSockets.AcceptWebSocketAsync();
        var buffer = new byte[4096];
        while (true)
        {
            var part = await socket.ReceiveAsync(new ArraySegment<byte>(buffer), CancellationToken.None);
            if (part.MessageType == WebSocketMessageType.Close) break;
            await socket.SendAsync(new ArraySegment<byte>(buffer, 0, part.Count), part.MessageType, part.EndOfMessage, CancellationToken.None);
        }
        await socket.CloseAsync(socket.CloseStatus!.Value, socket.CloseStatusDescription, CancellationToken.None);
    }
}
