using System.Buffers;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Platform.Proxy.Transport;

namespace Platform.Proxy.Forwarding;

/// <summary>A request that is answered here and not forwarded.</summary>
internal sealed record Refusal(int Status, string Reason);

/// <summary>
/// What a request must be before it is routed, beyond what Kestrel's parser demands, and what of it is not a client's to say. Strictness first:
/// whatever two parsers could read differently is refused, not repaired.
/// </summary>
internal static class RequestRules
{
    private static readonly SearchValues<char> TokenChars =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    /// <summary>Control characters other than TAB: some servers end a line or a string at one.</summary>
    private static readonly SearchValues<char> ForbiddenInValue = SearchValues.Create(
        [.. Enumerable.Range(0, 0x20).Where(x => x != '\t').Append(0x7F).Select(x => (char)x)]);

    private static readonly Refusal Trace = new(StatusCodes.Status405MethodNotAllowed, "TRACE is not allowed");
    private static readonly Refusal Connect = new(StatusCodes.Status501NotImplemented, "CONNECT is not served");
    private static readonly Refusal Method = Bad("the method is no token");
    private static readonly Refusal EmptyHost = Bad("Host is empty");
    private static readonly Refusal Fragment = Bad("the request target has a fragment");
    private static readonly Refusal TargetBytes = Bad("the request target has a control character or one beyond ASCII");
    private static readonly Refusal TargetForm = Bad("the request target is neither a path nor a URL");
    private static readonly Refusal TransferEncoding = Bad("Transfer-Encoding is not 'chunked', or HTTP/1.0");
    private static readonly Refusal Broken = Bad("the request line, Content-Length or the chunks of the body are not what RFC 9112 wants them to be");
    private static readonly Refusal TwoLengths = Bad("both Transfer-Encoding and Content-Length");
    private static readonly Refusal HeaderName = Bad("a header name is no token");
    private static readonly Refusal HeaderValue = Bad("a header value has a control character");

    /// <summary>Null if the request may be routed. Drops the headers that only the edge may set.</summary>
    public static Refusal? Check(HttpContext context)
    {
        var request = context.Request;
        if (HttpMethods.IsTrace(request.Method)) return Trace;
        if (HttpMethods.IsConnect(request.Method) && context.Features.Get<IHttpExtendedConnectFeature>() is not { IsExtendedConnect: true }) return Connect;
        if (request.Method.AsSpan().ContainsAnyExcept(TokenChars)) return Method;
        if (request.Headers.Host is { Count: > 0 } host && string.IsNullOrEmpty(host[0])) return EmptyHost; // a task would get two
        return Target(context) ?? Framing(context) ?? Headers(request.Headers, context.Features.Get<FramingGuard>()?.Connection);
    }

    /// <summary>Whether doing it twice has the effect of doing it once (RFC 9110 9.2.2).</summary>
    public static bool IsIdempotent(string method) =>
        HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsPut(method) || HttpMethods.IsDelete(method) || HttpMethods.IsOptions(method);

    private static Refusal? Target(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        if (target.Contains('#', StringComparison.Ordinal)) return Fragment;
        if (target.AsSpan().ContainsAnyExceptInRange('!', '~')) return TargetBytes; // Kestrel lets even a bare CR through
        if (target.StartsWith('/') || target.Contains("://", StringComparison.Ordinal) || HttpMethods.IsConnect(context.Request.Method)) return null;
        return TargetForm;
    }

    private static Refusal? Framing(HttpContext context)
    {
        if (context.Features.Get<FramingGuard>() is { IsBroken: true }) return Broken;
        var request = context.Request;
        var encoding = request.Headers.TransferEncoding;
        if (encoding.Count == 0) return null;
        if (HttpProtocol.IsHttp10(request.Protocol)) return TransferEncoding;
        if (encoding.Count != 1 || !string.Equals(encoding[0], "chunked", StringComparison.OrdinalIgnoreCase)) return TransferEncoding;
        // Kestrel renames the Content-Length it does not use
        return request.ContentLength is not null || request.Headers.ContainsKey("X-Content-Length") ? TwoLengths : null;
    }

    private static Refusal? Headers(IHeaderDictionary headers, string? connection)
    {
        List<string>? dropped = null;
        foreach (var (name, values) in headers)
        {
            if (name.AsSpan().ContainsAnyExcept(TokenChars) && !name.StartsWith(':')) return HeaderName;
            foreach (var value in values)
                if (value.AsSpan().ContainsAny(ForbiddenInValue)) return HeaderValue;
            if (IsEdgeOnly(name)) (dropped ??= []).Add(name);
        }
        if (connection is not null)
        {
            if (connection.AsSpan().ContainsAny(ForbiddenInValue)) return HeaderValue; // Kestrel keeps its own reading of it
            AddNamedBy(connection, ref dropped);
        }
        if (dropped is not null)
            foreach (var name in dropped) headers.Remove(name);
        return null;
    }

    /// <summary>Headers by which servers let themselves be told who asked, or for what: only the edge knows.</summary>
    private static bool IsEdgeOnly(string name) => name.Length switch
    {
        3 => name.Equals("Via", StringComparison.OrdinalIgnoreCase),
        5 => name.Equals("Proxy", StringComparison.OrdinalIgnoreCase),
        9 => name.Equals("Forwarded", StringComparison.OrdinalIgnoreCase) || name.Equals("X-Real-IP", StringComparison.OrdinalIgnoreCase),
        > 9 => name.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase)
            || name.Equals("X-Original-URL", StringComparison.OrdinalIgnoreCase)
            || name.Equals("X-Original-Host", StringComparison.OrdinalIgnoreCase)
            || name.Equals("X-Rewrite-URL", StringComparison.OrdinalIgnoreCase),
        _ => false,
    };

    /// <summary>RFC 9110 7.6.1: what Connection names was meant for us alone. The fields that frame and route a message are not its to remove.</summary>
    private static void AddNamedBy(string connection, ref List<string>? dropped)
    {
        foreach (var range in connection.AsSpan().Split(','))
        {
            var option = connection.AsSpan()[range].Trim();
            if (option.IsEmpty || IsConnectionOption(option)) continue;
            (dropped ??= []).Add(option.ToString());
        }
    }

    public static bool IsConnectionOption(ReadOnlySpan<char> option) =>
        option.Equals("close", StringComparison.OrdinalIgnoreCase) || option.Equals("keep-alive", StringComparison.OrdinalIgnoreCase)
        || option.Equals("upgrade", StringComparison.OrdinalIgnoreCase) || option.Equals("te", StringComparison.OrdinalIgnoreCase)
        || option.Equals("host", StringComparison.OrdinalIgnoreCase) || option.Equals("content-length", StringComparison.OrdinalIgnoreCase)
        || option.Equals("transfer-encoding", StringComparison.OrdinalIgnoreCase) || option.Equals("content-type", StringComparison.OrdinalIgnoreCase);

    private static Refusal Bad(string reason) => new(StatusCodes.Status400BadRequest, reason);
}
