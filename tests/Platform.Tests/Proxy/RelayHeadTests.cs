using System.Text;
using Platform.Proxy.Relay;

namespace Platform.Tests.Proxy;

/// <summary>Which requests the relay takes on, and what it makes of them and of the answers.</summary>
public sealed class RelayHeadTests
{
    private const string EdgeLines = "X-Forwarded-For: 10.0.0.1\r\n";

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("HEAD /a%2Fb/%7e?x=%20&y=1+1 HTTP/1.1\r\nhost:   shop.example.test:8080  \r\n\r\n")]
    [InlineData("POST /orders;v=1 HTTP/1.1\r\nHost: a_b.c-d\r\nContent-Length: 0123\r\nX-Empty:\r\n\r\n")]
    [InlineData("PATCH //a:b@c HTTP/1.1\r\nConnection: Keep-Alive\r\nHost: 10.1.2.3\r\n\r\n")]
    [InlineData("DELETE /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Name: J\u00C3\u00B6rg \u00FC \"q\"\r\n\r\n")]
    [InlineData("OPTIONS /a HTTP/1.1\r\nHost: a\r\nAccept: text/html, */*\r\nUpgrade-Insecure-Requests: 1\r\n\r\n")]
    public void Taken_whole_and_not_before_it_is_whole(string request)
    {
        var bytes = Encoding.Latin1.GetBytes(request);
        for (var length = 1; length < bytes.Length; length++)
            Assert.Equal(HeadVerdict.Incomplete, RequestHead.Read(bytes.AsSpan(0, length), out _));
        Assert.Equal(HeadVerdict.Taken, RequestHead.Read(bytes, out var head));
        Assert.Equal(bytes.Length, head.Length);
        Assert.Equal(HeadVerdict.Taken, RequestHead.Read(Encoding.Latin1.GetBytes(request + "GET / nonsense"), out head));
        Assert.Equal(bytes.Length, head.Length);
    }

    [Theory]
    [InlineData("get / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")]
    [InlineData("PRI * HTTP/2.0\r\n\r\n")]
    [InlineData("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET / HTTP/1.0\r\nHost: a\r\n\r\n")]
    [InlineData("GET / HTTP/1.2\r\nHost: a\r\n\r\n")]
    [InlineData("GET  / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /  HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET / HTTP/1.1 \r\nHost: a\r\n\r\n")]
    [InlineData("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /a\u00E4 HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost:\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\nHost: a\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\n\n")]
    [InlineData("GET / HTTP/1.1\r\nHost : a\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\n Host: a\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nX: b\u0000\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nX: b\tc\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nX: b\u007F\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: close\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: keep-alive\r\n\r\n")]
    public void Left_to_others(string request) =>
        Assert.Equal(HeadVerdict.NotOurs, RequestHead.Read(Encoding.Latin1.GetBytes(request), out _));

    [Fact]
    public void Left_to_others_when_it_is_too_much()
    {
        Assert.Equal(HeadVerdict.Taken, RequestHead.Read(Request(98, 10), out _));
        Assert.Equal(HeadVerdict.NotOurs, RequestHead.Read(Request(101, 10), out _));
        Assert.Equal(HeadVerdict.NotOurs, RequestHead.Read(Request(90, 500), out _));
        Assert.Equal(HeadVerdict.NotOurs, RequestHead.Read(Encoding.ASCII.GetBytes($"GET /{new string('a', 9000)} HTTP/1.1\r\nHost: a\r\n\r\n"), out _));
        Assert.Equal(HeadVerdict.NotOurs, RequestHead.Read(Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: a\r\n"
            + string.Concat(Enumerable.Repeat("Via: x\r\n", 17)) + "\r\n"), out _));

        static byte[] Request(int fields, int length) => Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: a\r\n"
            + string.Concat(Enumerable.Range(0, fields).Select(i => $"X-{i}: {new string('v', length)}\r\n")) + "\r\n");
    }

    [Fact]
    public void A_task_gets_what_the_client_may_say_and_what_the_edge_knows()
    {
        var request = Encoding.ASCII.GetBytes("""
            POST /a?b=c HTTP/1.1
            X-Forwarded-For: 6.6.6.6
            x-forwarded-proto: https
            User-Agent: test
            X-Forwarded-Anything: x
            Host: Shop.example.test:80
            X-Real-IP: 6.6.6.6
            Forwarded: for=6.6.6.6
            Via: 1.1 me
            Proxy: http://evil
            X-Original-URL: /admin
            X-Original-Host: evil
            X-Rewrite-URL: /admin
            Keep-Alive: timeout=5
            Connection: keep-alive
            Content-Length: 3
            X-Forwarder: stays

            abc
            """.ReplaceLineEndings("\r\n"));
        Assert.Equal(HeadVerdict.Taken, RequestHead.Read(request, out var head));
        Assert.Equal((3L, false, false, false), (head.ContentLength, head.IsHead, head.IsIdempotent, head.IsLast));
        var output = new byte[4096];
        var length = head.WriteTo(output, request, Encoding.ASCII.GetBytes(EdgeLines));
        Assert.Equal("""
            POST /a?b=c HTTP/1.1
            User-Agent: test
            Host: Shop.example.test:80
            Content-Length: 3
            X-Forwarder: stays
            X-Forwarded-For: 10.0.0.1
            X-Forwarded-Host: Shop.example.test:80


            """.ReplaceLineEndings("\r\n"), Encoding.ASCII.GetString(output, 0, length));
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", BodyEnd.Length, true, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: now\r\n\r\n", BodyEnd.NoBody, true, "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", BodyEnd.Length, true, "HTTP/1.1 200 \r\nContent-Length: 2\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX: a\r\n\r\n", BodyEnd.LastChunk, true,
        "HTTP/1.1 200 OK\r\nX: a\r\nTransfer-Encoding: chunked\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", BodyEnd.LastChunk, false,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n\r\n", BodyEnd.Close, false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.0 200 OK\nContent-type: text/plain\n\n", BodyEnd.Close, false,
        "HTTP/1.1 200 OK\r\nContent-type: text/plain\r\nTransfer-Encoding: chunked\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", BodyEnd.Length, false, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", BodyEnd.NoBody, true, "HTTP/1.1 204 No Content\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", BodyEnd.NoBody, true, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nContent-Length: 1\r\n\r\n", BodyEnd.Length, true, "HTTP/1.1 200 OK\r\nX: a   b  \tc\r\nContent-Length: 1\r\nDATE\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nX-Inner: 1\r\nConnection: X-Inner, close , content-length, content-type\r\nContent-Type: a\r\nX-Outer: 2\r\nKeep-Alive: x\r\n"
        + "Upgrade: h2c\r\nProxy-Authenticate: x\r\nContent-Length: 1\r\n\r\n", BodyEnd.Length, false,
        "HTTP/1.1 200 OK\r\nContent-Type: a\r\nX-Outer: 2\r\nContent-Length: 1\r\nDATE\r\n\r\n")]
    public void An_answer_is_written_anew(string answer, object end, bool keeps, string expected)
    {
        var bytes = Encoding.Latin1.GetBytes(answer);
        var output = new byte[Blocks.Large];
        for (var length = 1; length < bytes.Length; length++)
            Assert.Equal(ResponseVerdict.Incomplete, ResponseHead.Read(bytes.AsSpan(0, length), false, output, out _, out _));
        Assert.Equal(ResponseVerdict.Whole, ResponseHead.Read(bytes, false, output, out var head, out var written));
        head.WriteEnd(output, ref written, closes: false, "DATE\r\n"u8);
        Assert.Equal(((BodyEnd)end, keeps, bytes.Length), (head.BodyEnd, head.KeepsConnection, head.Length));
        Assert.Equal(expected, Encoding.Latin1.GetString(output, 0, written));
    }

    [Theory]
    [InlineData("garbage\r\n")]
    [InlineData("HTTP/2 200 OK\r\n")]
    [InlineData("HTTP/1.1 20 OK\r\n")]
    [InlineData("HTTP/1.1 099 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 2000\r\n")]
    [InlineData("HTTP/1.1 200 O\u0000K\r\n")]
    [InlineData("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n X: folded onto nothing\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nX : a\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nX: a\u0000\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nno field\r\n\r\n")]
    public void What_is_no_answer_is_broken(string answer) =>
        Assert.Equal(ResponseVerdict.Broken, ResponseHead.Read(Encoding.Latin1.GetBytes(answer), false, new byte[Blocks.Large], out _, out _));

    [Theory]
    [InlineData("0\r\n\r\n", "")]
    [InlineData("5\r\nhello\r\n0\r\n\r\n", "hello")]
    [InlineData("5;a=b\r\nhello\r\n00b \r\n, you there\r\n0\r\nX-Trailer: 1\r\nY: 2\r\n\r\n", "hello, you there")]
    public void Chunks_give_their_content_however_they_come(string body, string content)
    {
        var bytes = Encoding.ASCII.GetBytes(body + "extra");
        for (var cut = 0; cut <= body.Length; cut++)
        {
            var decoder = new ChunkDecoder();
            var output = new byte[200];
            var verdict = decoder.Decode(bytes.AsSpan(0, cut), output, out var consumed, out var written);
            if (cut < body.Length)
            {
                Assert.Equal((ChunkVerdict.More, cut), (verdict, consumed));
                verdict = decoder.Decode(bytes.AsSpan(cut), output.AsSpan(written), out var rest, out var more);
                (consumed, written) = (consumed + rest, written + more);
            }
            Assert.Equal((ChunkVerdict.Ended, body.Length, content), (verdict, consumed, Encoding.ASCII.GetString(output, 0, written)));
        }
    }

    [Theory]
    [InlineData("\r\n")]
    [InlineData("x\r\n")]
    [InlineData("-1\r\n")]
    [InlineData("1\nx")]
    [InlineData("1;a\u0001\r\n")]
    [InlineData("1\r\nxy")]
    [InlineData("1\r\nx\rn")]
    [InlineData("0\r\nX: a\n")]
    [InlineData("0\r\n\rx")]
    [InlineData("1000000000000000\r\n")]
    public void Broken_chunks_are_found(string body) =>
        Assert.Equal(ChunkVerdict.Broken, new ChunkDecoder().Decode(Encoding.ASCII.GetBytes(body), new byte[200], out _, out _));

    /// <summary>Whatever is put off, brought forward or taken out: nothing fires early, and everything fires once its time has come.</summary>
    [Fact]
    public void The_wheel_fires_what_is_due_and_nothing_else()
    {
        var random = new Random(5);
        var wheel = new TimerWheel();
        var now = 1_000_000L;
        wheel.Begin(now);
        var filed = new HashSet<Bell>();
        for (var i = 0; i < 20_000; i++)
        {
            var bell = filed.Count > 0 && random.Next(2) == 0 ? filed.ElementAt(random.Next(filed.Count)) : new Bell();
            if (filed.Contains(bell) && random.Next(4) == 0)
            {
                wheel.Remove(bell);
                filed.Remove(bell);
            }
            else
            {
                bell.DeadlineMs = random.Next(50) == 0 ? TimerWheel.Never : now + random.Next(100_000);
                wheel.File(bell);
                filed.Add(bell);
            }
            var wait = wheel.Wait(now);
            Assert.Equal(filed.Count == 0, wait < 0);
            if (wait > 0 && filed.Min(x => x.DeadlineMs) is not TimerWheel.Never and var earliest) Assert.True(now + wait <= earliest + 128, "it waits past a deadline");
            now += random.Next(20) == 0 ? random.Next(200_000) : random.Next(100);
            foreach (var due in wheel.Due(now).Cast<Bell>()) Assert.True(due.DeadlineMs <= now && filed.Remove(due), "it was not due");
            Assert.All(filed, x => Assert.True(x.DeadlineMs > now - 128, "a deadline passed unseen"));
        }
    }

    private sealed class Bell() : Wire(null!)
    {
        public override void Ready() => throw new InvalidOperationException();
        public override void Expired() => throw new InvalidOperationException();
        public override void Cut() => throw new InvalidOperationException();
    }
}
