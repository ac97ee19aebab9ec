using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Platform.Scheduler.Storage;

namespace Platform.Scheduler.Artifacts;

/// <summary>What became of a file that came in.</summary>
public abstract record StoreOutcome
{
    private StoreOutcome() { }

    public sealed record Stored(string Path, bool Created) : StoreOutcome;

    /// <summary>The store, or its disk, has no room for it; nothing of it is kept.</summary>
    public sealed record Full(string Why) : StoreOutcome;

    public sealed record Refused(string Why) : StoreOutcome;
}

/// <summary>
/// Files by path, under one directory (contract 7.2). A file comes in beside the others, is synced, and takes its place by a rename, so that a crash
/// leaves the old one, the new one or none, but never half of one. Their sum is bounded.
/// </summary>
public sealed class ArtifactStore
{
    private const int BufferBytes = 128 * 1024;
    private const int PathLengthMax = 1024;
    private const int NameLengthMax = 200;

    private readonly string _files;
    private readonly string _incoming;
    private readonly long _bytesMax;
    private readonly Lock _lock = new();
    private long _bytesUsed;

    /// <summary>Takes up what an earlier life left; what never became whole is removed.</summary>
    public ArtifactStore(string directory, long bytesMax)
    {
        (_files, _incoming, _bytesMax) = (Path.Combine(directory, "files"), Path.Combine(directory, "incoming"), bytesMax);
        if (Directory.Exists(_incoming)) Directory.Delete(_incoming, recursive: true);
        Directory.CreateDirectory(_files);
        Directory.CreateDirectory(_incoming);
        _bytesUsed = new DirectoryInfo(_files).EnumerateFiles("*", SearchOption.AllDirectories).Sum(x => x.Length);
    }

    public long BytesUsed => Interlocked.Read(ref _bytesUsed);

    /// <summary>Null with the reason, if no file can have this path: it leads out, or is none.</summary>
    public static string? PathOf(IEnumerable<string> names, out string? why)
    {
        var list = names.ToList();
        why = list.Count == 0 ? "An artifact has a path"
            : list.Any(x => x is "" or "." or ".." || x.Contains('/') || x.Any(char.IsControl)) ? "The path of an artifact consists of plain names"
            : list.Any(x => System.Text.Encoding.UTF8.GetByteCount(x) > NameLengthMax) || list.Sum(x => x.Length + 1) > PathLengthMax ? "The path of the artifact is too long"
            : null;
        return why is null ? string.Join('/', list) : null;
    }

    /// <param name="path">Of <see cref="PathOf"/>.</param>
    public async Task<StoreOutcome> PutAsync(string path, Stream content, CancellationToken stopping)
    {
        var (file, why) = await ReceiveAsync(content, stopping).ConfigureAwait(false);
        return file is null ? new StoreOutcome.Full(why!) : Settle(file, path);
    }

    /// <summary>Stores what <paramref name="write"/> writes under <c>{SHA-256 of the content}/{name}</c>.</summary>
    public async Task<StoreOutcome> PutByContentAsync(string name, Func<Stream, long, Task> write, CancellationToken stopping)
    {
        var beside = Path.Combine(_incoming, Guid.NewGuid().ToString("N"));
        try
        {
            var file = NewFile(beside);
            await using (file.ConfigureAwait(false)) await write(file, _bytesMax - BytesUsed).ConfigureAwait(false);
            string hash;
            using (var read = File.OpenRead(beside)) hash = Convert.ToHexStringLower(await SHA256.HashDataAsync(read, stopping).ConfigureAwait(false));
            var incoming = new FileInfo(beside);
            if (!TryReserve(incoming.Length)) return new StoreOutcome.Full(NoRoom);
            return Settle(incoming, $"{hash}/{name}");
        }
        catch (IOException e) when (e is not FileNotFoundException)
        {
            return new StoreOutcome.Full($"The artifact could not be written: {e.Message}");
        }
        finally
        {
            File.Delete(beside);
        }
    }

