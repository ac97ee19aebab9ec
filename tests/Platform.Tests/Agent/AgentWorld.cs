using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Tests.Agent;

/// <summary>A core, a clock and a Docker that does what it is told: tests say what happens, and read what became of it.</summary>
internal sealed class AgentWorld
{
    public const string Cluster = "c1";
    public static readonly DateTimeOffset Epoch = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly List<AgentAction> _pending = [];
    private long _revision;

    public AgentWorld(AgentMemory? memory = null, params ObservedContainer[] containers)
    {
        Core = new AgentCore(memory ?? AgentMemory.Empty, "10.0.0.1", [RuntimeKind.Docker]);
        foreach (var container in containers) Containers[container.Id] = container;
    }

    public AgentCore Core { get; private set; }
    public DateTimeOffset Now { get; private set; } = Epoch;
    public Dictionary<InstanceId, ObservedContainer> Containers { get; } = [];
    public List<AgentAction> Trace { get; } = [];
    public Dictionary<InstanceId, int> Creates { get; } = [];
    public DateTimeOffset? NextLookAt { get; private set; }
    public Persistence LastPersist { get; private set; }
    public AgentMemory Disk { get; private set; } = AgentMemory.Empty;
    public Func<AgentAction.AskReadiness, ReadinessResponse> Readiness { get; set; } = _ => new ReadinessResponse(200, "text/plain", "");
    public Func<AgentAction.Probe, ProbeOutcome?> Answer { get; set; } = _ => new ProbeOutcome.Passed();

    public static Assignment Assign(long serial, Goal goal = Goal.Run, Func<AppDefinition, AppDefinition>? app = null, params HealthCheck[] checks)
    {
        var definition = new AppDefinition
        {
            Id = AppId.Parse("/web"),
            Container = new Container { Image = "web", PortMappings = [new PortMapping(8080, 0, 10000, "tcp", null, EquatableMap.Empty)] },
            Network = NetworkMode.Bridge,
            HealthChecks = checks.ToEquatableArray(),
        };
        return new Assignment(InstanceId.Derive(Cluster, definition.Id, serial), serial, goal, app?.Invoke(definition) ?? definition, [31000 + (int)serial], EquatableMap.Empty);
    }

    public static ObservedContainer Running(Assignment a, DateTimeOffset? startedAt = null) => new()
    {
        Id = a.Id, Serial = a.Serial, Runtime = RuntimeKind.Docker, State = ContainerState.Running, StartedAt = startedAt ?? Epoch, Address = "172.18.0.2",
    };

    public static ObservedContainer Exited(Assignment a, int code, bool outOfMemory = false, string output = "") =>
        Running(a) with { State = ContainerState.Exited, Exit = new ContainerExit(code, outOfMemory, output, Epoch) };

    public AgentInput.Desired Desired(params Assignment[] all) => new(1, ++_revision, true, 1000, all.ToEquatableArray(), default);
    public AgentInput.Listed List() => new(RuntimeKind.Docker, Now, Containers.Values.ToEquatableArray());

    /// <summary>One step; what it orders is done at once by <see cref="Settle"/> only.</summary>
    public IReadOnlyList<AgentAction> Step(params AgentInput[] inputs)
    {
        var step = Core.Step(Now, inputs);
        NextLookAt = step.NextLookAt;
        LastPersist = step.Persist;
        if (step.Persist != Persistence.None) Disk = Core.Memory;
        Trace.AddRange(step.Actions);
        _pending.AddRange(step.Actions);
        return step.Actions.Items;
    }

    /// <summary>Steps, and obeys every order, until nothing is ordered any more. Time stands still.</summary>
    public AgentWorld Settle(params AgentInput[] inputs)
    {
        Step(inputs);
        for (var i = 0; _pending.Count > 0; i++)
        {
            Assert.True(i < 100, $"does not settle: {string.Join(", ", _pending)}");
            var orders = _pending.ToArray();
            _pending.Clear();
            Step(orders.SelectMany(Obey).ToArray());
        }
        return this;
    }

    public void Forget() => _pending.Clear();

    public AgentWorld Advance(double seconds)
    {
        var until = Now + TimeSpan.FromSeconds(seconds);
        while (NextLookAt is { } look && look <= until)
        {
            Now = look > Now ? look : Now;
            var before = NextLookAt;
            Settle();
            Assert.True(NextLookAt != before || NextLookAt > Now, "looks again and again at the same instant");
        }
        Now = until;
        return this;
    }

    /// <summary>Time goes by and nobody looks.</summary>
    public void Pass(double seconds) => Now += TimeSpan.FromSeconds(seconds);

    /// <summary>A new life from the disk, before it has listed anything.</summary>
    public IReadOnlyList<AgentAction> Reborn()
    {
        _pending.Clear();
        Core = new AgentCore(Disk, "10.0.0.1", [RuntimeKind.Docker]);
        return Step();
    }

    public InstanceReport? Report(Assignment a) => Core.Reports().FirstOrDefault(x => x.Id == a.Id);

    /// <summary>The agent's process dies and comes back with what was on disk.</summary>
    public AgentWorld Restart()
    {
        _pending.Clear();
        Core = new AgentCore(Disk, "10.0.0.1", [RuntimeKind.Docker]);
        return Settle(List());
    }

    public IEnumerable<AgentInput> Obey(AgentAction action)
    {
        switch (action)
        {
            case AgentAction.Start x:
                if (!Containers.TryGetValue(x.Id, out var there) || there.State == ContainerState.Created)
                {
                    if (there is null) Creates[x.Id] = Creates.GetValueOrDefault(x.Id) + 1;
                    Containers[x.Id] = there = Running(x.Assignment, Now);
                }
                return [new AgentInput.Seen(there), new AgentInput.Done(x.Id)];
            case AgentAction.Terminate or AgentAction.Kill:
                if (Containers.TryGetValue(action.Id, out var target) && target.State == ContainerState.Running && (action is AgentAction.Kill || !Stubborn.Contains(action.Id)))
                {
                    Containers[action.Id] = target = target with { State = ContainerState.Exited, Exit = new ContainerExit(action is AgentAction.Kill ? 137 : 143, false, "", Now) };
                    return [new AgentInput.Done(action.Id), new AgentInput.Seen(target)];
                }
                return [new AgentInput.Done(action.Id)];
            case AgentAction.Remove:
                Containers.Remove(action.Id);
                return [new AgentInput.Done(action.Id)];
            case AgentAction.Probe x:
                return Answer(x) is { } outcome ? [new AgentInput.Probed(x.Id, x.Index, outcome)] : [];
            case AgentAction.AskReadiness x:
                return [new AgentInput.ReadinessAnswered(x.Id, x.Index, Readiness(x))];
            default:
                return [];
        }
    }

    public HashSet<InstanceId> Stubborn { get; } = [];
}
