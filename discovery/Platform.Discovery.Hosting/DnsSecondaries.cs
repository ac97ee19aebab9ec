using System.Globalization;
using System.Net;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Who may copy our zones, and who is told when they have changed.</summary>
/// <param name="Networks">Those that may transfer.</param>
/// <param name="Notified">The servers among them.</param>
public sealed record DnsSecondaries(EquatableArray<IPNetwork> Networks, EquatableArray<IPEndPoint> Notified)
{
    public static readonly DnsSecondaries None = new(default, default);

    public bool IsEmpty => Networks.IsEmpty;

    public bool Allow(IPAddress client) => Networks.Items.Any(x => x.Contains(client.IsIPv4MappedToIPv6 ? client.MapToIPv4() : client));

    /// <summary>Comma-separated: a server (<c>10.0.0.5</c>, <c>10.0.0.5:5353</c>, <c>[fd00::5]:53</c>), which is also notified, or a network (<c>10.0.0.0/24</c>), which is not.</summary>
    public static bool TryParse(string text, out DnsSecondaries secondaries, out string? why)
    {
        var (networks, notified, wrong) = (new List<IPNetwork>(), new List<IPEndPoint>(), new List<string>());
        foreach (var part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            if (IPNetwork.TryParse(part, out var network)) networks.Add(network);
            else if (IPEndPoint.TryParse(part, out var server) && !char.IsAsciiDigit(part[0]) | part.Contains('.', StringComparison.Ordinal))
            {
                networks.Add(new IPNetwork(server.Address, server.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork ? 32 : 128));
                notified.Add(server.Port == 0 ? new IPEndPoint(server.Address, 53) : server);
            }
            else wrong.Add(part);
        secondaries = new DnsSecondaries([.. networks], [.. notified]);
        why = wrong.Count == 0 ? null : string.Create(CultureInfo.InvariantCulture, $"'{string.Join("', '", wrong)}': an address, address:port or network (10.0.0.0/24) is wanted, several by commas");
        return wrong.Count == 0;
    }
}
