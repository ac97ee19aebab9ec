using System.Globalization;
using Platform.Model;

namespace Platform.Agent.Processes;

/// <summary>The memory limit and cpu weight of one process task, under cgroup v1. Where the machine allows none, the task runs without and says so.</summary>
internal sealed class TaskCgroup(string root, string taskId)
{
    /// <summary>The kernel's own, over which a quota is counted.</summary>
    private const long PeriodMicroseconds = 100_000;

    private readonly string _memory = Path.Combine(root, "memory", "platform", taskId);
    private readonly string _cpu = Path.Combine(root, "cpu", "platform", taskId);

    /// <summary>Null, or why there is no limit.</summary>
    public string? Limit(int pid, AppDefinition app)
    {
        try
        {
            if (!File.Exists(Path.Combine(root, "memory", "memory.limit_in_bytes"))) return "this machine has no memory cgroup (v1)";
            Directory.CreateDirectory(_memory);
            var memMib = app.ResourceLimits?.MemMib ?? app.Resources.MemMib;
            Write(_memory, "memory.limit_in_bytes", double.IsInfinity(memMib) ? -1 : (long)(memMib * (1 << 20)));
            Write(_memory, "cgroup.procs", pid);
            if (!File.Exists(Path.Combine(root, "cpu", "cpu.shares"))) return null;
            Directory.CreateDirectory(_cpu);
            Write(_cpu, "cpu.shares", Math.Max(2, (long)Math.Round(app.Resources.Cpus * 1024)));
            if (app.ResourceLimits?.Cpus is { } cpus && double.IsFinite(cpus) && File.Exists(Path.Combine(_cpu, "cpu.cfs_quota_us")))
                Write(_cpu, "cpu.cfs_quota_us", Math.Max(1000, (long)(cpus * PeriodMicroseconds)));
            Write(_cpu, "cgroup.procs", pid);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }

    public bool WasOutOfMemory
    {
        get
        {
            try
            {
                return File.ReadLines(Path.Combine(_memory, "memory.oom_control")).Any(x => x.StartsWith("oom_kill ", StringComparison.Ordinal) && x != "oom_kill 0");
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return false;
            }
        }
    }

    /// <summary>Everything of the task, also what left its process group.</summary>
    public IReadOnlyList<int> Members
    {
        get
        {
            try
            {
                return File.ReadLines(Path.Combine(_memory, "cgroup.procs")).Select(x => int.Parse(x, CultureInfo.InvariantCulture)).ToList();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return [];
            }
        }
    }

    public void Remove()
    {
        foreach (var path in (string[])[_memory, _cpu])
            try
            {
                if (Directory.Exists(path)) Directory.Delete(path); // a cgroup's files go with it; rmdir is all there is
            }
            catch (IOException)
            {
                // A last process is still going; the group is empty and harmless by the time anyone looks.
            }
    }

    private static void Write(string group, string file, long value) => File.WriteAllText(Path.Combine(group, file), value.ToString(CultureInfo.InvariantCulture));
}
