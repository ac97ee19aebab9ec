using Platform.Model;
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

    /// <summary>What was set at the start, by name; shown at /config, so without secrets.</summary>
    public EquatableMap Configuration { get; init; } = EquatableMap.Empty;

    /// <summary>Changed at /logging.</summary>
    public LogLevels LogLevels { get; init; } = new(TimeProvider.System);

    /// <summary>Asked for by DELETE /v2/leader; returns at once.</summary>
    public Action? Abdicate { get; init; }

    /// <summary>Null = everybody may come in.</summary>
    public HttpCredentials? Credentials { get; init; }

    public string Realm { get; init; } = "Mesosphere";

    /// <summary>Requests beyond these are answered 503 at once; null = as many as come. Event streams have a limit of their own.</summary>
    public int? ConcurrentRequestsMax { get; init; }

    /// <summary>Origins whose pages may read answers; <c>*</c> = all.</summary>
    public EquatableArray<string> AllowedOrigins { get; init; }

    /// <summary>One app's JSON, and any other body.</summary>
    public int AppBytesMax { get; init; } = 1024 * 1024;

    /// <summary>A body of several apps, of which none may be longer than one may be alone.</summary>
    public int AppsBytesMax { get; init; } = 16 * 1024 * 1024;

    public int AppsPerBodyMax { get; init; } = 1000;

    /// <summary>A decision that takes longer is answered 503: whether it was made is not known.</summary>
    public TimeSpan DecisionMax { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Streams at a time; one more is answered 503.</summary>
    public int EventFollowersMax { get; init; } = 1000;

    /// <summary>Questions that may wait for the endpoints to change; one more is answered 503.</summary>
    public int EndpointsParkedMax { get; init; } = 10_000;

    /// <summary>Events that may wait for one slow client before its stream is cut (contract 6.1).</summary>
    public int EventsWaitingMax { get; init; } = 1024;

    public TimeSpan EventHeartbeat { get; init; } = TimeSpan.FromSeconds(10);
}
