using System.Globalization;
using System.Text;
using Platform.Proxy.Forwarding;
using Platform.Proxy.Routing;

namespace Platform.Proxy.Relay;

/// <summary>One request at a task: chosen, sent, answered; and what is done when that fails.</summary>
internal sealed partial class ClientWire
{
    /// <summary>How many endpoints one request tries when connections fail, which costs the tasks nothing.</summary>
    private const int ConnectAttemptsMax = 3;

    /// <summary>How many attempts one request gets once it may have reached a task.</summary>
    private const int SendAttemptsMax = 2;
    private const int InterimMax = 16;
    private const int SuspectMs = 1_000;

    /// <summary>What may not be sent twice only gets a connection that was idle for less than any server's patience.</summary>
    private const int CarefulIdleMs = 1_000;

    private RequestHead _head;
    private Target? _target;
    private UpstreamWire? _upstream;
    private int _attempt;
    private bool _isLast;

    /// <summary>The request's bytes are all still here, and sending them again does no harm.</summary>
    private bool _mayRepeat;
    private bool _isConsumed;

    /// <summary>Of the request's body, what has not been given to the task yet.</summary>
    private long _bodyLeft;

    private ResponseHead _response;
    private ChunkDecoder _chunks;
    private bool _isAnswered;
    private bool _hasResponseBytes;
    private int _interims;
    private long _responseLeft;
    private byte[]? _headPart;
    private int _headPartLength;

    private Tally Tally => _route.Route!.Tally;

    private void BeginExchange()
    {
        _target = Loop.Routes.Enter(_port, HostName(_head.Host(Pending)), null, ref _route);
        if (_target?.SocketAddress is null || Access.Refusal(_route.Route!.Spec, _remote) is not null)
        {
            LeaveTarget();
            HandOver(); // where it is answered, or a name looked up
            return;
        }
        Tally.Requested();
        (_attempt, _isLast, _isConsumed, _bodyLeft) = (1, _head.IsLast, false, _head.ContentLength);
        (_isAnswered, _hasResponseBytes, _interims) = (false, false, 0);
        _mayRepeat = _head.IsIdempotent && _head.ContentLength == 0;
        Loop.SetDeadline(this, Loop.NowMs + (long)Loop.Options.IdleTimeout.TotalMilliseconds);
        Dispatch(fresh: false);
    }

    /// <summary>Onto a connection of the pool, or a new one.</summary>
    private void Dispatch(bool fresh)
    {
        var idleMax = _head.IsIdempotent ? (long)Loop.Options.PooledConnectionIdleTimeout.TotalMilliseconds : CarefulIdleMs;
        if (!fresh && Loop.Upstreams.Take(_target!, idleMax, look: !_mayRepeat) is { } kept)
        {
            kept.TakenBy(this);
            _upstream = kept;
            SendRequest();
            return;
        }
        _phase = Phase.Connecting;
        _upstream = new UpstreamWire(Loop, Loop.Upstreams, _target!) { Owner = this };
        var error = _upstream.Connect();
        if (error < 0) ConnectFailed(error);
    }

    public void Connected() => SendRequest();

    public void ConnectTimedOut() =>
        ConnectFailed(string.Create(CultureInfo.InvariantCulture, $"no answer within {Loop.Options.ConnectTimeout.TotalSeconds:0.#} s"));

    public void ConnectFailed(int error) => ConnectFailed(error == Posix.ConnectionRefused ? "connection refused" : $"error {-error}");

    private void ConnectFailed(string reason)
    {
        if (TryElsewhere(_attempt < ConnectAttemptsMax)) return;
        Fail(Failure.Connect, 502, "Bad Gateway", $"a task of {_route.Route!.Spec.App} could not be reached: {reason}");
    }

