using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using SharpCompress.Compressors.BZip2;
using SharpCompress.Compressors.Xz;

namespace Platform.Agent.Fetching;

/// <summary>An archive that cannot be unpacked, or must not be; nothing of it is to be used.</summary>
internal sealed class ArchiveRefusedException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// Unpacks one archive into an empty directory. Every entry is judged by its name alone, against what this archive made so far, and never by what the file
/// system would follow: parents are directories made here, links stay inside by their text, and nothing is ever written through a link.
/// </summary>
internal sealed class ArchiveUnpacking(string root, long bytesMax, int entriesMax, CancellationToken cancelled)
{
    private const int BufferBytes = 128 * 1024;
    private const int DepthMax = 64;
    private const int LinkBytesMax = 4096;
    private const UnixFileMode Permissions = (UnixFileMode)0b111_111_111; // no set-user-id, no sticky bit

    private enum Kind { Directory, File, Link }

    private readonly Dictionary<string, Kind> _made = new(StringComparer.Ordinal) { [""] = Kind.Directory };
    private readonly byte[] _buffer = new byte[BufferBytes];
    private long _bytes;
    private int _entries;

    /// <param name="ending">Of <see cref="Model.FetchUri.ArchiveEnding"/>.</param>
    /// <param name="name">The archive's own name: a compressed single file is called the same without its ending.</param>
    public void Unpack(string archive, string ending, string name)
    {
        try
        {
            using var file = new FileStream(archive, FileMode.Open, FileAccess.Read, FileShare.Read, BufferBytes);
            if (ending == ".zip")
            {
                Zip(file);
                return;
            }
            using var content = Decompressed(file, ending);
            if (ending == ".gz") Write(Claim(name[..^ending.Length], Kind.File), content, Permissions & ~(UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite));
            else Tar(content);
        }
        catch (Exception e) when (e is not (ArchiveRefusedException or OperationCanceledException or OutOfMemoryException))
        {
            // Whatever a decoder makes of damaged bytes, it comes to the same.
            throw new ArchiveRefusedException($"the archive cannot be unpacked: {e.Message}", e);
        }
    }

    private static Stream Decompressed(Stream file, string ending) => ending switch
    {
        ".tgz" or ".tar.gz" or ".gz" => new GZipStream(file, CompressionMode.Decompress),
        ".tbz2" or ".tar.bz2" => BZip2Stream.Create(file, SharpCompress.Compressors.CompressionMode.Decompress, true, false, false),
        ".txz" or ".tar.xz" => new XZStream(file),
        _ => file,
    };

    private void Tar(Stream content)
    {
        using var guarded = new TarHeaderGuard(content);
        using var reader = new TarReader(guarded);
        while (reader.GetNextEntry() is { } entry)
        {
            cancelled.ThrowIfCancellationRequested();
            switch (entry.EntryType)
            {
                case TarEntryType.Directory or TarEntryType.DirectoryList:
                    Claim(entry.Name, Kind.Directory);
                    break;
                case TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile:
                    Write(Claim(entry.Name, Kind.File), entry.DataStream ?? Stream.Null, entry.Mode);
                    break;
                case TarEntryType.SymbolicLink:
                    Link(entry.Name, entry.LinkName);
                    break;
                case TarEntryType.HardLink:
                    Copy(entry.Name, entry.LinkName);
                    break;
                case TarEntryType.GlobalExtendedAttributes:
                    break;
                default:
                    throw new ArchiveRefusedException($"the archive holds '{Shown(entry.Name)}', which is neither file, directory nor link ({entry.EntryType})");
            }
        }
    }

    private void Zip(Stream content)
    {
        using var zip = new ZipArchive(content, ZipArchiveMode.Read);
        if (zip.Entries.Count > entriesMax) throw TooMany();
        foreach (var entry in zip.Entries)
        {
            cancelled.ThrowIfCancellationRequested();
            var mode = (entry.ExternalAttributes >> 16) & 0xFFFF;
            switch (mode & 0xF000)
            {
                case 0xA000:
                    using (var text = entry.Open()) Link(entry.FullName, LinkText(text, entry.FullName));
                    break;
                case 0 or 0x8000 or 0x4000 when entry.FullName.EndsWith('/'):
                    Claim(entry.FullName, Kind.Directory);
                    break;
                case 0 or 0x8000:
                    using (var data = entry.Open())
                        Write(Claim(entry.FullName, Kind.File), data, mode == 0 ? UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead : (UnixFileMode)(mode & 0x1FF));
                    break;
                default:
                    throw new ArchiveRefusedException($"the archive holds '{Shown(entry.FullName)}', which is neither file, directory nor link");
            }
        }
    }

