using System.Text;
using Platform.Agent.Fetching;
using Platform.Model;

namespace Platform.Agent;

/// <summary>The secrets of a task on this node: whether they can be had, and the files they become.</summary>
internal static class TaskSecrets
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>Null if the task may start. Throws <see cref="RuntimeUnavailableException"/> while the scheduler has yet to tell them: no disk of ours knows them.</summary>
    public static StartOutcome.Refused? Refusal(Assignment assignment)
    {
        if (!assignment.App.NeedsSecrets) return null;
        if (assignment.Secrets is not { } secrets) throw new RuntimeUnavailableException("Its secrets have yet to come from the scheduler");
        return secrets.Inaccessible.IsEmpty ? null : new StartOutcome.Refused(TerminalState.Failed, $"Inaccessible secret: {string.Join(", ", secrets.Inaccessible)}");
    }

    /// <summary>As files of a process's sandbox, which is removed when the task has ended.</summary>
    public static void WriteInto(string sandbox, Assignment assignment, (uint Id, uint Group)? owner)
    {
        foreach (var (path, value) in assignment.Secrets?.Files ?? EquatableMap.Empty)
        {
            var beside = Path.Combine(sandbox, ".platform", "secret");
            Write(beside, value, owner);
            SandboxTree.Place(sandbox, beside, path);
        }
    }

    /// <summary>As files in <paramref name="directory"/>, numbered in the order of their paths; what a container mounts.</summary>
    public static void WriteNumbered(string directory, Assignment assignment, (uint Id, uint Group)? owner)
    {
        if (assignment.Secrets is not { Files.Count: > 0 } secrets) return;
        Directory.CreateDirectory(directory, OwnerOnly);
        File.SetUnixFileMode(directory, OwnerOnly);
        foreach (var (mount, value) in Numbered(directory, secrets).Zip(secrets.Files.Values)) Write(mount.File, value, owner);
    }

    /// <summary>Where each file is, and where the container is to see it.</summary>
    public static IEnumerable<(string File, string ContainerPath)> Numbered(string directory, RevealedSecrets secrets) =>
        secrets.Files.Keys.Select((path, i) => (Path.Combine(directory, $"{i}"), path.StartsWith('/') ? path : $"/mnt/mesos/sandbox/{path}"));

    private static void Write(string path, string value, (uint Id, uint Group)? owner)
    {
        File.Delete(path);
        using (var file = new FileStream(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead }))
            file.Write(Encoding.UTF8.GetBytes(value));
        if (owner is { } user) Posix.ChangeOwner(path, user.Id, user.Group);
    }
}
