using System.Text.Json;

namespace Platform.Model;

/// <summary>
/// Fields of the contract whose machinery Platform does not have. Silently dropping one would run something else than was asked for,
/// so each is refused with its path and a reason; a value that asks for nothing (empty, false, zero) is accepted and ignored.
/// </summary>
internal static class UnavailableFields
{
    private static readonly (string Name, string Reason)[] AppMembers =
    [
        ("check", "generic checks are not run by this version of Platform; use healthChecks or readinessChecks"),
        ("gpus", "GPUs are not scheduled by this version of Platform"),
    ];

    public static void Check(JsonElement app, ProblemList rules)
    {
        foreach (var (name, reason) in AppMembers)
            if (Member(app, name) is { } value && AsksForSomething(name, value)) rules.Add($"/{name}", reason);
        if (Member(app, "role") is { } role && (role.ValueKind != JsonValueKind.String || role.GetString() is not ("" or "*")))
            rules.Add("/role", "there is only the role '*'");
        if (Text(app, "executor") is { } executor && executor is not ("" or "//cmd"))
            rules.Add("/executor", "only the command executor ('' or '//cmd') exists in this version of Platform");
        if (Member(app, "ipAddress") is { ValueKind: JsonValueKind.Object } address)
            foreach (var name in (string[])["groups", "labels", "discovery"])
                if (Member(address, name) is { } value && AsksForSomething(name, value))
                    rules.Add($"/ipAddress/{name}", "a Docker network knows nothing of this; ports go into portMappings");
        if (Member(app, "container") is { ValueKind: JsonValueKind.Object } container) CheckContainer(container, NetworkOf(app), rules);
        foreach (var (check, path) in Items(app, "healthChecks", "/healthChecks"))
            if (Text(check, "ipProtocol") is { } protocol && !protocol.Equals("IPv4", StringComparison.OrdinalIgnoreCase))
                rules.Add($"{path}/ipProtocol", "health checks use IPv4 in this version of Platform");
    }

    /// <summary>A volume that somebody would have to make first.</summary>
    public static bool IsManagedVolume(JsonElement volume) =>
        Member(volume, "external") is not null;

    /// <summary>The network that the app joins by name, in either form; null if it says none.</summary>
    private static string? NetworkOf(JsonElement app) =>
        Items(app, "networks", "").Select(x => Text(x.Item, "name")).FirstOrDefault(name => name is not null)
        ?? (Member(app, "ipAddress") is { } address ? Text(address, "networkName") : null);

    private static void CheckContainer(JsonElement container, string? network, ProblemList rules)
    {
        if (Member(container, "linuxInfo") is { } linux && AsksForSomething("linuxInfo", linux))
            rules.Add("/container/linuxInfo", "seccomp and IPC settings are Docker's defaults in this version of Platform");
        if (Member(container, "docker") is { ValueKind: JsonValueKind.Object } docker)
        {
            if (Member(docker, "pullConfig") is { } pull && AsksForSomething("pullConfig", pull))
                rules.Add("/container/docker/pullConfig", "images are pulled with the node's own credentials in this version of Platform; log its Docker in to the registry");
            if (Member(docker, "credential") is { } credential && AsksForSomething("credential", credential))
                rules.Add("/container/docker/credential", "must be empty");
            CheckNetworkNames(docker, "/container/docker/portMappings", network, rules);
        }
        CheckNetworkNames(container, "/container/portMappings", network, rules);
        foreach (var (volume, path) in Items(container, "volumes", "/container/volumes"))
            if (IsManagedVolume(volume)) rules.Add(path, "only host volumes (containerPath, hostPath, mode), persistent ones and secrets exist in this version of Platform");
            else if (Member(volume, "persistent") is { ValueKind: JsonValueKind.Object } persistent) CheckPersistent(volume, persistent, path, rules);
    }

    /// <summary>A volume is a directory on the disk that holds the node's data (type root); no other disks are offered.</summary>
    private static void CheckPersistent(JsonElement volume, JsonElement persistent, string path, ProblemList rules)
    {
        var type = Text(persistent, "type");
        if (type is not (null or "root")) rules.Add($"{path}/persistent/type", $"only disks of type root exist in this version of Platform, not '{type}'");
        if (Member(persistent, "constraints") is { } constraints && AsksForSomething("constraints", constraints))
            rules.Add($"{path}/persistent/constraints", "Constraints on root volumes are not supported");
        if (Member(persistent, "maxSize") is not null) rules.Add($"{path}/persistent/maxSize", "Only mount volumes can have maxSize");
        if (Member(persistent, "profileName") is not null) rules.Add($"{path}/persistent/profileName", "disk profiles do not exist in this version of Platform");
        if (Text(volume, "mode") is { } mode && !mode.Equals("RW", StringComparison.OrdinalIgnoreCase)) rules.Add($"{path}/mode", "a persistent volume has the mode RW");
        if (Member(volume, "hostPath") is not null) rules.Add($"{path}/hostPath", "a persistent volume has no hostPath: the node makes its directory");
    }

    /// <summary>The one network that the container joins may be named; its ports are there in any case.</summary>
    private static void CheckNetworkNames(JsonElement owner, string path, string? network, ProblemList rules)
    {
        foreach (var (mapping, at) in Items(owner, "portMappings", path))
            if (Member(mapping, "networkNames") is { } names && AsksForSomething("networkNames", names) && !IsOnly(names, network))
                rules.Add($"{at}/networkNames", "a container joins one network in this version of Platform, and its ports are there");
    }

    private static bool IsOnly(JsonElement names, string? network) =>
        network is not null && names.ValueKind == JsonValueKind.Array && names.EnumerateArray().All(n => n.ValueKind == JsonValueKind.String && n.GetString() == network);

    internal static bool AsksForSomething(string name, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.GetArrayLength() > 0,
        JsonValueKind.Object => value.EnumerateObject().Any(),
        JsonValueKind.String => value.GetString() is not ("" or "0"),
        JsonValueKind.Number => !value.TryGetDouble(out var number) || number != 0,
        JsonValueKind.True => true,
        _ => false,
    };

    internal static JsonElement? Member(JsonElement owner, string name) =>
        owner.ValueKind == JsonValueKind.Object && owner.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    internal static string? Text(JsonElement owner, string name) => Member(owner, name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

    internal static IEnumerable<(JsonElement Item, string Path)> Items(JsonElement owner, string name, string path) =>
        Member(owner, name) is { ValueKind: JsonValueKind.Array } list ? list.EnumerateArray().Select((x, i) => (x, $"{path}({i})")) : [];
}
