using System.Text.Json;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What a caller asks of the cluster. Bodies are parsed JSON: reading one needs the state it changes, so it is read where the state is.</summary>
public abstract record Command
{
    private Command() { }

    public required ChangeOrigin Origin { get; init; }

    /// <summary>What must hold of the target for the command to be done.</summary>
    public Precondition Precondition { get; init; } = Precondition.None;

    /// <summary>Where the artifact store keeps what the bodies' <c>storeUrls</c> name: URL → URL of the copy.</summary>
    public EquatableMap Artifacts { get; init; } = EquatableMap.Empty;

    /// <summary>Contract 1.4: POST refuses an id that is taken.</summary>
    public sealed record CreateApp(JsonElement Body, bool Force) : Command;

    /// <summary>PUT or PATCH of one or several apps: one deployment for all.</summary>
    public sealed record WriteApps(EquatableArray<AppWrite> Apps, bool Partial, bool MayCreate, bool Force) : Command;

    public sealed record DeleteApp(AppId App, bool Force) : Command;
    public sealed record RestartApp(AppId App, bool Force) : Command;

    /// <summary>Contract 1.10: POST refuses an id that is taken.</summary>
    public sealed record CreatePod(JsonElement Body, bool Force) : Command;

    /// <summary>PUT: the whole pod anew.</summary>
    public sealed record WritePod(AppId Pod, JsonElement Body, bool Force) : Command;

    public sealed record DeletePod(AppId Pod, bool Force) : Command;

    /// <summary>Without <paramref name="Scale"/> the scheduler starts replacements.</summary>
    public sealed record KillInstances(EquatableArray<InstanceId> Instances, bool Scale, bool Force) : Command
    {
        /// <summary>Residents' reservations and data go too, also those of instances that have no task now (contract 5.11).</summary>
        public bool Wipe { get; init; }
    }

    /// <summary><paramref name="Force"/>: only cancel; otherwise a new deployment undoes this one.</summary>
    public sealed record CancelDeployment(string Deployment, bool Force) : Command;

    public sealed record ResetDelay(AppId App) : Command;

    /// <summary>Contract 1.5: PUT, or POST where it may not exist yet.</summary>
    /// <param name="Group">That of the URL: the body's id may be relative to it.</param>
    public sealed record WriteGroup(AppId Group, JsonElement Body, bool MayExist, bool Force) : Command;

    /// <summary>Whether apps of a top-level group must have its role.</summary>
    public sealed record PatchGroup(AppId Group, JsonElement Body) : Command;

    /// <summary>With all that is in it; the root is emptied.</summary>
    public sealed record DeleteGroup(AppId Group, bool Force) : Command;

    /// <summary>Contract 6.4; twice is once.</summary>
    public sealed record SubscribeToEvents(string? CallbackUrl) : Command;

    public sealed record UnsubscribeFromEvents(string? CallbackUrl) : Command;

    /// <summary>Sealed before it comes here: neither the inbox nor the log sees the value.</summary>
    public sealed record StoreSecret(string Path, SealedSecret Secret) : Command;

    public sealed record RemoveSecret(string Path) : Command;

    /// <summary>No instance comes to the node any more, and those on it move elsewhere, as their apps' upgrade strategies allow.</summary>
    /// <param name="Within">After that they are stopped in any case; null = never.</param>
    public sealed record DrainNode(NodeId Node, TimeSpan? Within) : Command;

    public sealed record ResumeNode(NodeId Node) : Command;

    /// <summary>Forgets a node that is lost or drained. <paramref name="Force"/>: also one that holds persistent volumes, which are given up.</summary>
    public sealed record RemoveNode(NodeId Node, bool Force) : Command;

    /// <param name="Token">What it is called; its secret is known to its bearer alone.</param>
    /// <param name="Hash">Of the secret.</param>
    public sealed record MakeJoinToken(string Token, string Hash, TimeSpan Lifetime) : Command;

    public sealed record RevokeJoinToken(string Token) : Command;

    /// <summary>A machine wants to become a node.</summary>
    /// <param name="KeyHash">Of the public key that only it has.</param>
    /// <param name="Hash">Of the secret it showed.</param>
    public sealed record AdmitNode(NodeId Node, string KeyHash, string Token, string Hash) : Command;
}

public sealed record AppWrite(AppId? Id, JsonElement Body);

/// <summary>Accepted: the events that make it so, and what to answer. Refused: why, and nothing has happened.</summary>
public abstract record Decision
{
    private Decision() { }

    public sealed record Accepted(EquatableArray<SchedulerEvent> Events, Reply Reply) : Decision;
    public sealed record Refused(Rejection Rejection) : Decision;
}

/// <param name="Deployment">Null where the command makes none.</param>
/// <param name="Created">The app did not exist before.</param>
/// <param name="Instances">The instances chosen to be killed, as they were.</param>
public sealed record Reply(string? Deployment, AppVersion Version, EquatableArray<AppId> Apps, bool Created, EquatableArray<Instance> Instances)
{
    public static readonly Reply Done = new(null, default, default, false, default);

    /// <summary>The group that was written.</summary>
    public AppId? Group { get; init; }

    /// <summary>The target's version before the change and after it; null where there is no target, or where it does not exist.</summary>
    public AppVersion? VersionBefore { get; init; }

    public AppVersion? VersionAfter { get; init; }
}

public enum RejectCode
{
    /// <summary>JSON of the wrong shape: 422 "Invalid JSON" with details.</summary>
    WrongShape,

    /// <summary>422 "Object is not valid" with details.</summary>
    NotValid,

    /// <summary>422 with a message only.</summary>
    BadArgument,

    /// <summary>400 with a message.</summary>
    BadRequest,

    /// <summary>409: the id is taken.</summary>
    Exists,

    /// <summary>409 naming the deployments in the way.</summary>
    Locked,

    /// <summary>404.</summary>
    NotFound,

    /// <summary>403: too many deployments run.</summary>
    TooMany,

    /// <summary>412: the target is not what the caller took it for.</summary>
    Mismatch,

    /// <summary>409: it is in use as it is.</summary>
    InUse,
}

/// <summary>An expected refusal; the API layer turns the code into a status in one place.</summary>
public sealed record Rejection(RejectCode Code, string Message)
{
    public EquatableArray<Problem> Details { get; init; }
    public EquatableArray<string> Deployments { get; init; }

    /// <summary>Of a mismatch: the version the target has.</summary>
    public AppVersion? Version { get; init; }
}
