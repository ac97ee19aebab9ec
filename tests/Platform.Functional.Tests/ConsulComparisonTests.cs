using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>The same services in real Consul 1.8.7 and at our door, and the same questions to both: what is not masked must be the same.</summary>
public sealed class ConsulComparisonTests(ConsulComparisonTests.World world) : IClassFixture<ConsulComparisonTests.World>
{
    /// <summary>One app of two ports and two instances, one of one; and an agent of Consul to which the same was registered.</summary>
    public sealed class World : IAsyncLifetime
    {
        internal PlatformUnderTest Platform { get; private set; } = null!;
        internal RealConsul Consul { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            Consul = await RealConsul.StartAsync("check_update_interval = \"0s\""); // or the catalog learns a check's output minutes later
            // The node is called as Consul's is, so that all that names it is the same.
            Platform = await PlatformUnderTest.StartAsync(new PlatformOptions
            {
                Runtime = "process", Flags = new Dictionary<string, string> { ["--node-name"] = RealConsul.NodeName, ["--node-address"] = "127.0.0.1" },
            });
            await Platform.Api.CreateAsync(Sleeper("/shop/web", 2, "http", "admin").With("labels", new JsonObject { ["tier"] = "front", ["public"] = "tag" }));
            await Platform.Api.CreateAsync(Sleeper("/db", 1, "sql"));
            await Eventually.HoldsAsync("five services are ready", async () => (await ServicesAsync()).Count == 5);
            foreach (var (id, service) in await ServicesAsync()) await RegisterAsync(id, service!.AsObject());
        }

        public async Task DisposeAsync()
        {
            await Platform.DisposeAsync();
            await Consul.DisposeAsync();
        }

        internal async Task<JsonObject> ServicesAsync() => JsonNode.Parse(await Platform.Kv.GetStringAsync("/v1/agent/services"))!.AsObject();

        /// <summary>As its own agent would be told of it.</summary>
        private async Task RegisterAsync(string id, JsonObject service)
        {
            var check = JsonNode.Parse(await Platform.Kv.GetStringAsync("/v1/agent/checks"))![$"service:{id}"]!;
            var body = new JsonObject
            {
                ["ID"] = id, ["Name"] = service["Service"]!.DeepClone(), ["Tags"] = service["Tags"]!.DeepClone(), ["Meta"] = service["Meta"]!.DeepClone(),
                ["Port"] = service["Port"]!.DeepClone(), ["Address"] = service["Address"]!.DeepClone(),
                ["Check"] = new JsonObject { ["CheckID"] = $"service:{id}", ["Name"] = check["Name"]!.DeepClone(), ["TTL"] = "30m", ["Status"] = "passing" },
            };
            await PutAsync("/v1/agent/service/register", body);
            await PutAsync($"/v1/agent/check/update/{Uri.EscapeDataString($"service:{id}")}", new JsonObject { ["Status"] = "passing", ["Output"] = check["Output"]!.DeepClone() });
        }

        private async Task PutAsync(string path, JsonNode body)
        {
            using var content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
            using var answer = await Consul.Http.PutAsync(new Uri(path, UriKind.Relative), content);
            Assert.True(answer.IsSuccessStatusCode, $"{path}: {await answer.Content.ReadAsStringAsync()}");
        }

        private static JsonObject Sleeper(string id, int instances, params string[] ports) => new()
        {
            ["id"] = id, ["cmd"] = "exec sleep 99999", ["instances"] = instances, ["cpus"] = 0.01, ["mem"] = 16,
            ["portDefinitions"] = new JsonArray([.. ports.Select(x => new JsonObject { ["port"] = 0, ["name"] = x, ["protocol"] = "tcp" })]),
        };
    }

