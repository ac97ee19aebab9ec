using System.Buffers;
using System.Text.Json;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Steps as the body of Consul's <c>/v1/txn</c>. An instance is two operations, everything else is one.</summary>
internal static class ConsulTransaction
{
    public static byte[] Render(string cluster, IEnumerable<PublishStep> steps)
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartArray();
            foreach (var step in steps) Write(json, cluster, step);
            json.WriteEndArray();
        }
        return [.. buffer.WrittenSpan];
    }

    /// <summary>A guess from above at what the step takes in the body.</summary>
    public static int BytesOf(PublishStep step) => step switch
    {
        PublishStep.KeySet x => 300 + (x.Key.Length * 2) + (x.Value.Length * 4 / 3),
        PublishStep.InstanceSet x => 1000 + (4 * (x.Instance.Output.Length + x.Instance.Tags.Sum(t => t.Length + 4) + x.Instance.Meta.Sum(m => m.Key.Length + m.Value.Length + 8))),
        _ => 1500,
    };

    private static void Write(Utf8JsonWriter json, string cluster, PublishStep step)
    {
        switch (step)
        {
            case PublishStep.NodeSet x:
                Operation(json, "Node", x.Create ? "cas" : "set", () => Node(json, cluster, x.Node));
                break;
            case PublishStep.NodeRemoved x:
                Operation(json, "Node", "delete", () => Object(json, "Node", () => json.WriteString("Node", x.Node)));
                break;
            case PublishStep.NodeCheckSet x:
                Check(json, "set", x.Node, PublishedNode.CheckId, PublishedNode.CheckName, x.Status, "", "");
                break;
            case PublishStep.NodeCheckRemoved x:
                Check(json, "delete", x.Node, PublishedNode.CheckId, "", null, "", "");
                break;
            case PublishStep.InstanceSet x:
                Operation(json, "Service", "set", () => Service(json, x.Node, x.Instance));
                Check(json, "set", x.Node, x.Instance.CheckId, x.Instance.CheckName, x.Instance.Status, x.Instance.Output, x.Instance.Id);
                break;
            case PublishStep.InstanceRemoved x:
                Operation(json, "Service", "delete", () =>
                {
                    json.WriteString("Node", x.Node);
                    Object(json, "Service", () => json.WriteString("ID", x.Id));
                });
                break;
            case PublishStep.KeySet x:
                Operation(json, "KV", x.Create ? "cas" : "set", () =>
                {
                    json.WriteString("Key", x.Key);
                    json.WriteBase64String("Value", x.Value.AsSpan());
                    json.WriteNumber("Flags", Publication.FlagsOf(cluster));
                    if (x.Create) json.WriteNumber("Index", 0);
                });
                break;
            case PublishStep.KeyRemoved x:
                Operation(json, "KV", "delete", () => json.WriteString("Key", x.Key));
                break;
            default:
                throw new System.Diagnostics.UnreachableException($"{step}");
        }
    }

    private static void Operation(Utf8JsonWriter json, string kind, string verb, Action write)
    {
        json.WriteStartObject();
        Object(json, kind, () =>
        {
            json.WriteString("Verb", verb);
            write();
        });
        json.WriteEndObject();
    }

    private static void Object(Utf8JsonWriter json, string name, Action write)
    {
        json.WriteStartObject(name);
        write();
        json.WriteEndObject();
    }

    private static void Node(Utf8JsonWriter json, string cluster, PublishedNode node) => Object(json, "Node", () =>
    {
        json.WriteString("ID", node.Id);
        json.WriteString("Node", node.Name);
        json.WriteString("Address", node.Address);
        Map(json, "TaggedAddresses", EquatableMap.From([new("lan", node.Address), new("wan", node.Address)]));
        Map(json, "Meta", EquatableMap.From([new(CatalogNode.ClusterMeta, cluster)]));
        json.WriteNumber("ModifyIndex", 0); // cas: nobody has the name
    });

    private static void Service(Utf8JsonWriter json, string node, PublishedInstance instance)
    {
        json.WriteString("Node", node);
        Object(json, "Service", () =>
        {
            json.WriteString("ID", instance.Id);
            json.WriteString("Service", instance.Name);
            json.WriteStartArray("Tags");
            foreach (var tag in instance.Tags) json.WriteStringValue(tag);
            json.WriteEndArray();
            json.WriteString("Address", instance.Address);
            json.WriteNumber("Port", instance.Port);
            Map(json, "Meta", instance.Meta);
            Object(json, "Weights", () =>
            {
                json.WriteNumber("Passing", 1);
                json.WriteNumber("Warning", 1);
            });
        });
    }

    private static void Check(Utf8JsonWriter json, string verb, string node, string id, string name, CheckStatus? status, string output, string serviceId) =>
        Operation(json, "Check", verb, () => Object(json, "Check", () =>
        {
            json.WriteString("Node", node);
            json.WriteString("CheckID", id);
            json.WriteString("Name", name);
            if (status is { } known) json.WriteString("Status", CatalogCheck.Text(known));
            json.WriteString("Output", output);
            json.WriteString("ServiceID", serviceId);
        }));

    private static void Map(Utf8JsonWriter json, string name, EquatableMap map) => Object(json, name, () =>
    {
        foreach (var (key, value) in map) json.WriteString(key, value);
    });
}
