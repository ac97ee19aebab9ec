using Platform.Model;

namespace Platform.Simulation;

/// <summary>
/// One stream between a node and the scheduler, as gRPC gives it: in order, each message once, until it breaks and loses what is under way.
/// Doubled messages stand for those that are resent around a reconnect.
/// </summary>
internal sealed class SimulatedLink(World world, NodeId node, long session)
{
    private DateTimeOffset _lastUp;
    private DateTimeOffset _lastDown;

    public NodeId Node => node;
    public long Session => session;
    public bool IsUp { get; private set; } = true;

    /// <summary>Open for both ends, and yet nothing passes.</summary>
    public bool IsStalled { get; set; }

    public void ToScheduler(Action deliver) => _lastUp = Send(_lastUp, deliver);
    public void ToNode(Action deliver) => _lastDown = Send(_lastDown, deliver);
    public void Break() => IsUp = false;

    private DateTimeOffset Send(DateTimeOffset last, Action deliver)
    {
        if (!IsUp || IsStalled) return last;
        var delay = world.Faults.MessagesDelay && world.Chance.Hits(0.05) ? world.Chance.Seconds(0.2, 3) : world.Chance.Seconds(0.0005, 0.01);
        var at = world.Clock.Now + delay;
        if (at <= last) at = last.AddTicks(1);
        var times = world.Faults.MessagesDouble && world.Chance.Hits(0.05) ? 2 : 1;
        for (var i = 0; i < times; i++)
            world.Clock.At(at, () =>
            {
                if (IsUp) deliver();
            });
        return at;
    }
}
