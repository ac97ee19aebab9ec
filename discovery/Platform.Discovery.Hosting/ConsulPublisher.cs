using System.Collections.Immutable;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>How the publisher paces itself.</summary>
public sealed record PublisherPace
{
    public TimeSpan RetryMin { get; init; } = TimeSpan.FromMilliseconds(250);
    public TimeSpan RetryMax { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How often all of it is compared, though nothing seems amiss.</summary>
    public TimeSpan CompareEvery { get; init; } = TimeSpan.FromSeconds(60);

    public TimeSpan CallTimeout { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>
/// Keeps somebody else's Consul saying what the endpoint table says. What is there is read, compared, and changed in transactions; after any failure,
/// and once a minute, it is read again, for that Consul may have been restarted empty or edited. One writer: it runs where the cluster's log is written.
/// </summary>
public sealed partial class ConsulPublisher(ConsulAddress address, PublisherPace pace, ILoggerFactory loggers, TimeProvider time)
{
    private readonly ILogger<ConsulPublisher> _logger = loggers.CreateLogger<ConsulPublisher>();
    private Publication? _wanted;
    private Observation? _seen;
    private CatalogTree _tree = CatalogTree.Empty;
    private KvTree _keys = KvTree.Empty;
    private string _conflicts = "";
    private DateTimeOffset _compareAt;
    private Task<(long Index, ImmutableArray<byte>? Value)>? _sign;
    private long _signIndex;

    /// <summary>The revision that the Consul has as a whole; behind the table's while it cannot be reached.</summary>
    public long Published { get; private set; }

    public async Task RunAsync(EndpointFeed feed, CancellationToken stopping)
    {
        using var client = new ConsulClient(address, pace.CallTimeout + TimeSpan.FromSeconds(30));
        var failures = 0;
        try
        {
            while (true)
            {
                var snapshot = feed.Current;
                if (snapshot.Revision == 0)
                {
                    await feed.ChangedAsync(snapshot.Cursor, stopping).ConfigureAwait(false);
                    continue;
                }
                try
                {
                    await PublishAsync(client, snapshot, stopping).ConfigureAwait(false);
                    if (failures > 0) Returned(address, failures);
                    failures = 0;
                    await QuietAsync(client, feed, snapshot.Cursor, stopping).ConfigureAwait(false);
                }
                catch (Exception e) when (IsPeers(e) && !stopping.IsCancellationRequested)
                {
                    _seen = null; // whatever it holds now, it is to be read anew
                    if (failures++ == 0) Failed(address, e.Message);
                    await Task.Delay(Backoff(failures), time, stopping).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // What is published stays: the tasks go on without us.
        }
    }

    private async Task PublishAsync(ConsulClient client, EndpointSnapshot snapshot, CancellationToken stopping)
    {
        if (_wanted is null || _tree.Snapshot.Cursor != snapshot.Cursor)
        {
            _tree = _tree.Apply(snapshot);
            _keys = _keys.Apply(snapshot);
            _wanted = Publication.Of(_tree, _keys, _wanted);
        }
        if (_seen is null)
        {
            _seen = await client.ObserveAsync(_wanted.Cluster, stopping).ConfigureAwait(false);
            _compareAt = time.GetUtcNow() + (pace.CompareEvery * (0.75 + (Random.Shared.NextDouble() / 2)));
        }
        var plan = Publishing.Plan(_wanted, _seen);
        Tell(plan);
        foreach (var batch in Batches(plan.Steps))
        {
            await client.ApplyAsync(_wanted.Cluster, batch, stopping).ConfigureAwait(false);
            _seen = batch.Aggregate(_seen, Publishing.After);
        }
        Published = snapshot.Revision;
    }

    /// <summary>
    /// Until the table changes, the time to compare has come, or the Consul gives a sign that it is not what it was: one query stays parked there,
    /// so its end is noticed at once. Our own writes wake it as well; whether it was one of them, a second look tells.
    /// </summary>
    private async Task QuietAsync(ConsulClient client, EndpointFeed feed, EndpointCursor cursor, CancellationToken stopping)
    {
        using var quiet = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var changed = feed.ChangedAsync(cursor, quiet.Token).AsTask();
        var due = Task.Delay(_compareAt - time.GetUtcNow() is { Ticks: > 0 } left ? left : TimeSpan.Zero, time, quiet.Token);
        _sign ??= client.ReadAsync(KvTree.RevisionKey, _signIndex, pace.CallTimeout, stopping);
        var first = await Task.WhenAny(changed, due, _sign).ConfigureAwait(false);
        await quiet.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(changed, due).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stopping.ThrowIfCancellationRequested();
        if (first == due) _seen = null;
        if (!_sign.IsCompleted) return;
        var sign = _sign;
        _sign = null;
        _signIndex = (await sign.ConfigureAwait(false)).Index;
        var (_, value) = await client.ReadAsync(KvTree.RevisionKey, 0, pace.CallTimeout, stopping).ConfigureAwait(false);
        if (_seen is not null && !IsOurs(_seen, value)) _seen = null;
    }

    private static bool IsOurs(Observation seen, ImmutableArray<byte>? value) =>
        seen.ForeignKeys.Contains(KvTree.RevisionKey)
        || (seen.Keys.TryGetValue(KvTree.RevisionKey, out var ours) ? value is { } there && there.AsSpan().SequenceEqual(ours.AsSpan()) : value is null);

    private static IEnumerable<List<PublishStep>> Batches(IEnumerable<PublishStep> steps)
    {
        var batch = new List<PublishStep>();
        var bytes = 0;
        foreach (var step in steps)
        {
            var size = ConsulTransaction.BytesOf(step);
            if (batch.Count > 0 && (batch.Count == ConsulClient.TransactionStepsMax || bytes + size > ConsulClient.TransactionBytesMax))
            {
                yield return batch;
                (batch, bytes) = ([], 0);
            }
            batch.Add(step);
            bytes += size;
        }
        if (batch.Count > 0) yield return batch;
    }

    private TimeSpan Backoff(int failures)
    {
        var ceiling = Math.Min(pace.RetryMax.TotalSeconds, pace.RetryMin.TotalSeconds * Math.Pow(2, Math.Min(failures, 20)));
        return TimeSpan.FromSeconds(pace.RetryMin.TotalSeconds + (Random.Shared.NextDouble() * (ceiling - pace.RetryMin.TotalSeconds)));
    }

    /// <summary>What the other side and the way to it may do to us; anything else is our own mistake, and ends the process.</summary>
    private static bool IsPeers(Exception e) => e is HttpRequestException or ConsulRefusedException or IOException or JsonException or OperationCanceledException;

    private void Tell(PublishPlan plan)
    {
        var conflicts = string.Join(", ", plan.Conflicts.Take(10));
        if (conflicts.Length > 0 && conflicts != _conflicts) Taken(plan.Conflicts.Length, address, conflicts);
        _conflicts = conflicts;
    }

    [LoggerMessage(5401, LogLevel.Warning, "Publishing into Consul at {Address} fails and is tried again: {Why}")]
    private partial void Failed(ConsulAddress address, string why);

    [LoggerMessage(5402, LogLevel.Information, "Publishing into Consul at {Address} again after {Failures} failures")]
    private partial void Returned(ConsulAddress address, int failures);

    [LoggerMessage(5403, LogLevel.Warning, "Not published, for {Count} names are somebody else's in Consul at {Address}: {Names}")]
    private partial void Taken(int count, ConsulAddress address, string names);
}
