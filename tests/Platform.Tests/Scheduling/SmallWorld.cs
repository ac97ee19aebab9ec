using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduling;
using Platform.Simulation;

namespace Platform.Tests.Scheduling;

/// <summary>What a user does, as soon as the state is so: never at a time, for a restart moves all times.</summary>
internal sealed record Line(Func<ClusterState, bool> When, Func<ClusterState, Command> Ask);

/// <summary>A world as small as can be, whose agents are values: it can be left at any moment and gone on with from there.</summary>
internal sealed record SmallPlan(string Name, int Nodes, double Cpus, IReadOnlyList<Line> Lines, Func<Instance, bool>? IsSick = null)
{
    public bool IsUninterrupted { get; init; }
}

/// <summary>Where another scheduler may take over: what the log holds, what the nodes do, and what the user has yet to ask.</summary>
internal sealed record Moment(int LogLength, ImmutableSortedDictionary<InstanceId, InstanceReport> Tasks, DateTimeOffset Now, int NextLine);

/// <summary>
/// The real brain with one thing happening at a time: a node starts, readies or ends one task between two looks. So the log is long,
/// and every state that lies between two of its events comes about.
/// </summary>
internal sealed class SmallWorld
{
    private const int LooksMax = 2000;

    private static readonly SchedulerSettings Settings = new() { NodeLostAfter = TimeSpan.FromHours(1) };

    private readonly SmallPlan _plan;
    private readonly List<SchedulerEvent> _log;
    private readonly List<string> _answers = [];
    private readonly Brain _brain;
    private ImmutableSortedDictionary<InstanceId, InstanceReport> _tasks;
    private DateTimeOffset _now;
    private int _nextLine;

    private SmallWorld(SmallPlan plan, ClusterState state, Moment from, IEnumerable<SchedulerEvent> log)
    {
        (_plan, _tasks, _now, _nextLine) = (plan, from.Tasks, from.Now.AddSeconds(1), from.NextLine);
        _log = [.. log];
        _brain = new Brain(state, Settings, _now);
    }

    public IReadOnlyList<SchedulerEvent> Log => _log;
    public List<Moment> Moments { get; } = [];

    public static SmallWorld New(SmallPlan plan)
    {
        SchedulerEvent founded = new SchedulerEvent.ClusterFounded("small") { At = World.Start };
        return new SmallWorld(plan, ClusterState.Empty.Fold(founded), new Moment(1, ImmutableSortedDictionary<InstanceId, InstanceReport>.Empty, World.Start, 0), [founded]);
    }

    /// <summary>Another process, which knows nothing but the log, or nothing but a snapshot at its end.</summary>
    public static SmallWorld Restarted(SmallPlan plan, IReadOnlyList<SchedulerEvent> log, Moment at, bool fromSnapshot)
    {
        var kept = log.Take(at.LogLength).Select(e => SchedulerJson.ReadEvent(SchedulerJson.Write(e))).ToList();
        var state = kept.Aggregate(ClusterState.Empty, (s, e) => s.Fold(e));
        return new SmallWorld(plan, fromSnapshot ? SchedulerJson.ReadState(SchedulerJson.Write(state)) : state, at, kept);
    }

    /// <summary>Until all that was to be asked has been asked, and nothing happens any more.</summary>
    public SmallWorld Run()
    {
        for (var i = 1; i <= _plan.Nodes; i++) Look(new Input.NodeConnected(Node(i), 1));
        for (var look = 0; look < LooksMax; look++)
        {
            _now = _now.AddSeconds(1);
            if (_nextLine < _plan.Lines.Count && _plan.Lines[_nextLine].When(_brain.State)) Ask(_plan.Lines[_nextLine].Ask(_brain.State));
            else if (!Act() & Look([.. Reports()]) == 0 && _brain.NextLookAt > _now.AddMinutes(5)) return this;
        }
        throw new InvalidOperationException($"{_plan.Name} comes to no end:\n{string.Join('\n', _log.TakeLast(15))}");
    }

