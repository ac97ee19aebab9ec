using System.Net;
using System.Net.Sockets;
using System.Text;
using Platform.Agent;
using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Tests.Agent;

public sealed class ProberTests : IDisposable
{
    private readonly Prober _prober = new();
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stopping = new();
    private int _connections;

    public ProberTests() => _listener.Start();

    public void Dispose()
    {
        _stopping.Cancel();
        _listener.Dispose();
        _prober.Dispose();
        _stopping.Dispose();
    }

    /// <summary>Answers every connection with these bytes; null = never.</summary>
    private async Task ServeAsync(string? answer)
    {
        while (!_stopping.IsCancellationRequested)
        {
            TcpClient client;
            try
            {
                client = await _listener.AcceptTcpClientAsync(_stopping.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
            Interlocked.Increment(ref _connections);
            if (answer is null) continue;
            var stream = client.GetStream();
            _ = await stream.ReadAsync(new byte[4096]);
            await stream.WriteAsync(Encoding.ASCII.GetBytes(answer));
            client.Dispose();
        }
    }

    private Task<ProbeOutcome> ProbeAsync(HealthCheckProtocol protocol, double timeoutSeconds = 180, bool ignore1xx = false, int? port = null) => _prober.ProbeAsync(
        new AgentAction.Probe(InstanceId.Derive("c1", AppId.Parse("/a"), 1), 0, new HealthCheck { Protocol = protocol, IgnoreHttp1xx = ignore1xx, Path = "/health" }, RuntimeKind.Process,
            "127.0.0.1", port ?? ((IPEndPoint)_listener.LocalEndpoint).Port, TimeSpan.FromSeconds(timeoutSeconds)), null, default);

    [Theory]
    [InlineData("200 OK", true)]
    [InlineData("204 No Content", true)]
    [InlineData("302 Found\r\nLocation: http://127.0.0.1:1/", true)]
    [InlineData("399 Odd", true)]
    [InlineData("400 Bad", false)]
    [InlineData("503 Busy", false)]
    public async Task Http_PassesBetween200And399_WithoutFollowing(string status, bool passes)
    {
        var serving = ServeAsync($"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        var outcome = await ProbeAsync(HealthCheckProtocol.Http);
        Assert.Equal(passes, outcome is ProbeOutcome.Passed);
        if (outcome is ProbeOutcome.Failed failed) Assert.StartsWith($"HTTP {status} from 127.0.0.1:", failed.Cause, StringComparison.Ordinal);
        await _stopping.CancelAsync();
        await serving;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Http1xx_FailsUnlessIgnored(bool ignored)
    {
        var serving = ServeAsync("HTTP/1.1 101 Switching Protocols\r\n\r\n");
        var outcome = await ProbeAsync(HealthCheckProtocol.MesosHttp, ignore1xx: ignored);
        Assert.Equal(ignored ? typeof(ProbeOutcome.Undecided) : typeof(ProbeOutcome.Failed), outcome.GetType());
        await _stopping.CancelAsync();
        await serving;
    }

    [Fact]
    public async Task ConnectionsAreNotKept()
    {
        var serving = ServeAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        for (var i = 0; i < 3; i++) Assert.IsType<ProbeOutcome.Passed>(await ProbeAsync(HealthCheckProtocol.Http));
        Assert.Equal(3, _connections);
        await _stopping.CancelAsync();
        await serving;
    }

    [Fact]
    public async Task Tcp_PassesWhenItConnects()
    {
        Assert.IsType<ProbeOutcome.Passed>(await ProbeAsync(HealthCheckProtocol.Tcp));
        var port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _listener.Stop();
        Assert.IsType<ProbeOutcome.Failed>(await ProbeAsync(HealthCheckProtocol.Tcp, port: port));
    }

    [Fact]
    public async Task Silence_IsAFailureThatSaysSo()
    {
        var serving = ServeAsync(null);
        var failed = Assert.IsType<ProbeOutcome.Failed>(await ProbeAsync(HealthCheckProtocol.Http, timeoutSeconds: 0.2));
        Assert.EndsWith("within 0.2 s", failed.Cause, StringComparison.Ordinal);
        await _stopping.CancelAsync();
        await serving;
    }

    [Fact]
    public async Task AnEndlessBody_IsNotReadToItsEnd()
    {
        var serving = ServeAsync("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + new string('x', Prober.BodyMax + 1));
        Assert.IsType<ProbeOutcome.Passed>(await ProbeAsync(HealthCheckProtocol.Http));
        await _stopping.CancelAsync();
        await serving;
    }
}
