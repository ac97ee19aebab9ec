using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>A node of the catalog. Indices are the endpoint table's revisions, as this node saw them.</summary>
public sealed record CatalogNode(string Id, string Name, string Address, EquatableMap Meta, bool Alive, long CreateIndex, long ModifyIndex)
{
    public const string ClusterMeta = "platform-cluster";

    public EquatableMap TaggedAddresses
    {
        get
        {
            var family = IPAddress.TryParse(Address, out var parsed) && parsed.AddressFamily == AddressFamily.InterNetworkV6 ? "ipv6" : "ipv4";
            return EquatableMap.From([new("lan", Address), new($"lan_{family}", Address), new("wan", Address), new($"wan_{family}", Address)]);
        }
    }

    /// <summary>A node's id is made of its name and its cluster, so that it is the same from everywhere and for ever.</summary>
    public static string IdOf(string cluster, string name)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(Encoding.UTF8.GetBytes($"{cluster}/node/{name}"), hash);
        hash[6] = (byte)((hash[6] & 0x0F) | 0x80); // RFC 9562 version 8
        hash[8] = (byte)((hash[8] & 0x3F) | 0x80);
        return new Guid(hash[..16], bigEndian: true).ToString("D");
    }

    public CatalogCheck Health => new(
        Name, "serfHealth", "Serf Health Status", Alive ? CheckStatus.Passing : CheckStatus.Critical,
        "", Alive ? "Agent alive and reachable" : "Agent not live or unreachable", null, "", CreateIndex, ModifyIndex);
}

/// <summary>One service instance of the catalog: one port of one task.</summary>
public sealed record CatalogInstance
{
    public required string Node { get; init; }
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required EquatableArray<string> Tags { get; init; }
    public required string Address { get; init; }
    public required int Port { get; init; }
    public bool EnableTagOverride { get; init; }
    public int WeightPassing { get; init; } = 1;
    public int WeightWarning { get; init; } = 1;
    public required long CreateIndex { get; init; }
    public required long ModifyIndex { get; init; }

    /// <summary>The task behind it; null for one that was registered.</summary>
    public (Endpoint Endpoint, EndpointPort Port)? Task { get; init; }

    /// <summary>What was registered with it; a task's follows from the task, so that fifty thousand cost nothing.</summary>
    public EquatableMap? RegisteredMeta { get; init; }

    public EquatableMap Meta => RegisteredMeta ?? (Task is var (endpoint, port) ? CatalogNames.Meta(endpoint, port) : EquatableMap.Empty);

    public string Key => $"{Node}\0{Id}";

    public IEnumerable<CatalogCheck> Checks
    {
        get
        {
            if (Task is var (endpoint, _))
                yield return new CatalogCheck(
                    Node, $"service:{Id}", $"Service '{Name}' check", CheckStatus.Passing, "", $"Ready since {Timestamps.Text(endpoint.ReadyAt)}", this, "", CreateIndex, ModifyIndex);
        }
    }

    /// <summary>Whether they say the same of the world, whenever they said it.</summary>
    public bool SaysWhat(CatalogInstance other) => this with { CreateIndex = other.CreateIndex, ModifyIndex = other.ModifyIndex } == other;
}

public enum CheckStatus { Passing, Warning, Critical }

/// <param name="Service">Null for a check of the node as a whole.</param>
public sealed record CatalogCheck(
    string Node, string CheckId, string Name, CheckStatus Status, string Notes, string Output, CatalogInstance? Service, string Type, long CreateIndex, long ModifyIndex)
{
    public static string Text(CheckStatus status) => status switch
    {
        CheckStatus.Passing => "passing",
        CheckStatus.Warning => "warning",
        CheckStatus.Critical => "critical",
        _ => throw new System.Diagnostics.UnreachableException($"{status}"),
    };
}

/// <summary>An instance with its node and every check that speaks of either.</summary>
public sealed record HealthEntry(CatalogNode Node, CatalogInstance Service, EquatableArray<CatalogCheck> Checks)
{
    public CheckStatus Status => Checks.Select(x => x.Status).DefaultIfEmpty(CheckStatus.Passing).Max();
}
