using System.Net;
using System.Net.Sockets;
using Platform.Proxy.Forwarding;
using Platform.Proxy.Routing;
using Platform.Proxy.Transport;

namespace Platform.Proxy.Relay;

/// <summary>
/// A connection to a port in tcp mode: bytes pass both ways between the client and one task, and nobody looks at them. It counts as one request there until it ends.
/// </summary>
/// <remarks>
/// Each direction reads only what the other side has taken, so a slow reader slows its peer and not our memory. The end of one direction is passed on and leaves the
/// other one open; a broken side breaks both, so that neither waits for ever.
/// </remarks>
internal sealed class Passage
{
    private const int AttemptsMax = 3;
    private const int SuspectMs = 1_000;
    private const int ReadsMax = 16;
    private const long HalfClosedIdleMs = 5 * 60_000;

    private readonly RelayLoop _loop;
    private readonly Socket _socket;
    private readonly int _port;
    private readonly PassageEnd _client;
    private PassageEnd? _task;
    private RouteMemo _route;
    private Target? _target;
    private int _attempt = 1;
    private bool _isOver;

    private Passage(RelayLoop loop, Socket socket, int port)
    {
        (_loop, _socket, _port) = (loop, socket, port);
        _client = new PassageEnd(loop, this, (int)socket.SafeHandle.DangerousGetHandle());
    }

    private bool IsConnected { get; set; }

    public static void Begin(RelayLoop loop, Socket socket, int port)
    {
        try
        {
            socket.NoDelay = true;
            new Passage(loop, socket, port).Start();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            socket.Dispose(); // it has left already
            loop.ClientGone();
        }
    }

    private void Start()
    {
        Posix.KeepAlive(_client.Descriptor);
        _target = _loop.Routes.Enter(_port, "", null, ref _route);
        if (_target is null || _target.SocketAddress is not null) _route.Route?.Tally.Requested();
        if (_target is null) Refuse(Failure.NoEndpoint);
        else if (Access.Refusal(_route.Route!.Spec, (_socket.RemoteEndPoint as IPEndPoint)?.Address) is not null) Refuse(Failure.Refused);
        else if (_target.SocketAddress is null) LeaveToOthers();
        else if (!_loop.Register(_client)) Refuse(Failure.Connect);
        else Connect();
    }

    /// <summary>The task's host is a name: looking it up takes time.</summary>
    private void LeaveToOthers()
    {
        _isOver = true;
        Leave();
        _client.Release();
        _loop.LeaveTcp(_socket, _port);
    }

    private void Connect()
    {
        var descriptor = Posix.Connect(_target!.SocketAddress!);
        if (descriptor < 0)
        {
            ConnectFailed();
            return;
        }
        _task = new PassageEnd(_loop, this, descriptor);
        Posix.KeepAlive(descriptor);
        if (_loop.Register(_task)) _loop.SetDeadline(_task, _loop.NowMs + (long)_loop.Options.ConnectTimeout.TotalMilliseconds);
        else ConnectFailed();
    }

    private void ConnectFailed()
    {
        var failed = _target!.Upstream;
        failed.Failed();
        failed.SuspectUntil(_loop.NowMs + SuspectMs);
        _task?.Close(reset: false);
        _task = null;
        Leave();
        if (_attempt++ == AttemptsMax)
        {
            Refuse(Failure.Connect);
            return;
        }
        _route.Route!.Tally.Retried();
        _target = _loop.Routes.Enter(_port, "", failed, ref _route);
        if (_target?.SocketAddress is null) Refuse(Failure.NoEndpoint);
        else Connect();
    }

    public void Ready(PassageEnd end)
    {
        if (IsConnected)
        {
            if (!end.TryFlush() && end.IsBroken)
            {
                Cut();
                return;
            }
            Pass(end, OtherThan(end));
            if (!_isOver) Pass(OtherThan(end), end);
            return;
        }
        if (end == _client)
        {
            if (end.IsGone) Cut();
            return; // what it says, waits
        }
        if (Posix.ConnectResult(end.Descriptor) != 0 || end.IsGone)
        {
            ConnectFailed();
            return;
        }
        IsConnected = true;
        end.DeadlineMs = TimerWheel.Never;
        Pass(_client, end);
        if (!_isOver) Pass(end, _client);
    }

