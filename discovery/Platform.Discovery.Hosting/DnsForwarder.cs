using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using ARSoft.Tools.Net.Dns;
using Microsoft.Extensions.Logging;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// Asks other servers for names that are not ours: those named for the zone a name lies in, or else the machine's resolvers. A question goes out with
/// a random id, in a random spelling, from a socket with a random port that hears that server alone, and equal questions wait for one exchange,
/// which leaves a guesser one race instead of many. Of a reply only what was asked for is believed (<see cref="UpstreamReply"/>).
/// Replies are judged with ARSoft's message types and passed on as bytes: that library reads names as ASCII, so a re-encoded answer would lose some.
/// </summary>
internal sealed partial class DnsForwarder(DnsOptions options, Func<IPEndPoint, bool> isOurs, TimeProvider time, ILogger logger) : IDisposable
{
    private const int CachedLengthMax = 4096;
    private const int MismatchesMax = 8;
    private const int StaleTtlSeconds = 30;

    /// <summary>A "no" is asked again sooner: what was missing may have come.</summary>
    private const int NegativeTtlMaxSeconds = 300;

    /// <summary>How long a failure is remembered (RFC 9520), and with an old answer in hand (RFC 8767): servers that are down are not asked for each question.</summary>
    private static readonly TimeSpan FailureKept = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan StaleFailureKept = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan ResolverFileLook = TimeSpan.FromSeconds(5);

    private readonly record struct Key(string Name, ushort Type, ushort Class, bool DnssecOk, bool CheckingDisabled);

    /// <param name="KeptUntil">When it may no longer be given as fresh.</param>
    internal sealed record Reply(byte[] Message, DnsSkeleton Skeleton, DateTimeOffset ReceivedAt, DateTimeOffset KeptUntil);

    private readonly ConcurrentDictionary<Key, Task<Reply?>> _underWay = new();
    private readonly ConcurrentDictionary<Key, Reply> _cache = new();
    private readonly ConcurrentQueue<Key> _cachedInOrder = new();
    private readonly ConcurrentDictionary<Key, DateTimeOffset> _failedUntil = new();
    private readonly UpstreamSockets _sockets = new();
    private readonly SemaphoreSlim _exchanges = new(options.UpstreamExchangesMax);
    private readonly Lock _readingFile = new();
    private (DateTimeOffset LookedAt, DateTime WrittenAt, IPEndPoint[] Servers) _resolvers;
    private int _preferred;

    public void Dispose()
    {
        _sockets.Dispose();
        _exchanges.Dispose();
    }

    /// <summary>The reply and its age; null when every upstream stayed silent and nothing is remembered either.</summary>
    public async ValueTask<(Reply Reply, int AgeSeconds)?> ResolveAsync(DnsForward forward, ReadOnlyMemory<byte> question, CancellationToken stopping)
    {
        var key = new Key(forward.Name, forward.Query.Type, forward.Query.Class, forward.Query.Edns?.DnssecOk ?? false, forward.Query.CheckingDisabled);
        var now = time.GetUtcNow();
        if (_cache.TryGetValue(key, out var cached) && now < cached.KeptUntil) return (cached, (int)(now - cached.ReceivedAt).TotalSeconds);
        if (_failedUntil.TryGetValue(key, out var until) && now < until) return Stale(cached);

        var ours = new TaskCompletionSource<Reply?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var underWay = _underWay.GetOrAdd(key, ours.Task);
        if (underWay == ours.Task) _ = RunAsync(key, question.ToArray(), ours, stopping);
        if (await underWay.ConfigureAwait(false) is { } reply) return (reply, 0);
        return Stale(cached);
    }

    /// <summary>Serve stale (RFC 8767): an old answer is better than none while the upstreams are away.</summary>
    private (Reply Reply, int AgeSeconds)? Stale(Reply? cached) => cached is null || time.GetUtcNow() - cached.KeptUntil > options.StaleMax
        ? null
        : (cached, (int)Math.Max(0, (cached.KeptUntil - cached.ReceivedAt).TotalSeconds - StaleTtlSeconds));

    private async Task RunAsync(Key key, byte[] question, TaskCompletionSource<Reply?> done, CancellationToken stopping)
    {
        Reply? reply = null;
        try
        {
            reply = await AskAsync(key, question, stopping).ConfigureAwait(false);
            if (reply is not null && reply.KeptUntil > reply.ReceivedAt) Keep(key, reply);
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            UpstreamFailed(key.Name, e.Message);
        }
        finally
        {
            if (reply is null) Failed(key);
            else _failedUntil.TryRemove(key, out _);
            _underWay.TryRemove(key, out _);
            done.TrySetResult(reply);
        }
    }

