using Platform.Agent.Core;
using Platform.Discovery;
using Platform.Model;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>
/// The scheduler's process: the real brain between a log that may refuse and links that may break, in the order of the real loop
/// (disk, memory, world). It may die between any two of these.
/// </summary>
internal sealed class SimulatedScheduler(World world, FaultyMemoryLog log)
{
    private sealed record Session(SimulatedLink Link, SimulatedNode Node)
    {
        public bool NextIsComplete { get; set; } = true;
        public bool IsPumping { get; set; }
        public bool IsDirty { get; set; } = true;
        public EndpointCursor Cursor { get; set; }
        public Dictionary<InstanceId, (Goal Goal, bool AwaitsReadiness)> Sent { get; } = [];
        public EquatableArray<string> SentWipe { get; set; }
    }

    private readonly SchedulerSettings _settings = new() { DrainCeiling = TimeSpan.FromSeconds(20) };
    private readonly SortedDictionary<NodeId, Session> _sessions = [];
    private readonly Dictionary<long, Action<Decision?>> _callers = [];
    private readonly List<Input> _inbox = [];
    private long _life;
    private long _lastTicket;
    private long _lastSession;
    private long _term;
    private DateTimeOffset? _stepAt;

    public Brain? Brain { get; private set; }
    public EndpointTable Table { get; private set; } = new();
    public bool IsAlive => Brain is not null;
    public ClusterState State => Brain!.State;

    /// <summary>Recovers from the log; nothing if it runs already.</summary>
    public void Start()
    {
        if (IsAlive) return;
        var state = log.RecoverAsync(default).AsTask().GetAwaiter().GetResult();
        if (state.Revision == 0)
        {
            var founded = new SchedulerEvent.ClusterFounded("sim") { At = world.Clock.Now };
            Append(0, [founded]);
            state = state.Fold(founded);
        }
        Brain = new Brain(state, _settings, world.Clock.Now);
        _term = state.Revision;
        Table = new EndpointTable();
        Table.Apply(Projections.Complete(state));
        world.Trace.Note("scheduler starts at revision", state.Revision);
        world.Checks.Recovered(state);
        world.Checks.Published(Table.Current);
        WakeAt(world.Clock.Now);
    }

    public void Die()
    {
        if (!IsAlive) return;
        world.Trace.Note("scheduler dies");
        Brain = null;
        _life++;
        _stepAt = null;
        _inbox.Clear();
        foreach (var session in _sessions.Values) session.Link.Break();
        _sessions.Clear();
        foreach (var caller in _callers.Values.ToList()) caller(null);
        _callers.Clear();
    }

    /// <param name="answer">Gets null when nobody can say whether it was done.</param>
    public void Ask(Command command, Action<Decision?> answer)
    {
        _callers[++_lastTicket] = answer;
        Tell(new Input.Asked(_lastTicket, command));
    }

    public SimulatedLink? Connect(SimulatedNode node, EndpointCursor cursor)
    {
        if (!IsAlive) return null;
        var link = new SimulatedLink(world, node.Id, ++_lastSession);
        if (_sessions.Remove(node.Id, out var older)) older.Link.Break();
        var session = _sessions[node.Id] = new Session(link, node) { Cursor = cursor };
        Tell(new Input.NodeConnected(node.Description, link.Session));
        Pump(session);
        return link;
    }

    /// <summary>The scheduler's end of a link notices that it broke.</summary>
    public void Disconnected(SimulatedLink link)
    {
        if (!IsAlive) return;
        if (_sessions.TryGetValue(link.Node, out var session) && session.Link == link) _sessions.Remove(link.Node);
        Tell(new Input.NodeDisconnected(link.Node, link.Session));
    }

    public void Tell(Input input)
    {
        if (!IsAlive) return;
        _inbox.Add(input);
        WakeAt(world.Clock.Now.AddMilliseconds(1)); // what comes in meanwhile goes into the same batch
    }

    private void WakeAt(DateTimeOffset at)
    {
        if (at < world.Clock.Now) at = world.Clock.Now;
        if (_stepAt <= at) return;
        _stepAt = at;
        var life = _life;
        world.Clock.At(at, () =>
        {
            if (life != _life || _stepAt != at) return;
            _stepAt = null;
            Step();
        });
    }

