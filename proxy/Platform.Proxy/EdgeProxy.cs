using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Proxy.Forwarding;
using Platform.Proxy.Relay;
using Platform.Proxy.Routing;
using Platform.Proxy.Transport;

namespace Platform.Proxy;

/// <summary>
/// A node's load balancer. It follows the endpoint table, listens on the edge port and on every app's service port, forwards to ready tasks
/// anywhere in the cluster, and says which revision it routes by and which withdrawn instances it still has requests at.
/// </summary>
/// <remarks><see cref="StartAsync"/>, then <see cref="RunAsync"/> until it is to stop, then <see cref="StopAsync"/>.</remarks>
public sealed partial class EdgeProxy : IAsyncDisposable
{
    /// <summary>The name under which <see cref="NodeViews"/> knows this view.</summary>
    public const string ViewName = "proxy";

    private readonly EdgeProxyOptions _options;
    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly ILogger _logger;
    private readonly LiveRoutes _routes;
    private readonly PortSet _ports;
    private readonly KestrelIntake _intake;
    private readonly RelayDoor _relay;
    private readonly TcpDoor _tcp;
    private readonly UpstreamClient _client;
    private readonly KestrelServer _kestrel;
    private readonly ITimer _retryTimer;
    private readonly Channel<IPAddress> _addresses = Channel.CreateBounded<IPAddress>(new BoundedChannelOptions(16) { FullMode = BoundedChannelFullMode.Wait });
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private (EndpointCursor Cursor, EquatableArray<InstanceId> Draining)? _reported;
    private int _stopped;

