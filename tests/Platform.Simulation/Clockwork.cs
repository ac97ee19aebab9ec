namespace Platform.Simulation;

/// <summary>Virtual time: what is to happen, in order. Nothing happens beside it.</summary>
internal sealed class Clockwork
{
    public static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly PriorityQueue<Action, (DateTimeOffset At, long Order)> _due = new();
    private long _order;

    public DateTimeOffset Now { get; private set; } = Start;
    public long Happened { get; private set; }

    public void At(DateTimeOffset at, Action action) => _due.Enqueue(action, (at < Now ? Now : at, _order++));
    public void After(TimeSpan delay, Action action) => At(Now + delay, action);

    public void RunUntil(DateTimeOffset until, Func<bool>? stop = null)
    {
        while (_due.TryPeek(out _, out var next) && next.At <= until)
        {
            var action = _due.Dequeue();
            Now = next.At;
            Happened++;
            action();
            if (stop?.Invoke() == true) return;
        }
        if (Now < until) Now = until;
    }
}

/// <summary>A broken promise: which one, and about what.</summary>
internal sealed class PromiseBrokenException(string promise, string key) : Exception(promise)
{
    public string Key { get; } = key;
}

/// <summary>The last things that happened, as objects: they become text only when a run fails.</summary>
internal sealed class Trace(Clockwork clock)
{
    private const int KeptMax = 200_000;
    private readonly Queue<(DateTimeOffset At, string What, object? About)> _kept = new();

    public void Note(string what, object? about = null)
    {
        if (_kept.Count >= KeptMax) _kept.Dequeue();
        _kept.Enqueue((clock.Now, what, about));
    }

    /// <param name="key">An app's path also finds its instances.</param>
    public IEnumerable<string> Last(string key, int count) => _kept
        .Select(x => $"{(x.At - Clockwork.Start).TotalSeconds,10:F3}  {x.What} {x.About}")
        .Where(line => line.Contains(key, StringComparison.Ordinal) || (key.StartsWith('/') && line.Contains($"{key[1..]}.instance", StringComparison.Ordinal)))
        .TakeLast(count);
}
