using System.Diagnostics;

namespace Platform.Functional.Tests.Rig;

/// <summary>One process of the program in one role, on this machine or in a network namespace; it may be killed and started again in place.</summary>
internal sealed class PlatformProcess(string role, string directory, IReadOnlyDictionary<string, string> flags, string? networkNamespace) : IAsyncDisposable
{
    private static readonly TimeSpan ReadyWithin = TimeSpan.FromSeconds(90);
    private Process? _process;

    public string LogPath { get; } = Path.Combine(directory, "platform.log");
    public int ProcessId => _process?.Id ?? throw new InvalidOperationException("not running");

    /// <summary>Given once more at each start; a token, for example, is needed at the first only.</summary>
    public Dictionary<string, string> Environment { get; } = [];

    public async Task StartAsync()
    {
        var from = File.Exists(LogPath) ? new FileInfo(LogPath).Length : 0;
        var process = Launch();
        var clock = Stopwatch.StartNew();
        while (!Log(from).Split('\n').Any(x => x.StartsWith("ready", StringComparison.Ordinal)))
        {
            if (process.HasExited) throw new InvalidOperationException($"platform {role} ended with {process.ExitCode} before it was ready:\n{Log(from)}");
            if (clock.Elapsed > ReadyWithin) throw new TimeoutException($"platform {role} was not ready within {ReadyWithin}:\n{Log(from)}");
            await Task.Delay(20);
        }
    }

    /// <summary>For a start that must be refused: its exit code, and what it said.</summary>
    public async Task<(int ExitCode, string Said)> RefusedAsync()
    {
        var process = Launch();
        using var deadline = new CancellationTokenSource(ReadyWithin);
        await process.WaitForExitAsync(deadline.Token);
        _process = null;
        return (process.ExitCode, Log());
    }

    /// <summary>SIGKILL: the program has no chance to do anything more; its tasks are processes of their own.</summary>
    public async Task KillAsync()
    {
        var process = _process ?? throw new InvalidOperationException("not running");
        process.Kill();
        await process.WaitForExitAsync();
        _process = null;
    }

    /// <summary>SIGTERM, and the exit code.</summary>
    public async Task<int> TerminateAsync()
    {
        var process = _process ?? throw new InvalidOperationException("not running");
        (await Command.RunAsync("kill", "-TERM", $"{process.Id}")).Must("kill");
        using var deadline = new CancellationTokenSource(ReadyWithin);
        await process.WaitForExitAsync(deadline.Token);
        _process = null;
        return process.ExitCode;
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
        if (_process is not { HasExited: false } process) return;
        process.Kill();
        await process.WaitForExitAsync();
    }

    private Process Launch()
    {
        Directory.CreateDirectory(directory);
        // The shell only opens the log and becomes the program: a pipe to us would be inherited by tasks and outlive the program.
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = directory };
        string[] inside = networkNamespace is null ? [] : ["nsenter", $"--net={networkNamespace}"];
        foreach (var argument in (string[])["-c", "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1 </dev/null", "sh", LogPath, .. inside, Machine.Program, role, .. flags.SelectMany(f => new[] { f.Key, f.Value })])
            start.ArgumentList.Add(argument);
        foreach (var (name, value) in Environment) start.Environment[name] = value;
        return _process = Process.Start(start) ?? throw new InvalidOperationException("/bin/sh did not start");
    }
}
