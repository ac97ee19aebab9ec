using System.Globalization;
using System.Text.RegularExpressions;

namespace Platform.Functional.Tests.Rig;

internal sealed record WrkResult(long Requests, long SocketErrors, long NotOk, string Text);

internal static partial class Wrk
{
    public static async Task<WrkResult> RunAsync(Uri uri, string? host, int seconds, int connections = 4)
    {
        string[] header = host is null ? [] : ["-H", $"Host: {host}"];
        var result = await Command.RunAsync("wrk", TimeSpan.FromSeconds(seconds + Eventually.Patience), ["-t1", $"-c{connections}", $"-d{seconds}s", "--timeout", "20s", .. header, $"{uri}"]);
        var text = result.Must("wrk");
        static long Number(Match match) => match.Groups.Values.Skip(1).Sum(x => long.Parse(x.Value, CultureInfo.InvariantCulture));
        var (errors, bad) = (SocketErrors().Match(text), NotOk().Match(text));
        return new WrkResult(Number(Requests().Match(text)), errors.Success ? Number(errors) : 0, bad.Success ? Number(bad) : 0, text);
    }

    [GeneratedRegex(@"(\d+) requests in")]
    private static partial Regex Requests();

    [GeneratedRegex(@"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")]
    private static partial Regex SocketErrors();

    [GeneratedRegex(@"Non-2xx or 3xx responses: (\d+)")]
    private static partial Regex NotOk();
}