    /// <summary>The task is at fault; another one is tried if it may be.</summary>
    private bool TryElsewhere(bool mayTry)
    {
        var failed = _target!.Upstream;
        failed.Failed();
        failed.SuspectUntil(Loop.NowMs + SuspectMs);
        if (!mayTry) return false;
        CloseUpstream();
        Tally.Retried();
        LeaveTarget();
        _attempt++;
        var host = _route.Host!;
        _target = Loop.Routes.Enter(_port, host, failed, ref _route);
        if (_target?.SocketAddress is null)
        {
            LeaveTarget();
            HandOver(); // nothing is left to try: there it is said
            return true;
        }
        Dispatch(fresh: true);
        return true;
    }

    private void SendRequest()
    {
        _phase = Phase.Exchange;
        Touch();
        var output = Loop.Output;
        var length = _head.WriteTo(output, Pending, EdgeLines());
        var body = (int)Math.Min(_head.ContentLength, _end - _start - _head.Length);
        Pending.Slice(_head.Length, body).CopyTo(output.AsSpan(length));
        var sent = _upstream!.Send(output.AsSpan(0, length + body));
        if (sent < 0)
        {
            UpstreamBroke(untouched: true);
            return;
        }
        _bodyLeft -= body;
        if (!_mayRepeat) ConsumeRequest();
        PumpRequest();
    }

    private void ConsumeRequest()
    {
        if (_isConsumed) return;
        _isConsumed = true;
        Consume((int)Math.Min(_head.Length + _head.ContentLength, _end - _start));
    }

    /// <summary>Passes on what comes of the request's body, as long as the task takes it.</summary>
    private void PumpRequest()
    {
        for (var i = 0; i < ReadsMax; i++)
        {
            if (_phase != Phase.Exchange || _bodyLeft == 0 || !MayRead || _upstream is not { HasSentAll: true }) return;
            var buffer = Loop.Received.AsSpan(0, (int)Math.Min(_bodyLeft, Loop.Received.Length));
            var received = Receive(buffer);
            if (received == Posix.WouldBlock) return;
            if (received <= 0)
            {
                ClientLeft();
                return;
            }
            _bodyLeft -= received;
            Touch();
            if (_upstream.Send(buffer[..received]) >= 0) continue;
            // The task takes no more. It may have answered before it closed: what can be read decides.
            _bodyLeft = Math.Max(1, _bodyLeft);
            return;
        }
        Loop.Defer(this);
    }

    public void UpstreamTook()
    {
        Touch();
        PumpRequest();
    }

    public void PumpResponse()
    {
        for (var i = 0; i < ReadsMax; i++)
        {
            if (_phase != Phase.Exchange || !_unsent.IsEmpty || _upstream is not { MayReceive: true }) return;
            var received = _upstream.ReceiveInto(Loop.Received);
            if (received == Posix.WouldBlock) return;
            if (received == 0) UpstreamEnded();
            else if (received < 0) UpstreamBroke(untouched: false);
            else
            {
                _hasResponseBytes = true;
                Touch();
                TakeResponse(Loop.Received.AsSpan(0, received));
            }
        }
        if (_phase == Phase.Exchange) Loop.Defer(this);
    }

    private void TakeResponse(Span<byte> bytes)
    {
        if (_isAnswered)
        {
            TakeBody(bytes, 0);
            return;
        }
        if (_headPart is null)
        {
            TakeHead(bytes);
            return;
        }
        bytes.CopyTo(_headPart.AsSpan(_headPartLength));
        _headPartLength += bytes.Length;
        var part = _headPart;
        TakeHead(part.AsSpan(0, _headPartLength));
        if (!_isAnswered && _headPart is not null) return;
        if (_headPart is not null) DropHeadPart();
    }

    private void TakeHead(Span<byte> bytes)
    {
        while (true)
        {
            var verdict = ResponseHead.Read(bytes, _head.IsHead, Loop.Output, out _response, out var written);
            if (verdict == ResponseVerdict.Incomplete)
            {
                KeepHeadPart(bytes);
                return;
            }
            if (verdict == ResponseVerdict.Broken || (_response.IsInterim && ++_interims > InterimMax))
            {
                UpstreamBroke(untouched: false);
                return;
            }
            bytes = bytes[_response.Length..];
            if (!_response.IsInterim)
            {
                BeginAnswer(bytes, written);
                return;
            }
            if (bytes.IsEmpty)
            {
                DropHeadPart();
                return;
            }
        }
    }

