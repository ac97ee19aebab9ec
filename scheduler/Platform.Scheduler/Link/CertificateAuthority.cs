using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Platform.Model;
using Platform.Protocol.Trust;
using Platform.Scheduler.Secrets;
using Platform.Scheduling;

namespace Platform.Scheduler.Link;

/// <summary>
/// Issues the certificates of the link: to itself as a scheduler, and to nodes that were admitted. Its own is in the cluster log, with its key sealed like
/// a secret, so that whoever leads next issues on.
/// </summary>
public sealed class CertificateAuthority : IDisposable
{
    public static readonly TimeSpan NodeLifetimeDefault = TimeSpan.FromDays(7);

    /// <summary>What the key is sealed as; no secret can have this path.</summary>
    private const string KeyPath = "//link-authority";

    private static readonly TimeSpan OwnLifetime = TimeSpan.FromDays(3650);
    private static readonly TimeSpan SchedulerLifetime = TimeSpan.FromDays(7);

    private readonly string _cluster;
    private readonly X509Certificate2 _issuer;
    private readonly TimeSpan _nodeLifetime;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly ECDsa _schedulerKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private X509Certificate2? _scheduler;

    private CertificateAuthority(string cluster, X509Certificate2 issuer, TimeSpan nodeLifetime, TimeProvider time)
    {
        (_cluster, _issuer, _nodeLifetime, _time) = (cluster, issuer, nodeLifetime, time);
        Certificate = X509CertificateLoader.LoadCertificate(issuer.RawData);
    }

    /// <summary>Without its key.</summary>
    public X509Certificate2 Certificate { get; }

    public string Pem => Certificate.ExportCertificatePem();
    public string Fingerprint => LinkCertificates.FingerprintOf(Certificate);
    public string Cluster => _cluster;

    /// <summary>A new one, as the event that founds it.</summary>
    public static SchedulerEvent.AuthorityFounded Found(string cluster, SecretVault vault, DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var name = new X500DistinguishedNameBuilder();
        name.AddOrganizationName(cluster);
        name.AddCommonName("platform link authority");
        var request = new CertificateRequest(name.Build(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        using var certificate = request.CreateSelfSigned(now - LinkCertificates.ClockSkew, now + OwnLifetime);
        return new SchedulerEvent.AuthorityFounded(certificate.ExportCertificatePem(), vault.Seal(KeyPath, key.ExportPkcs8PrivateKeyPem())) { At = now };
    }

    public static CertificateAuthority Open(ClusterState state, SecretVault vault, TimeSpan nodeLifetime, TimeProvider time)
    {
        var founded = state.Authority ?? throw new InvalidOperationException("the cluster has no authority");
        using var key = ECDsa.Create();
        key.ImportFromPem(vault.Unseal(KeyPath, founded.Key));
        using var certificate = X509Certificate2.CreateFromPem(founded.Certificate);
        return new CertificateAuthority(state.ClusterId, certificate.CopyWithPrivateKey(key), nodeLifetime, time);
    }

    /// <summary>The scheduler's own, made anew when half of its life is over.</summary>
    public X509Certificate2 SchedulerCertificate()
    {
        lock (_lock)
        {
            var now = _time.GetUtcNow();
            if (_scheduler is { } current && current.NotAfter - now.UtcDateTime.ToLocalTime() > SchedulerLifetime / 2) return current;
            using var bare = Issue(new LinkIdentity(_cluster, LinkRole.Scheduler, "scheduler"), new PublicKey(_schedulerKey), SchedulerLifetime, now);
            return _scheduler = bare.CopyWithPrivateKey(_schedulerKey); // connections may still use the one before: it is left to the collector
        }
    }

    /// <summary>The requester's key, if the request is well-formed and signed by it; a request is all that is taken from a stranger.</summary>
    public static PublicKey? KeyOf(ReadOnlySpan<byte> signingRequest)
    {
        try
        {
            return CertificateRequest.LoadSigningRequest(signingRequest, HashAlgorithmName.SHA256, out var consumed).PublicKey is var key && consumed == signingRequest.Length ? key : null;
        }
        catch (CryptographicException)
        {
            return null;
        }
    }

    /// <summary>In PEM.</summary>
    public string IssueFor(NodeId node, PublicKey key)
    {
        using var certificate = Issue(new LinkIdentity(_cluster, LinkRole.Node, node.Name), key, _nodeLifetime, _time.GetUtcNow());
        return certificate.ExportCertificatePem();
    }

    public void Dispose()
    {
        _issuer.Dispose();
        Certificate.Dispose();
        _schedulerKey.Dispose();
    }

    private X509Certificate2 Issue(LinkIdentity identity, PublicKey key, TimeSpan lifetime, DateTimeOffset now)
    {
        var request = new CertificateRequest(identity.Subject, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([LinkCertificates.UseOf(identity.Role)], true));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_issuer, true, false));
        // Back-dated for clocks that are late, but by no more than is left of a short life: half of it is when a node renews.
        var skew = lifetime / 10 < LinkCertificates.ClockSkew ? lifetime / 10 : LinkCertificates.ClockSkew;
        return request.Create(_issuer, now - skew, now + lifetime, RandomNumberGenerator.GetBytes(16));
    }
}
