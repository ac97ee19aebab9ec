using Platform.Model;
using Work = Platform.Agent.Core.HeldInstance.Work;

namespace Platform.Agent.Core;

/// <summary>
/// The agent's brain: takes inputs, compares what is desired with what is there, and says what to do. It never waits, has no clock
/// and draws no lots; the agent and the simulator run the same one. One thread calls it.
/// It does nothing to a runtime's containers before that runtime's first complete list, and nothing to instances the scheduler may not know yet.
/// </summary>
public sealed class AgentCore
{
    /// <summary>A killed container that does not end is signalled again after this.</summary>
    public static readonly TimeSpan KillAgainAfter = TimeSpan.FromSeconds(5);
    public static readonly TimeSpan RetryDelayMin = TimeSpan.FromMilliseconds(200);
    public static readonly TimeSpan RetryDelayMax = TimeSpan.FromSeconds(5);

    private readonly string _nodeAddress;
    private readonly SortedDictionary<InstanceId, HeldInstance> _held = [];
    private readonly HashSet<RuntimeKind> _unlisted;
    private readonly HashSet<InstanceId> _launchedBefore;
    private readonly Dictionary<InstanceId, EquatableArray<HealthState>> _healthBefore;

    /// <summary>Removed ones, until a list begun later confirms it: an older list or a late event must not bring them back.</summary>
    private readonly Dictionary<InstanceId, (RuntimeKind Runtime, DateTimeOffset At)> _forgotten = [];
    private readonly List<AgentAction> _actions = [];
    private readonly VolumeWipes _wipes = new();
    private AgentMemory _memory;
    private Persistence _persist;

    /// <param name="nodeAddress">Where published ports of instances are probed.</param>
    /// <param name="runtimes">Those this node has; an instance of any other is refused with a sentence.</param>
    public AgentCore(AgentMemory recovered, string nodeAddress, EquatableArray<RuntimeKind> runtimes)
    {
        _memory = recovered;
        _nodeAddress = nodeAddress;
        _unlisted = [.. runtimes];
        Runtimes = runtimes;
        _launchedBefore = [.. recovered.Launched];
        _healthBefore = recovered.Health.ToDictionary(x => x.Id, x => x.Checks);
        foreach (var assignment in recovered.Assignments) Assign(assignment);
        foreach (var (id, end) in recovered.Ends)
            if (Of(id) is { } held) held.End = end;
    }

    public EquatableArray<RuntimeKind> Runtimes { get; }

    /// <summary>Every runtime has been listed once. Before that a report would leave out instances that run, so it must not claim to be complete.</summary>
    public bool Adopted => _unlisted.Count == 0;

    /// <summary>The revision of the last desired state taken, for the reports; 0 before the first.</summary>
    public long DesiredRevision => _memory.Revision ?? 0;

    /// <summary>Of the volumes that are to be wiped, those whose data is gone.</summary>
    public EquatableArray<string> Wiped => _wipes.Done;

    /// <summary>What a later life has to be given; see <see cref="AgentStep.Persist"/>.</summary>
    public AgentMemory Memory => _memory with
    {
        Assignments = _held.Values.Where(x => x.Listed).Select(x => x.Assignment!).ToEquatableArray(),
        Launched = _held.Values.Where(x => x.Listed && x.Launched).Select(x => x.Id).ToEquatableArray(),
        Ends = _held.Values.Where(x => x.Listed && x.End is not null).Select(x => new EndMemory(x.Id, x.End!)).ToEquatableArray(),
        Health = _held.Values.Where(x => x.Health.Length > 0).Select(x => new HealthMemory(x.Id, x.Health.ToEquatableArray())).ToEquatableArray(),
    };

    /// <summary>Every instance this node holds and knows the state of; all of them once <see cref="Adopted"/>.</summary>
    public EquatableArray<InstanceReport> Reports() => _held.Values.Where(IsKnown).Select(x => x.Report()).ToEquatableArray();

    /// <summary>Before its runtime was listed, an instance of an earlier life may run or not: to say "staging" would be a step back.</summary>
    private bool IsKnown(HeldInstance held) => held.End is not null || held.Container is not null || !_unlisted.Contains(held.Runtime);

