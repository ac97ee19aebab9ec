using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Proxy;

namespace Platform.Tests.Proxy;

/// <summary>A running edge proxy, the endpoint table it follows, and what the scheduler would hear of it.</summary>
internal sealed class EdgeWorld : IAsyncDisposable
{
    public const string Domain = "marathon.mesos";
    private static readonly TimeSpan Patience = Suite.Patience;
    private static readonly AppVersion Version = new(DateTimeOffset.UnixEpoch);

    private readonly CancellationTokenSource _stopping = new();
    private readonly Dictionary<InstanceId, AppId> _apps = [];
    private readonly Lock _writing = new();
    private Task _running = Task.CompletedTask;
    private long _serial;

    private EdgeWorld(EdgeProxyOptions options)
    {
        Feed.Apply(new EndpointUpdate("test", 0, 1, true, default));
        Proxy = new EdgeProxy(options, Feed, Views, NullLoggerFactory.Instance);
    }

    public EndpointFeed Feed { get; } = new(new EndpointTable());
    public NodeViews Views { get; } = new();
    public EdgeProxy Proxy { get; }
    public InstanceId[] Draining => [.. Views.Current.Draining];
    public int EdgePort => Proxy.EdgeEndPoint.Port;

    /// <summary>Connections are kept, so that a test sees what a browser or a service would.</summary>
    public HttpClient Client { get; } = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false }) { Timeout = Patience };

    public static async Task<EdgeWorld> StartAsync(Func<EdgeProxyOptions, EdgeProxyOptions>? with = null)
    {
        var options = new EdgeProxyOptions { EdgeEndPoint = new IPEndPoint(IPAddress.Loopback, 0), Domain = Domain, StopGrace = TimeSpan.FromSeconds(2) };
        var world = new EdgeWorld(with is null ? options : with(options));
        Assert.Null(await world.Proxy.StartAsync(CancellationToken.None));
        world._running = Task.Run(() => world.Proxy.RunAsync(world._stopping.Token));
        return world;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _running;
        await Proxy.DisposeAsync();
        Client.Dispose();
        _stopping.Dispose();
    }

    /// <summary>A port nothing listens on at this moment.</summary>
    public static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>Deploys an app with one port; returns its service port once the proxy listens on it.</summary>
    public async Task<int> AppAsync(string app, params (string Label, string Value)[] labels)
    {
        var port = FreePort();
        await ChangeAsync(new EndpointChange.ServiceSet(new Service
        {
            App = AppId.Parse(app),
            Version = Version,
            Labels = EquatableMap.From(labels.Select(x => KeyValuePair.Create(x.Label, x.Value))),
            Ports = [new ServicePort(0, port, "tcp", null, false, EquatableMap.Empty)],
        }));
        return port;
    }

    public Task RemoveAsync(string app) => ChangeAsync(new EndpointChange.ServiceRemoved(AppId.Parse(app)));

    public async Task<InstanceId> ReadyAsync(string app, int hostPort)
    {
        var id = InstanceId.Derive("test", AppId.Parse(app), Interlocked.Increment(ref _serial));
        lock (_writing) _apps[id] = AppId.Parse(app);
        await ChangeAsync(ReadyChange(id, AppId.Parse(app), hostPort));
        return id;
    }

    public static EndpointChange ReadyChange(InstanceId id, AppId app, int hostPort) => new EndpointChange.EndpointSet(new Endpoint
    {
        Instance = id,
        App = app,
        Version = Version,
        Node = NodeId.Parse("n1"),
        Address = "127.0.0.1",
        ReadyAt = DateTimeOffset.UnixEpoch,
        Ports = [new EndpointPort(0, hostPort, null, 0, "tcp", null)],
    });

    public Task WithdrawAsync(InstanceId id)
    {
        AppId app;
        lock (_writing) app = _apps[id];
        return ChangeAsync(new EndpointChange.EndpointRemoved(app, id));
    }

    /// <summary>One revision; returns when the proxy has said that it serves it.</summary>
    public async Task<long> ChangeAsync(params EndpointChange[] changes)
    {
        long revision;
        lock (_writing)
        {
            revision = Feed.Current.Revision + 1;
            Assert.True(Feed.Apply(new EndpointUpdate("test", revision - 1, revision, false, changes.ToEquatableArray())));
        }
        await UntilAsync(x => x.Served[EdgeProxy.ViewName].Revision >= revision, $"revision {revision} is served");
        return revision;
    }

    /// <summary>Waits until what the proxy reports satisfies a condition.</summary>
    public async Task UntilAsync(Func<NodeViews.State, bool> isSo, string what)
    {
        using var patience = new CancellationTokenSource(Patience);
        var state = Views.Current;
        try
        {
            while (!isSo(state)) state = await Views.ChangedAsync(state, patience.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"not within {Patience.TotalSeconds} s: {what}; the proxy reports {state.ServedByAll}, draining {state.Draining}");
        }
    }

    /// <summary>By name, at the edge port.</summary>
    public Task<HttpResponseMessage> GetAsync(string host, string path = "/") => SendAsync(HttpMethod.Get, host, path);

    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string host, string path, Action<HttpRequestMessage>? with = null)
    {
        using var request = new HttpRequestMessage(method, $"http://127.0.0.1:{EdgePort}{path}");
        request.Headers.Host = host;
        with?.Invoke(request);
        return await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    public async Task<string> TextAsync(int port, string path = "/") =>
        await Client.GetStringAsync(new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}{path}")));

    /// <summary>Sends bytes as they are and reads until the proxy closes or <paramref name="enough"/> says that the answer is complete.</summary>
    public static async Task<string> RawAsync(int port, string text, Func<string, bool>? enough = null)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port);
        await socket.SendAsync(System.Text.Encoding.Latin1.GetBytes(text));
        using var patience = new CancellationTokenSource(Patience);
        var answer = "";
        var buffer = new byte[4096];
        try
        {
            while (true)
            {
                var read = await socket.ReceiveAsync(buffer.AsMemory(), patience.Token);
                if (read == 0) return answer;
                answer += System.Text.Encoding.Latin1.GetString(buffer, 0, read);
                if (enough?.Invoke(answer) == true) return answer;
            }
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"the answer does not end: {answer}");
        }
        catch (SocketException) when (answer.Length > 0)
        {
            return answer;
        }
    }
}
