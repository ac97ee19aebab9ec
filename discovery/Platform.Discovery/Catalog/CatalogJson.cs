using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery.Catalog;

/// <summary>Consul 1.8's shapes, member by member: what is null, empty or left out there is so here.</summary>
internal static class CatalogJson
{
    public const string Datacenter = "dc1";

    public static void Node(Utf8JsonWriter json, CatalogNode node)
    {
        json.WriteStartObject();
        NodeMembers(json, node, "Meta");
        Indices(json, node.CreateIndex, node.ModifyIndex);
        json.WriteEndObject();
    }

    /// <summary>An instance as lists of one service have it, flat, with its node.</summary>
    public static void OfService(Utf8JsonWriter json, CatalogNode node, CatalogInstance service)
    {
        json.WriteStartObject();
        NodeMembers(json, node, "NodeMeta");
        json.WriteString("ServiceKind", "");
        json.WriteString("ServiceID", service.Id);
        json.WriteString("ServiceName", service.Name);
        Tags(json, "ServiceTags", service.Tags);
        json.WriteString("ServiceAddress", service.Address);
        Weights(json, "ServiceWeights", service);
        EndpointJson.Map(json, "ServiceMeta", service.Meta);
        json.WriteNumber("ServicePort", service.Port);
        json.WriteBoolean("ServiceEnableTagOverride", service.EnableTagOverride);
        Proxy(json, "ServiceProxy");
        json.WriteStartObject("ServiceConnect");
        json.WriteEndObject();
        Indices(json, service.CreateIndex, service.ModifyIndex);
        json.WriteEndObject();
    }

    /// <summary>An instance as its node and health have it.</summary>
    public static void Service(Utf8JsonWriter json, CatalogInstance service)
    {
        json.WriteStartObject();
        json.WriteString("ID", service.Id);
        json.WriteString("Service", service.Name);
        Tags(json, "Tags", service.Tags);
        json.WriteString("Address", service.Address);
        EndpointJson.Map(json, "Meta", service.Meta);
        json.WriteNumber("Port", service.Port);
        Weights(json, "Weights", service);
        json.WriteBoolean("EnableTagOverride", service.EnableTagOverride);
        Proxy(json, "Proxy");
        json.WriteStartObject("Connect");
        json.WriteEndObject();
        Indices(json, service.CreateIndex, service.ModifyIndex);
        json.WriteEndObject();
    }

    /// <summary>An instance as the node's own agent tells of it.</summary>
    public static void AgentService(Utf8JsonWriter json, CatalogInstance service, string? contentHash = null)
    {
        json.WriteStartObject();
        json.WriteString("ID", service.Id);
        json.WriteString("Service", service.Name);
        Tags(json, "Tags", service.Tags);
        EndpointJson.Map(json, "Meta", service.Meta);
        json.WriteNumber("Port", service.Port);
        json.WriteString("Address", service.Address);
        Weights(json, "Weights", service);
        json.WriteBoolean("EnableTagOverride", service.EnableTagOverride);
        if (contentHash is not null) json.WriteString("ContentHash", contentHash);
        json.WriteEndObject();
    }

    /// <param name="asAgent">The agent's own list has no indices.</param>
    public static void Check(Utf8JsonWriter json, CatalogCheck check, bool asAgent = false)
    {
        json.WriteStartObject();
        json.WriteString("Node", check.Node);
        json.WriteString("CheckID", check.CheckId);
        json.WriteString("Name", check.Name);
        json.WriteString("Status", CatalogCheck.Text(check.Status));
        json.WriteString("Notes", check.Notes);
        json.WriteString("Output", check.Output);
        json.WriteString("ServiceID", check.Service?.Id ?? "");
        json.WriteString("ServiceName", check.Service?.Name ?? "");
        Tags(json, "ServiceTags", check.Service?.Tags ?? default);
        json.WriteString("Type", check.Type);
        json.WriteStartObject("Definition");
        json.WriteEndObject();
        Indices(json, asAgent ? 0 : check.CreateIndex, asAgent ? 0 : check.ModifyIndex);
        json.WriteEndObject();
    }

    public static void Health(Utf8JsonWriter json, HealthEntry entry)
    {
        json.WriteStartObject();
        json.WritePropertyName("Node");
        Node(json, entry.Node);
        json.WritePropertyName("Service");
        Service(json, entry.Service);
        json.WriteStartArray("Checks");
        foreach (var check in entry.Checks) Check(json, check);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public static void Tags(Utf8JsonWriter json, string name, IEnumerable<string> tags)
    {
        json.WriteStartArray(name);
        foreach (var tag in tags) json.WriteStringValue(tag);
        json.WriteEndArray();
    }

    private static void NodeMembers(Utf8JsonWriter json, CatalogNode node, string meta)
    {
        json.WriteString("ID", node.Id);
        json.WriteString("Node", node.Name);
        json.WriteString("Address", node.Address);
        json.WriteString("Datacenter", Datacenter);
        EndpointJson.Map(json, "TaggedAddresses", node.TaggedAddresses);
        EndpointJson.Map(json, meta, node.Meta);
    }

    private static void Weights(Utf8JsonWriter json, string name, CatalogInstance service)
    {
        json.WriteStartObject(name);
        json.WriteNumber("Passing", service.WeightPassing);
        json.WriteNumber("Warning", service.WeightWarning);
        json.WriteEndObject();
    }

    private static void Proxy(Utf8JsonWriter json, string name)
    {
        json.WriteStartObject(name);
        foreach (var member in new[] { "MeshGateway", "Expose" })
        {
            json.WriteStartObject(member);
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void Indices(Utf8JsonWriter json, long created, long modified)
    {
        json.WriteNumber("CreateIndex", created);
        json.WriteNumber("ModifyIndex", modified);
    }
}
