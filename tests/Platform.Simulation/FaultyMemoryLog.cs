using System.Collections.Immutable;
using Platform.Scheduler;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>A cluster log in memory that can refuse, before anything is stored, and that is read back as it was written: from JSON.</summary>
/// <param name="asText">Off for runs so large that the text would be what is measured.</param>
internal sealed class FaultyMemoryLog(bool asText) : IClusterLog
{
    private readonly List<object> _entries = [];
    private byte[]? _snapshot;
    private long _snapshotRevision;

    public bool RefusesNext { get; set; }

    /// <summary>A bug put in on purpose: the newest entries are gone after a restart.</summary>
    public int ForgetsOnRecovery { get; set; }

    public long Revision => _snapshotRevision + _entries.Count;

    public ValueTask<ClusterState> RecoverAsync(CancellationToken stopping)
    {
        if (ForgetsOnRecovery > 0 && _entries.Count > ForgetsOnRecovery) _entries.RemoveRange(_entries.Count - ForgetsOnRecovery, ForgetsOnRecovery);
        var from = _snapshot is null ? ClusterState.Empty : SchedulerJson.ReadState(_snapshot);
        return ValueTask.FromResult(_entries.Aggregate(from, (state, e) => state.Fold(e as SchedulerEvent ?? SchedulerJson.ReadEvent((byte[])e))));
    }

    public ValueTask AppendAsync(long expected, ImmutableArray<SchedulerEvent> events, CancellationToken stopping)
    {
        if (RefusesNext)
        {
            RefusesNext = false;
            throw new LogRefusedException("the disk is full", new IOException());
        }
        if (expected != Revision) throw new LogOvertakenException($"expected {expected}, the log is at {Revision}");
        foreach (var e in events) _entries.Add(asText ? SchedulerJson.Write(e) : e);
        return ValueTask.CompletedTask;
    }

    public ValueTask<ImmutableArray<Folded>> ReadTailAsync(int count, CancellationToken stopping)
    {
        var state = _snapshot is null ? ClusterState.Empty : SchedulerJson.ReadState(_snapshot);
        var tail = new List<Folded>();
        foreach (var entry in _entries)
        {
            var e = entry as SchedulerEvent ?? SchedulerJson.ReadEvent((byte[])entry);
            tail.Add(new Folded(state, e, state = state.Fold(e)));
        }
        return ValueTask.FromResult(tail.TakeLast(count).ToImmutableArray());
    }

    public ValueTask SaveSnapshotAsync(ClusterState state, CancellationToken stopping)
    {
        _snapshot = SchedulerJson.Write(state);
        _entries.RemoveRange(0, (int)(state.Revision - _snapshotRevision));
        _snapshotRevision = state.Revision;
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
