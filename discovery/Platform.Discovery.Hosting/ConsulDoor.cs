using System.Collections.Frozen;
using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Platform.Discovery.Hosting;

/// <summary>One request at the Consul door.</summary>
/// <param name="Tail">What follows the row's path, decoded once; empty for a row that has none.</param>
public sealed record ConsulCall(HttpContext Http, string Target, string Tail)
{
    public IQueryCollection Query => Http.Request.Query;
    public CancellationToken Aborted => Http.RequestAborted;

    /// <summary>Errors are plain text; clients show it to people.</summary>
    public async Task TextAsync(int status, string text)
    {
        Http.Response.StatusCode = status;
        Http.Response.ContentType = "text/plain; charset=utf-8";
        await Http.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), Aborted).ConfigureAwait(false);
    }

    public async Task JsonAsync(ReadOnlyMemory<byte> json, int status = 200)
    {
        Http.Response.StatusCode = status;
        Http.Response.ContentType = "application/json";
        Http.Response.ContentLength = json.Length;
        await Http.Response.Body.WriteAsync(json, Aborted).ConfigureAwait(false);
    }
}

/// <summary>
/// The door that speaks Consul's HTTP API: a table of rows, each a path, the methods it takes and who answers. Parts of the platform add their own.
/// A path that ends in a slash takes everything below it. Requests are matched by their raw target: the framework would undo dot segments and
/// leave <c>%2F</c>, Consul does neither.
/// </summary>
public sealed class ConsulDoor(KvOptions options)
{
    public const string Reads = "GET, HEAD";

    private readonly List<Row> _rows = [];
    private FrozenDictionary<string, Row[]>? _byPath;

    private sealed record Row(string Path, string[] Methods, Func<ConsulCall, Task> Answer);

    public KvOptions Options => options;

    /// <param name="methods">With commas between, such as <c>GET, HEAD</c>; <c>*</c> takes them all.</param>
    public ConsulDoor Add(string methods, string path, Func<ConsulCall, Task> answer)
    {
        if (_byPath is not null) throw new InvalidOperationException($"the door is open already, {path} comes too late");
        _rows.Add(new Row(path, methods.Split(',', StringSplitOptions.TrimEntries), answer));
        return this;
    }

    public async Task AnswerAsync(HttpContext context)
    {
        _byPath ??= _rows.GroupBy(x => x.Path, StringComparer.Ordinal).ToFrozenDictionary(x => x.Key, x => x.ToArray(), StringComparer.Ordinal);
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        var path = KvAnswers.PathOf(target).ToString();
        if (Find(_byPath, path) is not { } rows)
        {
            await new ConsulCall(context, target, "").TextAsync(404, $"{path} is not served here").ConfigureAwait(false);
            return;
        }
        var call = new ConsulCall(context, target, Uri.UnescapeDataString(path[Math.Min(rows[0].Path.Length, path.Length)..]));
        if (Array.Find(rows, x => x.Methods.Contains("*") || x.Methods.Contains(context.Request.Method)) is { } row)
        {
            await row.Answer(call).ConfigureAwait(false);
            return;
        }
        context.Response.Headers.Allow = string.Join(",", rows.SelectMany(x => x.Methods).Distinct().Prepend("OPTIONS"));
        if (context.Request.Method == "OPTIONS") return;
        await call.TextAsync(405, $"method {context.Request.Method} not allowed").ConfigureAwait(false);
    }

    /// <summary>On every read: Go clients refuse an answer without them.</summary>
    public void ReadHeaders(IHeaderDictionary headers)
    {
        var leader = options.Leader();
        headers["X-Consul-KnownLeader"] = leader is null ? "false" : "true";
        headers["X-Consul-LastContact"] = ((long)(leader?.LastContact.TotalMilliseconds ?? 0)).ToString(CultureInfo.InvariantCulture);
    }

    private static Row[]? Find(FrozenDictionary<string, Row[]> byPath, string path)
    {
        if (byPath.TryGetValue(path, out var exact)) return exact;
        for (var cut = path.LastIndexOf('/'); cut > 0; cut = path.LastIndexOf('/', cut - 1))
            if (byPath.TryGetValue(path[..(cut + 1)], out var below)) return below;
        return null;
    }
}
