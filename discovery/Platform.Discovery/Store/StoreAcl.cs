using Platform.Model;

namespace Platform.Discovery;

/// <summary>The kinds of events, requests and replies that have to do with tokens.</summary>
public abstract partial record StoreEvent
{
    public sealed record PolicySet(AclPolicy Policy) : StoreEvent;
    public sealed record PolicyRemoved(string Id) : StoreEvent;

    /// <param name="First">The cluster's first token, which is made without one.</param>
    public sealed record TokenSet(AclToken Token, bool First) : StoreEvent;

    public sealed record TokenRemoved(string Accessor) : StoreEvent;
}

public abstract partial record StoreRequest
{
    /// <summary>The door has drawn ids and secret.</summary>
    public sealed record Bootstrap(AclToken Token) : StoreRequest;

    /// <param name="IsNew">Its id was drawn by the door; otherwise it is the one that is to be changed.</param>
    public sealed record SetPolicy(AclPolicy Policy, bool IsNew) : StoreRequest;

    public sealed record RemovePolicy(string Id) : StoreRequest;

    /// <param name="PolicyNames">Beside those by id.</param>
    /// <param name="IsNew">Otherwise only description and policies change.</param>
    public sealed record SetToken(AclToken Token, EquatableArray<string> PolicyNames, bool IsNew) : StoreRequest;

    public sealed record RemoveToken(string Accessor) : StoreRequest;
}

public abstract partial record StoreReply
{
    public sealed record PolicyIs(AclPolicy Policy) : StoreReply;
    public sealed record TokenIs(AclToken Token) : StoreReply;
}

/// <summary>Decides on tokens and policies. Whether the caller may ask for it is the door's to say.</summary>
internal static class AclDecide
{
    public static StoreDecision Decide(AclState acl, StoreRequest request, long index) => request switch
    {
        StoreRequest.Bootstrap x => Bootstrap(acl, x.Token, index),
        StoreRequest.SetPolicy x => Set(acl, x, index),
        StoreRequest.RemovePolicy x => x.Id == AclPolicy.Management.Id ? Failed("Delete operation not permitted on the builtin global-management policy")
            : new StoreDecision(acl.Policies.ContainsKey(x.Id) ? new StoreEvent.PolicyRemoved(x.Id) : null, new StoreReply.Done(true)),
        StoreRequest.SetToken x => Set(acl, x, index),
        StoreRequest.RemoveToken x => x.Accessor == AclToken.Anonymous ? Failed("Delete operation not permitted on the anonymous token")
            : new StoreDecision(acl.Tokens.ContainsKey(x.Accessor) ? new StoreEvent.TokenRemoved(x.Accessor) : null, new StoreReply.Done(true)),
        _ => throw new System.Diagnostics.UnreachableException($"{request}"),
    };

    private static StoreDecision Bootstrap(AclState acl, AclToken token, long index) => acl.BootstrapIndex > 0
        ? Failed($"Permission denied: ACL bootstrap no longer allowed (reset index: {acl.BootstrapIndex})", 403)
        : new StoreDecision(new StoreEvent.TokenSet(token, true), new StoreReply.TokenIs(token with { CreateIndex = index, ModifyIndex = index }));

    private static StoreDecision Set(AclState acl, StoreRequest.SetPolicy x, long index)
    {
        var policy = x.Policy;
        if (policy.Name.Length == 0) return Failed("Invalid Policy: no Name is set");
        if (policy.Name.Length > 128 || !policy.Name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            return Failed("Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
        if (!x.IsNew && !acl.Policies.ContainsKey(policy.Id)) return Failed($"Invalid Policy: Policy with ID \"{policy.Id}\" does not exist");
        if (policy.Id == AclPolicy.Management.Id) return Failed("Changing the Rules for the builtin global-management policy is not permitted");
        if (acl.PolicyNamed(policy.Name) is { } namesake && namesake.Id != policy.Id) return Failed($"Invalid Policy: A Policy with Name \"{policy.Name}\" already exists");
        if (x.IsNew && acl.Policies.Count >= AclPolicy.PoliciesMax) return Failed($"There are {AclPolicy.PoliciesMax} policies, which is the most", 507);
        if (!AccessRules.TryParse(policy.Rules, out _, out var why)) return Failed(why);
        return new StoreDecision(new StoreEvent.PolicySet(policy), new StoreReply.PolicyIs(acl.With(policy, index).Policies[policy.Id]));
    }

    private static StoreDecision Set(AclState acl, StoreRequest.SetToken x, long index)
    {
        var known = acl.Tokens.GetValueOrDefault(x.Token.Accessor);
        if (!x.IsNew && known is null && x.Token.Accessor != AclToken.Anonymous) return Failed("ACL not found", 403);
        if (x.IsNew && (known is not null || acl.AccessorOfSecret.ContainsKey(x.Token.SecretHash))) return Failed("Invalid Token: AccessorID or SecretID is already in use");
        if (known is null && acl.Tokens.Count >= AclToken.TokensMax) return Failed($"There are {AclToken.TokensMax} tokens, which is the most", 507);
        var policies = new List<string>();
        foreach (var id in x.Token.Policies)
            if (acl.Policies.ContainsKey(id)) policies.Add(id);
            else return Failed($"No such ACL policy with ID \"{id}\"");
        foreach (var name in x.PolicyNames)
            if (acl.PolicyNamed(name) is { } policy) policies.Add(policy.Id);
            else return Failed($"No such ACL policy with name \"{name}\"");
        var token = (known is null ? x.Token : known with { Description = x.Token.Description }) with { Policies = policies.Distinct().ToEquatableArray() };
        return new StoreDecision(new StoreEvent.TokenSet(token, false), new StoreReply.TokenIs(acl.With(token, index).Tokens[token.Accessor]));
    }

    private static StoreDecision Failed(string text, int status = 500) => new(null, new StoreReply.Failed(status, text));
}
