using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery.Catalog;
using Platform.Discovery.Hosting;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class CatalogViewTests
{
    [Fact]
    public async Task A_service_is_found_with_its_node_its_checks_and_its_headers()
    {
        await using var door = await Door.OpenAsync(CatalogTreeTests.Assorted());
        using var response = await door.Client.GetAsync("/v1/health/service/tagged?passing=1&tag=tier=front");
        Assert.Equal(("true", "12", "18"), (Header(response, "X-Consul-KnownLeader"), Header(response, "X-Consul-LastContact"), Header(response, "X-Consul-Index")));
        var entry = Assert.Single(JsonNode.Parse(await response.Content.ReadAsStringAsync())!.AsArray())!;
        Assert.Equal(["Node", "Service", "Checks"], entry.AsObject().Select(x => x.Key));
        Assert.Equal((31008, "10.0.0.2", "/tagged"), (entry["Service"]!["Port"]!.GetValue<int>(), entry["Service"]!["Address"]!.GetValue<string>(), entry["Service"]!["Meta"]!["app"]!.GetValue<string>()));
        Assert.Equal(["serfHealth", $"service:{World.Id("/tagged", 8)}"], entry["Checks"]!.AsArray().Select(x => x!["CheckID"]!.GetValue<string>()));
        Assert.Equal("[]", await door.Client.GetStringAsync("/v1/health/service/tagged?tag=tier=front&tag=nope"));
    }

    [Theory]
    [InlineData("/v1/catalog/datacenters", 200, """["dc1"]""")]
    [InlineData("/v1/catalog/service/nobody", 200, "[]")]
    [InlineData("/v1/catalog/node/nobody", 200, "null")]
    [InlineData("/v1/health/service/nginx?filter=Node.Node+==+nobody", 200, "[]")]
    [InlineData("/v1/health/state/critical", 200, "[]")]
    [InlineData("/v1/health/state/nonsense", 200, "[]")]
    [InlineData("/v1/health/connect/nginx", 200, "[]")]
    [InlineData("/v1/catalog/nodes?node-meta=rack:1", 200, "[]")]
    [InlineData("/v1/coordinate/nodes", 200, "[]")]
    [InlineData("/v1/catalog/service/", 400, "Missing service name")]
    [InlineData("/v1/health/state/", 400, "Missing check state")]
    [InlineData("/v1/catalog/node/", 400, "Missing node name")]
    [InlineData("/v1/catalog/nodes?wait=soon", 400, "Invalid wait time")]
    [InlineData("/v1/catalog/nodes?index=x", 400, "Invalid index")]
    [InlineData("/v1/catalog/nodes?stale&consistent", 400, "Cannot specify ?stale with ?consistent, conflicting semantics.")]
    [InlineData("/v1/health/service/nginx?passing=x", 400, "Invalid value for ?passing")]
    [InlineData("/v1/health/service/nginx?filter=Foo==1", 400, "Failed to create boolean expression evaluator: Selector \"Foo\" is not valid")]
    [InlineData("/v1/catalog/nodes?dc=dc9", 500, "No path to datacenter")]
    [InlineData("/v1/agent/service/nobody", 404, "unknown service ID: nobody")]
    public async Task Questions_have_their_answers(string path, int status, string text)
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var response = await door.Client.GetAsync(path);
        Assert.Equal((status, text), ((int)response.StatusCode, await response.Content.ReadAsStringAsync()));
    }

    [Fact]
    public async Task Only_reads_are_taken_and_a_head_is_one()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var put = await door.Client.PutAsync("/v1/catalog/nodes", null);
        Assert.Equal((HttpStatusCode.MethodNotAllowed, "OPTIONS, GET, HEAD"), (put.StatusCode, string.Join(", ", put.Content.Headers.Allow)));
        using var head = await door.Client.SendAsync(new HttpRequestMessage(HttpMethod.Head, "/v1/catalog/services"));
        Assert.Equal((HttpStatusCode.OK, "16", ""), (head.StatusCode, Header(head, "X-Consul-Index"), await head.Content.ReadAsStringAsync()));
    }

    [Fact]
    public async Task The_agent_tells_of_its_own_node()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        var services = JsonNode.Parse(await door.Client.GetStringAsync("/v1/agent/services"))!.AsObject();
        Assert.Equal(5, services.Count);
        Assert.All(services, x => Assert.Equal(x.Key, x.Value!["ID"]!.GetValue<string>()));
        Assert.Equal(services.Count, JsonNode.Parse(await door.Client.GetStringAsync("/v1/agent/checks"))!.AsObject().Count);
        Assert.Equal(2, JsonNode.Parse(await door.Client.GetStringAsync("/v1/agent/members"))!.AsArray().Count);
        var self = JsonNode.Parse(await door.Client.GetStringAsync("/v1/agent/self"))!;
        Assert.Equal(("dc1", "node-1", "1.8.7"), (self["Config"]!["Datacenter"]!.GetValue<string>(), self["Config"]!["NodeName"]!.GetValue<string>(), self["Config"]!["Version"]!.GetValue<string>()));
        using var health = await door.Client.GetAsync("/v1/agent/health/service/name/nginx");
        Assert.Equal((HttpStatusCode.OK, "passing"), (health.StatusCode, Header(health, "X-Consul-Reason")));
        using var missing = await door.Client.GetAsync("/v1/agent/health/service/id/nobody");
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
    }

    [Fact]
    public async Task An_instance_near_the_asked_node_comes_first()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        foreach (var (near, first) in new[] { ("node-2", "node-2"), ("node-1", "node-1"), ("_agent", "node-1") })
            Assert.Equal(first, JsonNode.Parse(await door.Client.GetStringAsync($"/v1/catalog/service/nginx?near={near}"))![0]!["Node"]!.GetValue<string>());
    }

    [Fact]
    public async Task A_parked_query_returns_with_its_service_and_sleeps_through_others()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        var parked = door.Client.GetAsync("/v1/health/service/nginx?index=16&wait=60s");
        await door.ParkedAsync(1);
        door.World.Down("/prod/eu/web", 3);
        await door.World.ServedAsync(CatalogView.ViewName);
        Assert.False(parked.IsCompleted);
        door.World.Down("/nginx", 1);
        using var changed = await parked;
        Assert.Equal("18", Header(changed, "X-Consul-Index"));
        Assert.Single(JsonNode.Parse(await changed.Content.ReadAsStringAsync())!.AsArray());

        using var timeout = await door.Client.GetAsync("/v1/health/service/nginx?index=18&wait=20ms");
        Assert.Equal("18", Header(timeout, "X-Consul-Index"));
    }

    [Fact]
    public async Task A_client_waits_for_another_hash_of_one_service()
    {
        await using var door = await Door.OpenAsync(World.Assorted());
        using var first = await door.Client.GetAsync($"/v1/agent/service/{World.Id("/nginx", 1)}");
        var hash = Header(first, "X-Consul-ContentHash");
        Assert.Equal(hash, JsonNode.Parse(await first.Content.ReadAsStringAsync())!["ContentHash"]!.GetValue<string>());
        var parked = door.Client.GetAsync($"/v1/agent/service/{World.Id("/nginx", 1)}?hash={hash}&wait=60s");
        await door.ParkedAsync(1);
        door.World.App("/nginx", EquatableMap.From([new("new", "tag")]), World.Port(0, 10000));
        using var changed = await parked;
        Assert.NotEqual(hash, Header(changed, "X-Consul-ContentHash"));
        Assert.Equal(["new"], JsonNode.Parse(await changed.Content.ReadAsStringAsync())!["Tags"]!.AsArray().Select(x => x!.GetValue<string>()));
    }

    [Fact]
    public async Task Before_the_first_table_there_is_no_empty_catalog()
    {
        await using var door = await Door.OpenAsync(new World(), wait: false);
        Assert.Equal(HttpStatusCode.InternalServerError, (await door.Client.GetAsync("/v1/catalog/services")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await door.Client.GetAsync("/v1/catalog/datacenters")).StatusCode);
    }

    private static string Header(HttpResponseMessage response, string name) => Assert.Single(response.Headers.GetValues(name));

    private sealed class Door : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stopping = new();

        public required World World { get; init; }
        public required CatalogView View { get; init; }
        public required WebApplication Web { get; init; }
        public required HttpClient Client { get; init; }
        private Task Running { get; set; } = Task.CompletedTask;

        public static async Task<Door> OpenAsync(World world, bool wait = true)
        {
            var options = new KvOptions { Leader = () => new KvLeader("10.0.0.9:8300", TimeSpan.FromMilliseconds(12)) };
            var view = new CatalogView(world.Feed, world.Views, new AgentIdentity("node-1", Server: true), options, NullLoggerFactory.Instance);
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.ConfigureKestrel(x => x.Listen(IPAddress.Loopback, 0));
            var web = builder.Build();
            web.Run(view.AddTo(new ConsulDoor(options)).AnswerAsync);
            await web.StartAsync();
            var door = new Door { World = world, View = view, Web = web, Client = new HttpClient { BaseAddress = new Uri(web.Urls.Single()) } };
            door.Running = view.RunAsync(door._stopping.Token);
            if (wait) await world.ServedAsync(CatalogView.ViewName);
            return door;
        }

        public async Task ParkedAsync(int count)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            while (View.Parked.Count != count) await Task.Delay(1, patience.Token);
        }

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await Running;
            Client.Dispose();
            await Web.DisposeAsync();
            _stopping.Dispose();
        }
    }
}
