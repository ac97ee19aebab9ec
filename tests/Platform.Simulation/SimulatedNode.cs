using Platform.Agent.Core;
using Platform.Discovery;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>A machine: the real agent core in a process that may die, a container engine that outlives it, and a proxy with requests in flight.</summary>
internal sealed class SimulatedNode
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(2);

    private readonly World _world;
    private readonly SortedDictionary<InstanceId, int> _inFlight = [];
    private AgentMemory _disk = AgentMemory.Empty;
    private EndpointTable _table = new();
    private EndpointSnapshot? _served;
    private AgentCore? _core;
    private SimulatedLink? _link;
    private long _life;
    private DateTimeOffset? _lookAt;
    private bool _proxyBusy;
    private bool _saving;

    public SimulatedNode(World world, NodeDescription description)
    {
        _world = world;
        Description = description;
        Engine = new SimulatedEngine(world, this);
    }

    public NodeDescription Description { get; }
    public NodeId Id => Description.Id;
    public SimulatedEngine Engine { get; }
    public bool IsPartitioned { get; private set; }
    public bool IsAlive => _core is not null;
    public EndpointSnapshot? Served => _served;
    public EndpointSnapshot Table => _table.Current;

    public int InFlightTo(InstanceId instance) => _inFlight.GetValueOrDefault(instance);

    public void Start()
    {
        _core = new AgentCore(_disk, Description.Address, [RuntimeKind.Docker, RuntimeKind.Process]);
        _world.Trace.Note("agent starts on", Id);
        var life = ++_life;
        foreach (var kind in _core.Runtimes) Every(life, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(10), () => Engine.List(kind));
        Every(life, ReportInterval * _world.Chance.Share(), ReportInterval, () => Report(true, _core!.Reports()));
        if (!_world.IsLarge) Every(life, TimeSpan.FromMilliseconds(300), TimeSpan.FromMilliseconds(250), Request);
        ServeSoon();
        Connect(TimeSpan.Zero);
    }

    public void Die(bool reboot = false)
    {
        if (!IsAlive) return;
        _world.Trace.Note(reboot ? "node reboots" : "agent dies on", Id);
        _core = null;
        _life++;
        _lookAt = null;
        _proxyBusy = _saving = false;
        _served = null;
        _inFlight.Clear();
        Engine.AgentDied();
        if (reboot) Engine.Reboot();
        BreakLink();
    }

    public void Partition(bool on)
    {
        IsPartitioned = on;
        _world.Trace.Note(on ? "partitioned" : "healed", Id);
        if (on) BreakLink();
    }

    /// <summary>The stream ends; each end notices in its own time.</summary>
    public void BreakLink()
    {
        if (_link is not { IsUp: true } link) return;
        link.Break();
        _world.Trace.Note("link breaks of", Id);
        if (_world.Chance.Hits(0.8)) _world.Clock.After(_world.Chance.Seconds(0.001, 2), () => _world.Scheduler.Disconnected(link));
        if (IsAlive) Reconnect(link);
    }

    public void StallLink()
    {
        if (_link is not { IsUp: true } link) return;
        _world.Trace.Note("link stalls of", Id);
        link.IsStalled = true;
        _world.Clock.After(_world.Chance.Seconds(1, 30), () => { if (link == _link) BreakLink(); });
    }

    public void TakeDesired(AgentInput.Desired desired)
    {
        if (!IsAlive) return;
        if (!_world.IsLarge) _world.Trace.Note($"{Id} is told {(desired.Complete ? "all" : "changes")} at {desired.Revision}: {string.Join(", ", desired.Upsert.Select(a => $"{a.Id} {a.Goal}"))}; not", desired.Remove);
        Feed(desired);
    }

    public void TakeEndpoints(EndpointUpdate update)
    {
        if (!IsAlive) return;
        if (_world.IsLarge)
        {
            _served = _world.Scheduler.Table.Current; // thousands of replicas would be all that is measured
            return;
        }
        if (_table.Apply(update) is null)
        {
            _table = new EndpointTable(); // it fits nothing: ask for all of it
            BreakLink();
            return;
        }
        _world.Checks.Replicated(Id, _table.Current);
        ServeSoon();
    }

    /// <summary>Something has happened to the agent; whatever it decides is done.</summary>
    public void Feed(params AgentInput[] inputs)
    {
        if (_core is not { } core) return;
        var life = _life;
        var step = core.Step(_world.Clock.Now, inputs);
        if (step.Persist == Persistence.BeforeActions) _disk = core.Memory;
        else if (step.Persist == Persistence.Soon && !_saving)
        {
            _saving = true;
            _world.Clock.After(_world.Chance.Seconds(0.1, 1), () =>
            {
                if (life != _life) return;
                _saving = false;
                _disk = core.Memory;
            });
        }
        foreach (var action in step.Actions)
        {
            if (action is not AgentAction.Probe)
            {
                _world.Acted();
                _world.Trace.Note($"{Id} acts: {action.GetType().Name}", action.Id);
            }
            Engine.Do(action);
        }
        foreach (var volume in step.Wipe) Engine.Wipe(volume);
        if (inputs.Any(i => i is AgentInput.Wiped)) Report(false, default);
        if (!step.ChangedReports.IsEmpty) Report(false, step.ChangedReports);
        if (step.NextLookAt is { } at) LookAt(at);
    }

    private void LookAt(DateTimeOffset at)
    {
        if (at <= _world.Clock.Now) at = _world.Clock.Now.AddTicks(1);
        if (_lookAt <= at) return;
        _lookAt = at;
        var life = _life;
        _world.Clock.At(at, () =>
        {
            if (life != _life || _lookAt != at) return;
            _lookAt = null;
            Feed();
        });
    }

    private void Report(bool complete, EquatableArray<InstanceReport> instances)
    {
        if (_link is not { IsUp: true } link || _core is not { } core) return;
        var draining = _served is { } served ? _inFlight.Keys.Where(i => !IsServed(served, i)).ToEquatableArray() : default;
        var report = new Input.NodeReported(Id, link.Session, complete && core.Adopted, instances, _served?.Revision ?? 0, draining) { Wiped = core.Wiped };
        link.ToScheduler(() => _world.Scheduler.Tell(report));
    }

    private void Connect(TimeSpan delay)
    {
        var life = _life;
        _world.Clock.After(delay, () =>
        {
            if (life != _life || _link is { IsUp: true }) return;
            if (IsPartitioned || _world.Scheduler.Connect(this, _world.IsLarge ? EndpointCursor.Start : _table.Current.Cursor) is not { } link)
            {
                Connect(_world.Chance.Seconds(0.2, 1));
                return;
            }
            _link = link;
            WatchLink(link);
            Report(true, _core!.Reports());
        });
    }

    /// <summary>The scheduler's end may end the stream, by dying or for a newer one.</summary>
    private void WatchLink(SimulatedLink link)
    {
        var life = _life;
        _world.Clock.After(TimeSpan.FromMilliseconds(500), () =>
        {
            if (life != _life || link != _link) return;
            if (link.IsUp) WatchLink(link);
            else Reconnect(link);
        });
    }

    private void Reconnect(SimulatedLink broken)
    {
        if (_link != broken) return;
        _link = null;
        Connect(_world.Chance.Seconds(0.05, 1));
    }

    private void ServeSoon()
    {
        if (_proxyBusy) return;
        _proxyBusy = true;
        var life = _life;
        var slow = _world.Faults.ProxiesLag && !_world.Calm && _world.Chance.Hits(0.1);
        _world.Clock.After(slow ? _world.Chance.Seconds(0.5, 30) : _world.Chance.Seconds(0.001, 0.05), () =>
        {
            if (life != _life) return;
            _proxyBusy = false;
            var next = _table.Current;
            if (next == _served) return;
            _served = next;
            Report(false, default);
        });
    }

    private static bool IsServed(EndpointSnapshot table, InstanceId instance) => table.Services.Values.Any(s => s.Endpoints.ContainsKey(instance));

    /// <summary>A client's request comes in, and goes to any endpoint the proxy knows.</summary>
    private void Request()
    {
        if (_served is not { } served || served.Services.Values.SelectMany(s => s.Endpoints.Values).ToList() is not { Count: > 0 } endpoints) return;
        var endpoint = _world.Chance.Of(endpoints);
        _inFlight[endpoint.Instance] = InFlightTo(endpoint.Instance) + 1;
        if (!_world.Calm) _world.Trace.Note($"{Id} sends a request to", endpoint.Instance);
        var life = _life;
        var isLong = _world.Faults.RequestsAreLong && !_world.Calm && _world.Chance.Hits(0.03);
        _world.Clock.After(isLong ? _world.Chance.Seconds(5, 40) : _world.Chance.Seconds(0.005, 0.4), () =>
        {
            if (life != _life || !_inFlight.TryGetValue(endpoint.Instance, out var count)) return;
            if (count > 1) _inFlight[endpoint.Instance] = count - 1;
            else _inFlight.Remove(endpoint.Instance);
            if (count == 1 && _served is { } now && !IsServed(now, endpoint.Instance)) Report(false, default);
        });
    }

    private void Every(long life, TimeSpan first, TimeSpan interval, Action action) => _world.Clock.After(first, () =>
    {
        if (life != _life) return;
        action();
        Every(life, interval, interval, action);
    });
}
