using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/deployments (contract 1.6).</summary>
internal sealed class DeploymentsEndpoints(CommandDoor door, TimeProvider time)
{
    public Answer List(Call call)
    {
        var now = time.GetUtcNow();
        return Answer.BareList(call.View.State.Deployments.Values.OrderBy(d => d.Version), (writer, d) => Write(writer, call.View, d, call.ContractOnly ? null : now));
    }

    /// <summary>Without force a new deployment undoes this one; with it this one just ends, and what it has done stays.</summary>
    public async Task<Answer> CancelAsync(Call call, string id)
    {
        var force = call.Flags.Force ?? false;
        var command = new Command.CancelDeployment(id, force) { Origin = call.Origin(ChangeKind.Other) };
        var (accepted, refused) = await door.AskAsync(call, command, AppId.Root).ConfigureAwait(false);
        return refused ?? (force ? new Answer(202) : Answer.Deployment(accepted.Reply));
    }

    internal static void WriteSteps(Utf8JsonWriter writer, Deployment deployment)
    {
        writer.WriteStartArray("steps");
        foreach (var step in deployment.Steps)
        {
            writer.WriteStartObject();
            WriteActions(writer, "actions", step.Actions);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    /// <param name="more">Further members of each action.</param>
    internal static void WriteActions(Utf8JsonWriter writer, string name, EquatableArray<DeploymentAction> actions, Action<AppId>? more = null)
    {
        writer.WriteStartArray(name);
        foreach (var action in actions)
        {
            writer.WriteStartObject();
            writer.WriteString("action", NameOf(action));
            writer.WriteString(action.IsPod ? "pod" : "app", action.App.Path);
            more?.Invoke(action.App);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    /// <summary>Of the instances that a deployment has placed; outside of deployments nobody asks (contract 5.6).</summary>
    internal static void WriteReadiness(Utf8JsonWriter writer, ClusterView view, AppState? app)
    {
        writer.WriteStartArray("readinessCheckResults");
        if (app is not null && view.State.DeploymentsOf(app.Definition.Id).Any())
            foreach (var instance in app.Instances.Values.Where(i => !i.IsStopping && app.IsCurrent(i)))
                foreach (var check in view.ReadinessOf(instance)) WriteReadiness(writer, instance, check);
        writer.WriteEndArray();
    }

    private static void WriteReadiness(Utf8JsonWriter writer, Instance instance, ReadinessState check)
    {
        writer.WriteStartObject();
        writer.WriteString("name", check.Name);
        writer.WriteString("taskId", instance.Id.TaskId);
        writer.WriteBoolean("ready", check.Ready);
        if (check.LastResponse is { } last)
        {
            writer.WriteStartObject("lastResponse");
            writer.WriteNumber("status", last.Status);
            writer.WriteString("contentType", last.ContentType);
            writer.WriteString("body", last.Body);
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
    }

    /// <summary>RestartApplication, or of a pod RestartPod.</summary>
    private static string NameOf(DeploymentAction action) =>
        action.IsPod ? action.Action.ToString().Replace("Application", "Pod", StringComparison.Ordinal) : action.Action.ToString();

    private static void WriteAffected(Utf8JsonWriter writer, string name, Deployment deployment, bool pods)
    {
        writer.WriteStartArray(name);
        var affected = deployment.Steps.SelectMany(s => s.Actions.Items).Where(a => a.IsPod == pods).Select(a => a.App).Distinct();
        foreach (var app in affected) writer.WriteStringValue(app.Path);
        writer.WriteEndArray();
    }

    /// <param name="now">Null: without our own additions.</param>
    private static void Write(Utf8JsonWriter writer, ClusterView view, Deployment deployment, DateTimeOffset? now)
    {
        writer.WriteStartObject();
        writer.WriteString("id", deployment.Id);
        writer.WriteString("version", deployment.Version.ToString());
        WriteAffected(writer, "affectedApps", deployment, pods: false);
        WriteAffected(writer, "affectedPods", deployment, pods: true);
        WriteSteps(writer, deployment);
        WriteActions(writer, "currentActions", deployment.CurrentActions, app => WriteReadiness(writer, view, view.State.Apps.GetValueOrDefault(app)));
        writer.WriteNumber("currentStep", deployment.CurrentStep);
        writer.WriteNumber("totalSteps", deployment.Steps.Count);
        if (now is { } at) WriteAdditions(writer, view, deployment, at);
        writer.WriteEndObject();
    }

    private static void WriteAdditions(Utf8JsonWriter writer, ClusterView view, Deployment deployment, DateTimeOffset now)
    {
        if (deployment.Limit is { } limit)
        {
            writer.WriteString("givenUpAt", Timestamps.Text(limit.Until));
            writer.WriteBoolean("autoRollback", limit.Rollback);
        }
        if (deployment.RollbackOf is { } undone) writer.WriteString("rollbackOf", undone);
        writer.WriteStartArray("waiting");
        foreach (var wait in DeploymentWaits.Of(view, deployment, now)) WriteWait(writer, wait);
        writer.WriteEndArray();
    }

    /// <summary>Our own addition: a step that does not go on says why.</summary>
    private static void WriteWait(Utf8JsonWriter writer, DeploymentWait wait)
    {
        writer.WriteStartObject();
        writer.WriteString("app", wait.App.Path);
        writer.WriteString("since", Timestamps.Text(wait.Since));
        writer.WriteStartArray("reasons");
        foreach (var reason in wait.Reasons)
        {
            writer.WriteStartObject();
            writer.WriteString("kind", JsonNamingPolicy.CamelCase.ConvertName($"{reason.Kind}"));
            writer.WriteString("since", Timestamps.Text(reason.Since));
            if (reason.Instance is { } instance) writer.WriteString("taskId", instance.TaskId);
            if (reason.Node is { } node) writer.WriteString("node", node.Name);
            writer.WriteString("text", reason.Text);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        if (wait.More > 0) writer.WriteNumber("more", wait.More);
        if (wait.Hint is { } hint) writer.WriteString("hint", hint);
        writer.WriteEndObject();
    }
}
