using System.Text.Json.Serialization;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>What one operation on a key does; the words are those of Consul's transactions.</summary>
public enum KvVerb
{
    /// <summary>A word we do not know; it fails, and all with it.</summary>
    Unknown,
    Set,
    Cas,
    Lock,
    Unlock,
    Get,
    GetTree,
    CheckIndex,
    CheckSession,
    CheckNotExists,
    Delete,
    DeleteTree,
    DeleteCas,
}

/// <summary>One operation on one key, or on all below it.</summary>
public sealed record KvOperation(KvVerb Verb, string Key)
{
    public KvValue Value { get; init; }
    public ulong Flags { get; init; }

    /// <summary>Of <c>cas</c> and its like: what the key's ModifyIndex must be.</summary>
    public ulong Index { get; init; }

    public string Session { get; init; } = "";

    /// <summary>The word the client used, where the verb is unknown.</summary>
    public string Word { get; init; } = "";

    [JsonIgnore]
    public bool IsRead => Verb is KvVerb.Get or KvVerb.GetTree or KvVerb.CheckIndex or KvVerb.CheckSession or KvVerb.CheckNotExists;
}

/// <summary>What a client asks of the store through some node's KV door. It is decided where the state is, on the leader.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(Apply), "apply")]
[JsonDerivedType(typeof(Transact), "transact")]
[JsonDerivedType(typeof(CreateSession), "create-session")]
[JsonDerivedType(typeof(DestroySession), "destroy-session")]
[JsonDerivedType(typeof(RenewSession), "renew-session")]
[JsonDerivedType(typeof(Barrier), "barrier")]
[JsonDerivedType(typeof(Bootstrap), "bootstrap")]
[JsonDerivedType(typeof(SetPolicy), "set-policy")]
[JsonDerivedType(typeof(RemovePolicy), "remove-policy")]
[JsonDerivedType(typeof(SetToken), "set-token")]
[JsonDerivedType(typeof(RemoveToken), "remove-token")]
public abstract partial record StoreRequest
{
    private StoreRequest() { }

    /// <summary>One operation, whose precondition may fail without that being an error.</summary>
    public sealed record Apply(KvOperation Operation) : StoreRequest;

    /// <summary>All of them, or none.</summary>
    public sealed record Transact(EquatableArray<KvOperation> Operations) : StoreRequest;

    /// <summary>The door has drawn the id.</summary>
    public sealed record CreateSession(KvSession Session) : StoreRequest;

    public sealed record DestroySession(string Id) : StoreRequest;

    /// <summary>Never in the log: only the leader's clock for it begins anew.</summary>
    public sealed record RenewSession(string Id) : StoreRequest;

    /// <summary>Changes nothing; its answer says how far a copy must be to have seen everything that was acknowledged before.</summary>
    public sealed record Barrier : StoreRequest;
}

/// <summary>What came of a request.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(Done), "done")]
[JsonDerivedType(typeof(Transacted), "transacted")]
[JsonDerivedType(typeof(SessionIs), "session-is")]
[JsonDerivedType(typeof(Failed), "failed")]
[JsonDerivedType(typeof(PolicyIs), "policy-is")]
[JsonDerivedType(typeof(TokenIs), "token-is")]
public abstract partial record StoreReply
{
    private StoreReply() { }

    /// <summary>False: its precondition did not hold, and nothing was changed.</summary>
    public sealed record Done(bool Yes) : StoreReply;

    /// <summary>With failures nothing was changed, and there are no results.</summary>
    public sealed record Transacted(EquatableArray<KvEntry> Results, EquatableArray<KvFailure> Failures) : StoreReply;

    /// <summary>Null: there is no such session.</summary>
    public sealed record SessionIs(KvSession? Session) : StoreReply;

    /// <summary>Refused: the status and the text that Consul would give.</summary>
    public sealed record Failed(int Status, string Text) : StoreReply;
}

/// <summary>An operation of a transaction that cannot be.</summary>
public sealed record KvFailure(int Operation, string What);

/// <param name="Index">Where the store stands with it: a copy that is so far shows what was done.</param>
public sealed record StoreAnswer(long Index, StoreReply Reply);
