using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Simulation;

/// <summary>A container as it truly is, with the fate that was drawn for it.</summary>
internal sealed class SimulatedContainer(Assignment assignment)
{
    public Assignment Assignment => assignment;
    public InstanceId Id => assignment.Id;
    public ContainerState State { get; set; } = ContainerState.Created;
    public DateTimeOffset? StartedAt { get; set; }
    public ContainerExit? Exit { get; set; }
    public DateTimeOffset ReadyAt { get; set; }
    public DateTimeOffset SickFrom { get; set; } = DateTimeOffset.MaxValue;
    public DateTimeOffset SickUntil { get; set; }
    public bool Crashes { get; set; }
    public bool IsDeaf { get; set; }

    /// <summary>The agent knows of it.</summary>
    public bool WasSeen { get; set; }

    /// <summary>A probe has truly passed.</summary>
    public bool WasReady { get; set; }

    public int FailedInARow { get; set; }

    public bool IsHealthyAt(DateTimeOffset at) => at >= ReadyAt && !(at >= SickFrom && at < SickUntil);

    public ObservedContainer Seen => new()
    {
        Id = Id, Serial = assignment.Serial, Runtime = Runtimes.Of(assignment.App), State = State, StartedAt = StartedAt, Exit = Exit,
    };
}

/// <summary>The container engine of one node. It outlives the agent; its answers may be lost, late or failures.</summary>
internal sealed class SimulatedEngine(World world, SimulatedNode node)
{
    private readonly Dictionary<InstanceId, bool> _starting = []; // true: cancelled
    private long _agentLife;

    public SortedDictionary<InstanceId, SimulatedContainer> Containers { get; } = [];

    private Chance Chance => world.Chance;
    private DateTimeOffset Now => world.Clock.Now;

    public void AgentDied()
    {
        _agentLife++;
        _starting.Clear();
    }

    public void Reboot()
    {
        foreach (var container in Containers.Values.Where(c => c.State == ContainerState.Running).ToList())
            End(container, new ContainerExit(Chance.Hits(0.5) ? null : 255, false, "", Now));
    }

    /// <summary>Somebody removes a container by hand.</summary>
    public void Vanish()
    {
        if (Containers.Count == 0) return;
        var victim = Chance.Of(Containers.Keys.ToList());
        world.Trace.Note($"somebody removes on {node.Id}", victim);
        if (!Containers[victim].WasSeen) world.Checks.NeverSeen(victim); // nobody can know that it was there
        Containers.Remove(victim);
    }

    public void Calm()
    {
        foreach (var container in Containers.Values)
        {
            container.Crashes = false;
            container.SickUntil = Now;
            if (container.ReadyAt > Now) container.ReadyAt = Now.AddSeconds(1);
        }
    }

    public void List(RuntimeKind kind)
    {
        var asOf = Now;
        var life = _agentLife;
        world.Clock.After(Chance.Seconds(0.001, 0.05), () =>
        {
            var containers = Containers.Values.Select(c => c.Seen).Where(c => c.Runtime == kind).ToEquatableArray();
            world.Clock.After(Chance.Seconds(0.001, 0.02), () =>
            {
                if (life != _agentLife) return;
                foreach (var seen in containers)
                    if (Containers.TryGetValue(seen.Id, out var container)) container.WasSeen = true;
                node.Feed(new AgentInput.Listed(kind, asOf, containers));
            });
        });
    }

    public void Do(AgentAction action)
    {
        switch (action)
        {
            case AgentAction.Start x: Start(x.Assignment); break;
            case AgentAction.CancelStart x: if (_starting.ContainsKey(x.Id)) _starting[x.Id] = true; break;
            case AgentAction.Probe x: Probe(x); break;
            case AgentAction.Terminate x: Work(x.Id, () => Terminate(x.Id)); break;
            case AgentAction.Kill x: Work(x.Id, () => Kill(x.Id)); break;
            case AgentAction.Remove x: Work(x.Id, () => Containers.Remove(x.Id)); break;
            default: throw new System.Diagnostics.UnreachableException($"{action}");
        }
    }

