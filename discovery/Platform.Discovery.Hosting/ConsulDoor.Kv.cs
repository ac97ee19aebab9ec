using System.Globalization;
using System.Text;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>Keys and transactions.</summary>
public sealed partial class ConsulDoor
{
    private IEnumerable<ConsulRoute> KvRoutes()
    {
        yield return new("/v1/kv/", ("GET", GetAsync), ("PUT", PutAsync), ("DELETE", DeleteAsync));
        yield return new("/v1/txn", ("PUT", TransactAsync));
    }

    private async Task GetAsync(ConsulCall call)
    {
        var query = new KvQuery(call.Rest, call.Has("raw"), call.Has("recurse"), call.Has("keys"), call.Parameter("separator"), call.Has("pretty"));
        if (query.Key.Length == 0 && !query.IsPrefix)
        {
            await call.TextAsync(400, "Missing key name").ConfigureAwait(false);
            return;
        }
        if (!query.IsPrefix) Must(AuthorizerOf(call).MayRead("key", query.Key));
        await ReadAsync(call, () => _store.Keys.Watch(query.Key, query.IsPrefix), () => KvAnswers.Index(_view.Tree, _store.State.Entries, query), async _ =>
        {
            var caller = AuthorizerOf(call); // again: its token may have gone while it waited
            if (!query.IsPrefix) Must(caller.MayRead("key", query.Key));
            var answer = KvAnswers.Of(_view.Tree, _store.State.Entries, query, key => caller.MayRead("key", key));
            ReadHeaders(call, answer.Index);
            if (answer.Status != 200)
            {
                call.Empty(answer.Status);
                return;
            }
            if (answer.Plain)
            {
                // A value is somebody's text; a browser must not take it for a page of ours.
                call.Headers.XContentTypeOptions = "nosniff";
                call.Headers.ContentSecurityPolicy = "sandbox";
            }
            await call.BytesAsync(answer.Body, answer.Plain ? "text/plain" : "application/json").ConfigureAwait(false);
        }).ConfigureAwait(false);
    }

    private async Task PutAsync(ConsulCall call)
    {
        if (await MissingOrConflictingAsync(call, "cas", "acquire", "release").ConfigureAwait(false)) return;
        ulong flags = 0, index = 0;
        if (call.Has("flags") && !await NumberAsync(call, "flags", x => flags = x).ConfigureAwait(false)) return;
        if (call.Has("cas") && !await NumberAsync(call, "cas", x => index = x).ConfigureAwait(false)) return;
        var verb = call.Has("cas") ? KvVerb.Cas : call.Has("acquire") ? KvVerb.Lock : call.Has("release") ? KvVerb.Unlock : KvVerb.Set;
        if (await call.BodyAsync(StoreLimits.ValueBytesMax).ConfigureAwait(false) is not { } value) return;
        await ApplyAsync(call, new KvOperation(verb, call.Rest)
        {
            Value = new KvValue(value), Flags = flags, Index = index, Session = call.Parameter(verb == KvVerb.Unlock ? "release" : "acquire"),
        }).ConfigureAwait(false);
    }

    private async Task DeleteAsync(ConsulCall call)
    {
        if (call.Has("recurse") && call.Has("cas"))
        {
            await call.TextAsync(400, $"Conflicting flags: cas={call.Parameter("cas")}&recurse={call.Parameter("recurse")}").ConfigureAwait(false);
            return;
        }
        if (!call.Has("recurse") && await MissingOrConflictingAsync(call).ConfigureAwait(false)) return;
        ulong index = 0;
        if (call.Has("cas") && !await NumberAsync(call, "cas", x => index = x).ConfigureAwait(false)) return;
        var verb = call.Has("recurse") ? KvVerb.DeleteTree : call.Has("cas") ? KvVerb.DeleteCas : KvVerb.Delete;
        await ApplyAsync(call, new KvOperation(verb, call.Rest) { Index = index }).ConfigureAwait(false);
    }

    private async Task ApplyAsync(ConsulCall call, KvOperation operation)
    {
        if (KvLookup.IsPublished(operation.Key))
        {
            call.Headers.Allow = "GET";
            await call.TextAsync(403, KvLookup.WhyReadOnly).ConfigureAwait(false);
            return;
        }
        var caller = AuthorizerOf(call);
        Must(operation.Verb == KvVerb.DeleteTree ? caller.MayWriteUnder("key", operation.Key) : caller.MayWrite("key", operation.Key));
        await ReplyAsync(call, await AskAsync(new StoreRequest.Apply(operation), call.Aborted).ConfigureAwait(false)).ConfigureAwait(false);
    }

    private static Task ReplyAsync(ConsulCall call, StoreReply reply) => reply switch
    {
        StoreReply.Done x => call.JsonAsync(json => json.WriteBooleanValue(x.Yes)),
        StoreReply.Failed x => call.TextAsync(x.Status, x.Text),
        _ => throw new System.Diagnostics.UnreachableException($"{reply}"),
    };

