using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>/v2/deployments (contract 1.6).</summary>
internal sealed class DeploymentsEndpoints(CommandDoor door)
{
    public static Answer List(Call call) => Answer.BareList(call.View.State.Deployments.Values.OrderBy(d => d.Version), Write);

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
            WriteActions(writer, "actions", step.Actions, withReadiness: false);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    internal static void WriteActions(Utf8JsonWriter writer, string name, EquatableArray<DeploymentAction> actions, bool withReadiness)
    {
        writer.WriteStartArray(name);
        foreach (var action in actions)
        {
            writer.WriteStartObject();
            writer.WriteString("action", NameOf(action));
            writer.WriteString(action.IsPod ? "pod" : "app", action.App.Path);
            if (withReadiness)
            {
                writer.WriteStartArray("readinessCheckResults");
                writer.WriteEndArray();
            }
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
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

    private static void Write(Utf8JsonWriter writer, Deployment deployment)
    {
        writer.WriteStartObject();
        writer.WriteString("id", deployment.Id);
        writer.WriteString("version", deployment.Version.ToString());
        WriteAffected(writer, "affectedApps", deployment, pods: false);
        WriteAffected(writer, "affectedPods", deployment, pods: true);
        WriteSteps(writer, deployment);
        WriteActions(writer, "currentActions", deployment.CurrentActions, withReadiness: true);
        writer.WriteNumber("currentStep", deployment.CurrentStep);
        writer.WriteNumber("totalSteps", deployment.Steps.Count);
        writer.WriteEndObject();
    }
}
