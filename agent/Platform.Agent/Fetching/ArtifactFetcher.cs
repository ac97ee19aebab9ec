using System.Globalization;
using Microsoft.Win32.SafeHandles;
using Platform.Model;
using Platform.Protocol.Transfer;

namespace Platform.Agent.Fetching;

/// <summary>An artifact could not be had: the task fails, and is tried again as its backoff says. The message is the contract's (7.1).</summary>
internal sealed class FetchFailedException(string message, Exception inner) : Exception(message, inner);

/// <summary>
/// Brings a task's artifacts into its sandbox before it starts. All of them or none: whoever asked removes the sandbox when this fails.
/// </summary>
internal sealed class ArtifactFetcher(FetchOptions options, string cacheDirectory, TimeProvider time) : IDisposable
{
    private const string StorePath = "/v2/artifacts/";

    private readonly HttpDownload _world = new(options.ForbidPrivate);

    /// <summary>The artifact store may well be on a private network.</summary>
    private readonly HttpDownload _store = new(forbidPrivate: false);

    private readonly FetchCache _cache = new(cacheDirectory, options.CacheBytesMax, time);

    /// <param name="sandbox">A directory that nothing runs in yet.</param>
    /// <param name="user">Whose files they become; null = whose the agent is.</param>
    public async Task FetchAsync(Assignment assignment, string sandbox, (uint Id, uint Group)? user, IProgress<string> progress, CancellationToken cancelled)
    {
        var artifacts = assignment.App.Fetch;
        var staging = Path.Combine(sandbox, ".platform", "fetch");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancelled);
        limit.CancelAfter(options.TimeMax);
        for (var i = 0; i < artifacts.Count; i++)
            try
            {
                var what = $"Fetching {artifacts[i].Uri}{(artifacts.Count == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $" ({i + 1} of {artifacts.Count})"))}";
                progress.Report(what);
                Directory.CreateDirectory(staging);
                await FetchAsync(artifacts[i], assignment.App.User ?? "", sandbox, staging, new ByteProgress(what, progress), limit.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (!cancelled.IsCancellationRequested && e is DownloadException or ArchiveRefusedException or IOException or UnauthorizedAccessException or OperationCanceledException)
            {
                var why = e is OperationCanceledException ? $"it did not arrive within {options.TimeMax.TotalMinutes} minutes" : e.Message;
                throw new FetchFailedException($"Failed to fetch all URIs for container {assignment.Id.TaskId}: {artifacts[i].Uri}: {why}", e);
            }
            finally
            {
                if (Directory.Exists(staging)) Directory.Delete(staging, recursive: true);
            }
        if (user is { } owner) SandboxTree.ChangeOwner(sandbox, owner.Id, owner.Group);
    }

    public void Dispose()
    {
        _world.Dispose();
        _store.Dispose();
    }

    private async Task FetchAsync(FetchUri artifact, string user, string sandbox, string staging, IProgress<long> progress, CancellationToken cancelled)
    {
        if (FetchUri.Parse(artifact.Uri, out var why) is not { } uri) throw new DownloadException(why!);
        var name = artifact.DestPath ?? artifact.FileName;
        var file = Path.Combine(staging, "artifact");
        Task Download(string to) => GetAsync(uri, to, progress, cancelled);
        if (artifact.Cache) await _cache.CopyAsync(user, artifact.Uri, file, Download, cancelled).ConfigureAwait(false);
        else await Download(file).ConfigureAwait(false);

        var mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        if (artifact.Executable) mode |= UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        File.SetUnixFileMode(file, mode);
        if (artifact is { Extract: true, Executable: false } && (FetchUri.ArchiveEnding(artifact.FileName) ?? FetchUri.ArchiveEnding(name)) is { } ending)
        {
            var unpacked = Path.Combine(staging, "unpacked");
            Directory.CreateDirectory(unpacked);
            var unpacking = new ArchiveUnpacking(unpacked, options.UnpackedBytesMax, options.EntriesMax, cancelled);
            var title = FetchUri.ArchiveEnding(artifact.FileName) is null ? name[(name.LastIndexOf('/') + 1)..] : artifact.FileName;
            await Task.Run(() => unpacking.Unpack(file, ending, title), cancelled).ConfigureAwait(false);
            SandboxTree.Merge(unpacked, sandbox);
        }
        SandboxTree.Place(sandbox, file, name);
    }

    private async Task GetAsync(Uri uri, string to, IProgress<long> progress, CancellationToken cancelled)
    {
        var target = new FileStream(to, new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write, Options = FileOptions.Asynchronous, BufferSize = 0 });
        await using var _ = target.ConfigureAwait(false);
        if (uri.IsFile) await CopyFileAsync(uri.LocalPath, target, cancelled).ConfigureAwait(false);
        else await (IsOurStore(uri) ? _store : _world).CopyAsync(uri, target, options.BytesMax, progress, cancelled).ConfigureAwait(false);
    }

    private bool IsOurStore(Uri uri) =>
        uri.Scheme == "http" && uri.Authority == options.ArtifactStore() && uri.AbsolutePath.StartsWith(StorePath, StringComparison.Ordinal);

    /// <summary>Opened so that a pipe or a device cannot hold the agent up.</summary>
    private async Task CopyFileAsync(string from, Stream to, CancellationToken cancelled)
    {
        if (Directory.Exists(from)) throw new DownloadException("it is a directory of this node");
        using var handle = Posix.OpenToRead(from) ?? throw new DownloadException(File.Exists(from) ? "this node may not read it" : "this node has no such file");
        using var file = new FileStream(handle, FileAccess.Read, bufferSize: 0);
        if (!file.CanSeek) throw new DownloadException("it is no plain file");
        if (file.Length > options.BytesMax) throw new DownloadException($"it is larger than the {options.BytesMax} bytes that may be fetched");
        var buffer = new byte[128 * 1024];
        for (long total = 0; await file.ReadAsync(buffer, cancelled).ConfigureAwait(false) is var count and > 0;)
        {
            if ((total += count) > options.BytesMax) throw new DownloadException($"it is larger than the {options.BytesMax} bytes that may be fetched");
            await to.WriteAsync(buffer.AsMemory(0, count), cancelled).ConfigureAwait(false);
        }
    }

    /// <summary>Whole steps of 8 MiB: words for a person, not a flood for the link.</summary>
    private sealed class ByteProgress(string what, IProgress<string> progress) : IProgress<long>
    {
        private long _steps;

        public void Report(long value)
        {
            if (value >> 23 == _steps) return;
            _steps = value >> 23;
            progress.Report(string.Create(CultureInfo.InvariantCulture, $"{what}: {_steps * 8} MiB"));
        }
    }
}
