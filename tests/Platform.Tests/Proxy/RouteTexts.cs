using System.Text;
using System.Text.Json;
using Platform.Discovery;
using Platform.Model;
using Platform.Proxy;
using Platform.Proxy.Routing;

namespace Platform.Tests.Proxy;

/// <summary>Reads a golden case's endpoints.json and writes a table as its routes.json.</summary>
internal static class RouteTexts
{
    public const string Domain = "marathon.mesos";
    public static readonly AppVersion Version = new(DateTimeOffset.UnixEpoch);

    public static InstanceId Instance(AppId app, long serial) => InstanceId.Derive("test", app, serial);

    public static EndpointSnapshot Snapshot(string json)
    {
        using var document = JsonDocument.Parse(json);
        var changes = document.RootElement.EnumerateArray().SelectMany(Changes).ToEquatableArray();
        var table = new EndpointTable();
        return table.Apply(new EndpointUpdate("golden", 0, 7, true, changes))!;
    }

    public static string Text(RouteTable table)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            AdminPages.WriteTable(json, table);
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray()) + "\n";
    }

    private static IEnumerable<EndpointChange> Changes(JsonElement service)
    {
        var app = AppId.Parse(service.GetProperty("app").GetString()!);
        var ports = service.GetProperty("ports").EnumerateArray().Select((p, i) => new ServicePort(
            i, p.GetProperty("port").GetInt32(),
            p.TryGetProperty("protocol", out var protocol) ? protocol.GetString()! : "tcp", null,
            p.TryGetProperty("http", out var http) && http.GetBoolean(), EquatableMap.Empty)).ToEquatableArray();
        var labels = service.TryGetProperty("labels", out var map)
            ? EquatableMap.From(map.EnumerateObject().Select(x => KeyValuePair.Create(x.Name, x.Value.GetString()!)))
            : EquatableMap.Empty;
        yield return new EndpointChange.ServiceSet(new Service { App = app, Version = Version, Labels = labels, Ports = ports });
        if (!service.TryGetProperty("endpoints", out var endpoints)) yield break;
        foreach (var endpoint in endpoints.EnumerateArray())
            yield return new EndpointChange.EndpointSet(new Endpoint
            {
                Instance = Instance(app, endpoint.GetProperty("serial").GetInt64()),
                App = app,
                Version = Version,
                Node = NodeId.Parse("n1"),
                Address = endpoint.GetProperty("address").GetString()!,
                ContainerAddress = endpoint.TryGetProperty("containerAddress", out var inside) ? inside.GetString() : null,
                ReadyAt = DateTimeOffset.UnixEpoch,
                Ports = endpoint.GetProperty("hostPorts").EnumerateArray()
                    .Select((p, i) => new EndpointPort(i, p.GetInt32(), 8080, ports[i].Port, ports[i].Protocol, null)).ToEquatableArray(),
            });
    }
}
