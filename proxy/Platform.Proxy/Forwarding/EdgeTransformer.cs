using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Platform.Proxy.Transport;
using Yarp.ReverseProxy.Forwarder;

namespace Platform.Proxy.Forwarding;

/// <summary>
/// What changes on the way: the X-Forwarded headers are set, the target stays as the client spelled it, the Host stays. The base class copies
/// the rest and leaves the hop-by-hop fields out.
/// </summary>
internal sealed class EdgeTransformer : HttpTransformer
{
    public static readonly EdgeTransformer Instance = new();

    private static readonly UriCreationOptions AsSpelled = new() { DangerousDisablePathAndQueryCanonicalization = true };

    private EdgeTransformer() { }

    public override async ValueTask TransformRequestAsync(
        HttpContext httpContext, HttpRequestMessage proxyRequest, string destinationPrefix, CancellationToken cancellationToken)
    {
        await base.TransformRequestAsync(httpContext, proxyRequest, destinationPrefix, cancellationToken).ConfigureAwait(false);
        var target = PathOf(httpContext.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget);
        // Normalising would change the meaning of /a%2fb; whatever precedes the path was checked by Kestrel against the Host header.
        proxyRequest.RequestUri = new Uri(destinationPrefix + target, AsSpelled);
        SetForwarded(proxyRequest.Headers, httpContext);
    }

    public override async ValueTask<bool> TransformResponseAsync(
        HttpContext httpContext, HttpResponseMessage? proxyResponse, CancellationToken cancellationToken)
    {
        if (proxyResponse?.StatusCode == HttpStatusCode.SwitchingProtocols) httpContext.Features.Get<FramingGuard>()?.Tunnel();
        var copied = await base.TransformResponseAsync(httpContext, proxyResponse, cancellationToken).ConfigureAwait(false);
        if (copied && proxyResponse is not null && proxyResponse.Headers.NonValidated.TryGetValues("Connection", out var connection))
            DropNamedBy(connection, httpContext.Response.Headers);
        return copied;
    }

    private static void SetForwarded(HttpRequestHeaders headers, HttpContext context)
    {
        var connection = context.Connection;
        if (connection.RemoteIpAddress is { } client) headers.TryAddWithoutValidation("X-Forwarded-For", Text(client));
        headers.TryAddWithoutValidation("X-Forwarded-Proto", context.Request.Scheme);
        if (context.Request.Headers.Host is { Count: > 0 } host) headers.TryAddWithoutValidation("X-Forwarded-Host", host[0]);
        headers.TryAddWithoutValidation("X-Forwarded-Port", connection.LocalPort.ToString(CultureInfo.InvariantCulture));
    }

    private static string Text(IPAddress address) => (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();

    private static string PathOf(string target)
    {
        if (target.StartsWith('/')) return target;
        var authority = target.IndexOf("://", StringComparison.Ordinal) + 3;
        var path = target.AsSpan(authority).IndexOfAny('/', '?');
        if (path < 0) return "/";
        return target[authority + path] == '/' ? target[(authority + path)..] : $"/{target.AsSpan(authority + path)}";
    }

    private static void DropNamedBy(HeaderStringValues connection, IHeaderDictionary headers)
    {
        foreach (var line in connection)
            foreach (var range in line.AsSpan().Split(','))
                if (line.AsSpan()[range].Trim() is { IsEmpty: false } option && !RequestRules.IsConnectionOption(option)) headers.Remove(option.ToString());
    }
}
