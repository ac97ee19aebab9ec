using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>
/// /v2/pods (contract 1.10). What is asked of a pod stands behind two colons at the end of its id: <c>/v2/pods/shop/web::status</c>,
/// <c>/v2/pods/shop/web::versions/2026-…</c>.
/// </summary>
internal sealed class PodsEndpoints(CommandDoor door, TimeProvider time)
{
    public static Answer List(Call call) => Answer.BareList(Visible(call.View.State), (writer, pod) => PodJson.Write(writer, pod.Definition));

    public Answer Statuses(Call call)
    {
        var now = time.GetUtcNow();
        return Answer.BareList(call.View.State.Apps.Values.Where(a => a.IsPod), (writer, pod) => PodStatusJson.Write(writer, call.View, pod, now));
    }

    public static Answer Get(Call call, string[] path) =>
        Find(call, path) is { } pod
            ? Answer.Of(200, writer => PodJson.Write(writer, pod.Definition)) with { Tag = pod.Definition.Version }
            : NoPod(path);

    /// <summary>A pod on its way out has a status until its last instance has ended.</summary>
    public Answer Status(Call call, string[] path)
    {
        var id = AppsEndpoints.ParseId(path, out _);
        return id is not null && call.View.State.Apps.TryGetValue(id, out var pod) && pod.IsPod
            ? Answer.Of(200, writer => PodStatusJson.Write(writer, call.View, pod, time.GetUtcNow()))
            : NoPod(path);
    }

    public static Answer Versions(Call call, string[] path) => Find(call, path) is { } pod
        ? Answer.BareList(VersionsOf(pod).Reverse(), (writer, version) => writer.WriteStringValue(version.Version.ToString()))
        : NoPod(path);

    public static Answer Version(Call call, string[] path, string text)
    {
        if (Find(call, path) is not { } pod) return NoPod(path);
        if (!AppVersion.TryParse(text, out var version))
            return Answer.Message(422, $"Invalid timestamp provided '{text}'. Expecting ISO-8601 datetime string.");
        return VersionsOf(pod).FirstOrDefault(x => x.Version == version) is { } definition
            ? Answer.Of(200, writer => PodJson.Write(writer, definition))
            : Answer.NotFound($"Pod '{pod.Definition.Id}' does not exist in version {version}");
    }

    /// <summary>Under the id there may once have been an app.</summary>
    private static IEnumerable<AppDefinition> VersionsOf(AppState pod) => pod.Versions.Values.Where(x => x.Pod is not null);

