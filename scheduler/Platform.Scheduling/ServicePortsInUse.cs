using Platform.Model;

namespace Platform.Scheduling;

/// <summary>Which service ports an app of a change may not have: counted once for the whole change, however many apps it sets.</summary>
internal sealed class ServicePortsInUse
{
    private readonly ClusterState _state;
    private readonly Dictionary<int, int> _holders;
    private readonly HashSet<int> _inUse;
    private readonly HashSet<int> _given = [];
    private List<int> _own = [];

    /// <param name="state">Those on their way out hold theirs until they are gone.</param>
    public ServicePortsInUse(ClusterState state)
    {
        _state = state;
        _holders = state.Apps.Values.SelectMany(a => ServicePorts.Of(a.Definition).Distinct()).CountBy(p => p).ToDictionary();
        _inUse = [.. _holders.Keys];
    }

    /// <summary>What all others hold and what the change has given away; valid until the next call.</summary>
    public IReadOnlySet<int> Beside(AppId app)
    {
        _inUse.UnionWith(_own); // those of the app before count again
        _own = [.. _state.Apps.TryGetValue(app, out var known) ? ServicePorts.Of(known.Definition).Where(p => _holders[p] == 1 && !_given.Contains(p)) : []];
        _inUse.ExceptWith(_own);
        return _inUse;
    }

    public void Give(AppDefinition app)
    {
        _given.UnionWith(ServicePorts.Of(app));
        _inUse.UnionWith(ServicePorts.Of(app));
    }
}
