using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/deployments/records, our own addition: what is remembered of deployments, newest first.</summary>
internal static class DeploymentRecordsEndpoints
{
    public static Answer List(Call call)
    {
        var records = Enumerable.Reverse(call.View.State.Records);
        if (call.Query["app"].ToString() is { Length: > 0 } text)
        {
            if (AppsEndpoints.ParseId(text.Split('/', StringSplitOptions.RemoveEmptyEntries), out var why) is not { } app)
                return Answer.Message(422, $"'{text}' is no app: {why}");
            records = records.Where(r => r.Apps.Items.Contains(app));
        }
        return Answer.List("records", records, Write);
    }

    public static Answer Get(Call call, string id) => call.View.State.Records.FindLast(r => r.Id == id) is { } record
        ? Answer.Of(200, writer => Write(writer, record))
        : Answer.NotFound($"DeploymentPlan {id} is not known, or no longer");

    private static void Write(Utf8JsonWriter writer, DeploymentRecord record)
    {
        writer.WriteStartObject();
        writer.WriteString("id", record.Id);
        writer.WriteString("version", record.Version.ToString());
        if (record.RollbackOf is { } undone) writer.WriteString("rollbackOf", undone);
        WriteOrigin(writer, record);
        writer.WriteString("startedAt", Timestamps.Text(record.StartedAt));
        if (record.EndedAt is { } endedAt) writer.WriteString("endedAt", Timestamps.Text(endedAt));
        writer.WriteString("outcome", JsonNamingPolicy.CamelCase.ConvertName($"{record.Outcome?.ToString() ?? "Running"}"));
        if (record.Reason is { } reason) writer.WriteString("reason", reason);
        if (record.Traffic is { } traffic)
        {
            writer.WriteStartObject("requests");
            writer.WriteNumber("served", traffic.Requests - traffic.Failed);
            writer.WriteNumber("failed", traffic.Failed);
            writer.WriteBoolean("complete", traffic.Complete);
            writer.WriteEndObject();
        }
        writer.WriteStartArray("apps");
        foreach (var app in record.Apps) writer.WriteStringValue(app.Path);
        writer.WriteEndArray();
        writer.WriteStartArray("changes");
        foreach (var change in record.Changes) WriteChange(writer, change);
        writer.WriteEndArray();
        if (record.MoreChanges > 0) writer.WriteNumber("moreChanges", record.MoreChanges);
        WriteSteps(writer, record);
        writer.WriteEndObject();
    }

    /// <summary>Who asked; the scheduler itself has no address.</summary>
    private static void WriteOrigin(Utf8JsonWriter writer, DeploymentRecord record)
    {
        writer.WriteStartObject("origin");
        if (record.Origin == ChangeOrigin.Internal) writer.WriteString("by", "scheduler");
        else
        {
            writer.WriteString("clientIp", record.Origin.ClientIp);
            writer.WriteString("uri", record.Origin.Uri);
        }
        writer.WriteEndObject();
    }

    private static void WriteChange(Utf8JsonWriter writer, AppDiff change)
    {
        writer.WriteStartObject();
        writer.WriteString("app", change.App.Path);
        if (change.From is { } from) writer.WriteString("from", from.ToString());
        if (change.To is { } to) writer.WriteString("to", to.ToString());
        writer.WriteStartArray("fields");
        foreach (var (path, old, now) in change.Fields)
        {
            writer.WriteStartObject();
            writer.WriteString("path", path);
            if (old is not null) writer.WriteString("from", old);
            if (now is not null) writer.WriteString("to", now);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        if (change.More > 0) writer.WriteNumber("more", change.More);
        writer.WriteEndObject();
    }

    private static void WriteSteps(Utf8JsonWriter writer, DeploymentRecord record)
    {
        writer.WriteStartArray("steps");
        foreach (var step in record.Steps)
        {
            writer.WriteStartObject();
            DeploymentsEndpoints.WriteActions(writer, "actions", step.Actions);
            if (step.StartedAt is { } startedAt) writer.WriteString("startedAt", Timestamps.Text(startedAt));
            if (step.EndedAt is { } endedAt) writer.WriteString("endedAt", Timestamps.Text(endedAt));
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }
}
