using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// What the caller wants to hold of the target (RFC 9110, If-Match and If-None-Match), checked where the state is, so that nobody comes in between.
/// A tag is a version as text; one that is no version matches nothing.
/// </summary>
/// <param name="AnyOf">The target exists at one of these versions; <c>*</c> = at whichever. Null = it does not matter.</param>
public sealed record Precondition(EquatableArray<string>? AnyOf, bool MustNotExist)
{
    public static readonly Precondition None = new(null, false);

    /// <param name="version">Null = it does not exist.</param>
    internal Decision.Refused? Broken(Target target, AppVersion? version)
    {
        if (MustNotExist && version is not null) return Refuse($"{target} exists already, at version {version}", version);
        if (AnyOf is not { } wanted) return null;
        if (version is null) return Refuse($"{target} does not exist, and If-Match asks for {Text(wanted)}", null);
        return wanted.Contains("*") || wanted.Contains(version.Value.ToString()) ? null
            : Refuse($"{target} is at version {version}, and If-Match asks for {Text(wanted)}", version);
    }

    private static string Text(EquatableArray<string> wanted) => wanted.Contains("*") ? "any version" : $"version {string.Join(" or ", wanted)}";

    private static Decision.Refused Refuse(string message, AppVersion? version) => new(new Rejection(RejectCode.Mismatch, message) { Version = version });
}

/// <summary>The one thing that a command writes and whose version counts: an app, a pod, or a group.</summary>
internal sealed record Target(AppId Id, bool IsGroup, bool IsPod = false)
{
    /// <summary>Null where a command has none. A change of several apps, or of one that is not there yet by a POST, is one of the root.</summary>
    public static Target? Of(Command command, Reply reply) => command switch
    {
        Command.WriteApps { Apps: [{ Id: { } id }] } => new Target(id, false),
        Command.WriteApps or Command.CreateApp or Command.CreatePod => new Target(AppId.Root, true),
        Command.WritePod x => new Target(x.Pod, false, IsPod: true),
        Command.DeletePod x => new Target(x.Pod, false, IsPod: true),
        Command.DeleteApp x => new Target(x.App, false),
        Command.RestartApp x => new Target(x.App, false),
        Command.WriteGroup x => new Target(reply.Group ?? x.Group, true),
        Command.PatchGroup x => new Target(x.Group, true),
        Command.DeleteGroup x => new Target(x.Group, true),
        _ => null,
    };

    public AppVersion? VersionIn(ClusterState state) => IsGroup
        ? state.HasGroup(Id) ? state.VersionOf(Id) : null
        : state.App(Id)?.Definition.Version;

    public override string ToString() => IsGroup ? $"Group '{Id}'" : IsPod ? $"Pod '{Id}'" : $"App '{Id}'";
}
