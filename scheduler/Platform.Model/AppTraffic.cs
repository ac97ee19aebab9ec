namespace Platform.Model;

/// <summary>
/// What one node's proxy has forwarded for one app since the proxy started. <paramref name="Failed"/>: no ready task, none that could be reached,
/// an exchange broken off or too late, or an answer of 5xx.
/// </summary>
public sealed record AppTraffic(AppId App, long Requests, long Failed);
