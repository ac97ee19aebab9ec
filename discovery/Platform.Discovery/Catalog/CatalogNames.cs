using System.Globalization;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>
/// How apps become services of the catalog. The first port of <c>/shop/web</c> is the service <c>web-shop</c>, as in DNS; a further one has its
/// name or number behind, <c>web-shop-admin</c>, <c>web-shop-port2</c>. Labels are tags: <c>tier=front</c>, or the bare key where the value is
/// empty or <c>tag</c>; what <c>SERVICE_TAGS</c> lists are tags of their own. The labels of a port are that port's alone.
/// </summary>
public static class CatalogNames
{
    public const string TagsLabel = "SERVICE_TAGS";

    public static string Service(AppId app, int index, string? portName) => index == 0
        ? DnsNames.AppLabel(app)
        : $"{DnsNames.AppLabel(app)}-{PortSuffix(index, portName)}";

    public static string InstanceId(InstanceId instance, int index, string? portName) =>
        index == 0 ? instance.Text : $"{instance.Text}:{PortSuffix(index, portName)}";

    private static string PortSuffix(int index, string? portName) =>
        portName is { Length: > 0 } && DnsNames.Label(portName) is { Length: > 0 } label ? label : string.Create(CultureInfo.InvariantCulture, $"port{index}");

    public static EquatableArray<string> Tags(EquatableMap labels, EquatableMap portLabels)
    {
        var tags = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var (key, value) in labels.Concat(portLabels))
            if (key == TagsLabel) tags.UnionWith(value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
            else tags.Add(value is "" or "tag" ? key : $"{key}={value}");
        return tags.ToEquatableArray();
    }

    public static EquatableMap Meta(Endpoint endpoint, EndpointPort port)
    {
        var meta = new Dictionary<string, string>
        {
            ["app"] = endpoint.App.Path,
            ["version"] = endpoint.Version.ToString(),
            ["instance"] = endpoint.Instance.Text,
            ["port_index"] = port.Index.ToString(CultureInfo.InvariantCulture),
            ["protocol"] = port.Protocol,
        };
        if (port.Name is { Length: > 0 } name) meta["port_name"] = name;
        if (port.ServicePort > 0) meta["service_port"] = port.ServicePort.ToString(CultureInfo.InvariantCulture);
        return EquatableMap.From(meta);
    }

    /// <summary>The services of an app and its instances as they stand in the catalog; a port that can be reached from nowhere is none.</summary>
    public static IEnumerable<CatalogInstance> Of(ServiceEntry entry, long revision)
    {
        var ports = entry.Service.Ports.ToDictionary(
            x => x.Index, x => (Name: Service(entry.Service.App, x.Index, x.Name), Tags: Tags(entry.Service.Labels, x.Labels)));
        foreach (var endpoint in entry.Endpoints.Values)
            foreach (var port in endpoint.Ports)
            {
                if (EndpointJson.Reach(endpoint, port) is not var (address, number)) continue;
                // An endpoint of an older version may have a port that the newest definition has not.
                if (!ports.TryGetValue(port.Index, out var named))
                    named = (Service(endpoint.App, port.Index, port.Name), Tags(entry.Service.Labels, EquatableMap.Empty));
                yield return new CatalogInstance
                {
                    Node = endpoint.Node.Name, Id = InstanceId(endpoint.Instance, port.Index, port.Name), Name = named.Name, Tags = named.Tags,
                    Address = address, Port = number, CreateIndex = revision, ModifyIndex = revision, Task = (endpoint, port),
                };
            }
    }
}
