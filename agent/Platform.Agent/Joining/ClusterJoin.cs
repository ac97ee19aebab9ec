using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Platform.Model;
using Platform.Protocol.Trust;
using Wire = Platform.Protocol.Wire;

namespace Platform.Agent.Joining;

/// <summary>The cluster does not take this machine: trying again would not help. The sentence says why.</summary>
public sealed class JoinRefusedException(string message) : Exception(message);

/// <summary>
/// How a machine becomes a node: it asks a scheduler for the authority's certificate, believes it if its fingerprint is the token's, and only then
/// shows the token, over a connection that the authority vouches for.
/// </summary>
public sealed partial class ClusterJoin(IReadOnlyList<string> schedulers, JoinTokenText token, NodeId node, string directory, TimeProvider time, ILogger<ClusterJoin> log)
{
    private static readonly TimeSpan AttemptMax = TimeSpan.FromSeconds(15);

    /// <summary>Tries the schedulers in turn, with backoff, until one answers; its refusal is a <see cref="JoinRefusedException"/>.</summary>
    public async Task<NodeCredentials> JoinAsync(CancellationToken stopping)
    {
        var backoff = new Backoff(time);
        for (var turn = 0; ; turn++)
        {
            stopping.ThrowIfCancellationRequested();
            var address = schedulers[turn % schedulers.Count];
            try
            {
                return await JoinAsync(address, stopping).ConfigureAwait(false);
            }
            catch (RpcException e) when (e.StatusCode is StatusCode.PermissionDenied or StatusCode.FailedPrecondition)
            {
                throw new JoinRefusedException($"The scheduler at {address} does not take this machine: {e.Status.Detail}");
            }
            catch (Exception e) when (!stopping.IsCancellationRequested && e is RpcException or IOException or HttpRequestException or SocketException or OperationCanceledException)
            {
                NoAnswer(address, e is RpcException rpc ? rpc.Status.Detail : e.Message);
            }
            await backoff.WaitAsync(stopping).ConfigureAwait(false);
        }
    }

    private async Task<NodeCredentials> JoinAsync(string address, CancellationToken stopping)
    {
        using var authority = await AuthorityAsync(address, stopping).ConfigureAwait(false);
        using var channel = SchedulerLink.ChannelTo(address, new SslClientAuthenticationOptions
        {
            RemoteCertificateValidationCallback = (_, certificate, _, _) =>
                certificate is X509Certificate2 shown && LinkCertificates.Verify(shown, authority, LinkRole.Scheduler, time.GetUtcNow()).Identity is not null,
        });
        var key = NodeCredentials.KeyOf(directory);
        var request = new Wire.JoinRequest
        {
            Node = node.Name, Token = token.Token, Secret = token.Secret, SigningRequest = ByteString.CopyFrom(NodeCredentials.SigningRequest(key, node)),
        };
        using var call = new Wire.SchedulerLink.SchedulerLinkClient(channel).JoinAsync(request, deadline: Deadline(), cancellationToken: stopping);
        return NodeCredentials.Keep(directory, key, token.Token, await call.ConfigureAwait(false));
    }

    /// <summary>Asked of whoever calls itself a scheduler; nothing is told to it, and what it says is believed only by its fingerprint.</summary>
    private async Task<X509Certificate2> AuthorityAsync(string address, CancellationToken stopping)
    {
        using var channel = SchedulerLink.ChannelTo(address, new SslClientAuthenticationOptions
        {
            RemoteCertificateValidationCallback = static (_, certificate, _, _) => certificate is X509Certificate2 shown && LinkIdentity.Of(shown.SubjectName)?.Role == LinkRole.Scheduler,
        });
        using var call = new Wire.SchedulerLink.SchedulerLinkClient(channel).GetAuthorityAsync(new Wire.AuthorityRequest(), deadline: Deadline(), cancellationToken: stopping);
        var reply = await call.ConfigureAwait(false);
        X509Certificate2 shown;
        try
        {
            shown = X509Certificate2.CreateFromPem(reply.Certificate);
        }
        catch (CryptographicException e)
        {
            throw new JoinRefusedException($"What answers at {address} shows no certificate that can be read: {e.Message}");
        }
        var fingerprint = LinkCertificates.FingerprintOf(shown);
        if (fingerprint == token.Authority) return shown;
        shown.Dispose();
        throw new JoinRefusedException(
            $"What answers at {address} is not the cluster that the token is from: its authority is {fingerprint[..16]}…, the token's {token.Authority[..16]}…. The token was not shown to it");
    }

    private DateTime Deadline() => time.GetUtcNow().UtcDateTime + AttemptMax;

    [LoggerMessage(4311, LogLevel.Warning, "The scheduler at {Address} cannot be joined yet: {Why}. Trying again")]
    private partial void NoAnswer(string address, string why);
}
