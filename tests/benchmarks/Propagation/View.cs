using System.Diagnostics;

namespace Propagation;

/// <summary>A task that has become ready: when, by the scheduler's event, and by what the views name it.</summary>
internal sealed record ReadyTask(DateTimeOffset ReadyAt, string TaskId, string Uuid, int Port)
{
    public bool IsIn(string text) => text.Contains(Uuid, StringComparison.Ordinal) || text.Contains($"{Port}", StringComparison.Ordinal);
}

/// <summary>
/// Looks at one view without pause, from the moment it is asked for another state until the view is in it, and remembers when that was. Whoever has seen
/// what it waits for stops looking: the rest of the views are still being measured.
/// </summary>
internal sealed class View(string name, int node, TimeSpan pause, Func<Task<string>> look)
{
    private readonly Stopwatch _clock = new();
    private volatile Seen _seen = new("", DateTimeOffset.MinValue);
    private volatile bool _expects;
    private long _looks;

    private sealed record Seen(string Text, DateTimeOffset Since);

    public string Name { get; } = name;
    public List<double> DelaysMs { get; } = [];
    public double LooksPerSecond => Interlocked.Read(ref _looks) / Math.Max(0.001, _clock.Elapsed.TotalSeconds);

    /// <summary>From now on: until there is a task, or none.</summary>
    public void Expect(bool task) => _expects = task;

    private bool IsAsExpected => _expects == (Name == "DNS" ? _seen.Text.Length > 0 : _seen.Text.Contains(".instance-", StringComparison.Ordinal));

    public void Watch(CancellationToken stop) => _ = Task.Run(async () =>
    {
        while (!stop.IsCancellationRequested)
        {
            if (IsAsExpected)
            {
                _clock.Stop();
                await Task.Delay(pause, CancellationToken.None);
                continue;
            }
            _clock.Start();
            var text = await look();
            Interlocked.Increment(ref _looks);
            if (text != _seen.Text) _seen = new Seen(text, DateTimeOffset.UtcNow);
            if (!IsAsExpected) await Task.Delay(pause, CancellationToken.None);
        }
    }, stop);

    public async Task SeesAsync(ReadyTask task, TimeSpan limit)
    {
        var seen = await UntilAsync(x => task.IsIn(x.Text), $"{Name} of node {node + 1} does not show {task}", limit);
        // The event's timestamp has whole milliseconds: a view may seem to be up to one ahead of it.
        DelaysMs.Add(Math.Max(0, (seen.Since - task.ReadyAt).TotalMilliseconds));
    }

    public Task LosesAsync(ReadyTask task, TimeSpan limit) => UntilAsync(x => !task.IsIn(x.Text), $"{Name} of node {node + 1} still shows {task}", limit);

    private async Task<Seen> UntilAsync(Func<Seen, bool> holds, string otherwise, TimeSpan limit)
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < limit;)
        {
            var seen = _seen;
            if (holds(seen)) return seen;
            await Task.Delay(pause);
        }
        throw new TimeoutException($"{otherwise} after {limit}; it shows: {_seen.Text}");
    }
}
