using System.Text.Json;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>
/// A small cluster in one object: the real brain, nodes that do as they are told, and a clock that moves only when asked.
/// A test states a world, lets it settle, and looks at what became of it.
/// </summary>
internal sealed class World
{
    public static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly SchedulerSettings _settings;
    private readonly List<SchedulerEvent> _log = [];
    private Brain _brain;
    private long _tickets;
    private long _sessions;

    private World(SchedulerSettings settings)
    {
        _settings = settings;
        var founded = new SchedulerEvent.ClusterFounded("c1") { At = Start };
        _log.Add(founded);
        _brain = new Brain(ClusterState.Empty.Fold(founded), settings, Start);
    }

    public DateTimeOffset Now { get; set; } = Start;
    public SchedulerSettings Settings => _settings;
    public ClusterState State => _brain.State;
    public Brain Brain => _brain;
    public IReadOnlyList<SchedulerEvent> Log => _log;
    public Dictionary<string, FakeNode> Nodes { get; } = [];
    public Step LastStep { get; private set; } = null!;

    /// <summary>Whether an instance, once started, passes its health checks.</summary>
    public Func<Instance, bool> IsHealthy { get; set; } = _ => true;

    /// <summary>What an instance answers when it is asked whether it is ready.</summary>
    public Func<Instance, ReadinessResponse> Readiness { get; set; } = _ => new ReadinessResponse(200, "text/plain", "yes");

    public static World With(int nodes = 1, double cpus = 16, double memMib = 16384, int ports = 100, Func<int, (string Key, string Value)[]>? attributes = null, SchedulerSettings? settings = null)
    {
        var world = new World(settings ?? new SchedulerSettings());
        for (var i = 1; i <= nodes; i++) world.Join($"n{i}", cpus, memMib, ports, attributes?.Invoke(i) ?? []);
        return world;
    }

    public static AppDefinition Definition(string id, int instances = 1, int ports = 1) => new()
    {
        Id = AppId.Parse(id),
        Cmd = "serve",
        Instances = instances,
        Resources = new Resources(0.5, 64, 0),
        PortDefinitions = Enumerable.Repeat(new PortDefinition(0, "tcp", null, EquatableMap.Empty), ports).ToEquatableArray(),
    };

