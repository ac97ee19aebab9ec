using System.Buffers.Binary;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// Who is near: this machine itself, the private networks that its interfaces are in, among them the bridges of its containers, and whoever was said to be.
/// </summary>
internal sealed class LocalNetworks(EquatableArray<IPNetwork> allowed)
{
    private readonly (UInt128 First, UInt128 Mask)[] _allowed = [.. allowed.Select(x => Network(x.BaseAddress, x.PrefixLength))];

    /// <summary>A stranger's questions make us look at the interfaces this often at most.</summary>
    private const long LookMilliseconds = 2000;

    private readonly Lock _looking = new();
    private volatile Networks _networks = Look();
    private long _lookedAt = Environment.TickCount64;

    /// <param name="Own">This machine's addresses.</param>
    /// <param name="Private">The networks it is in, as first address and mask.</param>
    private sealed record Networks(HashSet<UInt128> Own, (UInt128 First, UInt128 Mask)[] Private);

    /// <param name="client">As <see cref="Number(IPAddress)"/> has it.</param>
    public bool Contains(UInt128 client)
    {
        if (IsLoopback(client) || Contains(_networks, client)) return true;
        foreach (var (first, mask) in _allowed)
            if ((client & mask) == first) return true;
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

    /// <summary>An address as 128 bits, IPv4 in the mapped form, so that both kinds compare as numbers and nothing is allocated for a packet.</summary>
    public static UInt128 Number(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        return address.TryWriteBytes(bytes, out var written) && written == 4 ? Mapped(bytes[..4]) : BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }

    /// <summary>The same of an address as the kernel writes it down.</summary>
    public static UInt128 Number(ReadOnlySpan<byte> address) => address.Length == 4 ? Mapped(address) : BinaryPrimitives.ReadUInt128BigEndian(address);

    /// <summary>And back.</summary>
    public static IPAddress Address(UInt128 number)
    {
        if (number >> 32 == 0xFFFF) return new IPAddress(BinaryPrimitives.ReverseEndianness((uint)number));
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, number);
        return new IPAddress(bytes);
    }

    public static IEnumerable<IPAddress> OwnAddresses(AddressFamily family) => Unicast().Select(x => x.Address).Where(x => x.AddressFamily == family && !x.IsIPv6LinkLocal);

    private static UInt128 Mapped(ReadOnlySpan<byte> address) => new(0, 0xFFFF_0000_0000UL | BinaryPrimitives.ReadUInt32BigEndian(address));

    private static bool IsLoopback(UInt128 address) => address == UInt128.One || address >> 24 == 0xFFFF_7F;

    private static bool Contains(Networks networks, UInt128 client)
    {
        foreach (var (first, mask) in networks.Private)
            if ((client & mask) == first) return true;
        return networks.Own.Contains(client);
    }

    private static Networks Look()
    {
        var unicast = Unicast();
        return new Networks([.. unicast.Select(x => Number(x.Address))], [.. unicast.Where(x => IsPrivate(x.Address)).Select(x => Network(x.Address, x.PrefixLength))]);
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

    private static (UInt128 First, UInt128 Mask) Network(IPAddress address, int prefixLength)
    {
        var length = address.AddressFamily == AddressFamily.InterNetwork ? 96 + prefixLength : prefixLength;
        var mask = length == 0 ? UInt128.Zero : UInt128.MaxValue << (128 - length);
        return (Number(address) & mask, mask);
    }

    private static bool IsPrivate(IPAddress address)
    {
        var b = address.GetAddressBytes();
        return address.AddressFamily == AddressFamily.InterNetworkV6
            ? address.IsIPv6LinkLocal || (b[0] & 0xFE) == 0xFC
            : b[0] == 10 || (b[0] == 172 && b[1] is >= 16 and < 32) || (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254) || (b[0] == 100 && (b[1] & 0xC0) == 64);
    }
}
