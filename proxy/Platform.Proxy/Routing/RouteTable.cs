using System.Collections.Immutable;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Proxy.Routing;

/// <summary>One port of an app with the endpoints that are ready for it now.</summary>
internal sealed class PortRoute(PortSpec spec, Target[] targets, Tally tally)
{
    public PortSpec Spec => spec;
    public ReadOnlySpan<Target> Targets => targets;
    public Tally Tally => tally;
}

/// <summary>All that the table holds of one app.</summary>
internal sealed record AppRoutes(
    ServiceEntry Source, AppSpec Spec, ImmutableArray<PortRoute> Ports, ImmutableDictionary<InstanceId, Upstream> Upstreams);

/// <summary>
/// Where every request goes, at one revision of the endpoint table; immutable, read without locks. Built from the table before it: an app
/// that did not change is taken over as it is, so one changed endpoint costs the same with ten apps and with ten thousand.
/// </summary>
/// <remarks>
/// When several apps claim one name or port, the app whose id sorts first has it, on every node and after every restart alike; a name that
/// is made of an app's own id cannot be taken by another app's label. The losers are problems, and get it when the winner lets go.
/// </remarks>
internal sealed class RouteTable
{
    private static readonly IComparer<PortRoute> ById = Comparer<PortRoute>.Create((a, b) =>
        a.Spec.App.CompareTo(b.Spec.App) is var order and not 0 ? order : a.Spec.Index.CompareTo(b.Spec.Index));

    public static readonly RouteTable Empty = new(
        EndpointCursor.Start,
        ImmutableDictionary<AppId, AppRoutes>.Empty,
        ImmutableDictionary.Create<string, HostClaimants>(StringComparer.OrdinalIgnoreCase),
        ImmutableDictionary<int, ImmutableArray<PortRoute>>.Empty,
        [], []);

    private readonly ImmutableDictionary<AppId, AppRoutes> _apps;
    private readonly ImmutableDictionary<string, HostClaimants> _hosts;
    private readonly ImmutableDictionary<int, ImmutableArray<PortRoute>> _ports;

    private RouteTable(
        EndpointCursor cursor, ImmutableDictionary<AppId, AppRoutes> apps, ImmutableDictionary<string, HostClaimants> hosts,
        ImmutableDictionary<int, ImmutableArray<PortRoute>> ports, ImmutableArray<Upstream> withdrawn, ImmutableArray<int> touchedPorts)
    {
        (Cursor, _apps, _hosts, _ports, Withdrawn, TouchedPorts) = (cursor, apps, hosts, ports, withdrawn, touchedPorts);
    }

    public EndpointCursor Cursor { get; }

    /// <summary>What the table before this one routed to and this one does not.</summary>
    public ImmutableArray<Upstream> Withdrawn { get; }

    /// <summary>The service ports that may have come or gone since the table before.</summary>
    public ImmutableArray<int> TouchedPorts { get; }

    public IEnumerable<AppRoutes> Apps => _apps.Values.OrderBy(x => x.Source.Service.App);
    public IEnumerable<int> Ports => _ports.Keys;

    public PortRoute? ByPort(int port) => _ports.TryGetValue(port, out var claimants) ? claimants[0] : null;

    /// <summary>Exact names first, then the longest wildcard that covers the name.</summary>
    public PortRoute? ByHost(string host)
    {
        if (_hosts.TryGetValue(host, out var exact)) return exact.Winner;
        for (var dot = host.IndexOf('.'); dot >= 0; dot = host.IndexOf('.', dot + 1))
            if (_hosts.TryGetValue($"*{host.AsSpan(dot)}", out var wildcard)) return wildcard.Winner;
        return null;
    }

    public IEnumerable<RouteProblem> Problems =>
        _apps.Values.SelectMany(x => x.Spec.Problems)
            .Concat(_ports.Where(x => x.Value.Length > 1).SelectMany(x => x.Value.Skip(1).Select(loser =>
                new RouteProblem(loser.Spec.App, $"port {loser.Spec.Index}", $"service port {x.Key} belongs to {x.Value[0].Spec.App}"))))
            .Concat(_hosts.SelectMany(x => x.Value.Losers.Select(loser =>
                new RouteProblem(loser.Spec.App, $"port {loser.Spec.Index}", $"host name {x.Key} belongs to {x.Value.Winner.Spec.App}"))))
            .OrderBy(x => x.App).ThenBy(x => x.Where, StringComparer.Ordinal).ThenBy(x => x.Reason, StringComparer.Ordinal);

    /// <param name="touched">The apps that may differ from <paramref name="previous"/>, where the caller knows them; otherwise all are compared, by reference.</param>
    public static RouteTable Build(RouteTable previous, EndpointSnapshot snapshot, string domain, IEnumerable<AppId>? touched = null)
    {
        var draft = new Draft(previous, domain);
        foreach (var app in touched ?? previous.DifferingFrom(snapshot)) draft.Set(app, snapshot.Services.GetValueOrDefault(app));
        return draft.Table(snapshot.Cursor);
    }

    private List<AppId> DifferingFrom(EndpointSnapshot snapshot)
    {
        var differing = new List<AppId>();
        foreach (var (app, entry) in snapshot.Services)
            if (!_apps.TryGetValue(app, out var known) || !ReferenceEquals(known.Source, entry)) differing.Add(app);
        if (_apps.Count + differing.Count > snapshot.Services.Count) differing.AddRange(_apps.Keys.Where(x => !snapshot.Services.ContainsKey(x)));
        return differing;
    }

