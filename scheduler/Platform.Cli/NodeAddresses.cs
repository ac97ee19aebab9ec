using System.Net;
using Platform.Agent;

namespace Platform.Cli;

/// <summary>
/// Under which address other machines reach this node. Alone on its machine the gateway of its bridge network does; but every machine has such a bridge,
/// and from another nobody reaches it.
/// </summary>
internal static class NodeAddresses
{
    /// <summary>An address that nobody has: asking the way to it finds the one to everywhere.</summary>
    private const string Elsewhere = "http://192.0.2.1:9";

    /// <summary>Null: the node's bridge or loopback, for nobody else is there.</summary>
    public static IPAddress? Choose(UpOptions options)
    {
        var meetsOthers = options.Role == Roles.Node || options.Link is { } link && !IPAddress.IsLoopback(link.EndPoint.Address);
        if (!options.Role.HasFlag(Roles.Node) || !meetsOthers) return options.NodeAddress;
        if (options.NodeAddress is { } said)
            return Machine.HasAddress(said) ? said : throw new BadOptionException($"--node-address {said}: this machine has no such address, so tasks could not publish their ports on it");
        if (options.Role == Roles.Up && options.Link!.EndPoint.Address is var own && !own.Equals(IPAddress.Any) && !own.Equals(IPAddress.IPv6Any)) return own;
        var towards = options.Role == Roles.Node ? options.Join.Items.ToArray() : [Elsewhere];
        foreach (var target in towards)
            if (Machine.AddressTowards(target) is { } found && IPAddress.TryParse(found, out var address)) return address;
        throw new BadOptionException($"--node-address: no way leads from here to {(options.Role == Roles.Node ? string.Join(" or ", options.Join) : "other machines")}, "
            + "so it cannot be told by which of its addresses they reach this one: say it with --node-address");
    }
}
