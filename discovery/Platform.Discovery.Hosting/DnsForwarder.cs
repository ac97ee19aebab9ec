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
/// Asks the machine's resolvers for names that are not ours. Each question goes out from a socket of its own (random port, random id,
/// connected, so that only that server is heard) and equal questions wait for one exchange, which leaves a guesser one race instead of many.
/// Replies are judged with ARSoft's message types and passed on as bytes: that library reads names as ASCII, so a re-encoded answer would lose some.
/// </summary>
internal sealed partial class DnsForwarder(DnsOptions options, Func<IPEndPoint, bool> isOurs, TimeProvider time, ILogger logger)
{
    private const int CachedLengthMax = 4096;
    private const int MismatchesMax = 8;
    private static readonly TimeSpan StaleMax = TimeSpan.FromHours(1);
    private const int StaleTtlSeconds = 30;
    private static readonly TimeSpan ResolverFileLook = TimeSpan.FromSeconds(5);

    private readonly record struct Key(string Name, ushort Type, ushort Class, bool DnssecOk, bool CheckingDisabled);

    /// <param name="KeptUntil">When it may no longer be given as fresh.</param>
    internal sealed record Reply(byte[] Message, DnsSkeleton Skeleton, DateTimeOffset ReceivedAt, DateTimeOffset KeptUntil);

    private readonly ConcurrentDictionary<Key, Task<Reply?>> _underWay = new();
    private readonly ConcurrentDictionary<Key, Reply> _cache = new();
    private readonly ConcurrentQueue<Key> _cachedInOrder = new();
    private readonly Lock _readingFile = new();
    private (DateTimeOffset LookedAt, DateTime WrittenAt, IPEndPoint[] Servers) _resolvers;
    private int _preferred;

    /// <summary>The reply and its age; null when every upstream stayed silent and nothing is remembered either.</summary>
    public async ValueTask<(Reply Reply, int AgeSeconds)?> ResolveAsync(DnsForward forward, ReadOnlyMemory<byte> question, CancellationToken stopping)
    {
        var key = new Key(forward.Name, forward.Query.Type, forward.Query.Class, forward.Query.Edns?.DnssecOk ?? false, forward.Query.CheckingDisabled);
        var now = time.GetUtcNow();
        if (_cache.TryGetValue(key, out var cached) && now < cached.KeptUntil) return (cached, (int)(now - cached.ReceivedAt).TotalSeconds);

        var ours = new TaskCompletionSource<Reply?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var underWay = _underWay.GetOrAdd(key, ours.Task);
        if (underWay == ours.Task) _ = RunAsync(key, question.ToArray(), ours, stopping);
        if (await underWay.ConfigureAwait(false) is { } reply) return (reply, 0);

        // Serve stale (RFC 8767): an old answer is better than none while the upstreams are away.
        now = time.GetUtcNow();
        if (cached is null || now - cached.KeptUntil > StaleMax) return null;
        return (cached, (int)Math.Max(0, (cached.KeptUntil - cached.ReceivedAt).TotalSeconds - StaleTtlSeconds));
    }

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
            _underWay.TryRemove(key, out _);
            done.TrySetResult(reply);
        }
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
        var servers = Servers();
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

    /// <summary>One server, by UDP and, if the answer was cut or somebody is guessing, by TCP. Null: it did not answer in a usable way.</summary>
    private static async Task<byte[]?> ExchangeAsync(IPEndPoint server, Key key, byte[] question, CancellationToken deadline)
    {
        var id = (ushort)RandomNumberGenerator.GetInt32(ushort.MaxValue + 1);
        var packet = DnsWire.Query(id, question, recursionDesired: true, key.CheckingDisabled, key.DnssecOk);
        try
        {
            var reply = await ByUdpAsync(server, packet, id, question, deadline).ConfigureAwait(false);
            return reply is null || DnsWire.IsTruncated(reply) ? await ByTcpAsync(server, packet, id, question, deadline).ConfigureAwait(false) ?? reply : reply;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or IOException)
        {
            return null;
        }
    }

    /// <summary>Null when too many replies did not fit the question: then only TCP can be trusted.</summary>
    private static async Task<byte[]?> ByUdpAsync(IPEndPoint server, byte[] packet, ushort id, byte[] question, CancellationToken deadline)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, deadline).ConfigureAwait(false);
        await socket.SendAsync(packet, deadline).ConfigureAwait(false);
        var buffer = new byte[DnsWire.UdpPayloadMax];
        for (var mismatches = 0; mismatches < MismatchesMax; mismatches++)
        {
            var length = await socket.ReceiveAsync(buffer, deadline).ConfigureAwait(false);
            if (DnsWire.Answers(buffer.AsSpan(0, length), id, question)) return buffer[..length];
        }
        return null;
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
            return parsed.AuthorityRecords.OfType<SoaRecord>().FirstOrDefault() is { } soa ? Math.Min(soa.TimeToLive, soa.NegativeCachingTTL) : 0;
        }
        catch (Exception e) when (e is FormatException or ArgumentException or NotSupportedException or IndexOutOfRangeException)
        {
            return 0; // a record that ARSoft cannot read may be fine for the asker: pass it on, do not keep it
        }
    }

    private IPEndPoint[] Servers()
    {
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
