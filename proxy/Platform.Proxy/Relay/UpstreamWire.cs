using Platform.Proxy.Routing;

namespace Platform.Proxy.Relay;

/// <summary>A connection to a task. It belongs to one exchange, or waits in the pool for the next.</summary>
internal sealed class UpstreamWire(RelayLoop loop, UpstreamPool pool, Target target) : Wire(loop)
{
    private Unsent _unsent;

    public Target Target => target;
    public ClientWire? Owner { get; set; }
    public bool IsConnecting { get; private set; } = true;

    /// <summary>An earlier request was answered on it: the task may be closing it at this very moment.</summary>
    public bool WasUsed { get; private set; }
    public long IdleSinceMs { get; private set; }
    public bool IsIdle => Owner is null;

    /// <summary>What was sent went into the kernel, all of it.</summary>
    public bool HasSentAll => _unsent.IsEmpty;
    public bool MayReceive => MayRead;

    /// <summary>The task has said that it sends no more.</summary>
    public bool IsEnding => PeerIsDone;

    /// <summary>Begins to connect: 0, or the error.</summary>
    public int Connect()
    {
        var descriptor = Posix.Connect(target.SocketAddress!);
        if (descriptor < 0) return descriptor;
        Descriptor = descriptor;
        if (!Loop.Register(this))
        {
            Posix.Close(descriptor);
            Descriptor = -1;
            return -12;
        }
        Loop.SetDeadline(this, Loop.NowMs + (long)Loop.Options.ConnectTimeout.TotalMilliseconds);
        return 0;
    }

    /// <summary>Below 0: the connection is broken, and nothing of this was taken.</summary>
    public int Send(ReadOnlySpan<byte> bytes)
    {
        var sent = Posix.Send(Descriptor, bytes);
        if (sent == Posix.WouldBlock) sent = 0;
        if (sent >= 0 && sent < bytes.Length) _unsent.Keep(Loop.Blocks, bytes[sent..]);
        return sent;
    }

    public int ReceiveInto(Span<byte> into) => Receive(into);

    /// <summary>The task has not closed it, as far as anyone can know.</summary>
    public bool IsQuiet()
    {
        if (PeerIsDone) return false;
        if (Posix.Peek(Descriptor) != Posix.WouldBlock) return false;
        MayRead = false;
        return true;
    }

    public void Park()
    {
        (Owner, WasUsed, IdleSinceMs) = (null, true, Loop.NowMs);
        Loop.SetDeadline(this, Loop.NowMs + (long)Loop.Options.PooledConnectionIdleTimeout.TotalMilliseconds);
    }

    public void TakenBy(ClientWire owner)
    {
        Owner = owner;
        DeadlineMs = TimerWheel.Never; // the exchange has its own
    }

    public override void Ready()
    {
        if (Owner is null)
        {
            // nothing is expected here: only the end, or a task that talks out of turn; an event may also be late news of what was read
            if (!IsQuiet()) Close();
        }
        else if (IsConnecting)
        {
            var result = Posix.ConnectResult(Descriptor);
            if (result == 0 && IsDead) result = Posix.ConnectionRefused;
            IsConnecting = false;
            DeadlineMs = TimerWheel.Never;
            if (result == 0) Owner.Connected();
            else Owner.ConnectFailed(result);
        }
        else
        {
            if (!_unsent.IsEmpty)
            {
                var sent = _unsent.Send(Loop.Blocks, Descriptor);
                if (sent is < 0 and not Posix.WouldBlock) _unsent.Drop(Loop.Blocks); // the response, or its lack, will tell
                else if (sent > 0) Owner.UpstreamTook();
            }
            Owner?.PumpResponse();
        }
    }

    public override void Expired()
    {
        if (Owner is null) Close();
        else if (IsConnecting) Owner.ConnectTimedOut();
    }

    public override void Cut()
    {
        if (Owner is { } owner) owner.Cut();
        else Close();
    }

    public void Close()
    {
        if (!IsOpen) return;
        pool.Forget(this);
        Owner = null;
        _unsent.Drop(Loop.Blocks);
        Loop.Unregister(this);
        Posix.Close(Descriptor);
        Descriptor = -1;
    }
}

/// <summary>A loop's connections to tasks that wait for the next request, the last used first.</summary>
internal sealed class UpstreamPool(RelayLoop loop)
{
    private const int KeptMax = 4096;

    private readonly record struct Key(Upstream Upstream, int Port);

    private readonly Dictionary<Key, List<UpstreamWire>> _idle = [];

    /// <param name="idleMaxMs">Not one that has been idle for longer.</param>
    /// <param name="look">And not one that the kernel knows to be closed.</param>
    public UpstreamWire? Take(Target target, long idleMaxMs, bool look)
    {
        if (!_idle.TryGetValue(new Key(target.Upstream, target.Port), out var idle)) return null;
        while (idle.Count > 0)
        {
            var last = idle[^1];
            if (loop.NowMs - last.IdleSinceMs > idleMaxMs) return null;
            if (look && !last.IsQuiet())
            {
                last.Close();
                continue;
            }
            idle.RemoveAt(idle.Count - 1);
            return last;
        }
        return null;
    }

    public void Give(UpstreamWire wire)
    {
        var key = new Key(wire.Target.Upstream, wire.Target.Port);
        if (!_idle.TryGetValue(key, out var idle)) _idle[key] = idle = [];
        if (idle.Count >= KeptMax || wire.IsEnding)
        {
            wire.Close();
            return;
        }
        wire.Park();
        idle.Add(wire);
    }

    public void Forget(UpstreamWire wire)
    {
        var key = new Key(wire.Target.Upstream, wire.Target.Port);
        if (!_idle.TryGetValue(key, out var idle)) return;
        idle.Remove(wire);
        if (idle.Count == 0) _idle.Remove(key);
    }
}
