using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;
using Xunit.Abstractions;

namespace Platform.Tests.Proxy;

/// <summary>
/// Requests that are right, nearly right and wrong, by chance, three on a connection: only right ones reach the task, and every answer is that of its own request.
/// A run is its seed: <c>PLATFORM_FUZZ_SEED</c> and <c>PLATFORM_FUZZ_COUNT</c> repeat it, or ask more.
/// </summary>
public sealed partial class EdgeFuzzTests(ITestOutputHelper output)
{
    private const int Clients = 16;
    private static readonly TimeSpan Silence = TimeSpan.FromMilliseconds(40);

    private static readonly int Seed = Asked("PLATFORM_FUZZ_SEED") ?? 20_261_125;
    private static readonly int Requests = Asked("PLATFORM_FUZZ_COUNT") ?? 20_000;

    private static int? Asked(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>Stands for the token, which no mutation touches.</summary>
    private const char Place = '\uFFFE';

    private static readonly string[] Methods = ["GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "get", "TRACE", "FOO", "G(T"];
    private static readonly string[] Versions = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 "];
    private static readonly string[] Suffixes = ["", "", "", "?a=b", "/%2f", "/../x", "//", "?a=http://b/", "#f", "/%00", "/\\", "/\u00E4", "/%zz", ";v=1", "/{x}"];

    private static readonly string[] Lines =
    [
        "User-Agent: fuzz", "Accept: */*", "Cookie: a=b; c=d", "Connection: keep-alive", "Connection: close", "Connection: close, X-Secret\r\nX-Secret: 1",
        "Keep-Alive: timeout=5", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "Via: 1.1 x", "TE: trailers", "Upgrade: h2c", "Expect: 100-continue",
        "Host: b", "Host:", "X: a\tb", "X: \u00E4", "X: a\u0001b", "X: a\0b", "X : a", " X: a", "X", ": a", "X(: a", "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked", "Transfer-Encoding : chunked", "Content-Length: 5", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length: 0",
        "X: a\nY: b", "X: a\rY: b", "X: a\r\n b", "Accept: text/event-stream", "Proxy-Connection: keep-alive", "Content-Length: 05", "Content-Length: 500", "x-real-ip: 6.6.6.6",
    ];

    /// <summary>A request inside a body, which a proxy that miscounts takes for one.</summary>
    private static readonly string Inner = $"GET /t/{Place}d HTTP/1.1\r\nHost: a\r\n\r\n";

    private static readonly string[] Bodies =
    [
        "", "", "hello", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n", "5;\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n", Inner, $"LEN\r\n{Inner}\r\n0\r\n\r\n", "0\r\nX: y\r\n\r\n",
    ];

    private const string Spices = "\0\r\n\t :;,\"+-%#/\\\u007F\u0080\u00FF0a";

    [GeneratedRegex(@"/t/(\d+)[abcd]")]
    private static partial Regex Token();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Nothing_wrong_is_forwarded_and_no_answer_goes_astray(bool relays)
    {
        await using var world = await EdgeWorld.StartAsync(x => relays ? x : x with { RelayThreads = 0 });
        using var backend = new StrictBackend();
        var port = await world.AppAsync("/web", ("HAPROXY_0_VHOST", "a"));
        await world.ReadyAsync("/web", backend.Port);
        var broken = new ConcurrentQueue<string>();
        var left = relays ? Requests : Requests / 10; // that way is slower, and what it refuses is Kestrel's to test
        var counts = new int[3];
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) is >= 0 and var number && broken.IsEmpty)
            {
                var random = new Random(Seed + number);
                var (first, middle, last) = (Good(number, 'a', ""), Mutated(random, number), Good(number, 'c', "Connection: close\r\n"));
                var verdict = Judge(middle + last, out var allowed);
                Interlocked.Increment(ref counts[(int)verdict]);
                var answer = await ExchangeAsync(random.Next(2) == 0 ? port : world.EdgePort, random.Next(3) == 0 ? "" : first, middle + last, verdict == Verdict.Right);
                var problem = Problem(answer, number, allowed, backend);
                if (problem is not null) broken.Enqueue($"{problem}, by {Printable(middle)}, answered {Printable(answer)}");
            }
        })));
        foreach (var violation in backend.Violations) broken.Enqueue(violation);
        output.WriteLine($"seed {Seed}: {counts[0]} right, {counts[1]} wrong, {counts[2]} cut short; {backend.Seen.Count} arrived");
        Assert.True(broken.IsEmpty, $"seed {Seed}: {string.Join('\n', broken.Take(5))}");
        Assert.All(counts, x => Assert.True(x > 0, "the mixture has lost a kind"));
        await world.WithdrawAsync(world.Proxy.Routes.Table.ByPort(port)!.Targets[0].Upstream.Instance);
        await world.UntilAsync(x => x.Draining.IsEmpty, "nothing is counted in flight that is not");
    }

    private enum Verdict { Right, Wrong, CutShort }

    /// <summary>How the requests of the text end, and the tokens of those that are right, which alone may arrive.</summary>
    private static Verdict Judge(string text, out string allowed)
    {
        allowed = "a";
        try
        {
            while (text.Length > 0)
            {
                if (StrictHttp.Read(text) is not { } request) return Verdict.CutShort;
                if (Token().Match(request.Target) is { Success: true } token) allowed += token.Value[^1];
                text = text[request.Length..];
            }
            return Verdict.Right;
        }
        catch (FormatException)
        {
            return Verdict.Wrong;
        }
    }

    private static string? Problem(string answer, int number, string allowed, StrictBackend backend)
    {
        var tokens = Token().Matches(answer).Select(x => x.Value).ToArray();
        var own = string.Create(CultureInfo.InvariantCulture, $"/t/{number:D9}");
        if (tokens.FirstOrDefault(x => x[..^1] != own) is { } foreign) return $"somebody else's answer {foreign}";
        var order = string.Concat(tokens.Select(x => x[^1]).Distinct());
        if (!order.SequenceEqual("abdc".Where(order.Contains))) return $"answers out of order: {order}";
        return "bdc".Where(x => !allowed.Contains(x, StringComparison.Ordinal)).Any(x => backend.Seen.ContainsKey(own + x))
            ? $"more than {allowed} was forwarded: a wrong request, or what followed one" : null;
    }

    private static string Good(int number, char which, string more) =>
        string.Create(CultureInfo.InvariantCulture, $"GET /t/{number:D9}{which} HTTP/1.1\r\nHost: a\r\n{more}\r\n");

    private static string Mutated(Random random, int number)
    {
        var text = new StringBuilder();
        text.Append(Pick(Methods)).Append(" /t/").Append(Place).Append('b').Append(Pick(Suffixes)).Append(' ').Append(Pick(Versions)).Append("\r\n");
        if (random.Next(20) > 0) text.Append("Host: a\r\n");
        for (var i = Math.Max(0, random.Next(-1, 3)); i > 0; i--) text.Append(Pick(Lines)).Append("\r\n");
        var body = Pick(Bodies).Replace("LEN", (Inner.Length + 8).ToString("x", CultureInfo.InvariantCulture), StringComparison.Ordinal);
        var length = body.Length + (body.Contains(Place, StringComparison.Ordinal) ? 8 : 0); // a token has nine digits
        if (random.Next(6) > 0)
        {
            if (body.Contains("\r\n0\r\n", StringComparison.Ordinal) || body.StartsWith('0')) text.Append("Transfer-Encoding: chunked\r\n");
            else if (body.Length > 0) text.Append(CultureInfo.InvariantCulture, $"Content-Length: {length}\r\n");
        }
        text.Append("\r\n").Append(body);
        for (var i = random.Next(3) == 0 ? random.Next(1, 3) : 0; i > 0; i--)
        {
            var at = random.Next(text.Length);
            if (text[at] == Place) continue;
            switch (random.Next(3))
            {
                case 0:
                    text[at] = Spices[random.Next(Spices.Length)];
                    break;
                case 1:
                    text.Insert(at, Spices[random.Next(Spices.Length)]);
                    break;
                default:
                    text.Remove(at, 1);
                    break;
            }
        }
        return text.Replace(Place.ToString(), number.ToString("D9", CultureInfo.InvariantCulture)).ToString();

        string Pick(string[] from) => from[random.Next(from.Length)];
    }

    /// <summary>Sends, in pieces, and reads to the end; what is not wholly right may leave the edge waiting, and is given up after a silence.</summary>
    private static async Task<string> ExchangeAsync(int port, string first, string rest, bool isRight)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        var answer = new StringBuilder();
        var buffer = new byte[8192];
        try
        {
            await socket.SendAsync(Encoding.Latin1.GetBytes(first + rest));
            while (true)
            {
                using var patience = new CancellationTokenSource(isRight ? Suite.Patience : Silence);
                var read = await socket.ReceiveAsync(buffer, patience.Token);
                if (read == 0) break;
                answer.Append(Encoding.Latin1.GetString(buffer, 0, read));
            }
        }
        catch (OperationCanceledException) when (!isRight)
        {
            // it waits for the rest of something
        }
        catch (SocketException)
        {
            // reset, since it was sent more than the edge read
        }
        return answer.ToString();
    }

    private static string Printable(string text) => string.Concat(text.Select(x => x is >= ' ' and < '\x7f' ? x.ToString() : $"\\x{(int)x:x2}"));
}