    /// <summary>True, and the answer is given.</summary>
    private static async ValueTask<bool> MissingOrConflictingAsync(ConsulCall call, params string[] exclusive)
    {
        var said = exclusive.Where(call.Has).Order(StringComparer.Ordinal).ToList();
        var why = call.Rest.Length == 0 ? "Missing key name"
            : said.Count > 1 ? $"Conflicting flags: {string.Join('&', said.Select(x => $"{x}={call.Parameter(x)}"))}" : null;
        if (why is null) return false;
        await call.TextAsync(400, why).ConfigureAwait(false);
        return true;
    }

    /// <summary>False, and the answer is given, for what is no number; the words and the status are those of Consul.</summary>
    private static async ValueTask<bool> NumberAsync(ConsulCall call, string name, Action<ulong> take)
    {
        var text = call.Parameter(name);
        if (ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            take(number);
            return true;
        }
        var why = text.Length > 0 && text.All(char.IsAsciiDigit) ? "value out of range" : "invalid syntax";
        await call.TextAsync(500, $"strconv.ParseUint: parsing \"{text}\": {why}").ConfigureAwait(false);
        return false;
    }

    private async Task TransactAsync(ConsulCall call)
    {
        // Base64 makes a third more of the values.
        if (await call.BodyAsync(StoreLimits.TransactionBytesMax / 3 * 4 + 64 * 1024).ConfigureAwait(false) is not { } body) return;
        if (!TransactionBody.TryRead(body, out var operations, out var refused))
        {
            await call.TextAsync(refused.Status, refused.Text).ConfigureAwait(false);
            return;
        }
        var caller = AuthorizerOf(call);
        var denied = operations.Items.Select((x, i) => (x, i)).Where(o => !May(caller, o.x)).Select(o => new KvFailure(o.i, Denied)).ToEquatableArray();
        var readsOnly = operations.All(x => x.IsRead || x.Verb == KvVerb.Unknown);
        if (!denied.IsEmpty)
        {
            await TransactedAsync(call, new StoreReply.Transacted(default, denied), readsOnly).ConfigureAwait(false);
            return;
        }
        if (!readsOnly)
        {
            await TransactedAsync(call, await AskAsync(new StoreRequest.Transact(operations), call.Aborted).ConfigureAwait(false), false).ConfigureAwait(false);
            return;
        }
        await ReadAsync(call, () => _store.Keys.Watch("", prefix: true), () => long.MaxValue, async _ =>
        {
            ReadHeaders(call, null);
            await TransactedAsync(call, StoreDecide.Read(_store.State, _view.Tree, operations), true).ConfigureAwait(false);
        }).ConfigureAwait(false);
    }

    private static bool May(Authorizer caller, KvOperation x) => x.Verb switch
    {
        KvVerb.Unknown => true, // it fails anyhow, and says why
        KvVerb.GetTree => true, // of what it gives back only what the caller may read is shown
        KvVerb.DeleteTree => caller.MayWriteUnder("key", x.Key),
        _ => x.IsRead ? caller.MayRead("key", x.Key) : caller.MayWrite("key", x.Key),
    };

    private Task TransactedAsync(ConsulCall call, StoreReply reply, bool readsOnly)
    {
        if (reply is StoreReply.Failed failed) return call.TextAsync(failed.Status, failed.Text);
        var (all, failures) = (StoreReply.Transacted)reply;
        var caller = AuthorizerOf(call);
        var results = all.Where(x => caller.MayRead("key", x.Key) || caller.MayWrite("key", x.Key)).ToEquatableArray();
        return call.JsonAsync(json =>
        {
            json.WriteStartObject();
            if (failures.IsEmpty) WriteResults(json, results);
            else json.WriteNull("Results");
            if (failures.IsEmpty) json.WriteNull("Errors");
            else WriteFailures(json, failures);
            if (readsOnly)
            {
                json.WriteNumber("Index", 0);
                json.WriteNumber("LastContact", AgeMilliseconds);
                json.WriteBoolean("KnownLeader", _options.Leader() is not null);
                json.WriteString("ConsistencyLevel", "");
            }
            json.WriteEndObject();
        }, failures.IsEmpty ? 200 : 409);
    }

    private static void WriteResults(Utf8JsonWriter json, EquatableArray<KvEntry> results)
    {
        json.WriteStartArray("Results");
        foreach (var entry in results)
        {
            json.WriteStartObject();
            json.WritePropertyName("KV");
            KvAnswers.Write(json, entry);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteFailures(Utf8JsonWriter json, EquatableArray<KvFailure> failures)
    {
        json.WriteStartArray("Errors");
        foreach (var failure in failures)
        {
            json.WriteStartObject();
            json.WriteNumber("OpIndex", failure.Operation);
            json.WriteString("What", failure.What);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }
}
