using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <param name="SlowAfter">A subscriber that takes longer to answer counts as failing.</param>
/// <param name="WaitingMax">Log events that may wait for one subscriber; more are dropped for it.</param>
/// <param name="SkippedMax">The longest a failing subscriber is left alone.</param>
public sealed record CallbackLimits(TimeSpan SlowAfter, int WaitingMax, TimeSpan SkippedMax)
{
    public static readonly CallbackLimits Default = new(TimeSpan.FromSeconds(10), 1024, TimeSpan.FromSeconds(256));
}

/// <summary>
/// Posts every event to every subscriber (contract 6.4), each at its own pace and none waiting for another. An event is tried once: whoever
/// fails or is slow is skipped for a time that doubles, 2^n seconds, until it answers well again.
/// </summary>
public sealed partial class EventCallbacks : IAsyncDisposable
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly EventHub _hub;
    private readonly CallbackLimits _limits;
    private readonly TimeProvider _time;
    private readonly ILogger<EventCallbacks> _logger;
    private readonly ConcurrentDictionary<string, Subscriber> _subscribers = new(StringComparer.Ordinal);
    private readonly HttpClient _http;

    public EventCallbacks(SchedulerLoop loop, EventHub hub, CallbackLimits limits, TimeProvider time, ILogger<EventCallbacks> logger)
    {
        (_hub, _limits, _time, _logger) = (hub, limits, time, logger);
        var connections = new SocketsHttpHandler { AllowAutoRedirect = false, UseProxy = false, UseCookies = false, PooledConnectionIdleTimeout = TimeSpan.FromMinutes(1) };
        _http = new HttpClient(connections)
        {
            Timeout = Timeout.InfiniteTimeSpan, // each post has its own, by our clock
        };
        foreach (var url in loop.Current.State.EventSubscribers) Add(url);
        hub.Told += OnTold;
    }

    public async ValueTask DisposeAsync()
    {
        _hub.Told -= OnTold;
        var posting = _subscribers.Values.Select(s => s.Posting).ToList();
        foreach (var url in _subscribers.Keys) Remove(url);
        await Task.WhenAll(posting).ConfigureAwait(false);
        _http.Dispose();
    }

    /// <summary>Who subscribes is told so itself, first of all; who unsubscribes hears no more.</summary>
    private void OnTold(EventBatch batch)
    {
        if (batch.Event is SchedulerEvent.EventSubscribed added) Add(added.CallbackUrl);
        if (batch.Event is SchedulerEvent.EventUnsubscribed removed) Remove(removed.CallbackUrl);
        foreach (var subscriber in _subscribers.Values)
            if (!subscriber.Waiting.Writer.TryWrite(batch) && !subscriber.Gone.IsCancellationRequested) subscriber.Dropped();
    }

    private void Add(string url) => _subscribers.GetOrAdd(url, Started);

    private Subscriber Started(string url)
    {
        var subscriber = new Subscriber(url, _limits.WaitingMax);
        subscriber.Posting = Task.Run(() => PostAllAsync(subscriber));
        return subscriber;
    }

    private void Remove(string url)
    {
        if (_subscribers.TryRemove(url, out var subscriber)) subscriber.End();
    }

    private async Task PostAllAsync(Subscriber subscriber)
    {
        try
        {
            await foreach (var batch in subscriber.Waiting.Reader.ReadAllAsync(subscriber.Gone).ConfigureAwait(false))
                foreach (var e in batch.Events)
                    if (_time.GetUtcNow() >= subscriber.SkippedUntil) await PostAsync(subscriber, e).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (subscriber.Gone.IsCancellationRequested)
        {
            // it has unsubscribed, or we end
        }
        finally
        {
            subscriber.Dispose();
        }
    }

    private async Task PostAsync(Subscriber subscriber, ContractEvent e)
    {
        if (await FailureAsync(subscriber, e).ConfigureAwait(false) is not { } why)
        {
            subscriber.Failures = 0;
            return;
        }
        var pause = TimeSpan.FromSeconds(Math.Min(Math.Pow(2, ++subscriber.Failures), _limits.SkippedMax.TotalSeconds));
        subscriber.SkippedUntil = _time.GetUtcNow() + pause;
        Skipped(subscriber.Url, pause.TotalSeconds, why, subscriber.TakeDropped());
    }

    /// <summary>Null if it took the event.</summary>
    private async Task<string?> FailureAsync(Subscriber subscriber, ContractEvent e)
    {
        using var late = new CancellationTokenSource(_limits.SlowAfter, _time);
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(late.Token, subscriber.Gone);
        using var request = new HttpRequestMessage(HttpMethod.Post, subscriber.Url) { Content = new ByteArrayContent(e.Json) };
        request.Content.Headers.ContentType = Json;
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        try
        {
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, ending.Token).ConfigureAwait(false);
            return response.IsSuccessStatusCode ? null : $"it answered {(int)response.StatusCode}";
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested)
        {
            return $"it did not answer within {_limits.SlowAfter.TotalSeconds} s";
        }
        catch (Exception x) when (x is HttpRequestException or IOException)
        {
            return x.Message;
        }
    }

    [LoggerMessage(3301, LogLevel.Warning, "Event subscriber {Url} is skipped for {Seconds} s: {Why} ({Dropped} events did not fit into its queue)")]
    private partial void Skipped(string url, double seconds, string why, int dropped);

    /// <summary>One address, with what waits for it. Only its own loop touches how it fares.</summary>
    private sealed class Subscriber : IDisposable
    {
        private readonly CancellationTokenSource _gone = new();
        private int _dropped;

        public Subscriber(string url, int waitingMax)
        {
            (Url, Gone) = (url, _gone.Token);
            Waiting = Channel.CreateBounded<EventBatch>(new BoundedChannelOptions(waitingMax) { SingleReader = true });
        }

        public string Url { get; }
        public Channel<EventBatch> Waiting { get; }
        public CancellationToken Gone { get; }
        public Task Posting { get; set; } = Task.CompletedTask;
        public int Failures { get; set; }
        public DateTimeOffset SkippedUntil { get; set; }

        public void Dropped() => Interlocked.Increment(ref _dropped);
        public int TakeDropped() => Interlocked.Exchange(ref _dropped, 0);

        /// <summary>Not on the caller's thread: that may be the scheduler's loop.</summary>
        public void End() => _ = _gone.CancelAsync();

        public void Dispose() => _gone.Dispose();
    }
}
