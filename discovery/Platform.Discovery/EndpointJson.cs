using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// The JSON in which KV values, files and the watch tell of services and endpoints. It names no generation and no time of writing,
/// so that equal facts are equal bytes and nobody reloads for nothing.
/// </summary>
public static class EndpointJson
{
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonWriterOptions Indented = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = true, NewLine = "\n" };

    internal static byte[] Render(Action<Utf8JsonWriter> write, bool indented = false)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, indented ? Indented : Compact)) write(json);
        return [.. buffer.WrittenSpan];
    }

    internal static void Service(Utf8JsonWriter json, Service service)
    {
        json.WriteStartObject();
        ServiceMembers(json, service);
        json.WriteEndObject();
    }

    /// <summary>A service with its ready instances.</summary>
    public static void Entry(Utf8JsonWriter json, ServiceEntry entry)
    {
        json.WriteStartObject();
        ServiceMembers(json, entry.Service);
        json.WriteStartArray("endpoints");
        foreach (var endpoint in entry.Endpoints.Values) Endpoint(json, endpoint);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    internal static void ServiceMembers(Utf8JsonWriter json, Service service)
    {
        json.WriteString("app", service.App.Path);
        json.WriteString("version", service.Version.ToString());
        Map(json, "labels", service.Labels);
        json.WriteStartArray("ports");
        foreach (var port in service.Ports)
        {
            json.WriteStartObject();
            json.WriteNumber("index", port.Index);
            if (port.Name is { Length: > 0 } name) json.WriteString("name", name);
            json.WriteString("protocol", port.Protocol);
            json.WriteNumber("servicePort", port.Port);
            Map(json, "labels", port.Labels);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <summary>Every port says where it is reached: the node's address for a published one, else the container's.</summary>
    internal static void Endpoint(Utf8JsonWriter json, Endpoint endpoint)
    {
        json.WriteStartObject();
        json.WriteString("id", endpoint.Instance.Text);
        json.WriteString("app", endpoint.App.Path);
        json.WriteString("version", endpoint.Version.ToString());
        json.WriteString("node", endpoint.Node.Name);
        json.WriteString("address", endpoint.Address);
        if (endpoint.ContainerAddress is { } container) json.WriteString("containerAddress", container);
        json.WriteString("readyAt", Timestamps.Text(endpoint.ReadyAt));
        json.WriteStartArray("ports");
        foreach (var port in endpoint.Ports)
        {
            if (Reach(endpoint, port) is not var (address, number)) continue;
            json.WriteStartObject();
            json.WriteNumber("index", port.Index);
            if (port.Name is { Length: > 0 } name) json.WriteString("name", name);
            json.WriteString("protocol", port.Protocol);
            json.WriteString("address", address);
            json.WriteNumber("port", number);
            json.WriteNumber("servicePort", port.ServicePort);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>Null for a port that cannot be reached from anywhere: neither published nor in a container with an address.</summary>
    internal static (string Address, int Port)? Reach(Endpoint endpoint, EndpointPort port) =>
        port.HostPort > 0 ? (endpoint.Address, port.HostPort)
        : endpoint.ContainerAddress is { } container && port.ContainerPort is > 0 and var inside ? (container, inside)
        : null;

    internal static void Map(Utf8JsonWriter json, string name, EquatableMap map)
    {
        json.WriteStartObject(name);
        foreach (var (key, value) in map) json.WriteString(key, value);
        json.WriteEndObject();
    }
}