    public EdgeProxy(EdgeProxyOptions options, EndpointFeed feed, NodeViews views, ILoggerFactory loggers)
    {
        (_options, _feed, _views) = (options, feed, views);
        _logger = loggers.CreateLogger<EdgeProxy>();
        _routes = new LiveRoutes(Wake);
        _ports = new PortSet(AcceptedAsync, options.Time, _logger);
        _intake = new KestrelIntake(_logger);
        _tcp = new TcpDoor(_routes, options);
        _relay = new RelayDoor(_routes, options, _intake.Admit, _tcp.Admit, _logger);
        _client = new UpstreamClient(options);
        _kestrel = new KestrelServer(Options.Create(KestrelOptions()), _intake, loggers);
        _retryTimer = options.Time.CreateTimer(_ => Wake(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        views.Expect(ViewName);
        views.Traffic = Traffic;
    }

    /// <summary>Where the edge door listens, once started.</summary>
    public IPEndPoint EdgeEndPoint => new(_options.EdgeEndPoint.Address, _routes.EdgePort);

    private IEnumerable<AppTraffic> Traffic() => _routes.Table.Apps
        .Select(app => new AppTraffic(
            app.Source.Service.App, app.Ports.Sum(p => p.Tally.Requests), app.Ports.Sum(p => p.Tally.Unanswered + p.Tally.ServerErrors)))
        .Where(traffic => traffic.Requests > 0);

    internal LiveRoutes Routes => _routes;
    internal PortSet Ports => _ports;
    internal RelayDoor Relay => _relay;
    internal NodeViews Views => _views;

    /// <summary>
    /// Settings of the runtime that must be made before the first request is parsed, anywhere in the process: a header line ends with CR LF and
    /// with nothing else. (Two parsers that disagree on where a line ends are how requests are smuggled.)
    /// </summary>
    public static void HardenRuntime() => AppContext.SetSwitch("Microsoft.AspNetCore.Server.Kestrel.DisableHttp1LineFeedTerminators", true);

    /// <summary>Opens the edge door and every port of the table as it stands. Not null: the edge door cannot be opened, and nothing was started.</summary>
    public async Task<BindFailure?> StartAsync(CancellationToken stopping)
    {
        HardenRuntime();
        var (port, failure) = _ports.OpenFirst(_options.EdgeEndPoint);
        if (failure is not null) return failure;
        _routes.EdgePort = port;
        if (_options.NodeAddress is { } address) _ports.AddAddress(address);
        await _kestrel.StartAsync(new EdgeApplication(_routes, _client, _logger), stopping).ConfigureAwait(false);
        _relay.Start();
        Apply(_feed.Current, touched: null);
        Report();
        return null;
    }

    /// <summary>Follows the table until stopped.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var updates = _feed.WatchAsync(_routes.Table.Cursor, stopping).GetAsyncEnumerator(stopping);
        var next = updates.MoveNextAsync().AsTask();
        var woken = _wake.Reader.WaitToReadAsync(stopping).AsTask();
        try
        {
            while (true)
            {
                await (await Task.WhenAny(next, woken).ConfigureAwait(false)).ConfigureAwait(false);
                if (next.IsCompleted)
                {
                    Follow(updates.Current);
                    next = updates.MoveNextAsync().AsTask();
                }
                if (woken.IsCompleted)
                {
                    _wake.Reader.TryRead(out _); // before the looks below, so that a wake in between brings us back
                    woken = _wake.Reader.WaitToReadAsync(stopping).AsTask();
                }
                while (_addresses.Reader.TryRead(out var address)) _ports.AddAddress(address);
                _ports.RetryDue();
                SetRetryTimer();
                Report();
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // told to stop: requests go on by the last table until StopAsync
        }
    }

    /// <summary>Opens the edge port and all service ports on one more address of this machine, such as a bridge that appeared later.</summary>
    public void AddAddress(IPAddress address)
    {
        if (!_addresses.Writer.TryWrite(address)) throw new InvalidOperationException("more addresses than a node has");
        Wake();
    }

    /// <summary>No new connections; what is under way may finish within the grace, then is cut.</summary>
    public async Task StopAsync()
    {
        if (Interlocked.Exchange(ref _stopped, 1) != 0) return;
        _ports.Dispose();
        using var grace = new CancellationTokenSource(_options.StopGrace, _options.Time);
        await Task.WhenAll(_relay.StopAsync(grace.Token), _kestrel.StopAsync(grace.Token), _tcp.StopAsync(grace.Token)).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        await _retryTimer.DisposeAsync().ConfigureAwait(false);
        _kestrel.Dispose();
        _client.Dispose();
        _tcp.Dispose();
        _intake.Dispose();
    }

    /// <summary>What changed is known from the update, unless the table has already moved past it: then all apps are compared.</summary>
    private void Follow(EndpointUpdate update)
    {
        var snapshot = _feed.Current;
        var exact = !update.Complete && update.Epoch == snapshot.Cursor.Epoch && update.To == snapshot.Revision
            && update.Epoch == _routes.Table.Cursor.Epoch && update.From <= _routes.Table.Cursor.Revision;
        Apply(snapshot, exact ? update.TouchedApps() : null);
    }

    private void Apply(EndpointSnapshot snapshot, IEnumerable<AppId>? touched)
    {
        var table = RouteTable.Build(_routes.Table, snapshot, _options.Domain, touched);
        _routes.Apply(table);
        foreach (var port in table.TouchedPorts)
        {
            if (port == _routes.EdgePort) continue; // the edge door stays one; the admin page says so
            if (table.ByPort(port) is not null) _ports.Want(port);
            else _ports.Drop(port);
        }
        SetRetryTimer();
    }

    /// <summary>After the table is in force and never before: from here on the scheduler may stop what this revision withdrew.</summary>
    private void Report()
    {
        var now = (_routes.Table.Cursor, _routes.Draining());
        if (_reported == now) return;
        _reported = now;
        _views.Served(ViewName, now.Cursor, now.Item2);
    }

    private void SetRetryTimer()
    {
        if (_ports.NextRetryAt is not { } at) return;
        var wait = at - _options.Time.GetUtcNow();
        _retryTimer.Change(wait > TimeSpan.Zero ? wait : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
    }

    private void Wake() => _wake.Writer.TryWrite(true);

    private ValueTask AcceptedAsync(Socket socket, int port)
    {
        var mode = port != _routes.EdgePort && _routes.Table.ByPort(port) is { Spec.Mode: PortMode.Tcp } ? PortMode.Tcp : PortMode.Http;
        if (!_relay.IsOff) _relay.Admit(socket, port, mode);
        else if (mode == PortMode.Tcp) _tcp.Admit(socket, port);
        else return _intake.AdmitAsync(socket);
        return ValueTask.CompletedTask;
    }

    private KestrelServerOptions KestrelOptions()
    {
        var options = new KestrelServerOptions
        {
            AddServerHeader = false,
            AllowSynchronousIO = false,
            RequestHeaderEncodingSelector = static _ => Encoding.Latin1,
            ResponseHeaderEncodingSelector = static _ => Encoding.Latin1,
        };
        options.Limits.MaxRequestBodySize = null; // how big an upload may be is the app's business
        options.Limits.MaxConcurrentConnections = _options.ConnectionsMax;
        options.Limits.RequestHeadersTimeout = _options.RequestHeadTimeout;
        options.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(75); // above the 60 s of common load balancers before us
        options.Listen(_intake.Http1EndPoint, x => x.Protocols = HttpProtocols.Http1);
        options.Listen(_intake.Http2EndPoint, x => x.Protocols = HttpProtocols.Http2);
        return options;
    }
}
