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
        ("fetch", "artifacts are not fetched by this version of Platform; put them into the image or mount a host volume"),
        ("uris", "artifacts are not fetched by this version of Platform; put them into the image or mount a host volume"),
        ("storeUrls", "there is no artifact store in this version of Platform"),
        ("readinessChecks", "readiness checks are not run by this version of Platform; use healthChecks, which deployments wait for too"),
        ("check", "generic checks are not run by this version of Platform; use healthChecks"),
        ("secrets", "there is no secret store in this version of Platform"),
        ("gpus", "GPUs are not scheduled by this version of Platform"),
        ("residency", "apps are not resident in this version of Platform: there are no persistent volumes"),
        ("ipAddress", "only host and container/bridge networks exist in this version of Platform; use networks"),
        ("tty", "terminals are not allocated by this version of Platform"),
        ("resourceLimits", "limits above the requested resources are not known to this version of Platform"),
        ("executorResources", "tasks run without an executor of their own, so there is nothing to reserve for one"),
    ];

    public static void Check(JsonElement app, ProblemList rules)
    {
        foreach (var (name, reason) in AppMembers)
            if (Member(app, name) is { } value && AsksForSomething(name, value)) rules.Add($"/{name}", reason);
        if (Member(app, "role") is { } role && (role.ValueKind != JsonValueKind.String || role.GetString() is not ("" or "*")))
            rules.Add("/role", "there is only the role '*'");
        if (Text(app, "executor") is { } executor && executor is not ("" or "//cmd"))
            rules.Add("/executor", "only the command executor ('' or '//cmd') exists in this version of Platform");
        if (Member(app, "env") is { ValueKind: JsonValueKind.Object } env) CheckEnv(env, rules);
        if (Member(app, "container") is { ValueKind: JsonValueKind.Object } container) CheckContainer(container, rules);
        foreach (var (check, path) in Items(app, "healthChecks", "/healthChecks"))
            if (Text(check, "ipProtocol") is { } protocol && !protocol.Equals("IPv4", StringComparison.OrdinalIgnoreCase))
                rules.Add($"{path}/ipProtocol", "health checks use IPv4 in this version of Platform");
    }

    public static bool IsSecretReference(JsonElement value) => value.ValueKind == JsonValueKind.Object && value.TryGetProperty("secret", out _);

    /// <summary>A volume that somebody would have to make first.</summary>
    public static bool IsManagedVolume(JsonElement volume) =>
        Member(volume, "persistent") is not null || Member(volume, "external") is not null || Member(volume, "secret") is not null;

    private static void CheckEnv(JsonElement env, ProblemList rules)
    {
        foreach (var member in env.EnumerateObject())
            if (IsSecretReference(member.Value)) rules.Add($"/env/{member.Name}", "there is no secret store in this version of Platform");
    }

    private static void CheckContainer(JsonElement container, ProblemList rules)
    {
        if (Member(container, "linuxInfo") is { } linux && AsksForSomething("linuxInfo", linux))
            rules.Add("/container/linuxInfo", "seccomp and IPC settings are Docker's defaults in this version of Platform");
        if (Member(container, "docker") is { ValueKind: JsonValueKind.Object } docker)
        {
            if (Member(docker, "pullConfig") is { } pull && AsksForSomething("pullConfig", pull))
                rules.Add("/container/docker/pullConfig", "there is no secret store in this version of Platform; log the node's Docker in to the registry");
            if (Member(docker, "credential") is { } credential && AsksForSomething("credential", credential))
                rules.Add("/container/docker/credential", "must be empty");
            CheckNetworkNames(docker, "/container/docker/portMappings", rules);
        }
        CheckNetworkNames(container, "/container/portMappings", rules);
        foreach (var (volume, path) in Items(container, "volumes", "/container/volumes"))
            if (IsManagedVolume(volume)) rules.Add(path, "only host volumes (containerPath, hostPath, mode) exist in this version of Platform");
    }

    private static void CheckNetworkNames(JsonElement owner, string path, ProblemList rules)
    {
        foreach (var (mapping, at) in Items(owner, "portMappings", path))
            if (Member(mapping, "networkNames") is { } names && AsksForSomething("networkNames", names))
                rules.Add($"{at}/networkNames", "only host and container/bridge networks exist in this version of Platform");
    }

    internal static bool AsksForSomething(string name, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.GetArrayLength() > 0,
        // The mere presence of these two changes what kind of app it is.
        JsonValueKind.Object => name is "residency" or "ipAddress" || value.EnumerateObject().Any(),
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
