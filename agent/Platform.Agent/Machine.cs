using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Platform.Model;

namespace Platform.Agent;

/// <summary>What the machine has.</summary>
public static class Machine
{
    public static Resources Measure(string dataDirectory) => new(Environment.ProcessorCount, MemoryMib(), DiskMib(dataDirectory));

    /// <summary>What it is, by the names that constraints may use.</summary>
    public static Dictionary<string, string> Attributes() => new(StringComparer.Ordinal)
    {
        ["os"] = OperatingSystem.IsLinux() ? "linux" : Environment.OSVersion.Platform.ToString().ToLowerInvariant(),
        ["arch"] = RuntimeInformation.OSArchitecture switch { Architecture.X64 => "amd64", Architecture.Arm64 => "arm64", var other => other.ToString().ToLowerInvariant() },
        ["cores"] = Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture),
    };

    public static bool HasAddress(IPAddress address) => IPAddress.IsLoopback(address)
        || NetworkInterface.GetAllNetworkInterfaces().SelectMany(x => x.GetIPProperties().UnicastAddresses).Any(x => x.Address.Equals(address));

    /// <summary>The address this machine shows towards a scheduler; a UDP connect sends nothing, it only asks the routing table.</summary>
    public static string? AddressTowards(string scheduler)
    {
        if (!Uri.TryCreate(scheduler, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https")) return null;
        try
        {
            using var socket = new Socket(SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(uri.Host, uri.Port);
            return (socket.LocalEndPoint as IPEndPoint)?.Address is { } local ? (local.IsIPv4MappedToIPv6 ? local.MapToIPv4() : local).ToString() : null;
        }
        catch (SocketException)
        {
            return null;
        }
    }

    private static double MemoryMib()
    {
        foreach (var line in File.ReadLines("/proc/meminfo"))
            if (line.StartsWith("MemTotal:", StringComparison.Ordinal))
                return long.Parse(line.AsSpan("MemTotal:".Length).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture) / 1024;
        return GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20;
    }

    private static double DiskMib(string directory) => new DriveInfo(directory).TotalSize >> 20;
}
