using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using Platform.Proxy.Transport;

namespace Platform.Tests.Proxy;

public sealed class RequestFramingTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    private const string Post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    private const string Chunked = "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        + "5;a;b=c ; d=\"e \\\" f\"\r\nhello\r\n0A\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n";

    [Theory]
    [InlineData(Get)]
    [InlineData("\r\n" + Get)]
    [InlineData(Post)]
    [InlineData(Chunked)]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")]
    public void A_request_ends_where_it_ends_however_it_comes_in(string request)
    {
        for (var cut = 0; cut <= request.Length; cut++)
        {
            var framing = new RequestFraming();
            var first = Bytes(request[..cut]);
            var followed = framing.Follow(first, out var ended);
            Assert.Equal(cut == request.Length, ended);
            if (!ended) followed += framing.Follow(Bytes((request + Get)[(int)followed..]), out ended);
            Assert.True(ended);
            Assert.Equal(request.Length, followed);
            Assert.False(framing.IsBroken);
        }
    }

    [Theory]
    [InlineData("Content-Length: +1\r\n\r\n")]
    [InlineData("content-length: -0\r\n\r\n")]
    [InlineData("Content-Length: 1, 1\r\n\r\n")]
    [InlineData("Content-Length:\r\n\r\n")]
    [InlineData("Content-Length: 0x1\r\n\r\n")]
    [InlineData("Content-Length: 9999999999999999999\r\n\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n;\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n1;\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n1 \r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n+1\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n0x1\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n1;a=\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n1;a=\"b\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n1;a=\"b\"c\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n1;a\u0001\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n")]
    public void What_others_may_read_differently_is_broken(string fields)
    {
        var framing = new RequestFraming();
        framing.Follow(Bytes("POST / HTTP/1.1\r\nHost: a\r\n" + fields), out var ended);
        Assert.False(ended);
        Assert.True(framing.IsBroken);
    }

    /// <summary>Kestrel gets one request at a time, in pieces of any size, and every byte of it once.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(4096)]
    public async Task The_guard_gives_one_request_at_a_time_and_loses_nothing(int piece)
    {
        var pipe = new Pipe();
        var guard = new FramingGuard(pipe.Reader);
        string[] requests = [Get, Chunked, Post, Chunked, Get];
        var sending = Task.Run(async () =>
        {
            var all = Encoding.ASCII.GetBytes(string.Concat(requests));
            foreach (var part in all.Chunk(piece)) await pipe.Writer.WriteAsync(part);
            await pipe.Writer.CompleteAsync();
        });
        foreach (var request in requests)
        {
            var text = "";
            while (text.Length < request.Length)
            {
                var read = await guard.ReadAsync();
                text += Encoding.ASCII.GetString(read.Buffer);
                guard.AdvanceTo(read.Buffer.End);
            }
            Assert.Equal(request, text);
        }
        await sending;
        Assert.True((await guard.ReadAsync()).IsCompleted);
    }

    [Fact]
    public async Task After_a_switch_of_protocols_bytes_are_only_bytes()
    {
        var pipe = new Pipe();
        var guard = new FramingGuard(pipe.Reader);
        const string frames = "\u0081\u0002\r\n\r\nContent-Length: +1\r\n\r\n";
        await pipe.Writer.WriteAsync(Encoding.Latin1.GetBytes(Get + frames));
        var head = await guard.ReadAsync();
        Assert.Equal(Get, Encoding.Latin1.GetString(head.Buffer));
        guard.AdvanceTo(head.Buffer.End);
        guard.Tunnel();
        Assert.Equal(frames, Encoding.Latin1.GetString((await guard.ReadAsync()).Buffer));
        Assert.False(guard.IsBroken);
    }

    private static ReadOnlySequence<byte> Bytes(string text) => new(Encoding.Latin1.GetBytes(text));
}
