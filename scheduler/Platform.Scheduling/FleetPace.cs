namespace Platform.Scheduling;

/// <summary>
/// How often nodes say what they hold although nothing has changed. Changes are told at once, so this only proves that they live: a large fleet may say it
/// less often, and the scheduler's work stays bounded, but never so seldom that a node whose word was lost once is taken for lost.
/// </summary>
public static class FleetPace
{
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(2);

    /// <summary>What the scheduler shall hear at most, all nodes together.</summary>
    private const double ReportsPerSecondMax = 500;

    public static TimeSpan ReportInterval(int nodes, TimeSpan lostAfter)
    {
        var longest = lostAfter / 3.5;
        var wanted = TimeSpan.FromSeconds(Math.Ceiling(nodes / ReportsPerSecondMax)); // whole seconds, so that it seldom changes
        return wanted < Shortest ? Shortest : wanted > longest ? longest : wanted;
    }
}
