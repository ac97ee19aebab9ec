using System.Threading.Channels;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduling;

namespace AtSize;

/// <summary>
/// Nodes that start and stop at once what they are told to, and tell all they hold every two seconds as real agents do. They talk to the scheduler's
/// loop itself: what is measured is the scheduler, not the link.
/// </summary>
internal sealed class SimulatedAgents
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(2);

    private readonly SchedulerLoop _loop;
    private readonly List<NodeId> _nodes;
    private readonly Dictionary<NodeId, HashSet<InstanceId>> _told = [];
    private readonly Channel<NodeId> _dirty = Channel.CreateUnbounded<NodeId>();

    public SimulatedAgents(SchedulerLoop loop, int nodes)
    {
        _loop = loop;
        _nodes = [.. Enumerable.Range(1, nodes).Select(i => NodeId.Parse($"n{i}"))];
        loop.Published += step =>
        {
            foreach (var node in step.DirtyNodes) _dirty.Writer.TryWrite(node);
        };
    }

    public async Task RunAsync(CancellationToken stopping)
    {
        foreach (var (id, i) in _nodes.Select((id, i) => (id, i)))
            await _loop.TellAsync(new Input.NodeConnected(Description(id, i), 1), stopping).ConfigureAwait(false);
        var whole = WholeReportsAsync(stopping);
        while (await _dirty.Reader.WaitToReadAsync(stopping).ConfigureAwait(false))
        {
            var dirty = new HashSet<NodeId>();
            while (_dirty.Reader.TryRead(out var node)) dirty.Add(node);
            foreach (var node in dirty) await ReportAsync(node, complete: false, stopping).ConfigureAwait(false);
        }
        await whole.ConfigureAwait(false);
    }

    private async Task WholeReportsAsync(CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(ReportInterval / _nodes.Count);
        for (var turn = 0; await timer.WaitForNextTickAsync(stopping).ConfigureAwait(false); turn++)
            await ReportAsync(_nodes[turn % _nodes.Count], complete: true, stopping).ConfigureAwait(false);
    }

    private async Task ReportAsync(NodeId node, bool complete, CancellationToken stopping)
    {
        var state = _loop.Current.State;
        List<InstanceReport> reports = [];
        lock (_told)
        {
            if (!_told.TryGetValue(node, out var told)) _told[node] = told = [];
            foreach (var (instance, goal) in Projections.WantedOn(state, node))
                if (told.Add(instance.Id) || goal == Goal.Stop || complete) reports.Add(Report(state, instance, goal));
        }
        await _loop.TellAsync(new Input.NodeReported(node, 1, complete, reports.ToEquatableArray(), long.MaxValue, default), stopping).ConfigureAwait(false);
    }

    private static InstanceReport Report(ClusterState state, Instance instance, Goal goal)
    {
        var at = instance.StagedAt;
        var health = new HealthState { FirstSuccessAt = at, LastSuccessAt = at, Seen = true };
        return new InstanceReport
        {
            Id = instance.Id, Serial = instance.Serial, Phase = Phase.Running, StartedAt = at, ContainerAddress = "172.18.0.7",
            Health = Enumerable.Repeat(health, state.Apps[instance.App].DefinitionOf(instance).HealthChecks.Count).ToEquatableArray(),
            End = goal == Goal.Stop ? new InstanceEnd(TerminalState.Killed, "stopped", null, false, false, at) : null,
        };
    }

    private static NodeDescription Description(NodeId id, int index) => new()
    {
        Id = id, Address = $"10.0.0.{index + 1}", Total = new Resources(10_000, 10_000_000, 1_000_000), TaskPortMin = 20000, TaskPortMax = 40000, Runtimes = ["docker", "process"],
    };
}
