using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Platform.Proxy.Routing;

namespace Platform.Tests.Proxy;

/// <summary>The relay from outside: what goes through it arrives as it would through YARP, and what it does not take on goes there.</summary>
public sealed class RelayTests
{
    private const string Plain = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";

    [Fact]
    public async Task A_plain_connection_stays_with_the_relay_until_it_asks_for_more()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await PathsAsync();
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        for (var i = 0; i < 3; i++)
        {
            await RawBackend.SendAsync(client, Plain);
            Assert.Equal("/plain", (await AnswerAsync(client)).Body);
            Assert.Equal(1, world.Proxy.Relay.Connections);
        }
        await RawBackend.SendAsync(client, "GET /odd HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
        Assert.Equal("/odd", (await AnswerAsync(client)).Body);
        Assert.Equal(0, world.Proxy.Relay.Connections);
        await RawBackend.SendAsync(client, Plain);
        Assert.Equal("/plain", (await AnswerAsync(client)).Body);
        Assert.Equal(5, world.Proxy.Routes.Table.ByPort(port)!.Tally.Requests);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100_000)]
    public async Task Pipelined_requests_are_answered_in_order_also_across_the_hand_over(int piece)
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await PathsAsync();
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        var text = new StringBuilder();
        for (var i = 0; i < 9; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"GET /{i}/get HTTP/1.1\r\nHost: a\r\n\r\n");
            text.Append(CultureInfo.InvariantCulture, $"POST /{i}/post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
            if (i == 6) text.Append("POST /6/chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        }
        var sending = Task.Run(async () =>
        {
            foreach (var part in Encoding.ASCII.GetBytes(text.ToString()).Chunk(piece)) await client.SendAsync(part);
        });
        for (var i = 0; i < 9; i++)
        {
            Assert.Equal($"/{i}/get", (await AnswerAsync(client)).Body);
            Assert.Equal($"/{i}/posthello", (await AnswerAsync(client)).Body);
            if (i == 6) Assert.Equal("/6/chunkedabc", (await AnswerAsync(client)).Body);
        }
        await sending;
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n", "hello")]
    [InlineData("HTTP/1.1 200 OK\r\n\r\nhello", "hello")]
    [InlineData("HTTP/1.0 200 OK\nContent-Type: text/plain\n\nhello", "hello")]
    [InlineData("HTTP/1.1 204 No Content\r\n\r\n", "")]
    [InlineData("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "")]
    [InlineData("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok")]
    public async Task Every_way_to_end_an_answer_however_it_is_cut(string answer, string body)
    {
        await using var world = await EdgeWorld.StartAsync();
        var piece = 0;
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            socket.NoDelay = true;
            foreach (var part in Encoding.ASCII.GetBytes(answer).Chunk(Volatile.Read(ref piece))) await socket.SendAsync(part);
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        foreach (var size in new[] { 1, 3, 1000 })
        {
            Volatile.Write(ref piece, size);
            await RawBackend.SendAsync(client, Plain);
            Assert.Equal(body, (await AnswerAsync(client)).Body);
        }
        Assert.Equal(1, world.Proxy.Relay.Connections);
    }

    [Fact]
    public async Task A_HEAD_has_no_body_whatever_its_head_says()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            while ((await RawBackend.HeadAsync(socket)).Length > 0) await RawBackend.SendAsync(socket, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        for (var i = 0; i < 3; i++)
        {
            await RawBackend.SendAsync(client, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            Assert.Contains("Content-Length: 5000\r\n", await RawBackend.HeadAsync(client), StringComparison.Ordinal);
        }
        Assert.Equal(1, backend.Connections);
    }

    /// <summary>What a task says beyond its answer must not become the next client's answer.</summary>
    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n2\r\nok\r\n0\r\n\r\n")]
    public async Task A_task_that_says_too_much_is_not_asked_again_on_that_connection(string answer)
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            while ((await RawBackend.HeadAsync(socket)).Length > 0) await RawBackend.SendAsync(socket, answer);
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        for (var i = 0; i < 5; i++)
        {
            await RawBackend.SendAsync(client, Plain);
            Assert.Equal("ok", (await AnswerAsync(client)).Body);
        }
        Assert.Equal(5, backend.Connections);
    }

    [Fact]
    public async Task An_answer_before_the_end_of_the_request_arrives_and_ends_the_connection()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            await RawBackend.SendAsync(socket, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        await RawBackend.SendAsync(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nbegin");
        var answer = await AnswerAsync(client);
        Assert.StartsWith("HTTP/1.1 413 ", answer.Head, StringComparison.Ordinal);
        Assert.Contains("\r\nConnection: close\r\n", answer.Head, StringComparison.Ordinal);
        Assert.Equal("no", answer.Body);
        Assert.Equal(0, await client.ReceiveAsync(new byte[1]));
    }

    [Fact]
    public async Task Bodies_of_known_length_stream_both_ways_at_once_and_a_slow_reader_holds_its_task_back()
    {
        const int size = 64 * 1024 * 1024; // more than all the kernel's buffers on the way
        var sent = new byte[size];
        new Random(11).NextBytes(sent);
        await using var world = await EdgeWorld.StartAsync();
        var taken = 0L;
        await using var backend = await WebBackend.StartAsync(async context =>
        {
            context.Response.ContentLength = size;
            var buffer = new byte[64 * 1024];
            int read;
            while ((read = await context.Request.Body.ReadAsync(buffer)) > 0)
            {
                Interlocked.Add(ref taken, read);
                await context.Response.Body.WriteAsync(buffer.AsMemory(0, read));
            }
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        await RawBackend.SendAsync(client, $"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        var sending = Task.Run(async () =>
        {
            for (var at = 0; at < size;) at += await client.SendAsync(sent.AsMemory(at));
        });
        // Nothing is read here: what the kernel's buffers do not hold must stop at the client, and not pile up in between.
        Assert.NotSame(sending, await Task.WhenAny(sending, Task.Delay(TimeSpan.FromMilliseconds(300))));
        Assert.InRange(Interlocked.Read(ref taken), 0, size - 1);
        Assert.Contains("200", await RawBackend.HeadAsync(client), StringComparison.Ordinal);
        var got = new byte[size];
        for (var at = 0; at < size;)
        {
            var read = await client.ReceiveAsync(got.AsMemory(at));
            Assert.NotEqual(0, read);
            at += read;
        }
        await sending;
        Assert.Equal(SHA256.HashData(sent), SHA256.HashData(got));
        Assert.Equal(1, world.Proxy.Relay.Connections);
    }

    [Theory]
    [InlineData("http")]
    [InlineData("tcp")]
    public async Task A_client_that_reads_only_when_all_is_sent_is_served_by_a_task_that_answers_meanwhile(string mode)
    {
        const int size = 24 * 1024 * 1024; // each way; the task takes all of it, whether its answer is read or not
        var sent = new byte[size];
        new Random(12).NextBytes(sent);
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.HeadAsync(socket);
            var answering = Task.Run(async () =>
            {
                await RawBackend.SendAsync(socket, $"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                for (var at = 0; at < size;) at += await socket.SendAsync(sent.AsMemory(at));
            });
            Assert.Equal(SHA256.HashData(sent), SHA256.HashData(await RawAsync(socket, size)));
            await answering;
            await RawBackend.HeadAsync(socket);
        });
        var port = await world.AppAsync("/web", ("HAPROXY_0_MODE", mode));
        await world.ReadyAsync("/web", backend.Port);
        using var client = await ConnectAsync(port);
        await RawBackend.SendAsync(client, $"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        for (var at = 0; at < size;) at += await client.SendAsync(sent.AsMemory(at));
        await RawBackend.HeadAsync(client);
        Assert.Equal(SHA256.HashData(sent), SHA256.HashData(await RawAsync(client, size)));
        Assert.Equal(1, world.Proxy.Relay.Connections);
    }

    [Fact]
    public async Task A_head_that_does_not_come_in_time_is_given_up()
    {
        await using var world = await EdgeWorld.StartAsync(x => x with { RequestHeadTimeout = TimeSpan.FromMilliseconds(200) });
        var port = await world.AppAsync("/web");
        Assert.StartsWith("HTTP/1.1 408 ", await EdgeWorld.RawAsync(port, "GET / HTTP/1.1\r\nHo"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_body_that_does_not_come_in_time_is_given_up_and_is_not_the_tasks_fault()
    {
        await using var world = await EdgeWorld.StartAsync(x => x with { IdleTimeout = TimeSpan.FromMilliseconds(300) });
        await using var backend = await PathsAsync();
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        Assert.StartsWith("HTTP/1.1 408 ", await EdgeWorld.RawAsync(port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"), StringComparison.Ordinal);
        var tally = world.Proxy.Routes.Table.ByPort(port)!.Tally;
        Assert.Equal((1, 0), (tally.Failures(Failure.Client), tally.Unanswered));
    }

    [Fact]
    public async Task What_happened_is_counted_once_and_nothing_stays_in_flight()
    {
        await using var world = await EdgeWorld.StartAsync();
        var isWell = true;
        await using var backend = await WebBackend.StartAsync(context =>
        {
            if (!Volatile.Read(ref isWell)) context.Response.StatusCode = 500;
            return context.Response.WriteAsync("x");
        });
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        for (var i = 0; i < 10; i++) Assert.Equal("x", await world.TextAsync(port));
        Volatile.Write(ref isWell, false);
        using (await world.Client.GetAsync(new Uri($"http://127.0.0.1:{port}/"))) { }
        var route = world.Proxy.Routes.Table.ByPort(port)!;
        Assert.Equal((11, 1, 0), (route.Tally.Requests, route.Tally.ServerErrors, route.Tally.Unanswered));
        Assert.Equal(0, route.Targets[0].Upstream.InFlight);
        Assert.Equal(11, route.Targets[0].Upstream.Requests);
        Assert.Contains(world.Views.Traffic(), x => x is { Requests: 11, Failed: 1 });
    }

    private static Task<WebBackend> PathsAsync() => WebBackend.StartAsync(async context =>
    {
        using var body = new StreamReader(context.Request.Body);
        await context.Response.WriteAsync(context.Request.Path + await body.ReadToEndAsync());
    });

    private static async Task<Socket> ConnectAsync(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 60_000 };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        return socket;
    }

    /// <summary>One answer and not a byte more.</summary>
    private static async Task<(string Head, string Body)> AnswerAsync(Socket socket)
    {
        var head = await RawBackend.HeadAsync(socket);
        Assert.NotEqual("", head);
        if (head.StartsWith("HTTP/1.1 204", StringComparison.Ordinal) || head.StartsWith("HTTP/1.1 304", StringComparison.Ordinal)) return (head, "");
        if (head.Contains("Transfer-Encoding: chunked", StringComparison.OrdinalIgnoreCase))
        {
            var body = "";
            while (int.Parse(await LineAsync(socket), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture) is > 0 and var size)
            {
                body += await BytesAsync(socket, size);
                Assert.Equal("", await LineAsync(socket));
            }
            Assert.Equal("", await LineAsync(socket));
            return (head, body);
        }
        var length = head.Split("\r\n").Single(x => x.StartsWith("Content-Length: ", StringComparison.OrdinalIgnoreCase))[16..];
        return (head, await BytesAsync(socket, int.Parse(length, CultureInfo.InvariantCulture)));
    }

    private static async Task<string> LineAsync(Socket socket)
    {
        var line = "";
        while (!line.EndsWith("\r\n", StringComparison.Ordinal)) line += await BytesAsync(socket, 1);
        return line[..^2];
    }

    private static async Task<string> BytesAsync(Socket socket, int count) => Encoding.Latin1.GetString(await RawAsync(socket, count));

    private static async Task<byte[]> RawAsync(Socket socket, int count)
    {
        var bytes = new byte[count];
        for (var at = 0; at < count;)
        {
            var read = await socket.ReceiveAsync(bytes.AsMemory(at));
            Assert.NotEqual(0, read);
            at += read;
        }
        return bytes;
    }
}
