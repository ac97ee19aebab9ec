using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Whether the door asks who comes, and what those may do of whom no rule speaks.</summary>
public enum AclMode { Off, Allow, Deny }

/// <summary>An answer that ends a request before its time.</summary>
internal sealed class RefusedException(int status, string text) : Exception(text)
{
    public int Status => status;
}

/// <summary>Tokens and policies: what a caller may do here, and the endpoints that say so.</summary>
public sealed partial class ConsulDoor
{
    private const string Denied = "Permission denied";
    private const int AclBytesMax = AccessRules.TextMax * 2;

    private sealed record Known(AclState Acl, ConcurrentDictionary<string, Authorizer> Authorizers);

    private volatile Known _known = new(AclState.Empty, new(StringComparer.Ordinal));

    /// <summary>What this caller may do, by the tokens as this node has them now. Throws if it shows one that is nobody's.</summary>
    internal Authorizer AuthorizerOf(ConsulCall call)
    {
        if (_options.Acl == AclMode.Off) return Authorizer.Everything;
        var acl = _store.State.Acl;
        var known = _known;
        if (!ReferenceEquals(known.Acl, acl)) _known = known = new Known(acl, new(StringComparer.Ordinal));
        var secret = call.Token;
        if (known.Authorizers.TryGetValue(secret, out var authorizer)) return authorizer; // only those of tokens there are, so no more than these
        var token = secret.Length == 0 ? acl.Tokens.GetValueOrDefault(AclToken.Anonymous) : acl.Find(secret) ?? throw new RefusedException(403, "ACL not found");
        return known.Authorizers.GetOrAdd(secret, acl.AuthorizerOf(token, _options.Acl == AclMode.Allow ? AccessLevel.Write : AccessLevel.Deny));
    }

    internal static void Must(bool may)
    {
        if (!may) throw new RefusedException(403, Denied);
    }

    private IEnumerable<ConsulRoute> AclRoutes()
    {
        if (_options.Acl == AclMode.Off)
        {
            Func<ConsulCall, Task> disabled = call => call.TextAsync(401, "ACL support disabled");
            yield return new("/v1/acl/", ("GET", disabled), ("PUT", disabled), ("DELETE", disabled));
            yield break;
        }
        yield return new("/v1/acl/bootstrap", ("PUT", BootstrapAsync));
        yield return new("/v1/acl/policies", ("GET", PoliciesAsync));
        yield return new("/v1/acl/policy", ("PUT", call => SetPolicyAsync(call, isNew: true)));
        yield return new("/v1/acl/policy/name/", ("GET", call => PolicyAsync(call, _store.State.Acl.PolicyNamed(call.Rest))));
        yield return new("/v1/acl/policy/", ("GET", call => PolicyAsync(call, _store.State.Acl.Policies.GetValueOrDefault(call.Rest))),
            ("PUT", call => SetPolicyAsync(call, isNew: false)), ("DELETE", call => RemoveAsync(call, new StoreRequest.RemovePolicy(call.Rest))));
        yield return new("/v1/acl/tokens", ("GET", TokensAsync));
        yield return new("/v1/acl/token", ("PUT", call => SetTokenAsync(call, isNew: true)));
        yield return new("/v1/acl/token/self", ("GET", SelfAsync));
        yield return new("/v1/acl/token/", ("GET", TokenAsync), ("PUT", call => SetTokenAsync(call, isNew: false)), ("DELETE", call => RemoveAsync(call, new StoreRequest.RemoveToken(call.Rest))));
    }

    private async Task BootstrapAsync(ConsulCall call)
    {
        var secret = NewId();
        var token = new AclToken(NewId(), AclToken.HashOf(secret), "Bootstrap Token (Global Management)", [AclPolicy.Management.Id], _time.GetUtcNow());
        await TokenReplyAsync(call, await AskAsync(new StoreRequest.Bootstrap(token), call.Aborted).ConfigureAwait(false), secret, first: true).ConfigureAwait(false);
    }

    private async Task SetTokenAsync(ConsulCall call, bool isNew)
    {
        Must(AuthorizerOf(call).MayWrite("acl", ""));
        if (await BodyAsync(call).ConfigureAwait(false) is not { } body) return;
        var (ids, names) = (new List<string>(), new List<string>());
        if (body.TryGetProperty("Policies", out var policies) && policies.ValueKind == JsonValueKind.Array)
            foreach (var policy in policies.EnumerateArray())
                if (Member(policy, "ID") is { Length: > 0 } id) ids.Add(id);
                else names.Add(Member(policy, "Name"));
        var secret = Member(body, "SecretID") is { Length: > 0 } given ? given : NewId();
        var accessor = isNew ? Member(body, "AccessorID") is { Length: > 0 } own ? own : NewId() : call.Rest;
        if (isNew && (SessionIds.Wrong(accessor) is not null || SessionIds.Wrong(secret) is not null)) throw new RefusedException(500, "Invalid Token: AccessorID and SecretID are UUIDs");
        var token = new AclToken(accessor, AclToken.HashOf(secret), Member(body, "Description"), ids.ToEquatableArray(), _time.GetUtcNow());
        var reply = await AskAsync(new StoreRequest.SetToken(token, names.ToEquatableArray(), isNew), call.Aborted).ConfigureAwait(false);
        await TokenReplyAsync(call, reply, isNew ? secret : null).ConfigureAwait(false);
    }

