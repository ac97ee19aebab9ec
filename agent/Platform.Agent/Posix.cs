using System.Runtime.InteropServices;

namespace Platform.Agent;

/// <summary>The few calls .NET does not offer.</summary>
internal static partial class Posix
{
    public const int SigTerm = 15;
    public const int SigKill = 9;

    /// <summary>A negative <paramref name="pid"/> is a process group. False: nobody to signal, or not ours to.</summary>
    public static bool Kill(int pid, int signal) => KillRaw(pid, signal) == 0;

    public static bool ChangeOwner(string path, uint user, uint group) => ChownRaw(path, user, group) == 0;

    public static bool ChangeMode(string path, uint mode) => ChmodRaw(path, mode) == 0;

    public static bool IsRoot => EffectiveUserRaw() == 0;

    /// <summary>A rename is durable only when its directory is.</summary>
    public static void SyncDirectory(string path)
    {
        var fd = OpenRaw(path, 0x10000 /* O_RDONLY|O_DIRECTORY */);
        if (fd < 0) return;
        _ = FsyncRaw(fd);
        _ = CloseRaw(fd);
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int KillRaw(int pid, int signal);

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChownRaw(string path, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "chmod", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChmodRaw(string path, uint mode);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint EffectiveUserRaw();

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenRaw(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int FsyncRaw(int fd);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseRaw(int fd);
}
