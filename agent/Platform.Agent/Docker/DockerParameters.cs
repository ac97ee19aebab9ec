using System.Globalization;
using Docker.DotNet.Models;
using Platform.Model;

namespace Platform.Agent.Docker;

/// <summary>
/// <c>container.docker.parameters</c>: the options of <c>docker run</c> that make sense for a task. Known keys, as in <c>docker run --key=value</c>:
/// add-host, cap-add, cap-drop, device, dns, dns-search, entrypoint, env, hostname, init, ipc, label, log-driver, log-opt, memory-swap, pid,
/// read-only, security-opt, shm-size, sysctl, tmpfs, ulimit, user, volume, workdir. Any other fails the task with a reason.
/// </summary>
internal static class DockerParameters
{
    /// <summary>Null when it was applied; otherwise why not, in words for the user.</summary>
    public static string? Apply(CreateContainerParameters to, DockerParameter parameter)
    {
        var (key, value) = (parameter.Key, parameter.Value);
        var host = to.HostConfig!;
        switch (key)
        {
            case "add-host": return Needs(value.Contains(':'), "NAME:ADDRESS") ?? Add(host.ExtraHosts ??= [], value);
            case "cap-add": return Add(host.CapAdd ??= [], value);
            case "cap-drop": return Add(host.CapDrop ??= [], value);
            case "device": return AddDevice(host, value);
            case "dns": return Add(host.DNS ??= [], value);
            case "dns-search": return Add(host.DNSSearch ??= [], value);
            case "env": return Needs(value.IndexOf('=') > 0, "NAME=VALUE") ?? SetEnv(to.Env ??= [], value);
            case "hostname": to.Hostname = value; return null;
            case "init": return Flag(value, x => host.Init = x);
            case "ipc": host.IpcMode = value; return null;
            case "label": return AddLabel(to, value);
            case "log-driver": host.LogConfig = new LogConfig { Type = value, Config = new Dictionary<string, string>() }; return null;
            case "log-opt": return AddPair((host.LogConfig ??= new LogConfig()).Config ??= new Dictionary<string, string>(), value);
            case "memory-swap": return Bytes(value, x => host.MemorySwap = x);
            case "pid": host.PidMode = value; return null;
            case "read-only": return Flag(value, x => host.ReadonlyRootfs = x);
            case "security-opt": return Add(host.SecurityOpt ??= [], value);
            case "shm-size": return Bytes(value, x => host.ShmSize = x);
            case "sysctl": return AddPair(host.Sysctls ??= new Dictionary<string, string>(), value);
            case "tmpfs": return AddTmpfs(host, value);
            case "ulimit": return AddUlimit(host, value);
            case "user": to.User = value; return null;
            case "volume": return Needs(value.Contains(':'), "HOST:CONTAINER[:ro]") ?? Add(host.Binds ??= [], value);
            case "workdir": to.WorkingDir = value; return null;
            case "entrypoint":
                if (to.Entrypoint is { Count: > 0 }) return "goes with 'args' only: 'cmd' is run by /bin/sh";
                to.Entrypoint = [value];
                return null;
            case "restart": return "is refused: the scheduler restarts tasks, the engine must not";
            default: return "is not one this platform passes on";
        }
    }

    private static string? Needs(bool ok, string form) => ok ? null : $"must have the form {form}";

    private static string? Add(IList<string> list, string value)
    {
        list.Add(value);
        return null;
    }

    /// <summary>The engine takes the last of two equal names in some versions and the first in others: keep one.</summary>
    private static string? SetEnv(IList<string> env, string value)
    {
        var name = value[..(value.IndexOf('=') + 1)];
        for (var i = env.Count - 1; i >= 0; i--)
            if (env[i].StartsWith(name, StringComparison.Ordinal)) env.RemoveAt(i);
        env.Add(value);
        return null;
    }

    private static string? AddPair(IDictionary<string, string> map, string value)
    {
        var cut = value.IndexOf('=');
        if (cut <= 0) return "must have the form NAME=VALUE";
        map[value[..cut]] = value[(cut + 1)..];
        return null;
    }

    private static string? AddLabel(CreateContainerParameters to, string value)
    {
        if (value.StartsWith("platform.", StringComparison.Ordinal)) return "must not set labels of the platform";
        var cut = value.IndexOf('=');
        (to.Labels ??= new Dictionary<string, string>())[cut < 0 ? value : value[..cut]] = cut < 0 ? "" : value[(cut + 1)..];
        return null;
    }

    private static string? AddDevice(HostConfig host, string value)
    {
        var parts = value.Split(':');
        if (parts.Length > 3 || !parts[0].StartsWith('/')) return "must have the form /dev/x[:/dev/y[:rwm]]";
        (host.Devices ??= []).Add(new DeviceMapping
        {
            PathOnHost = parts[0],
            PathInContainer = parts.Length > 1 ? parts[1] : parts[0],
            CgroupPermissions = parts.Length > 2 ? parts[2] : "rwm",
        });
        return null;
    }

    private static string? AddTmpfs(HostConfig host, string value)
    {
        var cut = value.IndexOf(':');
        (host.Tmpfs ??= new Dictionary<string, string>())[cut < 0 ? value : value[..cut]] = cut < 0 ? "" : value[(cut + 1)..];
        return null;
    }

    private static string? AddUlimit(HostConfig host, string value)
    {
        var parts = value.Split('=', ':');
        if (parts.Length is < 2 or > 3 || !long.TryParse(parts[1], CultureInfo.InvariantCulture, out var soft)) return "must have the form NAME=SOFT[:HARD]";
        var hard = soft;
        if (parts.Length == 3 && !long.TryParse(parts[2], CultureInfo.InvariantCulture, out hard)) return "must have the form NAME=SOFT[:HARD]";
        (host.Ulimits ??= []).Add(new Ulimit { Name = parts[0], Soft = soft, Hard = hard });
        return null;
    }

    private static string? Flag(string value, Action<bool> set)
    {
        if (!bool.TryParse(value.Length == 0 ? "true" : value, out var flag)) return "must be true or false";
        set(flag);
        return null;
    }

    private static string? Bytes(string value, Action<long> set)
    {
        var number = value.TrimEnd('b', 'B');
        var unit = number.Length == 0 ? '0' : char.ToLowerInvariant(number[^1]);
        var shift = unit switch { 'k' => 10, 'm' => 20, 'g' => 30, 't' => 40, _ => 0 };
        if (!long.TryParse(shift == 0 ? number : number[..^1], CultureInfo.InvariantCulture, out var count) || count < -1 || count > long.MaxValue >> shift)
            return "must be a size such as 64m";
        set(count < 0 ? -1 : count << shift);
        return null;
    }
}
