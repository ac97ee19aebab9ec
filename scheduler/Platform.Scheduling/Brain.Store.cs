using Platform.Discovery;

namespace Platform.Scheduling;

/// <summary>The sessions of the KV doors: they end by themselves, when their time is up or what they are bound to is no longer well.</summary>
public sealed partial class Brain
{
    private readonly SessionClock _sessions = new(recovered.Store, startedAt);

    private void EndSessions(Work work, DateTimeOffset now)
    {
        foreach (var id in _sessions.Due(now))
            End(work, id, SessionEnd.Expired, now);
        if (work.State.Store.Sessions.IsEmpty) return;
        foreach (var lost in work.Lost)
            foreach (var session in work.State.Store.Sessions.Values.Where(s => s.Node == lost.Name && s.NodeChecks.Items.Contains(KvSession.NodeAlive)))
                End(work, session.Id, SessionEnd.NodeLost, now);
        foreach (var removed in work.Removed)
            foreach (var session in work.State.Store.Sessions.Values.Where(s => s.Node == removed.Name))
                End(work, session.Id, SessionEnd.NodeLost, now);
    }

    private void End(Work work, string session, SessionEnd why, DateTimeOffset now)
    {
        if (work.State.Store.Sessions.ContainsKey(session))
            Apply(work, [new SchedulerEvent.Stored(new StoreEvent.SessionEnded(session, why)) { At = now }]);
    }
}

/// <summary>
/// When the sessions with a TTL end unless they are renewed. Soft: renewals are not in the log, so a leader that begins anew gives each its whole time again,
/// and a session may live up to twice its TTL after its last renewal, as with Consul.
/// </summary>
internal sealed class SessionClock
{
    private readonly Dictionary<string, (TimeSpan Life, DateTimeOffset EndAt)> _known = new(StringComparer.Ordinal);

    /// <summary>May name a session more than once; only the entry that is its present end counts.</summary>
    private readonly PriorityQueue<string, DateTimeOffset> _queue = new();

    public SessionClock(StoreState recovered, DateTimeOffset startedAt)
    {
        foreach (var session in recovered.Sessions.Values) Begin(session, startedAt);
    }

    public DateTimeOffset? NextEndAt
    {
        get
        {
            while (_queue.TryPeek(out var id, out var at))
            {
                if (_known.TryGetValue(id, out var session) && session.EndAt == at) return at;
                _queue.Dequeue();
                if (session.EndAt > at) _queue.Enqueue(id, session.EndAt); // renewed since: its place is further back
            }
            return null;
        }
    }

    public void Renew(string id, DateTimeOffset now)
    {
        if (_known.TryGetValue(id, out var session)) _known[id] = session with { EndAt = now + session.Life };
    }

    /// <summary>Those whose time is up. They stay until their end is in the log.</summary>
    public List<string> Due(DateTimeOffset now)
    {
        var due = new List<string>();
        while (NextEndAt <= now)
        {
            var id = _queue.Dequeue();
            due.Add(id);
        }
        foreach (var id in due) _queue.Enqueue(id, _known[id].EndAt);
        return due;
    }

    public void Take(StoreEvent e, DateTimeOffset at)
    {
        switch (e)
        {
            case StoreEvent.SessionCreated x:
                Begin(x.Session, at);
                break;
            case StoreEvent.SessionEnded x:
                _known.Remove(x.Session);
                break;
        }
    }

    private void Begin(KvSession session, DateTimeOffset at)
    {
        if (session.Ttl is not { } ttl) return;
        var life = ttl * KvSession.TtlFactor;
        _known[session.Id] = (life, at + life);
        _queue.Enqueue(session.Id, at + life);
    }
}
