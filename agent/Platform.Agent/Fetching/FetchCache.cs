using System.Buffers;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace Platform.Agent.Fetching;

/// <summary>
/// Artifacts that tasks asked to keep, by OS user and URI. A file's name holds its checksum, which every use verifies: what a crash or a disk did to it is
/// found and fetched anew. Several tasks that want one URI at once wait for one download. The least recently used go when there is too much.
/// </summary>
internal sealed class FetchCache
{
    private readonly string _directory;
    private readonly long _bytesMax;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, Turn> _turns = new();
    private readonly Lock _evicting = new();

    public FetchCache(string directory, long bytesMax, TimeProvider time)
    {
        (_directory, _bytesMax, _time) = (directory, bytesMax, time);
        foreach (var half in Kept("new-*")) half.Delete(); // an earlier life's
    }

    private sealed class Turn
    {
        public SemaphoreSlim Gate { get; } = new(1);
        public int Waiting { get; set; }
    }

    /// <summary>Has <paramref name="download"/> fill a file at most once for all who ask, and copies it to <paramref name="to"/>.</summary>
    public async Task CopyAsync(string user, string uri, string to, Func<string, Task> download, CancellationToken cancelled)
    {
        var key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{user}\n{uri}")))[..40];
        var turn = Enter(key);
        try
        {
            await turn.Gate.WaitAsync(cancelled).ConfigureAwait(false);
            try
            {
                if (await TryCopyAsync(key, to, cancelled).ConfigureAwait(false)) return;
                await FillAsync(key, to, download, cancelled).ConfigureAwait(false);
            }
            finally
            {
                turn.Gate.Release();
            }
        }
        finally
        {
            Leave(key, turn);
        }
    }

    private Turn Enter(string key)
    {
        lock (_turns)
        {
            var turn = _turns.GetOrAdd(key, _ => new Turn());
            turn.Waiting++;
            return turn;
        }
    }

    private void Leave(string key, Turn turn)
    {
        lock (_turns)
            if (--turn.Waiting == 0) _turns.TryRemove(key, out _);
    }

    private async Task<bool> TryCopyAsync(string key, string to, CancellationToken cancelled)
    {
        foreach (var kept in Kept($"{key}.*"))
        {
            var hash = await CopyAsync(kept.FullName, to, cancelled).ConfigureAwait(false);
            if (hash is not null && kept.Name == $"{key}.{hash}")
            {
                File.SetLastWriteTimeUtc(kept.FullName, _time.GetUtcNow().UtcDateTime); // its last use
                return true;
            }
            File.Delete(kept.FullName);
        }
        return false;
    }

    private async Task FillAsync(string key, string to, Func<string, Task> download, CancellationToken cancelled)
    {
        await download(to).ConfigureAwait(false);
        var bytes = new FileInfo(to).Length;
        if (bytes > _bytesMax) return; // too large to be kept; it is used all the same
        Directory.CreateDirectory(_directory);
        var beside = Path.Combine(_directory, $"new-{Guid.NewGuid():N}");
        try
        {
            if (await CopyAsync(to, beside, cancelled).ConfigureAwait(false) is not { } hash) return;
            File.SetLastWriteTimeUtc(beside, _time.GetUtcNow().UtcDateTime);
            lock (_evicting)
            {
                Evict(_bytesMax - bytes);
                File.Move(beside, Path.Combine(_directory, $"{key}.{hash}"), overwrite: true);
            }
        }
        catch (IOException)
        {
            // No room to keep it is no reason not to run the task.
        }
        finally
        {
            File.Delete(beside);
        }
    }

    private void Evict(long bytesKept)
    {
        var files = Kept("*").Where(x => !x.Name.StartsWith("new-", StringComparison.Ordinal)).OrderBy(x => x.LastWriteTimeUtc).ToList();
        var total = files.Sum(x => x.Length);
        foreach (var file in files)
        {
            if (total <= bytesKept) return;
            total -= file.Length;
            file.Delete(); // whoever is copying it has it open, and keeps it until the end
        }
    }

    private List<FileInfo> Kept(string pattern) => Directory.Exists(_directory) ? [.. new DirectoryInfo(_directory).EnumerateFiles(pattern)] : [];

    /// <summary>The SHA-256 of what was copied; null if it vanished.</summary>
    private static async Task<string?> CopyAsync(string from, string to, CancellationToken cancelled)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(128 * 1024);
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var source = new FileStream(from, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            await using (source.ConfigureAwait(false))
            {
                var target = new FileStream(to, FileMode.Create, FileAccess.Write);
                await using (target.ConfigureAwait(false))
                    while (await source.ReadAsync(buffer, cancelled).ConfigureAwait(false) is var count and > 0)
                    {
                        hash.AppendData(buffer, 0, count);
                        await target.WriteAsync(buffer.AsMemory(0, count), cancelled).ConfigureAwait(false);
                    }
            }
            return Convert.ToHexStringLower(hash.GetHashAndReset());
        }
        catch (FileNotFoundException)
        {
            return null;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
