using System.Collections.Immutable;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Protocol.Transfer;
using Platform.Scheduler.Api;
using Platform.Scheduler.Artifacts;
using Platform.Scheduler.Link;
using Platform.Scheduler.Secrets;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Scheduler;

/// <param name="Directory">Where the log lives.</param>
/// <param name="Api">The REST door.</param>
/// <param name="LinkSocket">The unix socket on which this machine's own agent finds the scheduler.</param>
/// <param name="Rest">What the REST door is told; the settings in it are those of the whole scheduler.</param>
public sealed record SchedulerHostOptions(string Directory, IPEndPoint Api, string LinkSocket, ApiOptions Rest)
{
    /// <summary>All that the artifact store may hold.</summary>
    public long ArtifactBytesMax { get; init; } = 10L << 30;

    /// <summary>Null = <c>secrets.key</c> in the directory.</summary>
    public string? SecretsKey { get; init; }

    /// <summary>Where nodes on other machines find the scheduler; null = there are none.</summary>
    public LinkDoor? Link { get; init; }

    /// <summary>How long a node's certificate is good; it is renewed at half of that.</summary>
    public TimeSpan NodeCertificateLifetime { get; init; } = CertificateAuthority.NodeLifetimeDefault;

    /// <summary>What <c>storeUrls</c> names must not be on a private or local network.</summary>
    public bool ForbidPrivateFetch { get; init; }
}

/// <param name="Plain">Without certificates: whoever reaches the door may be a node.</param>
public sealed record LinkDoor(IPEndPoint EndPoint, bool Plain);

/// <summary>The scheduler as a role: log, loop, REST door and agent link, wired by hand.</summary>
public sealed class SchedulerHost : IAsyncDisposable
{
    private readonly SqliteClusterLog _log;
    private readonly PublishedEndpoints _endpoints;
    private readonly AgentGateway _gateway;
    private readonly EventHub _events;
    private readonly EventCallbacks _callbacks;
    private readonly HttpDownload _http;
    private readonly RestApi _rest;
    private readonly CertificateAuthority? _authority;
    private readonly TaskCompletionSource<IPEndPoint?> _apiKnown = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TimeProvider _time;
    private readonly string _linkSocket;
    private readonly WebApplication _web;

    private SchedulerHost(
        SchedulerHostOptions options, SqliteClusterLog log, SchedulerLoop loop, SecretVault secrets, CertificateAuthority? authority, ILoggerFactory loggers, TimeProvider time)
    {
        _log = log;
        Loop = loop;
        (_authority, _time, _linkSocket) = (authority, time, options.LinkSocket);
        _http = new HttpDownload(options.ForbidPrivateFetch);
        _endpoints = new PublishedEndpoints(loop, time);
        _gateway = new AgentGateway(loop, _endpoints, secrets, loggers.CreateLogger<AgentGateway>()) { Authority = authority, Api = _apiKnown.Task };
        _events = new EventHub(loop, log, time);
        _callbacks = new EventCallbacks(loop, _events, CallbackLimits.Default, time, loggers.CreateLogger<EventCallbacks>());
        var artifacts = new ArtifactStore(Path.Combine(options.Directory, "artifacts"), options.ArtifactBytesMax);
        var stores = new ApiStores(artifacts, new ArtifactCopies(artifacts, _http), secrets, _endpoints) { Authority = authority?.Fingerprint };
        _rest = new RestApi(loop, options.Rest, stores, _events, time, loggers.CreateLogger<RestApi>());
        _web = Web(options, loggers);
    }

    public SchedulerLoop Loop { get; }
    public string ClusterId => Loop.Current.State.ClusterId;

    /// <summary>Where the endpoint table stands.</summary>
    public EndpointCursor Endpoints => _endpoints.Feed.Current.Cursor;

    /// <summary>The endpoint table as this scheduler's log has it.</summary>
    public EndpointFeed EndpointFeed => _endpoints.Feed;

    /// <summary>Where the REST door really is, once started.</summary>
    public IPEndPoint Api { get; private set; } = new(IPAddress.None, 0);

    /// <summary>Where the link's door for other machines really is, once started; null where there is none.</summary>
    public IPEndPoint? Link { get; private set; }