    [Theory]
    [InlineData("/v1/catalog/datacenters")]
    [InlineData("/v1/catalog/nodes")]
    [InlineData("/v1/catalog/nodes?node-meta=no:such")]
    [InlineData("/v1/catalog/nodes?filter=Node==real")]
    [InlineData("/v1/catalog/nodes?filter=nothing+not+in+Meta")]
    [InlineData("/v1/catalog/services")]
    [InlineData("/v1/catalog/services?node-meta=no:such")]
    [InlineData("/v1/catalog/service/web-shop")]
    [InlineData("/v1/catalog/service/web-shop?stale")]
    [InlineData("/v1/catalog/service/web-shop?tag=tier=front&tag=public")]
    [InlineData("/v1/catalog/service/web-shop?tag=tier=front&tag=nope")]
    [InlineData("/v1/catalog/service/web-shop-admin?pretty")]
    [InlineData("/v1/catalog/service/web-shop?filter=ServiceTags+contains+\"public\"")]
    [InlineData("/v1/catalog/service/web-shop?filter=ServiceMeta.port_index==0+and+not+ServiceTags+is+empty")]
    [InlineData("/v1/catalog/service/web-shop?filter=ServiceMeta[\"port_name\"]!=http")]
    [InlineData("/v1/catalog/service/web-shop?filter=public+in+ServiceTags+or+ServicePort==1")]
    [InlineData("/v1/catalog/service/web-shop?filter=ServiceAddress+matches+`^127[.]`")]
    [InlineData("/v1/catalog/service/nobody")]
    [InlineData("/v1/catalog/service/db?near=_agent")]
    [InlineData("/v1/catalog/service/")]
    [InlineData("/v1/catalog/node/real")]
    [InlineData("/v1/catalog/node/real?filter=Service==db")]
    [InlineData("/v1/catalog/node/nobody")]
    [InlineData("/v1/catalog/node/")]
    [InlineData("/v1/catalog/node-services/real")]
    [InlineData("/v1/catalog/node-services/nobody")]
    [InlineData("/v1/catalog/connect/db")]
    [InlineData("/v1/health/service/web-shop")]
    [InlineData("/v1/health/service/web-shop?passing")]
    [InlineData("/v1/health/service/web-shop?passing=1&tag=public")]
    [InlineData("/v1/health/service/web-shop?passing=false")]
    [InlineData("/v1/health/service/web-shop?passing=maybe")]
    [InlineData("/v1/health/service/web-shop?filter=Service.Meta.port_name==http+and+Checks.Status==passing")]
    [InlineData("/v1/health/service/web-shop?filter=Node.Node!=real")]
    [InlineData("/v1/health/service/web-shop?filter=Service.Meta.nothing==x")]
    [InlineData("/v1/health/service/web-shop?filter=Service.Meta.nothing!=x")]
    [InlineData("/v1/health/service/nobody")]
    [InlineData("/v1/health/service/")]
    [InlineData("/v1/health/connect/db")]
    [InlineData("/v1/health/ingress/db")]
    [InlineData("/v1/health/node/real")]
    [InlineData("/v1/health/node/real?filter=ServiceName==db")]
    [InlineData("/v1/health/node/nobody")]
    [InlineData("/v1/health/node/")]
    [InlineData("/v1/health/checks/web-shop")]
    [InlineData("/v1/health/checks/nobody")]
    [InlineData("/v1/health/state/any")]
    [InlineData("/v1/health/state/passing")]
    [InlineData("/v1/health/state/critical")]
    [InlineData("/v1/health/state/nonsense")]
    [InlineData("/v1/health/state/")]
    [InlineData("/v1/agent/services")]
    [InlineData("/v1/agent/services?filter=Service==db")]
    [InlineData("/v1/agent/checks")]
    [InlineData("/v1/agent/checks?filter=ServiceName==db")]
    [InlineData("/v1/agent/service/nobody")]
    [InlineData("/v1/agent/health/service/name/web-shop")]
    [InlineData("/v1/agent/health/service/name/nobody")]
    [InlineData("/v1/agent/health/service/name/web-shop?format=text")]
    [InlineData("/v1/agent/health/service/id/nobody")]
    [InlineData("/v1/catalog/nodes?dc=dc1")]
    [InlineData("/v1/catalog/nodes?dc=elsewhere")]
    [InlineData("/v1/catalog/nodes?index=x")]
    [InlineData("/v1/catalog/nodes?wait=x")]
    [InlineData("/v1/catalog/nodes?stale&consistent")]
    [InlineData("/v1/health/service/db?cached")]
    public async Task A_question_has_the_same_answer(string path)
    {
        using var theirs = await world.Consul.Http.GetAsync(new Uri(path, UriKind.Relative));
        using var ours = await world.Platform.Kv.GetAsync(new Uri(path, UriKind.Relative));
        Assert.Equal(theirs.StatusCode, ours.StatusCode);
        Assert.Equal(await ConsulShape.OfAsync(theirs, anyType: true), await ConsulShape.OfAsync(ours, anyType: true));
        foreach (var header in new[] { "X-Consul-Index", "X-Consul-KnownLeader", "X-Consul-LastContact" })
            if (theirs.IsSuccessStatusCode)
                Assert.True(theirs.Headers.Contains(header) == ours.Headers.Contains(header), $"{header} here and not there");
        if (ours.Headers.TryGetValues("X-Consul-Index", out var index)) Assert.True(long.Parse(index.Single(), System.Globalization.CultureInfo.InvariantCulture) >= 1);
    }

