using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Google.Protobuf;
using Platform.Model;
using Platform.Protocol.Trust;
using Wire = Platform.Protocol.Wire;

namespace Platform.Agent.Joining;

/// <summary>
/// By what this node is known to the cluster's schedulers: a key that never leaves its disk, the certificate they gave it, and the authority by which it
/// knows them. Files that only their owner may read.
/// </summary>
public sealed class NodeCredentials : IDisposable
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private readonly string _directory;
    private readonly ECDsa _key;
    private volatile X509Certificate2 _certificate;

    private NodeCredentials(string directory, ECDsa key, X509Certificate2 certificate, X509Certificate2 authority)
    {
        (_directory, _key, _certificate, Authority) = (directory, key, certificate, authority);
        Cluster = LinkIdentity.Of(certificate.SubjectName)?.Cluster ?? throw new CryptographicException("the node's certificate names no cluster");
    }

    public X509Certificate2 Authority { get; }

    /// <summary>The id of the cluster that the node belongs to.</summary>
    public string Cluster { get; }

    public X509Certificate2 Certificate => _certificate;
    public DateTimeOffset ExpiresAt => _certificate.NotAfter.ToUniversalTime();

    /// <summary>Half of its life is over: a renewal that fails can be tried for as long again.</summary>
    public DateTimeOffset RenewAt => ExpiresAt - (ExpiresAt - new DateTimeOffset(_certificate.NotBefore.ToUniversalTime())) / 2;

    /// <summary>
    /// What the node has from an earlier life; null if it never joined, or under another name, or too long ago. Another token than the one it joined with
    /// means that it shall join anew: it may have been removed meanwhile.
    /// </summary>
    public static NodeCredentials? Load(string directory, NodeId node, JoinTokenText? token, DateTimeOffset now)
    {
        if (DurableFile.Read(CertificateFile(directory)) is not { } bytes || LoadKey(directory) is not { } key) return null;
        var text = System.Text.Encoding.ASCII.GetString(bytes);
        if (token is not null && !text.StartsWith(TokenLine(token.Token), StringComparison.Ordinal)) return null;
        var credentials = Of(directory, key, text);
        if (LinkIdentity.Of(credentials.Certificate.SubjectName)?.Name == node.Name && credentials.ExpiresAt > now) return credentials;
        credentials.Dispose();
        return null;
    }

    /// <summary>The key comes first and stays: a join whose answer was lost is asked for again with the same.</summary>
    public static ECDsa KeyOf(string directory)
    {
        if (LoadKey(directory) is { } kept) return kept;
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Directory.CreateDirectory(directory);
        WritePrivate(KeyFile(directory), key.ExportPkcs8PrivateKeyPem());
        return key;
    }

    /// <summary>What is asked to be certified: the key, and that the asker has it. Whose it is, the scheduler says.</summary>
    public static byte[] SigningRequest(ECDsa key, NodeId node)
    {
        var name = new X500DistinguishedNameBuilder();
        name.AddCommonName(node.Name);
        return new CertificateRequest(name.Build(), key, HashAlgorithmName.SHA256).CreateSigningRequest();
    }

    public static NodeCredentials Keep(string directory, ECDsa key, string token, Wire.MembershipReply given)
    {
        var text = TokenLine(token) + Chain(given.Certificate, given.Authority);
        var credentials = Of(directory, key, text);
        WritePrivate(CertificateFile(directory), text);
        return credentials;
    }

    public Wire.RenewRequest RenewRequest(NodeId node) => new() { SigningRequest = ByteString.CopyFrom(SigningRequest(_key, node)) };

    public void Renewed(Wire.MembershipReply given)
    {
        using var bare = X509Certificate2.CreateFromPem(given.Certificate);
        var before = System.Text.Encoding.ASCII.GetString(DurableFile.Read(CertificateFile(_directory)) ?? []);
        var tokenLine = before.StartsWith('-') ? "" : before[..(before.IndexOf('\n', StringComparison.Ordinal) + 1)];
        WritePrivate(CertificateFile(_directory), tokenLine + Chain(given.Certificate, Authority.ExportCertificatePem()));
        _certificate = bare.CopyWithPrivateKey(_key); // the link that stands may still use the one before: it is left to the collector
    }

    /// <summary>How to speak to a scheduler: show our certificate, and believe only one of our authority's.</summary>
    public SslClientAuthenticationOptions Tls(TimeProvider time) => new()
    {
        ClientCertificates = [_certificate],
        LocalCertificateSelectionCallback = (_, _, _, _, _) => _certificate,
        RemoteCertificateValidationCallback = (_, certificate, _, _) =>
            certificate is X509Certificate2 shown && LinkCertificates.Verify(shown, Authority, LinkRole.Scheduler, time.GetUtcNow()).Identity?.Cluster == Cluster,
    };

    public void Dispose()
    {
        _certificate.Dispose();
        Authority.Dispose();
        _key.Dispose();
    }

    private static string TokenLine(string token) => $"joined with token {token}\n";
    private static string Chain(string certificate, string authority) => certificate.TrimEnd() + "\n" + authority.TrimEnd() + "\n";
    private static string KeyFile(string directory) => Path.Combine(directory, "link.key");
    private static string CertificateFile(string directory) => Path.Combine(directory, "link.crt");

    private static NodeCredentials Of(string directory, ECDsa key, string certificates)
    {
        var all = new X509Certificate2Collection();
        all.ImportFromPem(certificates);
        if (all.Count != 2) throw new CryptographicException($"{CertificateFile(directory)} does not hold the node's certificate and the authority's");
        using var bare = all[0];
        return new NodeCredentials(directory, key, bare.CopyWithPrivateKey(key), all[1]);
    }

    private static ECDsa? LoadKey(string directory)
    {
        if (DurableFile.Read(KeyFile(directory)) is not { } pem) return null;
        var key = ECDsa.Create();
        key.ImportFromPem(System.Text.Encoding.ASCII.GetString(pem));
        return key;
    }

    private static void WritePrivate(string path, string content)
    {
        var beside = path + ".new";
        File.Delete(beside);
        using (var file = new FileStream(beside, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = OwnerOnly }))
        {
            file.Write(System.Text.Encoding.ASCII.GetBytes(content));
            file.Flush(flushToDisk: true);
        }
        File.Move(beside, path, overwrite: true);
        Posix.SyncDirectory(Path.GetDirectoryName(path)!);
    }
}
