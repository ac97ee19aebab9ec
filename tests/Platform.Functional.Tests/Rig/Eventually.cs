using System.Diagnostics;

namespace Platform.Functional.Tests.Rig;

/// <summary>
/// Waits for a fact, up to a deadline that explains itself: what was awaited and what was last seen. The deadline is no measure of anything:
/// it is far beyond what a loaded machine of two cores takes. A look must bear that nothing is there yet.
/// </summary>
internal static class Eventually
{
    public const double Patience = 180;

    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(50);

    public static async Task<T> GetAsync<T>(string what, Func<Task<T>> look, Func<T, bool> holds, double seconds = Patience)
    {
        var clock = Stopwatch.StartNew();
        for (; ; )
        {
            var seen = await look();
            if (holds(seen)) return seen;
            if (clock.Elapsed.TotalSeconds > seconds) throw new TimeoutException($"not within {seconds} s: {what}; last seen: {seen}");
            await Task.Delay(LookAgainAfter);
        }
    }

    public static Task HoldsAsync(string what, Func<Task<bool>> look, double seconds = Patience) => GetAsync(what, look, x => x, seconds);
}
