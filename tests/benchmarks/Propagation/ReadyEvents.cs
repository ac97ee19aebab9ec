using System.Globalization;
using System.Text.Json.Nodes;
using System.Threading.Channels;

namespace Propagation;

/// <summary>The moments at which tasks became healthy, from the event stream.</summary>
internal sealed class ReadyEvents : IAsyncDisposable
{
    private readonly HttpClient _http = new() { Timeout = Timeout.InfiniteTimeSpan };
    private readonly Channel<ReadyTask> _ready = Channel.CreateBounded<ReadyTask>(1024);
    private Task _reader = Task.CompletedTask;

    public static async Task<ReadyEvents> FollowAsync(string api, CancellationToken stop)
    {
        var events = new ReadyEvents();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{api}/v2/events?event_type=status_update_event&event_type=health_status_changed_event");
        request.Headers.Accept.ParseAdd("text/event-stream");
        var response = await events._http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop);
        response.EnsureSuccessStatusCode();
        events._reader = events.ReadAsync(new StreamReader(await response.Content.ReadAsStreamAsync(stop)), stop);
        return events;
    }

    public async Task<ReadyTask> NextAsync(TimeSpan limit)
    {
        using var deadline = new CancellationTokenSource(limit);
        return await _ready.Reader.ReadAsync(deadline.Token);
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        try
        {
            await _reader;
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            // asked for
        }
    }

    private async Task ReadAsync(StreamReader reader, CancellationToken stop)
    {
        var ports = new Dictionary<string, (string TaskId, int Port)>();
        while (await reader.ReadLineAsync(stop) is { } line)
        {
            if (!line.StartsWith("data:", StringComparison.Ordinal)) continue;
            var data = JsonNode.Parse(line[5..])!;
            if (data["eventType"]!.GetValue<string>() == "status_update_event")
            {
                if (data["taskStatus"]!.GetValue<string>() != "TASK_RUNNING") continue;
                var task = data["taskId"]!.GetValue<string>();
                ports[Uuid(task)] = (task, data["ports"]![0]!.GetValue<int>());
            }
            else if (data["alive"]!.GetValue<bool>())
            {
                var uuid = Uuid(data["instanceId"]!.GetValue<string>());
                var at = DateTimeOffset.Parse(data["timestamp"]!.GetValue<string>(), CultureInfo.InvariantCulture);
                if (ports.TryGetValue(uuid, out var known)) await _ready.Writer.WriteAsync(new ReadyTask(at, known.TaskId, uuid, known.Port), stop);
            }
        }
    }

    /// <summary>The UUID of an instance id or of its task's id.</summary>
    private static string Uuid(string id)
    {
        var from = id.IndexOf(".instance-", StringComparison.Ordinal) + ".instance-".Length;
        return id.Substring(from, Math.Min(36, id.Length - from));
    }
}
