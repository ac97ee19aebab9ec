using System.Collections.Immutable;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace Platform.Discovery.Client;

/// <summary>
/// Follows <c>/v2/endpoints/events</c> of whichever scheduler answers, from the first question on. While none does, the last table serves.
/// </summary>
internal sealed partial class EndpointStream : IAsyncDisposable, IDisposable
{
    /// <summary>Names that somebody waits for news of. One more makes all of them ask again: a program that calls ever new names must not fill its memory.</summary>
    private const int NamesMax = 10_000;

    private static readonly TimeSpan RetryFirst = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(10);

    private readonly PlatformDiscoveryOptions _options;
    private readonly ILogger<EndpointStream> _logger;
    private readonly HttpClient _http;
    private readonly CancellationTokenSource _closing = new();
    private readonly TaskCompletionSource _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lazy<Task> _following;
    private readonly Lock _changing = new();
    private readonly Dictionary<string, CancellationTokenSource> _watched = new(StringComparer.Ordinal);
    private WatchedTable _table = WatchedTable.Empty;
    private string _lastFailure = "none was asked";

    public EndpointStream(IOptions<PlatformDiscoveryOptions> options, ILogger<EndpointStream> logger)
    {
        _options = options.Value;
        _logger = logger;
        if (_options.Schedulers.Count == 0) throw new InvalidOperationException($"{nameof(PlatformDiscoveryOptions)}.{nameof(PlatformDiscoveryOptions.Schedulers)} names no scheduler");
        // Of its own, and not the factory's: that one's clients are what resolves through us.
        _http = new HttpClient(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(5) }) { Timeout = Timeout.InfiniteTimeSpan };
        if (_options.Credentials is { } credentials)
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials)));
        _following = new Lazy<Task>(() => Task.Run(FollowAsync));
    }

    /// <summary>Where the table stands that answers are taken from.</summary>
    public (string Epoch, long Revision) Cursor
    {
        get
        {
            lock (_changing) return (_table.Epoch, _table.Revision);
        }
    }

    /// <summary>What the name stands for now, and a token that tells when that may have changed.</summary>
    public async ValueTask<(ImmutableArray<WatchedApp> Services, IChangeToken Changed)> LookAsync(string name, CancellationToken stopping)
    {
        var following = _following.Value;
        var arrived = await Task.WhenAny(_first.Task, following, Task.Delay(_options.FirstTableWithin, stopping)).ConfigureAwait(false);
        stopping.ThrowIfCancellationRequested();
        if (arrived == following) await following.ConfigureAwait(false);
        if (!_first.Task.IsCompleted)
            throw new InvalidOperationException($"No scheduler of {string.Join(", ", _options.Schedulers)} has told its endpoints within {_options.FirstTableWithin.TotalSeconds} s: {_lastFailure}");
        name = Canonical(name);
        lock (_changing)
        {
            if (!_watched.TryGetValue(name, out var watch))
            {
                if (_watched.Count >= NamesMax) Fire([.. _watched.Keys]);
                _watched[name] = watch = new CancellationTokenSource();
            }
            return ([.. _table.Called(name)], new CancellationChangeToken(watch.Token));
        }
    }

    public void Dispose()
    {
        _closing.Cancel();
        _http.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        Dispose();
        if (_following.IsValueCreated) await _following.Value.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _closing.Dispose();
    }

    private string Canonical(string name)
    {
        name = name.ToLowerInvariant().TrimEnd('.');
        var domain = "." + _options.Domain.Trim('.').ToLowerInvariant();
        return name.EndsWith(domain, StringComparison.Ordinal) ? name[..^domain.Length] : name;
    }

    private async Task FollowAsync()
    {
        var retry = RetryFirst;
        for (var turn = 0; !_closing.IsCancellationRequested; turn++)
        {
            var scheduler = _options.Schedulers[turn % _options.Schedulers.Count];
            try
            {
                await foreach (var told in EventsAsync(scheduler, _closing.Token).ConfigureAwait(false))
                {
                    Take(told);
                    retry = RetryFirst;
                }
                _lastFailure = $"{scheduler} ended the stream";
            }
            catch (Exception e) when (_closing.IsCancellationRequested && e is OperationCanceledException or IOException or HttpRequestException or ObjectDisposedException)
            {
                return;
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                _lastFailure = $"{scheduler}: {e.Message}";
            }
            Lost(scheduler, _lastFailure, retry.TotalSeconds);
            await Task.Delay(retry * (0.75 + (Random.Shared.NextDouble() / 2)), _closing.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            retry = retry * 2 < RetryMax ? retry * 2 : RetryMax;
        }
    }

    private async IAsyncEnumerable<JsonElement> EventsAsync(Uri scheduler, [EnumeratorCancellation] CancellationToken stopping)
    {
        using var silent = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        silent.CancelAfter(_options.SilenceMax);
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(scheduler, "/v2/endpoints/events"));
        request.Headers.Accept.ParseAdd("text/event-stream");
        if (Cursor is { Revision: > 0 } cursor) request.Headers.TryAddWithoutValidation("Last-Event-ID", $"{cursor.Epoch}:{cursor.Revision}");
        using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silent.Token).ConfigureAwait(false);
        response.EnsureSuccessStatusCode();
        Following(scheduler);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(silent.Token).ConfigureAwait(false));
        while (await reader.ReadLineAsync(silent.Token).ConfigureAwait(false) is { } line)
        {
            silent.CancelAfter(_options.SilenceMax);
            // One line of data an event, as the scheduler writes it; ids and comments only show that it lives.
            if (line.StartsWith("data:", StringComparison.Ordinal)) yield return JsonSerializer.Deserialize<JsonElement>(line.AsSpan(5));
        }
    }

    private void Take(JsonElement told)
    {
        lock (_changing)
        {
            (_table, var touched) = _table.After(told);
            Fire(touched is null ? [.. _watched.Keys] : [.. touched.SelectMany(s => (string[])[s.Dotted, s.Hyphened])]);
        }
        _first.TrySetResult();
    }

    /// <summary>Tells those that wait for these names, on threads of their own: they look again, and that takes our lock.</summary>
    private void Fire(string[] names)
    {
        foreach (var name in names)
            if (_watched.Remove(name, out var watch)) _ = watch.CancelAsync();
    }

    [LoggerMessage(1, LogLevel.Information, "Following the endpoints that {Scheduler} tells")]
    private partial void Following(Uri scheduler);

    [LoggerMessage(2, LogLevel.Warning, "{Scheduler} tells no endpoints any more ({Why}); the last table serves, trying again in {RetrySeconds} s")]
    private partial void Lost(Uri scheduler, string why, double retrySeconds);
}