    public async Task<Answer> CreateAsync(Call call)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        var command = new Command.CreatePod(body, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.PodCreated) };
        var (accepted, refused) = await door.AskAsync(call, command, AppsEndpoints.GroupOf(body)).ConfigureAwait(false);
        if (refused is not null) return refused;
        return Written(call, accepted, 201) with { Location = call.UrlOf("/v2/pods", accepted.Reply.Apps[0]) };
    }

    public async Task<Answer> WriteAsync(Call call, string[] path)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        if (AppsEndpoints.ParseId(path, out var why) is not { } id)
            return Answer.Of(new Rejection(RejectCode.NotValid, "") { Details = [new Problem("/id", why!)] });
        var command = new Command.WritePod(id, body, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.PodUpdated) };
        var (accepted, refused) = await door.AskAsync(call, command, id.Parent).ConfigureAwait(false);
        return refused ?? Written(call, accepted, 200);
    }

    public async Task<Answer> DeleteAsync(Call call, string[] path)
    {
        if (Find(call, path) is not { } pod) return NoPod(path);
        var id = pod.Definition.Id;
        var command = new Command.DeletePod(id, call.Flags.Force ?? false) { Origin = call.Origin(ChangeKind.PodDeleted) };
        var (accepted, refused) = await door.AskAsync(call, command, id.Parent).ConfigureAwait(false);
        return refused ?? new Answer(202) { DeploymentId = accepted.Reply.Deployment, Location = call.UrlOf($"/v2/deployments/{accepted.Reply.Deployment}") };
    }

    /// <summary>The pod as it was stored; a write that changed nothing has stored nothing, and the pod is as it was.</summary>
    private static Answer Written(Call call, Decision.Accepted accepted, int status)
    {
        var stored = accepted.Events.Items.OfType<SchedulerEvent.DeploymentStarted>().Single().Set.Items.SingleOrDefault()
            ?? call.View.State.Apps[accepted.Reply.Apps[0]].Definition;
        return Answer.Of(status, writer => PodJson.Write(writer, stored)) with { DeploymentId = accepted.Reply.Deployment, Tag = stored.Version };
    }

    public async Task<Answer> KillOneAsync(Call call, string[] path, string text)
    {
        if (Find(call, path) is not { } pod) return NoPod(path);
        if (!InstanceId.TryParse(text, out var id)) return Answer.Message(422, NoInstanceId(text));
        if (!pod.Instances.TryGetValue(id, out var instance)) return NoInstance(text);
        var (killed, refused) = await KillAsync(call, [id], pod).ConfigureAwait(false);
        return refused ?? (killed.IsEmpty
            ? NoInstance(text) // it has ended meanwhile
            : Answer.Of(200, writer => PodStatusJson.WriteInstance(writer, call.View, pod, instance, time.GetUtcNow())));
    }

    /// <summary>The body names the instances; those that are not there are skipped.</summary>
    public async Task<Answer> KillSeveralAsync(Call call, string[] path)
    {
        var (body, refusal) = await call.ReadAppAsync().ConfigureAwait(false);
        if (refusal is not null) return refusal;
        if (Find(call, path) is not { } pod) return NoPod(path);
        if (body.ValueKind != JsonValueKind.Array) return Answer.WrongShape(new Problem("/", "error.expected.jsarray"));
        var chosen = new List<InstanceId>();
        var problems = new List<Problem>();
        foreach (var (item, index) in body.EnumerateArray().Select((x, i) => (x, i)))
            if (item.ValueKind != JsonValueKind.String) problems.Add(new Problem($"/({index})", "error.expected.jsstring"));
            else if (!InstanceId.TryParse(item.GetString()!, out var id)) problems.Add(new Problem($"/({index})", NoInstanceId(item.GetString()!)));
            else if (pod.Instances.ContainsKey(id)) chosen.Add(id);
        if (problems.Count > 0) return Answer.WrongShape([.. problems.Take(AppLimits.ProblemsMax)]);
        var (killed, refused) = await KillAsync(call, chosen.Distinct().ToEquatableArray(), pod).ConfigureAwait(false);
        return refused ?? Answer.BareList(killed, (writer, instance) => PodStatusJson.WriteInstance(writer, call.View, pod, instance, time.GetUtcNow()));
    }

    /// <summary>A replacement is always a new instance, with volumes of its own: <c>wipe</c> asks for what happens anyway.</summary>
    private async Task<(EquatableArray<Instance> Killed, Answer? Refusal)> KillAsync(Call call, EquatableArray<InstanceId> chosen, AppState pod)
    {
        var command = new Command.KillInstances(chosen, Scale: false, Force: false) { Origin = call.Origin(ChangeKind.Other) };
        var (accepted, refused) = await door.AskAsync(call, command, pod.Definition.Id.Parent).ConfigureAwait(false);
        return refused is null ? (accepted.Reply.Instances, null) : (default, refused);
    }

    private static IEnumerable<AppState> Visible(ClusterState state) => state.Apps.Values.Where(a => a is { IsPod: true, Removing: false });

    private static AppState? Find(Call call, string[] path) => AppsEndpoints.ParseId(path, out _) is { } id ? call.View.State.Pod(id) : null;

    private static Answer NoPod(string[] path) => Answer.NotFound($"Pod '/{string.Join('/', path)}' does not exist");
    private static Answer NoInstance(string text) => Answer.NotFound($"Instance '{text}' does not exist");
    private static string NoInstanceId(string text) => $"'{text}' is no instance id: it has the form <pod>.instance-<uuid>";
    private static Task<Answer> NotAllowed(string allow) => Task.FromResult(Answer.NotAllowed(allow));
}