    private void Failed(Key key)
    {
        var now = time.GetUtcNow();
        if (_failedUntil.Count >= options.CacheEntriesMax)
            foreach (var (old, until) in _failedUntil)
                if (until <= now) _failedUntil.TryRemove(old, out _);
        if (_failedUntil.Count < options.CacheEntriesMax) _failedUntil[key] = now + (_cache.ContainsKey(key) ? StaleFailureKept : FailureKept);
    }

    private void Keep(Key key, Reply reply)
    {
        if (reply.Message.Length > CachedLengthMax) return;
        var known = _cache.ContainsKey(key);
        _cache[key] = reply;
        if (known) return;
        _cachedInOrder.Enqueue(key);
        while (_cachedInOrder.Count > options.CacheEntriesMax && _cachedInOrder.TryDequeue(out var oldest)) _cache.TryRemove(oldest, out _);
    }

    /// <summary>
    /// Servers are started one after another within the time allowed, a lone one twice (a datagram may get lost), and the first good reply
    /// wins; a refusal is kept for the case that nobody says anything better.
    /// </summary>
    private async Task<Reply?> AskAsync(Key key, byte[] question, CancellationToken stopping)
    {
        var servers = Servers(key.Name);
        if (servers.Length == 0) return null;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        deadline.CancelAfter(options.UpstreamTimeout);
        var tries = Math.Max(2, servers.Length);
        var first = Volatile.Read(ref _preferred);
        var pending = new List<Task<byte[]?>>();
        byte[]? refusal = null;
        try
        {
            for (var i = 0; i < tries || pending.Count > 0;)
            {
                if (i < tries) pending.Add(ExchangeAsync(servers[(first + i++) % servers.Length], key, question, deadline.Token));
                var patience = i < tries ? Task.Delay(options.UpstreamTimeout / tries, time, deadline.Token) : Task.Delay(Timeout.Infinite, deadline.Token);
                while (pending.Count > 0 && await Task.WhenAny([.. pending, patience]).ConfigureAwait(false) is Task<byte[]?> finished)
                {
                    var index = pending.IndexOf(finished);
                    pending.RemoveAt(index);
                    if (await finished.ConfigureAwait(false) is not { } message) continue;
                    if (DnsWire.RcodeOf(message) is DnsRcode.NoError or DnsRcode.NXDomain) return Judge(message);
                    refusal ??= message;
                }
                if (deadline.IsCancellationRequested) break;
                Volatile.Write(ref _preferred, (first + i) % servers.Length); // whoever kept us waiting is not asked first next time
            }
        }
        finally
        {
            await deadline.CancelAsync().ConfigureAwait(false);
        }
        return refusal is null ? null : Judge(refusal);
    }

    /// <summary>One server, by UDP and, if the answer was cut or somebody may be guessing, by TCP. Null: it did not answer in a usable way.</summary>
    private async Task<byte[]?> ExchangeAsync(IPEndPoint server, Key key, byte[] question, CancellationToken deadline)
    {
        try
        {
            await _exchanges.WaitAsync(deadline).ConfigureAwait(false);
            try
            {
                var id = (ushort)RandomNumberGenerator.GetInt32(ushort.MaxValue + 1);
                var spelled = Respelled(question);
                var packet = DnsWire.Query(id, spelled, recursionDesired: true, key.CheckingDisabled, key.DnssecOk);
                var (reply, sure) = await ByUdpAsync(server, packet, id, spelled, deadline).ConfigureAwait(false);
                // A server that keeps no spelling and speaks no TCP (some small routers' do neither) is believed on its id and port, as everywhere else.
                if (!sure || DnsWire.IsTruncated(reply)) reply = await TryTcpAsync(server, packet, id, spelled, deadline).ConfigureAwait(false) ?? reply;
                return reply is null ? null : UpstreamReply.Trusted(reply, key.DnssecOk);
            }
            finally
            {
                _exchanges.Release();
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or IOException or ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>Each letter of the name large or small by chance: a server answers in the spelling it was asked in, and a guesser has to guess that too.</summary>
    private static byte[] Respelled(ReadOnlySpan<byte> question)
    {
        var spelled = question.ToArray();
        Span<byte> chance = stackalloc byte[(spelled.Length + 7) / 8];
        RandomNumberGenerator.Fill(chance);
        for (var at = 0; spelled[at] != 0; at += spelled[at] + 1)
            for (var i = at + 1; i <= at + spelled[at]; i++)
                if (char.IsAsciiLetter((char)spelled[i]) && (chance[i / 8] & (1 << (i % 8))) != 0) spelled[i] ^= 0x20;
        return spelled;
    }

    /// <summary>Not sure when replies came that were not to the question (then there is none), or not as it was spelled: TCP is to be asked.</summary>
    private async Task<(byte[]? Reply, bool Sure)> ByUdpAsync(IPEndPoint server, byte[] packet, ushort id, byte[] question, CancellationToken deadline)
    {
        using var lease = _sockets.Take(server);
        await lease.Socket.SendAsync(packet, deadline).ConfigureAwait(false);
        var buffer = new byte[DnsWire.UdpPayloadMax];
        for (var mismatches = 0; mismatches < MismatchesMax; mismatches++)
        {
            var length = await lease.Socket.ReceiveAsync(buffer, deadline).ConfigureAwait(false);
            var fit = UpstreamReply.Judge(buffer.AsSpan(0, length), id, question);
            if (fit == UpstreamReply.Fit.Stranger) continue;
            if (mismatches == 0 && fit == UpstreamReply.Fit.Ours) lease.Keep();
            return (buffer[..length], fit == UpstreamReply.Fit.Ours);
        }
        return (null, false);
    }

    /// <summary>Null if the server does not speak it, or takes more than half of the time there is.</summary>
    private async Task<byte[]?> TryTcpAsync(IPEndPoint server, byte[] packet, ushort id, byte[] question, CancellationToken deadline)
    {
        using var half = CancellationTokenSource.CreateLinkedTokenSource(deadline);
        half.CancelAfter(options.UpstreamTimeout / 2);
        try
        {
            return await ByTcpAsync(server, packet, id, question, half.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or IOException || e is OperationCanceledException && !deadline.IsCancellationRequested)
        {
            return null;
        }
    }

    private static async Task<byte[]?> ByTcpAsync(IPEndPoint server, byte[] packet, ushort id, byte[] question, CancellationToken deadline)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server, deadline).ConfigureAwait(false);
        var framed = new byte[2 + packet.Length];
        BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)packet.Length);
        packet.CopyTo(framed, 2);
        using var stream = new NetworkStream(socket, ownsSocket: false);
        await stream.WriteAsync(framed, deadline).ConfigureAwait(false);
        var prefix = new byte[2];
        await stream.ReadExactlyAsync(prefix, deadline).ConfigureAwait(false);
        var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
        await stream.ReadExactlyAsync(message, deadline).ConfigureAwait(false);
        return DnsWire.Answers(message, id, question) ? message : null;
    }