    /// <summary>Takes inputs in order, then says what to do. With none, it only looks at the time.</summary>
    public AgentStep Step(DateTimeOffset now, params ReadOnlySpan<AgentInput> inputs)
    {
        _actions.Clear();
        _persist = Persistence.None;
        foreach (var input in inputs) Take(input, now);

        DateTimeOffset? nextLook = null;
        List<InstanceReport> changed = [];
        foreach (var held in _held.Values.ToArray())
        {
            if (Advance(held, now) is { } look && (nextLook is null || look < nextLook)) nextLook = look;
            if (!_held.ContainsKey(held.Id) || !IsKnown(held)) continue;
            var report = held.Report();
            var before = held.Reported;
            if (before is not null && !IsNews(before, report)) continue;
            if (before is null || before.Health != report.Health || before.End != report.End) Remember(Persistence.Soon);
            held.Reported = report;
            changed.Add(report);
        }
        var wipe = Adopted ? _wipes.Due(_held.Values, now) : default;
        if (_wipes.NextLookAt(now) is { } wipeAt && (nextLook is null || wipeAt < nextLook)) nextLook = wipeAt;
        return new AgentStep(_actions.ToEquatableArray(), changed.ToEquatableArray(), nextLook, _persist) { Wipe = wipe };
    }

    /// <summary>A check that keeps passing is no news: its time travels with the next complete report.</summary>
    private static bool IsNews(InstanceReport before, InstanceReport after)
    {
        if (before == after) return false;
        var calm = before with { Health = before.Health.Zip(after.Health, (b, a) => b.Alive && a.Alive ? b with { LastSuccessAt = a.LastSuccessAt } : b).ToEquatableArray() };
        return before.Health.Count != after.Health.Count || calm != after;
    }

    private void Take(AgentInput input, DateTimeOffset now)
    {
        switch (input)
        {
            case AgentInput.Desired x: TakeDesired(x); break;
            case AgentInput.Listed x: TakeList(x, now); break;
            case AgentInput.Seen x: if (!_forgotten.ContainsKey(x.Container.Id)) Hold(x.Container).Observe(x.Container, now); break;
            case AgentInput.Progress x: if (Of(x.Id) is { Busy: Work.Start } pulling) pulling.Detail = x.Detail; break;
            case AgentInput.StartRefused x: if (Of(x.Id) is { Busy: Work.Start } refused) Refuse(refused, x.State, x.Why, now); break;
            case AgentInput.Done x: if (Of(x.Id) is { } done) TakeDone(done, now); break;
            case AgentInput.Failed x: if (Of(x.Id) is { } failed) TakeFailed(failed, x.Why, now); break;
            case AgentInput.Wiped x: _wipes.Take(x, now); break;
            case AgentInput.Probed x: if (Of(x.Id) is { } probed) TakeProbe(probed, x, now); break;
            case AgentInput.ReadinessAnswered x: if (Of(x.Id) is { } asked) TakeReadiness(asked, x); break;
            default: throw new System.Diagnostics.UnreachableException($"{input}");
        }
    }

    private void TakeDesired(AgentInput.Desired desired)
    {
        if (desired.Term < _memory.Term) return;
        var sameTerm = desired.Term == _memory.Term && _memory.Revision is not null;
        if (sameTerm && (desired.Complete ? desired.Revision < _memory.Revision : desired.Revision <= _memory.Revision)) return;
        if (!sameTerm && !desired.Complete) return; // a delta has a base only within a term

        if (desired.Complete)
            foreach (var held in _held.Values) held.Listed = false;
        _wipes.Want(desired.Wipe);
        foreach (var assignment in desired.Upsert) Assign(assignment);
        foreach (var id in desired.Remove)
            if (Of(id) is { } held) held.Listed = false;
        _memory = _memory with { Term = desired.Term, Revision = desired.Revision, NextSerial = Math.Max(_memory.NextSerial, desired.NextSerial) };
        Remember(Persistence.BeforeActions);
    }

