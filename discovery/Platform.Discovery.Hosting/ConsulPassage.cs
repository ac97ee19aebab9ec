using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Platform.Discovery.Hosting;

/// <summary>
/// The Consul door of a platform that publishes into somebody else's Consul: every request goes there, as it came, and its answer back.
/// A client's token is its own; ours never goes along.
/// </summary>
public sealed class ConsulPassage : IDisposable
{
    private static readonly HashSet<string> Hops = new(StringComparer.OrdinalIgnoreCase)
    {
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Host", "Content-Length", "Expect",
    };

    private readonly ConsulAddress _address;
    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler
    {
        AllowAutoRedirect = false, UseProxy = false, UseCookies = false, ConnectTimeout = TimeSpan.FromSeconds(5), AutomaticDecompression = DecompressionMethods.None,
        PooledConnectionLifetime = TimeSpan.FromMinutes(5), ActivityHeadersPropagator = null,
    });

    public ConsulPassage(ConsulAddress address) => _address = address;

    public async Task AnswerAsync(HttpContext context)
    {
        using var request = Request(context);
        HttpResponseMessage answer;
        try
        {
            answer = await _http.SendAsync(request, context.RequestAborted).ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            context.Response.StatusCode = 502;
            context.Response.ContentType = "text/plain; charset=utf-8";
            await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes($"Consul at {_address} cannot be reached"), context.RequestAborted).ConfigureAwait(false);
            return;
        }
        using (answer)
        {
            context.Response.StatusCode = (int)answer.StatusCode;
            foreach (var (name, values) in answer.Headers.Concat(answer.Content.Headers))
                if (!Hops.Contains(name)) context.Response.Headers[name] = new StringValues([.. values]);
            context.Response.ContentLength = answer.Content.Headers.ContentLength;
            await answer.Content.CopyToAsync(context.Response.Body, context.RequestAborted).ConfigureAwait(false);
        }
    }

    public void Dispose() => _http.Dispose();

    private HttpRequestMessage Request(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        var path = target[target.IndexOf(KvAnswers.PathOf(target).ToString(), StringComparison.Ordinal)..];
        // The target as it came: %2F in a key must stay what it is.
        var uri = new Uri(_address.Uri.GetLeftPart(UriPartial.Authority) + path, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });
        var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), uri) { Version = HttpVersion.Version11 };
        if (context.Request.ContentLength is not null || context.Request.Headers.TransferEncoding.Count > 0)
        {
            request.Content = new StreamContent(context.Request.Body);
            request.Content.Headers.ContentLength = context.Request.ContentLength;
        }
        foreach (var (name, values) in context.Request.Headers)
            if (!Hops.Contains(name) && !request.Headers.TryAddWithoutValidation(name, values.AsEnumerable())) request.Content?.Headers.TryAddWithoutValidation(name, values.AsEnumerable());
        return request;
    }
}
