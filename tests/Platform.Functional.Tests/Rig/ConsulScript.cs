using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Platform.Functional.Tests.Rig;

/// <summary>
/// Requests to a Consul HTTP API, one a line (<c>METHOD target</c>, or with a body <c>METHOD target &lt;&lt;&lt; body</c>), and what came back as text in
/// which what differs from server to server is named by its part in the script: session ids, the node, and indices by their order.
/// <c>$x = …</c> keeps the ID of an answer (its SecretID; the first entry's ModifyIndex) for later lines; <c>target @token</c> shows a token.
/// </summary>
internal sealed partial class ConsulScript(HttpClient http, string node)
{
    // What a parser says of a bad body is its own; that it is one is the contract.
    private static readonly string[] OwnWords = ["Request decode failed:", "Failed to parse body:"];

    private readonly Dictionary<string, string> _kept = [];
    private readonly List<string> _uuids = [];
    private readonly List<string> _transcript = [];
    private readonly List<long> _indices = [];

    public async Task<string> RunAsync(string script)
    {
        foreach (var line in script.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Where(x => !x.StartsWith("//", StringComparison.Ordinal)))
            await StepAsync(line);
        var ordered = _indices.Distinct().Order().ToList();
        return Ranked().Replace(string.Join('\n', _transcript), m => $"#{ordered.IndexOf(long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))}");
    }

    private async Task StepAsync(string line)
    {
        var said = Keep().Match(line) is { Success: true } keep ? keep.Groups[1].Value : null;
        var request = said is null ? line : line[(line.IndexOf('=', StringComparison.Ordinal) + 1)..].Trim();
        var cut = request.IndexOf("<<<", StringComparison.Ordinal);
        var body = cut < 0 ? null : Filled(request[(cut + 3)..].Trim());
        var head = Filled(cut < 0 ? request : request[..cut].Trim()).Split(' ', 2);
        var shown = head[1].Split(" @", 2);
        using var message = new HttpRequestMessage(new HttpMethod(head[0]), new Uri(http.BaseAddress!, shown[0]));
        if (shown.Length > 1) message.Headers.Add("X-Consul-Token", shown[1]);
        if (body is not null) message.Content = new ByteArrayContent(body.StartsWith("zeros ", StringComparison.Ordinal)
            ? new byte[int.Parse(body.AsSpan(6), CultureInfo.InvariantCulture)] : Encoding.UTF8.GetBytes(body));
        using var answer = await http.SendAsync(message);
        var text = (await answer.Content.ReadAsStringAsync()).Trim();
        if (said is not null && JsonNode.Parse(text) is { } json)
            _kept[said] = (json is JsonArray array ? array[0]!["ModifyIndex"]! : json["SecretID"] ?? json["ID"]!).ToString();
        _transcript.Add($"> {line}\n{(int)answer.StatusCode}{Headers(answer)}\n{Body(answer, text)}\n");
    }

    private string Filled(string text) => Variable().Replace(text, m => _kept[m.Groups[1].Value]);

    private string Headers(HttpResponseMessage answer)
    {
        var text = new StringBuilder();
        if (answer.Content.Headers.ContentType is { } type) text.Append(CultureInfo.InvariantCulture, $" {type.MediaType}");
        if (answer.Content.Headers.Allow.Count > 0) text.Append(CultureInfo.InvariantCulture, $" allow {string.Join(',', answer.Content.Headers.Allow.Order(StringComparer.Ordinal))}");
        // Real Consul gives a refusal the headers of a read that has not begun.
        if (!answer.IsSuccessStatusCode && answer.StatusCode != HttpStatusCode.NotFound) return text.ToString();
        if (answer.Headers.TryGetValues("X-Consul-KnownLeader", out var leader)) text.Append(CultureInfo.InvariantCulture, $" leader {leader.Single()}");
        if (answer.Headers.TryGetValues("X-Consul-LastContact", out var contact)) text.Append(CultureInfo.InvariantCulture, $" contact {long.Parse(contact.Single(), CultureInfo.InvariantCulture) < 5000}");
        if (answer.Headers.TryGetValues("X-Content-Type-Options", out var sniff)) text.Append(CultureInfo.InvariantCulture, $" {sniff.Single()}");
        if (answer.Headers.TryGetValues("X-Consul-Index", out var index))
        {
            var number = long.Parse(index.Single(), CultureInfo.InvariantCulture);
            Assert.True(number >= 1, $"X-Consul-Index {number}");
            // Of what is not there real Consul tells its whole table's; ours is only of what was asked.
            text.Append(answer.IsSuccessStatusCode && answer.RequestMessage!.RequestUri!.AbsolutePath.StartsWith("/v1/kv/", StringComparison.Ordinal) ? $" index {Rank(number)}" : " index");
        }
        return text.ToString();
    }

    private string Body(HttpResponseMessage answer, string text)
    {
        if (answer.Content.Headers.ContentType?.MediaType == "application/json") text = Canonical(JsonNode.Parse(text)) ?? "null";
        foreach (var own in OwnWords)
            if (text.StartsWith(own, StringComparison.Ordinal)) text = own;
        text = Uuid().Replace(text, m =>
        {
            if (!_uuids.Contains(m.Value)) _uuids.Add(m.Value);
            return $"uuid{_uuids.IndexOf(m.Value)}";
        });
        text = CurrentIndex().Replace(text, m => m.Groups[1].Value + Rank(long.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture)));
        return text.Replace($"\"{node}\"", "<node>", StringComparison.Ordinal);
    }

    private string? Canonical(JsonNode? json) => json switch
    {
        JsonArray array => $"[{string.Join(", ", array.Select(Canonical).Select(x => x ?? "null"))}]",
        JsonObject map => $"{{{string.Join(", ", map.Select(x => $"{x.Key}: {(x.Key is "CreateIndex" or "ModifyIndex" ? Rank((long)x.Value!) : x.Key is "LastContact" or "Hash" or "CreateTime" ? "~" : Canonical(x.Value) ?? "null")}"))}}}",
        _ => json?.ToJsonString(),
    };

    /// <summary>Its place among all indices of this script is known at the end.</summary>
    private string Rank(long index)
    {
        _indices.Add(index);
        return $"«{index}»";
    }

    [GeneratedRegex(@"^\$(\w+) = ")]
    private static partial Regex Keep();

    [GeneratedRegex(@"\$(\w+)")]
    private static partial Regex Variable();

    [GeneratedRegex("«([0-9]+)»")]
    private static partial Regex Ranked();

    [GeneratedRegex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")]
    private static partial Regex Uuid();

    [GeneratedRegex("(current modify index )([0-9]+)")]
    private static partial Regex CurrentIndex();
}
