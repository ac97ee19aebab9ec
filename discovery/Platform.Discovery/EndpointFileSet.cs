using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// What the files say. Pure text; the writer puts it on disk. None but <c>_meta.json</c> names a revision or a time, so that equal facts are equal
/// bytes and nobody reloads for nothing. Files of all apps are joined from one piece for each, which is made anew when its app changes.
/// </summary>
public static class EndpointFileSet
{
    /// <summary>One app with its ready instances: <c>apps/shop_web.json</c>.</summary>
    public static byte[] App(ServiceEntry entry) => EndpointJson.Render(json => EndpointJson.Entry(json, entry), indented: true);

    /// <summary>No two apps share one: an app id has no underscore.</summary>
    public static string AppFileName(AppId app) => $"{app.Underscored}.json";

    /// <summary>Prometheus's file_sd format: one group for each TCP port of each instance, for only a group has labels.</summary>
    public static byte[] Prometheus(ImmutableSortedDictionary<AppId, ServiceEntry> services) => PrometheusOf(services.Values.Select(PrometheusPiece));

    /// <summary>The groups of one app, as they stand between the brackets of the whole; empty without any.</summary>
    public static byte[] PrometheusPiece(ServiceEntry entry)
    {
        var array = EndpointJson.Render(json =>
        {
            json.WriteStartArray();
            foreach (var (endpoint, port, address, number) in TcpPlaces(entry)) Target(json, entry.Service, endpoint, port, address, number);
            json.WriteEndArray();
        }, indented: true);
        return array.Length == 2 ? [] : array[2..^2]; // without "[\n" and "\n]"
    }

    public static byte[] PrometheusOf(IEnumerable<byte[]> pieces)
    {
        var all = pieces.Where(x => x.Length > 0).ToList();
        if (all.Count == 0) return "[]"u8.ToArray();
        using var whole = new MemoryStream(all.Sum(x => x.Length + 2) + 4);
        whole.Write("[\n"u8);
        for (var i = 0; i < all.Count; i++)
        {
            if (i > 0) whole.Write(",\n"u8);
            whole.Write(all[i]);
        }
        whole.Write("\n]"u8);
        return whole.ToArray();
    }

    /// <summary>
    /// HAProxy's backends and their servers, one backend for each TCP port of each app, to be loaded beside a configuration of one's own
    /// (<c>haproxy -f own.cfg -f servers.cfg</c>), whose defaults say mode, balance and timeouts.
    /// </summary>
    public static byte[] HaproxyOf(IEnumerable<byte[]> pieces) => Joined("# Every app's ready instances. Load beside a configuration with defaults and frontends.\n", pieces);

    public static byte[] HaproxyPiece(ServiceEntry entry)
    {
        var text = new StringBuilder();
        foreach (var port in entry.Service.Ports.Where(IsTcp))
        {
            text.Append("\nbackend ").Append(BackendName(entry.Service, port)).Append('\n');
            foreach (var (endpoint, at, address, number) in TcpPlaces(entry))
                if (at.Index == port.Index)
                    text.Append(CultureInfo.InvariantCulture, $"    server {endpoint.Instance.Text} {HostAndPort(address, number)}\n");
        }
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    /// <summary>The format of /etc/hosts: each address that DNS gives for an app, with both of the app's names.</summary>
    public static byte[] HostsOf(IEnumerable<byte[]> pieces) => Joined("# Every app's names and the addresses of its ready instances.\n", pieces);

    /// <param name="domain">Where apps are named, as in DNS.</param>
    public static byte[] HostsPiece(ServiceEntry entry, string domain)
    {
        var app = entry.Service.App;
        var names = new[] { DnsNames.AppDotted(app), DnsNames.AppLabel(app) }.Where(x => x is { Length: > 0 }).Distinct().Select(x => $"{x}.{domain}");
        var suffix = $" {string.Join(' ', names)}\n";
        return Encoding.UTF8.GetBytes(string.Concat(entry.Endpoints.Values.Select(EndpointJson.AddressOf).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).Select(x => x + suffix)));
    }

