using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>When a deployment is given up, and whether it is undone then.</summary>
public sealed record DeploymentLimit(DateTimeOffset Until, double Seconds, bool Rollback)
{
    /// <summary>The strictest of the apps it changes; an app without labels follows the cluster's settings. A rollback is never rolled back.</summary>
    public static DeploymentLimit? Of(IEnumerable<AppDefinition> apps, bool isRollback, SchedulerSettings settings, DateTimeOffset now)
    {
        var policies = apps.Select(a => DeploymentPolicy.Of(a.Labels)).ToList();
        if (policies.Min(p => p.Timeout ?? settings.DeployTimeout) is not { } timeout) return null;
        return new DeploymentLimit(now + timeout, timeout.TotalSeconds, !isRollback && policies.Any(p => p.AutoRollback ?? settings.AutoRollback));
    }
}

public enum DeploymentOutcome { Succeeded, Cancelled, Overtaken, RolledBack, TimedOut }

/// <summary>Requests for a deployment's apps while it ran, as the nodes' proxies told. <paramref name="Complete"/> is false when the scheduler was
/// restarted meanwhile: what came before is not in it then.</summary>
public sealed record DeploymentTraffic(long Requests, long Failed, bool Complete);

public sealed record StepRecord(EquatableArray<DeploymentAction> Actions, DateTimeOffset? StartedAt, DateTimeOffset? EndedAt);

/// <summary>What is remembered of a deployment, also after its end: who, what, when, and how it went. Our own addition.</summary>
public sealed record DeploymentRecord
{
    /// <summary>So many deployments are remembered for the cluster, and so many for one app; the oldest that has ended goes first.</summary>
    public const int ClusterMax = 500;
    public const int AppMax = 20;
    public const int ChangesMax = 100;

    public required string Id { get; init; }
    public required AppVersion Version { get; init; }
    public required DateTimeOffset StartedAt { get; init; }
    public required ChangeOrigin Origin { get; init; }
    public string? RollbackOf { get; init; }
    public EquatableArray<AppId> Apps { get; init; }
    public EquatableArray<AppDiff> Changes { get; init; }

    /// <summary>How many apps were changed beyond those in <see cref="Changes"/>.</summary>
    public int MoreChanges { get; init; }

    public EquatableArray<StepRecord> Steps { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public DeploymentOutcome? Outcome { get; init; }
    public string? Reason { get; init; }
    public DeploymentTraffic? Traffic { get; init; }
}

/// <summary>The history of deployments, oldest first, as each event adds to it.</summary>
internal static class DeploymentRecords
{
    public static ImmutableList<DeploymentRecord> With(this ImmutableList<DeploymentRecord> records, SchedulerEvent e, ClusterState before) => e switch
    {
        SchedulerEvent.DeploymentStarted x => Bounded(records.Add(Of(x, before))),
        SchedulerEvent.DeploymentStepStarted x => Changed(records, x.Deployment, r => r with { Steps = Step(r, x.Step, s => s with { StartedAt = x.At }) }),
        SchedulerEvent.DeploymentStepSucceeded x => Changed(records, x.Deployment, r => r with { Steps = Step(r, x.Step, s => s with { EndedAt = x.At }) }),
        SchedulerEvent.DeploymentSucceeded x => Changed(records, x.Deployment, r => Ended(r, x.At, DeploymentOutcome.Succeeded, null, x.Traffic)),
        SchedulerEvent.DeploymentCancelled x =>
            Changed(records, x.Deployment, r => Ended(r, x.At, x.Outcome ?? DeploymentOutcome.Cancelled, x.Reason, x.Traffic)),
        _ => records,
    };

    private static DeploymentRecord Of(SchedulerEvent.DeploymentStarted x, ClusterState before)
    {
        var set = x.Set.ToDictionary(d => d.Id);
        var changed = x.Set.Select(d => d.Id).Concat(x.Removed).ToList();
        return new DeploymentRecord
        {
            Id = x.Deployment.Id,
            Version = x.Deployment.Version,
            StartedAt = x.At,
            Origin = x.Origin,
            RollbackOf = x.Deployment.RollbackOf,
            Apps = x.Deployment.Originals.Select(o => o.App).ToEquatableArray(),
            Changes = changed.Take(DeploymentRecord.ChangesMax)
                .Select(id => AppDiff.Between(id, before.App(id)?.Definition, set.GetValueOrDefault(id))).ToEquatableArray(),
            MoreChanges = Math.Max(0, changed.Count - DeploymentRecord.ChangesMax),
            Steps = x.Deployment.Steps.Select(s => new StepRecord(s.Actions, null, null)).ToEquatableArray(),
        };
    }

    private static DeploymentRecord Ended(DeploymentRecord record, DateTimeOffset at, DeploymentOutcome outcome, string? reason, DeploymentTraffic? traffic) =>
        record with { EndedAt = at, Outcome = outcome, Reason = reason, Traffic = traffic };

    private static EquatableArray<StepRecord> Step(DeploymentRecord record, int number, Func<StepRecord, StepRecord> change) =>
        record.Steps.Select((s, i) => i == number - 1 ? change(s) : s).ToEquatableArray();

    private static ImmutableList<DeploymentRecord> Changed(
        ImmutableList<DeploymentRecord> records, string id, Func<DeploymentRecord, DeploymentRecord> change) =>
        records.FindLastIndex(r => r.Id == id) is var index and >= 0 ? records.SetItem(index, change(records[index])) : records;

    private static ImmutableList<DeploymentRecord> Bounded(ImmutableList<DeploymentRecord> records)
    {
        var newest = records[^1].Apps.ToHashSet();
        var crowded = records.SelectMany(r => r.Apps.Items).Where(newest.Contains).CountBy(a => a)
            .Where(c => c.Value > DeploymentRecord.AppMax).Select(c => c.Key).ToHashSet();
        if (crowded.Count > 0) records = WithoutOldest(records, r => r.Apps.Any(crowded.Contains));
        return records.Count > DeploymentRecord.ClusterMax ? WithoutOldest(records, _ => true) : records;
    }

    private static ImmutableList<DeploymentRecord> WithoutOldest(ImmutableList<DeploymentRecord> records, Predicate<DeploymentRecord> among) =>
        records.FindIndex(r => r.EndedAt is not null && among(r)) is var index and >= 0 ? records.RemoveAt(index) : records;
}
