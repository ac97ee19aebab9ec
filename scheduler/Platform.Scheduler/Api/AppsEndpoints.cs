using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/apps (contract 1.4), without the tasks below an app.</summary>
internal sealed class AppsEndpoints(CommandDoor door, TimeProvider time)
{
    /// <summary>Null where there is no artifact store: <c>storeUrls</c> are refused then.</summary>
    public StoreUrlsDoor? Copies { get; set; }

    public Answer List(Call call)
    {
        var query = call.Query;
        var selectors = new List<LabelSelector>();
        foreach (var text in query["label"])
        {
            if (!LabelSelector.TryParse(text ?? "", out var selector, out var why)) return Answer.Message(422, why);
            selectors.Add(selector);
        }
        var id = query["id"].ToString();
        var cmd = query["cmd"].ToString();
        var apps = Visible(call.View.State).Where(a =>
            Contains(a.Definition.Id.Path, id)
            && (cmd.Length == 0 || Contains(a.Definition.Cmd ?? "", cmd))
            && selectors.TrueForAll(s => s.Matches(a.Definition.Labels)));
        return Infos("apps", call, apps);
    }

    /// <summary>GET /v2/apps/grp/*: the key of the answer is a star, too.</summary>
    public Answer ListGroup(Call call, string[] group)
    {
        if (GroupOf(call, group) is not { } apps) return Answer.NotFound($"Group '/{string.Join('/', group)}' does not exist");
        return Infos("*", call, apps);
    }

    public Answer Get(Call call, string[] path)
    {
        if (Find(call, path) is not { } app) return NoApp(path);
        var embed = AppInfoJson.Read(call.Query["embed"], AppInfoJson.SingleDefault);
        return Answer.Of(200, writer =>
        {
            writer.WriteStartObject();
            writer.WritePropertyName("app");
            AppInfoJson.Write(writer, call.View, app, embed, time.GetUtcNow());
            writer.WriteEndObject();
        }) with { Tag = app.Definition.Version };
    }

    public static Answer Versions(Call call, string[] path) => Find(call, path) is { } app
        ? Answer.List("versions", app.Versions.Where(x => x.Value.Pod is null).Reverse(), (writer, version) => writer.WriteStringValue(version.Key.ToString()))
        : NoApp(path);

    public static Answer Version(Call call, string[] path, string text)
    {
        if (Find(call, path) is not { } app) return NoApp(path);
        if (!AppVersion.TryParse(text, out var version))
            return Answer.Message(422, $"Invalid timestamp provided '{text}'. Expecting ISO-8601 datetime string.");
        return app.Versions.TryGetValue(version.Value, out var definition) && definition.Pod is null
            ? Answer.Of(200, writer => AppJson.Write(writer, definition))
            : Answer.NotFound($"App '{app.Definition.Id}' does not exist in version {version}");
    }

