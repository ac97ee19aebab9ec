using System.Text.Json.Serialization;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// One fact of the cluster log. Kinds and fields only grow: the log of an old version is read by every later one
/// (a golden file of each kind holds us to it).
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(ClusterFounded), "cluster-founded")]
[JsonDerivedType(typeof(DeploymentStarted), "deployment-started")]
[JsonDerivedType(typeof(DeploymentStepStarted), "deployment-step-started")]
[JsonDerivedType(typeof(DeploymentStepSucceeded), "deployment-step-succeeded")]
[JsonDerivedType(typeof(DeploymentSucceeded), "deployment-succeeded")]
[JsonDerivedType(typeof(DeploymentCancelled), "deployment-cancelled")]
[JsonDerivedType(typeof(AppTerminated), "app-terminated")]
[JsonDerivedType(typeof(LaunchDelayReset), "launch-delay-reset")]
[JsonDerivedType(typeof(InstancePlaced), "instance-placed")]
[JsonDerivedType(typeof(InstanceReported), "instance-reported")]
[JsonDerivedType(typeof(InstanceStopRequested), "instance-stop-requested")]
[JsonDerivedType(typeof(InstanceDrained), "instance-drained")]
[JsonDerivedType(typeof(InstanceEnded), "instance-ended")]
[JsonDerivedType(typeof(InstanceReserved), "instance-reserved")]
[JsonDerivedType(typeof(ReservationReleased), "reservation-released")]
[JsonDerivedType(typeof(VolumesWiped), "volumes-wiped")]
[JsonDerivedType(typeof(NodeJoined), "node-joined")]
[JsonDerivedType(typeof(NodeLost), "node-lost")]
[JsonDerivedType(typeof(EventSubscribed), "event-subscribed")]
[JsonDerivedType(typeof(EventUnsubscribed), "event-unsubscribed")]
[JsonDerivedType(typeof(SecretStored), "secret-stored")]
[JsonDerivedType(typeof(SecretRemoved), "secret-removed")]
[JsonDerivedType(typeof(NodeDrainStarted), "node-drain-started")]
[JsonDerivedType(typeof(NodeResumed), "node-resumed")]
[JsonDerivedType(typeof(NodeRemoved), "node-removed")]
[JsonDerivedType(typeof(AuthorityFounded), "authority-founded")]
[JsonDerivedType(typeof(JoinTokenMade), "join-token-made")]
[JsonDerivedType(typeof(JoinTokenRevoked), "join-token-revoked")]
[JsonDerivedType(typeof(NodeAdmitted), "node-admitted")]
public abstract record SchedulerEvent
{
    private SchedulerEvent() { }

    public required DateTimeOffset At { get; init; }

    public sealed record ClusterFounded(string ClusterId) : SchedulerEvent;

    /// <summary>A change of the root: the definitions it sets and the apps it removes, with the plan that brings them about.</summary>
    public sealed record DeploymentStarted(
        Deployment Deployment, EquatableArray<AppDefinition> Set, EquatableArray<AppId> Removed, ChangeOrigin Origin) : SchedulerEvent
    {
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
        public EquatableArray<GroupDefinition> SetGroups { get; init; }

        /// <summary>Groups that nobody's word keeps any more; they are gone if nothing is in them.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
        public EquatableArray<AppId> RemovedGroups { get; init; }

        /// <summary>The group whose followers are told, where a group was written; null: it follows from the apps.</summary>
        public AppId? Told { get; init; }
    }

    public sealed record DeploymentStepStarted(string Deployment, int Step) : SchedulerEvent;
    public sealed record DeploymentStepSucceeded(string Deployment, int Step) : SchedulerEvent;
    public sealed record DeploymentSucceeded(string Deployment) : SchedulerEvent
    {
        public DeploymentTraffic? Traffic { get; init; }
    }

    /// <summary>It ended without having come about. <see cref="Outcome"/> says how; null in logs of versions that did not.</summary>
    public sealed record DeploymentCancelled(string Deployment, string Reason) : SchedulerEvent
    {
        public DeploymentOutcome? Outcome { get; init; }
        public DeploymentTraffic? Traffic { get; init; }
    }

    /// <summary>A removed app's last instance is gone.</summary>
    public sealed record AppTerminated(AppId App) : SchedulerEvent;

    public sealed record LaunchDelayReset(AppId App) : SchedulerEvent;

    public sealed record InstancePlaced(
        InstanceId Instance, long Serial, AppId App, AppVersion Version, NodeId Node, EquatableArray<int> HostPorts, Resources Resources) : SchedulerEvent;

