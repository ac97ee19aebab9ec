using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Platform.Scheduler.Api;

/// <summary>Who may come in: the one user and password of HTTP basic authentication (contract 1.1). Only hashes are kept and compared.</summary>
public sealed class HttpCredentials
{
    private readonly byte[] _hash;

    private HttpCredentials(byte[] hash) => _hash = hash;

    /// <param name="text"><c>user:password</c>; the user may hold no colon, the password may.</param>
    public static bool TryParse(string text, out HttpCredentials? credentials)
    {
        var good = text.IndexOf(':', StringComparison.Ordinal) > 0;
        credentials = good ? new HttpCredentials(SHA256.HashData(Encoding.UTF8.GetBytes(text))) : null;
        return good;
    }

    /// <param name="authorization">The header as it came.</param>
    public bool Admit(string authorization)
    {
        const string scheme = "Basic ";
        if (!authorization.StartsWith(scheme, StringComparison.OrdinalIgnoreCase)) return false;
        var bytes = new byte[authorization.Length];
        return Convert.TryFromBase64String(authorization[scheme.Length..].Trim(), bytes, out var length)
            && CryptographicOperations.FixedTimeEquals(SHA256.HashData(bytes.AsSpan(0, length)), _hash);
    }
}

/// <summary>Which pages of other origins may read answers (contract 1.1); none, unless an origin is named.</summary>
internal static class CrossOrigin
{
    public static void WriteHeaders(HttpContext http, ApiOptions options)
    {
        if (options.AllowedOrigins.IsEmpty) return;
        var (request, headers) = (http.Request.Headers, http.Response.Headers);
        var origin = request.Origin.ToString();
        var allowed = options.AllowedOrigins.Items;
        headers.Append("Vary", "Origin");
        // A browser takes one origin and no more: its own if that is named.
        if (!allowed.Contains("*") && !allowed.Contains(origin)) return;
        headers.AccessControlAllowOrigin = allowed.Contains("*") ? "*" : origin;
        headers.AccessControlAllowMethods = "GET, HEAD, OPTIONS";
        headers.AccessControlMaxAge = "86400";
        if (request.AccessControlRequestHeaders is { Count: > 0 } asked) headers.AccessControlAllowHeaders = asked;
    }
}