    /// <summary>Deletes a volume's data, or says that it could not.</summary>
    public void Wipe(string volume)
    {
        var life = _agentLife;
        world.Clock.After(Chance.Seconds(0.001, 2), () =>
        {
            if (life != _agentLife) return;
            var fails = Misbehaves(world.Faults.RuntimeFails, 0.2);
            if (!fails) world.Checks.Wipes(node, volume);
            node.Feed(new AgentInput.Wiped(volume, fails ? "a file is busy" : null));
        });
    }

    private bool Misbehaves(bool on, double probability) => on && !world.Calm && Chance.Hits(probability);

    /// <summary>Does something and answers; or answers with a failure, having done it or not.</summary>
    private void Work(InstanceId id, Action effect)
    {
        var life = _agentLife;
        world.Clock.After(Chance.Seconds(0.001, 0.05), () =>
        {
            var fails = Misbehaves(world.Faults.RuntimeFails, 0.1);
            if (!fails || Chance.Hits(0.5)) effect();
            if (life == _agentLife) node.Feed(fails ? new AgentInput.Failed(id, "the engine does not answer") : new AgentInput.Done(id));
        });
    }

    private void Start(Assignment assignment)
    {
        var id = assignment.Id;
        var life = _agentLife;
        _starting[id] = false;
        var pull = Containers.ContainsKey(id) ? TimeSpan.Zero : Misbehaves(world.Faults.TasksAreSlow, 0.3) ? Chance.Seconds(1, 20) : Chance.Seconds(0.02, 0.3);
        if (pull > TimeSpan.FromSeconds(1)) Answer(life, TimeSpan.FromMilliseconds(10), new AgentInput.Progress(id, "pulling"));
        WaitOrCancel(assignment, life, pull);
    }

    private void WaitOrCancel(Assignment assignment, long life, TimeSpan left)
    {
        var id = assignment.Id;
        if (life != _agentLife) return; // pulling ends with the agent
        if (_starting[id])
        {
            _starting.Remove(id);
            Answer(life, TimeSpan.FromMilliseconds(5), new AgentInput.StartRefused(id, TerminalState.Killed, "cancelled"));
            return;
        }
        if (left > TimeSpan.Zero)
        {
            var part = left < TimeSpan.FromMilliseconds(200) ? left : TimeSpan.FromMilliseconds(200);
            world.Clock.After(part, () => WaitOrCancel(assignment, life, left - part));
            return;
        }
        _starting.Remove(id);
        world.Clock.After(Chance.Seconds(0.005, 0.1), () =>
        {
            if (life == _agentLife || Chance.Hits(0.5)) Make(assignment, life); // a request under way may outlive the agent that made it
        });
    }

    private void Make(Assignment assignment, long life)
    {
        var id = assignment.Id;
        // A start that is asked for again meets its own container, and that is success: no runtime refuses what already is there.
        if (Misbehaves(world.Faults.StartsFail, 0.1) && !Containers.ContainsKey(id))
        {
            Answer(life, TimeSpan.Zero, new AgentInput.StartRefused(id, TerminalState.Failed, "no such image"));
            return;
        }
        var fails = Misbehaves(world.Faults.RuntimeFails, 0.1);
        if (fails && Chance.Hits(0.5))
        {
            Answer(life, TimeSpan.Zero, new AgentInput.Failed(id, "the engine does not answer"));
            return;
        }
        if (!Containers.TryGetValue(id, out var container))
        {
            var taken = Containers.Values.Where(c => c.State == ContainerState.Running).SelectMany(c => c.Assignment.HostPorts.Items).ToHashSet();
            if (assignment.HostPorts.Any(taken.Contains))
            {
                Answer(life, TimeSpan.Zero, new AgentInput.StartRefused(id, TerminalState.Failed, "port is already allocated"));
                return;
            }
            container = Containers[id] = new SimulatedContainer(assignment);
            world.Checks.Made(id, node.Id);
        }
        if (life != _agentLife && Chance.Hits(0.5)) return; // made, and never started
        if (container.State == ContainerState.Created) Run(container);
        if (fails) Answer(life, TimeSpan.Zero, new AgentInput.Failed(id, "the engine does not answer"));
        else if (life == _agentLife)
        {
            container.WasSeen = true;
            node.Feed(new AgentInput.Seen(container.Seen), new AgentInput.Done(id));
        }
    }

