using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// Sums up what the nodes' proxies tell of the apps' requests, and takes the difference over each deployment. Soft: a restarted scheduler begins
/// with what the nodes tell first, and says so in <see cref="DeploymentTraffic.Complete"/>. A node's counts that have fallen are those of a proxy
/// that was started anew.
/// </summary>
internal sealed class TrafficMeter
{
    private readonly record struct Counts(long Requests, long Failed);

    private sealed record Base(Dictionary<AppId, Counts> Counts, bool Complete);

    private readonly Dictionary<NodeId, Dictionary<AppId, Counts>> _told = [];
    private readonly Dictionary<AppId, Counts> _sums = [];
    private readonly Dictionary<string, Base> _bases = [];

    public TrafficMeter(ClusterState recovered)
    {
        foreach (var deployment in recovered.Deployments.Values) Begin(deployment, complete: false);
    }

    public void Take(NodeId node, EquatableArray<AppTraffic> traffic)
    {
        var isFirst = !_told.ContainsKey(node);
        var told = isFirst ? _told[node] = [] : _told[node];
        foreach (var (app, requests, failed) in traffic)
        {
            var last = told.GetValueOrDefault(app);
            told[app] = new Counts(requests, failed);
            if (isFirst) continue; // it was counted while nobody listened
            if (requests < last.Requests) last = default;
            var sum = _sums.GetValueOrDefault(app);
            _sums[app] = new Counts(sum.Requests + requests - last.Requests, sum.Failed + Math.Max(0, failed - last.Failed));
        }
    }

    public void Begin(Deployment deployment, bool complete = true) =>
        _bases[deployment.Id] = new Base(deployment.Affected.ToDictionary(a => a, a => _sums.GetValueOrDefault(a)), complete);

    /// <summary>A proxy that learns of an app of this name again counts it from nothing.</summary>
    public void Forget(AppId app)
    {
        _sums.Remove(app);
        foreach (var told in _told.Values) told.Remove(app);
    }

    public void End(string deployment) => _bases.Remove(deployment);

    /// <summary>Null for one that ended in the step that began it.</summary>
    public DeploymentTraffic? Since(string deployment)
    {
        if (!_bases.TryGetValue(deployment, out var began)) return null;
        var (requests, failed) = (0L, 0L);
        foreach (var (app, before) in began.Counts)
        {
            if (!_sums.TryGetValue(app, out var now)) continue; // it had none, or is forgotten
            requests += now.Requests - before.Requests;
            failed += now.Failed - before.Failed;
        }
        return new DeploymentTraffic(requests, failed, began.Complete);
    }
}
