using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Platform.Proxy.Routing;
using Platform.Proxy.Transport;
using Yarp.ReverseProxy.Forwarder;

namespace Platform.Proxy.Forwarding;

/// <summary>Every HTTP request of the edge, from its headers to its last byte. Kestrel calls it directly: there is no middleware between.</summary>
internal sealed partial class EdgeApplication(LiveRoutes routes, UpstreamClient client, ILogger logger) : IHttpApplication<DefaultHttpContext>
{
    /// <summary>How many endpoints one request tries when connections fail, which costs the tasks nothing.</summary>
    private const int ConnectAttemptsMax = 3;

    /// <summary>How many attempts one request gets once it may have reached a task.</summary>
    private const int SendAttemptsMax = 2;

    private static readonly TimeSpan SuspectFor = TimeSpan.FromSeconds(1);

    public DefaultHttpContext CreateContext(IFeatureCollection contextFeatures)
    {
        if (contextFeatures is not IHostContextContainer<DefaultHttpContext> container) return new DefaultHttpContext(contextFeatures);
        if (container.HostContext is not { } context) return container.HostContext = new DefaultHttpContext(contextFeatures);
        context.Initialize(contextFeatures);
        return context;
    }

    public void DisposeContext(DefaultHttpContext context, Exception? exception)
    {
        if (exception is not null) Unexpected(logger, exception);
        context.Uninitialize();
    }

    public Task ProcessRequestAsync(DefaultHttpContext context)
    {
        if (RequestRules.Check(context) is { } refusal)
        {
            context.Response.Headers.Connection = "close"; // whatever follows on this connection is not trusted
            return AnswerAsync(context, refusal.Status, refusal.Reason);
        }
        return ForwardAsync(context);
    }

    private async Task ForwardAsync(HttpContext context)
    {
        Upstream? failed = null;
        for (var attempt = 1; ; attempt++)
        {
            var (route, target) = routes.Enter(context.Connection.LocalPort, context.Request.Headers.Host, failed);
            if (route is null || target is null || Denied(route, context) is not null)
            {
                if (target is not null) routes.Exit(target);
                await AnswerUnroutedAsync(context, route).ConfigureAwait(false);
                return;
            }
            if (attempt == 1) route.Tally.Requested();
            ForwarderError error;
            try
            {
                error = await client.SendAsync(context, target.Prefix, fresh: attempt > 1).ConfigureAwait(false);
            }
            finally
            {
                routes.Exit(target);
            }
            if (error == ForwarderError.None)
            {
                if (context.Response.StatusCode >= StatusCodes.Status500InternalServerError) route.Tally.ServerFailed();
                return;
            }

            var exception = context.Features.Get<IForwarderErrorFeature>()?.Exception;
            var failure = FailureOf(error, exception);
            if (failure is not Failure.Client) target.Upstream.Failed();
            if (error == ForwarderError.Request) target.Upstream.SuspectUntil(Environment.TickCount64 + (long)SuspectFor.TotalMilliseconds);
            if (MayRetry(context, error, failure, attempt))
            {
                route.Tally.Retried();
                failed = target.Upstream;
                context.Response.StatusCode = StatusCodes.Status200OK; // YARP takes any other one for an answer that is already given
                continue;
            }
            route.Tally.Failed(failure);
            await AnswerFailedAsync(context, route, failure, exception).ConfigureAwait(false);
            return;
        }
    }

