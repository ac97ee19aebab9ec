using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

/// <summary>
/// One member of a PostgreSQL cluster under Debian's patroni, which elects its leader by a lock in a Consul. PostgreSQL will not run as root, so as root both
/// run as the user that Debian's package has made for it.
/// </summary>
internal sealed class PatroniMember : IAsyncDisposable
{
    private static readonly string Binaries = Directory.GetDirectories("/usr/lib/postgresql").Select(x => Path.Combine(x, "bin")).Order(StringComparer.Ordinal).Last();

    private readonly string _home;
    private readonly Process _process;
    private readonly HttpClient _http;

    private PatroniMember(string name, string home, int restPort, int postgresPort, Process process)
    {
        (Name, _home, PostgresPort, _process) = (name, home, postgresPort, process);
        _http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{restPort}"), Timeout = TimeSpan.FromSeconds(5) };
    }

    public string Name { get; }
    public int PostgresPort { get; }

    public static async Task<PatroniMember> StartAsync(string name, int consulPort)
    {
        var home = Directory.CreateTempSubdirectory("platform-ft-patroni-").FullName;
        var ports = Ports.FreeBlock(2).First;
        await File.WriteAllTextAsync(Path.Combine(home, "patroni.yml"), Configuration(name, home, consulPort, ports, ports + 1));
        if (Machine.IsRoot) (await Command.RunAsync("chown", "-R", "postgres", home)).Must("chown");
        File.SetUnixFileMode(home, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = home };
        var user = Machine.IsRoot ? "setpriv --reuid postgres --regid postgres --init-groups " : "";
        foreach (var argument in (string[])["-c", $"exec {user}/usr/bin/patroni patroni.yml >patroni.log 2>&1 </dev/null"]) start.ArgumentList.Add(argument);
        return new PatroniMember(name, home, ports, ports + 1, Process.Start(start) ?? throw new InvalidOperationException("/bin/sh did not start"));
    }

    /// <summary>Name and role of each running member, as this one sees them.</summary>
    public async Task<string> RolesAsync()
    {
        try
        {
            var members = JsonNode.Parse(await _http.GetStringAsync("/cluster"))!["members"]!.AsArray();
            return string.Join(' ', members.Where(x => x!["state"]!.GetValue<string>() is "running" or "streaming").Select(x => $"{x!["name"]} {x["role"]}").Order(StringComparer.Ordinal));
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return "no answer"; // it has not begun to listen
        }
    }

    public async Task<string> SqlAsync(string statement) => (await Command.RunAsync(
        Path.Combine(Binaries, "psql"), "-h", "127.0.0.1", "-p", PostgresPort.ToString(CultureInfo.InvariantCulture), "-U", "postgres", "-At", "-c", statement)).Must(statement).Trim();

    /// <summary>Both at once, as when its machine loses power: nothing lets go of the lock.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        if (await PostmasterAsync() is { } postmaster) await Command.RunAsync("kill", "-KILL", postmaster);
    }

    public string Log() => File.ReadAllText(Path.Combine(_home, "patroni.log"));

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await Command.RunAsync("kill", "-TERM", _process.Id.ToString(CultureInfo.InvariantCulture));
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            await _process.WaitForExitAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        if (!_process.HasExited) await KillAsync();
        _process.Dispose();
        _http.Dispose();
        // PostgreSQL's own processes may take a moment to be gone, and write until then.
        await Eventually.HoldsAsync("PostgreSQL has ended", async () => await PostmasterAsync() is not { } pid || !Directory.Exists($"/proc/{pid}"));
        Directory.Delete(_home, recursive: true);
    }

    private async Task<string?> PostmasterAsync()
    {
        var file = Path.Combine(_home, "data", "postmaster.pid");
        return File.Exists(file) ? (await File.ReadAllLinesAsync(file)).FirstOrDefault() : null;
    }

    private static string Configuration(string name, string home, int consulPort, int restPort, int postgresPort) => string.Create(CultureInfo.InvariantCulture, $$$"""
        scope: shop
        namespace: /service/
        name: {{{name}}}
        restapi: {listen: '127.0.0.1:{{{restPort}}}', connect_address: '127.0.0.1:{{{restPort}}}'}
        consul: {host: 127.0.0.1, port: {{{consulPort}}}, register_service: false}
        bootstrap:
          dcs: {ttl: 20, loop_wait: 1, retry_timeout: 3, maximum_lag_on_failover: 1048576}
          initdb: [encoding: UTF8, auth: trust]
        postgresql:
          listen: 127.0.0.1:{{{postgresPort}}}
          connect_address: 127.0.0.1:{{{postgresPort}}}
          data_dir: {{{home}}}/data
          pgpass: {{{home}}}/pgpass
          bin_dir: {{{Binaries}}}
          authentication: {superuser: {username: postgres, password: x}, replication: {username: replicator, password: x}}
          parameters: {unix_socket_directories: '{{{home}}}', fsync: 'off', shared_buffers: 16MB}
          pg_hba: [host all all 127.0.0.1/32 trust, host replication all 127.0.0.1/32 trust, local all all trust]
        """);
}
