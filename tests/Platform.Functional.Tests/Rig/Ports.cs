using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Platform.Functional.Tests.Rig;

/// <summary>Ports on which nobody listens now. Blocks lie below the kernel's ephemeral range and are never given twice in one run.</summary>
internal static class Ports
{
    private const int BlocksFrom = 20_000;
    private const int BlocksTo = 32_000;
    // Two runs beside each other begin in different places.
    private static int s_next = BlocksFrom + Environment.ProcessId % 50 * 200;

    public static (int First, int Last) FreeBlock(int count)
    {
        var taken = Listening();
        for (var tries = 0; tries < BlocksTo - BlocksFrom; tries += count)
        {
            if (s_next + count > BlocksTo) s_next = BlocksFrom;
            var first = s_next;
            s_next += count;
            if (!Enumerable.Range(first, count).Any(taken.Contains)) return (first, first + count - 1);
        }
        throw new InvalidOperationException($"no {count} free ports in a row between {BlocksFrom} and {BlocksTo}");
    }

    public static int Free() => FreeBlock(1).First;

    /// <summary>Holds a TCP port on loopback until disposed.</summary>
    public static TcpListener Occupy(int port)
    {
        var listener = new TcpListener(IPAddress.Loopback, port);
        listener.Start();
        return listener;
    }

    private static HashSet<int> Listening()
    {
        var machine = IPGlobalProperties.GetIPGlobalProperties();
        return [.. machine.GetActiveTcpListeners().Concat(machine.GetActiveUdpListeners()).Select(x => x.Port)];
    }
}
