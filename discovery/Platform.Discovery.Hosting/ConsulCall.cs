using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Platform.Discovery.Hosting;

/// <summary>Of a read: whether, for what and how long it waits, and how fresh its answer must be.</summary>
internal sealed record ReadOptions(long AfterIndex, TimeSpan Wait, bool Consistent);

/// <summary>One request at the KV door, and the shapes that answers have there.</summary>
/// <param name="context">The request.</param>
/// <param name="rest">What follows the route's path, decoded once.</param>
internal sealed class ConsulCall(HttpContext context, string rest)
{
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonWriterOptions Indented = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = true, IndentSize = 4 };

    public string Rest => rest;
    public string Method => context.Request.Method;
    public IQueryCollection Query => context.Request.Query;
    public IHeaderDictionary Headers => context.Response.Headers;
    public CancellationToken Aborted => context.RequestAborted;

    /// <summary>Presence counts: <c>?recurse</c>, <c>?recurse=1</c>.</summary>
    public bool Has(string flag) => Query.ContainsKey(flag);

    public string Parameter(string name) => Query[name].ToString();

    /// <summary>By the header, as a bearer, or in the query; empty = nobody in particular.</summary>
    public string Token
    {
        get
        {
            if (context.Request.Headers["X-Consul-Token"].ToString() is { Length: > 0 } header) return header;
            var authorization = context.Request.Headers.Authorization.ToString();
            return authorization.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? authorization["Bearer ".Length..].Trim() : Parameter("token");
        }
    }

    /// <summary>Null, and the answer is given, for a query that contradicts itself.</summary>
    public async ValueTask<ReadOptions?> ReadOptionsAsync()
    {
        var wait = KvQuery.WaitDefault;
        var why = "";
        if (Parameter("wait") is { Length: > 0 } text && !KvAnswers.TryParseDuration(text, out wait)) why = "Invalid wait time";
        if (wait == TimeSpan.Zero) wait = KvQuery.WaitDefault;
        if (wait > KvQuery.WaitMax) wait = KvQuery.WaitMax;
        ulong index = 0;
        if (Parameter("index") is { Length: > 0 } number && !ulong.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out index)) why = "Invalid index";
        if (Has("stale") && Has("consistent")) why = "Cannot specify ?stale with ?consistent, conflicting semantics.";
        if (why.Length == 0) return new ReadOptions((long)Math.Min(index, long.MaxValue), wait, Has("consistent"));
        await TextAsync(400, why).ConfigureAwait(false);
        return null;
    }

    /// <summary>Null, and the answer is given, for a body that is too large.</summary>
    public async ValueTask<byte[]?> BodyAsync(int bytesMax)
    {
        if (context.Request.ContentLength is { } announced && announced > bytesMax) return await TooLargeAsync(announced, bytesMax).ConfigureAwait(false);
        var reader = context.Request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(Aborted).ConfigureAwait(false);
            if (read.Buffer.Length > bytesMax)
            {
                var length = read.Buffer.Length;
                reader.AdvanceTo(read.Buffer.End);
                return await TooLargeAsync(length, bytesMax).ConfigureAwait(false);
            }
            if (read.IsCompleted)
            {
                var body = read.Buffer.ToArray();
                reader.AdvanceTo(read.Buffer.End);
                return body;
            }
            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    public async Task TextAsync(int status, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        var body = Encoding.UTF8.GetBytes(text);
        context.Response.ContentLength = body.Length;
        await context.Response.Body.WriteAsync(body, Aborted).ConfigureAwait(false);
    }

    public Task JsonAsync(Action<Utf8JsonWriter> write, int status = 200)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, Has("pretty") ? Indented : Compact)) write(json);
        return BytesAsync(buffer.WrittenMemory, "application/json", status);
    }

    public async Task BytesAsync(ReadOnlyMemory<byte> body, string contentType, int status = 200)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        context.Response.ContentLength = body.Length;
        await context.Response.Body.WriteAsync(body, Aborted).ConfigureAwait(false);
    }

    public void Empty(int status)
    {
        context.Response.StatusCode = status;
        context.Response.ContentLength = 0;
    }

    private async ValueTask<byte[]?> TooLargeAsync(long bytes, int bytesMax)
    {
        await TextAsync(413, $"Request body({bytes} bytes) too large, max size: {bytesMax} bytes.").ConfigureAwait(false);
        return null;
    }
}
