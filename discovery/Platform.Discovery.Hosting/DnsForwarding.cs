using System.Net;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Names in the zone are asked of these servers and of nobody else.</summary>
/// <param name="Zone">In canonical form.</param>
public sealed record DnsZoneResolvers(string Zone, EquatableArray<IPEndPoint> Servers);

/// <summary>Which names may be asked of others, and of whom.</summary>
public static class DnsForwarding
{
    /// <summary>Our own zone, and Consul's also where we do not serve it: nobody else knows these names, and who runs the Internet's servers need not hear of them.</summary>
    public static bool IsNeverForwarded(ReadOnlySpan<char> name, string apex) => DnsNames.IsWithin(name, apex) || DnsNames.IsWithin(name, "consul");

    /// <summary>The servers of the closest zone that the name lies in; null where none was named for it.</summary>
    internal static DnsZoneResolvers? ZoneOf(EquatableArray<DnsZoneResolvers> zones, string name)
    {
        DnsZoneResolvers? closest = null;
        foreach (var zone in zones)
            if (DnsNames.IsWithin(name, zone.Zone) && zone.Zone.Length > (closest?.Zone.Length ?? -1)) closest = zone;
        return closest;
    }
}
