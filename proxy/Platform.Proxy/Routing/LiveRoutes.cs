using Microsoft.Extensions.Primitives;
using Platform.Model;

namespace Platform.Proxy.Routing;

/// <summary>A route that was looked up, and what it holds for: this name in this table.</summary>
internal readonly record struct RouteMemo(RouteTable? Table, string? Host, PortRoute? Route);

/// <summary>
/// The route table in force, and what earlier ones have left in flight. Requests enter and exit; one writer puts new tables in force.
/// </summary>
/// <remarks>
/// The order that makes drain exact: the new table is put in force, then what it no longer has is marked withdrawn, then counts are read.
/// A request that chose from the old table enters before the mark, and is counted, or after it, is turned away and chooses again from the new one.
/// </remarks>
internal sealed class LiveRoutes(Action drained)
{
    private const int ChoicesMax = 16;

    private volatile RouteTable _table = RouteTable.Empty;
    private readonly List<Upstream> _withdrawn = [];

    public RouteTable Table => _table;

    /// <summary>The port of the edge door, where the Host header decides.</summary>
    public int EdgePort { get; set; }

    /// <summary>
    /// The route of a request and, counted in, the endpoint it goes to; <see cref="Exit"/> has to follow. No route: nobody knows the name.
    /// No target: no endpoint is ready.
    /// </summary>
    public (PortRoute? Route, Target? Target) Enter(int localPort, StringValues host, Upstream? avoid)
    {
        RouteMemo memo = default;
        var target = Enter(localPort, host.ToString(), avoid, ref memo);
        return (memo.Route, target);
    }

    /// <summary>The same for one that keeps asking for the same name: its route is looked up once in a table.</summary>
    public Target? Enter(int localPort, string host, Upstream? avoid, ref RouteMemo memo)
    {
        for (var i = 0; i < ChoicesMax; i++)
        {
            var table = _table;
            if (!ReferenceEquals(memo.Table, table) || !ReferenceEquals(memo.Host, host)) memo = new RouteMemo(table, host, Find(table, localPort, host));
            if (memo.Route is not { } route) return null;
            var target = Balancing.Choose(route.Targets, route.Tally.NextRotation(), avoid, Environment.TickCount64);
            if (target is null || target.Upstream.TryEnter()) return target;
        }
        return null; // that many tables in a row changed under one request: say 503 rather than spin
    }

    private PortRoute? Find(RouteTable table, int localPort, string host) =>
        localPort == EdgePort ? table.ByHost(HostNames.Bare(host)) : table.ByPort(localPort, host);

    public void Exit(Target target)
    {
        if (target.Upstream.Exit()) drained();
    }

    /// <summary>Puts a table in force. Only one caller at a time, the same that asks for <see cref="Draining"/>.</summary>
    public void Apply(RouteTable table)
    {
        _table = table;
        foreach (var upstream in table.Withdrawn) upstream.Withdraw();
        _withdrawn.AddRange(table.Withdrawn);
    }

    /// <summary>The withdrawn instances that still have something in flight; forgets those that do not.</summary>
    public EquatableArray<InstanceId> Draining()
    {
        _withdrawn.RemoveAll(x => x.InFlight == 0);
        return _withdrawn.Select(x => x.Instance).Distinct().Order().ToEquatableArray();
    }
}
