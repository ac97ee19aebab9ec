using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Platform.Scheduler.Metrics;

namespace Platform.Scheduler.Api;

/// <summary>
/// GET /v2/events: server-sent events as the contract frames them (6.1). Our own addition is an <c>id</c> on what the log holds, and that a
/// client which sends one back as <c>Last-Event-ID</c> is told what it missed first.
/// </summary>
internal sealed class EventStream(EventHub hub, SchedulerMeters meters, TimeProvider time)
{
    public Answer Answer(Call call) => IsWanted(call.Http)
        ? new Answer(200) { Follow = () => FollowAsync(call) }
        : Api.Answer.NotAllowed("GET, HEAD", "The event stream is only for those who accept text/event-stream");

    internal static bool IsWanted(HttpContext http) =>
        http.Request.Headers.Accept.Any(a => a?.Contains("text/event-stream", StringComparison.OrdinalIgnoreCase) == true);

    private async Task FollowAsync(Call call)
    {
        var http = call.Http;
        http.Response.ContentType = "text/event-stream; charset=utf-8";
        if (HttpMethods.IsHead(http.Request.Method)) return;

        using var follower = hub.Attach(call.ClientIp, call.Options.EventsWaitingMax, call.Options.EventFollowersMax)
            ?? throw new SchedulerUnavailableException($"More than {call.Options.EventFollowersMax} clients follow the events already");
        http.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, follower.IsCut);
        var frames = new EventFrames(http.Response.BodyWriter, call.Query["event_type"].OfType<string>(), meters);
        try
        {
            await frames.FlushAsync(ending.Token).ConfigureAwait(false); // the headers, so that the client knows it is heard
            if (http.Request.Headers["Last-Event-ID"].ToString() is { Length: > 0 } last)
                await CatchUpAsync(follower, last, frames, ending.Token).ConfigureAwait(false);
            await SendAsync(follower.Waiting, call.Options.EventHeartbeat, frames, ending.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            http.Abort(); // a client that reads no more would not notice a proper end either
        }
        finally
        {
            hub.Detach(follower);
        }
    }

    /// <summary>That it is attached comes first for this follower too, then what it missed, then what has waited meanwhile.</summary>
    private async Task CatchUpAsync(EventFollower follower, string last, EventFrames frames, CancellationToken ending)
    {
        if (follower.Waiting.TryRead(out var attached)) frames.Write(attached);
        if (!EventPosition.TryParse(last, out var position)) position = new EventPosition(long.MaxValue, 0);
        var (missed, whole) = await hub.MissedAsync(follower, position, ending).ConfigureAwait(false);
        if (!whole) frames.WriteGap(last, missed.IsEmpty ? follower.AttachedAt + 1 : missed[0].Revision, time.GetUtcNow());
        foreach (var batch in missed)
        {
            frames.Write(batch, position);
            await frames.FlushAsync(ending).ConfigureAwait(false);
        }
        await frames.FlushAsync(ending).ConfigureAwait(false);
    }

    private async Task SendAsync(ChannelReader<EventBatch> waiting, TimeSpan heartbeat, EventFrames frames, CancellationToken ending)
    {
        while (true)
        {
            var more = waiting.WaitToReadAsync(ending).AsTask();
            while (!more.IsCompleted)
            {
                using var beating = CancellationTokenSource.CreateLinkedTokenSource(ending);
                if (await Task.WhenAny(more, Task.Delay(heartbeat, time, beating.Token)).ConfigureAwait(false) != more && !ending.IsCancellationRequested)
                {
                    frames.Beat();
                    await frames.FlushAsync(ending).ConfigureAwait(false);
                }
                await beating.CancelAsync().ConfigureAwait(false);
            }
            await more.ConfigureAwait(false);
            while (waiting.TryRead(out var batch))
            {
                frames.Write(batch);
                await frames.FlushAsync(ending).ConfigureAwait(false);
            }
        }
    }
}

/// <summary>Events on the wire of one follower, those of the types it asked for; none named means all.</summary>
internal sealed class EventFrames(PipeWriter pipe, IEnumerable<string> types, SchedulerMeters meters)
{
    private readonly HashSet<string> _types = types.ToHashSet(StringComparer.Ordinal);

    public async ValueTask FlushAsync(CancellationToken ending)
    {
        meters.StreamedBytes(pipe.UnflushedBytes);
        await pipe.FlushAsync(ending).ConfigureAwait(false);
    }

    public void Beat() => pipe.Write("\r\n"u8);

    public void Write(EventBatch batch) => Write(batch, default);

    /// <param name="after">Those up to there were seen.</param>
    public void Write(EventBatch batch, EventPosition after)
    {
        for (var i = 0; i < batch.Events.Length; i++)
        {
            var number = i + 1;
            if (batch.Revision == 0) Write(batch.Events[i], null);
            else if (after.IsBefore(batch.Revision, number)) Write(batch.Events[i], string.Create(CultureInfo.InvariantCulture, $"{batch.Revision}.{number}"));
        }
    }

    /// <summary>A line that clients skip, for people, and an event, for those that want to know: their picture has a hole.</summary>
    public void WriteGap(string lastEventId, long knownFrom, DateTimeOffset at)
    {
        Encoding.UTF8.GetBytes(
            string.Create(CultureInfo.InvariantCulture, $": what followed the given Last-Event-ID is not known any more; known from revision {knownFrom}\r\n\r\n"), pipe);
        Write(ContractEvents.Missed(lastEventId, knownFrom, at), null);
    }

    /// <summary>The id comes first: naive readers expect data right behind the event, and the blank line right behind the data.</summary>
    private void Write(ContractEvent e, string? id)
    {
        if (_types.Count > 0 && !_types.Contains(e.Type)) return;
        if (id is not null) Encoding.UTF8.GetBytes($"id: {id}\r\n", pipe);
        Encoding.UTF8.GetBytes($"event: {e.Type}\r\n", pipe);
        pipe.Write("data: "u8);
        pipe.Write(e.Json);
        pipe.Write("\r\n\r\n"u8);
    }
}