    private void Run(SimulatedContainer container)
    {
        container.State = ContainerState.Running;
        container.StartedAt = Now;
        container.ReadyAt = Now + (Misbehaves(world.Faults.TasksAreSlow, 0.3) ? Chance.Seconds(2, 30) : Chance.Seconds(0, 1));
        container.IsDeaf = Misbehaves(world.Faults.TasksAreSlow, 0.2);
        world.Trace.Note($"{node.Id} runs", container.Id);
        world.Checks.Runs(node, container);
        if (Misbehaves(world.Faults.HealthFails, 0.3))
        {
            container.SickFrom = Now + Chance.Seconds(1, 60);
            container.SickUntil = container.SickFrom + Chance.Seconds(1, 60);
        }
        if (!Misbehaves(world.Faults.TasksCrash, 0.3)) return;
        container.Crashes = true;
        world.Clock.After(Chance.Seconds(0, 60), () =>
        {
            if (container is { Crashes: true, State: ContainerState.Running })
                End(container, new ContainerExit(Chance.Below(3), Chance.Hits(0.2), "", Now));
        });
    }

    private void Terminate(InstanceId id)
    {
        if (!Containers.TryGetValue(id, out var container) || container.State != ContainerState.Running) return;
        world.Checks.Stopping(node, container);
        if (container.IsDeaf) return;
        world.Clock.After(Chance.Seconds(0.005, 0.5), () =>
        {
            if (container.State == ContainerState.Running) End(container, new ContainerExit(143, false, "", Now));
        });
    }

    private void Kill(InstanceId id)
    {
        if (!Containers.TryGetValue(id, out var container) || container.State != ContainerState.Running) return;
        world.Checks.Stopping(node, container);
        End(container, new ContainerExit(137, false, "", Now));
    }

    private void End(SimulatedContainer container, ContainerExit exit)
    {
        container.State = ContainerState.Exited;
        container.Exit = exit;
        world.Trace.Note($"{node.Id} container ended with {exit.Code}", container.Id);
        if (!Containers.ContainsKey(container.Id) || Misbehaves(world.Faults.NewsIsLost, 0.2)) return;
        Answer(_agentLife, Chance.Seconds(0.001, 0.02), new AgentInput.Seen(container.Seen));
    }

    private void Probe(AgentAction.Probe probe)
    {
        var life = _agentLife;
        world.Clock.After(Chance.Seconds(0.001, 0.03), () =>
        {
            var container = Containers.GetValueOrDefault(probe.Id);
            var passes = container is { State: ContainerState.Running } && container.IsHealthyAt(Now);
            if (container is not null)
            {
                container.WasReady |= passes;
                container.FailedInARow = passes ? 0 : container.FailedInARow + 1;
            }
            if (world.Bug == SeededBug.PublishBeforeReady) passes = true;
            Answer(life, TimeSpan.Zero, new AgentInput.Probed(probe.Id, probe.Index, passes ? new ProbeOutcome.Passed() : new ProbeOutcome.Failed("refused")));
        });
    }

    private void Answer(long life, TimeSpan delay, AgentInput input) => world.Clock.After(delay, () =>
    {
        if (life == _agentLife) node.Feed(input);
    });
}
