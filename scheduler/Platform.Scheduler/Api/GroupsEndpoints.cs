using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/groups (contract 1.5).</summary>
internal sealed class GroupsEndpoints(CommandDoor door, TimeProvider time)
{
    private const string Collection = "/v2/groups";

    public Answer Get(Call call, string[] path)
    {
        var state = call.View.State;
        if (AppsEndpoints.ParseId(path, out _) is not { } id || !state.HasGroup(id)) return NoGroup(path);
        var writing = new GroupJson(call.View, state.CurrentRoot(), state.VersionOf, GroupEmbed.Read(call.Query["embed"]), time.GetUtcNow());
        return Answer.Of(200, writer => writing.Write(writer, id)) with { Tag = state.VersionOf(id) };
    }

    /// <summary>The apps of the group and of all groups in it, as a bare array.</summary>
    public Answer Apps(Call call, string[] path)
    {
        if (AppsEndpoints.GroupOf(call, path) is not { } apps) return NoGroup(path);
        var embed = AppInfoJson.Read(call.Query["embed"], AppInfoJson.ListDefault);
        var now = time.GetUtcNow();
        return Answer.BareList(apps, (writer, app) => AppInfoJson.Write(writer, call.View, app, embed, now));
    }

    public static Answer Versions(Call call, string[] path) =>
        AppsEndpoints.ParseId(path, out _) is { } id && call.View.State.HasGroup(id)
            ? Answer.BareList(call.View.State.VersionsOf(id), (writer, version) => writer.WriteStringValue(version.ToString()))
            : NoGroup(path);

    public Answer Version(Call call, string[] path, string text)
    {
        if (AppsEndpoints.ParseId(path, out _) is not { } id) return NoGroup(path);
        if (!AppVersion.TryParse(text, out var version))
            return Answer.Message(422, $"Invalid timestamp provided '{text}'. Expecting ISO-8601 datetime string.");
        var state = call.View.State;
        if (state.RootAsOf(version.Value) is not { } then || !then.HasGroup(id))
            return Answer.NotFound($"Group '{id}' does not exist in version {version}");
        var embed = GroupEmbed.Read(call.Query["embed"]) with { Apps = null };
        var writing = new GroupJson(call.View, then, g => state.VersionOf(g, version.Value), embed, time.GetUtcNow());
        return Answer.Of(200, writer => writing.Write(writer, id));
    }

    public async Task<Answer> WriteAsync(Call call, string[] path, bool mayExist)
    {
        var (body, refusal) = await call.ReadGroupAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        if (AppsEndpoints.ParseId(path, out var why) is not { } id)
            return Answer.Of(new Rejection(RejectCode.NotValid, "") { Details = [new Problem("/id", why!)] });
        var command = new Command.WriteGroup(id, body, mayExist, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.Other) };
        var (accepted, instead) = await door.AskAsync(call, command, id.Parent).ConfigureAwait(false);
        if (instead is not null) return instead;
        return mayExist ? Answer.Deployment(accepted.Reply)
            : Answer.Deployment(accepted.Reply, 201) with { Location = call.UrlOf(Collection, accepted.Reply.Group!) };
    }

    public async Task<Answer> PatchAsync(Call call, string[] path)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        if (AppsEndpoints.ParseId(path, out _) is not { } id) return NoGroup(path);
        var command = new Command.PatchGroup(id, body) { Origin = call.Origin(ChangeKind.Other) };
        var (accepted, instead) = await door.AskAsync(call, command, id.Parent).ConfigureAwait(false);
        return instead ?? new Answer(200) { Tag = accepted.Reply.VersionAfter };
    }

    public async Task<Answer> DeleteAsync(Call call, string[] path)
    {
        if (AppsEndpoints.ParseId(path, out _) is not { } id) return NoGroup(path);
        var command = new Command.DeleteGroup(id, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.Other) };
        var (accepted, instead) = await door.AskAsync(call, command, id.Parent).ConfigureAwait(false);
        return instead ?? Answer.Deployment(accepted.Reply);
    }

    private static Answer NoGroup(string[] path) => Answer.NotFound($"Group '/{string.Join('/', path)}' does not exist");
}

/// <summary>What of a group is shown (contract 1.5 <c>embed</c>): all where nothing is named, else what is named.</summary>
/// <param name="Apps">Of each app, beside its definition; null = only the definition.</param>
internal sealed record GroupEmbed(bool ShowApps, bool ShowGroups, bool ShowPods, Embed? Apps)
{
    public static GroupEmbed Read(Microsoft.Extensions.Primitives.StringValues names)
    {
        var apps = AppInfoJson.Read(names, Embed.None);
        var showApps = names.Contains("group.apps") || apps != Embed.None;
        var (showGroups, showPods) = (names.Contains("group.groups"), names.Contains("group.pods"));
        return showApps || showGroups || showPods
            ? new GroupEmbed(showApps, showGroups, showPods, apps == Embed.None ? null : apps)
            : new GroupEmbed(true, true, true, null);
    }
}

/// <summary>A group with what is in it, from one root: today's, whose apps can show more of themselves, or an older one.</summary>
internal sealed class GroupJson(ClusterView view, Root root, Func<AppId, AppVersion> versionOf, GroupEmbed embed, DateTimeOffset now)
{
    public void Write(Utf8JsonWriter writer, AppId id)
    {
        root.Groups.TryGetValue(id, out var said);
        writer.WriteStartObject();
        writer.WriteString("id", id.Path);
        if (embed.ShowApps)
        {
            writer.WriteStartArray("apps");
            foreach (var app in root.AppsIn(id).Where(a => a.Pod is null)) WriteApp(writer, app);
            writer.WriteEndArray();
        }
        writer.WriteStartArray("dependencies");
        foreach (var dependency in said?.Dependencies ?? default) writer.WriteStringValue(dependency.Path);
        writer.WriteEndArray();
        if (embed.ShowGroups)
        {
            writer.WriteStartArray("groups");
            foreach (var group in root.GroupsIn(id)) Write(writer, group);
            writer.WriteEndArray();
        }
        if (embed.ShowPods)
        {
            writer.WriteStartArray("pods");
            foreach (var pod in root.AppsIn(id).Where(a => a.Pod is not null)) PodJson.Write(writer, pod);
            writer.WriteEndArray();
        }
        writer.WriteString("version", versionOf(id).ToString());
        if (said?.EnforceRole is { } enforce) writer.WriteBoolean("enforceRole", enforce);
        writer.WriteEndObject();
    }

    private void WriteApp(Utf8JsonWriter writer, AppDefinition app)
    {
        if (embed.Apps is { } extras && view.State.App(app.Id) is { } state) AppInfoJson.Write(writer, view, state, extras, now);
        else AppJson.Write(writer, app);
    }
}