    public async Task<Answer> CreateAsync(Call call)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        var command = new Command.CreateApp(body, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.AppWritten) };
        var (accepted, refused) = await AskAsync(call, command, GroupOf(body), body).ConfigureAwait(false);
        if (refused is not null) return refused;
        var stored = accepted.Events.Items.OfType<SchedulerEvent.DeploymentStarted>().Single().Set.Items.Single();
        return Answer.Of(201, writer => AppInfoJson.WriteCreated(writer, stored, accepted.Reply.Deployment!)) with
        {
            Location = call.UrlOf(stored.Id),
            DeploymentId = accepted.Reply.Deployment,
            Tag = stored.Version,
        };
    }

    /// <summary>PUT makes what is not there, PATCH never does.</summary>
    public async Task<Answer> WriteAsync(Call call, string[] path, bool patch)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        if (ParseId(path, out var why) is not { } id || id.IsRoot)
            return patch ? NoApp(path) : Answer.Of(new Rejection(RejectCode.NotValid, "") { Details = [new Problem("/id", why ?? "must not be the root")] });
        var command = new Command.WriteApps([new AppWrite(id, body)], patch || (call.Flags.PartialUpdate ?? true), !patch, call.Flags.Force ?? false)
        {
            Origin = call.Origin(ChangeKind.AppWritten),
        };
        var (accepted, refused) = await AskAsync(call, command, id.Parent, body).ConfigureAwait(false);
        if (refused is not null) return refused;
        return accepted.Reply.Created
            ? Answer.Deployment(accepted.Reply, 201) with { Location = call.UrlOf(id) }
            : Answer.Deployment(accepted.Reply);
    }

    /// <summary>Several apps, one deployment.</summary>
    public async Task<Answer> WriteAllAsync(Call call, bool patch)
    {
        var (body, refusal) = await call.ReadAppsAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        var writes = body.EnumerateArray().Select(item => new AppWrite(null, item)).ToEquatableArray();
        var command = new Command.WriteApps(writes, patch || (call.Flags.PartialUpdate ?? true), !patch, call.Flags.Force ?? false)
        {
            Origin = call.Origin(ChangeKind.Other),
        };
        var (accepted, refused) = await AskAsync(call, command, AppId.Root, body.EnumerateArray()).ConfigureAwait(false);
        return refused ?? Answer.Deployment(accepted.Reply);
    }

    /// <summary>Unlike everywhere else, force is the default here (contract 1.4).</summary>
    public Task<Answer> DeleteAsync(Call call, string[] path) => ChangeAsync(call, path,
        id => new Command.DeleteApp(id, call.Flags.Force ?? true) { Origin = call.Origin(ChangeKind.Other) });

    public Task<Answer> RestartAsync(Call call, string[] path) => ChangeAsync(call, path,
        id => new Command.RestartApp(id, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.Other) });

    internal static AppState? Find(Call call, string[] path) => ParseId(path, out _) is { } id && call.View.State.App(id) is { IsPod: false } app ? app : null;

    /// <summary>The apps of a group and of the groups in it; null if there is no such group.</summary>
    internal static List<AppState>? GroupOf(Call call, string[] path)
    {
        if (ParseId(path, out _) is not { } group || !call.View.State.HasGroup(group)) return null;
        return Visible(call.View.State).Where(a => a.Definition.Id != group && a.Definition.Id.IsWithin(group)).ToList();
    }

    /// <summary>Pods have endpoints of their own.</summary>
    internal static IEnumerable<AppState> Visible(ClusterState state) => state.Apps.Values.Where(a => a is { Removing: false, IsPod: false });

    internal static Answer NoApp(string[] path) => Answer.NotFound($"App '/{string.Join('/', path)}' does not exist");

    internal static AppId? ParseId(string[] path, out string? why) => AppId.TryParse("/" + string.Join('/', path), out var id, out why) ? id : null;

    private async Task<Answer> ChangeAsync(Call call, string[] path, Func<AppId, Command> command)
    {
        if (Find(call, path) is not { } app) return NoApp(path);
        var id = app.Definition.Id;
        var (accepted, refused) = await door.AskAsync(call, command(id), id.Parent).ConfigureAwait(false);
        return refused ?? Answer.Deployment(accepted.Reply);
    }

    /// <param name="bodies">The apps' own, whose <c>storeUrls</c> are copied first.</param>
    private async Task<(Decision.Accepted Accepted, Answer? Refusal)> AskAsync(Call call, Command command, AppId group, params IEnumerable<JsonElement> bodies)
    {
        if (Copies is not null)
        {
            (command, var refusal) = await Copies.ResolveAsync(call, command, bodies).ConfigureAwait(false);
            if (refusal is not null) return (null!, refusal);
        }
        return await door.AskAsync(call, command, group).ConfigureAwait(false);
    }

    private Answer Infos(string name, Call call, IEnumerable<AppState> apps)
    {
        var embed = AppInfoJson.Read(call.Query["embed"], AppInfoJson.ListDefault);
        var now = time.GetUtcNow();
        return Answer.List(name, apps, (writer, app) => AppInfoJson.Write(writer, call.View, app, embed, now));
    }

    /// <summary>The group a new app would go into; of no matter where its id is wrong, for then it is not locked either.</summary>
    internal static AppId GroupOf(JsonElement body) =>
        body.ValueKind == JsonValueKind.Object && body.TryGetProperty("id", out var text) && text.ValueKind == JsonValueKind.String
        && AppId.TryParse(text.GetString()!, out var id, out _) ? id.Parent : AppId.Root;

    private static bool Contains(string text, string part) => text.Contains(part, StringComparison.OrdinalIgnoreCase);
}
