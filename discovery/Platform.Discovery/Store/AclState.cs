using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>A named set of rules, as text.</summary>
public sealed record AclPolicy(string Id, string Name, string Description, string Rules)
{
    /// <summary>The one that grants everything. It is always there.</summary>
    public static readonly AclPolicy Management = new("00000000-0000-0000-0000-000000000001", "global-management", "Builtin Policy that grants unlimited access", "");

    public const int PoliciesMax = 1000;

    public long CreateIndex { get; init; }
    public long ModifyIndex { get; init; }
}

/// <summary>Somebody who may do what its policies say.</summary>
/// <param name="Accessor">Names it.</param>
/// <param name="SecretHash">SHA-256 of what its holder shows; the secret itself is told once, when it is made, and kept nowhere.</param>
/// <param name="Policies">By id.</param>
public sealed record AclToken(string Accessor, string SecretHash, string Description, EquatableArray<string> Policies, DateTimeOffset CreatedAt)
{
    /// <summary>Who shows no token.</summary>
    public const string Anonymous = "00000000-0000-0000-0000-000000000002";

    public const int TokensMax = 10_000;

    public long CreateIndex { get; init; }
    public long ModifyIndex { get; init; }

    public static string HashOf(string secret) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
}

/// <summary>Who may do what at the KV doors; of no consequence where the doors ask nobody.</summary>
public sealed record AclState
{
    public static readonly AclState Empty = new();

    /// <summary>The revision at which the first token was made; it can be made only once. 0 = not yet.</summary>
    public long BootstrapIndex { get; init; }

    public ImmutableSortedDictionary<string, AclPolicy> Policies { get; init; } =
        ImmutableSortedDictionary.Create<string, AclPolicy>(StringComparer.Ordinal).Add(AclPolicy.Management.Id, AclPolicy.Management);

    public ImmutableSortedDictionary<string, AclToken> Tokens { get; init; } = ImmutableSortedDictionary.Create<string, AclToken>(StringComparer.Ordinal);

    public ImmutableDictionary<string, string> AccessorOfSecret { get; init; } = ImmutableDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>Null: nobody has such a secret.</summary>
    public AclToken? Find(string secret) => AccessorOfSecret.TryGetValue(AclToken.HashOf(secret), out var accessor) ? Tokens[accessor] : null;

    public AclPolicy? PolicyNamed(string name) => Policies.Values.FirstOrDefault(p => p.Name == name);

    public AclState With(AclPolicy policy, long index) => this with
    {
        Policies = Policies.SetItem(policy.Id, policy with { CreateIndex = Policies.GetValueOrDefault(policy.Id)?.CreateIndex ?? index, ModifyIndex = index }),
    };

    public AclState With(AclToken token, long index) => this with
    {
        Tokens = Tokens.SetItem(token.Accessor, token with { CreateIndex = Tokens.GetValueOrDefault(token.Accessor)?.CreateIndex ?? index, ModifyIndex = index }),
        AccessorOfSecret = AccessorOfSecret.SetItem(token.SecretHash, token.Accessor),
    };

    public AclState WithoutPolicy(string id) => this with
    {
        Policies = Policies.Remove(id),
        Tokens = Tokens.SetItems(Tokens.Where(t => t.Value.Policies.Items.Contains(id))
            .Select(t => KeyValuePair.Create(t.Key, t.Value with { Policies = t.Value.Policies.Where(p => p != id).ToEquatableArray() }))),
    };

    public AclState WithoutToken(string accessor) => Tokens.TryGetValue(accessor, out var token)
        ? this with { Tokens = Tokens.Remove(accessor), AccessorOfSecret = AccessorOfSecret.Remove(token.SecretHash) } : this;

    /// <summary>What a token may do; the anonymous one has no policies unless it was given some.</summary>
    public Authorizer AuthorizerOf(AclToken? token, AccessLevel otherwise)
    {
        var policies = (token?.Policies ?? default).Items;
        if (policies.Contains(AclPolicy.Management.Id)) return Authorizer.Everything;
        // Rules that do not parse were refused when the policy was written.
        return new Authorizer(policies.Select(Policies.GetValueOrDefault).OfType<AclPolicy>().SelectMany(p => AccessRules.TryParse(p.Rules, out var rules, out _) ? rules.Items : []), otherwise);
    }
}
