using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Platform.Proxy.Routing;

namespace Platform.Tests.Proxy;

public sealed class EdgeFailureTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Fact]
    public async Task A_kept_connection_that_the_task_closes_fails_no_request()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            await RawBackend.SendAsync(socket, Ok); // keep-alive, says the answer; and yet the connection is closed
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        for (var i = 0; i < 200; i++) Assert.Equal("ok", await world.TextAsync(port));
    }

    [Fact]
    public async Task A_request_on_a_kept_connection_that_is_reset_is_sent_again_on_a_fresh_one()
    {
        await using var world = await EdgeWorld.StartAsync();
        var connections = 0;
        using var backend = new RawBackend(async socket =>
        {
            var isFirst = Interlocked.Increment(ref connections) == 1;
            while ((await RawBackend.HeadAsync(socket)).Length > 0)
            {
                await RawBackend.SendAsync(socket, Ok);
                if (!isFirst) continue;
                await RawBackend.HeadAsync(socket); // takes the second request, and answers with a reset
                socket.LingerState = new LingerOption(true, 0);
                return;
            }
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        Assert.Equal("ok", await world.TextAsync(port));
        Assert.Equal("ok", await world.TextAsync(port));
        Assert.Equal(2, connections);
    }

    [Fact]
    public async Task What_a_task_breaks_off_goes_once_more_to_another_if_that_is_harmless()
    {
        await using var world = await EdgeWorld.StartAsync();
        var broken = 0;
        using var bad = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            Interlocked.Increment(ref broken);
        });
        await using var good = await WebBackend.SayingAsync("good");
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", bad.Port);
        await world.ReadyAsync("/web", good.Port);
        for (var i = 0; i < 10; i++) Assert.Equal("good", await world.TextAsync(port));
        Assert.True(broken > 0);
    }

    [Theory]
    [InlineData("order")]
    [InlineData("")]
    public async Task What_may_not_be_done_twice_is_sent_once(string body)
    {
        await using var world = await EdgeWorld.StartAsync();
        var broken = 0;
        using var bad = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            Interlocked.Increment(ref broken);
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", bad.Port);
        using var answer = await world.Client.PostAsync(new Uri($"http://127.0.0.1:{port}/"), new StringContent(body));
        Assert.Equal(HttpStatusCode.BadGateway, answer.StatusCode);
        Assert.Equal("a task of /web broke the exchange off\n", await answer.Content.ReadAsStringAsync());
        Assert.Equal(1, broken);
    }

    [Fact]
    public async Task A_task_that_does_not_listen_costs_no_request_not_even_one_with_a_body()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var good = await WebBackend.StartAsync(async x => await x.Request.Body.CopyToAsync(x.Response.Body));
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", EdgeWorld.FreePort());
        await world.ReadyAsync("/web", EdgeWorld.FreePort());
        await world.ReadyAsync("/web", good.Port);
        for (var i = 0; i < 12; i++)
        {
            using var answer = await world.Client.PostAsync(new Uri($"http://127.0.0.1:{port}/"), new StringContent("order"));
            Assert.Equal("order", await answer.Content.ReadAsStringAsync());
        }
    }

    [Fact]
    public async Task When_no_task_can_be_reached_the_answer_says_why()
    {
        await using var world = await EdgeWorld.StartAsync();
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", EdgeWorld.FreePort());
        using var answer = await world.Client.GetAsync(new Uri($"http://127.0.0.1:{port}/"));
        Assert.Equal(HttpStatusCode.BadGateway, answer.StatusCode);
        Assert.Equal("a task of /web could not be reached: connection refused\n", await answer.Content.ReadAsStringAsync());
        Assert.Equal(1, world.Proxy.Routes.Table.ByPort(port)!.Tally.Failures(Failure.Connect));
    }

    [Fact]
    public async Task A_silent_task_is_given_up()
    {
        await using var world = await EdgeWorld.StartAsync(x => x with { IdleTimeout = TimeSpan.FromMilliseconds(300) });
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            await RawBackend.HeadAsync(socket); // until the proxy closes
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var answer = await world.Client.GetAsync(new Uri($"http://127.0.0.1:{port}/"));
        Assert.Equal(HttpStatusCode.GatewayTimeout, answer.StatusCode);
        Assert.Equal("a task of /web did not answer in time\n", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task An_answer_cut_short_is_seen_as_cut_short()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            await RawBackend.SendAsync(socket, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        await Assert.ThrowsAsync<HttpRequestException>(() => world.TextAsync(port));
    }

    [Theory]
    [InlineData("garbage\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nSplit: a\r\n\0: b\r\n\r\n")]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\nGET / HTTP/1.1\r\n\r\n")]
    public async Task What_is_no_answer_becomes_a_502(string answer)
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            await RawBackend.SendAsync(socket, answer);
            await RawBackend.HeadAsync(socket);
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var got = await world.Client.GetAsync(new Uri($"http://127.0.0.1:{port}/"));
        Assert.True(got.StatusCode == HttpStatusCode.BadGateway, $"{got.StatusCode}: {await got.Content.ReadAsStringAsync()}");
    }

    [Fact]
    public async Task A_client_that_leaves_ends_the_request_at_the_task()
    {
        await using var world = await EdgeWorld.StartAsync();
        var arrived = new TaskCompletionSource();
        var ended = new TaskCompletionSource();
        await using var backend = await WebBackend.StartAsync(async context =>
        {
            arrived.SetResult();
            context.RequestAborted.Register(() => ended.TrySetResult());
            await ended.Task;
        });
        var port = await world.AppAsync("/web");
        var instance = await world.ReadyAsync("/web", backend.Port);
        using (var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            await client.ConnectAsync(IPAddress.Loopback, port);
            await RawBackend.SendAsync(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            await arrived.Task;
        }
        await ended.Task.WaitAsync(Suite.Patience);
        await world.WithdrawAsync(instance);
        await world.UntilAsync(x => x.Draining.IsEmpty, "nothing is in flight");
    }

    [Fact]
    public async Task Stopping_lets_requests_finish_and_accepts_no_more()
    {
        var world = await EdgeWorld.StartAsync(x => x with { StopGrace = TimeSpan.FromSeconds(60) });
        var arrived = new TaskCompletionSource();
        var go = new TaskCompletionSource();
        await using var backend = await WebBackend.StartAsync(async context =>
        {
            arrived.SetResult();
            await go.Task;
            await context.Response.WriteAsync("finished");
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        var request = world.TextAsync(port);
        await arrived.Task;
        var stopped = world.Proxy.StopAsync();
        using (var late = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
            await Assert.ThrowsAsync<SocketException>(() => late.ConnectAsync(IPAddress.Loopback, port));
        Assert.False(stopped.IsCompleted);
        go.SetResult();
        Assert.Equal("finished", await request);
        await stopped;
        await world.DisposeAsync();
    }
}