    /// <summary>Only what has had no effect, or whose effect is the same twice, and of which the client has seen nothing.</summary>
    private static bool MayRetry(HttpContext context, ForwarderError error, Failure failure, int attempt)
    {
        if (context.Response.HasStarted || context.RequestAborted.IsCancellationRequested) return false;
        if (failure is Failure.Connect) return attempt < ConnectAttemptsMax;
        return error == ForwarderError.Request && attempt < SendAttemptsMax && RequestRules.IsIdempotent(context.Request.Method)
            && context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: false };
    }

    private static Failure FailureOf(ForwarderError error, Exception? exception) => error switch
    {
        ForwarderError.Request when IsConnectFailure(exception) => Failure.Connect,
        ForwarderError.UpgradeResponseClient when exception is InvalidOperationException => Failure.Broken, // the task upgraded what was no upgrade
        ForwarderError.RequestTimedOut or ForwarderError.UpgradeActivityTimeout => Failure.Timeout,
        ForwarderError.RequestCanceled or ForwarderError.RequestBodyCanceled or ForwarderError.RequestBodyClient or ForwarderError.ResponseBodyClient
            or ForwarderError.ResponseBodyCanceled or ForwarderError.UpgradeRequestCanceled or ForwarderError.UpgradeRequestClient
            or ForwarderError.UpgradeResponseCanceled or ForwarderError.UpgradeResponseClient => Failure.Client,
        _ => Failure.Broken,
    };

    private static bool IsConnectFailure(Exception? exception)
    {
        for (; exception is not null; exception = exception.InnerException)
            if (exception is ConnectFailedException) return true;
        return false;
    }

    private static string? Denied(PortRoute route, HttpContext context) => Access.Refusal(route.Spec, context.Connection.RemoteIpAddress);

    private static Task AnswerUnroutedAsync(HttpContext context, PortRoute? route)
    {
        if (route is null)
            return AnswerAsync(context, StatusCodes.Status404NotFound, $"no app is known by the name '{Printable(context.Request.Headers.Host.ToString())}'");
        route.Tally.Requested();
        if (Denied(route, context) is { } reason)
        {
            route.Tally.Failed(Failure.Refused);
            var status = route.Spec.ClosedBecause is null ? StatusCodes.Status403Forbidden : StatusCodes.Status503ServiceUnavailable;
            return AnswerAsync(context, status, $"{route.Spec.App}: {reason}");
        }
        route.Tally.Failed(Failure.NoEndpoint);
        context.Response.Headers.RetryAfter = "1";
        return AnswerAsync(context, StatusCodes.Status503ServiceUnavailable, $"{route.Spec.App} has no ready task");
    }

    private static Task AnswerFailedAsync(HttpContext context, PortRoute route, Failure failure, Exception? exception)
    {
        if (context.Response.HasStarted || context.RequestAborted.IsCancellationRequested) return Task.CompletedTask;
        var status = context.Response.StatusCode;
        context.Response.Clear();
        return failure switch
        {
            Failure.Connect => AnswerAsync(context, StatusCodes.Status502BadGateway,
                $"a task of {route.Spec.App} could not be reached: {ConnectReason(exception)}"),
            Failure.Timeout => AnswerAsync(context, StatusCodes.Status504GatewayTimeout, $"a task of {route.Spec.App} did not answer in time"),
            Failure.Client => AnswerAsync(context, status is >= 400 and < 500 ? status : StatusCodes.Status400BadRequest,
                "the request's body could not be read"),
            _ => AnswerAsync(context, StatusCodes.Status502BadGateway, $"a task of {route.Spec.App} broke the exchange off"),
        };
    }

    private static string ConnectReason(Exception? exception)
    {
        for (; exception is not null; exception = exception.InnerException)
            if (exception is ConnectFailedException failed) return failed.Message;
        return "no connection";
    }

    private static async Task AnswerAsync(HttpContext context, int status, string reason)
    {
        var body = Encoding.UTF8.GetBytes(reason + "\n");
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        context.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.Body.WriteAsync(body).ConfigureAwait(false);
    }

    private static string Printable(string host) => new([.. host.Take(253).Select(c => c is > ' ' and < '\x7f' ? c : '?')]);

    [LoggerMessage(5010, LogLevel.Error, "A request ended in an unexpected error")]
    private static partial void Unexpected(ILogger logger, Exception exception);
}

/// <summary>Who may use a route.</summary>
internal static class Access
{
    /// <summary>Why nobody, or not this client, may use it; null if it may.</summary>
    public static string? Refusal(PortSpec spec, IPAddress? client) =>
        spec.ClosedBecause ?? (Allows(spec, client) ? null : "not allowed from this address");

    public static bool Allows(PortSpec spec, IPAddress? client)
    {
        if (spec.AllowedSources.IsEmpty) return true;
        if (client is null) return false;
        var plain = client.IsIPv4MappedToIPv6 ? client.MapToIPv4() : client;
        foreach (var network in spec.AllowedSources)
            if (network.Contains(plain)) return true;
        return false;
    }
}