    private void Assign(Assignment assignment)
    {
        var held = Of(assignment.Id) ?? Add(new HeldInstance(assignment.Id, assignment.Serial, Core.Runtimes.Of(assignment.App)));
        held.Listed = true;
        held.Assignment = held.Assignment is { Goal: Goal.Stop } ? assignment with { Goal = Goal.Stop } : assignment; // a stop is never taken back
        if (held.Readiness.Length != assignment.App.ReadinessChecks.Count)
            held.Readiness = [.. assignment.App.ReadinessChecks.Select(_ => ReadinessAsk.Fresh)];
        if (held.Health.Length == assignment.App.HealthChecks.Count) return;
        held.Health = _healthBefore.TryGetValue(held.Id, out var before) && before.Count == assignment.App.HealthChecks.Count
            ? [.. before]
            : [.. assignment.App.HealthChecks.Select(_ => new HealthState())];
        held.Schedules = new ProbeSchedule?[held.Health.Length];
    }

    private HeldInstance? Of(InstanceId id) => _held.GetValueOrDefault(id);

    private HeldInstance Hold(ObservedContainer seen) => Of(seen.Id) ?? Add(new HeldInstance(seen.Id, seen.Serial, seen.Runtime));

    private HeldInstance Add(HeldInstance held)
    {
        held.Launched = _launchedBefore.Contains(held.Id);
        return _held[held.Id] = held;
    }

    private void TakeList(AgentInput.Listed list, DateTimeOffset now)
    {
        foreach (var id in _forgotten.Where(x => x.Value.Runtime == list.Runtime && x.Value.At < list.AsOf).Select(x => x.Key).ToArray()) _forgotten.Remove(id);
        var there = list.Containers.Where(x => x.Runtime == list.Runtime && !_forgotten.ContainsKey(x.Id)).ToDictionary(x => x.Id);
        foreach (var container in there.Values) Hold(container).Observe(container, now);
        var first = _unlisted.Remove(list.Runtime);
        foreach (var held in _held.Values.Where(x => x.Runtime == list.Runtime && x.RetryAt is not null && list.AsOf > x.FailedAt)) held.RetryAt = now; // it answers again
        foreach (var held in _held.Values.Where(x => x.Runtime == list.Runtime && !there.ContainsKey(x.Id)).ToArray())
        {
            if (held.Busy is Work.Start or Work.Remove) continue; // its own answer says more than a list from the middle of it
            if (held.Container is not null && held.KnownSince < list.AsOf) held.Vanish(now);
            else if (held.UncertainSince is { } since && since < list.AsOf) held.Vanish(now);
            else if (first && held.Launched && !held.LaunchedNow && held.Container is null) held.Vanish(now);
        }
    }

    private static void Refuse(HeldInstance held, TerminalState state, string why, DateTimeOffset now)
    {
        held.Busy = Work.None;
        held.UncertainSince = null;
        held.End ??= state == TerminalState.Killed ? held.Killed(why, null, now) : new InstanceEnd(state, why, null, false, false, now);
    }

    private void TakeDone(HeldInstance held, DateTimeOffset now)
    {
        var step = held.Busy;
        held.Busy = Work.None;
        held.Attempts = 0;
        held.RetryAt = null;
        switch (step)
        {
            case Work.Start when held.Container is null: // said to be started, yet not seen: the next list decides
                held.Made = true;
                held.UncertainSince = now;
                break;
            case Work.Terminate: held.TerminatedAt ??= now; break;
            case Work.Kill: held.KillAt = now + KillAgainAfter; break;
            case Work.Remove:
                _forgotten[held.Id] = (held.Runtime, now);
                Forget(held);
                break;
            case Work.None or Work.Start: break;
            default: throw new System.Diagnostics.UnreachableException($"{step}");
        }
    }

    private static void TakeFailed(HeldInstance held, string why, DateTimeOffset now)
    {
        if (held.Busy == Work.None) return;
        if (held.Busy == Work.Start && held.Container is null) held.UncertainSince = now;
        held.Busy = Work.None;
        held.Detail = $"{why}; trying again";
        held.FailedAt = now;
        held.RetryAt = now + RetryDelay(held, held.Attempts++);
    }

    /// <summary>Doubling, with up to a third taken off by the instance's own number, so that many do not come back in step.</summary>
    private static TimeSpan RetryDelay(HeldInstance held, int attempts)
    {
        var full = RetryDelayMin * Math.Pow(2, Math.Min(attempts, 10));
        var spread = (uint)(held.Serial * 2654435761 + attempts * 40503) % 1000 / 3000.0;
        return (full < RetryDelayMax ? full : RetryDelayMax) * (1 - spread);
    }

