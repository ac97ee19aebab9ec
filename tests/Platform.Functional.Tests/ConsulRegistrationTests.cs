using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Services that are registered, at a real agent and at our door by the same requests: the answers and what is then in the catalog are the same.</summary>
public sealed class ConsulRegistrationTests(ConsulRegistrationTests.World world) : IClassFixture<ConsulRegistrationTests.World>
{
    public sealed class World : IAsyncLifetime
    {
        internal PlatformUnderTest Platform { get; private set; } = null!;
        internal RealConsul Consul { get; private set; } = null!;
        internal HttpClient[] Both => [Consul.Http, Platform.Kv];

        public async Task InitializeAsync()
        {
            Consul = await RealConsul.StartAsync("check_update_interval = \"0s\"");
            Platform = await PlatformUnderTest.StartAsync(new PlatformOptions
            {
                Runtime = "process", Flags = new Dictionary<string, string> { ["--node-name"] = RealConsul.NodeName, ["--node-address"] = "127.0.0.1" },
            });
        }

        public async Task DisposeAsync()
        {
            await Platform.DisposeAsync();
            await Consul.DisposeAsync();
        }
    }

    [Theory]
    [InlineData("/v1/agent/service/register", "{}")]
    [InlineData("/v1/agent/service/register", """{"Name":"x","Check":{"HTTP":"http://x"}}""")]
    [InlineData("/v1/agent/service/register", """{"Name":"x","Check":{"TTL":"10s","Interval":"5s"}}""")]
    [InlineData("/v1/agent/service/register", """{"Name":"x","Check":{"Notes":"a"}}""")]
    [InlineData("/v1/agent/check/register", "{}")]
    [InlineData("/v1/agent/check/register", """{"Name":"m"}""")]
    [InlineData("/v1/agent/check/register", """{"Name":"m","TTL":"10s","Status":"bad"}""")]
    [InlineData("/v1/agent/check/register", """{"Name":"m","ServiceID":"nobody","TTL":"10s"}""")]
    [InlineData("/v1/agent/check/pass/nobody", "")]
    [InlineData("/v1/agent/check/update/nobody", """{"Status":"bad"}""")]
    [InlineData("/v1/agent/check/deregister/nobody", "")]
    [InlineData("/v1/agent/check/deregister/", "")]
    [InlineData("/v1/agent/service/deregister/nobody", "")]
    [InlineData("/v1/agent/service/deregister/", "")]
    [InlineData("/v1/agent/service/maintenance/nobody?enable=true", "")]
    [InlineData("/v1/agent/maintenance", "")]
    [InlineData("/v1/agent/maintenance?enable=maybe", "")]
    [InlineData("/v1/catalog/register", "{}")]
    [InlineData("/v1/catalog/register", """{"Node":"x1"}""")]
    [InlineData("/v1/catalog/deregister", "{}")]
    [InlineData("/v1/catalog/deregister", """{"Node":"nobody"}""")]
    public async Task What_cannot_be_is_refused_alike(string path, string body)
    {
        var (theirs, ours) = (await PutAsync(world.Consul.Http, path, body), await PutAsync(world.Platform.Kv, path, body));
        Assert.Equal(theirs, ours);
    }

    [Fact]
    public async Task A_service_with_a_ttl_lives_alike()
    {
        await AlikeAsync("/v1/agent/service/register", """{"ID":"ttl/1","Name":"ttl","Tags":["b","a"],"Meta":{"k":"v"},"Address":"127.0.0.1","Port":1234,"Check":{"TTL":"20m","Notes":"note"}}""");
        string[] reads = ["/v1/health/service/ttl", "/v1/health/service/ttl?passing", "/v1/catalog/service/ttl", "/v1/agent/checks?filter=ServiceName==ttl", "/v1/agent/services?filter=Service==ttl",
            "/v1/agent/health/service/id/ttl%2F1", "/v1/agent/health/service/name/ttl", "/v1/health/checks/ttl"];
        await SameAsync(reads);
        foreach (var (path, body) in new[]
        {
            ("/v1/agent/check/pass/service:ttl%2F1?note=fine", ""), ("/v1/agent/check/warn/service:ttl%2F1", ""), ("/v1/agent/check/fail/service:ttl%2F1?note=bad", ""),
            ("/v1/agent/check/update/service:ttl%2F1", """{"Status":"passing","Output":"well"}"""),
            ("/v1/agent/service/register", """{"ID":"ttl/1","Name":"ttl","Port":1235,"Check":{"TTL":"20m"}}"""),
            ("/v1/agent/check/register", """{"ID":"more","Name":"More","ServiceID":"ttl/1","TTL":"20m","Status":"passing"}"""),
            ("/v1/agent/service/maintenance/ttl%2F1?enable=true&reason=because", ""), ("/v1/agent/service/maintenance/ttl%2F1?enable=false", ""),
            ("/v1/agent/check/deregister/more", ""), ("/v1/agent/service/deregister/ttl%2F1", ""),
        })
        {
            await AlikeAsync(path, body);
            await SameAsync(reads);
        }
    }

