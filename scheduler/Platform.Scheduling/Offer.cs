using System.Globalization;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>Why a node cannot take an instance. The order is the funnel of contract 1.8: the first that applies is the reason.</summary>
public enum NoFitReason
{
    UnfulfilledRole,
    UnfulfilledConstraint,
    NoCorrespondingReservationFound,
    AgentMaintenance,
    InsufficientCpus,
    InsufficientMemory,
    InsufficientDisk,
    InsufficientGpus,
    InsufficientPorts,
    DeclinedScarceResources,
}

/// <summary>One node's refusal of one instance, with the numbers or the rule.</summary>
public sealed record NoFit(NodeId Node, NoFitReason Reason, string Detail);

/// <summary>What a node has left: its total less everything promised, by the state and by the plan being made.</summary>
public sealed class Offer(Node node)
{
    private readonly HashSet<int> _takenPorts = [];
    private Resources _free = node.Description.Total - node.Used;
    private int _nextPort = node.NextPort;

    public NodeDescription Node => node.Description;

    /// <summary>Why the node takes nothing at all now, whatever is left of it; null if it does.</summary>
    public NoFit? Closed => node.Drain is null ? null : new NoFit(Node.Id, NoFitReason.AgentMaintenance, "the node is being drained");

    public Resources Free => _free;

    /// <summary>How many of the node's own range are free.</summary>
    public int FreePorts => Node.TaskPortMax - Node.TaskPortMin + 1 - node.UsedPorts.Count(InRange) - _takenPorts.Count(InRange);

    /// <summary>How much of the node's scarcest resource is promised, 0 to 1.</summary>
    public double Load { get; private set; } = LoadOf(node.Description.Total - node.Used, node.Description.Total);

    public void Take(Resources resources, EquatableArray<int> hostPorts)
    {
        _free -= resources;
        Load = LoadOf(_free, Node.Total);
        Invariant.Holds(_free.Cpus >= 0 && _free.MemMib >= 0 && _free.DiskMib >= 0, $"node {Node.Id} over-promised: {_free}");
        foreach (var port in hostPorts.Where(p => p > 0))
        {
            Invariant.Holds(IsPortFree(port), $"port {port} of node {Node.Id} given twice");
            _takenPorts.Add(port);
            if (InRange(port)) _nextPort = port + 1;
        }
    }

    public NoFit? Lacks(Resources need)
    {
        if (need.Cpus > _free.Cpus) return No(NoFitReason.InsufficientCpus, need.Cpus, _free.Cpus, Node.Total.Cpus, "cpus");
        if (need.MemMib > _free.MemMib) return No(NoFitReason.InsufficientMemory, need.MemMib, _free.MemMib, Node.Total.MemMib, "MiB of memory");
        if (need.DiskMib > _free.DiskMib) return No(NoFitReason.InsufficientDisk, need.DiskMib, _free.DiskMib, Node.Total.DiskMib, "MiB of disk");
        return null;
    }

    /// <summary>One host port for each declared port: the fixed ones as they are, the others from the node's range; 0 where nothing is published.</summary>
    public (EquatableArray<int> Ports, NoFit? Refusal) DrawPorts(EquatableArray<AppPort> declared)
    {
        var ports = new int[declared.Count];
        var drawn = new HashSet<int>();
        foreach (var port in declared.Where(p => p.HostPort > 0))
        {
            if (!IsPortFree(port.HostPort!.Value) || !drawn.Add(port.HostPort.Value))
                return (default, new NoFit(Node.Id, NoFitReason.InsufficientPorts, $"host port {port.HostPort} is taken"));
            ports[port.Index] = port.HostPort.Value;
        }
        var next = _nextPort;
        foreach (var port in declared.Where(p => p.HostPort == 0))
        {
            if (NextFree(ref next, drawn) is not { } free)
                return (default, new NoFit(Node.Id, NoFitReason.InsufficientPorts, $"no free port left in {Node.TaskPortMin}-{Node.TaskPortMax}"));
            ports[port.Index] = free;
            drawn.Add(free);
        }
        return (EquatableArray.Create<int>(ports), null);
    }

    private int? NextFree(ref int from, HashSet<int> drawn)
    {
        var size = Node.TaskPortMax - Node.TaskPortMin + 1;
        for (var i = 0; i < size; i++)
        {
            var port = InRange(from) ? from : Node.TaskPortMin;
            from = port + 1;
            if (IsPortFree(port) && !drawn.Contains(port)) return port;
        }
        return null;
    }

    private bool InRange(int port) => port >= Node.TaskPortMin && port <= Node.TaskPortMax;
    private bool IsPortFree(int port) => !node.UsedPorts.Contains(port) && !_takenPorts.Contains(port);
    private static double LoadOf(Resources free, Resources total) => Math.Max(1 - Ratio(free.Cpus, total.Cpus), 1 - Ratio(free.MemMib, total.MemMib));
    private static double Ratio(double free, double total) => total <= 0 ? 1 : free / total;

    private NoFit No(NoFitReason reason, double need, double free, double total, string unit) => new(Node.Id, reason, string.Create(
        CultureInfo.InvariantCulture, $"needs {need:0.######} {unit}, {free:0.######} of {total:0.######} free"));
}

/// <summary>A broken one stops the process with the values that broke it: it never guesses on.</summary>
public static class Invariant
{
    public static void Holds(bool condition, FormattableString broken)
    {
        if (!condition) throw new InvariantBrokenException(FormattableString.Invariant(broken));
    }
}

public sealed class InvariantBrokenException(string message) : Exception(message);
