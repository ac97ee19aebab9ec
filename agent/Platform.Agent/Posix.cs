using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

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

    /// <summary>Of the link itself, not of what it leads to.</summary>
    public static bool ChangeOwnerOfLink(string path, uint user, uint group) => LchownRaw(path, user, group) == 0;

    /// <summary>Never waits, not even for somebody to open the other end of a pipe. Null if it cannot be read.</summary>
    public static SafeFileHandle? OpenToRead(string path)
    {
        var fd = OpenRaw(path, 0x80800 /* O_RDONLY|O_NONBLOCK|O_CLOEXEC */);
        return fd < 0 ? null : new SafeFileHandle(fd, ownsHandle: true);
    }

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

    [LibraryImport("libc", EntryPoint = "lchown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int LchownRaw(string path, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint EffectiveUserRaw();

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenRaw(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int FsyncRaw(int fd);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseRaw(int fd);
}