    private static void TakeProbe(HeldInstance held, AgentInput.Probed probed, DateTimeOffset now)
    {
        if (probed.Check >= held.Schedules.Length || held.Schedules[probed.Check] is not { InFlight: true } schedule) return;
        var check = held.Checks[probed.Check];
        held.Schedules[probed.Check] = schedule.Answered(check, now);
        if (!held.IsRunning || held.Stopping) return; // a failure of a task that is not running is nobody's
        var verdict = HealthRules.Apply(check, held.Health[probed.Check], probed.Outcome, schedule.InFlightCounts, held.Container!.StartedAt ?? held.KnownSince, now);
        held.Health[probed.Check] = verdict.State;
        if (verdict.Kill) held.HealthKill = verdict.State.LastFailureCause;
    }

    private static void TakeReadiness(HeldInstance held, AgentInput.ReadinessAnswered answered)
    {
        if (answered.Check >= held.Readiness.Length || !held.Readiness[answered.Check].InFlight) return;
        var ask = held.Readiness[answered.Check];
        held.Readiness[answered.Check] = held.IsRunning && !held.Stopping
            ? ask.Answered(held.Assignment!.App.ReadinessChecks[answered.Check], answered.Response)
            : ask with { InFlight = false };
    }

    /// <summary>The heart: one held instance, one look, at most one new action. Returns when to look again.</summary>
    private DateTimeOffset? Advance(HeldInstance held, DateTimeOffset now)
    {
        if (!Runtimes.Contains(held.Runtime))
            held.End ??= new InstanceEnd(TerminalState.Failed, $"This node cannot run it: it has no {(held.Runtime == RuntimeKind.Docker ? "container engine (docker)" : "process runtime")}", null, false, false, now);
        else if (_unlisted.Contains(held.Runtime)) return null;

        if (held.Busy != Work.None)
        {
            CancelUnwantedStart(held);
            return null;
        }
        if (held.RetryAt > now) return held.RetryAt;
        if (held.End is not null)
            return held.Container?.State == ContainerState.Running ? Stop(held, now) : ClearAway(held); // an engine may do late what it never answered
        return held.Container?.State switch
        {
            null or ContainerState.Created => Begin(held, now),
            ContainerState.Running => MustStop(held) ? Stop(held, now) : Earlier(ProbeDue(held, now), AskDue(held, now)),
            _ => null,
        };
    }

    private bool MustStop(HeldInstance held) =>
        held.HealthKill is not null || held.Ending is not null || (held.Listed ? held.Assignment!.Goal == Goal.Stop : MayLetGo(held));

    /// <summary>Not listed is reason enough only for an instance the scheduler certainly knew.</summary>
    private bool MayLetGo(HeldInstance held) => !held.Listed && _memory.Revision is not null && held.Serial < _memory.NextSerial;

    private void CancelUnwantedStart(HeldInstance held)
    {
        if (held.Busy != Work.Start || held.StartCancelled || !MustStop(held)) return;
        held.StartCancelled = true;
        _actions.Add(new AgentAction.CancelStart(held.Id));
    }

    private DateTimeOffset? Begin(HeldInstance held, DateTimeOffset now)
    {
        if (held.Container is null && held.Launched && !held.LaunchedNow)
            held.Vanish(now);
        else if (MustStop(held))
        {
            if (held.UncertainSince is not null) return null; // a container may be there: the next list tells
            held.End = held.Killed("Task was killed before it was started", null, now);
        }
        else if (held.Listed && (held.Container is not null || !held.Made))
        {
            if (IsTaken(held)) return null; // whatever becomes of the one before is looked at then
            if (!held.Launched) Remember(Persistence.BeforeActions);
            held.Launched = held.LaunchedNow = true;
            Order(held, Work.Start, new AgentAction.Start(held.Assignment!));
            return null;
        }
        return held.End is null ? null : ClearAway(held);
    }

    /// <summary>An earlier task of the instance may still be on its volumes: given up by the scheduler while this node was out of reach, it has to end first.</summary>
    private bool IsTaken(HeldInstance held)
    {
        if (held.Id.Incarnation == 1) return false;
        var first = held.Id.First;
        return _held.Values.Any(x => x != held && x.Id.First == first && (x.Container?.State == ContainerState.Running || x.Busy == Work.Start || x.UncertainSince is not null));
    }