    [Fact]
    public async Task A_node_that_is_none_of_ours_stands_in_the_catalog_alike()
    {
        await AlikeAsync("/v1/catalog/register", """
            {"Node":"far","Address":"10.9.9.9","NodeMeta":{"external":"true"},"Service":{"ID":"db1","Service":"far-db","Tags":["x"],"Port":5432},
             "Checks":[{"CheckID":"alive","Name":"Alive","Status":"passing"},{"CheckID":"db","Name":"Db","Status":"warning","ServiceID":"db1","Output":"slow"}]}
            """);
        string[] reads = ["/v1/health/service/far-db", "/v1/health/service/far-db?passing", "/v1/catalog/node/far", "/v1/health/node/far", "/v1/catalog/nodes?node-meta=external:true", "/v1/catalog/service/far-db"];
        await SameAsync(reads);
        await AlikeAsync("/v1/catalog/deregister", """{"Node":"far","CheckID":"db"}""");
        await SameAsync(reads);
        await AlikeAsync("/v1/catalog/deregister", """{"Node":"far","ServiceID":"db1"}""");
        await SameAsync(reads);
        await AlikeAsync("/v1/catalog/deregister", """{"Node":"far"}""");
        await SameAsync(reads);
    }

    [Fact]
    public async Task Checks_are_really_run_and_survive_the_platforms_death()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await AlikeAsync("/v1/agent/service/register", $$$"""{"ID":"tcp1","Name":"tcp","Port":{{{port}}},"Address":"127.0.0.1","Check":{"TCP":"127.0.0.1:{{{port}}}","Interval":"1s"}}""");
        await BothAsync("the open port is well", "/v1/health/service/tcp?passing", 1);
        await world.Platform.KillAsync();
        await world.Platform.StartAgainAsync();
        await BothAsync("it is still registered", "/v1/health/service/tcp?passing", 1);
        listener.Stop();
        await BothAsync("the closed port is not", "/v1/health/service/tcp?passing", 0);
        await AlikeAsync("/v1/agent/service/deregister/tcp1", "");
        await BothAsync("it is gone", "/v1/health/service/tcp", 0);

