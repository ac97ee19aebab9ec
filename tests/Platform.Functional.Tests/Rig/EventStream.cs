using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

internal sealed record PlatformEvent(string Type, JsonNode Data);

/// <summary>Follows GET /v2/events and keeps what came, in order.</summary>
internal sealed class EventStream : IAsyncDisposable
{
    private readonly HttpClient _http;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<PlatformEvent> _events = [];
    private readonly Task _reader;

    private EventStream(HttpClient http, Stream stream)
    {
        _http = http;
        _reader = Task.Run(() => ReadAsync(new StreamReader(stream)));
    }

    public PlatformEvent[] Events
    {
        get { lock (_events) return [.. _events]; }
    }

    public static async Task<EventStream> AttachAsync(int apiPort)
    {
        var http = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{apiPort}/v2/events");
        request.Headers.Accept.ParseAdd("text/event-stream");
        var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        return new EventStream(http, await response.Content.ReadAsStreamAsync());
    }

    public Task<PlatformEvent[]> UntilAsync(string what, Func<PlatformEvent[], bool> holds, double seconds = Eventually.Patience) =>
        Eventually.GetAsync(what, () => Task.FromResult(Events), holds, seconds);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _http.Dispose();
        try
        {
            await _reader;
        }
        catch (OperationCanceledException)
        {
            // asked for
        }
        _stop.Dispose();
    }

    private async Task ReadAsync(StreamReader reader)
    {
        var type = "";
        while (await reader.ReadLineAsync(_stop.Token) is { } line)
            if (line.StartsWith("event:", StringComparison.Ordinal)) type = line[6..].Trim();
            else if (line.StartsWith("data:", StringComparison.Ordinal))
                lock (_events) _events.Add(new PlatformEvent(type, JsonNode.Parse(line[5..])!));
    }
}
