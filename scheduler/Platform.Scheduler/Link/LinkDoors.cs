using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Platform.Scheduler.Link;

/// <summary>The doors of the link: a unix socket for this machine's own node, and, where it is asked for, a port for the others.</summary>
internal static class LinkDoors
{
    /// <summary>A node's whole state, and what it is to run, go in one message each.</summary>
    public const int MessageBytesMax = 64 << 20;

    private const string GrpcPath = "/platform.link.v1.";

    /// <summary>What somebody without a certificate may send.</summary>
    private const int StrangerBytesMax = 64 << 10;

    /// <summary>A peer that has vanished without a word is noticed after about the sum of these.</summary>
    private static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(5);

    public static void Open(KestrelServerOptions kestrel, SchedulerHostOptions options, CertificateAuthority? authority, TimeProvider time)
    {
        kestrel.Limits.Http2.KeepAlivePingDelay = KeepAlive;
        kestrel.Limits.Http2.KeepAlivePingTimeout = KeepAlive;
        File.Delete(options.LinkSocket);
        kestrel.ListenUnixSocket(options.LinkSocket, link =>
        {
            link.Protocols = HttpProtocols.Http2;
            Mark(link, LinkDoorKind.Local, null, time);
        });
        if (options.Link is not { } door) return;
        kestrel.Listen(door.EndPoint, link =>
        {
            link.Protocols = HttpProtocols.Http2;
            if (!door.Plain)
                link.UseHttps(https =>
                {
                    https.ServerCertificateSelector = (_, _) => authority!.SchedulerCertificate();
                    https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                    // Whom it names, and whether that is still a node, is asked at each call, where the refusal can be put into words.
                    https.ClientCertificateValidation = static (_, _, _) => true;
                    https.HandshakeTimeout = TimeSpan.FromSeconds(10);
                });
            Mark(link, door.Plain ? LinkDoorKind.Plain : LinkDoorKind.Tls, authority, time);
        });
    }

    /// <summary>Nothing but the link is served at its doors: the REST door has one of its own, with rules of its own.</summary>
    public static void KeepToTheLink(WebApplication web) => web.Use(next => http =>
    {
        if (http.Features.Get<LinkConnection>() is not { } connection) return next(http);
        if (!http.Request.Path.Value!.StartsWith(GrpcPath, StringComparison.Ordinal))
        {
            http.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        }
        if (connection.PeerOf(http) is LinkPeer.Stranger && http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } body) body.MaxRequestBodySize = StrangerBytesMax;
        return next(http);
    });

    private static void Mark(ListenOptions link, LinkDoorKind kind, CertificateAuthority? authority, TimeProvider time) => link.Use(next => connection =>
    {
        connection.Features.Set(new LinkConnection(kind, authority, time));
        return next(connection);
    });
}
