using System.Buffers;
using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>One event of the contract (6.2): its type, and its JSON on one line.</summary>
public readonly record struct ContractEvent(string Type, byte[] Json);

/// <summary>What the cluster log's events are called outside. Pure: the same fold gives the same bytes.</summary>
public static class ContractEvents
{
    public static IEnumerable<ContractEvent> Of(Folded folded)
    {
        var (before, e, after) = folded;
        return e switch
        {
            SchedulerEvent.DeploymentStarted x => Started(before, x, after),
            SchedulerEvent.DeploymentStepStarted x => OfDeployment(after, x.Deployment, d => Step("deployment_info", e.At, d, x.Step)),
            SchedulerEvent.DeploymentStepSucceeded x => OfDeployment(before, x.Deployment, d => Step("deployment_step_success", e.At, d, x.Step)),
            SchedulerEvent.DeploymentSucceeded x => OfDeployment(before, x.Deployment, d => Ended("deployment_success", e.At, d, null)),
            SchedulerEvent.DeploymentCancelled x => OfDeployment(before, x.Deployment, d => Ended("deployment_failed", e.At, d, x.Reason)),
            SchedulerEvent.AppTerminated x => [Of("app_terminated_event", e.At, w => w.WriteString("appId", x.App.Path))],
            SchedulerEvent.InstancePlaced x => InstanceEvents.OfChange(e.At, before, after, x.Instance),
            SchedulerEvent.InstanceReported x => InstanceEvents.OfChange(e.At, before, after, x.Instance)
                .Concat(InstanceEvents.OfHealth(e.At, before, after, x.Instance)),
            SchedulerEvent.InstanceStopRequested x => InstanceEvents.OfChange(e.At, before, after, x.Instance),
            SchedulerEvent.InstanceDrained x => InstanceEvents.OfChange(e.At, before, after, x.Instance),
            SchedulerEvent.InstanceEnded x => InstanceEvents.OfEnd(x, before),
            SchedulerEvent.NodeJoined x => OfNode(e.At, before, after, x.Node.Id),
            SchedulerEvent.NodeLost x => OfNode(e.At, before, after, x.Node),
            SchedulerEvent.EventSubscribed x => [Subscribed(x.ClientIp, x.CallbackUrl, e.At)],
            SchedulerEvent.EventUnsubscribed x => [Unsubscribed(x.ClientIp, x.CallbackUrl, e.At)],
            SchedulerEvent.ClusterFounded or SchedulerEvent.LaunchDelayReset => [],
            SchedulerEvent.InstanceReserved or SchedulerEvent.ReservationReleased or SchedulerEvent.VolumesWiped => [],
            SchedulerEvent.SecretStored or SchedulerEvent.SecretRemoved => [], // nobody's business
            SchedulerEvent.NodeDrainStarted or SchedulerEvent.NodeResumed or SchedulerEvent.NodeRemoved => [], // the contract has no word for it
            SchedulerEvent.AuthorityFounded or SchedulerEvent.JoinTokenMade or SchedulerEvent.JoinTokenRevoked or SchedulerEvent.NodeAdmitted => [],
            _ => throw new System.Diagnostics.UnreachableException($"{e}"),
        };
    }

    public static ContractEvent GroupChangeFailed(AppId group, string reason, DateTimeOffset at) => Of("group_change_failed", at, writer =>
    {
        writer.WriteString("groupId", group.Path);
        writer.WriteString("version", Timestamps.Text(at));
        writer.WriteString("reason", reason);
    });

    public static ContractEvent StreamAttached(string remoteAddress, DateTimeOffset at) =>
        Of("event_stream_attached", at, writer => writer.WriteString("remoteAddress", remoteAddress));

    public static ContractEvent StreamDetached(string remoteAddress, DateTimeOffset at) =>
        Of("event_stream_detached", at, writer => writer.WriteString("remoteAddress", remoteAddress));

    public static ContractEvent Subscribed(string clientIp, string callbackUrl, DateTimeOffset at) =>
        OfSubscriber("subscribe_event", clientIp, callbackUrl, at);

    public static ContractEvent Unsubscribed(string clientIp, string callbackUrl, DateTimeOffset at) =>
        OfSubscriber("unsubscribe_event", clientIp, callbackUrl, at);

    /// <summary>Our own addition, told only to a follower that asked to go on where it had been: what lies between is not known any more.</summary>
    public static ContractEvent Missed(string lastEventId, long knownFrom, DateTimeOffset at) => Of("events_missed", at, writer =>
    {
        writer.WriteString("lastEventId", lastEventId);
        writer.WriteNumber("knownFrom", knownFrom);
    });

    private static ContractEvent OfSubscriber(string type, string clientIp, string callbackUrl, DateTimeOffset at) => Of(type, at, writer =>
    {
        writer.WriteString("clientIp", clientIp);
        writer.WriteString("callbackUrl", callbackUrl);
    });

