using System.Net;
using System.Net.Sockets;

namespace Platform.Cli;

/// <summary>Turns a door that cannot be opened into a sentence that names its flag.</summary>
internal static class Doors
{
    public static BadOptionException Refused(string flag, EndPoint door, string why) =>
        new($"--{flag} {door}: {why}. Choose another with --{flag} ADDRESS:PORT (port 0 takes a free one).");

    /// <summary>
    /// Tries each door for a moment before anything is started, so that all that are taken are told at once, and no half-started platform
    /// adopts tasks it cannot serve.
    /// </summary>
    public static void Check(UpOptions options)
    {
        (string Flag, IPEndPoint Door, bool Udp)[] ofScheduler = [("api", options.Api, false), .. options.Link is { } link ? [("link", link.EndPoint, false)] : Array.Empty<(string, IPEndPoint, bool)>()];
        (string Flag, IPEndPoint Door, bool Udp)[] ofNode = [("dns", options.Dns, true), ("kv", options.Kv, false), ("edge", options.Edge, false), ("admin", options.Admin, false)];
        var refusals = (options.Role.HasFlag(Roles.Scheduler) ? ofScheduler : [])
            .Concat(options.Role.HasFlag(Roles.Node) ? ofNode : [])
            .Select(d => Reason(d.Door, d.Udp) is { } why ? Refused(d.Flag, d.Door, why).Message : null)
            .OfType<string>().ToList();
        if (refusals.Count > 0) throw new BadOptionException(string.Join('\n', refusals));
    }

    private static string? Reason(IPEndPoint door, bool udp) => TryBind(door, ProtocolType.Tcp) ?? (udp ? TryBind(door, ProtocolType.Udp) : null);

    private static string? TryBind(IPEndPoint door, ProtocolType protocol)
    {
        using var socket = new Socket(door.AddressFamily, protocol == ProtocolType.Tcp ? SocketType.Stream : SocketType.Dgram, protocol);
        try
        {
            if (protocol == ProtocolType.Tcp) socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            socket.Bind(door);
            if (protocol == ProtocolType.Tcp) socket.Listen();
            return null;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => "the port is taken",
                SocketError.AccessDenied => "ports below 1024 need root",
                SocketError.AddressNotAvailable => "this machine has no such address",
                _ => e.Message,
            };
        }
    }
}
