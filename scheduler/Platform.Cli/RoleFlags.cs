namespace Platform.Cli;

/// <summary>Which flags which role has: one that is not named here is everybody's.</summary>
internal static class RoleFlags
{
    /// <summary>The flags that are about several machines.</summary>
    public static readonly (string Name, string What)[] OfCluster =
    [
        ("link", "Where nodes on other machines find the scheduler: ADDRESS:PORT, with certificates; http://ADDRESS:PORT without (needs --insecure)"),
        ("node-certificate-lifetime", "How long a node's certificate is good; nodes renew theirs at half of it (default 168h)"),
        ("join", "The schedulers' links: HOST[:PORT] or https://HOST[:PORT], with commas between; http://HOST[:PORT] without certificates (needs --insecure)"),
        ("token", "A join token, needed once (better in PLATFORM_TOKEN: other users see flags)"),
        ("zone", "What constraints call @zone of this node"),
        ("region", "What constraints call @region of this node"),
        ("reserve-cpus", "Cores of this machine that no task gets (default 0)"),
        ("reserve-mem", "MiB of this machine that no task gets (default 0)"),
    ];

    private static readonly HashSet<string> s_ofScheduler =
    [
        "api", "link", "node-certificate-lifetime", "service-ports", "task-launch-timeout", "task-launch-confirm-timeout", "artifact-quota", "secrets-key", "http-credentials", "http-realm",
        "http-max-concurrent-requests", "access-control-allow-origin", "deploy-timeout", "auto-rollback",
    ];

    private static readonly HashSet<string> s_ofNode =
    [
        "dns", "kv", "edge", "admin", "node-name", "node-address", "task-ports", "domain", "fetch-cache", "runtime", "stop-tasks-on-exit", "attribute", "zone", "region", "reserve-cpus", "reserve-mem",
    ];

    /// <summary>Of a node that is no scheduler's own.</summary>
    private static readonly HashSet<string> s_ofJoining = ["join", "token"];

    public static bool IsOf(string flag, Roles role) =>
        s_ofScheduler.Contains(flag) ? role.HasFlag(Roles.Scheduler)
            : s_ofNode.Contains(flag) ? role.HasFlag(Roles.Node)
            : !s_ofJoining.Contains(flag) || role == Roles.Node;
}