    private void BeginAnswer(ReadOnlySpan<byte> rest, int written)
    {
        _isAnswered = true;
        ConsumeRequest();
        // The request has not come in whole: where the next one begins will not be known when the answer ends.
        _isLast |= _bodyLeft > 0 || Loop.IsStopping;
        _chunks = default;
        _responseLeft = _response.BodyEnd == BodyEnd.Length ? _response.ContentLength : 0;
        _response.WriteEnd(Loop.Output, ref written, _isLast, Loop.DateLine());
        TakeBody(rest, written);
    }

    /// <summary>Passes on a piece of the response's body behind what is in the output already.</summary>
    private void TakeBody(ReadOnlySpan<byte> bytes, int written)
    {
        bool ended;
        var extra = 0;
        ReadOnlySpan<byte> message;
        switch (_response.BodyEnd)
        {
            case BodyEnd.NoBody:
                (ended, extra) = (true, bytes.Length);
                message = Loop.Output.AsSpan(0, written);
                break;
            case BodyEnd.Length:
                var here = (int)Math.Min(_responseLeft, bytes.Length);
                _responseLeft -= here;
                (ended, extra) = (_responseLeft == 0, bytes.Length - here);
                message = bytes[..here];
                if (written == 0) break;
                message.CopyTo(Loop.Output.AsSpan(written));
                message = Loop.Output.AsSpan(0, written + here);
                break;
            case BodyEnd.LastChunk:
                var verdict = _chunks.Decode(bytes, Loop.Decoded, out var consumed, out var decoded);
                if (verdict == ChunkVerdict.Broken)
                {
                    UpstreamBroke(untouched: false);
                    return;
                }
                (ended, extra) = (verdict == ChunkVerdict.Ended, bytes.Length - consumed);
                WriteChunk(Loop.Decoded.AsSpan(0, decoded), ended, ref written);
                message = Loop.Output.AsSpan(0, written);
                break;
            default:
                ended = false;
                WriteChunk(bytes, last: false, ref written);
                message = Loop.Output.AsSpan(0, written);
                break;
        }
        if (!message.IsEmpty && !TrySend(message)) ClientLeft();
        else if (ended) EndExchange(isClean: extra == 0);
    }

    private void WriteChunk(ReadOnlySpan<byte> content, bool last, ref int written)
    {
        var output = Loop.Output.AsSpan();
        if (!content.IsEmpty)
        {
            content.Length.TryFormat(output[written..], out var digits, "x", CultureInfo.InvariantCulture);
            written += digits;
            Append("\r\n"u8, ref written);
            Append(content, ref written);
            Append("\r\n"u8, ref written);
        }
        if (last) Append("0\r\n\r\n"u8, ref written);
    }

    private void Append(ReadOnlySpan<byte> bytes, ref int written)
    {
        bytes.CopyTo(Loop.Output.AsSpan(written));
        written += bytes.Length;
    }

    /// <summary>The task closed its sending side.</summary>
    private void UpstreamEnded()
    {
        if (!_isAnswered || _response.BodyEnd != BodyEnd.Close)
        {
            UpstreamBroke(untouched: false);
            return;
        }
        if (TrySend("0\r\n\r\n"u8)) EndExchange(isClean: false);
        else ClientLeft();
    }

    private void EndExchange(bool isClean)
    {
        if (_response.Status >= 500) Tally.ServerFailed();
        var upstream = _upstream!;
        _upstream = null;
        if (isClean && _response.KeepsConnection && _bodyLeft == 0 && upstream.HasSentAll && !_target!.Upstream.IsWithdrawn && !Loop.IsStopping)
            Loop.Upstreams.Give(upstream);
        else upstream.Close();
        LeaveTarget();
        EndAnswer();
    }

