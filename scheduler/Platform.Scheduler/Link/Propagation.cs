using System.Collections.Immutable;
using Platform.Model;
using Platform.Protocol;

namespace Platform.Scheduler.Link;

/// <summary>One node's views as it last told: for each the revision, and when it was reached on this scheduler's clock.</summary>
public sealed record NodeSight(bool Connected, ImmutableSortedDictionary<string, (long Revision, DateTimeOffset At)> Views)
{
    public static readonly NodeSight Nothing = new(false, ImmutableSortedDictionary<string, (long, DateTimeOffset)>.Empty);
}

/// <summary>
/// Which revision of the endpoint table each view of each node serves, and how long it took to get there: from the moment in which this
/// scheduler published a revision to the moment in which the view served it. One clock measures both: a report says how long ago a view got
/// there, so what is told includes the report's way back. A node that comes back is measured by what is published from then on.
/// </summary>
public sealed class Propagation(TimeProvider time)
{
    /// <summary>How many published revisions a view may be behind before the eldest of them are no longer measured.</summary>
    private const int RevisionsMax = 4096;

    private readonly Lock _lock = new();
    private readonly (long Revision, long At)[] _published = new (long, long)[RevisionsMax];
    private readonly Dictionary<NodeId, Dictionary<string, long>> _measuredTo = [];
    private ImmutableSortedDictionary<NodeId, NodeSight> _nodes = ImmutableSortedDictionary<NodeId, NodeSight>.Empty;
    private long _count;
    private long _newest;

    /// <summary>A view has made a revision visible after so long. Called from the node's stream; it only counts.</summary>
    public event Action<NodeId, string, TimeSpan>? Measured;

    /// <summary>By node; a node that is away is as it was last heard.</summary>
    public ImmutableSortedDictionary<NodeId, NodeSight> Nodes
    {
        get
        {
            lock (_lock) return _nodes;
        }
    }

    public void Published(long revision)
    {
        var now = time.GetTimestamp();
        lock (_lock)
        {
            _newest = revision;
            _published[_count++ % RevisionsMax] = (revision, now);
        }
    }

    public void Connected(NodeId node)
    {
        lock (_lock)
        {
            _measuredTo[node] = [];
            _nodes = _nodes.SetItem(node, _nodes.GetValueOrDefault(node, NodeSight.Nothing) with { Connected = true });
        }
    }

    public void Disconnected(NodeId node)
    {
        lock (_lock)
            if (_nodes.TryGetValue(node, out var sight)) _nodes = _nodes.SetItem(node, sight with { Connected = false });
    }

    public void Reported(NodeId node, EquatableArray<ViewServed> views)
    {
        var (now, at) = (time.GetTimestamp(), time.GetUtcNow());
        var measured = new List<(string View, TimeSpan Took)>();
        lock (_lock)
        {
            if (!_measuredTo.TryGetValue(node, out var measuredTo)) return;
            var sight = _nodes[node];
            foreach (var view in views.Take(ViewsMax))
            {
                // What was published before the node came is its catching up, and says nothing of how fast changes travel.
                if (!measuredTo.TryGetValue(view.View, out var from)) from = _newest;
                foreach (var publishedAt in Between(from, view.Revision))
                    measured.Add((view.View, time.GetElapsedTime(publishedAt, now) - view.Ago is var took && took > TimeSpan.Zero ? took : TimeSpan.Zero));
                measuredTo[view.View] = Math.Max(from, view.Revision);
                if (sight.Views.GetValueOrDefault(view.View).Revision != view.Revision)
                    sight = sight with { Views = sight.Views.SetItem(view.View, (view.Revision, at - view.Ago)) };
            }
            _nodes = _nodes.SetItem(node, sight);
        }
        foreach (var (view, took) in measured) Measured?.Invoke(node, view, took);
    }

    /// <summary>A broken node must not fill the scheduler's memory with names of views.</summary>
    private const int ViewsMax = 32;

    /// <summary>When the revisions after the one and up to the other were published, the newest first.</summary>
    private IEnumerable<long> Between(long after, long upTo)
    {
        for (var i = _count - 1; i >= 0 && i >= _count - RevisionsMax && _published[i % RevisionsMax].Revision > after; i--)
            if (_published[i % RevisionsMax].Revision <= upTo) yield return _published[i % RevisionsMax].At;
    }
}
