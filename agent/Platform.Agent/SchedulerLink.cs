using System.Net.Security;
using System.Net.Sockets;
using Docker.DotNet;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Logging;
using Platform.Agent.Joining;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Protocol;
using Wire = Platform.Protocol.Wire;

namespace Platform.Agent;

/// <summary>What the link reports: everything the node holds, or, before all of it is known, some.</summary>
internal sealed record NodeState(bool Complete, EquatableArray<InstanceReport> Instances, long DesiredRevision)
{
    public static readonly NodeState Nothing = new(false, default, 0);

    /// <summary>Volumes that were to be wiped and are.</summary>
    public EquatableArray<string> Wiped { get; init; }
}

/// <summary>What the link needs to know of, and tells, the agent it belongs to.</summary>
internal interface ILinkOwner
{
    NodeDescription Description { get; }
    string? ClusterId { get; }

    /// <summary>False: this scheduler is not to be obeyed (another cluster's, or a deposed leader).</summary>
    ValueTask<bool> WelcomedAsync(SchedulerWelcome welcome, CancellationToken stopping);

    ValueTask DesiredAsync(long term, DesiredState desired, CancellationToken stopping);
}

/// <summary>
/// One stream to the leading scheduler. It reconnects for ever, with jittered backoff, through the given addresses in turn; a lost link
/// changes nothing on the node. Reports are conflated: between two sends only the latest of each instance is kept, so a slow peer costs nothing.
/// </summary>
internal sealed partial class SchedulerLink(
    ILinkOwner owner, IReadOnlyList<string> addresses, NodeCredentials? credentials, string bootId, EndpointFeed feed, NodeViews views, TimeProvider time, ILogger log) : IDisposable
{
    public static readonly TimeSpan ReportIntervalMin = TimeSpan.FromMilliseconds(100);
    public static readonly TimeSpan WelcomeTimeout = TimeSpan.FromSeconds(10);
    private const int MessageBytesMax = 64 << 20;
    private static readonly TimeSpan RenewalTimeout = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan RenewalPauseMax = TimeSpan.FromHours(1);

    private readonly Lock _mailbox = new();
    private readonly HashSet<InstanceId> _changed = [];
    private readonly SemaphoreSlim _mail = new(0, 1);
    private NodeState _state = NodeState.Nothing;
    private ulong _sequence;
    private bool _wantsWholeTable;
    private Dictionary<AppId, AppTraffic> _toldTraffic = [];
    private long _reportIntervalTicks;

    /// <summary>Whether a scheduler listens now; for the node's own health page.</summary>
    public bool Connected { get; private set; }

    /// <summary>When the last link ended, or what an earlier life remembers of it; null: no scheduler was ever heard.</summary>
    public DateTimeOffset? LastHeardAt { get; set; }

    /// <summary>The latest truth, and whose reports in it are news.</summary>
    public void Publish(NodeState state, IEnumerable<InstanceId> changed)
    {
        lock (_mailbox)
        {
            var revisionMoved = state.DesiredRevision != _state.DesiredRevision || state.Complete != _state.Complete || state.Wiped != _state.Wiped;
            _state = state;
            var before = _changed.Count;
            _changed.UnionWith(changed);
            if (_changed.Count == before && before == 0 && !revisionMoved) return;
        }
        Ring();
    }

    public void Dispose() => _mail.Dispose();

    public async Task RunAsync(CancellationToken stopping)
    {
        var backoff = new Backoff(time);
        for (var turn = 0; !stopping.IsCancellationRequested; turn++)
        {
            var address = addresses[turn % addresses.Count];
            try
            {
                await ConverseAsync(address, backoff, stopping).ConfigureAwait(false);
            }
            catch (Exception e) when (!stopping.IsCancellationRequested && e is RpcException or IOException or HttpRequestException or SocketException or OperationCanceledException or FormatException or System.Text.Json.JsonException or InvalidOperationException or RuntimeUnavailableException or DockerApiException)
            {
                LogLost(address, e is RpcException rpc ? rpc.Status.Detail : e.Message);
            }
            catch (Exception e) when (stopping.IsCancellationRequested && e is RpcException or IOException or HttpRequestException or SocketException or OperationCanceledException)
            {
                if (Connected) LastHeardAt = time.GetUtcNow();
                Connected = false;
                return;
            }
            if (Connected) LastHeardAt = time.GetUtcNow();
            Connected = false;
            if (!stopping.IsCancellationRequested) await backoff.WaitAsync(stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task ConverseAsync(string address, Backoff backoff, CancellationToken stopping)
    {
        using var channel = ChannelTo(address, credentials?.Tls(time));
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var client = new Wire.SchedulerLink.SchedulerLinkClient(channel);
        using var call = client.Connect(cancellationToken: ended.Token);
        var cursor = _wantsWholeTable ? EndpointCursor.Start : feed.Current.Cursor;
        _wantsWholeTable = false;
        await call.RequestStream.WriteAsync(AgentCodec.Encode(new AgentHello(owner.Description, owner.ClusterId, bootId, AgentCodec.ProtocolVersion, cursor)), ended.Token).ConfigureAwait(false);

        var welcome = await WelcomeAsync(call.ResponseStream, ended).ConfigureAwait(false);
        if (welcome is null || !await owner.WelcomedAsync(welcome, ended.Token).ConfigureAwait(false)) return;
        backoff.Reset();
        Connected = true;
        LogConnected(address, welcome.ClusterId, welcome.Term);

        _toldTraffic = [];
        SetInterval(welcome.ReportInterval);
        var sending = SendAsync(call.RequestStream, ended.Token);
        var renewing = address.StartsWith("https:", StringComparison.Ordinal) && credentials is not null ? RenewAsync(client, credentials, ended.Token) : Task.CompletedTask;
        try
        {
            await ReceiveAsync(call.ResponseStream, welcome.Term, sending, ended.Token).ConfigureAwait(false);
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await renewing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>The certificate is made new at half of its life, over the link it opened; the next link is opened with it.</summary>
    private async Task RenewAsync(Wire.SchedulerLink.SchedulerLinkClient client, NodeCredentials own, CancellationToken ended)
    {
        while (true)
        {
            for (var left = own.RenewAt - time.GetUtcNow(); left > TimeSpan.Zero; left = own.RenewAt - time.GetUtcNow())
                await Task.Delay(left < RenewalPauseMax ? left : RenewalPauseMax, time, ended).ConfigureAwait(false);
            try
            {
                using var call = client.RenewAsync(own.RenewRequest(owner.Description.Id), deadline: time.GetUtcNow().UtcDateTime + RenewalTimeout, cancellationToken: ended);
                own.Renewed(await call.ConfigureAwait(false));
                LogRenewed(own.ExpiresAt);
            }
            catch (Exception e) when (!ended.IsCancellationRequested && e is RpcException or IOException or System.Security.Cryptography.CryptographicException)
            {
                LogNotRenewed(own.ExpiresAt, e is RpcException rpc ? rpc.Status.Detail : e.Message);
                var pause = (own.ExpiresAt - own.RenewAt) / 10; // so it is tried several times before it is too late
                await Task.Delay(pause < RenewalPauseMax ? pause : RenewalPauseMax, time, ended).ConfigureAwait(false);
            }
        }
    }

    private TimeSpan Interval => TimeSpan.FromTicks(Volatile.Read(ref _reportIntervalTicks));

    private void SetInterval(TimeSpan interval) => Volatile.Write(ref _reportIntervalTicks, (interval < ReportIntervalMin ? ReportIntervalMin : interval).Ticks);

    /// <summary>Null: it said goodbye instead.</summary>
    private async Task<SchedulerWelcome?> WelcomeAsync(IAsyncStreamReader<Wire.ToAgent> incoming, CancellationTokenSource ended)
    {
        using var late = time.CreateTimer(_ => ended.Cancel(), null, WelcomeTimeout, Timeout.InfiniteTimeSpan);
        while (await incoming.MoveNext(ended.Token).ConfigureAwait(false))
            switch (incoming.Current.KindCase)
            {
                case Wire.ToAgent.KindOneofCase.Welcome:
                    return AgentCodec.Decode(incoming.Current.Welcome);
                case Wire.ToAgent.KindOneofCase.Goodbye:
                    LogGoodbye(incoming.Current.Goodbye.Reason);
                    return null;
            }
        return null;
    }

    private async Task ReceiveAsync(IAsyncStreamReader<Wire.ToAgent> incoming, long term, Task sending, CancellationToken ended)
    {
        while (true)
        {
            var next = incoming.MoveNext(ended);
            if (await Task.WhenAny(next, sending).ConfigureAwait(false) == sending) await sending.ConfigureAwait(false); // a broken writer ends the stream
            if (!await next.ConfigureAwait(false)) return;
            switch (incoming.Current.KindCase)
            {
                case Wire.ToAgent.KindOneofCase.Desired:
                    await owner.DesiredAsync(term, AgentCodec.Decode(incoming.Current.Desired), ended).ConfigureAwait(false);
                    break;
                case Wire.ToAgent.KindOneofCase.Endpoints:
                    if (feed.Apply(AgentCodec.Decode(incoming.Current.Endpoints))) break;
                    _wantsWholeTable = true;
                    LogTableGap(feed.Current.Revision);
                    return;
                case Wire.ToAgent.KindOneofCase.Pace:
                    SetInterval(AgentCodec.Decode(incoming.Current.Pace));
                    break;
                case Wire.ToAgent.KindOneofCase.Goodbye:
                    LogGoodbye(incoming.Current.Goodbye.Reason);
                    return;
            }
        }
    }

    /// <summary>The stream's one writer: everything at first and each interval, changes at once.</summary>
    private async Task SendAsync(IClientStreamWriter<Wire.FromAgent> outgoing, CancellationToken ended)
    {
        await Task.Yield();
        var watching = WatchViewsAsync(ended);
        var wholeAt = time.GetTimestamp();
        for (var whole = true; ; whole = time.GetElapsedTime(wholeAt) >= Interval)
        {
            if (whole) wholeAt = time.GetTimestamp();
            await outgoing.WriteAsync(AgentCodec.Encode(NextReport(whole)), ended).ConfigureAwait(false);
            var rest = Interval - time.GetElapsedTime(wholeAt);
            using var waiting = CancellationTokenSource.CreateLinkedTokenSource(ended);
            await Task.WhenAny(_mail.WaitAsync(waiting.Token), Task.Delay(rest > TimeSpan.Zero ? rest : TimeSpan.Zero, time, waiting.Token)).ConfigureAwait(false);
            await waiting.CancelAsync().ConfigureAwait(false);
            ended.ThrowIfCancellationRequested();
            if (watching.IsFaulted) await watching.ConfigureAwait(false);
        }
    }

    private AgentReport NextReport(bool whole)
    {
        lock (_mailbox)
        {
            var state = _state;
            var seen = views.Current;
            var instances = whole ? state.Instances : state.Instances.Where(x => _changed.Contains(x.Id)).ToEquatableArray();
            _changed.Clear();
            return new AgentReport(++_sequence, whole && state.Complete, instances, seen.ServedByAll, seen.Draining, state.DesiredRevision)
            {
                Wiped = state.Wiped, Traffic = NewTraffic(), Views = Views(seen),
            };
        }
    }

    private EquatableArray<ViewServed> Views(NodeViews.State seen) =>
        seen.Served.Select(x => new ViewServed(x.Key, x.Value.Revision, views.SinceServed(seen, x.Key))).ToEquatableArray();

    private EquatableArray<AppTraffic> NewTraffic()
    {
        var told = _toldTraffic;
        _toldTraffic = views.Traffic().ToDictionary(x => x.App); // and so an app that is gone is forgotten
        return _toldTraffic.Values.Where(x => told.GetValueOrDefault(x.App) != x).ToEquatableArray();
    }

    private async Task WatchViewsAsync(CancellationToken ended)
    {
        var seen = views.Current;
        while (!ended.IsCancellationRequested)
        {
            var next = await views.ChangedAsync(seen, ended).ConfigureAwait(false);
            if (next.ServedByAll != seen.ServedByAll || next.Draining != seen.Draining) Ring();
            seen = next;
        }
    }

    private void Ring()
    {
        try
        {
            if (_mail.CurrentCount == 0) _mail.Release();
        }
        catch (SemaphoreFullException)
        {
            // Rung by two at once: one ring is enough.
        }
    }

    internal static GrpcChannel ChannelTo(string address, SslClientAuthenticationOptions? tls)
    {
        var transport = new SocketsHttpHandler
        {
            EnableMultipleHttp2Connections = false,
            UseProxy = false,
            KeepAlivePingDelay = TimeSpan.FromSeconds(5),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(5),
            ConnectTimeout = TimeSpan.FromSeconds(5),
        };
        if (tls is not null) transport.SslOptions = tls;
        var target = address;
        if (address.StartsWith("unix:", StringComparison.Ordinal))
        {
            var endpoint = new UnixDomainSocketEndPoint(address["unix:".Length..]);
            target = "http://localhost";
            transport.ConnectCallback = async (_, connecting) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(endpoint, connecting).ConfigureAwait(false);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        }
        return GrpcChannel.ForAddress(target, new GrpcChannelOptions
        {
            HttpHandler = transport,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = MessageBytesMax,
            MaxSendMessageSize = MessageBytesMax,
        });
    }

    [LoggerMessage(4301, LogLevel.Information, "Linked to the scheduler at {Address}: cluster {Cluster}, term {Term}")]
    private partial void LogConnected(string address, string cluster, long term);

    [LoggerMessage(4302, LogLevel.Warning, "The link to the scheduler at {Address} is lost: {Why}. Tasks run on; trying again")]
    private partial void LogLost(string address, string why);

    [LoggerMessage(4303, LogLevel.Warning, "The scheduler closed the link: {Reason}")]
    private partial void LogGoodbye(string reason);

    [LoggerMessage(4305, LogLevel.Information, "The node's certificate is renewed, until {ExpiresAt}")]
    private partial void LogRenewed(DateTimeOffset expiresAt);

    [LoggerMessage(4306, LogLevel.Warning, "The node's certificate, good until {ExpiresAt}, is not renewed yet: {Why}. Trying again")]
    private partial void LogNotRenewed(DateTimeOffset expiresAt, string why);

    [LoggerMessage(4304, LogLevel.Warning, "The endpoint table at revision {Revision} has a gap; asking for a complete one")]
    private partial void LogTableGap(long revision);
}