        // A web server that is the platform's own: its health is 200, and a path that is not there 404.
        var good = $"http://127.0.0.1:{world.Platform.ApiPort}/ping";
        await AlikeAsync("/v1/agent/service/register", $$$"""{"ID":"http1","Name":"web","Checks":[{"HTTP":"{{{good}}}","Interval":"1s"},{"TTL":"1s","Status":"passing"}]}""");
        await BothAsync("the HTTP check passes and the TTL runs out", "/v1/health/checks/web?filter=Status==passing", 1);
        await BothAsync("the TTL has run out", "/v1/health/checks/web?filter=Output==`TTL+expired`", 1);
        await AlikeAsync("/v1/agent/service/register?replace-existing-checks", $$$"""{"ID":"http1","Name":"web","Check":{"HTTP":"{{{good}}}/nowhere","Interval":"1s"}}""");
        await BothAsync("not found is critical", "/v1/health/checks/web?filter=Status==critical+and+Output+contains+`404`", 1);
        await AlikeAsync("/v1/agent/service/deregister/http1", "");
    }

    [Fact]
    public async Task A_registered_service_has_names_and_a_way_through_the_proxy_while_it_is_well()
    {
        var ping = $"http://127.0.0.1:{world.Platform.ApiPort}/ping";
        var (status, text) = await PutAsync(world.Platform.Kv, "/v1/agent/service/register",
            $$$"""{"Name":"Legacy_Api","Address":"127.0.0.1","Port":{{{world.Platform.ApiPort}}},"Meta":{"HAPROXY_0_VHOST":"legacy.example.com"},"Checks":[{"HTTP":"{{{ping}}}","Interval":"1s"},{"CheckID":"switch","TTL":"20m","Status":"passing"}]}""");
        Assert.Equal((HttpStatusCode.OK, ""), (status, text));
        await Eventually.HoldsAsync("it has an address", async () => (await world.Platform.DigAsync("legacy-api.marathon.mesos", "A")).Data("A") is ["127.0.0.1"]);
        Assert.EndsWith($" {world.Platform.ApiPort} ", string.Join(' ', Assert.Single((await world.Platform.DigAsync("_legacy-api._tcp.marathon.mesos", "SRV")).Data("SRV")).Split(' ')[..3]) + " ", StringComparison.Ordinal);
        using var http = new HttpClient();
        async Task<HttpStatusCode> CallAsync()
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, world.Platform.Edge("/ping"));
            request.Headers.Host = "legacy.example.com";
            using var answer = await http.SendAsync(request);
            return answer.StatusCode;
        }
        await Eventually.HoldsAsync("it is reached through the proxy", async () => await CallAsync() == HttpStatusCode.OK);

        await PutAsync(world.Platform.Kv, "/v1/agent/check/fail/switch", "");
        await Eventually.HoldsAsync("it has no address", async () => (await world.Platform.DigAsync("legacy-api.marathon.mesos", "A")).Data("A") is []);
        await Eventually.HoldsAsync("and no way", async () => await CallAsync() == HttpStatusCode.ServiceUnavailable);
        await PutAsync(world.Platform.Kv, "/v1/agent/service/deregister/Legacy_Api", "");
        await Eventually.HoldsAsync("and no name", async () => (await world.Platform.DigAsync("legacy-api.marathon.mesos", "A")).Status == "NXDOMAIN");
    }

    [Fact]
    public async Task A_task_of_an_app_is_nobodys_to_deregister_here_and_scripts_are_refused()
    {
        await world.Platform.Api.CreateAsync(new JsonObject
        {
            ["id"] = "/own", ["cmd"] = "exec sleep 99999", ["cpus"] = 0.01, ["mem"] = 16, ["portDefinitions"] = new JsonArray(new JsonObject { ["port"] = 0 }),
        });
        var task = await Eventually.GetAsync("the task is in the catalog", async () =>
            JsonNode.Parse(await world.Platform.Kv.GetStringAsync("/v1/catalog/service/own"))!.AsArray().FirstOrDefault()?["ServiceID"]!.GetValue<string>(), x => x is not null, 60);
        var (status, text) = await PutAsync(world.Platform.Kv, $"/v1/agent/service/deregister/{task}", "");
        Assert.Equal(HttpStatusCode.Forbidden, status);
        Assert.Contains("REST API", text, StringComparison.Ordinal);
        (status, text) = await PutAsync(world.Platform.Kv, "/v1/agent/service/register", """{"Name":"x","Check":{"Args":["true"],"Interval":"1s"}}""");
        Assert.Equal((HttpStatusCode.BadRequest, "Invalid check: Script checks are not run here: HTTP, TCP and TTL are"), (status, text));
    }

    private async Task AlikeAsync(string path, string body)
    {
        var (theirs, ours) = (await PutAsync(world.Consul.Http, path, body), await PutAsync(world.Platform.Kv, path, body));
        Assert.True(theirs == ours, $"{path}: {theirs} at Consul's, {ours} at ours");
        Assert.Equal(HttpStatusCode.OK, ours.Status);
    }

    /// <summary>Consul's agent tells its catalog a moment later; ours is there when the answer is.</summary>
    private async Task SameAsync(string[] paths)
    {
        foreach (var path in paths)
        {
            var uri = new Uri(path, UriKind.Relative);
            await Eventually.GetAsync($"{path} is the same", async () =>
            {
                using var theirs = await world.Consul.Http.GetAsync(uri);
                using var ours = await world.Platform.Kv.GetAsync(uri);
                return ($"{theirs.StatusCode} {await ConsulShape.OfAsync(theirs)}", $"{ours.StatusCode} {await ConsulShape.OfAsync(ours)}");
            }, x => x.Item1 == x.Item2);
        }
    }

    private async Task BothAsync(string what, string path, int count)
    {
        foreach (var http in world.Both)
            await Eventually.GetAsync($"{what} at {http.BaseAddress}", async () => JsonNode.Parse(await http.GetStringAsync(new Uri(path, UriKind.Relative)))!.AsArray().Count, x => x == count, 60);
    }

    private static async Task<(HttpStatusCode Status, string Text)> PutAsync(HttpClient http, string path, string body)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        using var answer = await http.PutAsync(new Uri(path, UriKind.Relative), content);
        return (answer.StatusCode, (await answer.Content.ReadAsStringAsync()).Trim());
    }
}
