using Platform.Model;

namespace Platform.Scheduling;

/// <summary>Decides on the secret store. Running tasks keep the values they were started with.</summary>
internal static class SecretChange
{
    public const int SecretsMax = 10_000;

    public static Decision Store(ClusterState state, Command.StoreSecret x, DateTimeOffset now)
    {
        if (!SecretPath.IsValid(x.Path, out var why)) return Decider.Refuse(RejectCode.BadArgument, $"The path of a secret {why}");
        var created = !state.Secrets.ContainsKey(x.Path);
        if (created && state.Secrets.Count >= SecretsMax) return Decider.Refuse(RejectCode.TooMany, $"There are {SecretsMax} secrets already, which is the most");
        return new Decision.Accepted([new SchedulerEvent.SecretStored(x.Path, x.Secret) { At = now }], Reply.Done with { Created = created });
    }

    public static Decision Remove(ClusterState state, Command.RemoveSecret x, DateTimeOffset now) => state.Secrets.ContainsKey(x.Path)
        ? new Decision.Accepted([new SchedulerEvent.SecretRemoved(x.Path) { At = now }], Reply.Done)
        : Decider.Refuse(RejectCode.NotFound, $"Secret '{x.Path}' does not exist");
}
