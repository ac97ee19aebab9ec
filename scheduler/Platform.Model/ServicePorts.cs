using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Platform.Model;

/// <summary>Cluster-wide numbers under which the proxies serve an app's ports (contract 2.5).</summary>
public static class ServicePorts
{
    /// <summary>The service ports an app holds.</summary>
    // Not by Ports, which makes them: this is asked of every app at every change.
    public static IEnumerable<int> Of(AppDefinition app) => (app.Network == NetworkMode.Host
        ? app.PortDefinitions.Select(x => x.Port)
        : (app.Container?.PortMappings ?? default).Select(x => x.ServicePort)).Where(x => x != 0);

    /// <summary>
    /// Replaces each 0: first by what the previous version of the app had in the range and no longer names itself, so that posting the same file again
    /// changes nothing, then by the lowest number that is not in <paramref name="used"/> (the ports of all apps, old and new).
    /// Under requirePorts a host-mode 0 stays: there the number is the host port too, and 0 asks for any; such a port has no service port.
    /// </summary>
    public static bool TryAssign(
        AppDefinition next, AppDefinition? previous, IReadOnlySet<int> used, int min, int max,
        [NotNullWhen(true)] out AppDefinition? assigned, [NotNullWhen(false)] out Problem? problem)
    {
        problem = null;
        assigned = next;
        if (next is { Network: NetworkMode.Host, RequirePorts: true }) return true;
        var wanted = next.Ports.Select(x => x.ServicePort).ToArray();
        var taken = new HashSet<int>(wanted);
        var kept = new Queue<int>(previous is null ? [] : Of(previous).Where(x => x >= min && x <= max && !taken.Contains(x)).Distinct());
        var candidate = min;
        for (var i = 0; i < wanted.Length; i++)
        {
            if (wanted[i] != 0) continue;
            if (!kept.TryDequeue(out wanted[i]))
            {
                while (candidate <= max && (used.Contains(candidate) || taken.Contains(candidate))) candidate++;
                if (candidate > max)
                {
                    assigned = null;
                    problem = new Problem(
                        next.Pod is not null ? "/containers" : next.Network == NetworkMode.Host ? "/portDefinitions" : "/container/portMappings",
                        string.Create(CultureInfo.InvariantCulture, $"All ports in the range [{min}-{max + 1}) are already in use"));
                    return false;
                }
                wanted[i] = candidate;
            }
            taken.Add(wanted[i]);
        }
        assigned = With(next, wanted);
        return true;
    }

    private static AppDefinition With(AppDefinition app, int[] ports)
    {
        if (app.Pod is { } pod) return app with { Pod = pod.WithServicePorts(ports) };
        if (app.Network == NetworkMode.Host)
            return app with { PortDefinitions = app.PortDefinitions.Select((x, i) => x with { Port = ports[i] }).ToEquatableArray() };
        if (app.Container is not { } container) return app;
        var mappings = container.PortMappings.Select((x, i) => x with { ServicePort = ports[i] });
        return app with { Container = container with { PortMappings = mappings.ToEquatableArray() } };
    }
}