    /// <summary>Null if there is none. What is opened stays whole, whatever happens to the path meanwhile.</summary>
    public FileStream? Open(string path)
    {
        try
        {
            var full = Path.Combine(_files, path);
            return File.Exists(full)
                ? new FileStream(full, new FileStreamOptions { Share = FileShare.ReadWrite | FileShare.Delete, Options = FileOptions.Asynchronous | FileOptions.SequentialScan })
                : null;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    public void Delete(string path)
    {
        lock (_lock)
        {
            var file = new FileInfo(Path.Combine(_files, path));
            if (!file.Exists) return;
            var bytes = file.Length;
            file.Delete();
            Interlocked.Add(ref _bytesUsed, -bytes);
            for (var folder = file.Directory!; folder.FullName != _files && !folder.EnumerateFileSystemInfos().Any(); folder = folder.Parent!) folder.Delete();
            Durability.SyncDirectory(_files);
        }
    }

    private string NoRoom => $"The artifact store holds {BytesUsed} of at most {_bytesMax} bytes (--artifact-quota), and has no room for this";

    private async Task<(FileInfo? File, string? Why)> ReceiveAsync(Stream content, CancellationToken stopping)
    {
        var beside = Path.Combine(_incoming, Guid.NewGuid().ToString("N"));
        long reserved = 0;
        var whole = false;
        try
        {
            var file = NewFile(beside);
            await using (file.ConfigureAwait(false))
            {
                var buffer = new byte[BufferBytes];
                while (await ReadAsync(content, buffer, stopping).ConfigureAwait(false) is var count and > 0)
                {
                    if (!TryReserve(count)) return (null, NoRoom);
                    reserved += count;
                    try
                    {
                        await file.WriteAsync(buffer.AsMemory(0, count), stopping).ConfigureAwait(false);
                    }
                    catch (IOException e)
                    {
                        return (null, $"The artifact could not be written: {e.Message}");
                    }
                }
            }
            whole = true;
            return (new FileInfo(beside), null);
        }
        finally
        {
            if (!whole)
            {
                Interlocked.Add(ref _bytesUsed, -reserved);
                File.Delete(beside);
            }
        }
    }

    /// <summary>What goes wrong with the sender's bytes is the sender's mistake, and not the disk's.</summary>
    private static async Task<int> ReadAsync(Stream content, byte[] buffer, CancellationToken stopping)
    {
        try
        {
            return await content.ReadAsync(buffer, stopping).ConfigureAwait(false);
        }
        catch (Exception e) when (e is InvalidDataException or IOException and not BadHttpRequestException && !stopping.IsCancellationRequested)
        {
            throw new BadHttpRequestException($"The body cannot be read: {e.Message}", StatusCodes.Status400BadRequest, e);
        }
    }

    private static FileStream NewFile(string path) =>
        new(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Options = FileOptions.Asynchronous, BufferSize = 0 });

    private bool TryReserve(long bytes)
    {
        if (Interlocked.Add(ref _bytesUsed, bytes) <= _bytesMax) return true;
        Interlocked.Add(ref _bytesUsed, -bytes);
        return false;
    }

    /// <summary>Disk, then place: only what is synced is renamed. The bytes of <paramref name="incoming"/> are reserved already.</summary>
    private StoreOutcome Settle(FileInfo incoming, string path)
    {
        var full = Path.Combine(_files, path);
        var bytes = incoming.Length;
        try
        {
            using (var handle = File.OpenHandle(incoming.FullName, FileMode.Open, FileAccess.ReadWrite)) RandomAccess.FlushToDisk(handle);
            lock (_lock)
            {
                if (Directory.Exists(full)) return Give(new StoreOutcome.Refused($"There are artifacts below '{path}': it cannot be one itself"));
                var folder = Directory.CreateDirectory(Path.GetDirectoryName(full)!);
                var before = new FileInfo(full);
                var (created, freed) = before.Exists ? (false, before.Length) : (true, 0);
                File.Move(incoming.FullName, full, overwrite: true);
                Interlocked.Add(ref _bytesUsed, -freed);
                for (var at = folder; at.FullName.Length >= _files.Length; at = at.Parent!) Durability.SyncDirectory(at.FullName);
                return new StoreOutcome.Stored(path, created);
            }
        }
        catch (IOException e)
        {
            return Give(new StoreOutcome.Refused($"The artifact cannot be at '{path}': {e.Message}"));
        }

        StoreOutcome Give(StoreOutcome outcome)
        {
            Interlocked.Add(ref _bytesUsed, -bytes);
            incoming.Delete();
            return outcome;
        }
    }
}