    /// <summary>Chosen differences: a filter that cannot be read is the client's mistake (400, as later Consuls have it), and each says in its own words what is wrong with it.</summary>
    [Theory]
    [InlineData("((")]
    [InlineData("Nobody == 1")]
    [InlineData("Node.Node ==")]
    [InlineData("Service.Tags == x")]
    [InlineData("Service.Service is empty")]
    [InlineData("Service.Port == many")]
    [InlineData("Service.Meta.nothing is empty")]
    [InlineData("Node.Node matches \"(\"")]
    [InlineData("Node.Node == real and")]
    [InlineData("Node.Node == \"real")]
    public async Task Both_refuse_the_same_filters(string filter)
    {
        var path = new Uri($"/v1/health/service/web-shop?filter={Uri.EscapeDataString(filter)}", UriKind.Relative);
        using var theirs = await world.Consul.Http.GetAsync(path);
        using var ours = await world.Platform.Kv.GetAsync(path);
        Assert.Equal((HttpStatusCode.InternalServerError, HttpStatusCode.BadRequest), (theirs.StatusCode, ours.StatusCode));
        const string began = "Failed to create boolean expression evaluator: ";
        Assert.StartsWith(began, await theirs.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.StartsWith(began, await ours.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_agent_names_itself_alike_where_clients_look()
    {
        var theirs = JsonNode.Parse(await world.Consul.Http.GetStringAsync("/v1/agent/self"))!;
        var ours = JsonNode.Parse(await world.Platform.Kv.GetStringAsync("/v1/agent/self"))!;
        foreach (var member in new[] { "Datacenter", "NodeName", "Server", "Revision", "Version" })
            Assert.Equal(theirs["Config"]![member]!.ToJsonString(), ours["Config"]![member]!.ToJsonString());
        Assert.Equal(theirs["Config"]!.AsObject().Select(x => x.Key), ours["Config"]!.AsObject().Select(x => x.Key));
        Assert.Equal(theirs["Member"]!.AsObject().Select(x => x.Key), ours["Member"]!.AsObject().Select(x => x.Key));
        var members = (JsonNode.Parse(await world.Consul.Http.GetStringAsync("/v1/agent/members"))!, JsonNode.Parse(await world.Platform.Kv.GetStringAsync("/v1/agent/members"))!);
        foreach (var member in new[] { "Name", "Addr", "Status" }) Assert.Equal(members.Item1[0]![member]!.ToJsonString(), members.Item2[0]![member]!.ToJsonString());
    }

    [Fact]
    public async Task A_parked_query_is_answered_with_the_same_index_when_its_time_is_over_and_nothing_changed()
    {
        foreach (var http in new[] { world.Consul.Http, world.Platform.Kv })
        {
            using var first = await http.GetAsync(new Uri("/v1/health/service/db?passing=1", UriKind.Relative));
            var index = first.Headers.GetValues("X-Consul-Index").Single();
            using var second = await http.GetAsync(new Uri($"/v1/health/service/db?passing=1&index={index}&wait=100ms", UriKind.Relative));
            Assert.Equal((HttpStatusCode.OK, index), (second.StatusCode, second.Headers.GetValues("X-Consul-Index").Single()));
            Assert.Equal(await first.Content.ReadAsStringAsync(), await second.Content.ReadAsStringAsync());
        }
    }

    [Fact]
    public async Task A_hash_is_waited_for_alike()
    {
        var id = (await world.ServicesAsync()).First(x => x.Value!["Service"]!.GetValue<string>() == "db").Key;
        foreach (var http in new[] { world.Consul.Http, world.Platform.Kv })
        {
            using var first = await http.GetAsync(new Uri($"/v1/agent/service/{id}", UriKind.Relative));
            var hash = first.Headers.GetValues("X-Consul-ContentHash").Single();
            using var second = await http.GetAsync(new Uri($"/v1/agent/service/{id}?hash={hash}&wait=100ms", UriKind.Relative));
            Assert.Equal(hash, second.Headers.GetValues("X-Consul-ContentHash").Single());
            Assert.Equal(hash, JsonNode.Parse(await second.Content.ReadAsStringAsync())!["ContentHash"]!.GetValue<string>());
        }
    }
}
