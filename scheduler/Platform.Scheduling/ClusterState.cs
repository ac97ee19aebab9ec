using System.Collections.Immutable;
using System.Text.Json.Serialization;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// Everything the cluster has decided and been told, as of one revision of its log. Immutable: readers keep one for a whole operation.
/// It changes only by <see cref="Fold(SchedulerEvent)"/>.
/// </summary>
public sealed partial record ClusterState
{
    public static readonly ClusterState Empty = new();

    /// <summary>Given once, by the log's first event; the epoch of the endpoint table.</summary>
    public string ClusterId { get; init; } = "";

    /// <summary>The number of events folded so far.</summary>
    public long Revision { get; init; }

    /// <summary>Serials name instances; one is never given twice.</summary>
    public long NextSerial { get; init; } = 1;

    /// <summary>The newest version given to a change of the root; versions only grow, whatever the clock does.</summary>
    public AppVersion LastVersion { get; init; }

    public ImmutableSortedDictionary<AppId, AppState> Apps { get; init; } = ImmutableSortedDictionary<AppId, AppState>.Empty;
    public ImmutableSortedDictionary<NodeId, Node> Nodes { get; init; } = ImmutableSortedDictionary<NodeId, Node>.Empty;
    public ImmutableSortedDictionary<string, Deployment> Deployments { get; init; } = ImmutableSortedDictionary.Create<string, Deployment>(StringComparer.Ordinal);

    /// <summary>What is remembered of deployments, oldest first; those that run are among them.</summary>
    public ImmutableList<DeploymentRecord> Records { get; init; } = [];

    /// <summary>Which app each live instance belongs to.</summary>
    public ImmutableDictionary<InstanceId, AppId> Owners { get; init; } = ImmutableDictionary<InstanceId, AppId>.Empty;

    /// <summary>Where events are posted to (contract 6.4), in the order they came.</summary>
    public EquatableArray<string> EventSubscribers { get; init; }

    /// <summary>By their path; what apps name as the source of a secret.</summary>
    public ImmutableSortedDictionary<string, StoredSecret> Secrets { get; init; } = ImmutableSortedDictionary.Create<string, StoredSecret>(StringComparer.Ordinal);

    /// <summary>Who issues the certificates of the link; null until it is first asked for.</summary>
    public ClusterAuthority? Authority { get; init; }

    /// <summary>By what they are called; used and expired ones are remembered for a while, so that their refusal can say why.</summary>
    public ImmutableSortedDictionary<string, JoinToken> JoinTokens { get; init; } = ImmutableSortedDictionary.Create<string, JoinToken>(StringComparer.Ordinal);

    /// <summary>The machines that may be nodes, by the keys they have shown. A scheduler's own node needs none.</summary>
    public ImmutableSortedDictionary<NodeId, Admission> Admissions { get; init; } = ImmutableSortedDictionary<NodeId, Admission>.Empty;

    public Instance? Instance(InstanceId id) => Owners.TryGetValue(id, out var app) ? Apps[app].Instances[id] : null;

    /// <summary>An app users can see: it exists and is not on its way out.</summary>
    public AppState? App(AppId id) => Apps.TryGetValue(id, out var app) && !app.Removing ? app : null;

    /// <summary>Only a running deployment has anybody asked whether it is ready.</summary>
    public bool IsAskedForReadiness(Instance instance) => instance is { AwaitsReadiness: true, IsStopping: false } && DeploymentsOf(instance.App).Any();

    /// <summary>The same of a pod; null for an app.</summary>
    public AppState? Pod(AppId id) => App(id) is { IsPod: true } pod ? pod : null;

    public IEnumerable<Deployment> DeploymentsOf(AppId app) => Deployments.Values.Where(d => d.Affects(app));

    /// <summary>Counted, because every plan asks for each of its instances, and nearly always the answer is none.</summary>
    public int LostNodes { get; init; }

    /// <summary>Counted, for the same reason.</summary>
    public int DrainingNodes { get; init; }

    public bool IsDraining(NodeId id) => DrainingNodes > 0 && Nodes.TryGetValue(id, out var node) && node.Drain is not null;

    public bool IsReachable(Instance instance) => LostNodes == 0 || Nodes.TryGetValue(instance.Node, out var node) && node.LostAt is null;
}

/// <summary>A value under a key that is not in the log.</summary>
/// <param name="KeyId">Tells the key without telling anything of it.</param>
/// <param name="Box">Base64 of nonce, tag and ciphertext of AES-256-GCM; the path is authenticated with it, so that no box opens under another's name.</param>
public sealed record SealedSecret(string KeyId, string Box);

public sealed record StoredSecret(SealedSecret Secret, DateTimeOffset ChangedAt);

/// <summary>One app: what is wanted (newest definition and history), what runs, and what went wrong last.</summary>
public sealed record AppState
{
    public const int VersionsMax = 50;

    public required AppDefinition Definition { get; init; }

