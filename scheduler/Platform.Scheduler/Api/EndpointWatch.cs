using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Scheduler.Link;
using Platform.Scheduler.Metrics;

namespace Platform.Scheduler.Api;

/// <summary>
/// The endpoint table for clients that want to be told: <c>GET /v2/endpoints</c>, which waits for a change where an index is given, the stream
/// <c>/v2/endpoints/events</c>, and <c>/v2/endpoints/revisions</c>, which tells how far each node's views are. Ours, not the contract's.
/// Every answer names its epoch and revision; an index of another epoch, or from a future that never was, is answered at once.
/// </summary>
internal sealed class EndpointWatch(PublishedEndpoints endpoints, SchedulerMeters meters, TimeProvider time) : IDisposable
{
    public static readonly TimeSpan WaitDefault = TimeSpan.FromMinutes(5);
    public static readonly TimeSpan WaitMax = TimeSpan.FromMinutes(10);

    private readonly EndpointFeed _feed = endpoints.Feed;
    private readonly CancellationTokenSource _closing = new();
    private int _parked;
    private int _followers;

    public int Parked => Volatile.Read(ref _parked);

    /// <summary>Whoever waits is answered with what there is; streams end.</summary>
    public void Close() => _closing.Cancel();

    public void Dispose() => _closing.Dispose();

    public Answer Get(Call call)
    {
        var (question, refusal) = WatchQuestion.Read(call.Query);
        if (refusal is not null) return refusal;
        if (question.Index is not { } index) return Of(_feed.Current, question);
        if (Interlocked.Increment(ref _parked) <= call.Options.EndpointsParkedMax) return new Answer(200) { Later = () => ChangedAsync(call, question, index) };
        Interlocked.Decrement(ref _parked);
        return Answer.Message(503, $"More than {call.Options.EndpointsParkedMax} questions wait for the endpoints to change already") with { RetryAfterSeconds = 5 };
    }

    public Answer Events(Call call)
    {
        if (!EventStream.IsWanted(call.Http)) return Answer.Message(406, "This is a stream, for those who accept text/event-stream; GET /v2/endpoints?index= waits for one change");
        var (question, refusal) = WatchQuestion.Read(call.Query);
        return refusal ?? new Answer(200) { Follow = () => FollowAsync(call, question) };
    }

