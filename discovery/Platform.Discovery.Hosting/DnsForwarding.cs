using System.Net;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Names in the zone are asked of these servers and of nobody else.</summary>
/// <param name="Zone">In canonical form.</param>
public sealed record DnsZoneResolvers(string Zone, EquatableArray<IPEndPoint> Servers);

/// <summary>Which names may be asked of others, and of whom.</summary>
public static class DnsForwarding
{
    /// <summary>
    /// Consul's names where we do not serve them ourselves and nobody was named who does: the Internet's servers know none of them, and need not hear of them.
    /// </summary>
    internal static bool IsNobodys(EquatableArray<DnsZoneResolvers> zones, ReadOnlySpan<char> name) => DnsNames.IsWithin(name, "consul") && ZoneOf(zones, name) is null;

    /// <summary>The servers of the closest zone that the name lies in; null where none was named for it.</summary>
    internal static DnsZoneResolvers? ZoneOf(EquatableArray<DnsZoneResolvers> zones, ReadOnlySpan<char> name)
    {
        DnsZoneResolvers? closest = null;
        foreach (var zone in zones)
            if (DnsNames.IsWithin(name, zone.Zone) && zone.Zone.Length > (closest?.Zone.Length ?? -1)) closest = zone;
        return closest;
    }
}
