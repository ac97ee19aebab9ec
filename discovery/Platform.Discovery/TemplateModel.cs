using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// What a template of the user's sees: <c>apps</c> (and <c>app</c>, where one file is made for each), <c>nodes</c>, <c>node</c>, <c>domain</c>,
/// <c>revision</c> and <c>epoch</c>, as plain maps and lists in a fixed order. Whoever prints the revision gets a new file with every change.
/// </summary>
public static class TemplateModel
{
    public static Dictionary<string, object?> Of(EndpointSnapshot table, string domain, string node)
    {
        var apps = table.Services.Values.Select(x => App(x, domain)).ToList();
        return new Dictionary<string, object?>
        {
            ["apps"] = apps,
            ["nodes"] = table.Nodes.Values.Select(x => new Dictionary<string, object?> { ["name"] = x.Node.Name, ["address"] = x.Address }).ToList(),
            ["node"] = node,
            ["domain"] = domain,
            ["revision"] = table.Revision,
            ["epoch"] = table.Cursor.Epoch,
        };
    }

    public static Dictionary<string, object?> App(ServiceEntry entry, string domain)
    {
        var service = entry.Service;
        return new Dictionary<string, object?>
        {
            ["id"] = service.App.Path,
            ["name"] = service.App.Underscored,
            ["dns"] = $"{DnsNames.AppLabel(service.App)}.{domain}",
            ["version"] = service.Version.ToString(),
            ["labels"] = Map(service.Labels),
            ["ports"] = service.Ports.Select(port => new Dictionary<string, object?>
            {
                ["index"] = port.Index,
                ["name"] = port.Name ?? "",
                ["protocol"] = port.Protocol,
                ["servicePort"] = port.Port,
                ["backend"] = EndpointFileSet.BackendName(service, port),
                ["http"] = port.Http,
                ["servers"] = entry.Endpoints.Values.SelectMany(e => e.Ports.Where(p => p.Index == port.Index).Select(p => Server(e, p))).OfType<Dictionary<string, object?>>().ToList(),
            }).ToList(),
            ["endpoints"] = entry.Endpoints.Values.Select(endpoint => new Dictionary<string, object?>
            {
                ["id"] = endpoint.Instance.Text,
                ["node"] = endpoint.Node.Name,
                ["address"] = EndpointJson.AddressOf(endpoint),
                ["version"] = endpoint.Version.ToString(),
                ["ports"] = endpoint.Ports.Select(p => Server(endpoint, p)).OfType<Dictionary<string, object?>>().ToList(),
            }).ToList(),
        };
    }

    /// <summary>Null for a port that cannot be reached.</summary>
    private static Dictionary<string, object?>? Server(Endpoint endpoint, EndpointPort port) => EndpointJson.Reach(endpoint, port) is not var (address, number) ? null : new()
    {
        ["id"] = endpoint.Instance.Text,
        ["node"] = endpoint.Node.Name,
        ["index"] = port.Index,
        ["name"] = port.Name ?? "",
        ["address"] = address,
        ["port"] = number,
        ["at"] = EndpointFileSet.HostAndPort(address, number),
    };

    private static Dictionary<string, object?> Map(EquatableMap map)
    {
        var all = new Dictionary<string, object?>();
        foreach (var (key, value) in map) all[key] = value;
        return all;
    }
}
