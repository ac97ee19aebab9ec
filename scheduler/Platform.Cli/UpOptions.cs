using System.Globalization;
using System.Net;
using Platform.Agent;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Scheduler.Api;

namespace Platform.Cli;

/// <summary>How the program ends. Supervisors and scripts may rely on them.</summary>
public enum ExitCode
{
    Done = 0,
    Failed = 1,
    LogUnreadable = 20,
    LeadershipLost = 21,
    InvariantBroken = 22,
    BadOption = 23,
    JoinRefused = 24,
    Usage = 64,
}

/// <summary>An option that cannot be: the sentence names the flag.</summary>
public sealed class BadOptionException(string message) : Exception(message);

/// <summary>Everything <c>platform up</c>, <c>platform scheduler</c> or <c>platform node</c> is told, parsed once.</summary>
public sealed partial record UpOptions
{
    public required string Data { get; init; }
    public required IPEndPoint Api { get; init; }
    public required IPEndPoint Dns { get; init; }
    public required IPEndPoint Kv { get; init; }
    public required IPEndPoint Edge { get; init; }
    public required IPEndPoint Admin { get; init; }
    public required NodeId NodeName { get; init; }
    public IPAddress? NodeAddress { get; init; }
    public required (int Min, int Max) TaskPorts { get; init; }
    public required (int Min, int Max) ServicePorts { get; init; }
    public required string Domain { get; init; }
    public RuntimeChoice Runtime { get; init; }
    public required TimeSpan TaskLaunchTimeout { get; init; }
    public required TimeSpan TaskLaunchConfirmTimeout { get; init; }
    public bool StopTasksOnExit { get; init; }

    /// <summary>Artifacts must not come from private, local or link-local addresses.</summary>
    public bool FetchForbidPrivate { get; init; }

    public required long ArtifactBytesMax { get; init; }
    public required long FetchCacheBytesMax { get; init; }

    /// <summary>Null = in the data directory.</summary>
    public string? SecretsKey { get; init; }

    /// <summary>Null: deployments may take for ever.</summary>
    public TimeSpan? DeployTimeout { get; init; }
    public bool AutoRollback { get; init; }

    /// <summary>Doors that ask nobody for a password may be opened beyond loopback.</summary>
    public bool Insecure { get; init; }

    /// <summary>Somebody else's Consul to publish into; the KV door then leads there.</summary>
    public ConsulAddress? Consul { get; init; }

    /// <summary>Asked for at the REST door; null = nobody is asked.</summary>
    public HttpCredentials? HttpCredentials { get; init; }

    public required string HttpRealm { get; init; }
    public int? HttpConcurrentRequestsMax { get; init; }
    public EquatableArray<string> AllowedOrigins { get; init; }

    /// <summary>What was said or is the default, by the flags' names; without secrets.</summary>
    public EquatableMap Shown { get; init; } = EquatableMap.Empty;

