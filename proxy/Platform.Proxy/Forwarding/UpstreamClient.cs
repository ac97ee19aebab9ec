using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Proxy.Transport;
using Yarp.ReverseProxy.Forwarder;

namespace Platform.Proxy.Forwarding;

/// <summary>YARP's forwarder and the connections to tasks that it uses: one pool for all apps, keyed by address and port.</summary>
internal sealed class UpstreamClient : IDisposable
{
    private readonly HttpMessageInvoker _pooled;
    private readonly HttpMessageInvoker _fresh;
    private readonly IHttpForwarder _forwarder;
    private readonly ForwarderRequestConfig _plain;
    private readonly ForwarderRequestConfig _stream;
    private readonly ForwarderRequestConfig _grpc;

    public UpstreamClient(EdgeProxyOptions options)
    {
        _pooled = Invoker(options, Timeout.InfiniteTimeSpan);
        _fresh = Invoker(options, TimeSpan.Zero);
        // Its logger writes lines for every request; we count instead.
        var services = new ServiceCollection().AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance)
            .AddSingleton(typeof(ILogger<>), typeof(NullLogger<>)).AddHttpForwarder();
        _forwarder = services.BuildServiceProvider().GetRequiredService<IHttpForwarder>();
        _plain = new ForwarderRequestConfig { ActivityTimeout = options.IdleTimeout, Version = HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        _stream = _plain with { ActivityTimeout = options.StreamIdleTimeout };
        _grpc = _stream with { Version = HttpVersion.Version20 };
    }

    /// <param name="fresh">Uses a connection that no request has used before: a retry must not meet the next stale one of the pool.</param>
    public ValueTask<ForwarderError> SendAsync(HttpContext context, string prefix, bool fresh) =>
        _forwarder.SendAsync(context, prefix, fresh ? _fresh : _pooled, Config(context.Request), EdgeTransformer.Instance);

    public void Dispose()
    {
        _pooled.Dispose();
        _fresh.Dispose();
    }

    private ForwarderRequestConfig Config(HttpRequest request)
    {
        if (HttpProtocol.IsHttp2(request.Protocol) && request.ContentType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) == true) return _grpc;
        if (request.Headers.Upgrade.Count > 0 || HttpMethods.IsConnect(request.Method)) return _stream;
        foreach (var accept in request.Headers.Accept)
            if (accept?.Contains("text/event-stream", StringComparison.OrdinalIgnoreCase) == true) return _stream;
        return _plain;
    }

    [SuppressMessage("Reliability", "CA2000", Justification = "The invoker disposes its handler.")]
    private static HttpMessageInvoker Invoker(EdgeProxyOptions options, TimeSpan connectionLifetime) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ActivityHeadersPropagator = null,
        EnableMultipleHttp2Connections = true,
        PooledConnectionIdleTimeout = options.PooledConnectionIdleTimeout,
        PooledConnectionLifetime = connectionLifetime,
        // Header bytes pass as they are, whatever they mean to the two sides.
        RequestHeaderEncodingSelector = static (_, _) => Encoding.Latin1,
        ResponseHeaderEncodingSelector = static (_, _) => Encoding.Latin1,
        ConnectTimeout = Timeout.InfiniteTimeSpan, // the dialer has its own, which ends in an exception that says so
        ConnectCallback = async (target, stopping) =>
        {
            var socket = await Dialer.ConnectAsync(target.DnsEndPoint.Host, target.DnsEndPoint.Port, options.ConnectTimeout, stopping).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        },
    }, disposeHandler: true);
}
