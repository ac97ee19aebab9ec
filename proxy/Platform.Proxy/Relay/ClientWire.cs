using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Platform.Proxy.Forwarding;
using Platform.Proxy.Routing;

namespace Platform.Proxy.Relay;

/// <summary>
/// A client's connection: reads its requests one after another, and relays each to a task. This part is the connection and its requests; the other one is
/// what happens to one request at a task.
/// </summary>
internal sealed partial class ClientWire : Wire
{
    /// <summary>How often one turn reads before others have theirs.</summary>
    private const int ReadsMax = 16;
    private const int LingerMs = 2_000;
    private const int LingerBytesMax = 16 * 1024 * 1024;

    private enum Phase
    {
        /// <summary>Between requests, or in the middle of a request's head.</summary>
        Head,

        /// <summary>A request waits for its connection to a task.</summary>
        Connecting,

        /// <summary>A request is at a task.</summary>
        Exchange,

        /// <summary>The answer is complete, and not all of it has gone out.</summary>
        Flushing,

        /// <summary>Done with it: what the client still sends is thrown away, so that it can read the answer before a reset reaches it.</summary>
        Lingering,
    }

    private readonly Socket _socket;
    private readonly int _port;
    private readonly IPAddress? _remote;
    private byte[]? _edgeLines;
    private RouteMemo _route;
    private byte[] _hostBytes = [];

    private Phase _phase = Phase.Head;
    private byte[]? _block;
    private int _start;
    private int _end;
    private Unsent _unsent;
    private bool _isHeadBegun;
    private bool _isFirst = true;
    private int _lingered;

    private ClientWire(RelayLoop loop, Socket socket, int port) : base(loop)
    {
        (_socket, _port) = (socket, port);
        _remote = (socket.RemoteEndPoint as IPEndPoint)?.Address;
        Descriptor = (int)socket.SafeHandle.DangerousGetHandle();
    }

    /// <summary>No request of it is under way.</summary>
    public bool IsIdle => _phase == Phase.Head;

    private ReadOnlySpan<byte> Pending => _block.AsSpan(_start, _end - _start);