    /// <summary>How long the reply may be kept: the shortest TTL of its answer, or for a "no" what its SOA allows.</summary>
    private Reply? Judge(byte[] message)
    {
        if (DnsWire.Scan(message) is not { } skeleton) return null;
        var now = time.GetUtcNow();
        return new Reply(message, skeleton, now, now.AddSeconds(Math.Clamp(KeepSeconds(message), 0, DnsWire.TtlMaxSeconds)));
    }

    private static int KeepSeconds(byte[] message)
    {
        try
        {
            var parsed = DnsMessage.Parse(new ArraySegment<byte>(message));
            if (parsed.IsTruncated || parsed.ReturnCode is not (ReturnCode.NoError or ReturnCode.NxDomain)) return 0;
            if (parsed.ReturnCode == ReturnCode.NoError && parsed.AnswerRecords.Count > 0) return parsed.AnswerRecords.Min(x => x.TimeToLive);
            return parsed.AuthorityRecords.OfType<SoaRecord>().FirstOrDefault() is { } soa
                ? Math.Min(Math.Min(soa.TimeToLive, soa.NegativeCachingTTL), NegativeTtlMaxSeconds)
                : 0;
        }
        catch (Exception e) when (e is FormatException or ArgumentException or NotSupportedException or IndexOutOfRangeException)
        {
            return 0; // a record that ARSoft cannot read may be fine for the asker: pass it on, do not keep it
        }
    }

    private IPEndPoint[] Servers(string name)
    {
        if (DnsForwarding.ZoneOf(options.ZoneUpstreams, name) is { } zone) return [.. zone.Servers];
        if (!options.Upstreams.IsEmpty) return [.. options.Upstreams];
        lock (_readingFile)
        {
            var now = time.GetUtcNow();
            if (_resolvers.Servers is { } fresh && now - _resolvers.LookedAt < ResolverFileLook) return [.. fresh.Where(x => !isOurs(x))];
            var writtenAt = File.GetLastWriteTimeUtc(options.ResolverFile);
            var servers = _resolvers.Servers is { } known && writtenAt == _resolvers.WrittenAt ? known : ReadResolverFile(options.ResolverFile);
            // Ourselves as our upstream would be a loop; which addresses are ours may change when a listener is added.
            _resolvers = (now, writtenAt, servers);
            return [.. servers.Where(x => !isOurs(x))];
        }
    }

    private static IPEndPoint[] ReadResolverFile(string path)
    {
        try
        {
            return
            [
                .. File.ReadLines(path).Select(x => x.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries))
                    .Where(x => x.Length >= 2 && x[0] == "nameserver").Select(x => IPAddress.TryParse(x[1], out var address) ? address : null)
                    .OfType<IPAddress>().Select(x => new IPEndPoint(x, 53)),
            ];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    [LoggerMessage(5101, LogLevel.Debug, "Asking upstream for {Name} failed: {Why}")]
    private partial void UpstreamFailed(string name, string why);
}
