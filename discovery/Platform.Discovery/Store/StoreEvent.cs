using System.Text.Json.Serialization;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// One fact of what clients have written through the KV door. It is in the cluster log, and every node folds the same facts into its own copy.
/// Kinds and fields only grow, as those of the log.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(KeysChanged), "keys-changed")]
[JsonDerivedType(typeof(SessionCreated), "session-created")]
[JsonDerivedType(typeof(SessionEnded), "session-ended")]
[JsonDerivedType(typeof(PolicySet), "policy-set")]
[JsonDerivedType(typeof(PolicyRemoved), "policy-removed")]
[JsonDerivedType(typeof(TokenSet), "token-set")]
[JsonDerivedType(typeof(TokenRemoved), "token-removed")]
public abstract partial record StoreEvent
{
    private StoreEvent() { }

    /// <summary>All of one request, in its order: they happen at one revision.</summary>
    public sealed record KeysChanged(EquatableArray<KvChange> Changes) : StoreEvent;

    public sealed record SessionCreated(KvSession Session) : StoreEvent;

    /// <summary>What it held is released or deleted by its behaviour, and its lock-delay begins.</summary>
    public sealed record SessionEnded(string Session, SessionEnd Why) : StoreEvent;
}

[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(Set), "set")]
[JsonDerivedType(typeof(Removed), "removed")]
[JsonDerivedType(typeof(RemovedUnder), "removed-under")]
public abstract record KvChange
{
    private KvChange() { }

    /// <summary>What the key is from now on, whole; null session = nobody holds it.</summary>
    public sealed record Set(string Key, KvValue Value, ulong Flags, string? Session, long LockIndex) : KvChange;

    public sealed record Removed(string Key) : KvChange;
    public sealed record RemovedUnder(string Prefix) : KvChange;
}