    /// <param name="text">The value of a flag by its name without dashes; null where nothing was said anywhere.</param>
    public static UpOptions Parse(Func<string, string?> text, Roles role = Roles.Up)
    {
        var problems = new List<string>();
        var options = new UpOptions
        {
            Data = Path.GetFullPath(text("data") ?? DefaultData()),
            Api = EndPoint("api", "127.0.0.1:8080"),
            Dns = EndPoint("dns", "127.0.0.1:53"),
            Kv = EndPoint("kv", "127.0.0.1:8500"),
            Edge = EndPoint("edge", "127.0.0.1:80"),
            Admin = EndPoint("admin", "127.0.0.1:9090"),
            NodeName = Name(),
            NodeAddress = Address(),
            TaskPorts = Range("task-ports", "31000-32000"),
            ServicePorts = Range("service-ports", "10000-20000"),
            Domain = Domain(),
            Runtime = Runtime(),
            TaskLaunchTimeout = Seconds("task-launch-timeout", 300),
            TaskLaunchConfirmTimeout = Seconds("task-launch-confirm-timeout", 300),
            StopTasksOnExit = text("stop-tasks-on-exit") is "true",
            FetchForbidPrivate = text("fetch-forbid-private") is "true",
            ArtifactBytesMax = Bytes("artifact-quota", "10GiB"),
            FetchCacheBytesMax = Bytes("fetch-cache", "2GiB"),
            SecretsKey = text("secrets-key") is { } key ? Path.GetFullPath(key) : null,
            DeployTimeout = Timeout(),
            AutoRollback = YesOrNo("auto-rollback"),
            Insecure = text("insecure") is "true",
            Consul = Consul(),
            HttpCredentials = Credentials(),
            HttpRealm = text("http-realm") ?? "Mesosphere",
            HttpConcurrentRequestsMax = Positive("http-max-concurrent-requests"),
            AllowedOrigins = (text("access-control-allow-origin") ?? "")
                .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).ToEquatableArray(),
        };
        options = options.WithCluster(text, role, problems);
        foreach (var (flag, door) in new[] { ("api", options.Api), ("kv", options.Kv), ("admin", options.Admin) })
            if (!options.Insecure && !IPAddress.IsLoopback(door.Address) && (flag != "api" || options.HttpCredentials is null))
                problems.Add($"--{flag} {door}: this door asks nobody for a password, so beyond loopback it must be said: --insecure"
                    + (flag == "api" ? ", or give it one with --http-credentials USER:PASSWORD" : ""));
        return problems.Count == 0 ? options with { Shown = options.Show() } : throw new BadOptionException(string.Join('\n', problems));

        IPEndPoint EndPoint(string flag, string otherwise)
        {
            var said = text(flag) ?? otherwise;
            if (said.Contains(':', StringComparison.Ordinal) && IPEndPoint.TryParse(said, out var endPoint)) return endPoint;
            problems.Add($"--{flag} {said}: an address and a port are wanted, such as {otherwise} or [::1]:8080; port 0 takes a free one");
            return new IPEndPoint(IPAddress.Loopback, 0);
        }

        (int, int) Range(string flag, string otherwise)
        {
            var said = text(flag) ?? otherwise;
            var cut = said.IndexOf('-', StringComparison.Ordinal);
            if (cut > 0
                && int.TryParse(said.AsSpan(0, cut), NumberStyles.None, CultureInfo.InvariantCulture, out var min)
                && int.TryParse(said.AsSpan(cut + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var max)
                && min is > 0 && max is <= 65535 && min <= max) return (min, max);
            problems.Add($"--{flag} {said}: two ports from 1 to 65535 are wanted, the lower first, such as {otherwise}");
            return (1, 1);
        }

        long Bytes(string flag, string otherwise)
        {
            var said = text(flag) ?? otherwise;
            var digits = said.AsSpan().TrimEnd("GiMKB");
            var shift = said[digits.Length..] switch { "" or "B" => 0, "KiB" => 10, "MiB" => 20, "GiB" => 30, _ => -1 };
            if (shift >= 0 && long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var count) && count <= long.MaxValue >> 30) return count << shift;
            problems.Add($"--{flag} {said}: a size is wanted, such as {otherwise} or 500MiB");
            return 0;
        }

        NodeId Name()
        {
            var said = text("node-name") ?? Environment.MachineName.ToLowerInvariant();
            if (NodeId.TryParse(said, out var id, out var why)) return id;
            problems.Add($"--node-name {said}: {why}");
            return NodeId.Parse("node");
        }

        IPAddress? Address()
        {
            if (text("node-address") is not { } said) return null;
            if (IPAddress.TryParse(said, out var address)) return address;
            problems.Add($"--node-address {said}: an IP address of this machine is wanted");
            return null;
        }

        string Domain()
        {
            if (DnsZone.TryParseDomain(text("domain") ?? "marathon.mesos", out var domain, out var why)) return domain;
            problems.Add($"--domain: {why}");
            return "marathon.mesos";
        }

