using Platform.Model;

namespace Platform.Simulation;

/// <summary>One run: a scheduler, its nodes, a user, and what goes wrong; all of it drawn from one seed.</summary>
internal sealed class World
{
    /// <summary>From here on a run asks how fast the brain is: no traffic, no replicas of the table, no log as text.</summary>
    private const int LargeFrom = 50;

    private readonly List<SimulatedNode> _nodes = [];

    public World(ulong seed, int nodes, Faults? faults = null, SeededBug bug = SeededBug.None)
    {
        Seed = seed;
        Chance = new Chance(seed);
        var drawn = Faults.Draw(Chance);
        Faults = (faults ?? drawn) with { SchedulerDies = bug == SeededBug.LoseAckedEvent || (faults ?? drawn).SchedulerDies };
        Bug = bug;
        Trace = new Trace(Clock);
        Log = new FaultyMemoryLog(asText: nodes <= LargeFrom);
        if (bug == SeededBug.LoseAckedEvent) Log.ForgetsOnRecovery = 40;
        Checks = new Checks(this);
        Scheduler = new SimulatedScheduler(this, Log);
        for (var i = 1; i <= nodes; i++)
            _nodes.Add(new SimulatedNode(this, new NodeDescription
            {
                Id = NodeId.Parse($"n{i}"),
                Address = $"10.0.{i / 250}.{i % 250 + 1}",
                Total = nodes > LargeFrom ? new Resources(64, 65536, 1000) : new Resources(1 + Chance.Below(4), 512 * (1 + Chance.Below(3)), 1000),
                TaskPortMin = 31000,
                TaskPortMax = nodes > LargeFrom ? 32000 : 31005 + Chance.Below(10),
                Attributes = EquatableMap.Empty.With("rack", i % 2 == 0 ? "even" : "odd"),
                Runtimes = ["docker", "process"],
            }));
    }

    public ulong Seed { get; }
    public Clockwork Clock { get; } = new();
    public Chance Chance { get; }
    public Faults Faults { get; }
    public SeededBug Bug { get; }
    public Trace Trace { get; }
    public FaultyMemoryLog Log { get; }
    public Checks Checks { get; }
    public SimulatedScheduler Scheduler { get; }
    public IReadOnlyList<SimulatedNode> Nodes => _nodes;
    public bool IsLarge => _nodes.Count > LargeFrom;

    /// <summary>Seeds with this bit stand for runs that are all about deployments; those without draw what they always drew.</summary>
    public const ulong DeploymentsBit = 1UL << 62;

    public bool IsAboutDeployments => (Seed & DeploymentsBit) != 0;

    /// <summary>Seeds with this bit drain, resume and remove nodes as well.</summary>
    public const ulong NodesBit = 1UL << 63;

    public bool IsAboutNodes => (Seed & NodesBit) != 0;

    /// <summary>The faults are over.</summary>
    public bool Calm { get; private set; }

    public long Actions { get; private set; }

    public void Acted() => Actions++;

    /// <summary>Trouble for so long; then calm, in which the world must come to what is wanted, and stay there.</summary>
    public void Run(TimeSpan trouble, TimeSpan calm)
    {
        Scheduler.Start();
        foreach (var node in _nodes) Clock.After(Chance.Hits(0.7) ? Chance.Seconds(0, 1) : Chance.Seconds(1, 30), node.Start);
        new Workload(this).Begin();
        var operations = new NodeOperations(this);
        if (IsAboutNodes) operations.Begin();
        Trouble(Faults.SchedulerDies, 5, 60, () => KillScheduler());
        Trouble(Faults.AgentsDie, 2, 20, () => Kill(AnyNode(), reboot: false));
        Trouble(Faults.NodesReboot, 20, 90, () => Kill(AnyNode(), reboot: true));
        Trouble(Faults.LinksBreak, 1, 15, () => AnyNode().BreakLink());
        Trouble(Faults.LinksStall, 5, 40, () => AnyNode().StallLink());
        Trouble(Faults.Partitions, 5, 60, () => Partition(AnyNode()));
        Trouble(Faults.ContainersVanish, 5, 40, () => AnyNode().Engine.Vanish());
        Clock.RunUntil(Clockwork.Start + trouble);

        Calm = true;
        Trace.Note("calm");
        foreach (var node in _nodes)
        {
            node.Partition(false);
            node.Engine.Calm();
            if (!node.IsAlive) node.Start();
        }
        if (!Scheduler.IsAlive) Scheduler.Start();
        if (IsAboutNodes) operations.ResumeAll();
        Clock.RunUntil(Clock.Now + calm);
        Checks.Converged();
        Workload.CheckUnlocked(this);
        var (revision, actions) = (Log.Revision, Actions);
        Clock.RunUntil(Clock.Now.AddSeconds(60));
        Checks.Quiet(revision, actions);
    }

    public void RunAtScale()
    {
        const int apps = 100;
        Calm = true;
        Scheduler.Start();
        foreach (var node in _nodes) Clock.After(Chance.Seconds(0, 2), node.Start);
        Clock.RunUntil(Clock.Now.AddSeconds(3));
        for (var i = 0; i < apps; i++)
            Scheduler.Ask(Workload.Put(AppId.Parse($"/big/app{i}"), $$"""{"cmd":"serve","instances":{{_nodes.Count * 20 / apps}},"cpus":0.1,"mem":32,"portDefinitions":[{"port":0}]}""", false), _ => { });
        Clock.RunUntil(Clock.Now.AddSeconds(60), () => Scheduler.State.Apps.Count == apps && Scheduler.State.Deployments.IsEmpty);
        Checks.Converged();
    }

    private void Trouble(bool on, double min, double max, Action action)
    {
        if (!on) return;
        Clock.After(Chance.Seconds(min, max), () =>
        {
            if (Calm) return;
            action();
            Trouble(on, min, max, action);
        });
    }

    private SimulatedNode AnyNode() => Chance.Of(_nodes);

    private void KillScheduler()
    {
        if (!Scheduler.IsAlive) return;
        Scheduler.Die();
        Clock.After(Chance.Hits(0.2) ? Chance.Seconds(5, 40) : Chance.Seconds(0.1, 3), () => { if (!Scheduler.IsAlive) Scheduler.Start(); });
    }

    private void Kill(SimulatedNode node, bool reboot)
    {
        if (!node.IsAlive) return;
        node.Die(reboot);
        Clock.After(Chance.Hits(0.3) ? Chance.Seconds(5, 60) : Chance.Seconds(0.1, 3), () => { if (!node.IsAlive) node.Start(); });
    }

    private void Partition(SimulatedNode node)
    {
        if (node.IsPartitioned) return;
        node.Partition(true);
        Clock.After(Chance.Seconds(1, 60), () => node.Partition(false));
    }
}
