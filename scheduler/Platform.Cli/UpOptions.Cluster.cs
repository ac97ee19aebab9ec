using System.Globalization;
using System.Net;
using Platform.Model;
using Platform.Protocol.Trust;
using Platform.Scheduler;
using Platform.Scheduler.Link;

namespace Platform.Cli;

/// <summary>What a process is: a scheduler, a node, or, by <c>platform up</c>, both.</summary>
[Flags]
public enum Roles { Scheduler = 1, Node = 2, Up = Scheduler | Node }

/// <summary>What machines are told of each other.</summary>
public sealed partial record UpOptions
{
    public const int LinkPort = 8090;

    public Roles Role { get; init; } = Roles.Up;

    /// <summary>Where nodes on other machines find this scheduler; null = it has none.</summary>
    public LinkDoor? Link { get; init; }

    public TimeSpan NodeCertificateLifetime { get; init; } = CertificateAuthority.NodeLifetimeDefault;

    /// <summary>The schedulers' links, as <c>https://host:port</c>, or <c>http://host:port</c> where there are no certificates.</summary>
    public EquatableArray<string> Join { get; init; }

    public JoinTokenText? Token { get; init; }
    public EquatableMap Attributes { get; init; } = EquatableMap.Empty;
    public Resources Reserved { get; init; }

    private UpOptions WithCluster(Func<string, string?> text, Roles role, List<string> problems)
    {
        var join = (text("join") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(said => JoinAddress(said, problems)).ToEquatableArray();
        if (role == Roles.Node && join.IsEmpty) problems.Add($"--join: say where the schedulers' links are, such as --join 10.0.0.1:{LinkPort}");
        JoinTokenText? token = null;
        if (text("token") is { } shown && !JoinTokenText.TryParse(shown, out token))
            problems.Add("--token: this is no join token; 'platform node token' makes one");
        var lifetime = CertificateAuthority.NodeLifetimeDefault;
        if (text("node-certificate-lifetime") is { } span && (!DeploymentPolicy.TryParse(span, out lifetime) || lifetime < TimeSpan.FromSeconds(5)))
            problems.Add($"--node-certificate-lifetime {span}: a time from 5 seconds to 30 days is wanted, such as 168h");
        return this with
        {
            Role = role,
            Link = LinkOf(text("link") ?? (role == Roles.Scheduler ? $"0.0.0.0:{LinkPort}" : null), problems),
            NodeCertificateLifetime = lifetime,
            Join = join,
            Token = token,
            Attributes = AttributesOf(text, problems),
            Reserved = new Resources(Amount("reserve-cpus", "cores, such as 0.5", text, problems), Amount("reserve-mem", "MiB, such as 512", text, problems), 0),
        };
    }

    private LinkDoor? LinkOf(string? said, List<string> problems)
    {
        if (said is null) return null;
        var plain = said.StartsWith("http://", StringComparison.OrdinalIgnoreCase);
        var rest = plain ? said["http://".Length..] : said.StartsWith("https://", StringComparison.OrdinalIgnoreCase) ? said["https://".Length..] : said;
        if (!rest.Contains(':', StringComparison.Ordinal) || !IPEndPoint.TryParse(rest, out var door))
        {
            problems.Add($"--link {said}: an address and a port are wanted, such as 0.0.0.0:{LinkPort}");
            return null;
        }
        if (plain && !Insecure) problems.Add($"--link {said}: without certificates whoever reaches this door may be a node and run what it is given; that must be said: --insecure");
        return new LinkDoor(door, plain);
    }

    /// <summary>A host alone means its usual port, and certificates.</summary>
    private string JoinAddress(string said, List<string> problems)
    {
        var full = said.Contains("://", StringComparison.Ordinal) ? said : $"https://{said}";
        if (!Uri.TryCreate(full, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.AbsolutePath != "/" || uri.Host.Length == 0)
        {
            problems.Add($"--join {said}: the address of a scheduler's link is wanted, such as 10.0.0.1:{LinkPort} or https://scheduler.example.com:{LinkPort}");
            return "";
        }
        if (uri.Scheme == "http" && !Insecure) problems.Add($"--join {said}: a link without certificates must be said: --insecure");
        return $"{uri.Scheme}://{uri.Host}:{(full.EndsWith($":{uri.Port}", StringComparison.Ordinal) || full.EndsWith($":{uri.Port}/", StringComparison.Ordinal) ? uri.Port : LinkPort)}";
    }

    private static EquatableMap AttributesOf(Func<string, string?> text, List<string> problems)
    {
        var attributes = EquatableMap.Empty;
        foreach (var said in (text("attribute") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            if (said.IndexOf('=', StringComparison.Ordinal) is > 0 and var cut) attributes = attributes.With(said[..cut], said[(cut + 1)..]);
            else problems.Add($"--attribute {said}: a name and a value are wanted, such as rack=r1");
        foreach (var name in (string[])["zone", "region"])
            if (text(name) is { Length: > 0 } value) attributes = attributes.With(name, value);
        return attributes;
    }

    private static double Amount(string flag, string wanted, Func<string, string?> text, List<string> problems)
    {
        if (text(flag) is not { } said) return 0;
        if (double.TryParse(said, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var amount) && amount is >= 0 and <= 1e9) return amount;
        problems.Add($"--{flag} {said}: {wanted}, are wanted");
        return 0;
    }

    private Dictionary<string, string> ShowCluster() => new()
    {
        ["link"] = Link is { } link ? $"{(link.Plain ? "http://" : "")}{link.EndPoint}" : "",
        ["join"] = string.Join(',', Join),
        ["token"] = Token is null ? "" : "set, and not shown",
        ["attribute"] = string.Join(',', Attributes.Select(a => $"{a.Key}={a.Value}")),
        ["reserve-cpus"] = Reserved.Cpus.ToString(CultureInfo.InvariantCulture),
        ["reserve-mem"] = Reserved.MemMib.ToString(CultureInfo.InvariantCulture),
    };
}
