using System.Collections.Immutable;
using Platform.Scheduling;

namespace Platform.Scheduler.Storage;

/// <summary>
/// The cluster log: the truth that everything else is derived from. Appends are all or nothing, and only from the revision the
/// caller knows: whoever has been overtaken cannot write.
/// </summary>
public interface IClusterLog : IAsyncDisposable
{
    /// <summary>The state that the newest good snapshot and everything after it come to.</summary>
    ValueTask<ClusterState> RecoverAsync(CancellationToken stopping);

    /// <summary>Durable when it returns. Throws <see cref="LogRefusedException"/> if nothing was stored, <see cref="LogOvertakenException"/> if another wrote at that revision.</summary>
    ValueTask AppendAsync(long expected, ImmutableArray<SchedulerEvent> events, CancellationToken stopping);

    /// <summary>
    /// The newest <paramref name="count"/> events with the states around them, oldest first; fewer where less is kept.
    /// May be asked while another appends.
    /// </summary>
    ValueTask<ImmutableArray<Folded>> ReadTailAsync(int count, CancellationToken stopping);

    /// <summary>Keeps a state so that recovery need not begin at the first event; drops what it makes superfluous.</summary>
    ValueTask SaveSnapshotAsync(ClusterState state, CancellationToken stopping);
}

/// <summary>The store would not take it (full disk, lock, I/O error): nothing of it is stored, and it may be tried again later.</summary>
public sealed class LogRefusedException(string message, Exception inner) : Exception(message, inner);

/// <summary>Somebody else has appended at our revision: we are not the leader any more.</summary>
public sealed class LogOvertakenException(string message) : Exception(message);

/// <summary>The log cannot be read, or is of a form this version does not know. Nothing is guessed: the process stops.</summary>
public sealed class LogUnreadableException(string message, Exception? inner = null) : Exception(message, inner);
