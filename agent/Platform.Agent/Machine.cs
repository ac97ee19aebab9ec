using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Platform.Model;

namespace Platform.Agent;

/// <summary>What the machine has.</summary>
internal static class Machine
{
    public static Resources Measure(string dataDirectory) => new(Environment.ProcessorCount, MemoryMib(), DiskMib(dataDirectory));

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
