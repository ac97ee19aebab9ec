using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>GET /v2/apps/{id}/explain, our own addition: why its instances wait, node by node and rule by rule, and what would place one.</summary>
internal sealed class ExplainEndpoints(TimeProvider time)
{
    public Answer Get(Call call, string[] path)
    {
        if (AppsEndpoints.Find(call, path) is not { } app) return AppsEndpoints.NoApp(path);
        var explanation = PlacementExplanations.Of(call.View.State, app.Definition.Id, time.GetUtcNow());
        return Answer.Of(200, writer => Write(writer, explanation));
    }

    private static void Write(Utf8JsonWriter writer, PlacementExplanation explanation)
    {
        writer.WriteStartObject();
        writer.WriteString("app", explanation.App.Path);
        writer.WriteNumber("waiting", explanation.Waiting);
        if (explanation.DelayedUntil is { } until) writer.WriteString("delayedUntil", Timestamps.Text(until));
        writer.WriteStartArray("nodes");
        foreach (var (node, rules) in explanation.Nodes)
        {
            writer.WriteStartObject();
            writer.WriteString("node", node.Name);
            writer.WriteBoolean("fits", rules.Items.All(r => r.Passes));
            writer.WriteStartArray("rules");
            foreach (var rule in rules) WriteRule(writer, rule);
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartArray("changes");
        foreach (var remedy in explanation.Remedies) writer.WriteStringValue(remedy.Text);
        writer.WriteEndArray();
        if (explanation.Hint is { } hint) writer.WriteString("hint", hint);
        writer.WriteEndObject();
    }

    private static void WriteRule(Utf8JsonWriter writer, RuleVerdict rule)
    {
        writer.WriteStartObject();
        writer.WriteString("rule", JsonNamingPolicy.CamelCase.ConvertName($"{rule.Rule}"));
        if (rule.Subject is { } subject) writer.WriteString("subject", subject);
        writer.WriteBoolean("passes", rule.Passes);
        if (rule.Asked is { } asked) writer.WriteNumber("asked", asked);
        if (rule.Free is { } free) writer.WriteNumber("free", free);
        if (rule.Total is { } total) writer.WriteNumber("total", total);
        if (rule.Detail is { } detail) writer.WriteString("detail", detail);
        writer.WriteEndObject();
    }
}
