using System.Globalization;

namespace Platform.Discovery.Hosting;

/// <summary>Whom a file belongs to and who may read it. Null = what it is, or what this program's own are.</summary>
/// <param name="Owner">Of both, as numbers.</param>
public sealed record FileRights(UnixFileMode Mode, (uint User, uint Group)? Owner)
{
    public static readonly FileRights Default = new(
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead, null);

    /// <summary>Who may read a directory's files may enter it.</summary>
    public UnixFileMode DirectoryMode => Mode | UnixFileMode.UserExecute
        | (Mode.HasFlag(UnixFileMode.GroupRead) ? UnixFileMode.GroupExecute : 0) | (Mode.HasFlag(UnixFileMode.OtherRead) ? UnixFileMode.OtherExecute : 0);

    internal void Give(string path, bool directory = false)
    {
        if (Owner is var (user, group)) Posix.ChangeOwner(path, user, group);
        var mode = directory ? DirectoryMode : Mode;
        if (File.GetUnixFileMode(path) != mode) File.SetUnixFileMode(path, mode);
    }

    /// <summary>As chmod takes it: <c>0644</c>.</summary>
    public static bool TryParseMode(string text, out UnixFileMode mode)
    {
        mode = default;
        if (text.Length is < 3 or > 4 || text.Any(c => c is < '0' or > '7')) return false;
        mode = (UnixFileMode)Convert.ToInt32(text, 8);
        return mode.HasFlag(UnixFileMode.UserRead | UnixFileMode.UserWrite) && (int)mode <= 0x1FF;
    }

    /// <summary>As chown takes it, by names of this machine or by numbers: <c>www-data:www-data</c>, <c>33</c>. Without a group it is the user's own.</summary>
    public static bool TryParseOwner(string text, out (uint User, uint Group) owner, out string why)
    {
        owner = default;
        var parts = text.Split(':');
        why = "a user, or a user and a group with a colon between, is wanted";
        if (parts.Length is 0 or > 2 || parts.Any(x => x.Length == 0)) return false;
        why = $"this machine has no user {parts[0]}";
        if (Find("/etc/passwd", parts[0], out var user) is var entry && entry is null && !Number(parts[0], out user)) return false;
        var group = user;
        if (parts.Length == 1 && entry is not null && !Number(entry[3], out group)) return false;
        why = parts.Length == 2 ? $"this machine has no group {parts[1]}" : "";
        if (parts.Length == 2 && Find("/etc/group", parts[1], out group) is null && !Number(parts[1], out group)) return false;
        owner = (user, group);
        return true;
    }

    private static string[]? Find(string file, string name, out uint number)
    {
        number = 0;
        foreach (var line in File.ReadLines(file))
            if (line.Split(':') is { Length: > 3 } entry && entry[0] == name && Number(entry[2], out number)) return entry;
        return null;
    }

    private static bool Number(string text, out uint number) => uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
