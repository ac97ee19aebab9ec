using System.Globalization;

namespace Platform.Agent.Processes;

/// <summary>A process that cannot be mistaken for a later one with the same number: the start time is in clock ticks since the boot it names.</summary>
internal sealed record ProcessIdentity(int Pid, long StartTicks, string BootId)
{
    /// <summary>Null if there is no such process (a zombie is none).</summary>
    public static ProcessIdentity? Of(int pid)
    {
        try
        {
            var stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' '); // the name in front may hold anything, even blanks and brackets
            return fields[0] is "Z" or "X" ? null : new ProcessIdentity(pid, long.Parse(fields[19], CultureInfo.InvariantCulture), CurrentBoot());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public bool IsAlive => Of(Pid) == this;

    private static string CurrentBoot()
    {
        try
        {
            return File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();
        }
        catch (IOException)
        {
            return "";
        }
    }
}