    private void EndAnswer()
    {
        _isLast |= _bodyLeft > 0;
        if (_unsent.IsEmpty) NextRequest();
        else _phase = Phase.Flushing;
    }

    /// <param name="untouched">The connection took nothing of the request.</param>
    private void UpstreamBroke(bool untouched)
    {
        if (_isAnswered)
        {
            _target!.Upstream.Failed();
            LeaveUpstream(Failure.Broken);
            Close(); // which is how the client learns that this is not all
            return;
        }
        DropHeadPart();
        if (_upstream!.WasUsed && !_hasResponseBytes && (_mayRepeat || untouched))
        {
            CloseUpstream(); // it was about to close for idleness when it was chosen: no fault of the task's
            Dispatch(fresh: true);
            return;
        }
        if (TryElsewhere(_mayRepeat && _attempt < SendAttemptsMax)) return;
        Fail(Failure.Broken, 502, "Bad Gateway", $"a task of {_route.Route!.Spec.App} broke the exchange off");
    }

    private void ExchangeTimedOut()
    {
        if (!_unsent.IsEmpty)
        {
            ClientLeft(); // it does not read
            return;
        }
        if (_bodyLeft > 0 && !_isAnswered && _upstream!.HasSentAll)
        {
            Fail(Failure.Client, 408, "Request Timeout", "the request's body did not come in time");
            return;
        }
        _target!.Upstream.Failed();
        if (!_isAnswered)
        {
            Fail(Failure.Timeout, 504, "Gateway Timeout", $"a task of {_route.Route!.Spec.App} did not answer in time");
            return;
        }
        LeaveUpstream(Failure.Timeout);
        Close();
    }

    private void Fail(Failure failure, int status, string phrase, string reason)
    {
        ConsumeRequestAtHand();
        LeaveUpstream(failure);
        Answer(status, phrase, reason);
    }

    /// <summary>Of a request that reached no task, what has come in of it is dropped.</summary>
    private void ConsumeRequestAtHand()
    {
        if (_isConsumed) return;
        if (_bodyLeft == _head.ContentLength) _bodyLeft -= Math.Min(_head.ContentLength, _end - _start - _head.Length);
        ConsumeRequest();
    }

    private void Answer(int status, string phrase, string reason)
    {
        _isLast |= _bodyLeft > 0;
        var body = _head.IsHead ? "" : reason + "\n";
        var text = string.Create(CultureInfo.InvariantCulture, $"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            + $"Content-Length: {reason.Length + 1}\r\n{(_isLast ? "Connection: close\r\n" : "")}{Encoding.ASCII.GetString(Loop.DateLine())}\r\n{body}");
        if (TrySend(Encoding.ASCII.GetBytes(text))) EndAnswer();
        else Close();
    }

    /// <summary>Ends the request's stay at a task, for better or worse.</summary>
    private void LeaveUpstream(Failure failure)
    {
        if (_target is not null) Tally.Failed(failure);
        CloseUpstream();
        LeaveTarget();
    }

    private void CloseUpstream()
    {
        DropHeadPart();
        var upstream = _upstream;
        _upstream = null;
        upstream?.Close();
    }

    private void LeaveTarget()
    {
        if (_target is not { } target) return;
        _target = null;
        Loop.Routes.Exit(target);
    }

    private void KeepHeadPart(ReadOnlySpan<byte> bytes)
    {
        if (_headPart is null) _headPart = Loop.Blocks.Rent(Blocks.Large);
        bytes.CopyTo(_headPart); // from its own middle, perhaps
        _headPartLength = bytes.Length;
    }

    private void DropHeadPart()
    {
        if (_headPart is null) return;
        Loop.Blocks.Return(_headPart);
        (_headPart, _headPartLength) = (null, 0);
    }
}
