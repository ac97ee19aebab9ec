namespace Platform.Proxy.Relay;

/// <summary>One socket of a loop: what it may do now, as far as its loop knows, and until when something has to happen.</summary>
internal abstract class Wire(RelayLoop loop)
{
    protected RelayLoop Loop => loop;

    public int Descriptor { get; protected set; } = -1;
    public bool IsOpen => Descriptor >= 0;

    /// <summary>Reading may give something: set by an event, cleared when a read has found the socket empty.</summary>
    protected bool MayRead { get; set; }

    /// <summary>The peer sends no more, or is gone; what it has sent may still be there.</summary>
    protected bool PeerIsDone { get; private set; }

    /// <summary>The connection is broken or closed in both directions.</summary>
    protected bool IsDead { get; private set; }

    /// <summary>Where the loop finds it, and which of the wires that had this place it is.</summary>
    public int Slot { get; set; } = RelayLoop.ClosedSlot;
    public uint Generation { get; set; }

    public bool IsDeferred { get; set; }

    /// <summary>See <see cref="TimerWheel"/>.</summary>
    public long DeadlineMs { get; set; } = TimerWheel.Never;
    public TimerWheel.Place Place;

    public void Event(uint flags)
    {
        if ((flags & (EventQueue.PeerClosed | EventQueue.HangUp | EventQueue.Error)) != 0)
        {
            PeerIsDone = true;
            MayRead = true;
            if ((flags & (EventQueue.HangUp | EventQueue.Error)) != 0) IsDead = true;
        }
        if ((flags & EventQueue.In) != 0) MayRead = true;
        Ready();
    }

    /// <summary>Something has changed, or it asked to be called again.</summary>
    public abstract void Ready();

    public abstract void Expired();

    /// <summary>Ends it at once, whatever it was doing.</summary>
    public abstract void Cut();

    /// <summary>
    /// Reads once. Less than there was room for means that the socket is empty: the next event will say when it is not. Only the end of the stream has no event
    /// of its own when it was announced together with the data before it.
    /// </summary>
    protected int Receive(Span<byte> into)
    {
        var received = Posix.Receive(Descriptor, into);
        if (received == Posix.WouldBlock || (received > 0 && received < into.Length && !PeerIsDone)) MayRead = false;
        return received;
    }
}

/// <summary>
/// The deadlines of a loop's wires. Most deadlines are put off long before they come, so putting one off only sets a field; the wheel looks again when
/// the time comes under which the wire is filed, and files it anew.
/// </summary>
internal sealed class TimerWheel
{
    public const long Never = long.MaxValue;
    private const int StepMs = 64;
    private const int Steps = 1024;

    public struct Place
    {
        public Wire? Previous;
        public Wire? Next;
        public long Step;
        public bool IsFiled;
    }

    private readonly Wire?[] _first = new Wire?[Steps];
    private readonly List<Wire> _due = [];
    private long _step;
    private long _earliest;
    private int _count;

    public void Begin(long nowMs) => (_step, _earliest) = (nowMs / StepMs, nowMs / StepMs);

    /// <summary>It has to be called again when a deadline comes nearer, not when it is put off.</summary>
    public void File(Wire wire)
    {
        var step = Math.Clamp(wire.DeadlineMs == Never ? long.MaxValue : wire.DeadlineMs / StepMs + 1, _step + 1, _step + Steps - 1);
        if (wire.Place.IsFiled)
        {
            if (wire.Place.Step <= step) return;
            Remove(wire);
        }
        ref var first = ref _first[step % Steps];
        wire.Place = new Place { Next = first, Step = step, IsFiled = true };
        if (first is not null) first.Place.Previous = wire;
        first = wire;
        if (_count++ == 0 || step < _earliest) _earliest = step;
    }

    public void Remove(Wire wire)
    {
        if (!wire.Place.IsFiled) return;
        var (previous, next) = (wire.Place.Previous, wire.Place.Next);
        if (previous is null) _first[wire.Place.Step % Steps] = next;
        else previous.Place.Next = next;
        if (next is not null) next.Place.Previous = previous;
        wire.Place = default;
        _count--;
    }

    /// <summary>Milliseconds until something may be due; -1 when nothing ever is.</summary>
    public int Wait(long nowMs)
    {
        if (_count == 0) return -1;
        _earliest = Math.Max(_earliest, _step + 1);
        while (_earliest < _step + Steps - 1 && _first[_earliest % Steps] is null) _earliest++;
        return (int)Math.Clamp(_earliest * StepMs - nowMs, 0, Steps * StepMs);
    }

    /// <summary>The wires whose deadline has come.</summary>
    public List<Wire> Due(long nowMs)
    {
        _due.Clear();
        for (var last = nowMs / StepMs; _step < last;)
        {
            _step = Math.Max(_step + 1, last - Steps + 1);
            for (var wire = _first[_step % Steps]; wire is not null;)
            {
                var next = wire.Place.Next;
                Remove(wire);
                if (wire.DeadlineMs <= nowMs) _due.Add(wire);
                else File(wire);
                wire = next;
            }
        }
        return _due;
    }
}
