using System.Text.Json;
using Platform.Model;
using Platform.Protocol.Trust;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/nodes: our own addition. The machines, what they have left, and how they come and go.</summary>
/// <param name="authority">The fingerprint of the link's authority; null where machines cannot join.</param>
internal sealed class NodesEndpoints(CommandDoor door, string? authority, TimeProvider time)
{
    private static readonly TimeSpan TokenLifetime = TimeSpan.FromHours(1);

    public static Answer List(Call call) => Answer.List("nodes", call.View.State.Nodes.Values, (writer, node) => NodeJson.Write(writer, call.View, node));

    public static Answer Get(Call call, PathPieces at) => Find(call, at.Word, out _) is { } node
        ? Answer.Of(200, writer => NodeJson.Write(writer, call.View, node))
        : NoNode(at.Word);

    public async Task<Answer> DrainAsync(Call call, string name)
    {
        if (Find(call, name, out var id) is null) return NoNode(name);
        TimeSpan? within = null;
        if (call.Query.TryGetValue("deadline", out var text))
            within = DeploymentPolicy.TryParse(text.ToString(), out var said) ? said : (TimeSpan?)TimeSpan.MinValue;
        if (within == TimeSpan.MinValue) return Answer.Message(400, $"The parameter deadline is a time from 1 second to 30 days, such as 300 or 5m, not '{text}'");
        var (_, refused) = await door.AskAsync(call, new Command.DrainNode(id!, within) { Origin = call.Origin(ChangeKind.Other) }, AppId.Root).ConfigureAwait(false);
        return refused ?? Answer.Message(202, $"Node {name} takes no more instances, and those on it move elsewhere; GET /v2/nodes/{name} tells what is left and why");
    }

    public async Task<Answer> ResumeAsync(Call call, string name)
    {
        if (Find(call, name, out var id) is null) return NoNode(name);
        var (_, refused) = await door.AskAsync(call, new Command.ResumeNode(id!) { Origin = call.Origin(ChangeKind.Other) }, AppId.Root).ConfigureAwait(false);
        return refused ?? Answer.Message(200, $"Node {name} takes instances");
    }

    public async Task<Answer> RemoveAsync(Call call, string name)
    {
        if (Find(call, name, out var id) is not { } node) return NoNode(name);
        // What was admitted with a certificate stays out when that is withdrawn; whoever needs none would be back in the next second.
        if (node.LostAt is null && call.View.Contacts.GetValueOrDefault(id!) is { Connected: true } && !call.View.State.Admissions.ContainsKey(id!))
            return Answer.Message(409, $"Node '{name}' joined without a certificate and is connected: it would be back at once. Stop it first; when it is lost, it can be removed");
        var (_, refused) = await door.AskAsync(call, new Command.RemoveNode(id!, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.Other) }, AppId.Root).ConfigureAwait(false);
        return refused ?? Answer.Message(200, $"Node {name} is removed");
    }

    /// <summary>The only time that the secret is told.</summary>
    public async Task<Answer> MakeTokenAsync(Call call)
    {
        var lifetime = TokenLifetime;
        if (call.Query.TryGetValue("ttl", out var text) && !DeploymentPolicy.TryParse(text.ToString(), out lifetime))
            return Answer.Message(400, $"The parameter ttl is a time from 1 second to 7 days, such as 3600 or 1h, not '{text}'");
        var token = JoinTokenText.Make(authority ?? "");
        var command = new Command.MakeJoinToken(token.Token, token.Hash, lifetime) { Origin = call.Origin(ChangeKind.Other) };
        if (authority is null) return Answer.Message(409, "The link is not open to other machines with certificates: start the scheduler with --link ADDRESS:PORT");
        var (_, refused) = await door.AskAsync(call, command, AppId.Root).ConfigureAwait(false);
        return refused ?? Answer.Of(201, writer =>
        {
            writer.WriteStartObject();
            writer.WriteString("id", token.Token);
            writer.WriteString("token", token.ToString());
            writer.WriteString("expiresAt", Timestamps.Text(time.GetUtcNow() + lifetime));
            writer.WriteEndObject();
        });
    }

    public Answer Tokens(Call call)
    {
        var now = time.GetUtcNow();
        return Answer.List("tokens", call.View.State.JoinTokens, (writer, token) =>
        {
            writer.WriteStartObject();
            writer.WriteString("id", token.Key);
            writer.WriteString("state", token.Value.UsedBy is not null ? "used" : token.Value.ExpiresAt <= now ? "expired" : "open");
            writer.WriteString("madeAt", Timestamps.Text(token.Value.MadeAt));
            writer.WriteString("expiresAt", Timestamps.Text(token.Value.ExpiresAt));
            if (token.Value.UsedBy is { } node) writer.WriteString("usedBy", node.Name);
            if (token.Value.UsedAt is { } at) writer.WriteString("usedAt", Timestamps.Text(at));
            writer.WriteEndObject();
        });
    }

    public async Task<Answer> RevokeTokenAsync(Call call, string token)
    {
        var (_, refused) = await door.AskAsync(call, new Command.RevokeJoinToken(token) { Origin = call.Origin(ChangeKind.Other) }, AppId.Root).ConfigureAwait(false);
        return refused ?? Answer.Message(200, $"Join token {token} is good for nothing any more");
    }

    private static Node? Find(Call call, string name, out NodeId? id) =>
        NodeId.TryParse(name, out id, out _) && call.View.State.Nodes.TryGetValue(id, out var node) ? node : null;

    private static Answer NoNode(string name) => Answer.NotFound($"Node '{name}' does not exist");
}

