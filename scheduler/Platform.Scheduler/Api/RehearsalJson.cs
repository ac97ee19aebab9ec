using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>The answer to a <c>dryRun</c>: the contract's <c>steps</c> (1.5), and what else is known of the change before it is made.</summary>
internal static class RehearsalJson
{
    public static Answer Answer(Rehearsed rehearsed) => Api.Answer.Of(200, writer => Write(writer, rehearsed)) with { Tag = rehearsed.VersionBefore };

    private static void Write(Utf8JsonWriter writer, Rehearsed rehearsed)
    {
        writer.WriteStartObject();
        DeploymentsEndpoints.WriteSteps(writer, rehearsed.Deployment);
        writer.WriteStartArray("deploymentsInTheWay");
        foreach (var id in rehearsed.InTheWay)
        {
            writer.WriteStartObject();
            writer.WriteString("id", id);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteBoolean("complete", rehearsed.Complete);
        writer.WriteStartArray("apps");
        foreach (var app in rehearsed.Apps) Write(writer, app);
        writer.WriteEndArray();
        writer.WriteStartArray("groupsSet");
        foreach (var group in rehearsed.SetGroups) writer.WriteStringValue(group.Id.Path);
        writer.WriteEndArray();
        writer.WriteStartArray("groupsRemoved");
        foreach (var group in rehearsed.RemovedGroups) writer.WriteStringValue(group.Path);
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter writer, AppRehearsed app)
    {
        writer.WriteStartObject();
        writer.WriteString("id", app.App.Path);
        writer.WriteStartArray("diff");
        foreach (var difference in app.Differences)
        {
            writer.WriteStartObject();
            writer.WriteString("path", difference.Path);
            WriteSide(writer, "from", difference.From);
            WriteSide(writer, "to", difference.To);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartObject("instances");
        writer.WriteNumber("from", app.Before?.Instances ?? 0);
        writer.WriteNumber("to", app.After?.Instances ?? 0);
        writer.WriteEndObject();
        writer.WriteStartObject("healthy");
        writer.WriteNumber("now", app.HealthyBefore);
        writer.WriteNumber("least", app.HealthyLeast);
        writer.WriteEndObject();
        WritePlacements(writer, app);
        if (app.Waiting is { } waiting) WriteWaiting(writer, waiting);
        writer.WriteEndObject();
    }

    private static void WriteSide(Utf8JsonWriter writer, string name, string? json)
    {
        if (json is null) return;
        writer.WritePropertyName(name);
        writer.WriteRawValue(json);
    }

    private static void WritePlacements(Utf8JsonWriter writer, AppRehearsed app)
    {
        writer.WriteStartArray("placements");
        foreach (var node in app.Placed.Items.GroupBy(p => p.Node).OrderBy(g => g.Key))
        {
            writer.WriteStartObject();
            writer.WriteString("node", node.Key.Name);
            writer.WriteStartArray("instances");
            foreach (var placed in node)
            {
                writer.WriteStartObject();
                writer.WriteString("id", placed.Instance.Text);
                writer.WriteStartArray("ports");
                foreach (var port in placed.HostPorts) writer.WriteNumberValue(port);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartArray("stopped");
        foreach (var id in app.Stopped) writer.WriteStringValue(id.Text);
        writer.WriteEndArray();
    }

    private static void WriteWaiting(Utf8JsonWriter writer, Explanation waiting)
    {
        writer.WriteStartObject("waiting");
        writer.WriteNumber("count", waiting.Waiting);
        if (waiting.DelayedUntil is { } until) writer.WriteString("delayedUntil", Timestamps.Text(until));
        writer.WriteStartArray("refusals");
        foreach (var (node, reason, detail) in waiting.NoFits)
        {
            writer.WriteStartObject();
            writer.WriteString("node", node.Name);
            writer.WriteString("reason", reason.ToString());
            writer.WriteString("detail", detail);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
