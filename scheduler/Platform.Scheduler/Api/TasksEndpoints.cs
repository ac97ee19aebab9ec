using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/tasks and the tasks of an app (contract 1.4, 1.7).</summary>
internal sealed class TasksEndpoints(CommandDoor door)
{
    public static Answer List(Call call)
    {
        var apps = AppsEndpoints.Visible(call.View.State);
        if (call.PrefersText()) return new Answer(200) { Text = TaskJson.Text(call.View.State, apps) };
        var wanted = Wanted(call);
        // The tasks of an app that is on its way out are still there: they are listed until they have ended.
        var tasks = call.View.State.Apps.Values.Where(a => !a.IsPod).SelectMany(a => a.Instances.Values)
            .Where(i => wanted.Count == 0 || wanted.Contains(TaskJson.StateOf(call.View.State, i)));
        return Answer.List("tasks", tasks, (writer, instance) => TaskJson.Write(writer, call.View, instance, withServicePorts: true));
    }

    public static Answer ListOf(Call call, string[] path)
    {
        List<AppState>? apps;
        if (path is [.. var group, "*"])
        {
            apps = AppsEndpoints.GroupOf(call, group);
            if (apps is null) return Answer.NotFound($"Group '/{string.Join('/', group)}' does not exist");
        }
        else if (AppsEndpoints.Find(call, path) is { } app) apps = [app];
        else return AppsEndpoints.NoApp(path);
        if (call.PrefersText()) return new Answer(200) { Text = TaskJson.Text(call.View.State, apps) };
        return Tasks(call, apps.SelectMany(a => a.Instances.Values));
    }

    public Task<Answer> KillAllAsync(Call call, string[] path)
    {
        if (AppsEndpoints.Find(call, path) is not { } app) return Task.FromResult(AppsEndpoints.NoApp(path));
        var host = call.Query["host"].ToString();
        var chosen = app.Instances.Values.Where(i => host is "" or "*" || i.Node.Name == host).Select(i => i.Id)
            .Concat(call.Flags.Wipe == true ? app.Reservations.Where(r => r.Value.IsIdle && (host is "" or "*" || r.Value.Node.Name == host)).Select(r => r.Key) : [])
            .ToEquatableArray();
        return KillAsync(call, chosen, app.Definition.Id.Parent, killed => Tasks(call, killed));
    }

    public Task<Answer> KillOneAsync(Call call, string[] path, string task)
    {
        if (AppsEndpoints.Find(call, path) is not { } app) return Task.FromResult(AppsEndpoints.NoApp(path));
        if (!InstanceId.TryParse(task, out var id)) return Task.FromResult(Answer.NotFound($"Task '{task}' does not exist"));
        if (call.Flags.Wipe == true && app.ReservationOf(id) is { IsIdle: true } idle) return KillAsync(call, [id], app.Definition.Id.Parent, _ => Wiped(app.Definition.Id, id, idle));
        if (!app.Instances.ContainsKey(id)) return Task.FromResult(Answer.NotFound($"Task '{task}' does not exist"));
        return KillAsync(call, [id], app.Definition.Id.Parent, killed => killed.IsEmpty
            ? Answer.NotFound($"Task '{task}' does not exist") // it has ended meanwhile
            : Answer.Of(200, writer =>
            {
                writer.WriteStartObject();
                writer.WritePropertyName("task");
                TaskJson.Write(writer, call.View, killed[0], withServicePorts: false);
                writer.WriteEndObject();
            }));
    }

    /// <summary>POST /v2/tasks/delete: a malformed id is refused, one that is not there is skipped.</summary>
    public async Task<Answer> KillSeveralAsync(Call call)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        if (body.ValueKind != JsonValueKind.Object) return Answer.WrongShape(new Problem("/", "error.expected.jsobject"));
        if (!body.TryGetProperty("ids", out var ids)) return Answer.WrongShape(new Problem("/ids", "error.path.missing"));
        if (ids.ValueKind != JsonValueKind.Array) return Answer.WrongShape(new Problem("/ids", "error.expected.jsarray"));
        var chosen = new List<InstanceId>();
        foreach (var (item, index) in ids.EnumerateArray().Select((x, i) => (x, i)))
        {
            if (item.ValueKind != JsonValueKind.String) return Answer.WrongShape(new Problem($"/ids({index})", "error.expected.jsstring"));
            var text = item.GetString()!;
            if (!InstanceId.TryParse(text, out var id)) return Answer.Message(400, $"Invalid task id '{text}'. [A task id is <app>.instance-<uuid>._app.1]");
            if (call.View.State.Instance(id) is { } instance ? !call.View.State.Apps[instance.App].IsPod : call.Flags.Wipe == true) chosen.Add(id);
        }
        return await KillAsync(call, chosen.Distinct().ToEquatableArray(), AppId.Root, killed => Tasks(call, killed)).ConfigureAwait(false);
    }

    private async Task<Answer> KillAsync(Call call, EquatableArray<InstanceId> chosen, AppId group, Func<EquatableArray<Instance>, Answer> killed)
    {
        var scale = call.Flags.Scale ?? false;
        if (scale && call.Flags.Wipe == true) return Answer.Message(400, "You cannot use scale and wipe at the same time.");
        var command = new Command.KillInstances(chosen, scale, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.Other), Wipe = call.Flags.Wipe ?? false };
        var (accepted, refused) = await door.AskAsync(call, command, group).ConfigureAwait(false);
        return refused ?? (scale ? Answer.Deployment(accepted.Reply) : killed(accepted.Reply.Instances));
    }

    /// <summary>A resident instance without a task: what is left to show of it is what was wiped.</summary>
    private static Answer Wiped(AppId app, InstanceId id, Reservation reservation) => Answer.Of(200, writer =>
    {
        writer.WriteStartObject();
        writer.WriteStartObject("task");
        writer.WriteString("id", id.Next(Math.Max(1, reservation.Incarnation)).TaskId);
        writer.WriteString("appId", app.Path);
        writer.WriteString("host", reservation.Node.Name);
        writer.WriteString("slaveId", reservation.Node.Name);
        writer.WriteString("state", TaskJson.NameOf(TerminalState.Killed));
        TaskJson.WriteVolumes(writer, app, reservation);
        writer.WriteEndObject();
        writer.WriteEndObject();
    });

    private static Answer Tasks(Call call, IEnumerable<Instance> instances) =>
        Answer.List("tasks", instances, (writer, instance) => TaskJson.Write(writer, call.View, instance, withServicePorts: false));

    /// <summary>The states asked for; unknown words ask for nothing, and nothing asked for means all.</summary>
    private static HashSet<string> Wanted(Call call)
    {
        var wanted = new HashSet<string>(StringComparer.Ordinal);
        foreach (var word in call.Query["status"].Concat(call.Query["status[]"]))
            if (word == "running") wanted.Add(TaskJson.Running);
            else if (word == "staging") wanted.UnionWith([TaskJson.Staging, TaskJson.Starting]);
        return wanted;
    }
}
