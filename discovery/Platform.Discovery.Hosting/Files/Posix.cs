using System.Runtime.InteropServices;

namespace Platform.Discovery.Hosting;

/// <summary>The few calls on files that .NET does not offer, or offers with more than is wanted: its move copies where a rename is refused.</summary>
internal static partial class Posix
{
    private const int CrossDevice = 18;

    /// <summary>False where the two are on different file systems; nothing has happened then.</summary>
    public static bool Rename(string from, string to)
    {
        if (RenameRaw(from, to) == 0) return true;
        var error = Marshal.GetLastPInvokeError();
        return error == CrossDevice ? false : throw Failure(error, $"cannot rename {from} to {to}");
    }

    public static void ChangeOwner(string path, uint user, uint group)
    {
        if (ChownRaw(path, user, group) != 0) throw Failure(Marshal.GetLastPInvokeError(), $"cannot give {path} to {user}:{group}");
    }

    /// <summary>False: nobody to signal, or not ours to.</summary>
    public static bool Signal(int pid, int signal) => KillRaw(pid, signal) == 0;

    /// <summary>A rename is durable only when its directory is.</summary>
    public static void SyncDirectory(string path)
    {
        var fd = OpenRaw(path, 0x90000 /* O_RDONLY|O_DIRECTORY|O_CLOEXEC */);
        if (fd < 0) return;
        _ = FsyncRaw(fd);
        _ = CloseRaw(fd);
    }

    private static IOException Failure(int error, string what) => new($"{what}: {Marshal.GetPInvokeErrorMessage(error)}");

    [LibraryImport("libc", EntryPoint = "rename", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameRaw(string from, string to);

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChownRaw(string path, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int KillRaw(int pid, int signal);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenRaw(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FsyncRaw(int fd);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int CloseRaw(int fd);
}