    internal static ContractEvent Of(string type, DateTimeOffset at, Action<Utf8JsonWriter> fields)
    {
        var bytes = new ArrayBufferWriter<byte>(256);
        using (var writer = new Utf8JsonWriter(bytes, AppJson.WriterOptions))
        {
            writer.WriteStartObject();
            writer.WriteString("eventType", type);
            writer.WriteString("timestamp", Timestamps.Text(at));
            fields(writer);
            writer.WriteEndObject();
        }
        return new ContractEvent(type, bytes.WrittenSpan.ToArray());
    }

    private static IEnumerable<ContractEvent> Started(ClusterState before, SchedulerEvent.DeploymentStarted x, ClusterState after)
    {
        var touched = x.Deployment.Originals.Select(o => o.App).ToList();
        if (x.Origin.Kind == ChangeKind.AppWritten)
            foreach (var app in touched) yield return Posted(x, after.Apps[app].Definition);
        if (PodEventOf(x.Origin.Kind) is { } podEvent)
            yield return Of(podEvent, x.At, writer =>
            {
                writer.WriteString("clientIp", x.Origin.ClientIp);
                writer.WriteString("uri", x.Origin.Uri);
            });

        yield return Of("group_change_success", x.At, writer =>
        {
            writer.WriteString("groupId", (x.Told ?? GroupOf(touched)).Path);
            writer.WriteString("version", x.Deployment.Version.ToString());
        });

        foreach (var definition in x.Set.Where(d => d.Pod is null)) // of a pod's checks the contract has no events
            foreach (var e in Checks(x.At, before.App(definition.Id)?.Definition, definition)) yield return e;
        foreach (var id in x.Removed)
            if (before.App(id) is { IsPod: false, Definition.HealthChecks.IsEmpty: false }) yield return ChecksRemoved(x.At, id);
    }

    private static string? PodEventOf(ChangeKind kind) => kind switch
    {
        ChangeKind.PodCreated => "pod_created_event",
        ChangeKind.PodUpdated => "pod_updated_event",
        ChangeKind.PodDeleted => "pod_deleted_event",
        _ => null,
    };

    private static ContractEvent Posted(SchedulerEvent.DeploymentStarted x, AppDefinition definition) => Of("api_post_event", x.At, writer =>
    {
        writer.WriteString("clientIp", x.Origin.ClientIp);
        writer.WriteString("uri", x.Origin.Uri);
        writer.WritePropertyName("appDefinition");
        AppJson.Write(writer, definition);
    });

    /// <summary>A change of one app or group is told as one of the group around it (contract 11, 19), a change here and there as one of the root.</summary>
    private static AppId GroupOf(IEnumerable<AppId> touched) => touched.Select(a => a.Parent).Distinct().ToList() is [var only] ? only : AppId.Root;

    private static IEnumerable<ContractEvent> Checks(DateTimeOffset at, AppDefinition? before, AppDefinition after)
    {
        var version = after.VersionInfo.LastConfigChangeAt;
        if (before?.VersionInfo.LastConfigChangeAt == version) yield break;
        if (after.HealthChecks.IsEmpty && before is { HealthChecks.IsEmpty: false }) yield return ChecksRemoved(at, after.Id);
        foreach (var check in after.HealthChecks)
            yield return Of("add_health_check_event", at, writer =>
            {
                writer.WriteString("appId", after.Id.Path);
                writer.WriteString("version", version.ToString());
                writer.WritePropertyName("healthCheck");
                AppJson.WriteHealthCheck(writer, check);
            });
    }

    private static ContractEvent ChecksRemoved(DateTimeOffset at, AppId app) =>
        Of("remove_health_check_event", at, writer => writer.WriteString("appId", app.Path));

    private static IEnumerable<ContractEvent> OfDeployment(ClusterState state, string id, Func<Deployment, ContractEvent> tell) =>
        state.Deployments.TryGetValue(id, out var deployment) ? [tell(deployment)] : [];

    private static ContractEvent Step(string type, DateTimeOffset at, Deployment deployment, int step) => Of(type, at, writer =>
    {
        WritePlan(writer, deployment);
        writer.WriteStartObject("currentStep");
        var actions = step >= 1 && step <= deployment.Steps.Count ? deployment.Steps[step - 1].Actions : default;
        DeploymentsEndpoints.WriteActions(writer, "actions", actions);
        writer.WriteEndObject();
    });

    private static ContractEvent Ended(string type, DateTimeOffset at, Deployment deployment, string? reason) => Of(type, at, writer =>
    {
        writer.WriteString("id", deployment.Id);
        WritePlan(writer, deployment);
        if (reason is not null) writer.WriteString("reason", reason);
    });

    /// <summary>Always the light form: what the groups were before and shall be after is left out (contract 6.1).</summary>
    private static void WritePlan(Utf8JsonWriter writer, Deployment deployment)
    {
        writer.WriteStartObject("plan");
        writer.WriteString("id", deployment.Id);
        writer.WriteString("version", deployment.Version.ToString());
        DeploymentsEndpoints.WriteSteps(writer, deployment);
        writer.WriteEndObject();
    }

    private static IEnumerable<ContractEvent> OfNode(DateTimeOffset at, ClusterState before, ClusterState after, NodeId id) =>
        after.Nodes.TryGetValue(id, out var node) ? node.Instances.SelectMany(i => InstanceEvents.OfChange(at, before, after, i)) : [];
}
