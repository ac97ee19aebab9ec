using System.Globalization;
using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>What nodes have left, in the form of Mesos' offers (contract 1.8, lastUnusedOffers).</summary>
internal static class OfferJson
{
    /// <summary>The nodes that refused at the last look, with what they have left now.</summary>
    public static void WriteUnused(Utf8JsonWriter writer, ClusterState state, QueueItem item)
    {
        writer.WriteStartArray("lastUnusedOffers");
        foreach (var refusals in item.Explanation.NoFits.Items.GroupBy(n => n.Node))
        {
            if (!state.Nodes.TryGetValue(refusals.Key, out var node)) continue;
            writer.WriteStartObject();
            writer.WritePropertyName("offer");
            Write(writer, node, state.Revision);
            writer.WriteStartArray("reason");
            foreach (var reason in refusals.Select(n => n.Reason).Distinct()) writer.WriteStringValue(reason.ToString());
            writer.WriteEndArray();
            writer.WriteString("timestamp", Timestamps.Text(item.LastUnusedAt ?? item.Since));
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter writer, Node node, long revision)
    {
        var (description, free) = (node.Description, node.Description.Total - node.Used);
        writer.WriteStartObject();
        writer.WriteString("id", string.Create(CultureInfo.InvariantCulture, $"{description.Id}-O{revision}"));
        writer.WriteString("hostname", description.Id.Name);
        writer.WriteString("agentId", description.Id.Name);
        writer.WriteStartArray("resources");
        WriteScalar(writer, "cpus", free.Cpus);
        WriteScalar(writer, "mem", free.MemMib);
        WriteScalar(writer, "disk", free.DiskMib);
        WritePorts(writer, node);
        writer.WriteEndArray();
        writer.WriteStartArray("attributes");
        foreach (var (name, value) in description.Attributes)
        {
            writer.WriteStartObject();
            writer.WriteString("name", name);
            writer.WriteString("text", value);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void WriteScalar(Utf8JsonWriter writer, string name, double amount)
    {
        writer.WriteStartObject();
        writer.WriteString("name", name);
        writer.WriteString("role", "*");
        writer.WriteNumber("scalar", amount);
        writer.WriteEndObject();
    }

    /// <summary>The free ports of the node's range, in ranges.</summary>
    private static void WritePorts(Utf8JsonWriter writer, Node node)
    {
        writer.WriteStartObject();
        writer.WriteString("name", "ports");
        writer.WriteString("role", "*");
        writer.WriteStartArray("ranges");
        var (begin, end) = (node.Description.TaskPortMin, node.Description.TaskPortMax);
        foreach (var used in node.UsedPorts.Where(p => p >= begin && p <= end).ToList().Append(end + 1))
        {
            if (begin < used)
            {
                writer.WriteStartObject();
                writer.WriteNumber("begin", begin);
                writer.WriteNumber("end", used - 1);
                writer.WriteEndObject();
            }
            begin = used + 1;
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
