using System.Security.Cryptography;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>What the agent of one node says of itself, its services and the other nodes.</summary>
/// <param name="Server">Whether a scheduler runs in the same process.</param>
public sealed record AgentIdentity(string Node, bool Server)
{
    /// <summary>The Consul whose API this is; clients read from it what they may ask.</summary>
    public const string Version = "1.8.7";
}

/// <summary>Whether a service of the agent is well, in the status by which proxies and orchestrators ask.</summary>
public sealed record AgentHealth(int Status, string Reason, ReadOnlyMemory<byte> Json);

public static class AgentAnswers
{
    public static CatalogAnswer Services(CatalogTree tree, AgentIdentity agent, CatalogQuery query)
    {
        if (!CatalogAnswers.TryFilter(query, CatalogFilters.Services, out var filter, out var why)) return new CatalogAnswer.Refused(why);
        return new CatalogAnswer.Found(tree.NodeIndex(agent.Node), CatalogAnswers.Render(query.Pretty, json =>
        {
            json.WriteStartObject();
            foreach (var service in tree.OnNode(agent.Node).Where(filter))
            {
                json.WritePropertyName(service.Id);
                CatalogJson.AgentService(json, service);
            }
            json.WriteEndObject();
        }));
    }

    public static CatalogAnswer Checks(CatalogTree tree, AgentIdentity agent, CatalogQuery query)
    {
        if (!CatalogAnswers.TryFilter(query, CatalogFilters.Checks, out var filter, out var why)) return new CatalogAnswer.Refused(why);
        return new CatalogAnswer.Found(tree.NodeIndex(agent.Node), CatalogAnswers.Render(query.Pretty, json =>
        {
            json.WriteStartObject();
            foreach (var check in tree.OnNode(agent.Node).SelectMany(x => x.Checks).Where(filter))
            {
                json.WritePropertyName(check.CheckId);
                CatalogJson.Check(json, check, asAgent: true);
            }
            json.WriteEndObject();
        }));
    }

    public static CatalogInstance? Service(CatalogTree tree, AgentIdentity agent, string id) => tree.OnNode(agent.Node).FirstOrDefault(x => x.Id == id);

    /// <summary>Its JSON and the hash by which a client waits for another one.</summary>
    public static (string Hash, ReadOnlyMemory<byte> Json) Service(CatalogInstance service, bool pretty)
    {
        var plain = CatalogAnswers.Render(false, json => CatalogJson.AgentService(json, service));
        var hash = Convert.ToHexStringLower(SHA256.HashData(plain))[..16];
        return (hash, CatalogAnswers.Render(pretty, json => CatalogJson.AgentService(json, service, hash)));
    }

    /// <summary>By id: one object; by name: an array, as well as its least well instance.</summary>
    public static AgentHealth HealthById(CatalogTree tree, AgentIdentity agent, string id, bool pretty)
    {
        var service = Service(tree, agent, id);
        var status = service is null ? CheckStatus.Critical : StatusOf(service);
        return new AgentHealth(service is null ? 404 : CodeOf(status), service is null ? $"ServiceId {id} not found" : CatalogCheck.Text(status),
            CatalogAnswers.Render(pretty, json => Health(json, service, status)));
    }

    public static AgentHealth HealthByName(CatalogTree tree, AgentIdentity agent, string name, bool pretty)
    {
        var services = tree.OnNode(agent.Node).Where(x => x.Name == name).ToList();
        var worst = services.Select(StatusOf).DefaultIfEmpty(CheckStatus.Critical).Max();
        return new AgentHealth(services.Count == 0 ? 404 : CodeOf(worst), services.Count == 0 ? $"ServiceName {name} Not Found" : CatalogCheck.Text(worst),
            CatalogAnswers.Render(pretty, json =>
            {
                json.WriteStartArray();
                foreach (var service in services) Health(json, service, StatusOf(service));
                json.WriteEndArray();
            }));
    }

    public static byte[] Members(CatalogTree tree, bool pretty) => CatalogAnswers.Render(pretty, json =>
    {
        json.WriteStartArray();
        foreach (var node in tree.Nodes.Values) Member(json, node);
        json.WriteEndArray();
    });

    public static byte[] Self(CatalogTree tree, AgentIdentity agent, bool pretty) => CatalogAnswers.Render(pretty, json =>
    {
        var cluster = tree.Snapshot.Cursor.Epoch;
        var node = tree.Nodes.GetValueOrDefault(agent.Node) ?? new CatalogNode(CatalogNode.IdOf(cluster, agent.Node), agent.Node, "", EquatableMap.Empty, true, 0, 0);
        json.WriteStartObject();
        json.WriteStartObject("Config");
        json.WriteString("Datacenter", CatalogJson.Datacenter);
        json.WriteString("NodeName", agent.Node);
        json.WriteString("NodeID", node.Id);
        json.WriteString("Revision", "");
        json.WriteBoolean("Server", agent.Server);
        json.WriteString("Version", AgentIdentity.Version);
        json.WriteEndObject();
        json.WriteStartObject("DebugConfig");
        json.WriteString("Datacenter", CatalogJson.Datacenter);
        json.WriteString("NodeName", agent.Node);
        json.WriteBoolean("ServerMode", agent.Server);
        json.WriteEndObject();
        json.WriteNull("Coord"); // nothing here measures distances
        json.WritePropertyName("Member");
        Member(json, node);
        json.WriteStartObject("Stats");
        json.WriteStartObject("agent");
        json.WriteString("checks", $"{tree.OnNode(agent.Node).SelectMany(x => x.Checks).Count()}");
        json.WriteString("services", $"{tree.OnNode(agent.Node).Count()}");
        json.WriteEndObject();
        json.WriteEndObject();
        EndpointJson.Map(json, "Meta", node.Meta);
        json.WriteEndObject();
    });

    private static CheckStatus StatusOf(CatalogInstance service) => service.Checks.Select(x => x.Status).DefaultIfEmpty(CheckStatus.Passing).Max();

    private static int CodeOf(CheckStatus status) => status switch { CheckStatus.Passing => 200, CheckStatus.Warning => 429, _ => 503 };

    private static void Health(Utf8JsonWriter json, CatalogInstance? service, CheckStatus status)
    {
        json.WriteStartObject();
        json.WriteString("AggregatedStatus", CatalogCheck.Text(status));
        json.WritePropertyName("Service");
        if (service is null)
        {
            json.WriteNullValue();
            json.WriteNull("Checks");
        }
        else
        {
            CatalogJson.AgentService(json, service);
            json.WriteStartArray("Checks");
            foreach (var check in service.Checks) CatalogJson.Check(json, check, asAgent: true);
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    /// <summary>Nodes gossip nothing here, so a member has no gossip port and speaks no version of it.</summary>
    private static void Member(Utf8JsonWriter json, CatalogNode node)
    {
        json.WriteStartObject();
        json.WriteString("Name", node.Name);
        json.WriteString("Addr", node.Address);
        json.WriteNumber("Port", 0);
        EndpointJson.Map(json, "Tags", EquatableMap.From([new("dc", CatalogJson.Datacenter), new("id", node.Id), new("role", "node"), new("build", AgentIdentity.Version)]));
        json.WriteNumber("Status", node.Alive ? 1 : 4);
        foreach (var version in new[] { "ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur" }) json.WriteNumber(version, 0);
        json.WriteEndObject();
    }
}