    /// <summary>What the agent said that matters: a phase, an address, or a health verdict changed. Mere repetition of a probe is not logged.</summary>
    public sealed record InstanceReported(
        InstanceId Instance, Phase Phase, DateTimeOffset? StartedAt, string? ContainerAddress, EquatableArray<HealthState> Health) : SchedulerEvent
    {
        /// <summary>Empty before anybody asked.</summary>
        public EquatableArray<ReadinessState> Readiness { get; init; }

        /// <summary>See <see cref="InstanceReport.Ending"/>.</summary>
        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
        public bool Ending { get; init; }
    }

    public sealed record InstanceStopRequested(InstanceId Instance, StopReason Reason) : SchedulerEvent
    {
        /// <summary>Its reservation and the data in its volumes go with it; null = they stay.</summary>
        public bool? Wipe { get; init; }
    }

    /// <summary><paramref name="Forced"/>: the ceiling passed while requests were still in flight, or a node's proxy did not answer.</summary>
    public sealed record InstanceDrained(InstanceId Instance, bool Forced) : SchedulerEvent;

    public sealed record InstanceEnded(InstanceId Instance, InstanceEnd End) : SchedulerEvent;

    /// <summary>A resident instance gets its place: the resources and volumes that its tasks will find again. Its first task is placed next.</summary>
    public sealed record InstanceReserved(
        InstanceId Instance, AppId App, NodeId Node, Resources Resources, EquatableArray<LocalVolume> Volumes) : SchedulerEvent;

    /// <summary>The instance is no more: its resources are free, and its volumes are to be wiped, after which their disk is free as well.</summary>
    public sealed record ReservationReleased(InstanceId Instance, AppId App) : SchedulerEvent;

    /// <summary>The node has deleted the data of these volumes, by uuid.</summary>
    public sealed record VolumesWiped(NodeId Node, EquatableArray<string> Volumes) : SchedulerEvent;

    /// <summary>A node appeared, came back, or describes itself anew.</summary>
    public sealed record NodeJoined(NodeDescription Node) : SchedulerEvent;

    public sealed record NodeLost(NodeId Node) : SchedulerEvent;

    /// <summary>From now on every event of the contract is posted to this address.</summary>
    public sealed record EventSubscribed(string CallbackUrl, string ClientIp) : SchedulerEvent;

    public sealed record EventUnsubscribed(string CallbackUrl, string ClientIp) : SchedulerEvent;

    /// <summary>The log only ever sees a secret sealed; the key is a file beside it.</summary>
    public sealed record SecretStored(string Path, SealedSecret Secret) : SchedulerEvent;

    public sealed record SecretRemoved(string Path) : SchedulerEvent;

    /// <param name="Until">When what is left on the node is stopped whatever its apps ask for; null = never.</param>
    public sealed record NodeDrainStarted(NodeId Node, DateTimeOffset? Until) : SchedulerEvent;

    public sealed record NodeResumed(NodeId Node) : SchedulerEvent;

    /// <summary>Nobody counts on it any more, and its certificate is worth nothing. Its instances and reservations have ended before.</summary>
    public sealed record NodeRemoved(NodeId Node) : SchedulerEvent;

    /// <summary>From now on nodes and schedulers know each other by certificates of this authority.</summary>
    /// <param name="Certificate">In PEM.</param>
    /// <param name="Key">Sealed like a secret, under the same key.</param>
    public sealed record AuthorityFounded(string Certificate, SealedSecret Key) : SchedulerEvent;

    /// <summary>The log knows a token by the hash of its secret only.</summary>
    public sealed record JoinTokenMade(string Token, string Hash, DateTimeOffset ExpiresAt) : SchedulerEvent;

    public sealed record JoinTokenRevoked(string Token) : SchedulerEvent;

    /// <summary>The token is used up, and whoever has the key may be this node.</summary>
    public sealed record NodeAdmitted(NodeId Node, string KeyHash, string Token) : SchedulerEvent;
}

/// <summary>Who asked for a change, and how; what the api_post_event tells.</summary>
public sealed record ChangeOrigin(string ClientIp, string Uri, ChangeKind Kind)
{
    public static readonly ChangeOrigin Internal = new("", "", ChangeKind.Other);
}

/// <summary>Only the writing of single apps is announced by an api_post_event; each change of a pod by an event of its own.</summary>
public enum ChangeKind { AppWritten, Other, PodCreated, PodUpdated, PodDeleted }