    /// <summary>All kept versions by their version, the newest included; those that instances run are never dropped.</summary>
    public ImmutableSortedDictionary<AppVersion, AppDefinition> Versions { get; init; } = ImmutableSortedDictionary<AppVersion, AppDefinition>.Empty;

    public ImmutableSortedDictionary<InstanceId, Instance> Instances { get; init; } = ImmutableSortedDictionary<InstanceId, Instance>.Empty;

    /// <summary>A resident app's claims on nodes, each by its instance's first task (contract 5.11).</summary>
    public ImmutableSortedDictionary<InstanceId, Reservation> Reservations { get; init; } = ImmutableSortedDictionary<InstanceId, Reservation>.Empty;

    /// <summary>Deleted by the user; it is forgotten when its last instance has ended.</summary>
    public bool Removing { get; init; }

    public LaunchDelay? Delay { get; init; }
    public TaskFailure? LastFailure { get; init; }

    public const int TerminationsMax = 20;

    /// <summary>A pod's last ended instances, the newest last (contract 1.10); of an app only <see cref="LastFailure"/> is kept.</summary>
    public EquatableArray<PodTermination> Terminations { get; init; }

    [JsonIgnore]
    public bool IsPod => Definition.Pod is not null;

    /// <summary>The definition an instance was started with.</summary>
    public AppDefinition DefinitionOf(Instance instance) => Versions.TryGetValue(instance.Version, out var definition) ? definition : Definition;

    public Reservation? ReservationOf(InstanceId instance) => Reservations.GetValueOrDefault(instance.First);

    /// <summary>Runs the newest configuration: only a change of the instance count lies between.</summary>
    public bool IsCurrent(Instance instance) => instance.Version == Definition.VersionInfo.LastConfigChangeAt;

    /// <summary>By its newest report and its own definition's health checks; the fold has written down when that came true.</summary>
    public bool IsReady(Instance instance) => instance.ReadyAt is not null || instance.IsReady(DefinitionOf(instance));
}

/// <summary>Backoff (contract 5.9): no launch of this configuration before <see cref="Until"/>.</summary>
public sealed record LaunchDelay(double Seconds, DateTimeOffset Until, DateTimeOffset LastFailureAt);

/// <summary>What <c>lastTaskFailure</c> shows (contract 2.8).</summary>
public sealed record TaskFailure(InstanceId Instance, NodeId Node, TerminalState State, string Message, AppVersion Version, DateTimeOffset At);

public enum StopReason { Scaled, Replaced, KilledByUser, AppRemoved, Unhealthy, NotLaunched, NodeDrained }

/// <summary>
/// What a resident instance holds on its node beyond the life of its tasks: its resources, and the volumes with its data.
/// No two tasks of it ever live at once.
/// </summary>
public sealed record Reservation
{
    public required NodeId Node { get; init; }
    public required Resources Resources { get; init; }
    public required EquatableArray<LocalVolume> Volumes { get; init; }

    /// <summary>Of its newest task.</summary>
    public int Incarnation { get; init; }

    /// <summary>It has no task; the next one takes it up.</summary>
    public bool IsIdle { get; init; }

    /// <summary>The revision at which its last task ended: of several idle ones the last used is the first to be taken up.</summary>
    public long IdleSinceRevision { get; init; }

    /// <summary>Its app is deleted, or its data is to be wiped: it is released as soon as it is idle.</summary>
    public bool Condemned { get; init; }
}

/// <summary>How an instance of a pod ended; <paramref name="Container"/> is the first of its containers that did, where one did by itself.</summary>
public sealed record PodTermination(
    InstanceId Instance, AppVersion Version, NodeId Node, DateTimeOffset StagedAt,
    TerminalState State, string Message, string? Container, int? ExitCode, DateTimeOffset At);

/// <summary>One placed instance. <see cref="Goal"/> and what follows it is the scheduler's intent; <see cref="Phase"/> and what follows it is the agent's report.</summary>
public sealed record Instance
{
    public required InstanceId Id { get; init; }
    public required long Serial { get; init; }
    public required AppId App { get; init; }

    /// <summary>The configuration it was started with (<see cref="VersionInfo.LastConfigChangeAt"/> at that time).</summary>
    public required AppVersion Version { get; init; }

    public required NodeId Node { get; init; }
    public required EquatableArray<int> HostPorts { get; init; }
    public required Resources Resources { get; init; }
    public required DateTimeOffset StagedAt { get; init; }

    public Goal Goal { get; init; } = Goal.Run;
    public StopReason? StopReason { get; init; }
    public DateTimeOffset? StopAt { get; init; }

    /// <summary>The revision that last took its endpoint out of the table, for whatever reason; 0 if it was never there.</summary>
    public long WithdrawnRevision { get; init; }

    /// <summary>Every node's proxy has let go of it, or the ceiling has passed: the agent may stop it.</summary>
    public bool Drained { get; init; }

