using System.Buffers;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Scheduler.Api;

/// <summary>The yes-or-no words of the contract's queries; null = not said.</summary>
internal readonly record struct Flags(bool? Force, bool? Scale, bool? Wipe, bool? PartialUpdate, bool? DryRun)
{
    public static (Flags Flags, Answer? Refusal) Read(IQueryCollection query)
    {
        if (query.Count == 0) return default;
        Answer? refusal = null;
        bool? Flag(string name)
        {
            if (!query.TryGetValue(name, out var texts)) return null;
            if (bool.TryParse(texts[^1], out var value)) return value;
            refusal = Answer.Message(400, $"The parameter {name} is either true or false, not '{texts[^1]}'");
            return null;
        }
        return (new Flags(Flag("force"), Flag("scale"), Flag("wipe"), Flag("partialUpdate"), Flag("dryRun")), refusal);
    }
}

/// <summary>If-Match and If-None-Match of a write (RFC 9110, 13.1).</summary>
internal static class Preconditions
{
    public static (Precondition Precondition, Answer? Refusal) Read(HttpRequest request)
    {
        var (match, noneMatch) = (request.Headers.IfMatch, request.Headers.IfNoneMatch);
        if (match.Count == 0 && noneMatch.Count == 0) return (Precondition.None, null);
        if (HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method)) return (Precondition.None, null);
        if (noneMatch.Count > 0 && noneMatch.ToString() != "*")
            return (Precondition.None, Answer.Message(400, $"If-None-Match of a write knows only *, not '{noneMatch}'"));
        if (match.Count == 0) return (new Precondition(null, true), null);
        if (!EntityTagHeaderValue.TryParseStrictList(match, out var tags) || tags.Count == 0)
            return (Precondition.None, Answer.Message(400, $"If-Match is * or a list of entity tags, each in double quotes, not '{match}'"));
        return (new Precondition(tags.Select(Text).ToEquatableArray(), noneMatch.Count > 0), null);
    }

    /// <summary>A weak tag never matches a write, nor does a tag that is no version of ours.</summary>
    private static string Text(EntityTagHeaderValue tag)
    {
        if (tag.Equals(EntityTagHeaderValue.Any)) return "*";
        var text = tag.Tag.ToString().Trim('"');
        return !tag.IsWeak && AppVersion.TryParse(text, out var version) ? version.Value.ToString() : tag.ToString();
    }
}

/// <summary>One request, as the endpoints see it: with one view of the cluster for the whole of it.</summary>
internal sealed class Call(HttpContext http, string[] segments, Flags flags, ClusterView view, ApiOptions options)
{
    /// <summary>
    /// Whoever accepts <c>application/json</c> and nothing beside gets the contract's members alone: clients that make objects of answers
    /// (python3-marathon does, and says just that) fail on a member they have not heard of. Everybody else gets our additions too.
    /// </summary>
    public bool ContractOnly => http.Request.Headers.Accept is [var accept] && accept?.Trim() == "application/json";

    /// <summary>What a refused body may still send before the connection is closed on it.</summary>
    private const long DiscardBytesMax = 64L * 1024 * 1024;

    public HttpContext Http => http;

    /// <summary>The path between its slashes; doubled slashes count once.</summary>
    public string[] Segments => segments;

    public Flags Flags => flags;
    public Precondition Precondition { get; init; } = Precondition.None;
    /// <summary>How far a pull or a fetch is, is our own addition to tasks.</summary>
    public ClusterView View => ContractOnly ? view with { Details = ImmutableDictionary<InstanceId, string>.Empty } : view;
    public ApiOptions Options => options;
    public IQueryCollection Query => http.Request.Query;
    public string Method { get; } = HttpMethods.IsHead(http.Request.Method) ? HttpMethods.Get : http.Request.Method;

    /// <summary>Bytes of the request's body that were read.</summary>
    public long BodyBytes { get; private set; }

    public string ClientIp => http.Connection.RemoteIpAddress is not { } address ? ""
        : (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();

    public ChangeOrigin Origin(ChangeKind kind) => new(ClientIp, http.Request.Path.Value ?? "/", kind);

    /// <summary>The resource's absolute URL, under the name the client knows us by.</summary>
    public string UrlOf(AppId app) => UrlOf("/v2/apps", app);

    /// <param name="collection">Where resources of its kind are: <c>/v2/apps</c>, <c>/v2/groups</c>.</param>
    public string UrlOf(string collection, AppId id) => UrlOf($"{collection}{id.Path}");

    public string UrlOfArtifact(string path) => UrlOf($"/v2/artifacts/{string.Join('/', path.Split('/').Select(Uri.EscapeDataString))}");

    /// <param name="path">From the root of the server.</param>
    public string UrlOf(string path) =>
        $"{http.Request.Scheme}://{(http.Request.Host.HasValue ? http.Request.Host.ToUriComponent() : LeaderOf(http, options))}{path}";

    public static string LeaderOf(HttpContext http, ApiOptions options)
    {
        if (options.PublicAddress is { } address) return address;
        var connection = http.Connection;
        return connection.LocalIpAddress is { } ip
            ? new System.Net.IPEndPoint(ip.IsIPv4MappedToIPv6 ? ip.MapToIPv4() : ip, connection.LocalPort).ToString()
            : "localhost";
    }

    /// <summary>True if the client asks for plain text and not, at least as much, for JSON.</summary>
    public bool PrefersText()
    {
        var text = (Quality: 0.0, At: int.MaxValue);
        var json = (Quality: 0.0, At: int.MaxValue);
        foreach (var (range, at) in http.Request.GetTypedHeaders().Accept.Select((r, i) => (r, i)))
        {
            if (range.MediaType.Equals("text/plain", StringComparison.OrdinalIgnoreCase)) text = (range.Quality ?? 1, at);
            if (range.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase)) json = (range.Quality ?? 1, at);
        }
        return text.Quality > json.Quality || (text.Quality > 0 && text.Quality == json.Quality && text.At < json.At);
    }

