using System.Net;
using System.Security.Cryptography.X509Certificates;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Platform.Model;
using Platform.Protocol.Trust;
using Platform.Scheduling;
using Wire = Platform.Protocol.Wire;

namespace Platform.Scheduler.Link;

/// <summary>How machines become nodes, and stay so: certificates against tokens, and new certificates against old ones.</summary>
public sealed partial class AgentGateway
{
    /// <summary>Null where the link is open to nobody but this machine's own node, or has no certificates.</summary>
    public CertificateAuthority? Authority { get; init; }

    /// <summary>Where the REST door is, once that is known; empty = it is not told.</summary>
    public Task<IPEndPoint?> Api { get; init; } = Task.FromResult<IPEndPoint?>(null);

    public override Task<Wire.AuthorityReply> GetAuthority(Wire.AuthorityRequest request, ServerCallContext context)
    {
        var authority = Issuer();
        return Task.FromResult(new Wire.AuthorityReply { Certificate = authority.Pem, ClusterId = authority.Cluster });
    }

    public override async Task<Wire.MembershipReply> Join(Wire.JoinRequest request, ServerCallContext context)
    {
        var authority = Issuer();
        if (!NodeId.TryParse(request.Node, out var node, out var why)) throw Refused(why);
        var key = KeyOf(request.SigningRequest.Span);
        var token = new JoinTokenText(authority.Fingerprint, request.Token, request.Secret);
        var command = new Command.AdmitNode(node, LinkCertificates.KeyHashOf(key), token.Token, token.Hash) { Origin = ChangeOrigin.Internal };
        switch (await AskAsync(command, context.CancellationToken).ConfigureAwait(false))
        {
            case Decision.Refused refused:
                JoinRefused(node, context.Peer, refused.Rejection.Message);
                throw Refused(refused.Rejection.Message);
            default:
                Joined(node, context.Peer, token.Token);
                return Membership(authority, node, key);
        }
    }

    /// <summary>For the same key: a node that was removed has lost its way in with it.</summary>
    public override Task<Wire.MembershipReply> Renew(Wire.RenewRequest request, ServerCallContext context)
    {
        if (LinkGuard.PeerOf(context) is not LinkPeer.Node peer) throw new RpcException(new Status(StatusCode.FailedPrecondition, "Only a node with a certificate can renew it"));
        var key = KeyOf(request.SigningRequest.Span);
        if (LinkCertificates.KeyHashOf(key) != peer.KeyHash) throw Refused("a certificate is renewed for the key that it was issued for");
        return Task.FromResult(Membership(Issuer(), peer.Id, key));
    }

    private async Task<Decision> AskAsync(Command command, CancellationToken stopping)
    {
        try
        {
            return await _loop.AskAsync(command, stopping).ConfigureAwait(false);
        }
        catch (SchedulerUnavailableException e)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, e.Message));
        }
    }

    private CertificateAuthority Issuer() => Authority ?? throw new RpcException(new Status(StatusCode.FailedPrecondition, "This link has no certificates, and takes no tokens"));

    private static PublicKey KeyOf(ReadOnlySpan<byte> signingRequest) => CertificateAuthority.KeyOf(signingRequest) ?? throw Refused("the signing request cannot be read");

    private static RpcException Refused(string why) => new(new Status(StatusCode.PermissionDenied, why));

    private static Wire.MembershipReply Membership(CertificateAuthority authority, NodeId node, PublicKey key) =>
        new() { Certificate = authority.IssueFor(node, key), Authority = authority.Pem, ClusterId = authority.Cluster };

    /// <summary>Whether this peer may speak for the node it names, from where it says it is.</summary>
    private void Check(NodeDescription node, ServerCallContext context)
    {
        var peer = LinkGuard.PeerOf(context);
        if (peer is LinkPeer.Node member && member.Id != node.Id)
            throw new RpcException(new Status(StatusCode.PermissionDenied, $"The certificate is that of node {member.Id}, and not of {node.Id}"));
        if (peer is LinkPeer.Local or LinkPeer.Stranger) return;
        if (!IPAddress.TryParse(node.Address, out var address))
            throw new RpcException(new Status(StatusCode.FailedPrecondition, $"--node-address: '{node.Address}' is no IP address"));
        if (IPAddress.IsLoopback(address) && context.GetHttpContext().Connection.RemoteIpAddress is { } from && !IPAddress.IsLoopback(from))
            throw new RpcException(new Status(StatusCode.FailedPrecondition,
                $"Node {node.Id} says that it is reached at {address}, where other machines reach only themselves: give it --node-address (it comes from {from})"));
        foreach (var other in _loop.Current.State.Nodes.Values)
            if (other.Description.Id != node.Id && other.LostAt is null && other.Description.Address == node.Address
                && other.Description.TaskPortMin <= node.TaskPortMax && node.TaskPortMin <= other.Description.TaskPortMax)
                SameAddress(node.Id, other.Description.Id, node.Address);
    }

    /// <summary>The REST door as the peer would reach it; empty where it cannot.</summary>
    private async Task<string> ApiForAsync(ServerCallContext context)
    {
        if (await Api.WaitAsync(context.CancellationToken).ConfigureAwait(false) is not { } api) return "";
        var connection = context.GetHttpContext().Connection;
        if (connection.LocalIpAddress is not { } here) return api.ToString(); // its own machine's node
        if (here.IsIPv4MappedToIPv6) here = here.MapToIPv4();
        var anywhere = api.Address.Equals(IPAddress.Any) || api.Address.Equals(IPAddress.IPv6Any);
        if (anywhere) return new IPEndPoint(here, api.Port).ToString();
        return IPAddress.IsLoopback(api.Address) && !IPAddress.IsLoopback(here) ? "" : api.ToString();
    }

    [LoggerMessage(3103, LogLevel.Information, "Node {Node} at {Peer} joined with token {Token}")]
    private partial void Joined(NodeId node, string peer, string token);

    [LoggerMessage(3104, LogLevel.Warning, "Node {Node} at {Peer} may not join: {Why}")]
    private partial void JoinRefused(NodeId node, string peer, string why);

    [LoggerMessage(3105, LogLevel.Warning, "Nodes {Node} and {Other} both say that they are reached at {Address}, with the same task ports: give each its own --node-address, or --task-ports")]
    private partial void SameAddress(NodeId node, NodeId other, string address);
}
