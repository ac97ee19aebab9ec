using System.Collections.Concurrent;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Http;
using Platform.Model;
using Platform.Proxy;

namespace Platform.Tests.Proxy;

public sealed class EdgeDrainTests
{
    [Fact]
    public async Task A_withdrawn_task_drains_until_its_last_response_byte_and_new_requests_go_elsewhere()
    {
        await using var world = await EdgeWorld.StartAsync();
        var arrived = new TaskCompletionSource();
        var go = new TaskCompletionSource();
        await using var old = await WebBackend.StartAsync(async context =>
        {
            await context.Response.WriteAsync("begun ");
            await context.Response.Body.FlushAsync();
            arrived.TrySetResult();
            await go.Task;
            await context.Response.WriteAsync("ended");
        });
        await using var young = await WebBackend.SayingAsync("young");
        var port = await world.AppAsync("/web");
        var instance = await world.ReadyAsync("/web", old.Port);
        var running = world.TextAsync(port);
        await arrived.Task;

        await world.ReadyAsync("/web", young.Port);
        await world.WithdrawAsync(instance);
        Assert.Equal([instance], world.Draining);
        for (var i = 0; i < 5; i++) Assert.Equal("young", await world.TextAsync(port));
        Assert.Equal([instance], world.Draining);

        go.SetResult();
        Assert.Equal("begun ended", await running);
        await world.UntilAsync(x => x.Draining.IsEmpty, "drained");
    }

