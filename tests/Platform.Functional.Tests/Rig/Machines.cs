using System.Globalization;

namespace Platform.Functional.Tests.Rig;

/// <summary>Machines on this machine: network namespaces on a bridge, each with an address of its own. All of it is gone at the end, whatever runs there.</summary>
internal sealed class Machines : IAsyncDisposable
{
    private static int s_count;
    private readonly string _name;
    private readonly string _subnet;

    private Machines(string name, string subnet) => (_name, _subnet) = (name, subnet);

    /// <summary>Where the machines find this one.</summary>
    public string Host => $"{_subnet}.254";

    public static async Task<Machines> MakeAsync(int count)
    {
        var made = Interlocked.Increment(ref s_count);
        var name = string.Create(CultureInfo.InvariantCulture, $"pft{Environment.ProcessId % 100_000}{(char)('a' + made % 26)}"); // an interface's name has 15 characters at most
        for (var tries = 0; ; tries++)
        {
            var subnet = string.Create(CultureInfo.InvariantCulture, $"10.221.{(Environment.ProcessId + made + tries) % 250}");
            var result = await ShellAsync($"make_machines {name} {subnet} {count}");
            if (result.ExitCode == 0) return new Machines(name, subnet);
            if (result.ExitCode != 2 || tries == 20) result.Must("making network namespaces");
        }
    }

    /// <summary>Counts from 1.</summary>
    public string AddressOf(int machine) => $"{_subnet}.{machine}";

    public string NamespaceOf(int machine) => $"/run/netns/{_name}-{machine}";

    /// <summary>Pulls its cable, or plugs it in again.</summary>
    public async Task CutAsync(int machine, bool cut) => (await Command.RunAsync("ip", "link", "set", $"{_name}-{machine}", cut ? "down" : "up")).Must("ip link");

    public async ValueTask DisposeAsync() => (await ShellAsync($"remove_machines {_name}")).Must("removing network namespaces");

    private static Task<CommandResult> ShellAsync(string command) => Command.RunAsync("bash", "-c", $". '{Machine.Repository}/tests/lib/netns.sh'; {command}");
}