    public void Expired(PassageEnd end)
    {
        if (IsConnected) Cut(); // half of it is closed, and nothing moves in the other half
        else if (end == _task) ConnectFailed();
    }

    /// <summary>Both ends see a reset.</summary>
    public void Cut()
    {
        if (_isOver) return;
        _task?.Close(reset: true);
        End(reset: true);
    }

    private PassageEnd OtherThan(PassageEnd end) => end == _client ? _task! : _client;

    private void Pass(PassageEnd from, PassageEnd to)
    {
        for (var i = 0; i < ReadsMax; i++)
        {
            if (!from.MayReceive || !to.HasSentAll) return;
            var received = from.ReceiveInto(_loop.Received);
            if (received == Posix.WouldBlock) return;
            if (received < 0 || (received > 0 && !to.TrySend(_loop.Received.AsSpan(0, received))))
            {
                Cut();
                return;
            }
            if (received == 0)
            {
                to.EndSending();
                if (to.HasEnded) Finish();
                else BoundHalfClosed();
                return;
            }
            if (to.HasEnded) BoundHalfClosed();
        }
        _loop.Defer(from);
    }

    private void BoundHalfClosed() => _loop.SetDeadline(_client, _loop.NowMs + HalfClosedIdleMs);

    private void Finish()
    {
        _task!.Close(reset: false);
        End(reset: false);
    }

    /// <summary>tcp has no 503: a reset is how it says no.</summary>
    private void Refuse(Failure failure)
    {
        _route.Route?.Tally.Failed(failure);
        End(reset: true);
    }

    private void End(bool reset)
    {
        _isOver = true;
        Leave();
        _client.Release();
        if (reset) TcpRelay.Reset(_socket);
        else _socket.Dispose();
        _loop.ClientGone();
    }

    private void Leave()
    {
        if (_target is not { } target) return;
        _target = null;
        _loop.Routes.Exit(target);
    }
}

/// <summary>One of the two sockets of a <see cref="Passage"/>.</summary>
internal sealed class PassageEnd : Wire
{
    private readonly Passage _passage;
    private Unsent _unsent;

    public PassageEnd(RelayLoop loop, Passage passage, int descriptor) : base(loop) => (_passage, Descriptor) = (passage, descriptor);

    public bool MayReceive => MayRead && !HasEnded;
    public bool HasSentAll => _unsent.IsEmpty;

    /// <summary>Everything it sent has been read, and its end.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Sending has failed.</summary>
    public bool IsBroken { get; private set; }

    public bool IsGone => IsDead;

    public int ReceiveInto(Span<byte> into)
    {
        var received = Receive(into);
        if (received == 0) HasEnded = true;
        return received;
    }

    public bool TrySend(ReadOnlySpan<byte> bytes)
    {
        var sent = Posix.Send(Descriptor, bytes);
        if (sent == Posix.WouldBlock) sent = 0;
        if (sent < 0) return false;
        if (sent < bytes.Length) _unsent.Keep(Loop.Blocks, bytes[sent..]);
        return true;
    }

    /// <summary>True when nothing waits to be sent any more.</summary>
    public bool TryFlush()
    {
        while (!_unsent.IsEmpty)
        {
            var sent = _unsent.Send(Loop.Blocks, Descriptor);
            if (sent == Posix.WouldBlock) return false;
            if (sent >= 0) continue;
            IsBroken = true;
            return false;
        }
        return true;
    }

    public void EndSending() => Posix.EndSending(Descriptor);

    public override void Ready() => _passage.Ready(this);
    public override void Expired() => _passage.Expired(this);
    public override void Cut() => _passage.Cut();

    /// <summary>The socket stays open.</summary>
    public void Release()
    {
        if (!IsOpen) return;
        _unsent.Drop(Loop.Blocks);
        if (Slot != RelayLoop.ClosedSlot) Loop.Unregister(this);
        Descriptor = -1;
    }

    public void Close(bool reset)
    {
        var descriptor = Descriptor;
        Release();
        if (descriptor < 0) return;
        if (reset) Posix.CloseWithReset(descriptor);
        else Posix.Close(descriptor);
    }
}
