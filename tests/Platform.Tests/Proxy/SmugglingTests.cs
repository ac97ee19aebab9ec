using System.Globalization;
using System.Text.RegularExpressions;

namespace Platform.Tests.Proxy;

/// <summary>Two edges before one strict task, one that relays and one that leaves everything to Kestrel and YARP.</summary>
public sealed class StrictEdges : IAsyncLifetime
{
    internal StrictBackend Backend { get; } = new();
    internal Dictionary<string, int> Doors { get; } = [];
    private readonly List<EdgeWorld> _worlds = [];

    public async Task InitializeAsync()
    {
        foreach (var relays in new[] { true, false })
        {
            var world = await EdgeWorld.StartAsync(x => relays ? x : x with { RelayThreads = 0 });
            _worlds.Add(world);
            var port = await world.AppAsync("/web", ("HAPROXY_0_VHOST", "a"));
            await world.ReadyAsync("/web", Backend.Port);
            Doors[$"service port{(relays ? "" : " without relay")}"] = port;
            Doors[$"edge{(relays ? "" : " without relay")}"] = world.EdgePort;
        }
    }

    public async Task DisposeAsync()
    {
        foreach (var world in _worlds) await world.DisposeAsync();
        Backend.Dispose();
    }
}

/// <summary>The ways by which requests were smuggled through proxies, as bytes, at every door: refused, and nothing of it reaches a task.</summary>
public sealed partial class SmugglingTests(StrictEdges edges) : IClassFixture<StrictEdges>
{
    private const string Smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

    [GeneratedRegex(@"HTTP/1\.1 (\d+) ")]
    private static partial Regex StatusLine();