/// <summary>A node as it is now: what was decided of it, and what was last heard.</summary>
internal static class NodeJson
{
    public static void Write(Utf8JsonWriter writer, ClusterView view, Node node)
    {
        var description = node.Description;
        var contact = view.Contacts.GetValueOrDefault(description.Id);
        writer.WriteStartObject();
        writer.WriteString("name", description.Id.Name);
        writer.WriteString("address", description.Address);
        writer.WriteString("state", node.LostAt is not null ? "lost" : node.IsDrained ? "drained" : node.Drain is not null ? "draining" : "ready");
        writer.WriteBoolean("connected", contact is { Connected: true });
        if (contact is not null) writer.WriteString("lastHeardAt", Timestamps.Text(contact.LastHeardAt));
        if (node.LostAt is { } lost) writer.WriteString("lostAt", Timestamps.Text(lost));
        if (contact is not null) writer.WriteNumber("servedRevision", contact.ServedRevision);
        writer.WriteNumber("revision", view.State.Revision);
        if (description.Version is { } version) writer.WriteString("version", version);
        writer.WriteStartArray("runtimes");
        foreach (var runtime in description.Runtimes) writer.WriteStringValue(runtime);
        writer.WriteEndArray();
        writer.WriteStartObject("attributes");
        foreach (var (name, value) in description.Attributes) writer.WriteString(name, value);
        writer.WriteEndObject();
        WriteResources(writer, node);
        writer.WriteNumber("instances", node.Instances.Count);
        if (node.Drain is { } drain) WriteDrain(writer, view, node, drain);
        writer.WriteEndObject();
    }

    private static void WriteResources(Utf8JsonWriter writer, Node node)
    {
        var (description, used, free) = (node.Description, node.Used, node.Description.Total - node.Used);
        var all = description.Total + description.Reserved;
        writer.WriteStartObject("resources");
        Amount("cpus", all.Cpus, description.Reserved.Cpus, used.Cpus, free.Cpus);
        Amount("mem", all.MemMib, description.Reserved.MemMib, used.MemMib, free.MemMib);
        Amount("disk", all.DiskMib, description.Reserved.DiskMib, used.DiskMib, free.DiskMib);
        var ports = description.TaskPortMax - description.TaskPortMin + 1;
        var taken = node.UsedPorts.Count(p => p >= description.TaskPortMin && p <= description.TaskPortMax);
        Amount("ports", ports, 0, taken, ports - taken);
        writer.WriteEndObject();

        void Amount(string name, double total, double reserved, double inUse, double left)
        {
            writer.WriteStartObject(name);
            writer.WriteNumber("total", total);
            writer.WriteNumber("reserved", reserved);
            writer.WriteNumber("used", inUse);
            writer.WriteNumber("free", left);
            writer.WriteEndObject();
        }
    }

    private static void WriteDrain(Utf8JsonWriter writer, ClusterView view, Node node, NodeDrain drain)
    {
        writer.WriteStartObject("drain");
        writer.WriteString("since", Timestamps.Text(drain.Since));
        if (drain.Until is { } until) writer.WriteString("deadline", Timestamps.Text(until));
        writer.WriteStartArray("waitingFor");
        foreach (var wait in DrainWaits.Of(view, node))
        {
            writer.WriteStartObject();
            writer.WriteString("app", wait.App.Path);
            writer.WriteNumber("instances", wait.Instances);
            writer.WriteString("reason", wait.Reason);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
