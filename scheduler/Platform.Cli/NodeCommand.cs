using System.CommandLine;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace Platform.Cli;

/// <summary><c>platform node</c>, the role, and <c>platform node token</c>, which lets a machine into it.</summary>
internal static class NodeCommand
{
    public static Command Make()
    {
        var node = UpCommand.Make("node", "Run this machine as a node of a cluster whose schedulers are elsewhere", Roles.Node, PlatformUp.RunAsync);
        node.Subcommands.Add(Token());
        return node;
    }

    private static Command Token()
    {
        var command = new Command("token", "Make a token with which one machine may join, once");
        var api = new Option<string>("--api") { Description = "The scheduler's REST door (default http://127.0.0.1:8080)" };
        var ttl = new Option<string>("--ttl") { Description = "How long it is good (default 1h, at most 168h)" };
        var credentials = new Option<string>("--http-credentials") { Description = "USER:PASSWORD of the REST door (better in PLATFORM_HTTP_CREDENTIALS)" };
        command.Options.Add(api);
        command.Options.Add(ttl);
        command.Options.Add(credentials);
        command.SetAction((parsed, stopping) => PrintTokenAsync(
            parsed.GetValue(api) ?? Environment.GetEnvironmentVariable("PLATFORM_API") ?? "127.0.0.1:8080",
            parsed.GetValue(ttl) ?? "1h",
            parsed.GetValue(credentials) ?? Environment.GetEnvironmentVariable("PLATFORM_HTTP_CREDENTIALS"), stopping));
        return command;
    }

    /// <summary>The token alone on standard output, so that a script can take it; what to do with it on the other.</summary>
    private static async Task<int> PrintTokenAsync(string api, string ttl, string? credentials, CancellationToken stopping)
    {
        var root = api.Contains("://", StringComparison.Ordinal) ? api : $"http://{api}";
        if (!Uri.TryCreate($"{root.TrimEnd('/')}/v2/nodes/tokens?ttl={Uri.EscapeDataString(ttl)}", UriKind.Absolute, out var uri))
            throw new BadOptionException($"--api {api}: the address of a scheduler's REST door is wanted, such as http://10.0.0.1:8080");
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
        if (credentials is not null) http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials)));
        try
        {
            using var response = await http.PostAsync(uri, null, stopping).ConfigureAwait(false);
            var body = await response.Content.ReadAsStringAsync(stopping).ConfigureAwait(false);
            var answer = JsonNode.Parse(body);
            if (!response.IsSuccessStatusCode)
            {
                await Console.Error.WriteLineAsync($"platform: {answer?["message"]?.GetValue<string>() ?? body}").ConfigureAwait(false);
                return (int)ExitCode.Failed;
            }
            await Console.Out.WriteLineAsync(answer!["token"]!.GetValue<string>()).ConfigureAwait(false);
            await Console.Error.WriteLineAsync($"Good for one machine until {answer["expiresAt"]}: there, PLATFORM_TOKEN=… platform node --join HOST:PORT of the link").ConfigureAwait(false);
            return (int)ExitCode.Done;
        }
        catch (Exception e) when (e is HttpRequestException or System.Text.Json.JsonException || e is OperationCanceledException && !stopping.IsCancellationRequested)
        {
            await Console.Error.WriteLineAsync($"platform: no scheduler answers at {root}: {e.Message}").ConfigureAwait(false);
            return (int)ExitCode.Failed;
        }
    }
}
