using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

/// <summary>A Prometheus that finds what it measures through a platform's REST door, once a second.</summary>
internal sealed class Prometheus : IAsyncDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("platform-ft-prometheus-").FullName;
    private readonly HttpClient _http;
    private readonly Process _process;

    private Prometheus(string program, int apiPort)
    {
        var port = Ports.Free();
        _http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        File.WriteAllText(Path.Combine(_home, "prometheus.yml"), $$"""
            global: {scrape_interval: 1s}
            scrape_configs:
              - job_name: tasks
                marathon_sd_configs: [{servers: ["http://127.0.0.1:{{apiPort}}"], refresh_interval: 1s}]
            """);
        string[] arguments = [$"--config.file={_home}/prometheus.yml", $"--storage.tsdb.path={_home}/data", $"--web.listen-address=127.0.0.1:{port}", "--log.level=error"];
        _process = Process.Start(new ProcessStartInfo(program, arguments) { WorkingDirectory = _home }) ?? throw new InvalidOperationException($"{program} did not start");
    }

    public static async Task<Prometheus> StartAsync(string program, int apiPort)
    {
        var prometheus = new Prometheus(program, apiPort);
        await Eventually.HoldsAsync("Prometheus is ready", async () =>
        {
            try
            {
                using var answer = await prometheus._http.GetAsync(new Uri("/-/ready", UriKind.Relative));
                return answer.IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        });
        return prometheus;
    }

    public async Task<JsonNode[]> TargetsAsync() =>
        [.. JsonNode.Parse(await _http.GetStringAsync(new Uri("/api/v1/targets?state=active", UriKind.Relative)))!["data"]!["activeTargets"]!.AsArray().Select(t => t!)];

    /// <summary>Of the last values of all that measure it.</summary>
    public async Task<double> SumAsync(string metric)
    {
        var answer = JsonNode.Parse(await _http.GetStringAsync(new Uri($"/api/v1/query?query={metric}", UriKind.Relative)));
        return answer!["data"]!["result"]!.AsArray().Sum(r => double.Parse(r!["value"]![1]!.GetValue<string>(), CultureInfo.InvariantCulture));
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _http.Dispose();
        Directory.Delete(_home, recursive: true);
    }
}
