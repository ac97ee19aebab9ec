using System.Collections.Immutable;
using Platform.Model;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>Where a follower was: behind the event <see cref="Number"/> of the log's <see cref="Revision"/>. Written <c>revision.number</c>.</summary>
internal readonly record struct EventPosition(long Revision, int Number)
{
    /// <summary>A revision alone means all of its events.</summary>
    public static bool TryParse(string text, out EventPosition position)
    {
        var dot = text.IndexOf('.', StringComparison.Ordinal);
        var number = int.MaxValue;
        var good = long.TryParse(dot < 0 ? text : text[..dot], System.Globalization.CultureInfo.InvariantCulture, out var revision)
            && (dot < 0 || int.TryParse(text[(dot + 1)..], System.Globalization.CultureInfo.InvariantCulture, out number))
            && revision >= 0 && number >= 0;
        position = new EventPosition(revision, number);
        return good;
    }

    public bool IsBefore(long revision, int number) => Revision < revision || (Revision == revision && Number < number);
}

/// <summary>
/// The newest events of the log, for followers who come back. What was published since the start is at hand; what lies before is read
/// from the log once, when the first asks for it. The states around the events share nearly all of their parts.
/// </summary>
internal sealed class EventHistory(IClusterLog log, long startRevision) : IDisposable
{
    public const int EventsMax = 4096;

    /// <summary>Definitions are the one part of an event that can be large.</summary>
    private const int DefinitionsMax = 20_000;

    private readonly Lock _lock = new();
    private readonly Queue<Folded> _recent = new();
    private readonly SemaphoreSlim _reading = new(1);
    private ImmutableArray<Folded>? _older;
    private int _definitions;

    public void Add(Folded folded)
    {
        lock (_lock)
        {
            _recent.Enqueue(folded);
            _definitions += DefinitionsOf(folded);
            while (_recent.Count > EventsMax || (_definitions > DefinitionsMax && _recent.Count > 1))
            {
                _definitions -= DefinitionsOf(_recent.Dequeue());
                _older = []; // what lies before what was forgotten is of no use
            }
        }
    }

    /// <summary>The events from one revision to another, both included; <c>Whole</c> is false if not all of them are known any more.</summary>
    public async Task<(ImmutableArray<Folded> Events, bool Whole)> BetweenAsync(long from, long to, CancellationToken stopping)
    {
        if (from > to) return ([], true);
        var (events, older) = (Recent(from, to), ImmutableArray<Folded>.Empty);
        if (events.IsEmpty || events[0].After.Revision > from) older = await OlderAsync(stopping).ConfigureAwait(false);
        ImmutableArray<Folded> all = [.. older.Where(f => f.After.Revision >= from && f.After.Revision <= to), .. Recent(from, to)];
        return (all, all.Length == to - from + 1);
    }

    public void Dispose() => _reading.Dispose();

    private ImmutableArray<Folded> Recent(long from, long to)
    {
        lock (_lock) return [.. _recent.Where(f => f.After.Revision >= from && f.After.Revision <= to)];
    }

    private async Task<ImmutableArray<Folded>> OlderAsync(CancellationToken stopping)
    {
        await _reading.WaitAsync(stopping).ConfigureAwait(false);
        try
        {
            lock (_lock)
                if (_older is { } known) return known;
            var tail = await Task.Run(() => log.ReadTailAsync(EventsMax, stopping).AsTask(), stopping).ConfigureAwait(false);
            lock (_lock) return _older ??= [.. tail.Where(f => f.After.Revision <= startRevision)];
        }
        catch (LogRefusedException)
        {
            return []; // the follower is told that it missed something, and the next one may find the log readable
        }
        finally
        {
            _reading.Release();
        }
    }

    private static int DefinitionsOf(Folded folded) => folded.Event is SchedulerEvent.DeploymentStarted x ? x.Set.Count + x.Deployment.Originals.Count : 0;
}
