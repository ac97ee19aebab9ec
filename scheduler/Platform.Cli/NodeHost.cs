using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Platform.Agent;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Proxy;

namespace Platform.Cli;

/// <summary>A node as a role: agent, the views of its endpoint table, and its edge proxy, wired by hand.</summary>
internal sealed partial class NodeHost : IAsyncDisposable
{
    private readonly UpOptions _options;
    private readonly ILogger<NodeHost> _logger;
    private readonly EndpointFeed _feed = new(new EndpointTable());
    private readonly NodeViews _views = new();
    private readonly DnsServerHost _dns;
    private readonly KvView _kv;
    private readonly CatalogView _catalog;
    private readonly ConsulPassage? _passage;
    private readonly EndpointFiles _files;
    private readonly EdgeProxy _proxy;
    private readonly WebApplication _web;
    private readonly TaskCompletionSource _welcomed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public NodeHost(UpOptions options, NodeLink link, ILoggerFactory loggers)
    {
        _options = options;
        _logger = loggers.CreateLogger<NodeHost>();
        Agent = new NodeAgent(
            new NodeAgentOptions
            {
                NodeId = options.NodeName,
                NodeAddress = options.NodeAddress?.ToString(),
                DataDirectory = options.Data,
                TaskPortMin = options.TaskPorts.Min,
                TaskPortMax = options.TaskPorts.Max,
                Runtime = options.Runtime,
                Schedulers = link.Schedulers,
                ClusterId = link.ClusterId,
                Credentials = link.Credentials,
                Attributes = options.Attributes,
                Reserved = options.Reserved,
                Version = ProgramVersion.Text,
                Fetch = new FetchOptions { ForbidPrivate = options.FetchForbidPrivate, CacheBytesMax = options.FetchCacheBytesMax, ArtifactStore = () => Agent?.SchedulerApi?.ToString() },
            },
            _feed, _views, loggers, TimeProvider.System);
        _dns = new DnsServerHost(_feed, _views, new DnsOptions { Domain = options.Domain }, loggers);
        _kv = new KvView(
            _feed, _views, new KvOptions { Leader = () => Agent is { Linked: true, SchedulerApi: { } api } ? new KvLeader(api.ToString(), TimeSpan.Zero) : null }, loggers);
        _catalog = new CatalogView(_feed, _views, new Platform.Discovery.Catalog.AgentIdentity(options.NodeName.Name, Server: true), _kv.Options, loggers);
        _passage = options.Consul is { } elsewhere ? new ConsulPassage(elsewhere) : null;
        _files = new EndpointFiles(_feed, _views, Path.Combine(options.Data, "endpoints"), loggers);
        _proxy = new EdgeProxy(new EdgeProxyOptions { EdgeEndPoint = options.Edge, NodeAddress = options.NodeAddress, Domain = options.Domain }, _feed, _views, loggers);
        _web = Web(loggers);
        Agent.Welcomed += () =>
        {
            _welcomed.TrySetResult();
            if (Agent.SchedulerApi is { } api) NameScheduler(api);
        };
    }

    public NodeAgent Agent { get; }
    public NodeViews Views => _views;

    /// <summary>Completes when a scheduler was heard for the first time.</summary>
    public Task Welcomed => _welcomed.Task;

    public EndpointFeed Endpoints => _feed;

    /// <summary>Every door as it really is, once started: name, address and what it speaks.</summary>
    public IReadOnlyList<(string Name, string Address, string Speaks)> Doors { get; private set; } = [];