    /// <summary>One app's worth of JSON, or the refusal.</summary>
    public Task<(JsonElement Body, Answer? Refusal)> ReadAppAsync() => ReadJsonAsync(options.AppBytesMax);

    /// <summary>An array of apps, none of them longer than one may be.</summary>
    public async Task<(JsonElement Body, Answer? Refusal)> ReadAppsAsync()
    {
        var (body, refusal) = await ReadJsonAsync(options.AppsBytesMax).ConfigureAwait(false);
        if (refusal is not null) return (body, refusal);
        if (body.ValueKind != JsonValueKind.Array) return (body, Answer.WrongShape(new Problem("/", "error.expected.jsarray")));
        if (body.GetArrayLength() > options.AppsPerBodyMax) return (body, Answer.Message(413, $"The body has more than {options.AppsPerBodyMax} apps"));
        foreach (var item in body.EnumerateArray())
            if (JsonMarshal.GetRawUtf8Value(item).Length > options.AppBytesMax) return (body, TooLarge(options.AppBytesMax));
        return (body, null);
    }

    /// <summary>A group with all that is in it: as large as several apps may be together.</summary>
    public Task<(JsonElement Body, Answer? Refusal)> ReadGroupAsync() => ReadJsonAsync(options.AppsBytesMax);

    private async Task<(JsonElement Body, Answer? Refusal)> ReadJsonAsync(long bytesMax)
    {
        var (bytes, refusal) = await ReadBytesAsync(bytesMax).ConfigureAwait(false);
        if (refusal is not null) return (default, refusal);
        // Never disposed: the command that carries it may wait in the inbox longer than its caller does.
        return AppJson.TryParseBody(bytes, out var document, out var message, out var why)
            ? (document.RootElement, null)
            : (default, Answer.Unparsable(message, why));
    }

    /// <summary>The whole body, whatever it is, or the refusal.</summary>
    public async Task<(ReadOnlyMemory<byte> Body, Answer? Refusal)> ReadBytesAsync(long bytesMax)
    {
        // Ours is the limit, and ours the answer: Kestrel's own would end the connection without a word of JSON.
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature) feature.MaxRequestBodySize = null;
        if (http.Request.ContentLength > bytesMax)
        {
            // Whoever waits for our leave to send is refused before a byte of it has come.
            if (http.Request.Headers.Expect.Count > 0) return (default, TooLarge(bytesMax) with { Close = true });
            return (default, await DiscardAsync(0, bytesMax).ConfigureAwait(false));
        }
        var reader = http.Request.BodyReader;
        var bytes = new ArrayBufferWriter<byte>(Math.Max(256, (int)(http.Request.ContentLength ?? 4096)));
        while (true)
        {
            var read = await reader.ReadAsync(http.RequestAborted).ConfigureAwait(false);
            foreach (var piece in read.Buffer) bytes.Write(piece.Span);
            reader.AdvanceTo(read.Buffer.End);
            BodyBytes = bytes.WrittenCount;
            if (bytes.WrittenCount > bytesMax) return (default, await DiscardAsync(bytes.WrittenCount, bytesMax).ConfigureAwait(false));
            if (read.IsCompleted) return (bytes.WrittenMemory, null);
        }
    }

    /// <summary>A client that is still sending reads no answer, and a closed socket would take the answer with it:
    /// its body is read to the end, if that is near.</summary>
    private async Task<Answer> DiscardAsync(long seen, long bytesMax)
    {
        var reader = http.Request.BodyReader;
        while (seen <= DiscardBytesMax)
        {
            var read = await reader.ReadAsync(http.RequestAborted).ConfigureAwait(false);
            seen += read.Buffer.Length;
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted) return TooLarge(bytesMax);
        }
        return TooLarge(bytesMax) with { Close = true };
    }

    private static Answer TooLarge(long bytesMax) => Answer.Message(413, $"The body is larger than {bytesMax} bytes");
}
