using System.Globalization;
using System.Net;
using Platform.Model;

namespace Platform.Proxy.Routing;

/// <summary>
/// Reads a service's ports and its Marathon-LB labels (<c>HAPROXY_{n}_NAME</c>, n = index of the port). A label that is wrong is a problem of
/// that app and has no effect; it never reaches another app.
/// </summary>
/// <remarks>
/// Mode of a port: the MODE label; else http. (Marathon-LB's own default is tcp unless VHOST or an http check says http. Here a bare service
/// port speaks http, because then an app with no ready task can answer 503 with a reason; MODE=tcp gives the plain relay.) udp ports are not proxied.
/// </remarks>
internal static class AppLabels
{
    private const string Prefix = "HAPROXY_";

    public static AppSpec Read(Service service, string domain)
    {
        var problems = new List<RouteProblem>();
        var byPort = LabelsByPort(service, problems);
        var ports = new List<PortSpec>();
        foreach (var port in service.Ports)
            if (Port(service.App, port, byPort.GetValueOrDefault(port.Index), problems) is { } spec) ports.Add(spec);

        var first = ports.FindIndex(x => x.Mode == PortMode.Http);
        if (first >= 0) ports[first] = WithOwnNames(ports[first], domain);
        return new AppSpec(ports.ToEquatableArray(), problems.ToEquatableArray());
    }

    private static PortSpec WithOwnNames(PortSpec spec, string domain)
    {
        var names = HostNames.Of(spec.App, domain).Select(x => new HostClaim(x, OwnName: true)).ToArray();
        return spec with { Hosts = names.Concat(spec.Hosts.Where(x => !names.Any(n => n.Host == x.Host))).ToEquatableArray() };
    }

    private static Dictionary<int, Dictionary<string, string>> LabelsByPort(Service service, List<RouteProblem> problems)
    {
        var byPort = new Dictionary<int, Dictionary<string, string>>();
        foreach (var (label, value) in service.Labels)
        {
            if (!label.StartsWith(Prefix, StringComparison.Ordinal)) continue;
            var rest = label.AsSpan(Prefix.Length);
            if (rest.IndexOf('_') is not (> 0 and var cut) || !int.TryParse(rest[..cut], NumberStyles.None, CultureInfo.InvariantCulture, out var index))
                continue; // HAPROXY_GROUP and the blue/green labels: they name no port, and every app is in this proxy's group
            if (!service.Ports.Any(x => x.Index == index))
            {
                problems.Add(new RouteProblem(service.App, label, $"the app has no port {index}"));
                continue;
            }
            if (!byPort.TryGetValue(index, out var labels)) byPort[index] = labels = new Dictionary<string, string>(StringComparer.Ordinal);
            labels[rest[(cut + 1)..].ToString()] = value;
        }
        return byPort;
    }

    private static PortSpec? Port(AppId app, ServicePort port, Dictionary<string, string>? labels, List<RouteProblem> problems)
    {
        if (port.Protocol == "udp") return null;
        // "udp,tcp" is one protocol over both, such as DNS: its tcp half is no HTTP
        var spec = new PortSpec
        {
            App = app,
            Index = port.Index,
            ServicePort = port.Port,
            Mode = port.Protocol.Contains("udp", StringComparison.Ordinal) ? PortMode.Tcp : PortMode.Http,
        };
        if (labels is null) return spec;
        if (labels.TryGetValue("ENABLED", out var enabled) && !IsTrue(enabled)) return null;

        foreach (var (name, value) in labels.OrderBy(x => x.Key, StringComparer.Ordinal))
        {
            var (next, why) = Apply(spec, name, value.Trim());
            spec = next;
            if (why is not null) problems.Add(new RouteProblem(app, $"{Prefix}{port.Index}_{name}", why));
        }
        if (spec.Mode == PortMode.Tcp && !spec.Hosts.IsEmpty)
        {
            problems.Add(new RouteProblem(app, $"{Prefix}{port.Index}_VHOST", "a tcp port has no host names: it is reached by its service port"));
            spec = spec with { Hosts = default };
        }
        return spec;
    }

    private static (PortSpec Spec, string? Why) Apply(PortSpec spec, string name, string value) => name switch
    {
        "ENABLED" or "GROUP" => (spec, null),
        "MODE" => value.ToUpperInvariant() switch
        {
            "HTTP" => (spec with { Mode = PortMode.Http }, null),
            "TCP" => (spec with { Mode = PortMode.Tcp }, null),
            _ => (spec, $"'{value}' is neither http nor tcp"),
        },
        "PORT" => int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and <= 65535
            ? (spec with { ServicePort = port }, null)
            : (spec, $"'{value}' is no port number"),
        "VHOST" => Hosts(spec, value),
        "BACKEND_NETWORK_ALLOWED_ACL" => Sources(spec, value),
        "AUTH" => (spec with { ClosedBecause = "this proxy cannot ask for the password that HAPROXY_n_AUTH wants" },
            "passwords are not supported: the port answers nobody, so that it is not open by mistake"),
        _ => (spec, "is not supported here and has no effect"),
    };

    private static (PortSpec, string?) Hosts(PortSpec spec, string value)
    {
        var hosts = value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .Select(x => x.ToLowerInvariant()).Distinct(StringComparer.Ordinal).ToArray();
        var bad = hosts.Where(x => !HostNames.IsValid(x)).ToArray();
        var claims = hosts.Except(bad, StringComparer.Ordinal).Select(x => new HostClaim(x, OwnName: false)).ToEquatableArray();
        return (spec with { Hosts = claims }, bad.Length == 0 ? null : $"{string.Join(", ", bad.Select(x => $"'{x}'"))}: no host name");
    }

    private static (PortSpec, string?) Sources(PortSpec spec, string value)
    {
        var networks = new List<IPNetwork>();
        foreach (var text in value.Split([',', ' '], StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (IPNetwork.TryParse(text, out var network)) networks.Add(network);
            else if (IPAddress.TryParse(text, out var address)) networks.Add(new IPNetwork(address, address.GetAddressBytes().Length * 8));
            else return (spec with { ClosedBecause = "HAPROXY_n_BACKEND_NETWORK_ALLOWED_ACL cannot be read" }, $"'{text}' is no network: the port answers nobody");
        }
        return (spec with { AllowedSources = networks.ToEquatableArray() }, null);
    }

    private static bool IsTrue(string value) => value.Trim().ToUpperInvariant() is "TRUE" or "T" or "YES" or "Y";
}