    [Fact]
    public async Task A_WebSocket_keeps_its_task_draining()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await WebBackend.StartAsync(async context =>
        {
            using var server = await context.WebSockets.AcceptWebSocketAsync();
            await server.ReceiveAsync(new ArraySegment<byte>(new byte[10]), CancellationToken.None);
            await server.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
        });
        var port = await world.AppAsync("/web");
        var instance = await world.ReadyAsync("/web", backend.Port);
        using var client = new ClientWebSocket();
        await client.ConnectAsync(new Uri($"ws://127.0.0.1:{port}/"), CancellationToken.None);
        await world.WithdrawAsync(instance);
        Assert.Equal([instance], world.Draining);
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
        await world.UntilAsync(x => x.Draining.IsEmpty, "the WebSocket has closed");
    }

    [Fact]
    public async Task An_instance_that_comes_back_while_it_drains_is_used_again_and_drains_again()
    {
        await using var world = await EdgeWorld.StartAsync();
        var arrived = new TaskCompletionSource();
        var go = new TaskCompletionSource();
        var first = 1;
        await using var backend = await WebBackend.StartAsync(async context =>
        {
            if (Interlocked.Exchange(ref first, 0) == 1)
            {
                arrived.SetResult();
                await go.Task;
            }
            await context.Response.WriteAsync("hello");
        });
        var app = AppId.Parse("/web");
        var port = await world.AppAsync("/web");
        var instance = await world.ReadyAsync("/web", backend.Port);
        var running = world.TextAsync(port);
        await arrived.Task;
        await world.WithdrawAsync(instance);
        await world.ChangeAsync(EdgeWorld.ReadyChange(instance, app, backend.Port));
        Assert.Equal("hello", await world.TextAsync(port));
        await world.WithdrawAsync(instance);
        Assert.Equal([instance], world.Draining); // the request of its first life is still there
        go.SetResult();
        await running;
        await world.UntilAsync(x => x.Draining.IsEmpty, "drained");
    }

    /// <summary>
    /// The promise of a rolling deploy: once a revision is served and does not name an instance as draining, no request is in it and none comes.
    /// Every backend here watches its own requests; an instance that the proxy has let go of is closed to them for ever.
    /// </summary>
    [Fact]
    public async Task Instances_come_and_go_under_load_and_no_request_fails_or_reaches_one_that_was_let_go()
    {
        const int steps = 120;
        const int clients = 12;
        var seed = Environment.TickCount;
        var random = new Random(seed);
        await using var world = await EdgeWorld.StartAsync();
        var violations = new ConcurrentQueue<string>();
        var pool = new List<Tracked>();
        for (var i = 0; i < 8; i++) pool.Add(await Tracked.StartAsync(violations));
        var port = await world.AppAsync("/web");
        var live = new List<(InstanceId Id, Tracked Backend)>();
        async Task AddAsync()
        {
            var backend = pool[random.Next(pool.Count)];
            pool.Remove(backend);
            backend.IsOpen = true;
            live.Add((await world.ReadyAsync("/web", backend.Port), backend));
        }
        await AddAsync();
        await AddAsync();

        using var done = new CancellationTokenSource();
        using var ended = new SemaphoreSlim(0);
        var requests = 0;
        var failures = new ConcurrentQueue<string>();
        var load = Enumerable.Range(0, clients).Select(i => Task.Run(async () =>
        {
            for (var n = 0; !done.IsCancellationRequested; n++)
            {
                try
                {
                    var url = new Uri($"http://127.0.0.1:{port}/{i}/{n}");
                    using var answer = n % 3 == 0 ? await world.Client.PostAsync(url, new StringContent("body")) : await world.Client.GetAsync(url);
                    var text = await answer.Content.ReadAsStringAsync();
                    if (!answer.IsSuccessStatusCode || text != "begin end") failures.Enqueue($"{(int)answer.StatusCode} {text}");
                }
                catch (HttpRequestException e)
                {
                    failures.Enqueue(e.ToString());
                }
                Interlocked.Increment(ref requests);
                ended.Release();
            }
        })).ToArray();

        for (var step = 0; step < steps; step++)
        {
            for (var i = 0; i < 2 * clients; i++) await ended.WaitAsync(Suite.Patience); // load between any two steps
            if (live.Count < 2 || (pool.Count > 0 && random.Next(2) == 0))
            {
                await AddAsync();
                continue;
            }
            var (id, backend) = live[random.Next(live.Count)];
            live.RemoveAll(x => x.Id == id);
            await world.WithdrawAsync(id);
            await world.UntilAsync(x => !x.Draining.Items.Contains(id), $"{id} has drained");
            backend.IsOpen = false; // from here on a request in it is a broken promise
            if (backend.Inside > 0) violations.Enqueue($"{backend.Inside} requests still inside");
            pool.Add(backend);
        }
        await done.CancelAsync();
        await Task.WhenAll(load);
        foreach (var backend in pool.Concat(live.Select(x => x.Backend))) await backend.DisposeAsync();
        Assert.True(violations.IsEmpty && failures.IsEmpty, $"seed {seed}, {requests} requests: {string.Join("; ", violations.Concat(failures).Take(5))}");
        Assert.True(requests > steps, $"only {requests} requests ran");
    }

    private sealed class Tracked(ConcurrentQueue<string> violations) : IAsyncDisposable
    {
        private WebBackend? _backend;
        private int _inside;
        public volatile bool IsOpen;

        public int Port => _backend!.Port;
        public int Inside => Volatile.Read(ref _inside);

        public static async Task<Tracked> StartAsync(ConcurrentQueue<string> violations)
        {
            var tracked = new Tracked(violations);
            tracked._backend = await WebBackend.StartAsync(tracked.AnswerAsync);
            return tracked;
        }

        public ValueTask DisposeAsync() => _backend!.DisposeAsync();

        private async Task AnswerAsync(HttpContext context)
        {
            Interlocked.Increment(ref _inside);
            if (!IsOpen) violations.Enqueue($"{context.Request.Path} reached a task that was let go");
            await context.Response.WriteAsync("begin ");
            await context.Response.Body.FlushAsync();
            await Task.Yield();
            // counted out before the last byte leaves: after it the proxy may rightly say that the request has ended
            Interlocked.Decrement(ref _inside);
            await context.Response.WriteAsync("end");
        }
    }
}
