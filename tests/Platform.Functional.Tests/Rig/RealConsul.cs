using System.Diagnostics;
using System.Globalization;

namespace Platform.Functional.Tests.Rig;

/// <summary>
/// One server of Debian's Consul 1.8.7 in memory, on ports of its own: what our door is compared with. Its leader is elected when
/// <see cref="StartAsync"/> returns.
/// </summary>
internal sealed class RealConsul : IAsyncDisposable
{
    public const string NodeName = "real";
    private static readonly Lazy<Task<string>> Binary = new(FetchAsync);

    private readonly string _home = Directory.CreateTempSubdirectory("platform-ft-consul-").FullName;
    private Process? _process;

    private RealConsul()
    {
        var ports = Ports.FreeBlock(4).First;
        (HttpPort, ServerPort, SerfPort, DnsPort) = (ports, ports + 1, ports + 2, ports + 3);
        Http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{HttpPort}") };
    }

    public int HttpPort { get; }
    public int ServerPort { get; }
    public int SerfPort { get; }
    public int DnsPort { get; }
    public HttpClient Http { get; }

    private string LogPath => Path.Combine(_home, "consul.log");

    /// <param name="hcl">More of Consul's configuration, such as <c>acl { enabled = true }</c>.</param>
    /// <param name="token">Named where the ACLs ask for one to see the leader.</param>
    public static async Task<RealConsul> StartAsync(string hcl = "", string? token = null)
    {
        var binary = await Binary.Value;
        var consul = new RealConsul();
        if (token is not null) consul.Http.DefaultRequestHeaders.Add("X-Consul-Token", token);
        try
        {
            consul.Launch(binary, hcl);
            await consul.LedAsync();
            return consul;
        }
        catch
        {
            await consul.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false } process)
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
        _process?.Dispose();
        Http.Dispose();
        Directory.Delete(_home, recursive: true);
    }

    private void Launch(string binary, string hcl)
    {
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = _home };
        foreach (var argument in (string[])
        [
            "-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1 </dev/null", "sh", LogPath,
            binary, "agent", "-dev", "-node", NodeName, "-bind", "127.0.0.1", "-client", "127.0.0.1",
            "-http-port", Text(HttpPort), "-server-port", Text(ServerPort), "-serf-lan-port", Text(SerfPort), "-dns-port", Text(DnsPort),
            "-serf-wan-port", "-1", "-grpc-port", "-1", "-hcl", "disable_update_check = true", .. (string[])(hcl.Length == 0 ? [] : ["-hcl", hcl]),
        ]) start.ArgumentList.Add(argument);
        _process = Process.Start(start) ?? throw new InvalidOperationException("/bin/sh did not start");
    }

    /// <summary>Serving, and its own node is in the catalog: sessions bind to it.</summary>
    private async Task LedAsync()
    {
        await Eventually.HoldsAsync("real Consul leads and knows its own node", async () =>
        {
            if (_process!.HasExited) throw new InvalidOperationException($"consul ended with {_process.ExitCode}:\n{await File.ReadAllTextAsync(LogPath)}");
            try
            {
                using var answer = await Http.GetAsync(new Uri($"/v1/health/node/{NodeName}", UriKind.Relative));
                return answer.IsSuccessStatusCode && (await answer.Content.ReadAsStringAsync()).Contains("serfHealth", StringComparison.Ordinal);
            }
            catch (HttpRequestException)
            {
                return false; // not listening yet
            }
        }, 60);
    }

    private static async Task<string> FetchAsync()
    {
        // The shell library is the one place that knows where it comes from.
        var fetched = await Command.RunAsync("bash", TimeSpan.FromMinutes(5), Path.Combine(Machine.Repository, "tests", "lib", "consul.sh"));
        return fetched.Must("fetching real Consul").Trim();
    }

    private static string Text(int port) => port.ToString(CultureInfo.InvariantCulture);
}
