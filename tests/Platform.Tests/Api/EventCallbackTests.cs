using System.Net;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Scheduler.Api;

namespace Platform.Tests.Api;

/// <summary>A real HTTP server that events are posted to, and that answers as it is told.</summary>
internal sealed class Callee : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Channel<(JsonNode Event, string ContentType, string Accept)> _heard = Channel.CreateUnbounded<(JsonNode, string, string)>();

    private Callee(WebApplication app) => _app = app;

    public int Status { get; set; } = 200;

    /// <summary>Answers wait for this, if it is there.</summary>
    public TaskCompletionSource? Held { get; set; }

    public string Url { get; private set; } = "";
    public int Waiting => _heard.Reader.Count;

    public static async Task<Callee> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        var callee = new Callee(builder.Build());
        callee._app.Run(callee.AnswerAsync);
        await callee._app.StartAsync();
        callee.Url = callee._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single() + "/cb?from=platform";
        return callee;
    }

    public async Task<(JsonNode Event, string ContentType, string Accept)> NextAsync()
    {
        using var deadline = new CancellationTokenSource(Suite.Patience); // never reached when all is well
        return await _heard.Reader.ReadAsync(deadline.Token);
    }

    public async Task<List<string>> UntilAsync(string type)
    {
        var types = new List<string>();
        while (types.Count == 0 || types[^1] != type) types.Add((await NextAsync()).Event["eventType"]!.GetValue<string>());
        return types;
    }

    public async ValueTask DisposeAsync()
    {
        Held?.TrySetResult();
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext http)
    {
        var body = await new StreamReader(http.Request.Body).ReadToEndAsync();
        _heard.Writer.TryWrite((JsonNode.Parse(body)!, http.Request.ContentType ?? "", http.Request.Headers.Accept.ToString()));
        if (Held is { } held) await held.Task;
        http.Response.StatusCode = Status;
    }
}

/// <summary>What was logged, line by line.</summary>
internal sealed class RecordingLogger<T> : ILogger<T>
{
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;
    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Writer.TryWrite(formatter(state, exception));

    public async Task<string> NextAsync()
    {
        using var deadline = new CancellationTokenSource(Suite.Patience); // never reached when all is well
        return await _lines.Reader.ReadAsync(deadline.Token);
    }
}