    public static JsonElement Json(AppDefinition definition)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream)) AppJson.Write(writer, definition with { Version = default, VersionInfo = default });
        return Json(System.Text.Encoding.UTF8.GetString(stream.ToArray()));
    }

    public static JsonElement Json(string text) => JsonDocument.Parse(text).RootElement;

    public FakeNode Join(string name, double cpus = 16, double memMib = 16384, int ports = 100, params (string Key, string Value)[] attributes)
    {
        var node = new FakeNode(new NodeDescription
        {
            Id = NodeId.Parse(name),
            Address = $"10.0.0.{Nodes.Count + 1}",
            Total = new Resources(cpus, memMib, 1000),
            TaskPortMin = 31000,
            TaskPortMax = 31000 + ports - 1,
            Attributes = EquatableMap.From(attributes.Select(a => KeyValuePair.Create(a.Key, a.Value))),
            Runtimes = ["docker", "process"],
        });
        Nodes[name] = node;
        return Connect(name);
    }

    public FakeNode Connect(string name)
    {
        var node = Nodes[name];
        node.Connected = true;
        node.Session = ++_sessions;
        Step(new Input.NodeConnected(node.Description, node.Session));
        return node;
    }

    /// <summary>Creates an app and expects it to be taken.</summary>
    public World App(string id, int instances = 1, int ports = 1, Func<AppDefinition, AppDefinition>? with = null)
    {
        var definition = Definition(id, instances, ports);
        Accept(Create(with?.Invoke(definition) ?? definition));
        return this;
    }

    public static Command Create(AppDefinition definition, bool force = false) =>
        new Command.CreateApp(Json(definition), force) { Origin = ChangeOrigin.Internal };

    public static Command Put(string id, string body, bool force = false) =>
        new Command.WriteApps([new AppWrite(AppId.Parse(id), Json(body))], Partial: true, MayCreate: true, force) { Origin = ChangeOrigin.Internal };

    public static Command Delete(string id, bool force = true) => new Command.DeleteApp(AppId.Parse(id), force) { Origin = ChangeOrigin.Internal };
    public static Command Restart(string id, bool force = false) => new Command.RestartApp(AppId.Parse(id), force) { Origin = ChangeOrigin.Internal };
    public static Command Cancel(string deployment, bool force) => new Command.CancelDeployment(deployment, force) { Origin = ChangeOrigin.Internal };
    public static Command ResetDelay(string id) => new Command.ResetDelay(AppId.Parse(id)) { Origin = ChangeOrigin.Internal };
    public static Command Wipe(params InstanceId[] instances) => new Command.KillInstances(instances.ToEquatableArray(), false, false) { Origin = ChangeOrigin.Internal, Wipe = true };
    public static Command Kill(bool scale, params InstanceId[] instances) => new Command.KillInstances(instances.ToEquatableArray(), scale, false) { Origin = ChangeOrigin.Internal };

    public Decision Ask(Command command)
    {
        Step(new Input.Asked(++_tickets, command));
        return LastStep.Decisions.Single().Decision;
    }

    public Reply Accept(Command command) =>
        Ask(command) is var decision && decision is Decision.Accepted accepted ? accepted.Reply : throw new InvalidOperationException($"refused: {decision}");

    public Rejection Refuse(Command command) =>
        Ask(command) is var decision && decision is Decision.Refused refused ? refused.Rejection : throw new InvalidOperationException($"accepted: {decision}");

    /// <summary>One look of the brain at these inputs, and its events into the log.</summary>
    public IReadOnlyList<SchedulerEvent> Step(params Input[] inputs)
    {
        LastStep = _brain.Step(inputs, Now);
        _brain.Commit(LastStep);
        var events = LastStep.Events.Select(f => f.Event).ToList();
        _log.AddRange(events);
        return events;
    }

    /// <summary>The log refuses whatever this comes to.</summary>
    public Step StepRefused(params Input[] inputs)
    {
        var step = _brain.Step(inputs, Now);
        _brain.Abandon(step);
        return step;
    }

    public IReadOnlyList<SchedulerEvent> Advance(double seconds)
    {
        Now = Now.AddSeconds(seconds);
        return Step();
    }

    /// <summary>Another scheduler process takes over from the log alone.</summary>
    public World RestartScheduler()
    {
        _brain = new Brain(_log.Aggregate(ClusterState.Empty, (state, e) => state.Fold(e)), _settings, Now);
        foreach (var node in Nodes.Values.Where(n => n.Connected)) Connect(node.Name);
        return this;
    }

    /// <summary>Every connected node obeys its desired state and reports, until nothing happens any more.</summary>
    public World Settle()
    {
        for (var round = 0; round < 500; round++)
            if (Round().Count == 0) return this;
        throw new InvalidOperationException($"does not settle; lately:\n{Tail(20)}");
    }

    public IReadOnlyList<SchedulerEvent> Round() => Step(Nodes.Values.Where(n => n.Connected).Select(n => n.Obey(this)).ToArray<Input>());

    /// <summary>Only the links' news: what nodes serve and hold, with nothing started or stopped.</summary>
    public IReadOnlyList<SchedulerEvent> Acknowledge() => Step(Nodes.Values.Where(n => n.Connected).Select(n => n.Report(State.Revision)).ToArray<Input>());

    public IReadOnlyList<SchedulerEvent> Report(Instance instance, Func<InstanceReport, InstanceReport>? change = null)
    {
        var node = Nodes[instance.Node.Name];
        var report = node.Run(this, instance);
        node.Tasks[instance.Id] = change?.Invoke(report) ?? report;
        return Step(new Input.NodeReported(node.Description.Id, node.Session, false, [node.Tasks[instance.Id]], State.Revision, default));
    }

    public IReadOnlyList<SchedulerEvent> End(Instance instance, TerminalState state = TerminalState.Failed, bool healthKill = false) =>
        Report(instance, r => r with { End = new InstanceEnd(state, "it ended", 1, false, healthKill, Now) });

    public World Lose(string node)
    {
        Nodes[node].Connected = false;
        Step(new Input.NodeDisconnected(NodeId.Parse(node), Nodes[node].Session));
        for (var i = 0; i < 16; i++)
        {
            Now = Now.AddSeconds(1);
            Acknowledge(); // the others stay heard
        }
        return this;
    }

    public AppState Of(string id) => State.Apps[AppId.Parse(id)];
    public IReadOnlyList<Instance> InstancesOf(string id) => State.Apps.TryGetValue(AppId.Parse(id), out var app) ? app.Instances.Values.OrderBy(i => i.Serial).ToList() : [];
    public IReadOnlyList<Instance> ReadyOf(string id) => InstancesOf(id).Where(i => !i.IsStopping && Of(id).IsReady(i)).ToList();
    public IReadOnlyList<NodeId> NodesOf(string id) => InstancesOf(id).Where(i => !i.IsStopping).Select(i => i.Node).ToList();
    public string Tail(int count) => string.Join("\n", _log.TakeLast(count));
    public IEnumerable<T> Logged<T>() where T : SchedulerEvent => _log.OfType<T>();
}

