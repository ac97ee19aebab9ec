using System.Diagnostics;

namespace Platform.Functional.Tests.Rig;

internal sealed record CommandResult(int ExitCode, string Output, string Errors)
{
    public string Must(string what) => ExitCode == 0 ? Output : throw new InvalidOperationException($"{what} ended with {ExitCode}: {Errors}{Output}");
}

/// <summary>Runs a program of the machine (docker, dig, wrk, curl …) to its end.</summary>
internal static class Command
{
    public static Task<CommandResult> RunAsync(string program, params string[] arguments) => RunAsync(program, TimeSpan.FromSeconds(Eventually.Patience), arguments);

    public static async Task<CommandResult> RunAsync(string program, TimeSpan limit, params string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start");
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        using var deadline = new CancellationTokenSource(limit);
        try
        {
            await process.WaitForExitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} ran longer than {limit}");
        }
        return new CommandResult(process.ExitCode, await output, await errors);
    }

    public static async Task<string> DockerAsync(params string[] arguments) =>
        (await RunAsync("docker", arguments)).Must($"docker {string.Join(' ', arguments)}").TrimEnd('\n');
}