    public static TheoryData<string, string> Refused { get; } = new()
    {
        // two lengths
        { "CL.TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG" },
        { "TE.CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + Smuggled },
        { "CL.CL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456" },
        { "CL.CL list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\n123456" },
        { "CL plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n12345" },
        { "CL minus zero", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n" },
        { "CL hex", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n12345" },
        { "CL underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n1234567890" },
        { "CL inner space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n1234567890" },
        { "CL empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n" },
        { "CL overflow", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n12345" },
        { "CL full-width digit", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \u00B2\r\n\r\n12" },
        { "CL space before colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n12345" },
        // codings
        { "TE twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" },
        { "TE identity last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" },
        { "TE cow", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cow\r\nContent-Length: 5\r\n\r\n12345" },
        { "TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
        { "TE quoted", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" },
        { "TE vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u000Bchunked\r\n\r\n0\r\n\r\n" },
        { "TE NUL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" },
        { "TE space before colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" },
        { "TE folded", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" },
        { "TE behind LF", "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE behind CR", "POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
        { "TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + Smuggled },
        // chunks
        { "chunk size plus", Chunked("+1\r\nx\r\n0\r\n\r\n") },
        { "chunk size 0x", Chunked("0x1\r\nx\r\n0\r\n\r\n") },
        { "chunk size empty", Chunked("\r\nx\r\n0\r\n\r\n") },
        { "chunk size space", Chunked(" 1\r\nx\r\n0\r\n\r\n") },
        { "chunk size overflow", Chunked("10000000000000001\r\nx\r\n0\r\n\r\n") },
        { "chunk size bare LF", Chunked("1\nx\r\n0\r\n\r\n") },
        { "chunk size bare CR", Chunked("1\rx\r\n0\r\n\r\n") },
        { "chunk end missing", Chunked("1\r\nx0\r\n\r\n") },
        { "chunk end bare LF", Chunked("1\r\nx\n0\r\n\r\n") },
        { "chunk too short", Chunked("5\r\nabc\r\n0\r\n\r\n") },
        { "extension empty", Chunked("1;\r\nx\r\n0\r\n\r\n") },
        { "extension no token", Chunked("1;a b\r\nx\r\n0\r\n\r\n") },
        { "extension no value", Chunked("1;a=\r\nx\r\n0\r\n\r\n") },
        { "extension control", Chunked("1;a=\u0001\r\nx\r\n0\r\n\r\n") },
        { "extension open quote", Chunked("1;a=\"b\r\nx\r\n0\r\n\r\n") },
        { "extension LF", Chunked("1;a\nx\r\n0\r\n\r\n" + Smuggled) },
        { "extension CR", Chunked("1;a\rx\r\n0\r\n\r\n" + Smuggled) },
        { "last chunk extension", Chunked("0;\r\n\r\n" + Smuggled) },
        // lines and fields
        { "bare LF all over", "GET / HTTP/1.1\nHost: a\n\n" },
        { "bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n" },
        { "folded", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n" },
        { "folded first", "GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n" },
        { "name with space", "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n" },
        { "name with control", "GET / HTTP/1.1\r\nHost: a\r\nX\u0001: b\r\n\r\n" },
        { "name with parenthesis", "GET / HTTP/1.1\r\nHost: a\r\nX(Y: b\r\n\r\n" },
        { "name empty", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n" },
        { "no colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n" },
        { "value with NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n" },
        { "value with control", "GET / HTTP/1.1\r\nHost: a\r\nX: a\u001Fb\r\n\r\n" },
        { "value with DEL", "GET / HTTP/1.1\r\nHost: a\r\nX: a\u007Fb\r\n\r\n" },
        // whom it is for
        { "no Host", "GET / HTTP/1.1\r\n\r\n" },
        { "empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" },
        { "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" },
        { "Host with space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" },
        { "Host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" },
        { "Host against target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "target without slash", "GET smuggled HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "target with NUL in disguise", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "target with control", "GET /\u0001 HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "bare CR before the method", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "bare LF before the method", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "bare CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "TAB for space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "HTTP/0.9", "GET /\r\n\r\n" },
        { "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n" },
        { "HTTP/2.0 in HTTP/1", "GET / HTTP/2.0\r\nHost: a\r\n\r\n" },
        { "http in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n" },
        { "method no token", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" },
        // too much
        { "101 fields", $"GET / HTTP/1.1\r\nHost: a\r\n{string.Concat(Enumerable.Range(0, 101).Select(i => $"X{i}: y\r\n"))}\r\n" },
        { "head of 40 KB", $"GET / HTTP/1.1\r\nHost: a\r\nX: {new string('x', 40_000)}\r\n\r\n" },
        { "line of 9 KB", $"GET /{new string('x', 9_000)} HTTP/1.1\r\nHost: a\r\n\r\n" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task Refused_at_every_door_and_nothing_arrives(string name, string request)
    {
        foreach (var (door, port) in edges.Doors)
        {
            // as the first request, and behind a good one on the same connection
            foreach (var before in new[] { "", Good($"before-{Guid.NewGuid():N}") })
            {
                var token = $"/t/{Guid.NewGuid():N}";
                var bad = request.Replace(" /", $" {token}", StringComparison.Ordinal);
                var answer = await EdgeWorld.RawAsync(port, before + bad + Good("behind")); // the read ends because the connection is closed
                var statuses = StatusLine().Matches(answer).Select(x => int.Parse(x.Groups[1].Value, CultureInfo.InvariantCulture)).ToArray();
                Assert.True(statuses.Length == (before.Length == 0 ? 1 : 2) && statuses[^1] is >= 400 and < 600 and not (502 or 503 or 504), $"{name} at {door}: {answer}");
                Assert.True(before.Length == 0 || statuses[0] == 200, $"{name} at {door}: {answer}");
                // of a chunked body that breaks after its head the head may have gone out; it was never a whole request there
                Assert.False(edges.Backend.Seen.ContainsKey(token), $"{name} at {door} reached the task");
            }
        }
        Assert.DoesNotContain("/t/behind", edges.Backend.Seen.Keys);
        Assert.Empty(edges.Backend.Violations);
    }

    public static TheoryData<string, string> Allowed { get; } = new()
    {
        { "plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "equal lengths' zeros", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\n12345" },
        { "chunks", Chunked("23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n") },
        { "chunk extensions", Chunked("5;a=b;c ; d = \"e;\\\"\"\r\n12345\r\n0;x\r\nX-Trailer: 1\r\n\r\n") },
        { "absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "empty line before", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" },
        { "TAB in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n" },
        { "bytes beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX: \u00C3\u00B6\u00FC\r\n\r\n" },
        { "named in Connection", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Named\r\nX-Named: 1\r\n\r\n" },
        { "own word on who asks", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nVia: x\r\nX-Original-URL: /x\r\n\r\n" },
        { "h2c upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" },
        { "GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" },
    };

    [Theory]
    [MemberData(nameof(Allowed))]
    public async Task Allowed_and_what_comes_behind_is_a_request_of_its_own(string name, string request)
    {
        foreach (var (door, port) in edges.Doors)
        {
            var (first, second) = ($"/t/{Guid.NewGuid():N}", $"{Guid.NewGuid():N}");
            var path = request.Contains("http://a/", StringComparison.Ordinal)
                ? request.Replace("http://a/ ", $"http://a{first} ", StringComparison.Ordinal)
                : request.Replace(" / ", $" {first} ", StringComparison.Ordinal);
            var answer = await EdgeWorld.RawAsync(port, path + Good(second).Replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", StringComparison.Ordinal));
            Assert.True(StatusLine().Matches(answer).Select(x => x.Groups[1].Value).SequenceEqual(["200", "200"]), $"{name} at {door}: {answer}");
            Assert.Equal((1, 1), (edges.Backend.Seen[first], edges.Backend.Seen[$"/t/{second}"]));
        }
        Assert.Empty(edges.Backend.Violations);
    }

    private static string Chunked(string body) => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body;

    private static string Good(string token) => $"GET /t/{token} HTTP/1.1\r\nHost: a\r\n\r\n";
}
