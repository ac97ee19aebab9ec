using System.Collections.Immutable;
using System.Net;
using System.Text.Json;

namespace Platform.Discovery.Client;

/// <summary>A place of one port of one ready instance.</summary>
internal sealed record WatchedEndpoint(int PortIndex, string? PortName, IPEndPoint Address);

/// <summary>What is ready of one app.</summary>
internal sealed record WatchedApp(string Id, ImmutableArray<WatchedEndpoint> Endpoints)
{
    /// <summary><c>/shop/web</c> is <c>web.shop</c>: the name it has in DNS, without the domain.</summary>
    public string Dotted { get; } = string.Join('.', Id.Split('/', StringSplitOptions.RemoveEmptyEntries).Reverse()).ToLowerInvariant();

    /// <summary>And <c>web-shop</c>.</summary>
    public string Hyphened => Dotted.Replace('.', '-');
}

/// <summary>The endpoint table as the stream has told it so far.</summary>
internal sealed record WatchedTable(string Epoch, long Revision, ImmutableDictionary<string, WatchedApp> Services)
{
    public static readonly WatchedTable Empty = new("", 0, ImmutableDictionary<string, WatchedApp>.Empty);

    /// <summary>
    /// The services of that name. An app may be called by its dotted name, which is its own; the hyphened one may be several apps', as in DNS.
    /// </summary>
    public IEnumerable<WatchedApp> Called(string name)
    {
        var dotted = Services.Values.Where(s => s.Dotted == name).ToList();
        return dotted.Count > 0 ? dotted : Services.Values.Where(s => s.Hyphened == name);
    }

    /// <summary>The table after one event of the stream, and the apps it says something of; null for all.</summary>
    public (WatchedTable Table, IReadOnlyCollection<WatchedApp>? Touched) After(JsonElement told)
    {
        var complete = told.GetProperty("complete").GetBoolean();
        var services = (complete ? ImmutableDictionary<string, WatchedApp>.Empty : Services).ToBuilder();
        var touched = new List<WatchedApp>();
        foreach (var service in told.GetProperty("services").EnumerateArray().Select(Service))
        {
            services[service.Id] = service;
            touched.Add(service);
        }
        foreach (var app in told.GetProperty("removed").EnumerateArray().Select(x => x.GetString()!))
            if (services.Remove(app)) touched.Add(new WatchedApp(app, []));
        return (new WatchedTable(told.GetProperty("epoch").GetString()!, told.GetProperty("revision").GetInt64(), services.ToImmutable()), complete ? null : touched);
    }

    private static WatchedApp Service(JsonElement service) => new(
        service.GetProperty("app").GetString()!,
        [
            .. from endpoint in service.GetProperty("endpoints").EnumerateArray()
               from port in endpoint.GetProperty("ports").EnumerateArray()
               where IPAddress.TryParse(port.GetProperty("address").GetString(), out _)
               select new WatchedEndpoint(
                   port.GetProperty("index").GetInt32(),
                   port.TryGetProperty("name", out var name) ? name.GetString() : null,
                   new IPEndPoint(IPAddress.Parse(port.GetProperty("address").GetString()!), port.GetProperty("port").GetInt32())),
        ]);
}
