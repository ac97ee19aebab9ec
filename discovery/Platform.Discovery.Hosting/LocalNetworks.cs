using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Platform.Discovery.Hosting;

/// <summary>Who is near: this machine itself, and the private networks that its interfaces are in, among them the bridges of its containers.</summary>
internal sealed class LocalNetworks
{
    /// <summary>A stranger's questions make us look at the interfaces this often at most.</summary>
    private const long LookMilliseconds = 2000;

    private readonly Lock _looking = new();
    private volatile Networks _networks = Look();
    private long _lookedAt = Environment.TickCount64;

    private sealed record Networks(HashSet<IPAddress> Own, IPNetwork[] Private);

    public bool Contains(IPAddress client)
    {
        if (client.IsIPv4MappedToIPv6) client = client.MapToIPv4();
        if (IPAddress.IsLoopback(client) || Contains(_networks, client)) return true;
        lock (_looking)
        {
            // A bridge may have come up since; ask the kernel again, but not for every packet of a flood.
            if (Environment.TickCount64 - _lookedAt < LookMilliseconds) return false;
            _networks = Look();
            _lookedAt = Environment.TickCount64;
        }
        return Contains(_networks, client);
    }

    public void Refresh() => _networks = Look();

    public bool IsOwn(IPAddress address) => IPAddress.IsLoopback(address) || _networks.Own.Contains(address);

    public static IEnumerable<IPAddress> OwnAddresses(AddressFamily family) => Unicast().Select(x => x.Address).Where(x => x.AddressFamily == family && !x.IsIPv6LinkLocal);

    private static bool Contains(Networks networks, IPAddress client) => networks.Own.Contains(client) || networks.Private.Any(x => x.Contains(client));

    private static Networks Look()
    {
        var unicast = Unicast();
        return new Networks([.. unicast.Select(x => x.Address)], [.. unicast.Where(x => IsPrivate(x.Address)).Select(x => Network(x.Address, x.PrefixLength))]);
    }

    private static UnicastIPAddressInformation[] Unicast()
    {
        try
        {
            return NetworkInterface.GetAllNetworkInterfaces().SelectMany(x => x.GetIPProperties().UnicastAddresses).ToArray();
        }
        catch (NetworkInformationException)
        {
            return []; // an interface that goes away while we read: loopback still works, and the next look sees the rest
        }
    }

    private static IPNetwork Network(IPAddress address, int prefixLength)
    {
        var bytes = address.GetAddressBytes();
        for (var bit = prefixLength; bit < bytes.Length * 8; bit++) bytes[bit / 8] &= (byte)~(0x80 >> (bit % 8));
        return new IPNetwork(new IPAddress(bytes), prefixLength);
    }

    private static bool IsPrivate(IPAddress address)
    {
        var b = address.GetAddressBytes();
        return address.AddressFamily == AddressFamily.InterNetworkV6
            ? address.IsIPv6LinkLocal || (b[0] & 0xFE) == 0xFC
            : b[0] == 10 || (b[0] == 172 && b[1] is >= 16 and < 32) || (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254) || (b[0] == 100 && (b[1] & 0xC0) == 64);
    }
}
