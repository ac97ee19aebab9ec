using System.Collections.Concurrent;

namespace Platform.Scheduler.Metrics;

/// <summary>What one instrument has measured so far. Recorded to from any thread; a figure is read while others go on recording.</summary>
/// <param name="labels">As Prometheus writes them, without the braces; empty for most.</param>
internal abstract class Measured(string name, string labels = "")
{
    public string Name => name;
    public string Labels => labels;

    public abstract void Record(double value);
}

/// <summary>The newest value.</summary>
internal sealed class Gauge(string name) : Measured(name)
{
    private double _value;

    public double Value => Volatile.Read(ref _value);

    public override void Record(double value) => Volatile.Write(ref _value, value);
}

/// <summary>The sum of all.</summary>
internal sealed class Count(string name) : Measured(name)
{
    private long _value;

    public long Value => Interlocked.Read(ref _value);

    public override void Record(double value) => Interlocked.Add(ref _value, (long)value);
}

/// <summary>How many there are in a second: since the start, and over the last 1, 5 and 15 minutes, each minute counting less the older it is.</summary>
internal sealed class Rate(string name, TimeProvider time) : Measured(name)
{
    private const double TickSeconds = 5;
    private static readonly double[] Weights = [.. new[] { 1, 5, 15 }.Select(minutes => 1 - Math.Exp(-TickSeconds / 60 / minutes))];

    private readonly Lock _lock = new();
    private readonly long _startedAt = time.GetTimestamp();
    private readonly double[] _rates = new double[Weights.Length];
    private long _ticks;
    private long _count;
    private long _sinceTick;

    public override void Record(double value)
    {
        lock (_lock)
        {
            Tick();
            _count += (long)value;
            _sinceTick += (long)value;
        }
    }

    /// <summary>Per second: the mean, then over 1, 5 and 15 minutes.</summary>
    public (long Count, double Mean, double M1, double M5, double M15) Read()
    {
        lock (_lock)
        {
            Tick();
            var seconds = time.GetElapsedTime(_startedAt).TotalSeconds;
            return (_count, seconds > 0 ? _count / seconds : 0, _rates[0], _rates[1], _rates[2]);
        }
    }

    /// <summary>Nothing runs while nobody looks: the ticks that passed are made up for.</summary>
    private void Tick()
    {
        var due = (long)(time.GetElapsedTime(_startedAt).TotalSeconds / TickSeconds);
        if (due == _ticks) return;
        for (var i = 0; i < _rates.Length; i++)
        {
            // The first tick sets the rate, so that it need not creep up from nothing; empty ones after it only let it fade.
            var now = _sinceTick / TickSeconds;
            _rates[i] = _ticks == 0 ? now : _rates[i] + Weights[i] * (now - _rates[i]);
            _rates[i] *= Math.Pow(1 - Weights[i], due - _ticks - 1);
        }
        _ticks = due;
        _sinceTick = 0;
    }
}

/// <summary>How values are spread: the newest of them, and the sum of all.</summary>
internal sealed class Spread(string name, TimeProvider time, string labels = "") : Measured(name, labels)
{
    private const int NewestKept = 1024;

    private readonly Lock _lock = new();
    private readonly double[] _newest = new double[NewestKept];
    private long _count;
    private double _sum;

    public Rate Rate { get; } = new(name, time);

    public override void Record(double value)
    {
        Rate.Record(1);
        lock (_lock)
        {
            _newest[_count++ % NewestKept] = value;
            _sum += value;
        }
    }

    public SpreadFigures Read()
    {
        double[] values;
        long count;
        double sum;
        lock (_lock)
        {
            (count, sum) = (_count, _sum);
            values = _newest[..(int)Math.Min(count, NewestKept)];
        }
        Array.Sort(values);
        var mean = values.Length == 0 ? 0 : values.Average();
        return new SpreadFigures(count, sum, mean, values.Length == 0 ? 0 : Math.Sqrt(values.Average(v => (v - mean) * (v - mean))), values);
    }
}

/// <param name="Sorted">The newest values, the smallest first.</param>
internal readonly record struct SpreadFigures(long Count, double Sum, double Mean, double Deviation, double[] Sorted)
{
    public double Min => At(0);
    public double Max => At(1);

    /// <param name="share">0 to 1.</param>
    public double At(double share) => Sorted.Length == 0 ? 0 : Sorted[Math.Clamp((int)Math.Ceiling(share * Sorted.Length) - 1, 0, Sorted.Length - 1)];
}

/// <summary>Spreads of one name, one for each set of tags; values with tags beyond the limit are left out rather than filling memory.</summary>
internal sealed class Spreads(string name, TimeProvider time) : Measured(name)
{
    private const int SeriesMax = 10_000;

    private readonly ConcurrentDictionary<string, Spread> _series = new(StringComparer.Ordinal);

    public IEnumerable<Spread> All => _series.Values;

    public override void Record(double value) => throw new InvalidOperationException($"{Name} is measured with tags");

    public Spread? Of(ReadOnlySpan<KeyValuePair<string, object?>> tags) => _series.GetValueOrDefault(Text(tags));

    public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var labels = Text(tags);
        if (!_series.TryGetValue(labels, out var spread))
        {
            if (_series.Count >= SeriesMax) return;
            spread = _series.GetOrAdd(labels, _ => new Spread(Name, time, labels));
        }
        spread.Record(value);
    }

    private static string Text(ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        string.Join(',', tags.ToArray().Select(t => $"{t.Key}=\"{Escaped($"{t.Value}")}\""));

    private static string Escaped(string value) => value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
}
