using System.Net;
using Docker.DotNet;
using Docker.DotNet.Models;
using Platform.Model;

namespace Platform.Agent.Docker;

/// <summary>The node's own bridge network: its gateway is where containers find the node's DNS and proxy, and by default the node's address.</summary>
internal static class DockerNetwork
{
    public static string NameOf(string clusterId, NodeId node) => $"platform-{clusterId[..Math.Min(8, clusterId.Length)]}-{node}";

    /// <summary>Makes the network, or adopts the one that is there, and gives its gateway.</summary>
    public static async Task<string> EnsureAsync(DockerClient client, string clusterId, NodeId node, CancellationToken stopping)
    {
        var name = NameOf(clusterId, node);
        if (await FindAsync(client, name, stopping).ConfigureAwait(false) is { } there) return GatewayOf(there, clusterId);
        try
        {
            await client.Networks.CreateNetworkAsync(new NetworksCreateParameters
            {
                Name = name,
                Driver = "bridge",
                Labels = new Dictionary<string, string> { [DockerLabels.Cluster] = clusterId, [DockerLabels.Node] = node.Name },
            }, stopping).ConfigureAwait(false);
        }
        catch (DockerApiException made) when (made.StatusCode == HttpStatusCode.Conflict)
        {
            // Someone was faster; the look below tells whether it is ours.
        }
        return GatewayOf(await FindAsync(client, name, stopping).ConfigureAwait(false) ?? throw new RuntimeUnavailableException($"Docker made the network {name} and does not know it"), clusterId);
    }

    /// <summary>False if containers still use it.</summary>
    public static async Task<bool> RemoveAsync(DockerClient client, string clusterId, NodeId node, CancellationToken stopping)
    {
        try
        {
            if (await FindAsync(client, NameOf(clusterId, node), stopping).ConfigureAwait(false) is { } there && IsOf(there, clusterId))
                await client.Networks.DeleteNetworkAsync(there.ID, stopping).ConfigureAwait(false);
            return true;
        }
        catch (DockerApiException e) when (e.StatusCode == HttpStatusCode.NotFound)
        {
            return true;
        }
        catch (DockerApiException e) when (e.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.Conflict)
        {
            return false;
        }
    }

    private static async Task<NetworkResponse?> FindAsync(DockerClient client, string name, CancellationToken stopping)
    {
        try
        {
            return await client.Networks.InspectNetworkAsync(name, stopping).ConfigureAwait(false);
        }
        catch (DockerApiException e) when (e.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    private static bool IsOf(NetworkResponse network, string clusterId) => network.Labels?.TryGetValue(DockerLabels.Cluster, out var cluster) == true && cluster == clusterId;

    private static string GatewayOf(NetworkResponse network, string clusterId)
    {
        if (!IsOf(network, clusterId)) throw new InvalidOperationException($"The Docker network {network.Name} is not this cluster's ({clusterId}): remove or rename it");
        return network.IPAM?.Config?.Select(x => x.Gateway).FirstOrDefault(x => !string.IsNullOrEmpty(x))
            ?? throw new InvalidOperationException($"The Docker network {network.Name} has no gateway");
    }
}
