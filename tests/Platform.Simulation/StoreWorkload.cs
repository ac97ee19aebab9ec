using Platform.Discovery;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>Clients at the KV doors: they write, compare and set, take and let go of locks, renew their sessions or forget to.</summary>
internal sealed class StoreWorkload(World world)
{
    public const int Keys = 6;
    private const int SessionsMax = 8;

    private readonly List<KvSession> _sessions = [];
    private int _operation;

    public static string Key(int i) => $"s/{i % 2}/{i}";

    public void Begin() => world.Clock.After(world.Chance.Seconds(0.5, 3), Next);

    private void Next()
    {
        if (world.Calm) return;
        if (world.Scheduler.IsAlive) Act();
        world.Clock.After(world.Chance.Hits(0.5) ? world.Chance.Seconds(0.001, 0.05) : world.Chance.Seconds(0.2, 4), Next);
    }

    private void Act()
    {
        var key = Key(world.Chance.Below(Keys));
        var session = _sessions.Count > 0 ? world.Chance.Of(_sessions) : null;
        var value = new KvValue(BitConverter.GetBytes(++_operation));
        var known = world.Scheduler.State.Store.Entries.Find(key);
        switch (world.Chance.Below(20))
        {
            case < 4: Write(new KvOperation(KvVerb.Set, key) { Value = value }); break;
            case < 6: Write(new KvOperation(KvVerb.Cas, key) { Value = value, Index = (ulong)(world.Chance.Hits(0.8) ? known?.ModifyIndex ?? 0 : 1) }); break;
            case < 10 when session is not null: Write(new KvOperation(KvVerb.Lock, key) { Value = value, Session = session.Id }); break;
            case < 12 when session is not null: Write(new KvOperation(KvVerb.Unlock, key) { Value = value, Session = session.Id }); break;
            case < 13: Write(new KvOperation(world.Chance.Hits(0.5) ? KvVerb.Delete : KvVerb.DeleteTree, world.Chance.Hits(0.5) ? key : key[..3])); break;
            case < 14 when session is not null:
                Ask(new StoreRequest.Transact([new KvOperation(KvVerb.Lock, key) { Value = value, Session = session.Id }, new KvOperation(KvVerb.Set, Key(world.Chance.Below(Keys))) { Value = value }]), _ => { });
                break;
            case < 17 when _sessions.Count < SessionsMax: CreateSession(); break;
            case < 18 when session is not null: Ask(new StoreRequest.DestroySession(session.Id), _ => _sessions.Remove(session)); break;
            default:
                foreach (var renewed in _sessions.Where(_ => world.Chance.Hits(0.5)).ToList()) Renew(renewed);
                break;
        }
    }

    private void CreateSession()
    {
        var ttl = world.Chance.Hits(0.7) ? TimeSpan.FromSeconds(10 + world.Chance.Below(20)) : (TimeSpan?)null;
        var session = new KvSession
        {
            Id = $"00000000-0000-4000-8000-{++_operation:D12}", Node = world.Chance.Of(world.Nodes).Id.Name, NodeChecks = world.Chance.Hits(0.8) ? [KvSession.NodeAlive] : [],
            Behavior = world.Chance.Hits(0.7) ? SessionBehavior.Release : SessionBehavior.Delete, LockDelay = TimeSpan.FromSeconds(world.Chance.Below(4) * 5), Ttl = ttl,
        };
        Ask(new StoreRequest.CreateSession(session), answer =>
        {
            if (answer.Reply is not StoreReply.SessionIs) return; // its node is not there
            _sessions.Add(session);
            world.StoreChecks.Renewed(session.Id);
        });
    }

    private void Renew(KvSession session) => Ask(new StoreRequest.RenewSession(session.Id), answer =>
    {
        if (answer.Reply is StoreReply.SessionIs { Session: null }) _sessions.Remove(session);
        else world.StoreChecks.Renewed(session.Id);
    });

    private void Write(KvOperation operation) => Ask(new StoreRequest.Apply(operation), answer =>
    {
        if (answer.Reply is StoreReply.Done { Yes: true }) world.StoreChecks.Acknowledged(operation, answer.Index);
    });

    private void Ask(StoreRequest request, Action<StoreAnswer> answered)
    {
        world.Trace.Note("asks the store", request);
        world.Scheduler.Ask(new Command.Store(request) { Origin = ChangeOrigin.Internal }, decision =>
        {
            if (decision is not Decision.Accepted { Reply.Store: { } answer }) return; // nobody can say whether it was done
            world.Trace.Note("the store answers", answer);
            answered(answer);
        });
    }
}