    /// <summary>Who claims one host name, those by their own id first; never empty.</summary>
    private readonly record struct HostClaimants(ImmutableArray<PortRoute> ByOwnName, ImmutableArray<PortRoute> ByLabel)
    {
        public static readonly HostClaimants None = new([], []);
        public PortRoute Winner => ByOwnName.IsEmpty ? ByLabel[0] : ByOwnName[0];
        public IEnumerable<PortRoute> Losers => ByOwnName.Concat(ByLabel).Skip(1);
        public bool IsEmpty => ByOwnName.IsEmpty && ByLabel.IsEmpty;

        public HostClaimants With(PortRoute route, bool own) =>
            own ? this with { ByOwnName = Insert(ByOwnName, route) } : this with { ByLabel = Insert(ByLabel, route) };

        public HostClaimants Without(PortRoute route, bool own) =>
            own ? this with { ByOwnName = ByOwnName.Remove(route) } : this with { ByLabel = ByLabel.Remove(route) };
    }

    private static ImmutableArray<PortRoute> Insert(ImmutableArray<PortRoute> sorted, PortRoute route)
    {
        var at = sorted.BinarySearch(route, ById);
        return sorted.Insert(at < 0 ? ~at : at, route);
    }

    /// <summary>A table while it is being built: the previous one's trees, changed only where apps differ.</summary>
    private sealed class Draft(RouteTable previous, string domain)
    {
        private readonly ImmutableDictionary<AppId, AppRoutes>.Builder _apps = previous._apps.ToBuilder();
        private readonly ImmutableDictionary<string, HostClaimants>.Builder _hosts = previous._hosts.ToBuilder();
        private readonly ImmutableDictionary<int, ImmutableArray<PortRoute>>.Builder _ports = previous._ports.ToBuilder();
        private readonly List<Upstream> _withdrawn = [];
        private readonly SortedSet<int> _touchedPorts = [];

        public RouteTable Table(EndpointCursor cursor) =>
            new(cursor, _apps.ToImmutable(), _hosts.ToImmutable(), _ports.ToImmutable(), [.. _withdrawn], [.. _touchedPorts]);

        public void Set(AppId app, ServiceEntry? entry)
        {
            var before = _apps.GetValueOrDefault(app);
            if (ReferenceEquals(before?.Source, entry)) return;
            if (before is not null)
                foreach (var route in before.Ports) Drop(route);
            if (entry is null)
            {
                _apps.Remove(app);
                _withdrawn.AddRange(before!.Upstreams.Values);
                return;
            }
            var after = Routes(before, entry, domain);
            _apps[app] = after;
            foreach (var route in after.Ports) Add(route);
            if (before is not null) _withdrawn.AddRange(before.Upstreams.Values.Where(x => !after.Upstreams.ContainsKey(x.Instance)));
        }

        private void Add(PortRoute route)
        {
            foreach (var claim in route.Spec.Hosts) _hosts[claim.Host] = _hosts.GetValueOrDefault(claim.Host, HostClaimants.None).With(route, claim.OwnName);
            if (route.Spec.ServicePort is not (> 0 and var port)) return;
            _ports[port] = Insert(_ports.GetValueOrDefault(port, []), route);
            _touchedPorts.Add(port);
        }

        private void Drop(PortRoute route)
        {
            foreach (var claim in route.Spec.Hosts)
                if (_hosts[claim.Host].Without(route, claim.OwnName) is { IsEmpty: false } left) _hosts[claim.Host] = left;
                else _hosts.Remove(claim.Host);
            if (route.Spec.ServicePort is not (> 0 and var port)) return;
            if (_ports[port].Remove(route) is { IsEmpty: false } others) _ports[port] = others;
            else _ports.Remove(port);
            _touchedPorts.Add(port);
        }
    }

    private static AppRoutes Routes(AppRoutes? before, ServiceEntry entry, string domain)
    {
        var spec = before is not null && ReferenceEquals(before.Source.Service, entry.Service) ? before.Spec : AppLabels.Read(entry.Service, domain);
        var known = before?.Upstreams ?? ImmutableDictionary<InstanceId, Upstream>.Empty;
        var upstreams = known.ToBuilder();
        upstreams.RemoveRange(known.Keys.Where(x => !entry.Endpoints.ContainsKey(x)));
        foreach (var instance in entry.Endpoints.Keys)
            if (!known.ContainsKey(instance)) upstreams[instance] = new Upstream(instance);

        var ports = spec.Ports.Items.Select(port => new PortRoute(
            port,
            Targets(port, entry, upstreams),
            before?.Ports.FirstOrDefault(x => x.Spec.Index == port.Index)?.Tally ?? new Tally()));
        return new AppRoutes(entry, spec, [.. ports], upstreams.ToImmutable());
    }

    private static Target[] Targets(PortSpec port, ServiceEntry entry, ImmutableDictionary<InstanceId, Upstream>.Builder upstreams)
    {
        var targets = new List<Target>(entry.Endpoints.Count);
        foreach (var endpoint in entry.Endpoints.Values)
        {
            if (endpoint.Ports.Items.FirstOrDefault(x => x.Index == port.Index) is not { } reached) continue;
            if (reached.HostPort > 0) targets.Add(new Target(upstreams[endpoint.Instance], endpoint.Address, reached.HostPort));
            else if (endpoint.ContainerAddress is { } address && reached.ContainerPort is > 0 and var inside)
                targets.Add(new Target(upstreams[endpoint.Instance], address, inside));
        }
        return [.. targets];
    }
}
