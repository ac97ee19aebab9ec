using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>What is done about a file: a program with its arguments, never a shell, or a signal. Both say what went wrong, or null.</summary>
internal static class FileCommand
{
    private const string FilePlace = "{file}";
    private const int OutputMax = 400;

    public static async Task<string?> RunAsync(EquatableArray<string> words, TimeSpan patience, string? file, CancellationToken stopping)
    {
        var start = new ProcessStartInfo(words[0], words.Skip(1).Select(x => file is null ? x : x.Replace(FilePlace, file, StringComparison.Ordinal)))
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        try
        {
            using var process = Process.Start(start)!;
            process.StandardInput.Close();
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            limit.CancelAfter(patience);
            var output = Task.WhenAll(TailAsync(process.StandardOutput, limit.Token), TailAsync(process.StandardError, limit.Token));
            try
            {
                await process.WaitForExitAsync(limit.Token).ConfigureAwait(false);
                // What it left running in the background may hold its output open; that is not waited for.
                await Task.WhenAny(output, Task.Delay(TimeSpan.FromMilliseconds(200), limit.Token)).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
                stopping.ThrowIfCancellationRequested();
                return $"{words[0]} did not end within {patience.TotalSeconds} s, and was killed";
            }
            if (process.ExitCode == 0) return null;
            var said = output.IsCompletedSuccessfully ? string.Join(' ', output.Result.Where(x => x.Length > 0)) : "";
            return string.Create(CultureInfo.InvariantCulture, $"{words[0]} ended with {process.ExitCode}: {said}").TrimEnd(' ', ':');
        }
        catch (Win32Exception e)
        {
            return $"{words[0]} cannot be started: {e.Message}";
        }
    }

    public static string? Signal(string pidFile, int signal)
    {
        try
        {
            var text = File.ReadAllText(pidFile).Trim();
            if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var pid) || pid <= 1) return $"{pidFile} holds no process's number";
            return Posix.Signal(pid, signal) ? null : $"process {pid} of {pidFile} is not there, or is not ours to signal";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }

    /// <summary>All is read, so that it does not block on a full pipe; the end of it is kept.</summary>
    private static async Task<string> TailAsync(StreamReader output, CancellationToken stopping)
    {
        var tail = "";
        var buffer = new char[1024];
        try
        {
            for (int read; (read = await output.ReadAsync(buffer, stopping).ConfigureAwait(false)) > 0;)
            {
                tail += new string(buffer, 0, read);
                if (tail.Length > OutputMax) tail = tail[^OutputMax..];
            }
        }
        catch (OperationCanceledException)
        {
            // Enough is known.
        }
        return tail.ReplaceLineEndings(" ").Trim();
    }
}
