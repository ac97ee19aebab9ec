using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>What readers see: one state with the soft facts that go with it. Taken once and kept for a whole answer.</summary>
public sealed record ClusterView(
    ClusterState State,
    ImmutableSortedDictionary<AppId, QueueItem> Queue,
    ImmutableDictionary<InstanceId, EquatableArray<HealthState>> Health,
    ImmutableDictionary<InstanceId, string> Details,
    ImmutableDictionary<InstanceId, EquatableArray<ReadinessState>> Readiness,
    ImmutableDictionary<NodeId, NodeContact> Contacts)
{
    public static ClusterView Of(Brain brain) => new(brain.State, brain.Queue, brain.Health, brain.Details, brain.Readiness, brain.Contacts);

    public EquatableArray<HealthState> HealthOf(Instance instance) => Health.GetValueOrDefault(instance.Id, instance.Health);
    public EquatableArray<ReadinessState> ReadinessOf(Instance instance) => Readiness.GetValueOrDefault(instance.Id, instance.Readiness);
}
