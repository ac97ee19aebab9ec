using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Platform.Scheduler.Api;

/// <summary>GET /v2/events: server-sent events as the contract frames them (6.1), each with its log revision as <c>id</c>.</summary>
internal sealed class EventStream(EventHub hub, TimeProvider time)
{
    private static bool IsWanted(HttpContext http) =>
        http.Request.Headers.Accept.Any(a => a?.Contains("text/event-stream", StringComparison.OrdinalIgnoreCase) == true);

    public Answer Answer(Call call) => IsWanted(call.Http)
        ? new Answer(200) { Follow = () => FollowAsync(call) }
        : Api.Answer.NotAllowed("GET, HEAD", "The event stream is only for those who accept text/event-stream");

    private async Task FollowAsync(Call call)
    {
        var http = call.Http;
        var filter = call.Query["event_type"].OfType<string>().ToHashSet(StringComparer.Ordinal);
        http.Response.ContentType = "text/event-stream; charset=utf-8";
        if (HttpMethods.IsHead(http.Request.Method)) return;

        using var follower = hub.Attach(call.ClientIp, call.Options.EventsWaitingMax, call.Options.EventFollowersMax)
            ?? throw new SchedulerUnavailableException($"More than {call.Options.EventFollowersMax} clients follow the events already");
        http.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, follower.IsCut);
        try
        {
            await SendAsync(follower.Waiting, filter, call.Options.EventHeartbeat, http.Response.BodyWriter, ending.Token).ConfigureAwait(false);
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

    private async Task SendAsync(
        ChannelReader<EventBatch> waiting, HashSet<string> filter, TimeSpan heartbeat, PipeWriter pipe, CancellationToken ending)
    {
        await pipe.FlushAsync(ending).ConfigureAwait(false); // the headers, so that the client knows it is heard
        while (true)
        {
            var more = waiting.WaitToReadAsync(ending).AsTask();
            while (!more.IsCompleted)
            {
                using var beating = CancellationTokenSource.CreateLinkedTokenSource(ending);
                if (await Task.WhenAny(more, Task.Delay(heartbeat, time, beating.Token)).ConfigureAwait(false) != more && !ending.IsCancellationRequested)
                {
                    pipe.Write("\r\n"u8);
                    await pipe.FlushAsync(ending).ConfigureAwait(false);
                }
                await beating.CancelAsync().ConfigureAwait(false);
            }
            await more.ConfigureAwait(false);
            while (waiting.TryRead(out var batch))
            {
                WriteFrames(pipe, batch, filter);
                await pipe.FlushAsync(ending).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The id comes first: naive readers expect data right behind the event, and the blank line right behind the data.</summary>
    private static void WriteFrames(PipeWriter pipe, EventBatch batch, HashSet<string> filter)
    {
        foreach (var e in batch.Events)
        {
            if (filter.Count > 0 && !filter.Contains(e.Type)) continue;
            if (batch.Revision > 0) Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"id: {batch.Revision}\r\n"), pipe);
            Encoding.UTF8.GetBytes($"event: {e.Type}\r\n", pipe);
            pipe.Write("data: "u8);
            pipe.Write(e.Json);
            pipe.Write("\r\n\r\n"u8);
        }
    }
}
