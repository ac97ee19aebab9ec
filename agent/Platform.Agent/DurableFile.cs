namespace Platform.Agent;

/// <summary>Files that are whole or not there: written beside, synced, renamed, and the rename synced too.</summary>
internal static class DurableFile
{
    public static void Write(string path, ReadOnlySpan<byte> content, bool sync = true)
    {
        var directory = Path.GetDirectoryName(path)!;
        var beside = path + ".new";
        using (var file = new FileStream(beside, FileMode.Create, FileAccess.Write, FileShare.None, 4096))
        {
            file.Write(content);
            file.Flush(flushToDisk: sync);
        }
        File.Move(beside, path, overwrite: true);
        if (sync) Posix.SyncDirectory(directory);
    }

    /// <summary>Null if there is none.</summary>
    public static byte[]? Read(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }
}