/// <summary>What the store promises: what was acknowledged stays, a lock has one holder, and a session lives as long as it was told.</summary>
internal sealed class StoreChecks(World world)
{
    private readonly Dictionary<string, (KvOperation Operation, long Index)> _acknowledged = [];
    private readonly Dictionary<string, DateTimeOffset> _renewedAt = [];
    private readonly Dictionary<string, DateTimeOffset> _delayedUntil = [];
    private StoreState _logged = StoreState.Empty;

    /// <summary>How often a lock got a holder, and a session an end: a run without any would have shown nothing.</summary>
    public int LocksTaken { get; private set; }
    public int SessionsExpired { get; private set; }

    public void Renewed(string session) => _renewedAt[session] = world.Clock.Now;

    public void Acknowledged(KvOperation operation, long index) => _acknowledged[operation.Key] = (operation, index);

    /// <summary>The log has it, whether or not its writer lives to know: what is read back must come to the same.</summary>
    public void Logged(Step step)
    {
        foreach (var folded in step.Events)
            if (folded.Event is SchedulerEvent.Stored stored) _logged = _logged.Fold(stored.Change, folded.After.Revision, stored.At);
    }

    public void Recovered(StoreState state)
    {
        Promise(Text(state) == Text(_logged), "the store read back from the log is not the one that was written", "store");
        CheckAcknowledged(state);
    }

    public void Committed(Step step)
    {
        var changed = false;
        foreach (var folded in step.Events)
            if (folded.Event is SchedulerEvent.Stored stored)
            {
                changed = true;
                CheckLocks(folded.Before.Store, stored, folded.After.Store);
            }
        if (!changed) return;
        CheckAcknowledged(step.After.Store);
        CheckHeld(step.After.Store);
    }

    /// <summary>Minutes after the last renewal no session is left that had to be renewed.</summary>
    public static void Converged(StoreState state) =>
        Promise(state.Sessions.Values.All(s => s.Ttl is null), $"{string.Join(' ', state.Sessions.Values.Where(s => s.Ttl is not null).Select(s => s.Id))} should have run out", "store");

    private void CheckAcknowledged(StoreState state)
    {
        foreach (var (key, (operation, index)) in _acknowledged)
        {
            if (operation.Verb == KvVerb.DeleteTree)
            {
                Promise(state.Entries.Under(key).All(e => e.CreateIndex > index), $"a key under {key} is older than its acknowledged deletion at {index}", key);
                continue;
            }
            var entry = state.Entries.Find(key);
            if (operation.Verb == KvVerb.Delete) Promise(entry is null || entry.CreateIndex > index, $"{key} is older than its acknowledged deletion at {index}", key);
            else Promise(state.Entries.IndexOf(key) >= index && (entry?.ModifyIndex != index || entry.Value == operation.Value), $"{key} was acknowledged at {index} and is {entry?.ToString() ?? "gone"}", key);
        }
    }

    private void CheckLocks(StoreState before, SchedulerEvent.Stored stored, StoreState after)
    {
        foreach (var key in before.KeysOf(stored.Change).Distinct().ToList())
        {
            var (was, holder) = (before.Entries.Find(key)?.Session, after.Entries.Find(key)?.Session);
            Promise(was is null || holder is null || was == holder, $"{key} went from {was} to {holder}, who never let go", key);
            if (holder is null || holder == was) continue;
            LocksTaken++;
            Promise(after.Sessions.ContainsKey(holder), $"{key} is held by {holder}, which is no session", key);
            Promise(!_delayedUntil.TryGetValue(key, out var until) || stored.At >= until, $"{key} is taken by {holder} before its delay is over", key);
        }
        if (stored.Change is not StoreEvent.SessionEnded ended || !before.Sessions.TryGetValue(ended.Session, out var session)) return;
        if (ended.Why == SessionEnd.Expired) SessionsExpired++;
        foreach (var key in before.HeldBy(session.Id)) _delayedUntil[key] = stored.At + session.LockDelay;
        Promise(ended.Why != SessionEnd.Expired || stored.At >= _renewedAt.GetValueOrDefault(session.Id) + session.Ttl, $"{session.Id} ran out before its time", "store");
    }

    private static void CheckHeld(StoreState state)
    {
        var held = state.Entries.Under("").Where(e => e.Session is not null).Select(e => (e.Session!, e.Key)).Order();
        Promise(held.SequenceEqual(state.Held.SelectMany(h => h.Value.Select(k => (h.Key, k))).Order()), "who holds what is not what the keys say", "store");
        Promise(state.Held.Keys.All(state.Sessions.ContainsKey), "a session that has ended still holds a key", "store");
    }

    private static string Text(StoreState state) => System.Text.Json.JsonSerializer.Serialize(state);

    private static void Promise(bool kept, string promise, string key)
    {
        if (!kept) throw new PromiseBrokenException(promise, key);
    }
}
