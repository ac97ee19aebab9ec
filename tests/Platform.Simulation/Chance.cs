namespace Platform.Simulation;

/// <summary>Everything a run draws comes from one seed (SplitMix64), so that a failing run can be run again.</summary>
internal sealed class Chance(ulong seed)
{
    private ulong _state = seed;

    private ulong Draw()
    {
        var z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    public int Below(int limit) => (int)(Draw() % (ulong)limit);
    public double Share() => (Draw() >> 11) * (1.0 / (1UL << 53));
    public bool Hits(double probability) => Share() < probability;
    public TimeSpan Seconds(double min, double max) => TimeSpan.FromSeconds(min + Share() * (max - min));
    public T Of<T>(IReadOnlyList<T> items) => items[Below(items.Count)];
}

/// <summary>Which kinds of faults a run has: each is on in some runs and off in others, for what one fault hides another shows.</summary>
internal sealed record Faults
{
    public bool LogRefuses { get; init; }
    public bool SchedulerDies { get; init; }
    public bool AgentsDie { get; init; }
    public bool LinksBreak { get; init; }
    public bool LinksStall { get; init; }
    public bool Partitions { get; init; }
    public bool MessagesDelay { get; init; }
    public bool MessagesDouble { get; init; }
    public bool TasksCrash { get; init; }
    public bool TasksAreSlow { get; init; }
    public bool HealthFails { get; init; }
    public bool StartsFail { get; init; }
    public bool RuntimeFails { get; init; }
    public bool NewsIsLost { get; init; }
    public bool ContainersVanish { get; init; }
    public bool ProxiesLag { get; init; }
    public bool RequestsAreLong { get; init; }
    public bool NodesReboot { get; init; }

    public static Faults Draw(Chance chance)
    {
        bool On() => chance.Hits(0.5);
        return new Faults
        {
            LogRefuses = On(), SchedulerDies = On(), AgentsDie = On(), LinksBreak = On(), LinksStall = On(), Partitions = On(), MessagesDelay = On(),
            MessagesDouble = On(), TasksCrash = On(), TasksAreSlow = On(), HealthFails = On(), StartsFail = On(), RuntimeFails = On(), NewsIsLost = On(),
            ContainersVanish = On(), ProxiesLag = On(), RequestsAreLong = On(), NodesReboot = On(),
        };
    }
}

/// <summary>Bugs put in on purpose, into the simulated shell: each must turn a run red, or its check checks nothing.</summary>
internal enum SeededBug { None, PublishBeforeReady, SkipDrain, ForgetUnique, LoseAckedEvent }