    /// <summary>
    /// Envoy's endpoint discovery, <c>envoy/eds/shop_web_10080.json</c>: one file for each cluster, for Envoy takes a single assignment from a file.
    /// Its version is made of what it says, since Envoy wants one and equal facts must stay equal bytes.
    /// </summary>
    public static IEnumerable<(string Name, byte[] Content)> Envoy(ServiceEntry entry)
    {
        foreach (var port in entry.Service.Ports.Where(IsTcp))
        {
            var cluster = BackendName(entry.Service, port);
            var places = TcpPlaces(entry).Where(x => x.Port.Index == port.Index).ToList();
            var version = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', places.Select(x => $"{x.Endpoint.Instance.Text} {x.Address} {x.Number}")))))[..16];
            yield return ($"{cluster}.json", EndpointJson.Render(json => Assignment(json, cluster, version, places), indented: true));
        }
    }

    /// <summary>A backend or cluster is called by its app and service port, as Marathon-LB calls it; a port without one by its index.</summary>
    public static string BackendName(Service service, ServicePort port) => port.Port > 0 && service.Ports.Count(x => x.Port == port.Port) == 1
        ? string.Create(CultureInfo.InvariantCulture, $"{service.App.Underscored}_{port.Port}")
        : string.Create(CultureInfo.InvariantCulture, $"{service.App.Underscored}_port{port.Index}");

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

    internal static bool IsTcp(ServicePort port) => port.Protocol.Contains("tcp", StringComparison.Ordinal);

    internal static string HostAndPort(string address, int number) =>
        (address.Contains(':', StringComparison.Ordinal) ? $"[{address}]:" : $"{address}:") + number.ToString(CultureInfo.InvariantCulture);

    /// <summary>Where each TCP port of each instance is reached; a port that cannot be is left out.</summary>
    private static IEnumerable<(Endpoint Endpoint, EndpointPort Port, string Address, int Number)> TcpPlaces(ServiceEntry entry)
    {
        foreach (var endpoint in entry.Endpoints.Values)
            foreach (var port in endpoint.Ports)
                if (port.Protocol.Contains("tcp", StringComparison.Ordinal) && EndpointJson.Reach(endpoint, port) is var (address, number)) yield return (endpoint, port, address, number);
    }

    private static byte[] Joined(string head, IEnumerable<byte[]> pieces)
    {
        using var whole = new MemoryStream();
        whole.Write(Encoding.UTF8.GetBytes(head));
        foreach (var piece in pieces) whole.Write(piece);
        return whole.ToArray();
    }

    private static void Target(Utf8JsonWriter json, Service service, Endpoint endpoint, EndpointPort port, string address, int number)
    {
        json.WriteStartObject();
        json.WriteStartArray("targets");
        json.WriteStringValue(HostAndPort(address, number));
        json.WriteEndArray();
        json.WriteStartObject("labels");
        json.WriteString("job", service.App.Underscored);
        json.WriteString("app", service.App.Path);
        json.WriteString("version", endpoint.Version.ToString());
        json.WriteString("instance_id", endpoint.Instance.Text);
        json.WriteString("node", endpoint.Node.Name);
        json.WriteString("port_index", port.Index.ToString(CultureInfo.InvariantCulture));
        if (port.Name is { Length: > 0 } name) json.WriteString("port_name", name);
        var taken = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (key, value) in service.Labels)
            if (LabelName(key) is var label && taken.Add(label)) json.WriteString(label, value);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Assignment(Utf8JsonWriter json, string cluster, string version, List<(Endpoint Endpoint, EndpointPort Port, string Address, int Number)> places)
    {
        json.WriteStartObject();
        json.WriteString("version_info", version);
        json.WriteStartArray("resources");
        json.WriteStartObject();
        json.WriteString("@type", "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment");
        json.WriteString("cluster_name", cluster);
        json.WriteStartArray("endpoints");
        if (places.Count > 0)
        {
            json.WriteStartObject();
            json.WriteStartArray("lb_endpoints");
            foreach (var (_, _, address, number) in places)
            {
                json.WriteStartObject();
                json.WriteStartObject("endpoint");
                json.WriteStartObject("address");
                json.WriteStartObject("socket_address");
                json.WriteString("address", address);
                json.WriteNumber("port_value", number);
                json.WriteEndObject();
                json.WriteEndObject();
                json.WriteEndObject();
                json.WriteString("health_status", "HEALTHY");
                json.WriteNumber("load_balancing_weight", 1);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>An app's label as Prometheus allows one: <c>label_</c> and letters, digits, underscores.</summary>
    private static string LabelName(string key) => "label_" + string.Create(key.Length, key, static (name, source) =>
    {
        for (var i = 0; i < name.Length; i++) name[i] = char.IsAsciiLetterOrDigit(source[i]) ? source[i] : '_';
    });
}
