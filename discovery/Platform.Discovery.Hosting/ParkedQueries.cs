using Microsoft.Extensions.Logging;

namespace Platform.Discovery.Hosting;

/// <summary>How a blocking query ended: with news or at its time's end, or turned away because too many wait.</summary>
internal enum Parking { Over, Full }

/// <summary>Blocking queries that wait, of all views of the Consul door together. One costs an entry in a table and a timer.</summary>
public sealed partial class ParkedQueries(int countMax, ILogger logger, TimeProvider time)
{
    private int _count;

    public int Count => Volatile.Read(ref _count);

    /// <param name="passed">Whether there is news; asked before each wait.</param>
    /// <param name="watch">Begins to watch; what it gives is asked for before <paramref name="passed"/>, so that a change in between wakes us.</param>
    internal async ValueTask<Parking> WaitAsync(TimeSpan wait, Func<bool> passed, Func<KvWatches.Handle> watch, CancellationToken aborted)
    {
        if (passed()) return Parking.Over;
        if (Interlocked.Increment(ref _count) > countMax)
        {
            Interlocked.Decrement(ref _count);
            TooManyParked(countMax);
            return Parking.Full;
        }
        try
        {
            var began = time.GetTimestamp();
            wait += wait / 16 * Random.Shared.NextDouble(); // so that clients that began together do not all come back together
            while (true)
            {
                using var change = watch();
                if (passed()) return Parking.Over;
                var left = wait - time.GetElapsedTime(began);
                if (left <= TimeSpan.Zero || change.Ended) return Parking.Over;
                await change.Changed.WaitAsync(left, time, aborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (aborted.IsCancellationRequested) return Parking.Over;
            }
        }
        finally
        {
            Interlocked.Decrement(ref _count);
        }
    }

    [LoggerMessage(5301, LogLevel.Warning, "Turned a blocking query at the Consul door away: {Limit} are parked")]
    private partial void TooManyParked(int limit);
}
