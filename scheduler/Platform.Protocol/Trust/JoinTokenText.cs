using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Platform.Protocol.Trust;

/// <summary>
/// What a machine shows to become a node. It also says which cluster to believe: by the authority's fingerprint the machine knows, at the first
/// contact, that the scheduler it talks to is the one the token is from.
/// </summary>
/// <param name="Authority">SHA-256 of the authority's certificate, in hexadecimal digits.</param>
/// <param name="Token">What the scheduler calls it.</param>
public sealed record JoinTokenText(string Authority, string Token, string Secret)
{
    private const string Prefix = "PJT1";
    private const int AuthorityDigits = 64;
    private const int TokenDigits = 8;
    private const int SecretDigits = 32;

    /// <summary>All that the cluster log ever sees of the secret.</summary>
    public string Hash => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"platform join token/{Token}/{Secret}")));

    public static JoinTokenText Make(string authority) => new(
        authority, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(TokenDigits / 2)), Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(SecretDigits / 2)));

    public static bool TryParse(string text, [NotNullWhen(true)] out JoinTokenText? token)
    {
        var pieces = text.Trim().Split('.');
        var fits = pieces is [Prefix, { Length: AuthorityDigits }, { Length: TokenDigits }, { Length: SecretDigits }] && pieces.Skip(1).All(p => p.All(char.IsAsciiHexDigitLower));
        token = fits ? new JoinTokenText(pieces[1], pieces[2], pieces[3]) : null;
        return fits;
    }

    /// <summary>The text to hand over. It holds the secret: no log line is to have it.</summary>
    public override string ToString() => $"{Prefix}.{Authority}.{Token}.{Secret}";
}
