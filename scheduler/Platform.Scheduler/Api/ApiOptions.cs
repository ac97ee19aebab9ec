using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>What the REST door says of itself, and how much it takes.</summary>
public sealed record ApiOptions
{
    /// <summary><c>host:port</c> under which clients reach the leader; null = the address the request came in on.</summary>
    public string? PublicAddress { get; init; }

    public string Version { get; init; } = "0.1.0";

    /// <summary>The loop's own: printed by <c>/v2/info</c>, and what a dry run decides by.</summary>
    public SchedulerSettings Settings { get; init; } = new();

    /// <summary>One app's JSON, and any other body.</summary>
    public int AppBytesMax { get; init; } = 1024 * 1024;

    /// <summary>A body of several apps, of which none may be longer than one may be alone.</summary>
    public int AppsBytesMax { get; init; } = 16 * 1024 * 1024;

    public int AppsPerBodyMax { get; init; } = 1000;

    /// <summary>A decision that takes longer is answered 503: whether it was made is not known.</summary>
    public TimeSpan DecisionMax { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Streams at a time; one more is answered 503.</summary>
    public int EventFollowersMax { get; init; } = 1000;

    /// <summary>Events that may wait for one slow client before its stream is cut (contract 6.1).</summary>
    public int EventsWaitingMax { get; init; } = 1024;

    public TimeSpan EventHeartbeat { get; init; } = TimeSpan.FromSeconds(10);
}
