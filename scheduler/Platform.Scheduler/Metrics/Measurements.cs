using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Platform.Scheduler.Metrics;

/// <summary>
/// Listens to one meter and keeps what it measures, in the two forms of the contract (1.9): the JSON of /metrics and the text of
/// /metrics/prometheus. What an instrument is follows from its name's end: <c>.rate</c> is a meter, <c>.timer.seconds</c> a timer;
/// and one with <c>.by-</c> in its name is measured with tags.
/// </summary>
internal sealed class Measurements : IDisposable
{
    private static readonly (string Name, double Share)[] Percentiles =
        [("p50", 0.5), ("p75", 0.75), ("p95", 0.95), ("p98", 0.98), ("p99", 0.99), ("p999", 0.999)];

    private readonly ConcurrentDictionary<string, Measured> _measured = new(StringComparer.Ordinal);
    private readonly MeterListener _listener = new();

    public Measurements(Meter meter, TimeProvider time)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (ReferenceEquals(instrument.Meter, meter))
                listener.EnableMeasurementEvents(instrument, _measured.GetOrAdd(instrument.Name, _ => Of(instrument, time)));
        };
        _listener.SetMeasurementEventCallback<long>((_, value, _, measured) => ((Measured)measured!).Record(value));
        _listener.SetMeasurementEventCallback<double>((_, value, tags, measured) =>
        {
            if (measured is Spreads several) several.Record(value, tags);
            else ((Measured)measured!).Record(value);
        });
        _listener.Start();
    }

    public void Dispose() => _listener.Dispose();

    /// <summary>What was measured with just these tags; null if nothing was.</summary>
    public Spread? SpreadOf(Instrument instrument, ReadOnlySpan<KeyValuePair<string, object?>> tags) => (_measured.GetValueOrDefault(instrument.Name) as Spreads)?.Of(tags);

    public void WriteJson(Utf8JsonWriter writer)
    {
        _listener.RecordObservableInstruments();
        writer.WriteStartObject();
        writer.WriteString("version", "4.0.0"); // of this form; clients of the library that named it so read it
        WriteEach<Gauge>(writer, "gauges", g => writer.WriteNumber("value", g.Value));
        WriteEach<Count>(writer, "counters", c => writer.WriteNumber("count", c.Value));
        WriteEach<Spread>(writer, "histograms", s => WriteSpread(writer, s.Read()), s => !IsTimer(s.Name));
        WriteEach<Rate>(writer, "meters", r =>
        {
            writer.WriteNumber("count", r.Read().Count);
            WriteRates(writer, r);
            writer.WriteString("units", "events/second");
        });
        WriteEach<Spread>(writer, "timers", s =>
        {
            WriteSpread(writer, s.Read());
            WriteRates(writer, s.Rate);
            writer.WriteString("duration_units", "seconds");
            writer.WriteString("rate_units", "calls/second");
        }, s => IsTimer(s.Name));
        writer.WriteEndObject();
    }

    public string PrometheusText()
    {
        _listener.RecordObservableInstruments();
        var text = new StringBuilder();
        var typed = "";
        foreach (var measured in Sorted<Measured>())
        {
            var labels = measured.Labels;
            var name = measured.Name.Replace('.', '_').Replace('-', '_');
            switch (measured)
            {
                case Gauge x:
                    Typed("gauge").Line(name, x.Value);
                    break;
                case Count x:
                    Typed("counter").Line(name, x.Value);
                    break;
                case Rate x:
                    Typed("counter").Line(name, x.Read().Count);
                    break;
                case Spread x:
                    var figures = x.Read();
                    Typed("summary");
                    foreach (var (_, share) in Percentiles)
                        text.Line(string.Create(CultureInfo.InvariantCulture, $"{name}{{{(labels.Length == 0 ? "" : labels + ",")}quantile=\"{share}\"}}"), figures.At(share));
                    var braced = labels.Length == 0 ? "" : $"{{{labels}}}";
                    text.Line($"{name}_sum{braced}", figures.Sum).Line($"{name}_count{braced}", figures.Count);
                    break;
            }

            StringBuilder Typed(string type)
            {
                if (typed == name) return text; // another series of the same
                typed = name;
                return text.Append("# TYPE ").Append(name).Append(' ').Append(type).Append('\n');
            }
        }
        return text.ToString();
    }

    private static Measured Of(Instrument instrument, TimeProvider time) => instrument switch
    {
        Counter<long> when instrument.Name.EndsWith(".rate", StringComparison.Ordinal) => new Rate(instrument.Name, time),
        Counter<long> => new Count(instrument.Name),
        Histogram<double> when instrument.Name.Contains(".by-", StringComparison.Ordinal) => new Spreads(instrument.Name, time),
        Histogram<double> => new Spread(instrument.Name, time),
        _ => new Gauge(instrument.Name),
    };

    private static bool IsTimer(string name) => name.EndsWith(".timer.seconds", StringComparison.Ordinal);

    private IEnumerable<T> Sorted<T>() where T : Measured => _measured.Values.SelectMany(m => m is Spreads several ? several.All : (IEnumerable<Measured>)[m])
        .OfType<T>().OrderBy(m => m.Name, StringComparer.Ordinal).ThenBy(m => m.Labels, StringComparer.Ordinal);

    private void WriteEach<T>(Utf8JsonWriter writer, string kind, Action<T> write, Func<T, bool>? which = null) where T : Measured
    {
        writer.WriteStartObject(kind);
        foreach (var measured in Sorted<T>().Where(m => which?.Invoke(m) ?? true))
        {
            writer.WriteStartObject(measured.Labels.Length == 0 ? measured.Name : $"{measured.Name}{{{measured.Labels.Replace("\"", "", StringComparison.Ordinal)}}}");
            write(measured);
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
    }

    private static void WriteSpread(Utf8JsonWriter writer, SpreadFigures figures)
    {
        writer.WriteNumber("count", figures.Count);
        writer.WriteNumber("max", figures.Max);
        writer.WriteNumber("mean", figures.Mean);
        writer.WriteNumber("min", figures.Min);
        foreach (var (name, share) in Percentiles) writer.WriteNumber(name, figures.At(share));
        writer.WriteNumber("stddev", figures.Deviation);
    }

    private static void WriteRates(Utf8JsonWriter writer, Rate rate)
    {
        var (_, mean, m1, m5, m15) = rate.Read();
        writer.WriteNumber("m15_rate", m15);
        writer.WriteNumber("m1_rate", m1);
        writer.WriteNumber("m5_rate", m5);
        writer.WriteNumber("mean_rate", mean);
    }
}

internal static class PrometheusLines
{
    public static StringBuilder Line(this StringBuilder text, string name, double value) =>
        text.Append(name).Append(' ').Append(value.ToString("R", CultureInfo.InvariantCulture)).Append('\n');
}
