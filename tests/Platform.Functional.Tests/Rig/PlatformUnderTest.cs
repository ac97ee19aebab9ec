using System.Diagnostics;
using System.Globalization;

namespace Platform.Functional.Tests.Rig;

internal sealed record PlatformOptions
{
    public string Runtime { get; init; } = "auto";
    public bool StopTasksOnExit { get; init; }

    /// <summary>A directory of the test's own instead of a fresh one.</summary>
    public string? DataDirectory { get; init; }

    public IReadOnlyDictionary<string, string> Flags { get; init; } = new Dictionary<string, string>();
}

/// <summary>
/// One <c>platform up</c> with doors, ports, node name and data directory of its own. It may be killed and started again in place.
/// What it leaves on the machine is recognised by its node name, or by working inside its data directory, and removed at the end.
/// </summary>
internal sealed class PlatformUnderTest : IAsyncDisposable
{
    private const string Loopback = "127.0.0.1";
    private static readonly TimeSpan ReadyWithin = TimeSpan.FromSeconds(Eventually.Patience);
    private static int s_count;

    private readonly string _home = Directory.CreateTempSubdirectory("platform-ft-").FullName;
    private readonly PlatformOptions _options;
    private readonly Dictionary<string, string> _flags;
    private Process? _process;

    private PlatformUnderTest(PlatformOptions options)
    {
        _options = options;
        DataDirectory = options.DataDirectory ?? Path.Combine(_home, "data");
        NodeName = string.Create(CultureInfo.InvariantCulture, $"ft-{Environment.ProcessId}-{Interlocked.Increment(ref s_count)}");
        var doors = Ports.FreeBlock(8).First;
        (ApiPort, DnsPort, KvPort, EdgePort, AdminPort) = (doors, doors + 1, doors + 2, doors + 3, doors + 4);
        var (taskFirst, taskLast) = Ports.FreeBlock(100);
        var (serviceFirst, serviceLast) = Ports.FreeBlock(50);
        _flags = new Dictionary<string, string>
        {
            ["--data"] = DataDirectory,
            ["--api"] = $"{Loopback}:{ApiPort}",
            ["--dns"] = $"{Loopback}:{DnsPort}",
            ["--kv"] = $"{Loopback}:{KvPort}",
            ["--edge"] = $"{Loopback}:{EdgePort}",
            ["--admin"] = $"{Loopback}:{AdminPort}",
            ["--node-name"] = NodeName,
            ["--task-ports"] = $"{taskFirst}-{taskLast}",
            ["--service-ports"] = $"{serviceFirst}-{serviceLast}",
            ["--domain"] = "marathon.mesos",
            ["--runtime"] = options.Runtime,
        };
        foreach (var (flag, value) in options.Flags) _flags[flag] = value;
        Api = new MarathonApi(new Uri($"http://{Loopback}:{ApiPort}"));
        Kv = new HttpClient { BaseAddress = new Uri($"http://{Loopback}:{KvPort}") };
    }

    public string NodeName { get; }
    public string DataDirectory { get; }
    public int ApiPort { get; }
    public int DnsPort { get; }
    public int KvPort { get; }
    public int EdgePort { get; }
    public int AdminPort { get; }
    public MarathonApi Api { get; }
    public HttpClient Kv { get; }
    public TimeSpan StartToReady { get; private set; }
    public string EndpointsDirectory => Path.Combine(DataDirectory, "endpoints");
    public string LogPath => Path.Combine(_home, "platform.log");
    public int ProcessId => _process?.Id ?? throw new InvalidOperationException("not running");

    public Uri Edge(string path = "/") => new($"http://{Loopback}:{EdgePort}{path}");
    public static Uri ServicePort(int port, string path = "/") => new($"http://{Loopback}:{port}{path}");

