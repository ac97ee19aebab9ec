using System.Text.Json;
using static Platform.Model.UnavailableFields;

namespace Platform.Model;

/// <summary>The fields of a pod whose machinery Platform does not have; see <see cref="UnavailableFields"/>.</summary>
internal static class UnavailablePodFields
{
    private const string NoSecrets = "there is no secret store in this version of Platform";
    private const string NoGpus = "GPUs are not scheduled by this version of Platform";

    private static readonly (string Name, string Reason)[] PodMembers =
    [
        ("secrets", NoSecrets),
        ("linuxInfo", "seccomp and IPC settings are Docker's defaults in this version of Platform"),
        ("legacySharedCgroups", "each container of a pod has limits of its own"),
    ];

    private static readonly (string Name, string Reason)[] ContainerMembers =
    [
        ("artifacts", "artifacts are not fetched by this version of Platform; put them into the image or mount a host volume"),
        ("resourceLimits", "limits above the requested resources are not known to this version of Platform"),
        ("check", "generic checks are not run by this version of Platform; use healthCheck"),
        ("linuxInfo", "seccomp and IPC settings are Docker's defaults in this version of Platform"),
        ("tty", "terminals are not allocated by this version of Platform"),
    ];

    public static void Check(JsonElement pod, ProblemList rules)
    {
        CheckMembers(pod, "", PodMembers, rules);
        CheckEnv(pod, "", rules);
        if (Member(pod, "role") is { } role && (role.ValueKind != JsonValueKind.String || role.GetString() is not ("" or "*")))
            rules.Add("/role", "there is only the role '*'");
        foreach (var (container, path) in Items(pod, "containers", "/containers")) CheckContainer(container, path, rules);
        foreach (var (volume, path) in Items(pod, "volumes", "/volumes"))
            if (IsManagedVolume(volume)) rules.Add(path, "only host volumes and volumes that live as long as the instance exist in this version of Platform");
    }

    private static void CheckContainer(JsonElement container, string path, ProblemList rules)
    {
        CheckMembers(container, path, ContainerMembers, rules);
        CheckEnv(container, path, rules);
        if (Member(container, "resources") is { } resources && Member(resources, "gpus") is { } gpus && AsksForSomething("gpus", gpus))
            rules.Add($"{path}/resources/gpus", NoGpus);
        if (Member(container, "image") is { } image)
        {
            if (Text(image, "kind")?.Equals("APPC", StringComparison.OrdinalIgnoreCase) == true)
                rules.Add($"{path}/image/kind", "only images of the kind DOCKER are run by this version of Platform");
            if (Member(image, "pullConfig") is { } pull && AsksForSomething("pullConfig", pull))
                rules.Add($"{path}/image/pullConfig", NoSecrets + "; log the node's Docker in to the registry");
        }
        foreach (var (endpoint, at) in Items(container, "endpoints", $"{path}/endpoints"))
            if (Member(endpoint, "networkNames") is { } names && AsksForSomething("networkNames", names))
                rules.Add($"{at}/networkNames", "only host and container/bridge networks exist in this version of Platform");
    }

    private static void CheckMembers(JsonElement owner, string path, (string Name, string Reason)[] members, ProblemList rules)
    {
        foreach (var (name, reason) in members)
            if (Member(owner, name) is { } value && AsksForSomething(name, value)) rules.Add($"{path}/{name}", reason);
    }

    private static void CheckEnv(JsonElement owner, string path, ProblemList rules)
    {
        if (Member(owner, "environment") is not { ValueKind: JsonValueKind.Object } environment) return;
        foreach (var member in environment.EnumerateObject())
            if (FetchShape.IsSecretReference(member.Value)) rules.Add($"{path}/environment/{member.Name}", NoSecrets);
    }
}
