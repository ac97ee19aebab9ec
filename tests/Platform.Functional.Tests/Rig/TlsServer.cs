using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

/// <summary>An HTTPS server for a container: this machine's openssl, mounted, with a certificate that only it has signed.</summary>
internal sealed class TlsServer : IDisposable
{
    private readonly string _keys = Directory.CreateTempSubdirectory("platform-ft-keys-").FullName;

    public TlsServer()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=nobody.knows", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(Path.Combine(_keys, "cert.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(Path.Combine(_keys, "key.pem"), key.ExportPkcs8PrivateKeyPem());
    }

    /// <summary>The app answers every path with 200 over TLS.</summary>
    public JsonObject Answer(JsonObject app)
    {
        app["cmd"] = $"exec /usr/bin/openssl s_server -accept {Apps.ContainerPort} -key /keys/key.pem -cert /keys/cert.pem -www";
        app["container"]!["volumes"] = new JsonArray(
        [
            .. new[] { ("/usr", "/usr"), ("/lib", "/usr/lib"), ("/lib64", "/usr/lib64"), ("/etc/ssl", "/etc/ssl"), ("/keys", _keys) }
                .Where(x => Directory.Exists(x.Item2))
                .Select(x => (JsonNode)new JsonObject { ["containerPath"] = x.Item1, ["hostPath"] = x.Item2, ["mode"] = "RO" }),
        ]);
        return app;
    }

    public void Dispose() => Directory.Delete(_keys, recursive: true);
}