    public static async Task<PlatformUnderTest> StartAsync(PlatformOptions? options = null)
    {
        if (!File.Exists(Machine.Program))
            throw new FileNotFoundException($"{Machine.Program} is not built: run tests/run.sh, or dotnet publish scheduler/Platform.Cli -c Release -o bin");
        if (Machine.MissingForDocker is null) await Machine.EnsureImagesAsync();
        var platform = new PlatformUnderTest(options ?? new PlatformOptions());
        try
        {
            await platform.StartAgainAsync();
            return platform;
        }
        catch
        {
            await platform.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs the program until it ends by itself: for starts that must be refused.</summary>
    public static async Task<(int ExitCode, string Output)> RefusedStartAsync(PlatformOptions options)
    {
        await using var platform = new PlatformUnderTest(options);
        var process = platform.Launch();
        using var deadline = new CancellationTokenSource(ReadyWithin);
        try
        {
            await process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"platform up did not end within {ReadyWithin}:\n{platform.Log()}");
        }
        platform._process = null;
        return (process.ExitCode, platform.Log());
    }

    /// <summary>Starts it with the same flags on the same data, and waits for its line that begins with <c>ready</c>.</summary>
    public async Task StartAgainAsync()
    {
        var logBefore = File.Exists(LogPath) ? new FileInfo(LogPath).Length : 0;
        var clock = Stopwatch.StartNew();
        var process = Launch();
        while (!Log(logBefore).Split('\n').Any(x => x.StartsWith("ready", StringComparison.Ordinal)))
        {
            if (process.HasExited) throw new InvalidOperationException($"platform up ended with {process.ExitCode} before it was ready:\n{Log(logBefore)}");
            if (clock.Elapsed > ReadyWithin) throw new TimeoutException($"platform up was not ready within {ReadyWithin}:\n{Log(logBefore)}");
            await Task.Delay(10);
        }
        StartToReady = clock.Elapsed;
    }

    /// <summary>SIGKILL: the program has no chance to do anything more.</summary>
    public async Task KillAsync()
    {
        var process = _process ?? throw new InvalidOperationException("not running");
        process.Kill();
        await process.WaitForExitAsync();
        _process = null;
    }

    /// <summary>SIGTERM, and the exit code.</summary>
    public async Task<int> TerminateAsync(double seconds = Eventually.Patience)
    {
        var process = _process ?? throw new InvalidOperationException("not running");
        (await Command.RunAsync("kill", "-TERM", $"{process.Id}")).Must("kill");
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        await process.WaitForExitAsync(deadline.Token);
        _process = null;
        return process.ExitCode;
    }

    public Task<DnsAnswer> DigAsync(string name, string type, bool tcp = false) => Dig.AskAsync(Loopback, DnsPort, name, type, tcp);

    /// <summary>Id, start time and state of every container of this platform.</summary>
    public async Task<string[]> ContainersAsync()
    {
        for (var look = 1; ; look++)
        {
            var ids = await Command.DockerAsync("ps", "-aq", "--no-trunc", "--filter", $"label=platform.node={NodeName}");
            if (ids.Length == 0) return [];
            var lines = await Command.RunAsync(
                "docker", ["inspect", "--format", "{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}} {{.State.Status}}", .. ids.Split('\n')]);
            if (lines.ExitCode == 0) return [.. lines.Output.Trim().Split('\n').Order(StringComparer.Ordinal)];
            if (look == 5) throw new InvalidOperationException(lines.Errors); // one that was removed between the two looks is no failure
        }
    }

    public string Log(long from = 0)
    {
        if (!File.Exists(LogPath)) return "";
        using var file = new FileStream(LogPath, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        file.Seek(from, SeekOrigin.Begin);
        return new StreamReader(file).ReadToEnd();
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
            try
            {
                await TerminateAsync(60);
            }
            catch (OperationCanceledException)
            {
                await KillAsync();
            }
        await RemoveContainersAsync();
        RemoveProcesses();
        Api.Dispose();
        Kv.Dispose();
        Directory.Delete(_home, recursive: true);
    }

    private Process Launch()
    {
        // The shell only opens the log and becomes the program: a pipe to us would be inherited by tasks and outlive the program.
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = _home };
        foreach (var argument in (string[])["-c", "log=$1; program=$2; shift 2; exec \"$program\" \"$@\" >>\"$log\" 2>&1 </dev/null", "sh", LogPath, Machine.Program, "up"])
            start.ArgumentList.Add(argument);
        foreach (var (flag, value) in _flags)
        {
            start.ArgumentList.Add(flag);
            start.ArgumentList.Add(value);
        }
        if (_options.StopTasksOnExit) start.ArgumentList.Add("--stop-tasks-on-exit");
        return _process = Process.Start(start) ?? throw new InvalidOperationException("/bin/sh did not start");
    }

    private async Task RemoveContainersAsync()
    {
        if (Machine.MissingForDocker is not null) return;
        var script = $". '{Machine.Repository}/tests/lib/platform.sh'; remove_leftovers {NodeName}";
        await Command.RunAsync("bash", "-c", script);
    }

    /// <summary>Tasks of the process runtime work inside the data directory, which is ours alone.</summary>
    private void RemoveProcesses()
    {
        foreach (var process in Process.GetProcesses())
            using (process)
                if (WorksInside(process.Id, DataDirectory))
                    process.Kill();
    }

    private static bool WorksInside(int pid, string directory)
    {
        try
        {
            return new FileInfo($"/proc/{pid}/cwd").LinkTarget?.StartsWith(directory, StringComparison.Ordinal) == true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false; // it has ended, or is somebody else's
        }
    }
}
