using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Proxy;

namespace Platform.Tests.Proxy;

public sealed class EdgePortTests
{
    [Fact]
    public async Task Ports_come_and_go_while_a_download_runs_on_another()
    {
        await using var world = await EdgeWorld.StartAsync();
        var go = new SemaphoreSlim(0);
        await using var slow = await WebBackend.StartAsync(async context =>
        {
            for (var i = 0; i < 20; i++)
            {
                await context.Response.WriteAsync("x");
                await context.Response.Body.FlushAsync();
                await go.WaitAsync(context.RequestAborted);
            }
        });
        await using var quick = await WebBackend.SayingAsync("quick");
        var slowPort = await world.AppAsync("/slow");
        await world.ReadyAsync("/slow", slow.Port);
        using var download = await world.Client.GetStreamAsync(new Uri($"http://127.0.0.1:{slowPort}/"));
        var one = new byte[1];
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(1, await download.ReadAsync(one));
            var port = await world.AppAsync($"/quick-{i}");
            await world.ReadyAsync($"/quick-{i}", quick.Port);
            Assert.Equal("quick", await world.TextAsync(port));
            await world.RemoveAsync($"/quick-{i}");
            using var refused = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            await Assert.ThrowsAsync<SocketException>(() => refused.ConnectAsync(IPAddress.Loopback, port));
            go.Release();
        }
        Assert.Equal(0, await download.ReadAsync(one));
    }

    [Fact]
    public async Task A_port_that_is_taken_is_a_problem_until_it_is_free_and_stops_no_other()
    {
        var time = new FakeTimeProvider();
        await using var world = await EdgeWorld.StartAsync(x => x with { Time = time });
        await using var backend = await WebBackend.SayingAsync("hello");
        int port;
        using (var stranger = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            stranger.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            stranger.Listen();
            port = ((IPEndPoint)stranger.LocalEndPoint!).Port;
            var app = AppId.Parse("/web");
            await world.ChangeAsync(
                new EndpointChange.ServiceSet(Service("/web", port)), EdgeWorld.ReadyChange(RouteTexts.Instance(app, 1), app, backend.Port));
            var problem = Assert.Single(world.Proxy.Ports.Problems);
            Assert.Equal((port, SocketError.AddressAlreadyInUse), (problem.EndPoint.Port, problem.Error));

            var other = await world.AppAsync("/other");
            await world.ReadyAsync("/other", backend.Port);
            Assert.Equal("hello", await world.TextAsync(other));
            using var byName = await world.GetAsync("web.marathon.mesos");
            Assert.Equal(HttpStatusCode.OK, byName.StatusCode);
        }
        time.Advance(TimeSpan.FromSeconds(31));
        using var patience = new CancellationTokenSource(Suite.Patience);
        while (world.Proxy.Ports.Problems.Count > 0)
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
        Assert.Equal("hello", await world.TextAsync(port));
    }

    [Fact]
    public async Task An_edge_door_that_is_taken_stops_the_start_with_a_reason()
    {
        using var stranger = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        stranger.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        stranger.Listen();
        var taken = (IPEndPoint)stranger.LocalEndPoint!;
        await using var proxy = new EdgeProxy(
            new EdgeProxyOptions { EdgeEndPoint = taken, Domain = "x" }, new EndpointFeed(new EndpointTable()), new NodeViews(), NullLoggerFactory.Instance);
        var failure = await proxy.StartAsync(CancellationToken.None);
        Assert.Equal(new BindFailure(taken, SocketError.AddressAlreadyInUse), failure);
        Assert.Equal("is taken by another program", failure!.Reason);
    }

    [Fact]
    public async Task Every_port_opens_on_the_node_address_too_also_when_it_comes_later()
    {
        await using var world = await EdgeWorld.StartAsync(x => x with { NodeAddress = IPAddress.Parse("127.0.0.55") });
        await using var backend = await WebBackend.SayingAsync("hello");
        var port = await world.AppAsync("/web");
        await world.ReadyAsync("/web", backend.Port);
        Assert.Equal("hello", await world.Client.GetStringAsync(new Uri($"http://127.0.0.55:{port}/")));

        world.Proxy.AddAddress(IPAddress.Parse("127.0.0.56"));
        await world.AppAsync("/later"); // served after the address was added, for one loop does both
        Assert.Equal("hello", await world.Client.GetStringAsync(new Uri($"http://127.0.0.56:{port}/")));
        using var byName = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.56:{world.EdgePort}/");
        byName.Headers.Host = "web.marathon.mesos";
        using var answer = await world.Client.SendAsync(byName);
        Assert.Equal("hello", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_tcp_port_relays_bytes_and_half_closes()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            var all = new MemoryStream();
            var buffer = new byte[8192];
            int read;
            while ((read = await socket.ReceiveAsync(buffer.AsMemory())) > 0) all.Write(buffer, 0, read);
            var answer = all.ToArray(); // only after the client has ended its side
            for (var sent = 0; sent < answer.Length;) sent += await socket.SendAsync(answer.AsMemory(sent));
        });
        var port = await world.AppAsync("/tcp", ("HAPROXY_0_MODE", "tcp"));
        await world.ReadyAsync("/tcp", backend.Port);

        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPAddress.Loopback, port);
        var bytes = new byte[3_000_000];
        new Random(3).NextBytes(bytes);
        for (var sent = 0; sent < bytes.Length;) sent += await client.SendAsync(bytes.AsMemory(sent));
        client.Shutdown(SocketShutdown.Send);
        var got = new MemoryStream();
        var part = new byte[65536];
        int length;
        while ((length = await client.ReceiveAsync(part.AsMemory())) > 0) got.Write(part, 0, length);
        Assert.Equal(bytes, got.ToArray());
    }

    [Fact]
    public async Task A_tcp_port_with_no_ready_task_resets_and_a_dead_task_is_passed_over()
    {
        await using var world = await EdgeWorld.StartAsync();
        var port = await world.AppAsync("/tcp", ("HAPROXY_0_MODE", "tcp"));
        await Assert.ThrowsAsync<SocketException>(() => EdgeWorld.RawAsync(port, "hello"));

        using var backend = new RawBackend(socket => RawBackend.SendAsync(socket, "greetings"));
        await world.ReadyAsync("/tcp", EdgeWorld.FreePort());
        await world.ReadyAsync("/tcp", backend.Port);
        for (var i = 0; i < 4; i++) Assert.Equal("greetings", await EdgeWorld.RawAsync(port, ""));
    }

    [Fact]
    public async Task A_tcp_connection_is_in_flight_until_it_ends()
    {
        await using var world = await EdgeWorld.StartAsync();
        using var backend = new RawBackend(async socket =>
        {
            await RawBackend.SendAsync(socket, "hello");
            await RawBackend.HeadAsync(socket);
        });
        var port = await world.AppAsync("/tcp", ("HAPROXY_0_MODE", "tcp"));
        var instance = await world.ReadyAsync("/tcp", backend.Port);
        using (var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            await client.ConnectAsync(IPAddress.Loopback, port);
            Assert.Equal(5, await client.ReceiveAsync(new byte[5].AsMemory()));
            await world.WithdrawAsync(instance);
            Assert.Equal([instance], world.Draining);
            client.Shutdown(SocketShutdown.Both);
        }
        await world.UntilAsync(x => x.Draining.IsEmpty, "the relay has ended");
    }

    [Fact]
    public async Task The_admin_pages_tell_routes_problems_counts_and_revisions()
    {
        await using var world = await EdgeWorld.StartAsync();
        await using var backend = await WebBackend.SayingAsync("hello");
        var port = await world.AppAsync("/web", ("HAPROXY_0_MODE", "nonsense"));
        await world.ReadyAsync("/web", backend.Port);
        await world.TextAsync(port);

        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(x => x.Listen(IPAddress.Loopback, 0));
        await using var admin = builder.Build();
        admin.MapAdmin(world.Proxy);
        await admin.StartAsync();
        var door = admin.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.Single();

        using var routes = JsonDocument.Parse(await world.Client.GetStringAsync(new Uri($"{door}/routes")));
        Assert.Equal(port, routes.RootElement.GetProperty("routes")[0].GetProperty("servicePort").GetInt32());
        Assert.Equal(0, routes.RootElement.GetProperty("routes")[0].GetProperty("endpoints")[0].GetProperty("inFlight").GetInt32());
        Assert.Equal("HAPROXY_0_MODE", routes.RootElement.GetProperty("problems")[0].GetProperty("where").GetString());
        var open = routes.RootElement.GetProperty("listening").GetProperty("open").EnumerateArray().Select(x => x.GetString()!);
        Assert.Equal(new HashSet<string> { $"127.0.0.1:{port}", $"127.0.0.1:{world.EdgePort}" }, [.. open]);

        using var stats = JsonDocument.Parse(await world.Client.GetStringAsync(new Uri($"{door}/stats")));
        Assert.Equal(1, stats.RootElement[0].GetProperty("requests").GetInt32());
        using var revisions = JsonDocument.Parse(await world.Client.GetStringAsync(new Uri($"{door}/revisions")));
        Assert.Equal(world.Feed.Current.Revision, revisions.RootElement.GetProperty("served").GetProperty("proxy").GetProperty("revision").GetInt64());
        var csv = await world.Client.GetStringAsync(new Uri($"{door}/haproxy;csv"));
        Assert.Contains($"web_{port},127_0_0_1_{backend.Port},0,0,1,0,UP", csv, StringComparison.Ordinal);
        Assert.Equal("ok\n", await world.Client.GetStringAsync(new Uri($"{door}/health")));
    }

    private static Service Service(string app, int port) => new()
    {
        App = AppId.Parse(app),
        Version = new AppVersion(DateTimeOffset.UnixEpoch),
        Ports = [new ServicePort(0, port, "tcp", null, false, EquatableMap.Empty)],
    };
}