    public Answer Revisions(Call call) => Answer.Of(200, json =>
    {
        var (table, now) = (_feed.Current.Cursor, time.GetUtcNow());
        json.WriteStartObject();
        json.WriteString("epoch", table.Epoch);
        json.WriteNumber("revision", table.Revision);
        json.WriteStartArray("nodes");
        foreach (var (node, sight) in endpoints.Propagation.Nodes)
        {
            json.WriteStartObject();
            json.WriteString("node", node.Name);
            json.WriteBoolean("connected", sight.Connected);
            json.WriteStartArray("views");
            foreach (var (view, (revision, at)) in sight.Views)
            {
                json.WriteStartObject();
                json.WriteString("view", view);
                json.WriteNumber("revision", revision);
                json.WriteNumber("forSeconds", Math.Round(Math.Max(0, (now - at).TotalSeconds), 3));
                meters.WritePropagation(json, node, view);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    });

    private async Task<Answer> ChangedAsync(Call call, WatchQuestion question, long index)
    {
        var aborted = call.Http.RequestAborted;
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(aborted, _closing.Token);
        try
        {
            var cursor = new EndpointCursor(question.Epoch ?? _feed.Current.Cursor.Epoch, index);
            // Up to a sixteenth more, so that clients that began together do not all come back together.
            var wait = question.Wait + (question.Wait / 16 * Random.Shared.NextDouble());
            var since = time.GetTimestamp();
            while (!ending.IsCancellationRequested)
            {
                if (_feed.After(cursor) is { } update)
                {
                    if (question.IsConcernedBy(update)) break;
                    cursor = new EndpointCursor(update.Epoch, update.To);
                    continue;
                }
                var left = wait - time.GetElapsedTime(since);
                if (left <= TimeSpan.Zero) break;
                Task changed = _feed.ChangedAsync(cursor, ending.Token).AsTask();
                await changed.WaitAsync(left, time, ending.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            aborted.ThrowIfCancellationRequested();
            return Of(_feed.Current, question);
        }
        finally
        {
            Interlocked.Decrement(ref _parked);
            await ending.CancelAsync().ConfigureAwait(false); // nothing goes on waiting for a change that nobody asks for any more
        }
    }

    private static Answer Of(EndpointSnapshot table, WatchQuestion question) => new(200)
    {
        Endpoints = table.Cursor,
        Json = Parts(table, question),
    };

    /// <summary>One part for each service: a long table is sent while it is being written.</summary>
    private static IEnumerable<Action<Utf8JsonWriter>> Parts(EndpointSnapshot table, WatchQuestion question)
    {
        yield return json =>
        {
            json.WriteStartObject();
            json.WriteString("epoch", table.Cursor.Epoch);
            json.WriteNumber("revision", table.Revision);
            json.WriteStartArray("services");
        };
        foreach (var entry in table.Services.Values)
            if (question.IsOf(entry.Service.App)) yield return json => EndpointJson.Entry(json, entry);
        yield return json =>
        {
            json.WriteEndArray();
            WriteNodes(json, table);
            json.WriteEndObject();
        };
    }

    private static void WriteNodes(Utf8JsonWriter json, EndpointSnapshot table)
    {
        json.WriteStartArray("nodes");
        foreach (var node in table.Nodes.Values)
        {
            json.WriteStartObject();
            json.WriteString("node", node.Node.Name);
            json.WriteString("address", node.Address);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private async Task FollowAsync(Call call, WatchQuestion question)
    {
        var http = call.Http;
        http.Response.ContentType = "text/event-stream; charset=utf-8";
        if (HttpMethods.IsHead(http.Request.Method)) return;
        if (Interlocked.Increment(ref _followers) > call.Options.EventFollowersMax)
        {
            Interlocked.Decrement(ref _followers);
            throw new SchedulerUnavailableException($"More than {call.Options.EventFollowersMax} clients follow the endpoints already");
        }
        http.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, _closing.Token);
        try
        {
            await SendAsync(http, question, call.Options.EventHeartbeat, ending.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            http.Abort(); // a client that reads no more would not notice a proper end either
        }
        finally
        {
            Interlocked.Decrement(ref _followers);
            await ending.CancelAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Nothing queues for a slow client: what it is sent next is what the table then is.</summary>
    private async Task SendAsync(HttpContext http, WatchQuestion question, TimeSpan heartbeat, CancellationToken ending)
    {
        var pipe = http.Response.BodyWriter;
        var cursor = CursorOf(http.Request.Headers["Last-Event-ID"].ToString());
        await pipe.FlushAsync(ending).ConfigureAwait(false); // the headers, so that the client knows it is heard
        while (true)
        {
            if (_feed.After(cursor) is { } update)
            {
                cursor = new EndpointCursor(update.Epoch, update.To);
                if (question.IsConcernedBy(update)) Write(pipe, update, cursor, question);
            }
            else if (!await HasChangedAsync(cursor, heartbeat, ending).ConfigureAwait(false)) pipe.Write(": still here\n\n"u8);
            meters.StreamedBytes(pipe.UnflushedBytes);
            await pipe.FlushAsync(ending).ConfigureAwait(false);
        }
    }

    private async Task<bool> HasChangedAsync(EndpointCursor cursor, TimeSpan within, CancellationToken ending)
    {
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(ending);
        var changed = _feed.ChangedAsync(cursor, waiting.Token).AsTask();
        await Task.WhenAny(changed, Task.Delay(within, time, waiting.Token)).ConfigureAwait(false);
        var has = changed.IsCompletedSuccessfully;
        await waiting.CancelAsync().ConfigureAwait(false);
        ending.ThrowIfCancellationRequested();
        return has;
    }

    /// <summary>The services concerned as they are now, whole: whoever applies an event twice, or one that is ahead of its id, is none the worse.</summary>
    private void Write(PipeWriter pipe, EndpointUpdate update, EndpointCursor cursor, WatchQuestion question)
    {
        var table = _feed.Current;
        var touched = update.Complete ? table.Services.Keys : update.TouchedApps().Order();
        Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"id: {cursor.Epoch}:{cursor.Revision}\nevent: endpoints\ndata: "), pipe);
        using (var json = new Utf8JsonWriter(pipe, AppJson.WriterOptions))
        {
            json.WriteStartObject();
            json.WriteString("epoch", cursor.Epoch);
            json.WriteNumber("revision", cursor.Revision);
            json.WriteBoolean("complete", update.Complete);
            json.WriteStartArray("services");
            foreach (var app in touched)
                if (question.IsOf(app) && table.Services.TryGetValue(app, out var entry)) EndpointJson.Entry(json, entry);
            json.WriteEndArray();
            json.WriteStartArray("removed");
            foreach (var app in touched)
                if (question.IsOf(app) && !table.Services.ContainsKey(app)) json.WriteStringValue(app.Path);
            json.WriteEndArray();
            if (update.Complete || update.Changes.Any(c => c is EndpointChange.NodeSet or EndpointChange.NodeRemoved)) WriteNodes(json, table);
            json.WriteEndObject();
        }
        pipe.Write("\n\n"u8);
    }

    /// <summary><c>epoch:revision</c>; whatever else was sent begins anew.</summary>
    private static EndpointCursor CursorOf(string lastEventId) =>
        lastEventId.LastIndexOf(':') is > 0 and var cut && long.TryParse(lastEventId.AsSpan(cut + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var revision)
            ? new EndpointCursor(lastEventId[..cut], revision)
            : EndpointCursor.Start;
}

/// <summary>What a watch is asked for.</summary>
/// <param name="Apps">Only these, or those within these groups; empty = all.</param>
/// <param name="Index">Wait for what comes after it; null = do not wait.</param>
internal readonly record struct WatchQuestion(EquatableArray<AppId> Apps, long? Index, string? Epoch, TimeSpan Wait)
{
    private const int AppsMax = 1000;

    public static (WatchQuestion Question, Answer? Refusal) Read(IQueryCollection query)
    {
        var problems = new List<string>();
        var apps = new List<AppId>();
        foreach (var text in query["app"].OfType<string>().Take(AppsMax + 1))
            if (AppId.TryParse(text, out var app, out var why, AppId.Root)) apps.Add(app);
            else problems.Add($"app: '{text}' is no app: {why}");
        if (apps.Count > AppsMax) problems.Add($"app: more than {AppsMax} of them; ask for all");
        long? index = null;
        if (query.TryGetValue("index", out var indexText))
        {
            if (long.TryParse(indexText.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var number)) index = number > 0 ? number : null;
            else problems.Add($"index: a revision is wanted, not '{indexText}'");
        }
        var wait = EndpointWatch.WaitDefault;
        if (query.TryGetValue("wait", out var waitText) && !TryWait(waitText.ToString(), out wait)) problems.Add($"wait: a time such as 30s or 5m is wanted, not '{waitText}'");
        var epoch = query["epoch"].ToString();
        return problems.Count > 0
            ? (default, Answer.Message(400, string.Join("; ", problems)))
            : (new WatchQuestion(apps.ToEquatableArray(), index, epoch.Length == 0 ? null : epoch, wait < EndpointWatch.WaitMax ? wait : EndpointWatch.WaitMax), null);
    }

    public bool IsOf(AppId app)
    {
        if (Apps.IsEmpty) return true;
        foreach (var wanted in Apps)
            if (app.IsWithin(wanted)) return true;
        return false;
    }

    public bool IsConcernedBy(EndpointUpdate update) => Apps.IsEmpty || update.Complete || update.TouchedApps().Any(IsOf);

    /// <summary>A number alone is seconds.</summary>
    private static bool TryWait(string text, out TimeSpan wait)
    {
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)) return KvAnswers.TryParseDuration(text, out wait);
        wait = TimeSpan.FromSeconds(Math.Min(seconds, EndpointWatch.WaitMax.TotalSeconds));
        return true;
    }
}
