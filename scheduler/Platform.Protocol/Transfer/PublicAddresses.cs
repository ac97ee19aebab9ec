using System.Net;
using System.Net.Sockets;

namespace Platform.Protocol.Transfer;

/// <summary>Which addresses belong to the world, and which to a machine or the networks around it (RFC 6890 and its IPv6 kin).</summary>
public static class PublicAddresses
{
    private static readonly IPNetwork[] Special =
    [
        .. new[]
        {
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16",
            "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32",
        }.Select(IPNetwork.Parse),
    ];

    private static readonly IPNetwork Nat64 = IPNetwork.Parse("64:ff9b::/96");
    private static readonly IPNetwork SixToFour = IPNetwork.Parse("2002::/16");

    public static bool Contains(IPAddress address)
    {
        var plain = Unwrapped(address);
        return !Special.Any(x => x.BaseAddress.AddressFamily == plain.AddressFamily && x.Contains(plain));
    }

    /// <summary>An IPv4 address may come in the clothes of an IPv6 one.</summary>
    private static IPAddress Unwrapped(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) return address.MapToIPv4();
        if (address.AddressFamily != AddressFamily.InterNetworkV6) return address;
        var bytes = address.GetAddressBytes();
        if (Nat64.Contains(address)) return new IPAddress(bytes.AsSpan(12));
        if (SixToFour.Contains(address)) return new IPAddress(bytes.AsSpan(2, 4));
        return bytes.AsSpan(0, 12).IndexOfAnyExcept((byte)0) < 0 && bytes[12] != 0 ? new IPAddress(bytes.AsSpan(12)) : address; // ::a.b.c.d
    }
}
