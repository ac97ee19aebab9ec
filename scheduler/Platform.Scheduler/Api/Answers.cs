using System.Buffers;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Platform.Model;

namespace Platform.Scheduler.Api;

/// <summary>Puts answers on the wire, with the headers that every answer of the contract carries (1.1).</summary>
internal static class Answers
{
    /// <summary>So much of a long list is gathered before it is sent.</summary>
    private const int FlushBytes = 64 * 1024;

    private static readonly StringValues JsonType = "application/json; charset=utf-8";
    private static readonly StringValues NoCache = "no-cache, no-store, must-revalidate";
    private static readonly StringValues NoCachePragma = "no-cache";
    private static readonly StringValues Expired = "0";
    private static readonly StringValues FramesDenied = "DENY";
    private static readonly StringValues ScriptFilter = "1; mode=block";
    private static readonly StringValues NoSniff = "nosniff";

    public static void WriteCommonHeaders(HttpContext http, string leader)
    {
        var headers = http.Response.Headers;
        headers.CacheControl = NoCache;
        headers.Pragma = NoCachePragma;
        headers.Expires = Expired;
        headers["X-Marathon-Leader"] = $"{http.Request.Scheme}://{leader}";
        headers.XFrameOptions = FramesDenied;
        headers.XXSSProtection = ScriptFilter;
        headers.XContentTypeOptions = NoSniff; // answers repeat what users wrote, unescaped
    }

    /// <summary>Gives the bytes of the body, and whether they are gzipped.</summary>
    public static async Task<(long Bytes, bool Gzipped)> WriteAsync(HttpContext http, Answer answer)
    {
        var response = http.Response;
        response.StatusCode = answer.Status;
        var headers = response.Headers;
        if (answer.Location is { } location) headers.Location = location;
        if (answer.DeploymentId is { } deployment) headers["Marathon-Deployment-Id"] = deployment;
        if (answer.Tag is { } tag) headers.ETag = $"\"{tag}\"";
        if (answer.Allow is { } allow) headers.Allow = allow;
        if (answer.Challenge is { } challenge) headers.WWWAuthenticate = challenge;
        if (answer.RetryAfterSeconds is { } seconds) headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        if (answer.Endpoints is { } cursor)
        {
            headers["X-Platform-Epoch"] = cursor.Epoch;
            headers["X-Platform-Revision"] = cursor.Revision.ToString(CultureInfo.InvariantCulture);
        }
        if (answer.Close) headers.Connection = "close";
        if (answer.Json is null && answer.Text is null) return (0, false);

        headers.ContentType = answer.Json is null ? answer.TextType : JsonType;
        headers.Append("Vary", "Accept-Encoding");
        var gzipped = WantsGzip(http.Request);
        if (gzipped) headers.ContentEncoding = "gzip";
        using var body = new AnswerBody(response, gzipped);
        if (answer.Json is { } parts) await WriteJsonAsync(body, parts, http.RequestAborted).ConfigureAwait(false);
        else Encoding.UTF8.GetBytes(answer.Text!, body.Plain);
        await body.EndAsync(http.RequestAborted).ConfigureAwait(false);
        return (body.Sent, gzipped);
    }

    private static async Task WriteJsonAsync(AnswerBody body, IEnumerable<Action<Utf8JsonWriter>> parts, CancellationToken aborted)
    {
        using var writer = new Utf8JsonWriter(body.Plain, AppJson.WriterOptions);
        long sent = 0;
        foreach (var part in parts)
        {
            part(writer);
            var written = writer.BytesCommitted + writer.BytesPending;
            if (written - sent < FlushBytes) continue;
            sent = written;
            writer.Flush();
            await body.FlushAsync(aborted).ConfigureAwait(false);
        }
        writer.Flush();
    }

    private static bool WantsGzip(HttpRequest request)
    {
        if (request.Headers.AcceptEncoding.Count == 0) return false;
        var said = request.GetTypedHeaders().AcceptEncoding;
        var range = said.FirstOrDefault(e => e.Value.Equals("gzip", StringComparison.OrdinalIgnoreCase)) ?? said.FirstOrDefault(e => e.Value == "*");
        return range is { Quality: null or > 0 };
    }
}

/// <summary>Where an answer's body is written: gathered, packed if the client asked for it, and sent piece by piece without blocking.</summary>
internal sealed class AnswerBody : IDisposable
{
    private readonly ArrayBufferWriter<byte> _plain = new(4096);
    private readonly MemoryStream _packed = new();
    private readonly GZipStream? _gzip;
    private readonly HttpResponse _response;

    public AnswerBody(HttpResponse response, bool gzipped)
    {
        _response = response;
        _gzip = gzipped ? new GZipStream(_packed, CompressionLevel.Fastest, leaveOpen: true) : null;
    }

    public IBufferWriter<byte> Plain => _plain;
    public long Sent { get; private set; }

    private ReadOnlyMemory<byte> Unsent => _gzip is null ? _plain.WrittenMemory : _packed.GetBuffer().AsMemory(0, (int)_packed.Length);

    public ValueTask FlushAsync(CancellationToken aborted)
    {
        Pack();
        return SendAsync(aborted);
    }

    public ValueTask EndAsync(CancellationToken aborted)
    {
        Pack();
        _gzip?.Dispose(); // writes its last block
        if (Sent == 0) _response.ContentLength = Unsent.Length; // it has come to be one piece
        return SendAsync(aborted);
    }

    public void Dispose()
    {
        _gzip?.Dispose();
        _packed.Dispose();
    }

    private void Pack()
    {
        if (_gzip is null) return;
        _gzip.Write(_plain.WrittenSpan);
        _plain.ResetWrittenCount();
    }

    private async ValueTask SendAsync(CancellationToken aborted)
    {
        var bytes = Unsent;
        if (bytes.Length > 0) await _response.BodyWriter.WriteAsync(bytes, aborted).ConfigureAwait(false);
        Sent += bytes.Length;
        _plain.ResetWrittenCount();
        _packed.SetLength(0);
    }
}
