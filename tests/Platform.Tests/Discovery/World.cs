using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;

namespace Platform.Tests.Discovery;

/// <summary>States an endpoint table in a few words: apps, instances, nodes. Each change is one revision.</summary>
internal sealed class World
{
    public static readonly AppVersion Version = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
    private const string Epoch = "test-cluster";
    private readonly EndpointTable _table = new();
    private long _revision;

    public World() => Feed = new EndpointFeed(_table);

    public EndpointFeed Feed { get; }
    public NodeViews Views { get; } = new();
    public EndpointSnapshot Snapshot => _table.Current;

    public World Node(string name, string address) => Apply(new EndpointChange.NodeSet(new NodeAddress(NodeId.Parse(name), address)));

    public World App(string app, params ServicePort[] ports) => App(app, EquatableMap.Empty, ports);

    public World App(string app, EquatableMap labels, params ServicePort[] ports) =>
        Apply(new EndpointChange.ServiceSet(new Service { App = AppId.Parse(app), Version = Version, Labels = labels, Ports = [.. ports] }));

    public World Gone(string app) => Apply(new EndpointChange.ServiceRemoved(AppId.Parse(app)));

    public World Up(string app, int serial, string node, string address, string? containerAddress = null, params EndpointPort[] ports) =>
        Apply(new EndpointChange.EndpointSet(Endpoint(app, serial, node, address, containerAddress, ports)));

    public World Down(string app, int serial) => Apply(new EndpointChange.EndpointRemoved(AppId.Parse(app), Id(app, serial)));

    public World Apply(params EndpointChange[] changes)
    {
        var from = _revision++;
        Assert.True(Feed.Apply(new EndpointUpdate(Epoch, from, _revision, from == 0, [.. changes])));
        return this;
    }

    public static InstanceId Id(string app, int serial) => InstanceId.Derive(Epoch, AppId.Parse(app), serial);

    public static Endpoint Endpoint(string app, int serial, string node, string address, string? containerAddress, params EndpointPort[] ports) => new()
    {
        Instance = Id(app, serial),
        App = AppId.Parse(app),
        Version = Version,
        Node = NodeId.Parse(node),
        Address = address,
        ContainerAddress = containerAddress,
        ReadyAt = Version.At.AddSeconds(serial),
        Ports = [.. ports],
    };

    public static ServicePort Port(int index, int port, string? name = null, string protocol = "tcp", bool http = false) =>
        new(index, port, protocol, name, http, EquatableMap.Empty);

    public static EndpointPort At(int index, int hostPort, string? name = null, int? containerPort = null, int servicePort = 0, string protocol = "tcp") =>
        new(index, hostPort, containerPort, servicePort, protocol, name);

    /// <summary>Waits for a fact with a deadline that explains itself; the fact is pushed, so this is no measure of time.</summary>
    public async Task ServedAsync(string view)
    {
        using var patience = new CancellationTokenSource(Suite.Patience);
        var state = Views.Current;
        while (!state.Served.TryGetValue(view, out var cursor) || cursor.Revision < _revision)
            try
            {
                state = await Views.ChangedAsync(state, patience.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"view {view} stands at {state.Served.GetValueOrDefault(view)}, the table at {_revision}");
            }
    }

    /// <summary>Apps and instances of every shape the zone, the KV tree and the files have to render.</summary>
    public static World Assorted() => new World()
        .Node("node-1", "10.0.0.1").Node("node-2", "10.0.0.2")
        .App("/nginx", Port(0, 10000, http: true))
        .Up("/nginx", 1, "node-1", "10.0.0.1", "172.18.0.5", At(0, 31001, null, 80, 10000))
        .Up("/nginx", 2, "node-2", "10.0.0.2", "172.18.0.6", At(0, 31002, null, 80, 10000))
        .App("/prod/eu/web", EquatableMap.From([KeyValuePair.Create("team", "blue")]), Port(0, 10001, "http"), Port(1, 10002, "dns", "udp,tcp"))
        .Up("/prod/eu/web", 3, "node-1", "10.0.0.1", null, At(0, 31003, "http", null, 10001), At(1, 31004, "dns", null, 10002, "udp,tcp"))
        .App("/inner", Port(0, 10003))
        .Up("/inner", 4, "node-1", "10.0.0.1", "172.18.0.7", At(0, 0, null, 8080, 10003))
        .App("/mixed", Port(0, 10004), Port(1, 10005, "admin"))
        .Up("/mixed", 5, "node-2", "10.0.0.2", "172.18.0.8", At(0, 31005, null, 80, 10004), At(1, 0, "admin", 9000, 10005))
        .App("/six", Port(0, 10006))
        .Up("/six", 6, "node-1", "fd00::1", null, At(0, 31006, null, null, 10006))
        .App("/quiet", Port(0, 10007))
        .App("/batch")
        .Up("/batch", 7, "node-1", "10.0.0.1");
}
