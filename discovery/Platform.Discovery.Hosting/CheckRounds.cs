using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// Runs the checks that were registered at this node's door: HTTP and TCP are asked, TTLs run out unless somebody says that all is well. What
/// changes is told to the leader, and from there every node; a service that was critical for as long as it may be is deregistered.
/// </summary>
public sealed partial class CheckRounds(StoreReplica store, string node, Func<StoreRequest, CancellationToken, Task<StoreAnswer>> ask, ILoggerFactory loggers, TimeProvider time)
    : IDisposable
{
    /// <summary>At the same time; the rest wait their turn.</summary>
    private const int ProbesMax = 64;

    /// <summary>As Consul's agents do.</summary>
    private static readonly TimeSpan OutputEvery = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan TtlLook = TimeSpan.FromSeconds(1);

    private readonly ILogger<CheckRounds> _logger = loggers.CreateLogger<CheckRounds>();
    private readonly ConcurrentDictionary<string, DateTimeOffset> _beats = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _probes = new(ProbesMax);
    private readonly HttpClient _http = Client(verify: true);
    private readonly HttpClient _httpUnverified = Client(verify: false);

    public void Dispose()
    {
        _probes.Dispose();
        _http.Dispose();
        _httpUnverified.Dispose();
    }

    /// <summary>Somebody has said how a TTL check stands: its time begins anew.</summary>
    public void Beat(string check) => _beats[check] = time.GetUtcNow();

    public async Task RunAsync(CancellationToken stopping)
    {
        var running = new Dictionary<string, (CheckDefinition Definition, CancellationTokenSource Stop, Task Task)>(StringComparer.Ordinal);
        try
        {
            while (true)
            {
                var cursor = store.Cursor;
                var wanted = store.State.Registry.ChecksOn(node).Where(x => x.Definition.Kind is CheckKind.Http or CheckKind.Tcp or CheckKind.Ttl).ToDictionary(x => x.Id, StringComparer.Ordinal);
                foreach (var (id, round) in running.ToList())
                    if (!wanted.TryGetValue(id, out var check) || check.Definition != round.Definition || round.Task.IsCompleted)
                    {
                        if (round.Task.IsFaulted) await round.Task.ConfigureAwait(false); // a mistake of ours, not of what is checked
                        await EndAsync(round).ConfigureAwait(false);
                        running.Remove(id);
                    }
                foreach (var check in wanted.Values.Where(x => !running.ContainsKey(x.Id)))
                {
                    var stop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
                    running[check.Id] = (check.Definition, stop, RoundAsync(check, stop.Token));
                }
                await store.ChangedAsync(cursor, stopping).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            foreach (var round in running.Values) await EndAsync(round).ConfigureAwait(false);
        }
    }

    private static async Task EndAsync((CheckDefinition, CancellationTokenSource Stop, Task Task) round)
    {
        await round.Stop.CancelAsync().ConfigureAwait(false);
        await round.Task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        round.Stop.Dispose();
    }

    private async Task RoundAsync(RegisteredCheck check, CancellationToken stopping)
    {
        var definition = check.Definition;
        if (definition.Kind == CheckKind.Ttl) _beats.TryAdd(check.Id, time.GetUtcNow()); // a restart gives it its whole time again
        else await Task.Delay(definition.Interval * Random.Shared.NextDouble() / 4, time, stopping).ConfigureAwait(false); // not all at once
        DateTimeOffset? criticalSince = null;
        var saidAt = time.GetUtcNow();
        var (well, ill) = (0, 0);
        while (!stopping.IsCancellationRequested)
        {
            var (status, output) = definition.Kind == CheckKind.Ttl ? await ExpiryAsync(check, stopping).ConfigureAwait(false) : await ProbeAsync(definition, stopping).ConfigureAwait(false);
            (well, ill) = status == CheckStatus.Critical ? (0, ill + 1) : (well + 1, 0);
            var counts = status == CheckStatus.Critical ? ill > definition.FailuresBeforeCritical : well > definition.SuccessBeforePassing;
            var known = store.State.Registry.Check(node, check.Id);
            if (known is null) return;
            // What it says of itself is news at once when it says it first, and otherwise now and then: a page with a clock on it must not fill the log.
            var worded = known.Output != output && (known.Output.Length == 0 || time.GetUtcNow() - saidAt >= OutputEvery);
            if (counts && (known.Status != status || worded))
            {
                saidAt = time.GetUtcNow();
                await SayAsync(new RegistryChange.CheckStated(node, check.Id, status, output), stopping).ConfigureAwait(false);
            }
            var critical = counts ? status == CheckStatus.Critical : known.Status == CheckStatus.Critical;
            criticalSince = critical ? criticalSince ?? time.GetUtcNow() : null;
            if (definition.DeregisterAfter is { } after && check.ServiceId.Length > 0 && time.GetUtcNow() - criticalSince >= after)
            {
                Deregisters(check.ServiceId, check.Id, after);
                await SayAsync(new RegistryChange.InstanceRemoved(node, check.ServiceId), stopping).ConfigureAwait(false);
            }
            if (definition.Kind != CheckKind.Ttl) await Task.Delay(definition.Interval, time, stopping).ConfigureAwait(false);
        }
    }

    /// <summary>How it stands at its end, or a second from now: how long it is critical counts, whoever said so.</summary>
    private async Task<(CheckStatus, string)> ExpiryAsync(RegisteredCheck check, CancellationToken stopping)
    {
        var left = _beats.GetValueOrDefault(check.Id) + check.Definition.Ttl - time.GetUtcNow();
        await Task.Delay(left > TimeSpan.Zero && left < TtlLook ? left : TtlLook, time, stopping).ConfigureAwait(false);
        if (_beats.GetValueOrDefault(check.Id) + check.Definition.Ttl <= time.GetUtcNow()) return (CheckStatus.Critical, "TTL expired");
        return store.State.Registry.Check(node, check.Id) is { } known ? (known.Status, known.Output) : (CheckStatus.Critical, "");
    }

    private async Task<(CheckStatus, string)> ProbeAsync(CheckDefinition definition, CancellationToken stopping)
    {
        await _probes.WaitAsync(stopping).ConfigureAwait(false);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        limit.CancelAfter(definition.Timeout);
        try
        {
            return definition.Kind == CheckKind.Http ? await HttpAsync(definition, limit.Token).ConfigureAwait(false) : await TcpAsync(definition, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or IOException or InvalidOperationException || (e is OperationCanceledException && !stopping.IsCancellationRequested))
        {
            return (CheckStatus.Critical, RegistrationBody.Cut(e is OperationCanceledException ? $"no answer within {definition.Timeout.TotalSeconds:0.###} s" : e.Message));
        }
        finally
        {
            _probes.Release();
        }
    }

    private async Task<(CheckStatus, string)> HttpAsync(CheckDefinition definition, CancellationToken limit)
    {
        using var request = new HttpRequestMessage(new HttpMethod(definition.Method), definition.Target);
        if (definition.Body.Length > 0) request.Content = new StringContent(definition.Body);
        foreach (var (name, value) in definition.Headers)
            if (name.Equals("Host", StringComparison.OrdinalIgnoreCase)) request.Headers.Host = value;
            else if (!request.Headers.TryAddWithoutValidation(name, value)) request.Content?.Headers.TryAddWithoutValidation(name, value);
        using var answer = await (definition.SkipTlsVerify ? _httpUnverified : _http).SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit).ConfigureAwait(false);
        var buffer = new byte[RegistrationBody.TextLengthMax];
        using var body = await answer.Content.ReadAsStreamAsync(limit).ConfigureAwait(false);
        var length = await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, limit).ConfigureAwait(false);
        var code = (int)answer.StatusCode;
        var output = RegistrationBody.Cut($"HTTP {definition.Method} {definition.Target}: {code} {answer.ReasonPhrase} Output: {System.Text.Encoding.UTF8.GetString(buffer, 0, length)}");
        return (code is >= 200 and <= 299 ? CheckStatus.Passing : code == 429 ? CheckStatus.Warning : CheckStatus.Critical, output);
    }

    private static async Task<(CheckStatus, string)> TcpAsync(CheckDefinition definition, CancellationToken limit)
    {
        var target = new Uri($"tcp://{definition.Target}");
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(target.IdnHost, target.Port, limit).ConfigureAwait(false);
        return (CheckStatus.Passing, $"TCP connect {definition.Target}: Success");
    }

    /// <summary>What cannot be told now is found again at the next round.</summary>
    private async Task SayAsync(RegistryChange change, CancellationToken stopping)
    {
        try
        {
            await ask(new StoreRequest.Register([change]), stopping).ConfigureAwait(false);
        }
        catch (Exception e) when (e is NoLeaderException or StoreUnavailableException)
        {
            if (_logger.IsEnabled(LogLevel.Debug)) NotSaid(e.Message);
        }
    }

    [SuppressMessage("Security", "CA5359:Do Not Disable Certificate Validation", Justification = "TLSSkipVerify: the registration asked for it, and nothing but a status is read.")]
    private static HttpClient Client(bool verify)
    {
        var handler = new SocketsHttpHandler
        {
            MaxAutomaticRedirections = 10, UseProxy = false, UseCookies = false, ConnectTimeout = TimeSpan.FromSeconds(10), PooledConnectionLifetime = TimeSpan.FromMinutes(1),
        };
        if (!verify) handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        return new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
    }

    [LoggerMessage(5501, LogLevel.Information, "Deregisters service {Service}: its check {Check} was critical for {After}")]
    private partial void Deregisters(string service, string check, TimeSpan after);

    [LoggerMessage(5502, LogLevel.Debug, "A check's news could not be told yet: {Why}")]
    private partial void NotSaid(string why);
}
