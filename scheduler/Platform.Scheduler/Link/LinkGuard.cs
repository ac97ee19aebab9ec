using System.Security.Cryptography.X509Certificates;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.AspNetCore.Http;
using Platform.Model;
using Platform.Protocol.Trust;

namespace Platform.Scheduler.Link;

/// <summary>Who is at the other end of a connection of the link.</summary>
public abstract record LinkPeer
{
    private LinkPeer() { }

    /// <summary>This machine's own node, on the unix socket that only its user can open.</summary>
    public sealed record Local : LinkPeer;

    /// <summary>Somebody on a link without certificates, which was asked for with <c>--insecure</c>.</summary>
    public sealed record Unknown : LinkPeer;

    /// <summary>Somebody whom nobody vouches for. It may ask for the authority's certificate and show a token, and nothing else.</summary>
    public sealed record Stranger(string Why) : LinkPeer;

    /// <summary>A node, by its certificate; whether it still is one, the cluster's state says.</summary>
    public sealed record Node(NodeId Id, string KeyHash, PublicKey Key, DateTimeOffset NotAfter) : LinkPeer;
}

/// <summary>One connection of the link: by which door it came, and who is there.</summary>
internal sealed class LinkConnection(LinkDoorKind door, CertificateAuthority? authority, TimeProvider time)
{
    private LinkPeer? _peer;

    public LinkPeer PeerOf(HttpContext http)
    {
        if (_peer is LinkPeer.Node known && known.NotAfter <= time.GetUtcNow()) return new LinkPeer.Stranger($"its certificate expired at {known.NotAfter:yyyy-MM-ddTHH:mm:ssZ}");
        return _peer ??= door switch
        {
            LinkDoorKind.Local => new LinkPeer.Local(),
            LinkDoorKind.Plain => new LinkPeer.Unknown(),
            LinkDoorKind.Tls => Verified(http.Connection.ClientCertificate),
            _ => throw new System.Diagnostics.UnreachableException($"{door}"),
        };
    }

    private LinkPeer Verified(X509Certificate2? certificate)
    {
        if (certificate is null) return new LinkPeer.Stranger("it shows no certificate");
        var (identity, why) = LinkCertificates.Verify(certificate, authority!.Certificate, LinkRole.Node, time.GetUtcNow());
        if (identity is null) return new LinkPeer.Stranger(why!);
        if (identity.Cluster != authority.Cluster || !NodeId.TryParse(identity.Name, out var node, out _)) return new LinkPeer.Stranger("its certificate names no node of this cluster");
        return new LinkPeer.Node(node, LinkCertificates.KeyHashOf(certificate.PublicKey), certificate.PublicKey, certificate.NotAfter.ToUniversalTime());
    }
}

internal enum LinkDoorKind { Local, Plain, Tls }

/// <summary>Stands before every call of the link, those of today and those to come: strangers may join, and members go on.</summary>
internal sealed class LinkGuard(SchedulerLoop loop) : Interceptor
{
    /// <summary>What may be asked without a certificate.</summary>
    private static readonly HashSet<string> s_forStrangers = ["GetAuthority", "Join"];

    public static LinkPeer PeerOf(ServerCallContext context) => context.GetHttpContext() is var http && http.Features.Get<LinkConnection>() is { } connection
        ? connection.PeerOf(http)
        : new LinkPeer.Stranger("it did not come by a door of the link");

    public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        Admit(context);
        return continuation(request, context);
    }

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        Admit(context);
        return continuation(requestStream, responseStream, context);
    }

    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        Admit(context);
        return continuation(request, responseStream, context);
    }

    public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, ServerCallContext context, ClientStreamingServerMethod<TRequest, TResponse> continuation)
    {
        Admit(context);
        return continuation(requestStream, context);
    }

    private void Admit(ServerCallContext context)
    {
        switch (PeerOf(context))
        {
            case LinkPeer.Stranger stranger when !s_forStrangers.Contains(context.Method[(context.Method.LastIndexOf('/') + 1)..]):
                throw new RpcException(new Status(StatusCode.Unauthenticated, $"The scheduler takes nodes with a valid certificate only: {stranger.Why}. Join with a token"));
            case LinkPeer.Node node when !loop.Current.State.Admissions.TryGetValue(node.Id, out var admission) || admission.KeyHash != node.KeyHash:
                throw new RpcException(new Status(StatusCode.Unauthenticated, $"Node {node.Id} was removed, or has joined anew with another key. Join with a token"));
        }
    }
}
