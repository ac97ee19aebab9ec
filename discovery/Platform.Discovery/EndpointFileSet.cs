using System.Collections.Immutable;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>What the files say. Pure text; the writer puts it on disk.</summary>
public static class EndpointFileSet
{
    /// <summary>One app with its ready instances: <c>apps/shop_web.json</c>.</summary>
    public static byte[] App(ServiceEntry entry) => EndpointJson.Render(json => EndpointJson.Entry(json, entry), indented: true);

    /// <summary>No two apps share one: an app id has no underscore.</summary>
    public static string AppFileName(AppId app) => $"{app.Underscored}.json";

    /// <summary>Prometheus's file_sd format: one group for each TCP port of each instance, for only a group has labels.</summary>
    public static byte[] Prometheus(ImmutableSortedDictionary<AppId, ServiceEntry> services) => EndpointJson.Render(json =>
    {
        json.WriteStartArray();
        foreach (var entry in services.Values)
            foreach (var endpoint in entry.Endpoints.Values)
                foreach (var port in endpoint.Ports)
                    if (port.Protocol.Contains("tcp", StringComparison.Ordinal) && EndpointJson.Reach(endpoint, port) is var (address, number))
                        Target(json, entry.Service, endpoint, port, address, number);
        json.WriteEndArray();
    }, indented: true);

    /// <summary>The revision the files show, and the names of the files that are ours to remove.</summary>
    public static byte[] Meta(EndpointCursor cursor, IEnumerable<string> files) => EndpointJson.Render(json =>
    {
        json.WriteStartObject();
        json.WriteString("epoch", cursor.Epoch);
        json.WriteNumber("revision", cursor.Revision);
        json.WriteStartArray("files");
        foreach (var file in files.Order(StringComparer.Ordinal)) json.WriteStringValue(file);
        json.WriteEndArray();
        json.WriteEndObject();
    }, indented: true);

    /// <summary>The files an earlier writer named as its own; none if it wrote nothing readable.</summary>
    public static ImmutableArray<string> FilesOf(ReadOnlySpan<byte> meta)
    {
        try
        {
            var reader = new Utf8JsonReader(meta);
            using var document = JsonDocument.ParseValue(ref reader);
            return document.RootElement.TryGetProperty("files", out var files) && files.ValueKind == JsonValueKind.Array
                ? [.. files.EnumerateArray().Where(x => x.ValueKind == JsonValueKind.String).Select(x => x.GetString()!)]
                : [];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return [];
        }
    }

    private static void Target(Utf8JsonWriter json, Service service, Endpoint endpoint, EndpointPort port, string address, int number)
    {
        json.WriteStartObject();
        json.WriteStartArray("targets");
        json.WriteStringValue(address.Contains(':', StringComparison.Ordinal) ? $"[{address}]:{number}" : $"{address}:{number}");
        json.WriteEndArray();
        json.WriteStartObject("labels");
        json.WriteString("job", service.App.Underscored);
        json.WriteString("app", service.App.Path);
        json.WriteString("version", endpoint.Version.ToString());
        json.WriteString("instance_id", endpoint.Instance.Text);
        json.WriteString("node", endpoint.Node.Name);
        json.WriteString("port_index", port.Index.ToString(System.Globalization.CultureInfo.InvariantCulture));
        if (port.Name is { Length: > 0 } name) json.WriteString("port_name", name);
        var taken = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (key, value) in service.Labels)
            if (LabelName(key) is var label && taken.Add(label)) json.WriteString(label, value);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>An app's label as Prometheus allows one: <c>label_</c> and letters, digits, underscores.</summary>
    private static string LabelName(string key) => "label_" + string.Create(key.Length, key, static (name, source) =>
    {
        for (var i = 0; i < name.Length; i++) name[i] = char.IsAsciiLetterOrDigit(source[i]) ? source[i] : '_';
    });
}