    private async Task SetPolicyAsync(ConsulCall call, bool isNew)
    {
        Must(AuthorizerOf(call).MayWrite("acl", ""));
        if (await BodyAsync(call).ConfigureAwait(false) is not { } body) return;
        var policy = new AclPolicy(isNew ? NewId() : call.Rest, Member(body, "Name"), Member(body, "Description"), Member(body, "Rules"));
        switch (await AskAsync(new StoreRequest.SetPolicy(policy, isNew), call.Aborted).ConfigureAwait(false))
        {
            case StoreReply.PolicyIs x:
                await call.JsonAsync(json => Write(json, x.Policy, withRules: true)).ConfigureAwait(false);
                break;
            case StoreReply.Failed x:
                await call.TextAsync(x.Status, x.Text).ConfigureAwait(false);
                break;
        }
    }

    private async Task RemoveAsync(ConsulCall call, StoreRequest request)
    {
        Must(AuthorizerOf(call).MayWrite("acl", ""));
        await ReplyAsync(call, await AskAsync(request, call.Aborted).ConfigureAwait(false)).ConfigureAwait(false);
    }

    private Task PolicyAsync(ConsulCall call, AclPolicy? policy)
    {
        Must(AuthorizerOf(call).MayRead("acl", ""));
        ReadHeaders(call, _store.State.Index);
        return call.JsonAsync(json => Write(json, policy ?? throw new RefusedException(403, "ACL not found"), withRules: true));
    }

    private Task PoliciesAsync(ConsulCall call)
    {
        Must(AuthorizerOf(call).MayRead("acl", ""));
        ReadHeaders(call, _store.State.Index);
        return call.JsonAsync(json =>
        {
            json.WriteStartArray();
            foreach (var policy in _store.State.Acl.Policies.Values) Write(json, policy, withRules: false);
            json.WriteEndArray();
        });
    }

    private Task TokensAsync(ConsulCall call)
    {
        Must(AuthorizerOf(call).MayRead("acl", ""));
        ReadHeaders(call, _store.State.Index);
        return call.JsonAsync(json =>
        {
            json.WriteStartArray();
            foreach (var token in _store.State.Acl.Tokens.Values) Write(json, token, null);
            json.WriteEndArray();
        });
    }

    private Task TokenAsync(ConsulCall call)
    {
        Must(AuthorizerOf(call).MayRead("acl", ""));
        var token = _store.State.Acl.Tokens.GetValueOrDefault(call.Rest) ?? throw new RefusedException(403, "ACL not found");
        ReadHeaders(call, _store.State.Index);
        return call.JsonAsync(json => Write(json, token, null));
    }

    private Task SelfAsync(ConsulCall call)
    {
        var token = _store.State.Acl.Find(call.Token) ?? throw new RefusedException(403, "ACL not found");
        ReadHeaders(call, _store.State.Index);
        return call.JsonAsync(json => Write(json, token, call.Token));
    }

    private Task TokenReplyAsync(ConsulCall call, StoreReply reply, string? secret, bool first = false) => reply switch
    {
        StoreReply.TokenIs x => call.JsonAsync(json => Write(json, x.Token, secret, first)),
        StoreReply.Failed x => call.TextAsync(x.Status, x.Text),
        _ => throw new System.Diagnostics.UnreachableException($"{reply}"),
    };

    private static async ValueTask<JsonElement?> BodyAsync(ConsulCall call)
    {
        if (await call.BodyAsync(AclBytesMax).ConfigureAwait(false) is not { } body) return null;
        try
        {
            var json = JsonSerializer.Deserialize<JsonElement>(body);
            if (json.ValueKind == JsonValueKind.Object) return json;
            throw new JsonException("an object is wanted");
        }
        catch (JsonException e)
        {
            throw new RefusedException(400, $"Request decode failed: {e.Message}");
        }
    }

    private static string Member(JsonElement body, string name) =>
        body.ValueKind == JsonValueKind.Object && body.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.String ? member.GetString()! : "";

    private static string NewId() => Guid.NewGuid().ToString("D");

    /// <param name="secret">Shown to its holder, and to whoever has just made it; to nobody else, for nobody else knows it.</param>
    /// <param name="first">The cluster's first token is also told as older clients know it.</param>
    private void Write(Utf8JsonWriter json, AclToken token, string? secret, bool first = false)
    {
        json.WriteStartObject();
        if (first) json.WriteString("ID", secret);
        json.WriteString("AccessorID", token.Accessor);
        if (secret is not null) json.WriteString("SecretID", secret);
        json.WriteString("Description", token.Description);
        json.WriteStartArray("Policies");
        foreach (var id in token.Policies)
        {
            json.WriteStartObject();
            json.WriteString("ID", id);
            json.WriteString("Name", _store.State.Acl.Policies.GetValueOrDefault(id)?.Name ?? "");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteBoolean("Local", false);
        json.WriteString("CreateTime", token.CreatedAt.UtcDateTime.ToString("O", CultureInfo.InvariantCulture));
        json.WriteString("Hash", HashOf($"{token.Accessor}\n{token.Description}\n{string.Join('\n', token.Policies)}"));
        json.WriteNumber("CreateIndex", token.CreateIndex);
        json.WriteNumber("ModifyIndex", token.ModifyIndex);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, AclPolicy policy, bool withRules)
    {
        json.WriteStartObject();
        json.WriteString("ID", policy.Id);
        json.WriteString("Name", policy.Name);
        json.WriteString("Description", policy.Description);
        if (withRules) json.WriteString("Rules", policy.Rules);
        else json.WriteNull("Datacenters");
        json.WriteString("Hash", HashOf($"{policy.Name}\n{policy.Description}\n{policy.Rules}"));
        json.WriteNumber("CreateIndex", policy.CreateIndex);
        json.WriteNumber("ModifyIndex", policy.ModifyIndex);
        json.WriteEndObject();
    }

    private static string HashOf(string text) => Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
