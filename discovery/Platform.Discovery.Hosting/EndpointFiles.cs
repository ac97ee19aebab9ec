using Microsoft.Extensions.Logging;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// The file view, for readers that know nothing of us: <c>DIR/apps/NAME.json</c> and <c>DIR/prometheus/targets.json</c>, with the revision
/// beside them in <c>DIR/_meta.json</c>. A file appears whole or not at all, is not touched when nothing changed, and goes only when its app is
/// known to be gone. Mount the directory, not a file: a renamed file is another inode.
/// </summary>
public sealed partial class EndpointFiles
{
    public const string ViewName = "files";
    private const string MetaName = "_meta.json";
    private const string PrometheusName = "prometheus/targets.json";
    private static readonly TimeSpan RetryFirst = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(10);

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly string _directory;
    private readonly ILogger _logger;

    /// <summary>What stands on disk, as far as we know, and which entry it was made from.</summary>
    private readonly Dictionary<string, (object Source, byte[] Content)> _written = new(StringComparer.Ordinal);

    public EndpointFiles(EndpointFeed feed, NodeViews views, string directory, ILoggerFactory loggers)
    {
        _feed = feed;
        _views = views;
        _directory = directory;
        _logger = loggers.CreateLogger<EndpointFiles>();
        views.Expect(ViewName);
    }

    /// <summary>Follows the table until told to stop. A disk that refuses is tried again; until then the files are what they were, and the view says so.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var cursor = EndpointCursor.Start;
        var retry = RetryFirst;
        try
        {
            while (true)
            {
                var snapshot = await _feed.ChangedAsync(cursor, stopping).ConfigureAwait(false);
                try
                {
                    Write(snapshot);
                    cursor = snapshot.Cursor;
                    retry = RetryFirst;
                    _views.Served(ViewName, cursor);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    WriteFailed(_directory, snapshot.Revision, retry.TotalSeconds, e.Message);
                    await Task.Delay(retry, stopping).ConfigureAwait(false);
                    retry = retry * 2 < RetryMax ? retry * 2 : RetryMax;
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The files stay: what they say is the last that was known.
        }
    }

    /// <summary>Brings the directory to a snapshot: apps first, for they are read one by one, and the revision last.</summary>
    private void Write(EndpointSnapshot snapshot)
    {
        var first = _written.Count == 0;
        if (first)
        {
            Directory.CreateDirectory(Path.Combine(_directory, "apps"));
            Directory.CreateDirectory(Path.Combine(_directory, "prometheus"));
        }
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (app, entry) in snapshot.Services)
        {
            var name = $"apps/{EndpointFileSet.AppFileName(app)}";
            names.Add(name);
            Put(name, entry, () => EndpointFileSet.App(entry));
        }
        Put(PrometheusName, snapshot.Services, () => EndpointFileSet.Prometheus(snapshot.Services));
        names.Add(PrometheusName);

        foreach (var name in first ? LeftBehind() : [.. _written.Keys])
            if (name != MetaName && !names.Contains(name)) Remove(name);
        Put(MetaName, snapshot, () => EndpointFileSet.Meta(snapshot.Cursor, names));
    }

    /// <summary>The files an earlier run wrote, by its own list: nobody else's are ours to remove.</summary>
    private string[] LeftBehind()
    {
        var path = Path.Combine(_directory, MetaName);
        return File.Exists(path) ? [.. EndpointFileSet.FilesOf(File.ReadAllBytes(path)).Where(IsInside)] : [];
    }

    private bool IsInside(string name) =>
        Path.GetFullPath(Path.Combine(_directory, name)).StartsWith(Path.GetFullPath(_directory) + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    private void Put(string name, object source, Func<byte[]> render)
    {
        if (_written.TryGetValue(name, out var known) && ReferenceEquals(known.Source, source)) return;
        var content = render();
        var path = Path.Combine(_directory, name);
        var before = known.Content ?? (File.Exists(path) ? File.ReadAllBytes(path) : null);
        if (before is null || !before.AsSpan().SequenceEqual(content)) Replace(path, content);
        _written[name] = (source, content);
    }

    /// <summary>In the same directory, so that the rename is one step; flushed before it, so that a power cut does not leave an empty file under the final name.</summary>
    private static void Replace(string path, byte[] content)
    {
        var temporary = Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.new"); // no reader's *.json matches it
        using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(content);
            file.Flush(flushToDisk: true);
        }
        File.Move(temporary, path, overwrite: true);
    }

    private void Remove(string name)
    {
        File.Delete(Path.Combine(_directory, name));
        _written.Remove(name);
    }

    [LoggerMessage(5401, LogLevel.Warning, "Could not write endpoint files in {Directory} for revision {Revision}; again in {RetrySeconds} s: {Why}")]
    private partial void WriteFailed(string directory, long revision, double retrySeconds, string why);
}
