using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery.Hosting;

namespace Platform.Tests.Discovery;

public sealed class KvViewTests
{
    [Fact]
    public async Task A_key_comes_as_consul_would_give_it()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var response = await door.Client.GetAsync("/v1/kv/platform/apps/prod/eu/web");
        Assert.Equal("true", Assert.Single(response.Headers.GetValues("X-Consul-KnownLeader")));
        Assert.Equal("12", Assert.Single(response.Headers.GetValues("X-Consul-LastContact")));
        using var body = JsonDocument.Parse(await response.Content.ReadAsStreamAsync());
        var entry = Assert.Single(body.RootElement.EnumerateArray());
        Assert.Equal(["LockIndex", "Key", "Flags", "Value", "CreateIndex", "ModifyIndex"], entry.EnumerateObject().Select(x => x.Name));
        Assert.Contains("\"app\":\"/prod/eu/web\"", Encoding.UTF8.GetString(entry.GetProperty("Value").GetBytesFromBase64()));
        Assert.Equal(entry.GetProperty("ModifyIndex").GetInt64().ToString(), Assert.Single(response.Headers.GetValues("X-Consul-Index")));
    }

    [Fact]
    public async Task Raw_recurse_keys_and_separator_have_their_shapes()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var raw = await door.Client.GetAsync("/v1/kv/platform/revision?raw");
        Assert.Equal(("16", "text/plain", "nosniff"), (await raw.Content.ReadAsStringAsync(), raw.Content.Headers.ContentType!.MediaType, raw.Headers.GetValues("X-Content-Type-Options").Single()));
        Assert.Equal("""["platform/apps/","platform/nodes/","platform/revision","platform/services/"]""", await door.Client.GetStringAsync("/v1/kv/platform/?keys&separator=/"));
        Assert.Equal("""["platform/nodes/node-1","platform/nodes/node-2"]""", await door.Client.GetStringAsync("/v1/kv/platform/nodes?keys"));
        using var list = JsonDocument.Parse(await door.Client.GetStringAsync("/v1/kv/platform/services/nginx?recurse"));
        Assert.Equal(2, list.RootElement.GetArrayLength());
    }

    [Fact]
    public async Task What_is_not_there_or_not_allowed_says_so()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var missing = await door.Client.GetAsync("/v1/kv/platform/apps/nope");
        Assert.Equal((HttpStatusCode.NotFound, "", "1"), (missing.StatusCode, await missing.Content.ReadAsStringAsync(), missing.Headers.GetValues("X-Consul-Index").Single()));
        Assert.Equal(HttpStatusCode.NotFound, (await door.Client.GetAsync("/v1/kv/nope?keys")).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await door.Client.GetAsync("/v1/kv/")).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await door.Client.GetAsync("/v1/kv/x?wait=soon")).StatusCode);
        Assert.Equal(HttpStatusCode.BadRequest, (await door.Client.GetAsync("/v1/kv/x?stale&consistent")).StatusCode);
        using var put = await door.Client.PutAsync("/v1/kv/platform/x", new StringContent("v"));
        Assert.Equal(HttpStatusCode.Forbidden, put.StatusCode);
        Assert.Contains("read-only", await put.Content.ReadAsStringAsync());
        Assert.Equal(HttpStatusCode.Forbidden, (await door.Client.DeleteAsync("/v1/kv/platform/x")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await door.Client.GetAsync("/v1/agent/self")).StatusCode);
        Assert.Equal("\"10.0.0.9:8300\"", await door.Client.GetStringAsync("/v1/status/leader"));
    }

    [Fact]
    public async Task Before_the_first_table_there_is_no_empty_tree()
    {
        await using var door = await Door.OpenAsync(new World(), wait: false);
        Assert.Equal(HttpStatusCode.InternalServerError, (await door.Client.GetAsync("/v1/kv/platform/?recurse")).StatusCode);
    }

    [Fact]
    public async Task An_escaped_slash_is_a_slash_and_dots_are_only_dots()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        Assert.StartsWith("HTTP/1.1 200", await door.RawAsync("/v1/kv/platform%2Frevision?raw"));
        Assert.StartsWith("HTTP/1.1 200", await door.RawAsync("/v1/kv//platform//revision?raw"));
        Assert.StartsWith("HTTP/1.1 404", await door.RawAsync("/v1/kv/platform%252Frevision?raw"));
        Assert.StartsWith("HTTP/1.1 404", await door.RawAsync("/v1/kv/platform/x/../revision?raw"));
    }

    [Fact]
    public async Task A_parked_query_returns_with_the_change_it_waits_for_and_sleeps_through_others()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var first = await door.Client.GetAsync("/v1/kv/platform/services/quiet/?recurse");
        var index = first.Headers.GetValues("X-Consul-Index").Single();
        var parked = door.Client.GetAsync($"/v1/kv/platform/services/quiet/?recurse&index={index}&wait=60s");
        await door.ParkedAsync(1);
        door.World.Down("/nginx", 1);
        await door.World.ServedAsync(KvView.ViewName);
        Assert.Equal(1, door.View.Parked.Count);
        Assert.False(parked.IsCompleted);

        door.World.Up("/quiet", 20, "node-1", "10.0.0.1", null, World.At(0, 31020));
        using var changed = await parked;
        Assert.Equal(("18", HttpStatusCode.OK), (changed.Headers.GetValues("X-Consul-Index").Single(), changed.StatusCode));

        parked = door.Client.GetAsync("/v1/kv/platform/services/quiet/?recurse&index=18&wait=60s");
        await door.ParkedAsync(1);
        door.World.Down("/quiet", 20);
        using var deleted = await parked;
        Assert.Equal(("19", HttpStatusCode.NotFound), (deleted.Headers.GetValues("X-Consul-Index").Single(), deleted.StatusCode));
    }

    [Fact]
    public async Task A_parked_query_gives_up_in_time_with_the_same_index()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var response = await door.Client.GetAsync("/v1/kv/platform/revision?index=16&wait=20ms");
        Assert.Equal(("16", HttpStatusCode.OK), (response.Headers.GetValues("X-Consul-Index").Single(), response.StatusCode));
    }

    [Fact]
    public void Ten_thousand_waiters_leave_nothing_behind_and_are_woken_only_for_theirs()
    {
        var watches = new KvWatches();
        var handles = Enumerable.Range(0, 10_000).Select(i => watches.Watch($"platform/services/app{i}/", prefix: true)).ToArray();
        watches.Wake(["platform/services/app7/x", "platform/revision"]);
        Assert.Equal([7], handles.Select((x, i) => (x, i)).Where(x => x.x.Changed.IsCompleted).Select(x => x.i));
        var again = watches.Watch("platform/services/app7/", prefix: true);
        Assert.False(again.Changed.IsCompleted);
        foreach (var handle in handles) handle.Dispose();
        watches.Wake(["platform/services/app7/y"]);
        Assert.True(again.Changed.IsCompleted); // the old handle's end did not take the new one along
        watches.WakeAll(forGood: true);
        Assert.True(watches.Watch("late", prefix: false).Ended);
    }

    private sealed class Door : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stopping = new();

        public required World World { get; init; }
        public required KvView View { get; init; }
        public required WebApplication Web { get; init; }
        public required HttpClient Client { get; init; }
        private Task Running { get; set; } = Task.CompletedTask;

        public static async Task<Door> OpenAsync(World world, bool wait = true)
        {
            var view = new KvView(world.Feed, world.Views, new KvOptions { Leader = () => new KvLeader("10.0.0.9:8300", TimeSpan.FromMilliseconds(12)) }, NullLoggerFactory.Instance);
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.ConfigureKestrel(x => x.Listen(IPAddress.Loopback, 0));
            var web = builder.Build();
            web.Run(view.AddTo(new ConsulDoor(view.Options)).AnswerAsync);
            await web.StartAsync();
            var door = new Door { World = world, View = view, Web = web, Client = new HttpClient { BaseAddress = new Uri(web.Urls.Single()) } };
            door.Running = view.RunAsync(door._stopping.Token);
            if (wait) await world.ServedAsync(KvView.ViewName);
            return door;
        }

        public async Task ParkedAsync(int count)
        {
            using var patience = new CancellationTokenSource(Suite.Patience);
            while (View.Parked.Count != count) await Task.Delay(1, patience.Token);
        }

        public async Task<string> RawAsync(string target)
        {
            using var client = new TcpClient();
            await client.ConnectAsync(Client.BaseAddress!.Host, Client.BaseAddress.Port);
            var stream = client.GetStream();
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            using var reader = new StreamReader(stream);
            return await reader.ReadToEndAsync();
        }

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await Running;
            Client.Dispose();
            await Web.DisposeAsync();
            _stopping.Dispose();
        }
    }
}