/// <summary>A node that starts and stops at once what it is told to.</summary>
internal sealed class FakeNode(NodeDescription description)
{
    public NodeDescription Description { get; set; } = description;
    public string Name => Description.Id.Name;
    public long Session { get; set; }
    public bool Connected { get; set; }
    public SortedDictionary<InstanceId, InstanceReport> Tasks { get; } = [];

    /// <summary>Its proxy is stuck at this revision.</summary>
    public long? ServesOnly { get; set; }

    public HashSet<InstanceId> InFlight { get; } = [];

    /// <summary>It deletes released volumes as soon as it is told to.</summary>
    public bool Wipes { get; set; } = true;

    public Input.NodeReported Obey(World world)
    {
        var wanted = Projections.WantedOn(world.State, Description.Id).ToDictionary(w => w.Instance.Id);
        foreach (var gone in Tasks.Keys.Where(id => !wanted.ContainsKey(id)).ToList()) Tasks.Remove(gone);
        foreach (var (instance, goal) in wanted.Values)
            if (goal == Goal.Run) Tasks[instance.Id] = Run(world, instance);
            else Tasks[instance.Id] = Run(world, instance) with { End = new InstanceEnd(TerminalState.Killed, "stopped", null, false, false, world.Now) };
        return Report(world.State.Revision) with { Wiped = Wipes ? Projections.WipedOn(world.State, Description.Id).ToEquatableArray() : default };
    }

    public Input.NodeReported Report(long revision) => new(
        Description.Id, Session, true, Tasks.Values.ToEquatableArray(), ServesOnly ?? revision, InFlight.ToEquatableArray());

    public InstanceReport Run(World world, Instance instance)
    {
        if (Tasks.TryGetValue(instance.Id, out var report) && report.End is not null) return report;
        var startedAt = report?.StartedAt ?? world.Now;
        var healthy = world.IsHealthy(instance);
        var definition = world.Of(instance.App.Path).DefinitionOf(instance);
        return new InstanceReport
        {
            Id = instance.Id,
            Serial = instance.Serial,
            Phase = Phase.Running,
            StartedAt = startedAt,
            Readiness = world.State.IsAskedForReadiness(instance)
                ? definition.ReadinessChecks.Select(c => Asked(c, world.Readiness(instance))).ToEquatableArray()
                : report?.Readiness ?? default,
            Health = definition.HealthChecks
                .Select(_ => healthy ? new HealthState { FirstSuccessAt = startedAt, LastSuccessAt = startedAt, Seen = true } : new HealthState { LastFailureAt = startedAt, LastFailureCause = "no", ConsecutiveFailures = 1, Seen = true })
                .ToEquatableArray(),
        };
    }

    private static ReadinessState Asked(ReadinessCheck check, ReadinessResponse response) =>
        new(check.Name, check.StatusCodesForReady.Items.Contains(response.Status), check.PreserveLastResponse ? response : null);
}
