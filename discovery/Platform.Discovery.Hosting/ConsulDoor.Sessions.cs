using System.Text.Json;

namespace Platform.Discovery.Hosting;

/// <summary>Sessions.</summary>
public sealed partial class ConsulDoor
{
    private const int SessionBytesMax = 64 * 1024;

    private IEnumerable<ConsulRoute> SessionRoutes()
    {
        yield return new("/v1/session/create", ("PUT", CreateSessionAsync));
        yield return new("/v1/session/destroy/", ("PUT", DestroySessionAsync));
        yield return new("/v1/session/renew/", ("PUT", RenewSessionAsync));
        yield return new("/v1/session/info/", ("GET", SessionInfoAsync));
        yield return new("/v1/session/node/", ("GET", call => Missing(call, "Missing node name") ?? SessionsAsync(call, s => s.Node == call.Rest)));
        yield return new("/v1/session/list", ("GET", call => SessionsAsync(call, _ => true)));
    }

    private async Task CreateSessionAsync(ConsulCall call)
    {
        if (await call.BodyAsync(SessionBytesMax).ConfigureAwait(false) is not { } body) return;
        var (session, refused) = SessionBody.Read(body, Guid.NewGuid().ToString("D"), _options.NodeName);
        if (session is not null) Must(AuthorizerOf(call).MayWrite("session", session.Node));
        var reply = session is null ? refused! : await AskAsync(new StoreRequest.CreateSession(session), call.Aborted).ConfigureAwait(false);
        if (reply is StoreReply.Failed failed) await call.TextAsync(failed.Status, failed.Text).ConfigureAwait(false);
        else
            await call.JsonAsync(json =>
            {
                json.WriteStartObject();
                json.WriteString("ID", ((StoreReply.SessionIs)reply).Session!.Id);
                json.WriteEndObject();
            }).ConfigureAwait(false);
    }

    private async Task DestroySessionAsync(ConsulCall call)
    {
        MustOwn(call);
        await (Missing(call, "Missing session") ?? ReplyAsync(call, await AskAsync(new StoreRequest.DestroySession(call.Rest), call.Aborted).ConfigureAwait(false))).ConfigureAwait(false);
    }

    /// <summary>Of a session that is not there nobody minds what is asked.</summary>
    private void MustOwn(ConsulCall call)
    {
        var caller = AuthorizerOf(call);
        Must(!_store.State.Sessions.TryGetValue(call.Rest, out var session) || caller.MayWrite("session", session.Node));
    }

    private async Task RenewSessionAsync(ConsulCall call)
    {
        if (Missing(call, "Missing session") is { } missing)
        {
            await missing.ConfigureAwait(false);
            return;
        }
        MustOwn(call);
        switch (await AskAsync(new StoreRequest.RenewSession(call.Rest), call.Aborted).ConfigureAwait(false))
        {
            case StoreReply.SessionIs { Session: { } session }:
                await call.JsonAsync(json => WriteSessions(json, [session])).ConfigureAwait(false);
                break;
            case StoreReply.SessionIs:
                await call.TextAsync(404, $"Session id '{call.Rest}' not found").ConfigureAwait(false);
                break;
            case StoreReply.Failed x:
                await call.TextAsync(x.Status, x.Text).ConfigureAwait(false);
                break;
        }
    }

    private async Task SessionInfoAsync(ConsulCall call)
    {
        if (Missing(call, "Missing session") is { } missing) await missing.ConfigureAwait(false);
        else if (SessionIds.Wrong(call.Rest) is { } wrong) await call.TextAsync(500, wrong).ConfigureAwait(false);
        else await SessionsAsync(call, s => s.Id == call.Rest).ConfigureAwait(false);
    }

    private Task SessionsAsync(ConsulCall call, Func<KvSession, bool> wanted) =>
        ReadAsync(call, () => _store.Topics.Watch(StoreTopics.Sessions, prefix: false), () => Math.Max(1, _store.State.SessionsIndex), async _ =>
        {
            var state = _store.State;
            var caller = AuthorizerOf(call);
            ReadHeaders(call, state.SessionsIndex);
            await call.JsonAsync(json => WriteSessions(json, state.Sessions.Values.Where(s => wanted(s) && caller.MayRead("session", s.Node)))).ConfigureAwait(false);
        });

    private static Task? Missing(ConsulCall call, string why) => call.Rest.Length == 0 ? call.TextAsync(400, why) : null;

    private static void WriteSessions(Utf8JsonWriter json, IEnumerable<KvSession> sessions)
    {
        json.WriteStartArray();
        foreach (var session in sessions) SessionBody.Write(json, session);
        json.WriteEndArray();
    }
}