    public Phase Phase { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? ReadyAt { get; init; }
    public string? ContainerAddress { get; init; }
    public EquatableArray<HealthState> Health { get; init; }

    /// <summary>It was placed while a deployment of its app ran, and has not been ready since (contract 5.6): deployments wait for it. Whether it is
    /// published has to do with its health alone.</summary>
    public bool AwaitsReadiness { get; init; }

    public EquatableArray<ReadinessState> Readiness { get; init; }

    /// <summary>One of its containers has ended, and its agent is stopping the others: it serves nobody any more.</summary>
    public bool Ending { get; init; }

    [JsonIgnore]
    public bool IsStopping => Goal == Goal.Stop;

    public bool IsReady(AppDefinition definition) =>
        Phase == Phase.Running && !Ending && Health.Count >= definition.HealthChecks.Count && Health.All(x => x.Alive);
}

/// <summary>A machine, with what is promised on it.</summary>
public sealed record Node
{
    public required NodeDescription Description { get; init; }
    public DateTimeOffset? LostAt { get; init; }
    public Resources Used { get; init; }
    public ImmutableSortedSet<int> UsedPorts { get; init; } = [];
    public ImmutableSortedSet<InstanceId> Instances { get; init; } = [];

    /// <summary>Released volumes by uuid, with their MiB, which stay used until the agent says that the data is gone.</summary>
    public ImmutableSortedDictionary<string, double> Wiping { get; init; } = ImmutableSortedDictionary.Create<string, double>(StringComparer.Ordinal);

    /// <summary>Where the search for a free task port begins: a port is re-used as late as possible, so that a stale address meets nobody.</summary>
    public int NextPort { get; init; }

    /// <summary>Its instances are moving elsewhere, and no other comes; null = it takes what fits.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public NodeDrain? Drain { get; init; }

    [JsonIgnore]
    public bool IsDrained => Drain is not null && Instances.IsEmpty;
}

/// <param name="Until">See <see cref="SchedulerEvent.NodeDrainStarted"/>.</param>
public sealed record NodeDrain(DateTimeOffset Since, DateTimeOffset? Until);

/// <param name="Certificate">In PEM.</param>
public sealed record ClusterAuthority(string Certificate, SealedSecret Key);

/// <summary>Good for one node, once.</summary>
/// <param name="Hash">Of its secret.</param>
public sealed record JoinToken(string Hash, DateTimeOffset MadeAt, DateTimeOffset ExpiresAt)
{
    /// <summary>Null = nobody yet.</summary>
    public NodeId? UsedBy { get; init; }
    public DateTimeOffset? UsedAt { get; init; }
}

/// <param name="KeyHash">Of the public key in the node's certificates.</param>
public sealed record Admission(string KeyHash, DateTimeOffset At);

public enum DeploymentActionKind { StartApplication, StopApplication, ScaleApplication, RestartApplication }

/// <summary>One app's part in a step; <paramref name="App"/> is a pod's id where <see cref="IsPod"/>.</summary>
public sealed record DeploymentAction(DeploymentActionKind Action, AppId App)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool IsPod { get; init; }
}

public sealed record DeploymentStep(EquatableArray<DeploymentAction> Actions);

/// <summary>What an app was before a deployment; null = it did not exist.</summary>
public sealed record OriginalApp(AppId App, AppDefinition? Definition);

/// <summary>A change on its way (contract 5.1). While it runs, its apps are locked.</summary>
public sealed record Deployment
{
    public required string Id { get; init; }
    public required AppVersion Version { get; init; }
    public required DateTimeOffset StartedAt { get; init; }
    public EquatableArray<DeploymentStep> Steps { get; init; }
    public EquatableArray<OriginalApp> Originals { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public EquatableArray<OriginalGroup> OriginalGroups { get; init; }

    /// <summary>Null: it may take for ever.</summary>
    public DeploymentLimit? Limit { get; init; }

    /// <summary>The deployment that this one undoes.</summary>
    public string? RollbackOf { get; init; }

    /// <summary>Counts from 1; 0 before the first step began.</summary>
    public int CurrentStep { get; init; }

    [JsonIgnore]
    public IEnumerable<AppId> Affected => Steps.SelectMany(s => s.Actions.Items).Select(a => a.App).Distinct();

    public bool Affects(AppId app)
    {
        foreach (var step in Steps)
            foreach (var action in step.Actions)
                if (action.App == app) return true;
        return false;
    }

    [JsonIgnore]
    public EquatableArray<DeploymentAction> CurrentActions => CurrentStep >= 1 && CurrentStep <= Steps.Count ? Steps[CurrentStep - 1].Actions : default;

    /// <summary>The app's turn has not come yet: an earlier step is still running. The start of a new app is a mere word (contract 5.1); its scaling is its turn.</summary>
    public bool IsHeld(AppId app) => !Steps.Take(CurrentStep).Any(s => IsTurnOf(s, app)) && Steps.Skip(CurrentStep).Any(s => IsTurnOf(s, app));

    private static bool IsTurnOf(DeploymentStep step, AppId app) =>
        step.Actions.Items.Any(a => a.App == app && a.Action != DeploymentActionKind.StartApplication);
}