    /// <summary>What it came to, without the times: what each app is, how much of it runs in its newest configuration, what was answered, and that nothing is under way.</summary>
    public string Outcome()
    {
        var text = new StringBuilder();
        foreach (var (id, app) in _brain.State.Apps)
        {
            var current = app.Instances.Values.Count(i => app.IsCurrent(i) && app.IsReady(i) && !i.IsStopping);
            using var definition = new MemoryStream();
            using (var writer = new Utf8JsonWriter(definition)) AppJson.Write(writer, app.Definition with { Version = default, VersionInfo = default });
            text.AppendLine($"{id}: {app.Instances.Count} instances, {current} of them current and ready; {Encoding.UTF8.GetString(definition.ToArray())}");
        }
        foreach (var deployment in _brain.State.Deployments.Values) text.AppendLine($"a deployment of {string.Join(' ', deployment.Affected)} in step {deployment.CurrentStep} of {deployment.Steps.Count}");
        // What is interrupted half-way may have placed one more or less when the drain of another took a look longer.
        if (_plan.IsUninterrupted) text.AppendLine($"{_log.OfType<SchedulerEvent.InstancePlaced>().Count()} placed in all");
        return text.AppendLine($"{_tasks.Count} tasks; asked: {_nextLine} of {_plan.Lines.Count}").ToString();
    }

    private void Ask(Command command)
    {
        _nextLine++;
        if (Look(new Input.Asked(1, command)) < 0) throw new InvalidOperationException($"{_plan.Name}: line {_nextLine} was refused: {_answers[^1]}");
    }

    /// <summary>The number of events; below zero for a refusal.</summary>
    private int Look(params Input[] inputs)
    {
        var step = _brain.Step(inputs, _now);
        var length = _log.Count;
        _log.AddRange(step.Events.Select(f => f.Event));
        _brain.Commit(step);
        foreach (var folded in step.Events) DeploymentChecks.Check(folded);
        if (_brain.NextLookAt != DateTimeOffset.MinValue) DeploymentChecks.CheckIdle(_brain.State);
        var whole = 0; // a decision's own events are one: who asked is told of all or of none of them
        foreach (var (_, decision) in step.Decisions)
            if (decision is Decision.Accepted accepted) whole = accepted.Events.Count;
            else
            {
                _answers.Add(decision.ToString()!);
                return -1;
            }
        for (var end = length + Math.Max(whole, 1); end <= _log.Count; end++) Moments.Add(new Moment(end, _tasks, _now, _nextLine));
        return step.Events.Length;
    }

    /// <summary>One task comes a bit nearer to what is wanted of it.</summary>
    private bool Act()
    {
        var wanted = Enumerable.Range(1, _plan.Nodes).SelectMany(i => Projections.WantedOn(_brain.State, Node(i).Id)).OrderBy(w => w.Instance.Serial).ToList();
        foreach (var gone in _tasks.Keys.Except(wanted.Select(w => w.Instance.Id)).ToList()) _tasks = _tasks.Remove(gone);
        foreach (var (instance, goal) in wanted)
            if (Next(instance, goal) is { } next)
            {
                _tasks = _tasks.SetItem(instance.Id, next);
                return true;
            }
        return false;
    }

    private InstanceReport? Next(Instance instance, Goal goal)
    {
        var report = _tasks.GetValueOrDefault(instance.Id);
        if (report?.End is not null) return null;
        if (goal == Goal.Stop)
            return (report ?? New(instance)) with { End = new InstanceEnd(TerminalState.Killed, "stopped", null, false, false, _now) };
        if (report is null) return New(instance) with { Phase = Phase.Running, StartedAt = _now, Health = [new HealthState()] };
        if (report.Health[0].Alive || _plan.IsSick?.Invoke(instance) == true) return null;
        return report with { Health = [new HealthState { FirstSuccessAt = _now, LastSuccessAt = _now, Seen = true }] };
    }

    private static InstanceReport New(Instance instance) => new() { Id = instance.Id, Serial = instance.Serial };

    private IEnumerable<Input> Reports()
    {
        for (var i = 1; i <= _plan.Nodes; i++)
        {
            var node = Node(i).Id;
            yield return new Input.NodeReported(node, 1, true, _tasks.Values.Where(t => _brain.State.Instance(t.Id)?.Node == node).ToEquatableArray(), _brain.State.Revision, default);
        }
    }

    private NodeDescription Node(int number) => new()
    {
        Id = NodeId.Parse($"n{number}"), Address = $"10.0.0.{number}", Total = new Resources(_plan.Cpus, 4096, 1000), TaskPortMin = 31000, TaskPortMax = 31009, Runtimes = ["docker", "process"],
    };
}