    public static void Begin(RelayLoop loop, Socket socket, int port)
    {
        try
        {
            socket.NoDelay = true;
            var client = new ClientWire(loop, socket, port);
            if (loop.Register(client))
            {
                loop.SetDeadline(client, loop.NowMs + FirstByteMs);
                return;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // it has left already
        }
        socket.Dispose();
        loop.ClientGone();
    }

    private const long FirstByteMs = 60_000;
    private const long KeepAliveMs = 75_000; // above the 60 s of common load balancers before us

    public override void Ready()
    {
        switch (_phase)
        {
            case Phase.Head:
                ReadRequests();
                break;
            case Phase.Flushing:
                if (TryFlush()) NextRequest();
                break;
            case Phase.Lingering:
                Discard();
                break;
            default:
                if (PeerIsDone) ClientLeft();
                else
                {
                    TryFlush();
                    PumpRequest(); // though its answer cannot go out: it may not be read before all of the request was taken
                    PumpResponse();
                }
                break;
        }
    }

    public override void Expired()
    {
        switch (_phase)
        {
            case Phase.Head when _isHeadBegun:
                _isLast = true;
                Answer(408, "Request Timeout", "the request's head did not come in time");
                break;
            case Phase.Connecting or Phase.Exchange:
                ExchangeTimedOut();
                break;
            default:
                Close();
                break;
        }
    }

    public override void Cut()
    {
        LeaveUpstream(Failure.Client);
        Close();
    }

    private void ReadRequests()
    {
        while (_phase == Phase.Head && IsOpen)
        {
            if (_end > _start)
            {
                var verdict = RequestHead.Read(Pending, out _head);
                if (verdict == HeadVerdict.Taken)
                {
                    BeginExchange();
                    continue;
                }
                if (verdict == HeadVerdict.NotOurs || _end - _start >= RequestHead.BytesMax)
                {
                    HandOver();
                    return;
                }
            }
            if (!MayRead)
            {
                AwaitBytes();
                return;
            }
            MakeRoom();
            var received = Receive(_block.AsSpan(_end));
            if (received > 0) _end += received;
            else if (received != Posix.WouldBlock)
            {
                Close();
                return;
            }
        }
    }

    private void AwaitBytes()
    {
        if (_end > _start)
        {
            if (_isHeadBegun) return; // its time runs from the first byte, and no further byte prolongs it
            _isHeadBegun = true;
            Loop.SetDeadline(this, Loop.NowMs + (long)Loop.Options.RequestHeadTimeout.TotalMilliseconds);
            return;
        }
        ReleaseBlock();
        if (Loop.IsStopping) Close();
        else if (!_isFirst) Loop.SetDeadline(this, Loop.NowMs + KeepAliveMs);
    }

    private void MakeRoom()
    {
        if (_block is null)
        {
            _block = Loop.Blocks.Rent(Blocks.Small);
            (_start, _end) = (0, 0);
        }
        if (_end < _block.Length) return;
        var block = _end - _start > Blocks.Small / 2 ? Loop.Blocks.Rent(Blocks.Head) : _block;
        Pending.CopyTo(block);
        if (block != _block) Loop.Blocks.Return(_block);
        (_block, _start, _end) = (block, 0, _end - _start);
    }

    private void Consume(int bytes)
    {
        _start += bytes;
        if (_start == _end) ReleaseBlock();
    }

    private void ReleaseBlock()
    {
        if (_block is null) return;
        Loop.Blocks.Return(_block);
        (_block, _start, _end) = (null, 0, 0);
    }

    /// <summary>The connection and what of it has been read go to Kestrel; nothing of it was forwarded.</summary>
    private void HandOver()
    {
        var begun = Pending.ToArray();
        Release();
        Loop.HandOver(_socket, begun);
    }

    private void NextRequest()
    {
        (_isFirst, _isHeadBegun, _phase) = (false, false, Phase.Head);
        if (_isLast || Loop.IsStopping) EndConnection();
        else if (_end > _start || MayRead) Loop.Defer(this); // others first; and no request is begun from within the one before
        else AwaitBytes();
    }

    private void EndConnection()
    {
        if (_end == _start && !MayRead && _bodyLeft == 0)
        {
            Close();
            return;
        }
        ReleaseBlock();
        Posix.EndSending(Descriptor);
        _phase = Phase.Lingering;
        Loop.SetDeadline(this, Loop.NowMs + LingerMs);
        Discard();
    }

    private void Discard()
    {
        for (var i = 0; i < ReadsMax && MayRead; i++)
        {
            var received = Receive(Loop.Received);
            if (received == Posix.WouldBlock) return;
            if (received <= 0 || (_lingered += received) > LingerBytesMax)
            {
                Close();
                return;
            }
        }
        if (MayRead) Loop.Defer(this);
    }

    /// <summary>True when nothing waits to be sent any more; false: the socket is full, or the client gone and the connection closed.</summary>
    private bool TryFlush()
    {
        while (!_unsent.IsEmpty)
        {
            var sent = _unsent.Send(Loop.Blocks, Descriptor);
            if (sent == Posix.WouldBlock) return false;
            if (sent < 0)
            {
                ClientLeft();
                return false;
            }
            Touch();
        }
        return true;
    }

    private bool TrySend(ReadOnlySpan<byte> bytes)
    {
        var sent = Posix.Send(Descriptor, bytes);
        if (sent == Posix.WouldBlock) sent = 0;
        if (sent < 0) return false;
        if (sent < bytes.Length) _unsent.Keep(Loop.Blocks, bytes[sent..]);
        return true;
    }

    private void Touch() => DeadlineMs = Loop.NowMs + (long)Loop.Options.IdleTimeout.TotalMilliseconds;

    private void ClientLeft()
    {
        LeaveUpstream(Failure.Client);
        Close();
    }

    private void Close()
    {
        if (!IsOpen) return;
        Release();
        _socket.Dispose();
        Loop.ClientGone();
    }

    private void Release()
    {
        ReleaseBlock();
        _unsent.Drop(Loop.Blocks);
        Loop.Unregister(this);
        (Descriptor, _phase) = (-1, Phase.Head);
    }

    /// <summary>The same string for the same name, so that a connection that keeps asking for it allocates nothing.</summary>
    private string HostName(ReadOnlySpan<byte> host)
    {
        if (_route.Host is { } known && host.SequenceEqual(_hostBytes)) return known;
        _hostBytes = host.ToArray();
        return Encoding.ASCII.GetString(host);
    }

    /// <summary>What the edge says of this connection to every task.</summary>
    private byte[] EdgeLines()
    {
        if (_edgeLines is not null) return _edgeLines;
        var client = _remote is null ? "" : $"X-Forwarded-For: {(_remote.IsIPv4MappedToIPv6 ? _remote.MapToIPv4() : _remote)}\r\n";
        return _edgeLines = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{client}X-Forwarded-Proto: http\r\nX-Forwarded-Port: {_port}\r\n"));
    }
}
