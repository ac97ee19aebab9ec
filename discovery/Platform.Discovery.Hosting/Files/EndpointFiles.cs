using Microsoft.Extensions.Logging;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// The file view, for readers that know nothing of us: for each app <c>apps/NAME.json</c> and Envoy's <c>envoy/eds/NAME_PORT.json</c>, for all
/// <c>prometheus/targets.json</c>, <c>haproxy/servers.cfg</c> and <c>hosts</c>, with the revision in <c>_meta.json</c>, which comes last. A file
/// appears whole or not at all, is not touched when nothing changed, and goes only when its app is known to be gone. Mount the directory, not
/// a file: a renamed file is another inode.
/// </summary>
public sealed partial class EndpointFiles
{
    public const string ViewName = "files";
    private const string MetaName = "_meta.json";
    private const string PrometheusName = "prometheus/targets.json";
    private const string HaproxyName = "haproxy/servers.cfg";
    private const string HostsName = "hosts";
    private static readonly string[] Folders = ["apps", "prometheus", "haproxy", "envoy", "envoy/eds"];
    private static readonly TimeSpan RetryFirst = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(10);

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly EndpointFilesOptions _options;
    private readonly StagedFiles _staged;
    private readonly ILogger _logger;

    /// <summary>What stands on disk, as far as we know, and which entry it was made from.</summary>
    private readonly Dictionary<string, (object Source, byte[] Content)> _written = new(StringComparer.Ordinal);

    /// <summary>Of each app, its part of the files that all apps share.</summary>
    private Dictionary<AppId, Pieces> _pieces = [];

    private sealed record Pieces(ServiceEntry Entry, byte[] Prometheus, byte[] Haproxy, byte[] Hosts, (string Name, byte[] Content)[] Envoy);

    private bool _adopted;

    public EndpointFiles(EndpointFeed feed, NodeViews views, EndpointFilesOptions options, ILoggerFactory loggers)
    {
        _feed = feed;
        _views = views;
        _options = options;
        _staged = new StagedFiles(options.Directory, options.Rights);
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
                    _views.Problem(ViewName, _options.Directory, null);
                    _views.Served(ViewName, cursor);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    _written.Clear(); // what of it has reached the disk is not known, and whether the directory is still there
                    _adopted = false;
                    WriteFailed(_options.Directory, snapshot.Revision, retry.TotalSeconds, e.Message);
                    _views.Problem(ViewName, _options.Directory, e.Message);
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

    /// <summary>Brings the directory to a snapshot: apps first, for they are read one by one, then what all share, and the revision last.</summary>
    private void Write(EndpointSnapshot snapshot)
    {
        if (!_adopted) Adopt();
        var names = new HashSet<string>(StringComparer.Ordinal) { PrometheusName, HaproxyName, HostsName };
        var pieces = new Dictionary<AppId, Pieces>(snapshot.Services.Count);
        foreach (var (app, entry) in snapshot.Services)
        {
            var piece = pieces[app] = _pieces.TryGetValue(app, out var known) && ReferenceEquals(known.Entry, entry) ? known : PiecesOf(entry);
            var name = $"apps/{EndpointFileSet.AppFileName(app)}";
            names.Add(name);
            Put(name, entry, () => EndpointFileSet.App(entry));
            foreach (var (file, content) in piece.Envoy)
            {
                names.Add($"envoy/eds/{file}");
                Put($"envoy/eds/{file}", entry, () => content);
            }
        }
        _pieces = pieces;
        var ordered = snapshot.Services.Keys.Select(x => pieces[x]).ToList();
        Put(PrometheusName, snapshot.Services, () => EndpointFileSet.PrometheusOf(ordered.Select(x => x.Prometheus)));
        Put(HaproxyName, snapshot.Services, () => EndpointFileSet.HaproxyOf(ordered.Select(x => x.Haproxy)));
        Put(HostsName, snapshot.Services, () => EndpointFileSet.HostsOf(ordered.Select(x => x.Hosts)));
        _staged.Commit();

        foreach (var name in (string[])[.. _written.Keys, .. _adopted ? [] : LeftBehind()])
            if (name != MetaName && !names.Contains(name)) Remove(name);
        _adopted = true;
        Put(MetaName, snapshot, () => EndpointFileSet.Meta(snapshot.Cursor, names));
        _staged.Commit();
    }

    private Pieces PiecesOf(ServiceEntry entry) => new(
        entry, EndpointFileSet.PrometheusPiece(entry), EndpointFileSet.HaproxyPiece(entry), EndpointFileSet.HostsPiece(entry, _options.Domain), [.. EndpointFileSet.Envoy(entry)]);

    private void Adopt()
    {
        _staged.Begin();
        foreach (var folder in Folders) StagedFiles.Folder(Path.Combine(_options.Directory, folder), _options.Rights);
    }

    /// <summary>The files an earlier run wrote, by its own list: nobody else's are ours to remove.</summary>
    private string[] LeftBehind()
    {
        var path = Path.Combine(_options.Directory, MetaName);
        return File.Exists(path) ? [.. EndpointFileSet.FilesOf(File.ReadAllBytes(path)).Where(IsInside)] : [];
    }

    private bool IsInside(string name) =>
        Path.GetFullPath(Path.Combine(_options.Directory, name)).StartsWith(Path.GetFullPath(_options.Directory) + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    private void Put(string name, object source, Func<byte[]> render)
    {
        if (_written.TryGetValue(name, out var known) && ReferenceEquals(known.Source, source)) return;
        var content = render();
        var path = Path.Combine(_options.Directory, name);
        var before = known.Content ?? (File.Exists(path) ? File.ReadAllBytes(path) : null);
        if (before is null || !before.AsSpan().SequenceEqual(content)) _staged.Add(name, content);
        else if (known.Content is null && _options.Rights != FileRights.Default) _options.Rights.Give(path); // an earlier life may have been told otherwise
        _written[name] = (source, content);
    }

    private void Remove(string name)
    {
        File.Delete(Path.Combine(_options.Directory, name));
        _written.Remove(name);
    }

    [LoggerMessage(5401, LogLevel.Warning, "Could not write endpoint files in {Directory} for revision {Revision}; again in {RetrySeconds} s: {Why}")]
    private partial void WriteFailed(string directory, long revision, double retrySeconds, string why);
}
