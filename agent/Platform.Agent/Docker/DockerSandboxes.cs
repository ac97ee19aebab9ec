using System.Globalization;
using Platform.Agent.Fetching;
using Platform.Model;

namespace Platform.Agent.Docker;

/// <summary>
/// What containers are given of this node's disk: a sandbox for those that fetch artifacts, and their secrets' files, which lie in memory where there
/// is a tmpfs. Both are functions of the task's id, and go when its container goes.
/// </summary>
internal sealed class DockerSandboxes(DockerSite site, ArtifactFetcher fetcher)
{
    private bool _swept;

    /// <summary>Everything the container's mounts need is there afterwards, or nothing is and this throws.</summary>
    public async Task PrepareAsync(Assignment assignment, IProgress<string> progress, CancellationToken cancelled)
    {
        var id = assignment.Id;
        try
        {
            var owner = OwnerOf(assignment.App.User);
            if (!assignment.App.Fetch.IsEmpty)
            {
                Directory.CreateDirectory(site.SandboxOf(id));
                await fetcher.FetchAsync(assignment, site.SandboxOf(id), owner, progress, cancelled).ConfigureAwait(false);
            }
            TaskSecrets.WriteNumbered(site.SecretsOf(id), assignment, owner);
        }
        catch
        {
            Remove(id);
            throw;
        }
    }

    public void Remove(InstanceId id)
    {
        try
        {
            foreach (var directory in (string[])[site.SandboxOf(id), site.SecretsOf(id)])
                if (Directory.Exists(directory)) Directory.Delete(directory, recursive: true);
        }
        catch (IOException e)
        {
            throw new RuntimeUnavailableException($"The sandbox of {id.TaskId} cannot be removed: {e.Message}", e);
        }
    }

    /// <summary>Once, before anything is started: what a crash left of tasks that have no container.</summary>
    public void Sweep(IEnumerable<InstanceId> there)
    {
        if (_swept) return;
        var kept = there.Select(x => x.TaskId).ToHashSet();
        foreach (var root in (string[])[site.Sandboxes, site.Secrets])
            if (Directory.Exists(root))
                foreach (var directory in Directory.EnumerateDirectories(root))
                    if (InstanceId.TryParse(Path.GetFileName(directory), out var id) && !kept.Contains(id.TaskId)) Directory.Delete(directory, recursive: true);
        _swept = true;
    }

    /// <summary>Names are the image's own; numbers mean the same here.</summary>
    private static (uint, uint)? OwnerOf(string? user)
    {
        var parts = (user ?? "").Split(':');
        if (!uint.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var id)) return null;
        return (id, parts.Length > 1 && uint.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var group) ? group : id);
    }
}
