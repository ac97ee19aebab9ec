namespace Platform.Discovery.Hosting;

/// <summary>
/// Files that are written whole and synced first, beside the directory they belong to, and then moved in, each by one rename. So whoever copies
/// the directory meanwhile finds no half-written and no temporary file, whatever happens to us.
/// </summary>
internal sealed class StagedFiles(string directory, FileRights rights)
{
    /// <summary>Each sync waits for the disk; a few at once share its wait.</summary>
    private const int WritersMax = 8;

    private readonly List<(string Name, byte[] Content)> _pending = [];
    private bool _within;

    public void Add(string name, byte[] content) => _pending.Add((name, content));

    /// <summary>What an earlier life left half-done is nobody's.</summary>
    public void Begin()
    {
        Folder(directory, rights);
        foreach (var staging in new[] { Beside, Within }.Where(Directory.Exists)) Directory.Delete(staging, recursive: true);
    }

    /// <summary>One that is there already keeps its rights, unless it was said which it shall have.</summary>
    public static void Folder(string path, FileRights rights)
    {
        var there = Directory.Exists(path);
        Directory.CreateDirectory(path);
        if (!there || rights != FileRights.Default) rights.Give(path, directory: true);
    }

    /// <summary>Writes all, then moves all in, in the order in which they were added.</summary>
    public void Commit()
    {
        if (_pending.Count == 0) return;
        try
        {
            // Beside the directory; within it, out of the sight of globs, where it is a mount of its own and a rename cannot reach it from outside,
            // or where it is ours and what it lies in is not.
            if (_within || !TryCommit(Beside))
            {
                _within = true;
                if (!TryCommit(Within)) throw new IOException($"{directory} has another disk below it");
            }
        }
        catch (AggregateException e) when (e.InnerExceptions.All(x => x is IOException or UnauthorizedAccessException))
        {
            throw new IOException(e.InnerExceptions[0].Message, e);
        }
        finally
        {
            _pending.Clear();
        }
    }

    private string Beside => Path.Combine(Path.GetDirectoryName(Path.GetFullPath(directory))!, $".{Path.GetFileName(Path.GetFullPath(directory))}.staging");
    private string Within => Path.Combine(directory, ".staging");

    /// <summary>False: the files cannot be moved from there, and none has been.</summary>
    private bool TryCommit(string staging)
    {
        try
        {
            Directory.CreateDirectory(staging);
        }
        catch (UnauthorizedAccessException) when (staging == Beside)
        {
            return false;
        }
        try
        {
            var staged = _pending.Select((x, i) => (x.Name, x.Content, Path: Path.Combine(staging, $"{i}"))).ToList();
            if (staged.Count == 1) Write(staged[0].Path, staged[0].Content);
            else Parallel.ForEach(staged, new ParallelOptions { MaxDegreeOfParallelism = WritersMax }, x => Write(x.Path, x.Content));
            foreach (var file in staged)
                if (!Posix.Rename(file.Path, Path.Combine(directory, file.Name))) return false;
            foreach (var touched in staged.Select(x => Path.GetDirectoryName(Path.Combine(directory, x.Name))!).Distinct()) Posix.SyncDirectory(touched);
            return true;
        }
        finally
        {
            Directory.Delete(staging, recursive: true);
        }
    }

    private void Write(string path, byte[] content)
    {
        using (var file = new FileStream(path, FileMode.Create, System.IO.FileAccess.Write, FileShare.None))
        {
            file.Write(content);
            file.Flush(flushToDisk: true); // a power cut must not leave an empty file under the final name
        }
        rights.Give(path);
    }
}