    public static async Task<SchedulerHost> CreateAsync(SchedulerHostOptions options, ILoggerFactory loggers, TimeProvider time, CancellationToken stopping)
    {
        var log = SqliteClusterLog.Open(options.Directory);
        try
        {
            var state = await RecoverAsync(log, time, stopping).ConfigureAwait(false);
            var secrets = SecretVault.Open(options.SecretsKey ?? Path.Combine(options.Directory, "secrets.key"), state);
            if (options.Link is { Plain: false } && state.Authority is null) state = await FoundAuthorityAsync(log, state, secrets, time, stopping).ConfigureAwait(false);
            var authority = options.Link is { Plain: false } ? CertificateAuthority.Open(state, secrets, options.NodeCertificateLifetime, time) : null;
            var brain = new Brain(state, options.Rest.Settings, time.GetUtcNow());
            return new SchedulerHost(options, log, new SchedulerLoop(log, brain, time, loggers.CreateLogger<SchedulerLoop>()), secrets, authority, loggers, time);
        }
        catch
        {
            await log.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Opens the doors; throws an <see cref="IOException"/> if one is taken.</summary>
    public async Task StartAsync(CancellationToken stopping)
    {
        await _web.StartAsync(stopping).ConfigureAwait(false);
        File.SetUnixFileMode(_linkSocket, UnixFileMode.UserRead | UnixFileMode.UserWrite); // whoever opens it is taken for our own node
        var addresses = _web.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;
        var doors = addresses.Where(a => !a.Contains("unix:", StringComparison.Ordinal)).Select(a => IPEndPoint.Parse(new Uri(a).Authority)).ToList();
        Api = doors[0]; // they are in the order in which they were opened
        Link = doors.Count > 1 ? doors[1] : null;
        _apiKnown.TrySetResult(Api);
    }

    public async Task StopAsync(CancellationToken stopping)
    {
        _events.Close();
        _gateway.Close();
        await _web.StopAsync(stopping).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await _web.DisposeAsync().ConfigureAwait(false);
        await _callbacks.DisposeAsync().ConfigureAwait(false);
        _rest.Dispose();
        _events.Dispose();
        _gateway.Dispose();
        _http.Dispose();
        _authority?.Dispose();
        await _log.DisposeAsync().ConfigureAwait(false);
    }

    private static async Task<ClusterState> RecoverAsync(SqliteClusterLog log, TimeProvider time, CancellationToken stopping)
    {
        var state = await log.RecoverAsync(stopping).ConfigureAwait(false);
        if (state.Revision > 0) return state;
        // A log without a past begins a new cluster, whose name no other has: containers of any other are strangers to it.
        var founded = new SchedulerEvent.ClusterFounded(Guid.NewGuid().ToString("N")) { At = time.GetUtcNow() };
        await log.AppendAsync(0, ImmutableArray.Create<SchedulerEvent>(founded), stopping).ConfigureAwait(false);
        return state.Fold(founded);
    }

    private static async Task<ClusterState> FoundAuthorityAsync(SqliteClusterLog log, ClusterState state, SecretVault secrets, TimeProvider time, CancellationToken stopping)
    {
        var founded = CertificateAuthority.Found(state.ClusterId, secrets, time.GetUtcNow());
        await log.AppendAsync(state.Revision, ImmutableArray.Create<SchedulerEvent>(founded), stopping).ConfigureAwait(false);
        return state.Fold(founded);
    }

    private WebApplication Web(SchedulerHostOptions options, ILoggerFactory loggers)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = null; // the API measures bodies itself, to answer 413 in the contract's form
            kestrel.Listen(options.Api, door => door.Protocols = HttpProtocols.Http1);
            LinkDoors.Open(kestrel, options, _authority, _time);
        });
        builder.Services.AddRoutingCore();
        builder.Services.AddGrpc(grpc =>
        {
            grpc.MaxReceiveMessageSize = LinkDoors.MessageBytesMax;
            grpc.MaxSendMessageSize = LinkDoors.MessageBytesMax;
            grpc.Interceptors.Add<LinkGuard>();
        });
        builder.Services.AddSingleton(new LinkGuard(Loop));
        builder.Services.AddSingleton(_gateway);
        builder.Services.AddSingleton(loggers);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(3));
        var web = builder.Build();
        LinkDoors.KeepToTheLink(web);
        web.MapGrpcService<AgentGateway>();
        _rest.Map(web);
        return web;
    }
}