    private DateTimeOffset? Stop(HeldInstance held, DateTimeOffset now)
    {
        held.Stopping = true;
        held.Detail = held.HealthKill is not null ? "Stopping since its health check failed"
            : held.Ending is { } ending ? $"Stopping: {ending.Message}"
            : "Stopping";
        if (held.TerminatedAt is not { } terminated)
        {
            Order(held, Work.Terminate, new AgentAction.Terminate(held.Id, held.Runtime));
            return null;
        }
        var killAt = held.KillAt ?? terminated + held.KillGrace;
        if (now < killAt) return killAt;
        Order(held, Work.Kill, new AgentAction.Kill(held.Id, held.Runtime));
        return null;
    }

    /// <summary>An ended instance is reported until the scheduler no longer lists it; only then its container goes.</summary>
    private DateTimeOffset? ClearAway(HeldInstance held)
    {
        if (held.UncertainSince is not null || !MayLetGo(held)) return null;
        if (held.Container is null) Forget(held);
        else Order(held, Work.Remove, new AgentAction.Remove(held.Id, held.Runtime));
        return null;
    }

    private void Forget(HeldInstance held)
    {
        _held.Remove(held.Id);
        _launchedBefore.Remove(held.Id);
        _healthBefore.Remove(held.Id);
        Remember(Persistence.Soon);
    }

    private DateTimeOffset? ProbeDue(HeldInstance held, DateTimeOffset now)
    {
        DateTimeOffset? next = null;
        for (var i = 0; i < held.Schedules.Length; i++)
        {
            var check = held.Checks[i];
            var passed = held.Health[i].FirstSuccessAt is not null;
            var schedule = held.Schedules[i] ??= ProbeSchedule.Register(check, now);
            if (schedule.Due(check, passed, now) is { } due)
            {
                held.Schedules[i] = due.Next;
                var (address, port) = TargetOf(held, check);
                _actions.Add(new AgentAction.Probe(held.Id, i, check, held.Runtime, address, port, due.Timeout));
            }
            else if (schedule.NextAt(passed, now) is { } at && (next is null || at < next)) next = at;
        }
        return next;
    }

    private DateTimeOffset? AskDue(HeldInstance held, DateTimeOffset now)
    {
        if (held.Assignment is not { AwaitsReadiness: true } assignment) return null;
        DateTimeOffset? next = null;
        for (var i = 0; i < held.Readiness.Length; i++)
        {
            var (ask, check) = (held.Readiness[i], assignment.App.ReadinessChecks[i]);
            if (ask.IsDue(now))
            {
                held.Readiness[i] = ask.Asked(check, now);
                var (address, port) = TargetOf(held, assignment.App.Ports.FirstOrDefault(p => p.Name == check.PortName)?.Index ?? 0);
                _actions.Add(new AgentAction.AskReadiness(held.Id, i, check, address, port));
            }
            else if (ask is { IsOpen: true, InFlight: false }) next = Earlier(next, ask.NextAt);
        }
        return next;
    }

    private static DateTimeOffset? Earlier(DateTimeOffset? a, DateTimeOffset? b) => a is null || b < a ? b : a;

    /// <summary>The published port on the node; a port that is not published at the container's own address.</summary>
    private (string? Address, int Port) TargetOf(HeldInstance held, HealthCheck check)
    {
        if (check.Protocol == HealthCheckProtocol.Command) return (null, 0);
        var assignment = held.Assignment!;
        if (check.Port is { } port)
            return (assignment.App.Network == NetworkMode.Host || assignment.HostPorts.Contains(port) ? _nodeAddress : held.Container!.Address, port);
        return TargetOf(held, check.PortIndex ?? 0);
    }

    private (string? Address, int Port) TargetOf(HeldInstance held, int index)
    {
        var assignment = held.Assignment!;
        if (index < assignment.HostPorts.Count && assignment.HostPorts[index] is var published and > 0) return (_nodeAddress, published);
        var ports = assignment.App.Ports;
        return (held.Container!.Address, index < ports.Count ? ports[index].ContainerPort ?? 0 : 0);
    }

    private void Order(HeldInstance held, Work work, AgentAction action)
    {
        held.Busy = work;
        held.RetryAt = null;
        _actions.Add(action);
    }

    private void Remember(Persistence urgency) => _persist = urgency > _persist ? urgency : _persist;
}
