using Platform.Model;
using Platform.Scheduling;

namespace Platform.Simulation;

/// <summary>An operator who drains, resumes and removes nodes at any moment, and in the end lets all of them work again.</summary>
internal sealed class NodeOperations(World world)
{
    public void Begin() => world.Clock.After(world.Chance.Seconds(2, 20), Next);

    /// <summary>Until none is left: an answer may be lost.</summary>
    public void ResumeAll()
    {
        foreach (var (id, node) in world.Scheduler.State.Nodes)
            if (node.Drain is not null) Send(new Command.ResumeNode(id) { Origin = ChangeOrigin.Internal });
        if (world.Scheduler.State.DrainingNodes > 0) world.Clock.After(TimeSpan.FromSeconds(1), ResumeAll);
    }

    private void Next()
    {
        if (world.Calm) return;
        if (world.Scheduler.IsAlive) Act();
        world.Clock.After(world.Chance.Hits(0.2) ? world.Chance.Seconds(0.01, 0.5) : world.Chance.Seconds(1, 20), Next);
    }

    private void Act()
    {
        var state = world.Scheduler.State;
        var id = world.Chance.Of(world.Nodes).Id;
        var draining = state.Nodes.Values.Where(n => n.Drain is not null).Select(n => n.Description.Id).ToList();
        TimeSpan? within = world.Chance.Hits(0.5) ? world.Chance.Seconds(1, 40) : null;
        Send(world.Chance.Below(10) switch
        {
            < 4 => new Command.DrainNode(id, within) { Origin = ChangeOrigin.Internal },
            < 7 when draining.Count > 0 => new Command.ResumeNode(world.Chance.Of(draining)) { Origin = ChangeOrigin.Internal },
            < 9 when draining.Count > 0 => new Command.RemoveNode(world.Chance.Of(draining), world.Chance.Hits(0.5)) { Origin = ChangeOrigin.Internal },
            _ => new Command.RemoveNode(id, world.Chance.Hits(0.5)) { Origin = ChangeOrigin.Internal },
        });
    }

    private void Send(Command command)
    {
        world.Trace.Note("operator asks", command);
        world.Scheduler.Ask(command, decision => world.Trace.Note("operator hears", decision is Decision.Refused refused ? refused.Rejection.Message : decision is null ? "nothing" : "accepted"));
    }
}
