using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Platform.Protocol.Trust;

public enum LinkRole { Node, Scheduler }

/// <summary>Whom a certificate of the link names.</summary>
/// <param name="Cluster">The cluster's id.</param>
/// <param name="Name">A node's name; of a scheduler, nothing depends on it.</param>
public sealed record LinkIdentity(string Cluster, LinkRole Role, string Name)
{
    private const string CommonName = "2.5.4.3";
    private const string Organization = "2.5.4.10";
    private const string Unit = "2.5.4.11";

    public X500DistinguishedName Subject
    {
        get
        {
            var builder = new X500DistinguishedNameBuilder();
            builder.AddOrganizationName(Cluster);
            builder.AddOrganizationalUnitName(UnitOf(Role));
            builder.AddCommonName(Name);
            return builder.Build();
        }
    }

    /// <summary>Null for a subject that is none of ours.</summary>
    public static LinkIdentity? Of(X500DistinguishedName subject)
    {
        var parts = subject.EnumerateRelativeDistinguishedNames().Where(x => !x.HasMultipleElements)
            .GroupBy(x => x.GetSingleElementType().Value ?? "").ToDictionary(x => x.Key, x => x.First().GetSingleElementValue());
        if (parts.GetValueOrDefault(Organization) is not { } cluster || parts.GetValueOrDefault(CommonName) is not { } name) return null;
        return parts.GetValueOrDefault(Unit) switch
        {
            "node" => new LinkIdentity(cluster, LinkRole.Node, name),
            "scheduler" => new LinkIdentity(cluster, LinkRole.Scheduler, name),
            _ => null,
        };
    }

    private static string UnitOf(LinkRole role) => role == LinkRole.Node ? "node" : "scheduler";
}

/// <summary>How both ends of the link tell whom they talk to: by certificates of the cluster's own authority, and by nothing else.</summary>
public static class LinkCertificates
{
    /// <summary>Clocks may differ by this much.</summary>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(5);

    private static readonly Oid s_serverUse = new("1.3.6.1.5.5.7.3.1");
    private static readonly Oid s_clientUse = new("1.3.6.1.5.5.7.3.2");

    public static Oid UseOf(LinkRole role) => role == LinkRole.Scheduler ? s_serverUse : s_clientUse;

    public static string FingerprintOf(X509Certificate2 authority) => Convert.ToHexStringLower(SHA256.HashData(authority.RawData));

    public static string KeyHashOf(PublicKey key) => Convert.ToHexStringLower(SHA256.HashData(key.ExportSubjectPublicKeyInfo()));

    /// <summary>Whom the certificate names, if the authority vouches for it in that role now; else why not.</summary>
    public static (LinkIdentity? Identity, string? Why) Verify(X509Certificate2 certificate, X509Certificate2 authority, LinkRole role, DateTimeOffset now)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(authority);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.VerificationTime = now.UtcDateTime;
        chain.ChainPolicy.ApplicationPolicy.Add(UseOf(role));
        if (!chain.Build(certificate))
            return (null, now >= certificate.NotAfter
                ? $"the certificate expired at {certificate.NotAfter.ToUniversalTime():yyyy-MM-ddTHH:mm:ssZ}"
                : $"the certificate is not of this cluster's authority: {string.Join(", ", chain.ChainStatus.Select(s => s.Status))}");
        return LinkIdentity.Of(certificate.SubjectName) is { } identity && identity.Role == role ? (identity, null) : (null, $"the certificate is not a {role.ToString().ToLowerInvariant()}'s");
    }
}
