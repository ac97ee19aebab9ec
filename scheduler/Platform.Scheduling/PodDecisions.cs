using Platform.Model;

namespace Platform.Scheduling;

/// <summary>The commands of /v2/pods (contract 1.10). A pod is written whole, and from there on goes the way of an app.</summary>
internal static class PodDecisions
{
    public static Decision Create(RootChange change, Command.CreatePod x)
    {
        if (Read(x.Body, out var pod) is { } refused) return refused;
        if (change.State.Pod(pod.Id) is not null) return Decider.Refuse(RejectCode.Exists, $"A pod with id [{pod.Id}] already exists.");
        change.Set(pod);
        return change.Decide(x.Force, created: true);
    }

    /// <summary>PUT makes what is not there, as Marathon does.</summary>
    public static Decision Write(RootChange change, Command.WritePod x)
    {
        if (Read(x.Body, out var pod) is { } refused) return refused;
        if (pod.Id != x.Pod) return Decider.Refuse(RejectCode.BadRequest, $"'{x.Pod}' does not match definition's id ('{pod.Id}')");
        var created = change.State.Pod(pod.Id) is null;
        change.Set(pod);
        return change.Decide(x.Force, created);
    }

    public static Decision Delete(RootChange change, Command.DeletePod x)
    {
        if (change.State.Pod(x.Pod) is null) return Decider.Refuse(RejectCode.NotFound, $"Pod '{x.Pod}' does not exist");
        change.Remove(x.Pod);
        return change.Decide(x.Force);
    }

    private static Decision? Read(System.Text.Json.JsonElement body, out AppDefinition pod)
    {
        var result = PodReader.Read(body);
        pod = result is ReadResult.App read ? read.Definition : null!;
        return result is ReadResult.Refused refused ? Decider.NotValid(refused.Refusal) : null;
    }
}
