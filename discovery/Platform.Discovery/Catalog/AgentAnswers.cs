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
            foreach (var service in tree.OnNode(agent.Node).Where(query.Shows).Where(filter))
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
            foreach (var check in Own(tree, agent).Where(query.Shows).Where(filter))
            {
                json.WritePropertyName(check.CheckId);
                CatalogJson.Check(json, check, asAgent: true);
            }
            json.WriteEndObject();
        }));
    }

    /// <summary>Whether the node is alive is for others to say.</summary>
    private static IEnumerable<CatalogCheck> Own(CatalogTree tree, AgentIdentity agent) =>
        (tree.Nodes.GetValueOrDefault(agent.Node)?.Registered ?? default).Concat(tree.OnNode(agent.Node).SelectMany(x => x.Checks));

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
        var status = service is null ? Condition.Critical : ConditionOf(tree, service);
        return new AgentHealth(service is null ? 404 : CodeOf(status), service is null ? $"ServiceId {id} not found" : Text(status),
            CatalogAnswers.Render(pretty, json => Health(json, tree, service, status)));
    }

    public static AgentHealth HealthByName(CatalogTree tree, AgentIdentity agent, string name, bool pretty)
    {
        var services = tree.OnNode(agent.Node).Where(x => x.Name == name).ToList();
        var worst = services.Select(x => ConditionOf(tree, x)).DefaultIfEmpty(Condition.Critical).Max();
        return new AgentHealth(services.Count == 0 ? 404 : CodeOf(worst), services.Count == 0 ? $"ServiceName {name} Not Found" : Text(worst),
            CatalogAnswers.Render(pretty, json =>
            {
                json.WriteStartArray();
                foreach (var service in services) Health(json, tree, service, ConditionOf(tree, service));
                json.WriteEndArray();
            }));
    }

    public static byte[] Members(CatalogTree tree, bool pretty) => CatalogAnswers.Render(pretty, json =>
    {
        json.WriteStartArray();
        foreach (var node in tree.Nodes.Values.Where(x => x.Alive is not null)) Member(json, node); // those that were registered are no members
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

    /// <summary>A check's status, and beyond it what only the whole can be.</summary>
    private enum Condition { Passing, Warning, Critical, Maintenance }

    private static string Text(Condition condition) => condition == Condition.Maintenance ? "maintenance" : CatalogCheck.Text((CheckStatus)condition);

    private static Condition ConditionOf(CatalogTree tree, CatalogInstance service)
    {
        var checks = ChecksOf(tree, service).ToList();
        return checks.Exists(x => x.CheckId == "_node_maintenance" || x.CheckId.StartsWith("_service_maintenance:", StringComparison.Ordinal))
            ? Condition.Maintenance
            : (Condition)checks.Select(x => x.Status).DefaultIfEmpty(CheckStatus.Passing).Max();
    }

    /// <summary>Its own, and those of the node as a whole that somebody registered.</summary>
    private static IEnumerable<CatalogCheck> ChecksOf(CatalogTree tree, CatalogInstance service) =>
        (tree.Nodes.GetValueOrDefault(service.Node)?.Registered ?? default).Concat(service.Checks);

    private static int CodeOf(Condition condition) => condition switch { Condition.Passing => 200, Condition.Warning => 429, _ => 503 };

    private static void Health(Utf8JsonWriter json, CatalogTree tree, CatalogInstance? service, Condition status)
    {
        json.WriteStartObject();
        json.WriteString("AggregatedStatus", Text(status));
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
            foreach (var check in ChecksOf(tree, service)) CatalogJson.AgentHealthCheck(json, check);
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
        json.WriteNumber("Status", node.Alive == false ? 4 : 1);
        foreach (var version in new[] { "ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur" }) json.WriteNumber(version, 0);
        json.WriteEndObject();
    }
}
