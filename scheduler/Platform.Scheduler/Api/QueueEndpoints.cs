using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/queue: what waits, and why (contract 1.8). Beside the contract's funnel every item tells what each node said.</summary>
internal sealed class QueueEndpoints(CommandDoor door, TimeProvider time)
{
    private static readonly NoFitReason[] Funnel = Enum.GetValues<NoFitReason>();

    public Answer List(Call call)
    {
        var now = time.GetUtcNow();
        var waiting = call.View.Queue.Values
            .Select(item => (Item: item, App: call.View.State.App(item.App)))
            .Where(x => x.App is not null);
        var offersIn = call.Query["embed"].Any(e => e is "lastUnusedOffers" or "queue.lastUnusedOffers") ? call.View.State : null;
        return Answer.List("queue", waiting, (writer, x) => Write(writer, x.Item, x.App!.Definition, offersIn, contractOnly: call.ContractOnly, now));
    }

    public async Task<Answer> ResetDelayAsync(Call call, string[] path)
    {
        if (AppsEndpoints.ParseId(path, out _) is not { } id) return Answer.NotFound($"Application /{string.Join('/', path)} not found in tasks queue.");
        var command = new Command.ResetDelay(id) { Origin = call.Origin(ChangeKind.Other) };
        var (_, refused) = await door.AskAsync(call, command, id.Parent).ConfigureAwait(false);
        return refused ?? new Answer(204);
    }

    /// <param name="offersIn">Where the nodes are whose offers are told too; null = they are not.</param>
    /// <param name="contractOnly">Without our own additions, and without the role, which came with 1.9: strict clients of before do not know it.</param>
    private static void Write(Utf8JsonWriter writer, QueueItem item, AppDefinition app, ClusterState? offersIn, bool contractOnly, DateTimeOffset now)
    {
        var left = item.Explanation.DelayedUntil - now;
        var delayed = left > TimeSpan.Zero;
        writer.WriteStartObject();
        writer.WriteNumber("count", item.Explanation.Waiting);
        if (!contractOnly) writer.WriteString("role", "*");
        writer.WriteStartObject("delay");
        writer.WriteNumber("timeLeftSeconds", delayed ? (long)Math.Ceiling(left!.Value.TotalSeconds) : 0);
        writer.WriteBoolean("overdue", !delayed);
        writer.WriteEndObject();
        writer.WriteString("since", Timestamps.Text(item.Since));
        WriteOffers(writer, item);
        if (offersIn is not null) OfferJson.WriteUnused(writer, offersIn, item);
        if (!contractOnly) WriteWaiting(writer, item.Explanation.NoFits);
        writer.WritePropertyName(app.Pod is null ? "app" : "pod");
        if (app.Pod is null) AppJson.Write(writer, app);
        else PodJson.Write(writer, app);
        writer.WriteEndObject();
    }

    private static void WriteOffers(Utf8JsonWriter writer, QueueItem item)
    {
        writer.WriteStartObject("processedOffersSummary");
        writer.WriteNumber("processedOffersCount", item.Processed);
        writer.WriteNumber("unusedOffersCount", item.Unused);
        if (item.LastUnusedAt is { } unusedAt) writer.WriteString("lastUnusedOfferAt", Timestamps.Text(unusedAt));
        if (item.LastUsedAt is { } usedAt) writer.WriteString("lastUsedOfferAt", Timestamps.Text(usedAt));
        var last = item.Explanation.NoFits.Items.CountBy(n => n.Reason).ToDictionary();
        WriteFunnel(writer, "rejectSummaryLastOffers", item.Explanation.NoFits.Count, last);
        WriteFunnel(writer, "rejectSummaryLaunchAttempt", item.Processed, item.Declines);
        writer.WriteEndObject();
    }

    /// <summary>Every reason is listed; what one has declined does not reach the next.</summary>
    private static void WriteFunnel(Utf8JsonWriter writer, string name, int processed, IReadOnlyDictionary<NoFitReason, int> declines)
    {
        writer.WriteStartArray(name);
        foreach (var reason in Funnel)
        {
            var declined = declines.GetValueOrDefault(reason);
            writer.WriteStartObject();
            writer.WriteString("reason", reason.ToString());
            writer.WriteNumber("declined", declined);
            writer.WriteNumber("processed", processed);
            writer.WriteEndObject();
            processed -= declined;
        }
        writer.WriteEndArray();
    }

    private static void WriteWaiting(Utf8JsonWriter writer, EquatableArray<NoFit> noFits)
    {
        writer.WriteStartArray("waiting");
        foreach (var (node, reason, detail) in noFits)
        {
            writer.WriteStartObject();
            writer.WriteString("node", node.Name);
            writer.WriteString("reason", reason.ToString());
            writer.WriteString("detail", detail);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }
}