        ConsulAddress? Consul()
        {
            if (text("consul") is not { } said)
            {
                if (text("consul-token") is not null) problems.Add("--consul-token: there is no --consul to use it with");
                return null;
            }
            if (ConsulAddress.TryParse(said, text("consul-token"), out var address)) return address;
            problems.Add($"--consul {said}: an http or https URL without a path is wanted, such as http://127.0.0.1:8500");
            return null;
        }

        HttpCredentials? Credentials()
        {
            if (text("http-credentials") is not { } said) return null;
            if (HttpCredentials.TryParse(said, out var credentials)) return credentials;
            problems.Add("--http-credentials: a user and a password with a colon between are wanted");
            return null;
        }

        int? Positive(string flag)
        {
            if (text(flag) is not { } said) return null;
            if (int.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0) return number;
            problems.Add($"--{flag} {said}: a whole number from 1 on is wanted");
            return null;
        }

        TimeSpan Seconds(string flag, double otherwise)
        {
            if (text(flag) is not { } said) return TimeSpan.FromSeconds(otherwise);
            if (double.TryParse(said, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) && seconds is > 0 and <= 1e6) return TimeSpan.FromSeconds(seconds);
            problems.Add($"--{flag} {said}: seconds are wanted, more than 0 and at most 1000000");
            return TimeSpan.FromSeconds(otherwise);
        }

        TimeSpan? Timeout()
        {
            if (text("deploy-timeout") is not { } said) return null;
            if (DeploymentPolicy.TryParse(said, out var timeout)) return timeout;
            problems.Add($"--deploy-timeout {said}: a time from 1 second to 30 days is wanted, such as 300 or 5m");
            return null;
        }

        bool YesOrNo(string flag)
        {
            var said = text(flag) ?? "false";
            if (said is not ("true" or "false")) problems.Add($"--{flag} {said}: true or false is wanted");
            return said == "true";
        }

        RuntimeChoice Runtime()
        {
            var said = text("runtime") ?? "auto";
            if (Enum.TryParse<RuntimeChoice>(said, ignoreCase: true, out var choice) && !char.IsDigit(said[0])) return choice;
            problems.Add($"--runtime {said}: docker, process or auto is wanted");
            return RuntimeChoice.Auto;
        }
    }

    private EquatableMap Show() => EquatableMap.From(new Dictionary<string, string>
    {
        ["data"] = Data,
        ["api"] = Api.ToString(),
        ["dns"] = Dns.ToString(),
        ["kv"] = Kv.ToString(),
        ["edge"] = Edge.ToString(),
        ["admin"] = Admin.ToString(),
        ["node-name"] = NodeName.Name,
        ["node-address"] = NodeAddress?.ToString() ?? "",
        ["task-ports"] = $"{TaskPorts.Min}-{TaskPorts.Max}",
        ["service-ports"] = $"{ServicePorts.Min}-{ServicePorts.Max}",
        ["domain"] = Domain,
        ["runtime"] = Runtime.ToString().ToLowerInvariant(),
        ["stop-tasks-on-exit"] = StopTasksOnExit ? "true" : "false",
        ["insecure"] = Insecure ? "true" : "false",
        ["http-credentials"] = HttpCredentials is null ? "" : "set, and not shown",
        ["consul"] = Consul?.ToString() ?? "",
        ["consul-token"] = Consul?.Token is null ? "" : "set, and not shown",
        ["http-realm"] = HttpRealm,
        ["http-max-concurrent-requests"] = HttpConcurrentRequestsMax?.ToString(CultureInfo.InvariantCulture) ?? "",
        ["access-control-allow-origin"] = string.Join(',', AllowedOrigins),
    }.Concat(ShowCluster()));

    private static string DefaultData() => Environment.IsPrivilegedProcess
        ? "/var/lib/platform"
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "platform");
}