    private void Step()
    {
        var batch = _inbox.Take(256).ToList();
        _inbox.RemoveRange(0, batch.Count);
        if (Dies(0.002)) return;
        var step = Brain!.Step(batch, world.Clock.Now);
        if (!step.Events.IsEmpty)
        {
            if (Dies(0.002)) return;
            log.RefusesNext = world.Faults.LogRefuses && !world.Calm && world.Chance.Hits(0.02);
            try
            {
                Append(step.Before.Revision, [.. step.Events.Select(f => f.Event)]);
            }
            catch (LogRefusedException)
            {
                world.Trace.Note("the log refuses", step.Events.Length);
                Brain.Abandon(step);
                foreach (var (ticket, _) in step.Decisions) Answer(ticket, null);
                WakeAt(world.Clock.Now.AddMilliseconds(250));
                return;
            }
            foreach (var folded in step.Events) world.Trace.Note("log", folded.Event);
            world.Checks.Logged(step);
            if (Dies(0.002)) return; // stored, and nobody was told
        }
        Brain.Commit(step);
        world.Checks.Committed(step);
        Publish(step);
        if (Dies(0.002)) return;
        foreach (var (ticket, decision) in step.Decisions) Answer(ticket, decision);
        if (!world.IsLarge && log.Revision % 500 < step.Events.Length) log.SaveSnapshotAsync(Brain.State, default).AsTask().GetAwaiter().GetResult();
        if (_inbox.Count > 0) WakeAt(world.Clock.Now.AddMilliseconds(1));
        else if (Brain.NextLookAt is { } next) WakeAt(next <= world.Clock.Now ? world.Clock.Now.AddTicks(1) : next);
    }

    private bool Dies(double probability)
    {
        if (!world.Faults.SchedulerDies || world.Calm || !world.Chance.Hits(probability)) return false;
        Die();
        world.Clock.After(world.Chance.Seconds(0.1, world.Chance.Hits(0.2) ? 40 : 3), Start);
        return true;
    }

    private void Append(long expected, System.Collections.Immutable.ImmutableArray<SchedulerEvent> events) =>
        log.AppendAsync(expected, events, default).AsTask().GetAwaiter().GetResult();

    private void Answer(long ticket, Decision? decision)
    {
        if (_callers.Remove(ticket, out var caller)) caller(decision);
    }

    private void Publish(Step step)
    {
        if (!step.EndpointChanges.IsEmpty)
        {
            var update = new EndpointUpdate(step.After.ClusterId, Table.Current.Revision, step.After.Revision, false, new EquatableArray<EndpointChange>(step.EndpointChanges));
            if (Table.Apply(update) is null) throw new PromiseBrokenException("the scheduler's own table refused its update", "table");
            world.Checks.Published(Table.Current);
            foreach (var session in _sessions.Values) Pump(session);
        }
        foreach (var node in step.DirtyNodes.Order())
            if (!_sessions.TryGetValue(node, out var session)) continue;
            else if (!step.After.Nodes.ContainsKey(node))
            {
                session.Link.Break(); // removed
                _sessions.Remove(node);
            }
            else
            {
                session.IsDirty = true;
                Pump(session);
            }
    }

    /// <summary>As the real gateway: what goes out is made of the newest state at the moment of sending, so nodes miss steps but never the present.</summary>
    private void Pump(Session session)
    {
        if (session.IsPumping) return;
        session.IsPumping = true;
        var life = _life;
        world.Clock.After(world.Chance.Seconds(0.0002, 0.003), () =>
        {
            session.IsPumping = false;
            if (life != _life || !_sessions.TryGetValue(session.Link.Node, out var current) || current != session) return;
            if (Table.After(session.Cursor) is { } update)
            {
                session.Link.ToNode(() => session.Node.TakeEndpoints(update));
                session.Cursor = new EndpointCursor(update.Epoch, update.To);
            }
            SendDesired(session);
        });
    }

    private void SendDesired(Session session)
    {
        var state = State;
        if (!session.IsDirty || !state.Nodes.ContainsKey(session.Node.Id)) return;
        session.IsDirty = false;
        var wanted = Projections.WantedOn(state, session.Node.Id).ToList();
        if (world.Bug == SeededBug.SkipDrain) wanted = wanted.Select(w => (w.Instance, w.Instance.IsStopping ? Goal.Stop : Goal.Run)).ToList();
        var upsert = wanted.Where(w => !session.Sent.TryGetValue(w.Instance.Id, out var sent) || sent != (w.Goal, state.IsAskedForReadiness(w.Instance)))
            .Select(w => Projections.AssignmentOf(state, w.Instance, w.Goal, (_, _) => EquatableMap.Empty)).ToEquatableArray();
        var now = wanted.Select(w => w.Instance.Id).ToHashSet();
        var remove = session.Sent.Keys.Where(id => !now.Contains(id)).ToEquatableArray();
        var complete = session.NextIsComplete;
        var wipe = Projections.WipedOn(state, session.Node.Id).ToEquatableArray();
        if (!complete && upsert.IsEmpty && remove.IsEmpty && wipe == session.SentWipe) return;
        (session.NextIsComplete, session.SentWipe) = (false, wipe);
        foreach (var id in remove) session.Sent.Remove(id);
        foreach (var assignment in upsert) session.Sent[assignment.Id] = (assignment.Goal, assignment.AwaitsReadiness);
        var (term, revision, serial) = (_term, state.Revision, state.NextSerial);
        session.Link.ToNode(() => session.Node.TakeDesired(new AgentInput.Desired(term, revision, complete, serial, upsert, remove) { Wipe = wipe }));
    }
}
