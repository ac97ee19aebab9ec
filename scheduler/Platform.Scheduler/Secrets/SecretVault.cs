using System.Security.Cryptography;
using System.Text;
using Platform.Model;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Scheduler.Secrets;

/// <summary>The key of the secrets is missing, or not theirs; the sentence names the file and the flag.</summary>
public sealed class SecretsKeyException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// Seals secrets for the log and reveals them for assignments: AES-256-GCM under a key in a file that only its owner may read. The file is made when the
/// first secret comes. Without it the log's secrets are lost, so a start that finds secrets and not their key is refused.
/// </summary>
public sealed class SecretVault
{
    private const int KeyBytes = 32;
    private static readonly int s_nonceBytes = AesGcm.NonceByteSizes.MaxSize;
    private static readonly int s_tagBytes = AesGcm.TagByteSizes.MaxSize;

    private readonly string _keyFile;
    private readonly Lock _lock = new();
    private byte[]? _key;

    private SecretVault(string keyFile) => _keyFile = keyFile;

    /// <summary>Throws <see cref="SecretsKeyException"/> if the secrets of <paramref name="state"/> could not be opened.</summary>
    public static SecretVault Open(string keyFile, ClusterState state)
    {
        var vault = new SecretVault(keyFile) { _key = ReadKey(keyFile) };
        if (state.Secrets.IsEmpty && state.Authority is null) return vault;
        if (vault._key is not { } key)
            throw new SecretsKeyException($"--secrets-key {keyFile}: there is no such file, but the cluster log holds "
                + (state.Secrets.IsEmpty ? "the key of the link's authority, which" : $"{state.Secrets.Count} secrets that") + " only it can open. Put it back");
        if (state.Secrets.FirstOrDefault(x => x.Value.Secret.KeyId != IdOf(key)) is { Key: { } path })
            throw new SecretsKeyException($"--secrets-key {keyFile}: this is not the key that secret '{path}' was sealed with");
        return vault;
    }

    public SealedSecret Seal(string path, string value)
    {
        var key = Key();
        var plain = Encoding.UTF8.GetBytes(value);
        var box = new byte[s_nonceBytes + s_tagBytes + plain.Length];
        var nonce = box.AsSpan(0, s_nonceBytes);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(key, s_tagBytes);
        aes.Encrypt(nonce, plain, box.AsSpan(s_nonceBytes + s_tagBytes), box.AsSpan(s_nonceBytes, s_tagBytes), Encoding.UTF8.GetBytes(path));
        CryptographicOperations.ZeroMemory(plain);
        return new SealedSecret(IdOf(key), Convert.ToBase64String(box));
    }

    /// <summary>Throws <see cref="SecretsKeyException"/> if the key is not the one it was sealed with.</summary>
    public string Unseal(string path, SealedSecret secret) => TryOpen(path, secret)
        ?? throw new SecretsKeyException($"--secrets-key {_keyFile}: this is not the key that '{path}' of the cluster log was sealed with");

    /// <summary>Everything the app's task is to be given, and what of it cannot be.</summary>
    public RevealedSecrets Reveal(ClusterState state, AppDefinition app)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        var inaccessible = new List<string>();
        var files = app.SecretVolumes.ToList();
        foreach (var name in app.EnvSecrets.Values.Concat(files.Select(x => x.Secret)).Distinct(StringComparer.Ordinal))
        {
            var source = SecretPath.Canonical(app.Secrets.GetValueOrDefault(name) ?? name);
            if (state.Secrets.TryGetValue(source, out var stored) && TryOpen(source, stored.Secret) is { } value) values[name] = value;
            else inaccessible.Add(source);
        }
        if (inaccessible.Count > 0) return new RevealedSecrets(EquatableMap.Empty, EquatableMap.Empty, inaccessible.ToEquatableArray());
        return new RevealedSecrets(
            EquatableMap.From(app.EnvSecrets.Select(x => KeyValuePair.Create(x.Key, values[x.Value]))),
            EquatableMap.From(files.Select(x => KeyValuePair.Create(x.ContainerPath, values[x.Secret]))), default);
    }

    private string? TryOpen(string path, SealedSecret secret)
    {
        if (_key is not { } key || secret.KeyId != IdOf(key)) return null;
        try
        {
            var box = Convert.FromBase64String(secret.Box);
            if (box.Length < s_nonceBytes + s_tagBytes) return null;
            var plain = new byte[box.Length - s_nonceBytes - s_tagBytes];
            using var aes = new AesGcm(key, s_tagBytes);
            aes.Decrypt(box.AsSpan(0, s_nonceBytes), box.AsSpan(s_nonceBytes + s_tagBytes), box.AsSpan(s_nonceBytes, s_tagBytes), plain, Encoding.UTF8.GetBytes(path));
            return Encoding.UTF8.GetString(plain);
        }
        catch (Exception e) when (e is CryptographicException or FormatException)
        {
            return null; // tampered with: the task is told that it is inaccessible
        }
    }

    private byte[] Key()
    {
        lock (_lock)
        {
            if (_key is not null) return _key;
            try
            {
                Directory.CreateDirectory(Path.GetDirectoryName(_keyFile)!);
                var made = RandomNumberGenerator.GetBytes(KeyBytes);
                Durability.TryWriteNew(_keyFile, Encoding.ASCII.GetBytes(Convert.ToHexStringLower(made) + "\n"));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new SecretsKeyException($"--secrets-key {_keyFile} cannot be written: {e.Message}", e);
            }
            return _key = ReadKey(_keyFile) ?? throw new SecretsKeyException($"--secrets-key {_keyFile} is gone again");
        }
    }

    private static byte[]? ReadKey(string keyFile)
    {
        try
        {
            if (!File.Exists(keyFile)) return null;
            const UnixFileMode others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;
            if ((File.GetUnixFileMode(keyFile) & others) != 0)
                throw new SecretsKeyException($"--secrets-key {keyFile}: others may read or write it; make it its owner's alone (chmod 600)");
            var key = Convert.FromHexString(File.ReadAllText(keyFile).Trim());
            return key.Length == KeyBytes ? key : throw new SecretsKeyException($"--secrets-key {keyFile}: a key is {KeyBytes * 2} hexadecimal digits");
        }
        catch (FormatException e)
        {
            throw new SecretsKeyException($"--secrets-key {keyFile}: a key is {KeyBytes * 2} hexadecimal digits", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SecretsKeyException($"--secrets-key {keyFile} cannot be read: {e.Message}", e);
        }
    }

    private static string IdOf(byte[] key) => Convert.ToHexStringLower(SHA256.HashData([.. "platform secrets key"u8, .. key]))[..16];
}
