using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using Platform.Proxy.Routing;

namespace Platform.Proxy.Relay;

/// <summary>
/// One thread that relays: all sockets of its connections are its own, and nothing it does ever waits, save for the next event. So there are no locks, no
/// tasks and no continuations between a client's bytes and a task's.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "Its thread disposes what it owns when it ends.")]
internal sealed partial class RelayLoop
{
    private const int ReceiveBytes = 64 * 1024;
    public const int ClosedSlot = -1;

    private readonly EventQueue _events = new();
    private readonly ConcurrentQueue<(Socket Socket, int Port, PortMode Mode)> _arrivals = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Wire?> _wires = [];
    private readonly List<uint> _generations = [];
    private readonly Stack<int> _freeSlots = new();
    private readonly TimerWheel _wheel = new();
    private readonly byte[] _dateLine = new byte[64];
    private readonly Action<Socket, byte[]> _handOver;
    private readonly Action<Socket, int> _leaveTcp;
    private readonly Action _clientGone;
    private readonly ILogger _logger;
    private List<Wire> _deferred = [];
    private List<Wire> _running = [];
    private long _dateSecond;
    private int _dateLength;
    private int _woken;
    private volatile bool _isStopping;
    private volatile bool _isHurrying;
    private volatile bool _hasEnded;
    private bool _wasStarted;
    private readonly Lock _waking = new();

    public RelayLoop(
        LiveRoutes routes, EdgeProxyOptions options, Action<Socket, byte[]> handOver, Action<Socket, int> leaveTcp, Action clientGone, ILogger logger)
    {
        (Routes, Options, _handOver, _leaveTcp, _clientGone, _logger) = (routes, options, handOver, leaveTcp, clientGone, logger);
        Upstreams = new UpstreamPool(this);
    }

    public LiveRoutes Routes { get; }
    public EdgeProxyOptions Options { get; }
    public UpstreamPool Upstreams { get; }
    public Blocks Blocks { get; } = new();

    /// <summary>Where bytes are received that are passed on before the next are.</summary>
    public byte[] Received { get; } = GC.AllocateUninitializedArray<byte>(ReceiveBytes, pinned: true);

    /// <summary>Where messages are put together: a head and as much of a body as one look can bring.</summary>
    public byte[] Output { get; } = GC.AllocateUninitializedArray<byte>(Blocks.Large, pinned: true);

    /// <summary>Where a chunked body is taken apart.</summary>
    public byte[] Decoded { get; } = GC.AllocateUninitializedArray<byte>(Blocks.Large, pinned: true);

    /// <summary>The time of this round of events.</summary>
    public long NowMs { get; private set; }

    public bool IsStopping => _isStopping;

    public void Start(int number)
    {
        _wasStarted = true;
        new Thread(Run) { Name = $"edge relay {number}", IsBackground = true }.Start();
    }

    /// <summary>From any thread.</summary>
    public void Admit(Socket socket, int port, PortMode mode)
    {
        _arrivals.Enqueue((socket, port, mode));
        Wake();
        if (_hasEnded) TakeArrivals(); // nobody else will
    }

    /// <summary>Lets requests that are under way finish until the token says otherwise, then cuts them.</summary>
    public async Task StopAsync(CancellationToken hurry)
    {
        _isStopping = true;
        if (!_wasStarted)
        {
            _events.Dispose();
            return;
        }
        Wake();
        using var registration = hurry.UnsafeRegister(static (loop, _) =>
        {
            ((RelayLoop)loop!)._isHurrying = true;
            ((RelayLoop)loop).Wake();
        }, this);
        await _ended.Task.ConfigureAwait(false);
    }

    /// <summary>Takes a wire's socket into the loop; false: the kernel has no room.</summary>
    public bool Register(Wire wire)
    {
        if (!_freeSlots.TryPop(out var slot))
        {
            slot = _wires.Count;
            _wires.Add(null);
            _generations.Add(0);
        }
        (wire.Slot, wire.Generation) = (slot, _generations[slot]);
        _wires[slot] = wire;
        if (_events.Add(wire.Descriptor, ((ulong)wire.Generation << 32) | (uint)slot)) return true;
        Forget(wire);
        return false;
    }

    /// <summary>The socket itself stays as it is.</summary>
    public void Unregister(Wire wire)
    {
        _events.Remove(wire.Descriptor);
        Forget(wire);
    }

    public void SetDeadline(Wire wire, long deadlineMs)
    {
        wire.DeadlineMs = deadlineMs;
        if (wire.Slot != ClosedSlot) _wheel.File(wire);
    }

