using System.Runtime.InteropServices;

namespace Platform.Scheduler.Storage;

/// <summary>Makes a rename survive a power cut: the directory has to be synced as its file was.</summary>
internal static partial class Durability
{
    /// <summary>Writes a new file that only its owner may read; whole or not there. False if there is one already.</summary>
    public static bool TryWriteNew(string path, ReadOnlySpan<byte> content)
    {
        var beside = $"{path}.{Guid.NewGuid():N}.new";
        try
        {
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite };
            using (var file = new FileStream(beside, options))
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }
            if (File.Exists(path)) return false;
            File.Move(beside, path, overwrite: false);
            SyncDirectory(Path.GetDirectoryName(path)!);
            return true;
        }
        finally
        {
            File.Delete(beside);
        }
    }

    public static void SyncDirectory(string path)
    {
        var fd = OpenRaw(path, 0x90000 /* O_RDONLY|O_DIRECTORY|O_CLOEXEC */);
        if (fd < 0) return;
        _ = FsyncRaw(fd);
        _ = CloseRaw(fd);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenRaw(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int FsyncRaw(int fd);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseRaw(int fd);
}