    /// <summary>Opens the doors with what this node last knew, so that names answer and requests flow before the scheduler is heard.</summary>
    public async Task StartAsync(CancellationToken stopping)
    {
        await Agent.StartAsync(stopping).ConfigureAwait(false);
        var dns = _dns.AddListener(_options.Dns) switch
        {
            ListenResult.Listening x => x.EndPoint,
            ListenResult.Refused x => throw Cli.Doors.Refused("dns", x.EndPoint, x.Why),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
        if (await _proxy.StartAsync(stopping).ConfigureAwait(false) is { } failure) throw Cli.Doors.Refused("edge", failure.EndPoint, failure.Reason);
        if (Agent.BridgeGateway is { } gateway) ServeContainers(IPAddress.Parse(gateway));
        else _ = Agent.BridgeKnown.ContinueWith( // a node that joins for the first time has its bridge when it has been welcomed
            known => { if (known.Result is { } late) ServeContainers(IPAddress.Parse(late)); }, stopping, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        await _web.StartAsync(stopping).ConfigureAwait(false);
        var web = _web.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.ToList();
        Doors =
        [
            ("dns", dns.ToString(), $"names under {_options.Domain}, everything else forwarded"),
            ("kv", web[0].Replace("http://", "", StringComparison.Ordinal), _options.Consul is { } elsewhere ? $"leads to Consul at {elsewhere}" : "Consul's API: KV, catalog and health of the published endpoints"),
            ("edge", _proxy.EdgeEndPoint.ToString(), "HTTP by host name; service ports on the same address"),
            ("admin", web[1].Replace("http://", "", StringComparison.Ordinal), "health, routes, statistics, revisions"),
            ("files", Path.Combine(_options.Data, "endpoints"), "Prometheus targets and one JSON file per app"),
        ];
    }

    /// <summary>Names the scheduler in DNS. An API that listens on loopback only is nobody else's to reach, and has no name.</summary>
    private void NameScheduler(IPEndPoint api)
    {
        if (IPAddress.IsLoopback(api.Address)) return;
        var address = api.Address.Equals(IPAddress.Any) || api.Address.Equals(IPAddress.IPv6Any) ? IPAddress.Parse(Agent.NodeAddress) : api.Address;
        _dns.SetSchedulers(new DnsSchedulers(address, [address], api.Port));
    }

    /// <summary>Returns when told to stop; any part that dies takes the process down with it.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        using var together = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var loops = new[]
        {
            Agent.RunAsync(together.Token), _dns.RunAsync(together.Token), _kv.RunAsync(together.Token), _catalog.RunAsync(together.Token), _files.RunAsync(together.Token), _proxy.RunAsync(together.Token),
        };
        var first = await Task.WhenAny(loops).ConfigureAwait(false);
        await together.CancelAsync().ConfigureAwait(false);
        await first.ConfigureAwait(false);
        await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public async Task StopAsync(CancellationToken stopping)
    {
        await _proxy.StopAsync().ConfigureAwait(false);
        await _web.StopAsync(stopping).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync().ConfigureAwait(false);
        _dns.Dispose();
        _passage?.Dispose();
        await _web.DisposeAsync().ConfigureAwait(false);
        await Agent.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Containers on this node's bridge find DNS, the edge and the service ports at their gateway.</summary>
    private void ServeContainers(IPAddress gateway)
    {
        if (_dns.AddListener(new IPEndPoint(gateway, 53)) is ListenResult.Refused refused) NoContainerDns(refused.EndPoint, refused.Why);
        _proxy.AddAddress(gateway);
    }

    private WebApplication Web(ILoggerFactory loggers)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(_options.Kv, door => door.Protocols = HttpProtocols.Http1);
            kestrel.Listen(_options.Admin, door => door.Protocols = HttpProtocols.Http1);
        });
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton(loggers);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(3));
        var web = builder.Build();
        var kvPort = new Lazy<int>(() => new Uri(web.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()).Port);
        RequestDelegate consul = _passage is { } passage ? passage.AnswerAsync : _catalog.AddTo(_kv.AddTo(new ConsulDoor(_kv.Options))).AnswerAsync;
        // Two doors on one server: which one a request came in by decides what it can reach.
        web.UseWhen(context => context.Connection.LocalPort == kvPort.Value, kv => kv.Run(consul));
        web.UseRouting();
        web.MapAdmin(_proxy);
        return web;
    }

    [LoggerMessage(5001, LogLevel.Warning, "Containers get no DNS from this node: {Door} cannot be opened: {Why}")]
    private partial void NoContainerDns(IPEndPoint door, string why);
}