    /// <summary>Calls it again when the others have had their turn.</summary>
    public void Defer(Wire wire)
    {
        if (wire.IsDeferred) return;
        wire.IsDeferred = true;
        _deferred.Add(wire);
    }

    /// <summary>Off this thread: what takes the connection may do as it likes.</summary>
    public void HandOver(Socket socket, byte[] begun)
    {
        _clientGone();
        ThreadPool.UnsafeQueueUserWorkItem(static x => x._handOver(x.socket, x.begun), (_handOver, socket, begun), preferLocal: false);
    }

    /// <summary>The same for a connection in tcp mode.</summary>
    public void LeaveTcp(Socket socket, int port)
    {
        _clientGone();
        ThreadPool.UnsafeQueueUserWorkItem(static x => x._leaveTcp(x.socket, x.port), (_leaveTcp, socket, port), preferLocal: false);
    }

    public void ClientGone() => _clientGone();

    public ReadOnlySpan<byte> DateLine()
    {
        if (NowMs / 1000 != _dateSecond)
        {
            _dateSecond = NowMs / 1000;
            _dateLength = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"Date: {DateTimeOffset.UtcNow:R}\r\n"), _dateLine);
        }
        return _dateLine.AsSpan(0, _dateLength);
    }

    private void Wake()
    {
        if (Interlocked.Exchange(ref _woken, 1) != 0) return;
        lock (_waking)
            if (!_hasEnded) _events.Wake(); // its descriptor may be another file's by then
    }

    private void Forget(Wire wire)
    {
        _wires[wire.Slot] = null;
        _generations[wire.Slot]++;
        _freeSlots.Push(wire.Slot);
        wire.Slot = ClosedSlot;
        _wheel.Remove(wire);
    }

    private void Run()
    {
        NowMs = Environment.TickCount64;
        _wheel.Begin(NowMs);
        while (!(_isStopping && IsEmpty))
        {
            var count = _events.Wait(_deferred.Count > 0 ? 0 : _wheel.Wait(NowMs));
            NowMs = Environment.TickCount64;
            for (var i = 0; i < count; i++) Dispatch(_events.Tag(i), _events.Flags(i));
            RunDeferred();
            foreach (var wire in _wheel.Due(NowMs))
                if (wire.Slot != ClosedSlot) Guarded(wire, static x => x.Expired());
            if (_isStopping) StopWires();
        }
        lock (_waking) _hasEnded = true;
        _events.Dispose();
        TakeArrivals();
        _ended.SetResult();
    }

    private bool IsEmpty => _freeSlots.Count == _wires.Count && _arrivals.IsEmpty;

    private void Dispatch(ulong tag, uint flags)
    {
        if (tag == EventQueue.WakeTag)
        {
            Volatile.Write(ref _woken, 0); // before the look, so that who comes later wakes us again
            Interlocked.MemoryBarrier();
            TakeArrivals();
            return;
        }
        var slot = (int)(uint)tag;
        if (_wires[slot] is not { } wire || wire.Generation != (uint)(tag >> 32)) return; // it was closed in this same round
        try
        {
            wire.Event(flags);
        }
        catch (Exception e)
        {
            Unexpected(_logger, e);
            wire.Cut();
        }
    }

    private void RunDeferred()
    {
        if (_deferred.Count == 0) return;
        (_running, _deferred) = (_deferred, _running);
        foreach (var wire in _running)
        {
            wire.IsDeferred = false;
            if (wire.Slot != ClosedSlot) Guarded(wire, static x => x.Ready());
        }
        _running.Clear();
    }

    /// <summary>An error in what one connection does must not end the others.</summary>
    private void Guarded(Wire wire, Action<Wire> action)
    {
        try
        {
            action(wire);
        }
        catch (Exception e)
        {
            Unexpected(_logger, e);
            wire.Cut();
        }
    }

    private void TakeArrivals()
    {
        while (_arrivals.TryDequeue(out var arrival))
        {
            if (_isStopping || _hasEnded)
            {
                arrival.Socket.Dispose();
                _clientGone();
                continue;
            }
            if (arrival.Mode == PortMode.Tcp) Passage.Begin(this, arrival.Socket, arrival.Port);
            else ClientWire.Begin(this, arrival.Socket, arrival.Port);
        }
    }

    private void StopWires()
    {
        for (var i = 0; i < _wires.Count; i++)
            if (_wires[i] is { } wire && (_isHurrying || wire is ClientWire { IsIdle: true } or UpstreamWire { IsIdle: true })) wire.Cut();
    }

    [LoggerMessage(5020, LogLevel.Error, "A relayed connection ended in an unexpected error")]
    private static partial void Unexpected(ILogger logger, Exception exception);
}
