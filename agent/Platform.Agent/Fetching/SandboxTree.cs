namespace Platform.Agent.Fetching;

/// <summary>Puts files into a sandbox in which an earlier archive may have left links: it never follows one.</summary>
internal static class SandboxTree
{
    /// <summary>Moves a file to a path relative to the sandbox, making directories and replacing what is there.</summary>
    public static void Place(string sandbox, string from, string path)
    {
        var at = sandbox;
        var names = path.Split('/');
        foreach (var name in names[..^1])
        {
            at = Path.Combine(at, name);
            if (IsLinkOrFile(at)) throw new ArchiveRefusedException($"'{path}' lies behind '{name}', which is no directory");
            Directory.CreateDirectory(at);
        }
        Replace(from, Path.Combine(at, names[^1]));
    }

    /// <summary>Moves everything in <paramref name="from"/> into the sandbox; directories that both have become one.</summary>
    public static void Merge(string from, string into)
    {
        foreach (var entry in new DirectoryInfo(from).EnumerateFileSystemInfos().ToList())
        {
            var target = Path.Combine(into, entry.Name);
            if (entry is DirectoryInfo && entry.LinkTarget is null && Directory.Exists(target) && !IsLinkOrFile(target)) Merge(entry.FullName, target);
            else Replace(entry.FullName, target);
        }
    }

    /// <summary>Gives everything in the sandbox to the task's user.</summary>
    public static void ChangeOwner(string path, uint user, uint group)
    {
        Posix.ChangeOwnerOfLink(path, user, group);
        if (IsLinkOrFile(path)) return;
        foreach (var entry in new DirectoryInfo(path).EnumerateFileSystemInfos()) ChangeOwner(entry.FullName, user, group);
    }

    private static void Replace(string from, string to)
    {
        if (IsLinkOrFile(to)) File.Delete(to);
        else if (Directory.Exists(to)) Directory.Delete(to, recursive: true);
        if (new FileInfo(from).LinkTarget is not null || File.Exists(from)) File.Move(from, to);
        else Directory.Move(from, to);
    }

    private static bool IsLinkOrFile(string path) => new FileInfo(path) is var file && (file.LinkTarget is not null || file.Exists);
}
