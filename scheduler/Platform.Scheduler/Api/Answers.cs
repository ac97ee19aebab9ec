using System.Globalization;
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
    private static readonly StringValues TextType = "text/plain; charset=utf-8";
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

    public static async Task WriteAsync(HttpContext http, Answer answer)
    {
        var response = http.Response;
        response.StatusCode = answer.Status;
        var headers = response.Headers;
        if (answer.Location is { } location) headers.Location = location;
        if (answer.DeploymentId is { } deployment) headers["Marathon-Deployment-Id"] = deployment;
        if (answer.Tag is { } tag) headers.ETag = $"\"{tag}\"";
        if (answer.Allow is { } allow) headers.Allow = allow;
        if (answer.RetryAfterSeconds is { } seconds) headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        if (answer.Close) headers.Connection = "close";
        if (answer.Json is { } parts)
        {
            headers.ContentType = JsonType;
            await WriteJsonAsync(http, parts).ConfigureAwait(false);
        }
        else if (answer.Text is { } text)
        {
            headers.ContentType = TextType;
            var bytes = Encoding.UTF8.GetBytes(text);
            response.ContentLength = bytes.Length;
            await response.BodyWriter.WriteAsync(bytes, http.RequestAborted).ConfigureAwait(false);
        }
    }

    private static async Task WriteJsonAsync(HttpContext http, IEnumerable<Action<Utf8JsonWriter>> parts)
    {
        var pipe = http.Response.BodyWriter;
        using var writer = new Utf8JsonWriter(pipe, AppJson.WriterOptions);
        long sent = 0;
        foreach (var part in parts)
        {
            part(writer);
            var written = writer.BytesCommitted + writer.BytesPending;
            if (written - sent < FlushBytes) continue;
            sent = written;
            writer.Flush();
            await pipe.FlushAsync(http.RequestAborted).ConfigureAwait(false);
        }
        writer.Flush();
    }
}
