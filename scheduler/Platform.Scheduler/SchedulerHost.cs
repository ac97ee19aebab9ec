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

    /// <summary>What <c>storeUrls</c> names must not be on a private or local network.</summary>
    public bool ForbidPrivateFetch { get; init; }
}

/// <summary>The scheduler as a role: log, loop, REST door and agent link, wired by hand.</summary>
public sealed class SchedulerHost : IAsyncDisposable
{
    private readonly SqliteClusterLog _log;
    private readonly AgentGateway _gateway;
    private readonly EventHub _events;
    private readonly EventCallbacks _callbacks;
    private readonly HttpDownload _http;
    private readonly RestApi _rest;
    private readonly WebApplication _web;

    private SchedulerHost(SchedulerHostOptions options, SqliteClusterLog log, SchedulerLoop loop, SecretVault secrets, ILoggerFactory loggers, TimeProvider time)
    {
        _log = log;
        Loop = loop;
        _http = new HttpDownload(options.ForbidPrivateFetch);
        _gateway = new AgentGateway(loop, secrets, loggers.CreateLogger<AgentGateway>());
        _events = new EventHub(loop, log, time);
        _callbacks = new EventCallbacks(loop, _events, CallbackLimits.Default, time, loggers.CreateLogger<EventCallbacks>());
        var artifacts = new ArtifactStore(Path.Combine(options.Directory, "artifacts"), options.ArtifactBytesMax);
        var stores = new ApiStores(artifacts, new ArtifactCopies(artifacts, _http), secrets);
        _rest = new RestApi(loop, options.Rest, stores, _events, time, loggers.CreateLogger<RestApi>());
        _web = Web(options, loggers);
    }

    public SchedulerLoop Loop { get; }
    public string ClusterId => Loop.Current.State.ClusterId;

    /// <summary>Where the endpoint table stands.</summary>
    public EndpointCursor Endpoints => _gateway.Endpoints.Current.Cursor;

    /// <summary>The endpoint table as this scheduler's log has it.</summary>
    public EndpointFeed EndpointFeed => _gateway.Endpoints;

    /// <summary>Where the REST door really is, once started.</summary>
    public IPEndPoint Api { get; private set; } = new(IPAddress.None, 0);

    public static async Task<SchedulerHost> CreateAsync(SchedulerHostOptions options, ILoggerFactory loggers, TimeProvider time, CancellationToken stopping)
    {
        var log = SqliteClusterLog.Open(options.Directory);
        try
        {
            var state = await RecoverAsync(log, time, stopping).ConfigureAwait(false);
            var secrets = SecretVault.Open(options.SecretsKey ?? Path.Combine(options.Directory, "secrets.key"), state);
            var brain = new Brain(state, options.Rest.Settings, time.GetUtcNow());
            return new SchedulerHost(options, log, new SchedulerLoop(log, brain, time, loggers.CreateLogger<SchedulerLoop>()), secrets, loggers, time);
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
        var addresses = _web.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;
        Api = addresses.Where(a => !a.Contains("unix:", StringComparison.Ordinal)).Select(a => IPEndPoint.Parse(new Uri(a).Authority)).First();
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

    private WebApplication Web(SchedulerHostOptions options, ILoggerFactory loggers)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = null; // the API measures bodies itself, to answer 413 in the contract's form
            kestrel.Listen(options.Api, door => door.Protocols = HttpProtocols.Http1);
            File.Delete(options.LinkSocket);
            kestrel.ListenUnixSocket(options.LinkSocket, link => link.Protocols = HttpProtocols.Http2);
        });
        builder.Services.AddRoutingCore();
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(_gateway);
        builder.Services.AddSingleton(loggers);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(3));
        var web = builder.Build();
        web.MapGrpcService<AgentGateway>();
        _rest.Map(web);
        return web;
    }
}
