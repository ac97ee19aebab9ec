namespace Platform.Model;

/// <summary>
/// One ready instance, as every view publishes it. It exists if and only if the instance is meant to run and is ready
/// (healthy, where its app has checks), and its node is not lost.
/// </summary>
public sealed record Endpoint
{
    public required InstanceId Instance { get; init; }
    public required AppId App { get; init; }
    public required AppVersion Version { get; init; }
    public required NodeId Node { get; init; }

    /// <summary>The node's address; the host ports are reached there.</summary>
    public required string Address { get; init; }

    /// <summary>The container's own address, where it has one.</summary>
    public string? ContainerAddress { get; init; }

    /// <summary>Since when it is ready; of one that is not yet (<see cref="EndpointChange.StartingSet"/>), since when it runs.</summary>
    public required DateTimeOffset ReadyAt { get; init; }

    /// <summary>In declared order.</summary>
    public EquatableArray<EndpointPort> Ports { get; init; }
}

/// <summary>
/// Reached at the endpoint's <see cref="Endpoint.Address"/>:<paramref name="HostPort"/>, or, when that is 0, at its container address and
/// <paramref name="ContainerPort"/>.
/// </summary>
public sealed record EndpointPort(int Index, int HostPort, int? ContainerPort, int ServicePort, string Protocol, string? Name);

/// <summary>An app as discovery and the proxies know it, whether or not it has an endpoint now: a service port with none answers 503.</summary>
public sealed record Service
{
    public required AppId App { get; init; }
    public required AppVersion Version { get; init; }
    public EquatableMap Labels { get; init; } = EquatableMap.Empty;
    public EquatableArray<ServicePort> Ports { get; init; }

    /// <summary>No app of ours: somebody registered it.</summary>
    [System.Text.Json.Serialization.JsonIgnore(Condition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingDefault)]
    public bool Registered { get; init; }
}

/// <summary><paramref name="Http"/>: whether an HTTP health check addresses this port, which makes it an HTTP port unless a label says otherwise.</summary>
public sealed record ServicePort(int Index, int Port, string Protocol, string? Name, bool Http, EquatableMap Labels);

/// <summary>A node as discovery names it (<c>slave.&lt;domain&gt;</c>).</summary>
public sealed record NodeAddress(NodeId Node, string Address);

/// <summary>One change of the endpoint table.</summary>
public abstract record EndpointChange
{
    private EndpointChange() { }

    public sealed record ServiceSet(Service Service) : EndpointChange;
    public sealed record ServiceRemoved(AppId App) : EndpointChange;
    public sealed record EndpointSet(Endpoint Endpoint) : EndpointChange;
    public sealed record EndpointRemoved(AppId App, InstanceId Instance) : EndpointChange;

    /// <summary>An instance that runs and is not ready, of an app that asks for it (<see cref="DnsView.AllLabel"/>). It is no endpoint: only the view of everything shows it.</summary>
    public sealed record StartingSet(Endpoint Endpoint) : EndpointChange;
    public sealed record StartingRemoved(AppId App, InstanceId Instance) : EndpointChange;

    public sealed record NodeSet(NodeAddress Node) : EndpointChange;
    public sealed record NodeRemoved(NodeId Node) : EndpointChange;
}

/// <summary>A place in the endpoint table's history. The epoch is the cluster's id: revisions of different epochs do not compare.</summary>
public readonly record struct EndpointCursor(string Epoch, long Revision)
{
    public static readonly EndpointCursor Start = new("", 0);
}

/// <summary>Brings a table from one revision to a later one; when <see cref="Complete"/>, from nothing.</summary>
public sealed record EndpointUpdate(string Epoch, long From, long To, bool Complete, EquatableArray<EndpointChange> Changes)
{
    /// <summary>The apps it says something of.</summary>
    public HashSet<AppId> TouchedApps()
    {
        var touched = new HashSet<AppId>();
        foreach (var change in Changes)
            switch (change)
            {
                case EndpointChange.ServiceSet x: touched.Add(x.Service.App); break;
                case EndpointChange.ServiceRemoved x: touched.Add(x.App); break;
                case EndpointChange.EndpointSet x: touched.Add(x.Endpoint.App); break;
                case EndpointChange.EndpointRemoved x: touched.Add(x.App); break;
                case EndpointChange.StartingSet x: touched.Add(x.Endpoint.App); break;
                case EndpointChange.StartingRemoved x: touched.Add(x.App); break;
                case EndpointChange.NodeSet or EndpointChange.NodeRemoved: break;
                default: throw new System.Diagnostics.UnreachableException($"{change}");
            }
        return touched;
    }
}
