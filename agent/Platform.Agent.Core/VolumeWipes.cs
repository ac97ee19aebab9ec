using Platform.Model;

namespace Platform.Agent.Core;

/// <summary>
/// The volumes whose data the scheduler wants deleted. It says so until it has heard that they are gone, so nothing of this has to outlive the agent:
/// wiping one that is not there any more is success.
/// </summary>
internal sealed class VolumeWipes
{
    private enum State { Wanted, Busy, Done }

    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(5);

    private readonly SortedDictionary<string, (State State, DateTimeOffset? RetryAt)> _volumes = new(StringComparer.Ordinal);

    public EquatableArray<string> Done => _volumes.Count == 0 ? default : _volumes.Where(x => x.Value.State == State.Done).Select(x => x.Key).ToEquatableArray();

    /// <param name="volumes">All of them: the others are forgotten.</param>
    public void Want(EquatableArray<string> volumes)
    {
        foreach (var gone in _volumes.Keys.Except(volumes).ToList()) _volumes.Remove(gone);
        foreach (var volume in volumes) _volumes.TryAdd(volume, default);
    }

    public void Take(AgentInput.Wiped x, DateTimeOffset now)
    {
        if (_volumes.ContainsKey(x.Volume)) _volumes[x.Volume] = x.Why is null ? (State.Done, null) : (State.Wanted, now + RetryDelay);
    }

    /// <summary>
    /// Those to delete now: a volume that a task still uses waits for the task's end. So does every volume while a task runs of which nothing is known
    /// but its name, because an earlier life of the agent had let go of it already.
    /// </summary>
    /// <param name="held">All that there is: every runtime has been listed.</param>
    public EquatableArray<string> Due(IEnumerable<HeldInstance> held, DateTimeOffset now)
    {
        if (_volumes.Count == 0) return default;
        var running = held.Where(x => x.Container?.State == ContainerState.Running || x.Busy == HeldInstance.Work.Start || x.UncertainSince is not null).ToList();
        if (running.Any(x => x.Assignment is null)) return default;
        var used = running.SelectMany(x => x.Assignment!.Volumes.Items).Select(x => x.Uuid).ToHashSet(StringComparer.Ordinal);
        var due = _volumes.Where(x => x.Value.State == State.Wanted && !(x.Value.RetryAt > now) && !used.Contains(x.Key)).Select(x => x.Key).ToEquatableArray();
        foreach (var volume in due) _volumes[volume] = (State.Busy, null);
        return due;
    }

    public DateTimeOffset? NextLookAt(DateTimeOffset now) => _volumes.Values.Select(x => x.RetryAt).Where(x => x > now).Min();
}
