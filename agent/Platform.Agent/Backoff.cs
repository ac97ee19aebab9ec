namespace Platform.Agent;

/// <summary>Waits between attempts at a peer that does not answer: doubling from 0.2 s to 5 s, with jitter, so that many agents do not come back in step.</summary>
internal sealed class Backoff(TimeProvider time)
{
    private static readonly TimeSpan DelayMin = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan DelayMax = TimeSpan.FromSeconds(5);
    private int _attempts;

    public void Reset() => _attempts = 0;

    public Task WaitAsync(CancellationToken stopping)
    {
        var full = DelayMin * Math.Pow(2, Math.Min(_attempts++, 10));
        var jitter = 0.5 + Random.Shared.NextDouble() / 2;
        return Task.Delay((full < DelayMax ? full : DelayMax) * jitter, time, stopping);
    }
}
