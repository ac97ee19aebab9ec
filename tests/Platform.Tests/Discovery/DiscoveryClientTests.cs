using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.ServiceDiscovery;
using Platform.Discovery.Client;
using Platform.Model;
using Platform.Scheduling;
using Platform.Tests.Api;

namespace Platform.Tests.Discovery;

/// <summary>A program that uses Microsoft.Extensions.ServiceDiscovery finds apps by their names, against the real REST door.</summary>
public sealed class DiscoveryClientTests
{
    private const string Two = """{"id":"/shop/web","cmd":"sleep 1000","instances":2,"portDefinitions":[{"port":0,"name":"http"},{"port":0,"name":"admin"}]}""";

    [Theory]
    [InlineData("http://web.shop", 0)]
    [InlineData("http://web-shop", 0)]
    [InlineData("http://WEB.shop.Marathon.mesos", 0)]
    [InlineData("http://_admin.web.shop", 1)]
    [InlineData("http://_port1.web-shop", 1)]
    [InlineData("https+http://web.shop", 0)]
    public async Task A_service_is_found_by_each_of_its_names(string name, int port)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Two);
        await using var program = Program.Of(world);
        var found = await program.FindAsync(name);
        Assert.Equal(world.InstancesOf("/shop/web").Select(i => $"{AddressOf(world, i)}:{i.HostPorts[port]}").Order(), found);
    }

    [Fact]
    public async Task What_is_found_follows_the_table()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Two);
        await using var program = Program.Of(world);
        Assert.Equal(2, (await program.FindAsync("http://web.shop")).Length);

        await world.EndAsync(world.InstancesOf("/shop/web")[0], TerminalState.Failed, "gone");
        await program.FindsAsync("http://web.shop", 1);
        await world.PutAsync("/v2/apps/shop/web", """{"instances":5}""");
        world.Clock.Advance(TimeSpan.FromSeconds(10)); // past the backoff of the failed one
        await world.SettleAsync();
        await program.FindsAsync("http://web.shop", 5);
    }

    [Fact]
    public async Task An_app_that_comes_later_is_found_then_and_a_name_of_nobody_is_left_to_others()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var program = Program.Of(world);
        Assert.Equal(["late:80"], await program.FindAsync("http://late")); // the pass-through provider's: the name itself
        await world.CreateAsync("""{"id":"/late","cmd":"sleep 1000","instances":3,"ports":[0]}""");
        await program.FindsAsync("http://late", 3);
    }

    [Fact]
    public async Task An_http_client_reaches_the_instances_by_name()
    {
        await using var backend = await Backend.StartAsync();
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.JoinAsync("here", "127.0.0.1");
        await world.CreateAsync($$"""{"id":"/web","cmd":"sleep 1000","instances":1,"ports":[{{backend.Port}}],"requirePorts":false}""");
        world.Endpoints.Feed.Apply(Moved(world, backend.Port));
        await using var program = Program.Of(world);
        using var http = program.Services.GetRequiredService<IHttpClientFactory>().CreateClient("app");
        Assert.Equal("hello from /greeting", await http.GetStringAsync(new Uri("http://web/greeting")));
    }

    [Fact]
    public async Task While_no_scheduler_answers_the_last_table_serves_and_another_scheduler_takes_over()
    {
        await using var second = await ApiWorld.StartAsync();
        await second.CreateAsync(Two.Replace("\"instances\":2", "\"instances\":1", StringComparison.Ordinal));
        await using var program = Program.Unlinked();
        await using (var first = await ApiWorld.StartAsync())
        {
            await first.CreateAsync(Two);
            program.Schedulers.Add(first.Http.BaseAddress!);
            Assert.Equal(2, (await program.FindAsync("http://web.shop")).Length);
        }
        Assert.Equal(2, (await program.FindAsync("http://web.shop")).Length);
        program.Schedulers.Add(second.Http.BaseAddress!);
        await program.FindsAsync("http://web.shop", 1);
    }

    [Fact]
    public async Task Without_any_scheduler_the_first_request_fails_with_the_reason()
    {
        await using var program = Program.Unlinked(firstTableWithin: TimeSpan.FromMilliseconds(300));
        program.Schedulers.Add(new Uri("http://127.0.0.1:9"));
        var failure = await Assert.ThrowsAnyAsync<InvalidOperationException>(() => program.FindAsync("http://web"));
        Assert.Contains("http://127.0.0.1:9", failure.Message, StringComparison.Ordinal);
    }

    /// <summary>The instance, but where a real server of the test listens.</summary>
    private static EndpointUpdate Moved(ApiWorld world, int port)
    {
        var table = world.Endpoints.Feed.Current;
        var endpoint = table.Services[AppId.Parse("/web")].Endpoints.Values.Single();
        var moved = endpoint with { Ports = [endpoint.Ports[0] with { HostPort = port }] };
        return new EndpointUpdate(table.Cursor.Epoch, table.Revision, table.Revision + 1, false, [new EndpointChange.EndpointSet(moved)]);
    }

    private static string AddressOf(ApiWorld world, Instance instance) => world.State.Nodes[instance.Node].Description.Address;

    private sealed class Program(ServiceProvider services, IList<Uri> schedulers) : IAsyncDisposable
    {
        public IServiceProvider Services => services;
        public IList<Uri> Schedulers => schedulers;

        public static Program Of(ApiWorld world)
        {
            var program = Unlinked();
            program.Schedulers.Add(world.Http.BaseAddress!);
            return program;
        }

        public static Program Unlinked(TimeSpan? firstTableWithin = null)
        {
            IList<Uri> schedulers = [];
            var services = new ServiceCollection().AddLogging();
            services.AddSingleton<IConfiguration>(new ConfigurationBuilder().Build());
            services.AddServiceDiscovery(); // whoever did it before us
            services.AddPlatformServiceDiscovery(options =>
            {
                schedulers = options.Schedulers;
                options.FirstTableWithin = firstTableWithin ?? TimeSpan.FromSeconds(60);
            });
            services.AddHttpClient("app").AddServiceDiscovery();
            var provider = services.BuildServiceProvider();
            _ = provider.GetRequiredService<Microsoft.Extensions.Options.IOptions<PlatformDiscoveryOptions>>().Value;
            return new Program(provider, schedulers);
        }

        public async Task<string[]> FindAsync(string name)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            var source = await services.GetRequiredService<ServiceEndpointResolver>().GetEndpointsAsync(name, patience.Token);
            return [.. source.Endpoints.Select(x => x.EndPoint is DnsEndPoint dns ? $"{dns.Host}:{(dns.Port == 0 ? 80 : dns.Port)}" : $"{x.EndPoint}").Order(StringComparer.Ordinal)];
        }

        /// <summary>The change is pushed to the provider, and the resolver asks it again on a thread of its own.</summary>
        public async Task FindsAsync(string name, int count)
        {
            string[] found;
            for (var deadline = DateTime.UtcNow.AddSeconds(60); (found = await FindAsync(name)).Length != count; await Task.Delay(5))
                Assert.True(DateTime.UtcNow < deadline, $"{name} leads to {string.Join(", ", found)}, not to {count}");
        }

        public ValueTask DisposeAsync() => services.DisposeAsync();
    }

    private sealed class Backend(WebApplication app, int port) : IAsyncDisposable
    {
        public int Port => port;

        public static async Task<Backend> StartAsync()
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UseUrls("http://127.0.0.1:0");
            var app = builder.Build();
            app.Run(http => http.Response.WriteAsync($"hello from {http.Request.Path}"));
            await app.StartAsync();
            return new Backend(app, new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port);
        }

        public async ValueTask DisposeAsync()
        {
            await app.StopAsync();
            await app.DisposeAsync();
        }
    }
}