    private static string LinkText(Stream content, string name)
    {
        var bytes = new byte[LinkBytesMax + 1];
        var count = content.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        return count <= LinkBytesMax ? Encoding.UTF8.GetString(bytes, 0, count) : throw new ArchiveRefusedException($"the link '{Shown(name)}' has a target without end");
    }

    /// <summary>Takes a name for an entry and makes its parents; gives the path on disk.</summary>
    private string Claim(string name, Kind kind)
    {
        if (++_entries > entriesMax) throw TooMany();
        var names = Names(name);
        if (names.Count == 0) return kind == Kind.Directory ? root : throw new ArchiveRefusedException("the archive holds an entry without a name");
        for (var i = 1; i < names.Count; i++) Directory(string.Join('/', names.Take(i)), name);
        var path = string.Join('/', names);
        if (kind == Kind.Directory) Directory(path, name);
        else if (!_made.TryGetValue(path, out var there)) _made[path] = kind;
        else if (there == Kind.File && kind == Kind.File) File.Delete(Path.Combine(root, path)); // as tar does: the later one counts
        else throw new ArchiveRefusedException($"the archive holds '{Shown(name)}' twice, as different things");
        return Path.Combine(root, path);
    }

    private void Directory(string path, string name)
    {
        if (_made.TryGetValue(path, out var there))
        {
            if (there != Kind.Directory) throw new ArchiveRefusedException($"the entry '{Shown(name)}' lies behind '{Shown(path)}', which is no directory");
            return;
        }
        _made[path] = Kind.Directory;
        System.IO.Directory.CreateDirectory(Path.Combine(root, path), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
    }

    private static List<string> Names(string path)
    {
        if (path.StartsWith('/')) throw new ArchiveRefusedException($"the entry '{Shown(path)}' has an absolute path");
        var names = path.Split('/').Where(x => x is not ("" or ".")).ToList();
        if (names.Contains("..")) throw new ArchiveRefusedException($"the entry '{Shown(path)}' climbs out of the archive");
        if (names.Exists(x => x.Contains('\0')) || names.Count > DepthMax) throw new ArchiveRefusedException($"the entry '{Shown(path)}' has a path that cannot be");
        if (names is [".platform", ..]) throw new ArchiveRefusedException("the entry '.platform' is where the agent keeps its own notes");
        return names;
    }

    private void Write(string path, Stream content, UnixFileMode mode)
    {
        using (var file = new FileStream(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, BufferSize = 0 }))
            while (content.Read(_buffer) is var count and > 0)
            {
                cancelled.ThrowIfCancellationRequested();
                Count(count);
                file.Write(_buffer, 0, count);
            }
        File.SetUnixFileMode(path, (mode & Permissions) | UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    /// <summary>
    /// A target may climb only at its beginning, and not above the archive: the link's own directory is a real one, so the climbing is; and what follows
    /// leads down, if need be through further links of which the same is true.
    /// </summary>
    private void Link(string name, string target)
    {
        var depth = Names(name).Count - 1;
        if (target.Length == 0 || target.StartsWith('/') || target.Contains('\0')) throw new ArchiveRefusedException($"the link '{Shown(name)}' leads to '{Shown(target)}', outside the archive");
        var steps = target.Split('/').Where(x => x is not ("" or ".")).ToList();
        var climbs = steps.TakeWhile(x => x == "..").Count();
        if (climbs > depth || steps.Skip(climbs).Contains("..")) throw new ArchiveRefusedException($"the link '{Shown(name)}' leads to '{Shown(target)}', outside the archive");
        File.CreateSymbolicLink(Claim(name, Kind.Link), target);
    }

    /// <summary>A second name of a file becomes a second file: what the task does to one is not done to the other, and none is outside.</summary>
    private void Copy(string name, string target)
    {
        var path = string.Join('/', Names(target));
        if (!_made.TryGetValue(path, out var kind) || kind != Kind.File)
            throw new ArchiveRefusedException($"the hard link '{Shown(name)}' leads to '{Shown(target)}', which is no file of the archive before it");
        var from = Path.Combine(root, path);
        if (string.Join('/', Names(name)) == path) return;
        using var content = new FileStream(from, FileMode.Open, FileAccess.Read);
        Write(Claim(name, Kind.File), content, File.GetUnixFileMode(from));
    }

    private void Count(int bytes)
    {
        if ((_bytes += bytes) > bytesMax) throw new ArchiveRefusedException($"the archive unpacks to more than {bytesMax} bytes");
    }

    private ArchiveRefusedException TooMany() => new($"the archive has more than {entriesMax} entries");

    private static string Shown(string name) => name.Length <= 200 ? name : name[..200] + "…";
}