/// <summary>/v2/eventSubscriptions and what is posted to whom (contract 6.4).</summary>
public sealed class EventCallbackTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 600","cpus":0.1,"mem":32}""";

    [Fact]
    public async Task Who_subscribes_is_posted_every_event_until_it_unsubscribes()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var callee = await Callee.StartAsync();
        var said = (await SubscribeAsync(world, callee.Url)).Json;
        Assert.Equal("subscribe_event", said["eventType"]!.GetValue<string>());
        Assert.Equal(callee.Url, said["callbackUrl"]!.GetValue<string>());
        Assert.Equal("127.0.0.1", said["clientIp"]!.GetValue<string>());
        Assert.Equal("2026-01-01T10:00:00.000Z", said["timestamp"]!.GetValue<string>());
        var (first, type, accept) = await callee.NextAsync();
        Assert.Equal("subscribe_event", first["eventType"]!.GetValue<string>());
        Assert.Equal(("application/json", "application/json"), (type, accept));

        await world.CreateAsync(Web);
        var told = await callee.UntilAsync("deployment_success");
        Assert.Equal("api_post_event", told[0]);
        Assert.Contains("status_update_event", told);
        Assert.Equal([callee.Url], (await world.GetAsync("/v2/eventSubscriptions")).Json["callbackUrls"]!.AsArray().Select(u => u!.GetValue<string>()));

        var gone = (await world.DeleteAsync("/v2/eventSubscriptions?callbackUrl=" + Uri.EscapeDataString(callee.Url))).Must(HttpStatusCode.OK);
        Assert.Equal("unsubscribe_event", gone.Json["eventType"]!.GetValue<string>());
        Assert.Empty((await world.GetAsync("/v2/eventSubscriptions")).Json["callbackUrls"]!.AsArray());
        await world.DeleteAsync("/v2/apps/shop/web");
        await world.SettleAsync();
        Assert.Equal(0, callee.Waiting);
    }

    [Fact]
    public async Task Subscribers_are_in_the_log_and_hear_again_after_a_restart()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var callee = await Callee.StartAsync();
        await SubscribeAsync(world, callee.Url);
        await SubscribeAsync(world, callee.Url); // twice is once
        Assert.Equal([callee.Url], (await world.StoredAsync()).EventSubscribers);
        await callee.UntilAsync("subscribe_event");
        await world.Callbacks.DisposeAsync();

        using var hub = new EventHub(world.Loop, world.Log, world.Clock);
        await using var again = new EventCallbacks(world.Loop, hub, CallbackLimits.Default, world.Clock, NullLogger<EventCallbacks>.Instance);
        await world.CreateAsync(Web);
        Assert.Equal("api_post_event", (await callee.UntilAsync("deployment_success"))[0]);
    }

    [Fact]
    public async Task Who_fails_is_skipped_for_a_time_that_doubles_and_nobody_waits_for_it()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.Callbacks.DisposeAsync();
        var log = new RecordingLogger<EventCallbacks>();
        await using var callbacks = new EventCallbacks(world.Loop, world.Hub, CallbackLimits.Default, world.Clock, log);
        await using var good = await Callee.StartAsync();
        await using var bad = await Callee.StartAsync();
        bad.Status = 500;
        await SubscribeAsync(world, bad.Url);
        Assert.StartsWith($"Event subscriber {bad.Url} is skipped for 2 s: it answered 500", await log.NextAsync(), StringComparison.Ordinal);
        await SubscribeAsync(world, good.Url);
        await good.UntilAsync("subscribe_event");

        for (var i = 0; i < 3; i++) await HappenAsync(world, good);
        await world.AdvanceAsync(2.1);
        await HappenAsync(world, good);
        Assert.StartsWith($"Event subscriber {bad.Url} is skipped for 4 s", await log.NextAsync(), StringComparison.Ordinal);
        for (var i = 0; i < 3; i++) await HappenAsync(world, good);
        Assert.Equal(2, bad.Waiting); // of eight events it was posted two, one for each failure

        bad.Status = 200;
        await world.AdvanceAsync(4.1);
        for (var i = 0; i < 4; i++)
        {
            await HappenAsync(world, good);
            await bad.NextAsync(); // well again, it is posted each
        }
    }

    [Fact]
    public async Task Who_is_slow_fails_and_holds_up_neither_decisions_nor_others()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var good = await Callee.StartAsync();
        await using var slow = await Callee.StartAsync();
        slow.Held = new TaskCompletionSource();
        await SubscribeAsync(world, slow.Url);
        await slow.NextAsync();
        await SubscribeAsync(world, good.Url);
        await world.CreateAsync(Web); // it is decided while the slow one holds its first event
        await good.UntilAsync("deployment_success");
        Assert.Equal(0, slow.Waiting);
        slow.Held.SetResult(); // it answers within its time after all: what has waited for it comes
        Assert.Equal("deployment_success", (await slow.UntilAsync("deployment_success"))[^1]);
    }

    [Fact]
    public async Task Nobody_there_is_a_failure_like_another()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await SubscribeAsync(world, "http://127.0.0.1:1/nobody");
        await using var good = await Callee.StartAsync();
        await SubscribeAsync(world, good.Url);
        await good.UntilAsync("subscribe_event");
        await HappenAsync(world, good);
    }

    [Theory]
    [InlineData("", "The parameter callbackUrl is missing")]
    [InlineData("?callbackUrl=", "The parameter callbackUrl is missing")]
    [InlineData("?callbackUrl=ftp://example.com/", "The callbackUrl 'ftp://example.com/' is not an http or https URL")]
    [InlineData("?callbackUrl=/relative", "The callbackUrl '/relative' is not an http or https URL")]
    [InlineData("?callbackUrl=http://user:secret@example.com/", "The callbackUrl may not carry a user and password: it is shown to everybody who lists the subscribers")]
    public async Task A_url_that_cannot_be_is_refused(string query, string message)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var before = world.State.Revision;
        Assert.Equal(message, (await world.PostAsync("/v2/eventSubscriptions" + query)).Must(HttpStatusCode.UnprocessableEntity).Json["message"]!.GetValue<string>());
        Assert.Equal(before, (await world.StoredAsync()).Revision);
    }

    [Fact]
    public async Task There_can_be_too_many()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, settings: new Platform.Scheduling.SchedulerSettings { EventSubscribersMax = 1 });
        await using var callee = await Callee.StartAsync();
        await SubscribeAsync(world, callee.Url);
        (await world.PostAsync("/v2/eventSubscriptions?callbackUrl=http://127.0.0.1:1/")).Must(HttpStatusCode.Forbidden);
        await SubscribeAsync(world, callee.Url); // it is there already
    }

    private static async Task<Heard> SubscribeAsync(ApiWorld world, string url) =>
        (await world.PostAsync("/v2/eventSubscriptions?callbackUrl=" + Uri.EscapeDataString(url))).Must(HttpStatusCode.OK);

    /// <summary>Something that makes one event, which the good one has heard.</summary>
    private static async Task HappenAsync(ApiWorld world, Callee good)
    {
        world.Hub.Tell(ContractEvents.StreamAttached("10.0.0.7", ApiWorld.Start));
        await good.UntilAsync("event_stream_attached");
    }
}
