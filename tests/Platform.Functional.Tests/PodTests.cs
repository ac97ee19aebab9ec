using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;
using Xunit.Abstractions;

namespace Platform.Functional.Tests;

/// <summary>Pods on real containers (contract 1.10, 9 item 76).</summary>
public sealed class PodTests(ITestOutputHelper output)
{
    /// <summary>
    /// Two containers: <c>web</c> answers on 8080 and leaves a note in the shared volume; <c>side</c> keeps asking web over localhost, writes what
    /// it got beside the note, and serves the volume on 9090.
    /// </summary>
    private static JsonObject TwoContainers(string id, int instances = 1) => JsonNode.Parse($$$$"""
        {
          "id": "{{{{id}}}}",
          "scaling": {"kind": "fixed", "instances": {{{{instances}}}}},
          "scheduling": {"backoff": {"backoff": 0.2, "backoffFactor": 1, "maxLaunchDelay": 1}},
          "networks": [{"mode": "container/bridge"}],
          "environment": {"COLOUR": "blue"},
          "volumes": [{"name": "shared"}],
          "containers": [
            {
              "name": "web",
              "resources": {"cpus": 0.01, "mem": 32},
              "image": {"kind": "DOCKER", "id": "{{{{Machine.TestImage}}}}"},
              "exec": {"command": {"shell": "echo note of $MESOS_TASK_ID $COLOUR > /shared/note; exec rails server -p $ENDPOINT_HTTP"}},
              "endpoints": [{"name": "http", "containerPort": 8080, "hostPort": 0}],
              "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
              "healthCheck": {"http": {"endpoint": "http", "path": "/health"}, "intervalSeconds": 1, "delaySeconds": 0, "gracePeriodSeconds": 120}
            },
            {
              "name": "side",
              "user": "nobody",
              "resources": {"cpus": 0.01, "mem": 32},
              "image": {"kind": "DOCKER", "id": "{{{{Machine.TestImage}}}}"},
              "exec": {"command": {"argv": ["/bin/sh", "-c", "trap 'exit 0' TERM; httpd -p $ENDPOINT_FILES -h /data; while :; do wget -q -O /data/seen http://127.0.0.1:$ENDPOINT_HTTP/; sleep 0.2 & wait $!; done"]}},
              "endpoints": [{"name": "files", "containerPort": 9090, "hostPort": 0}],
              "volumeMounts": [{"name": "shared", "mountPath": "/data"}],
              "healthCheck": {"exec": {"command": {"argv": ["test", "-s", "/data/seen"]}}, "intervalSeconds": 1, "gracePeriodSeconds": 120},
              "lifecycle": {"killGracePeriodSeconds": 2}
            }
          ]
        }
        """)!.AsObject();

    private static async Task<JsonNode> StatusAsync(PlatformUnderTest platform, string id) => (await platform.Api.GetAsync($"/v2/pods{id}::status")).Must(HttpStatusCode.OK).Json;

    /// <summary>As many stable instances as wanted, none beside them, and no deployment.</summary>
    private static Task<JsonNode> StableAsync(PlatformUnderTest platform, string id, int instances) => Eventually.GetAsync(
        $"{instances} instances of {id} are stable and alone", () => StatusAsync(platform, id),
        x => x["status"]?.GetValue<string>() == "STABLE" && Instances(x).Length == instances && Instances(x).All(i => i["status"]?.GetValue<string>() == "STABLE"));

    private static JsonNode[] Instances(JsonNode status) => [.. status["instances"]?.AsArray().Select(x => x!) ?? []];
    private static string IdOf(JsonNode instance) => instance["id"]!.GetValue<string>();
    private static JsonNode Endpoint(JsonNode instance, int container) => instance["containers"]![container]!["endpoints"]![0]!;

    private static int ServicePort(JsonNode status, int container) =>
        status["spec"]!["containers"]![container]!["endpoints"]![0]!["servicePort"]!.GetValue<int>();

    private static async Task<string> GetAsync(Uri uri)
    {
        using var http = new HttpClient();
        return await http.GetStringAsync(uri);
    }

    private static async Task<string[]> VolumesAsync(PlatformUnderTest platform) =>
        (await Command.DockerAsync("volume", "ls", "-q", "--filter", $"label=platform.node={platform.NodeName}")).Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static async Task GoneAsync(PlatformUnderTest platform, string id)
    {
        await Eventually.GetAsync($"{id} has no status any more", async () => (await platform.Api.GetAsync($"/v2/pods{id}::status")).Status, x => x == HttpStatusCode.NotFound);
        await Eventually.HoldsAsync("no container is left", async () => (await platform.ContainersAsync()).Length == 0);
        await Eventually.HoldsAsync("no volume is left", async () => (await VolumesAsync(platform)).Length == 0);
    }

    [DockerFact]
    public async Task Containers_of_a_pod_share_network_and_volume_and_are_found_scaled_updated_and_deleted()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await using var events = await EventStream.AttachAsync(platform.ApiPort);
        var posted = (await platform.Api.PostAsync("/v2/pods", TwoContainers("/shop/pod"))).Must(HttpStatusCode.Created);
        Assert.True(posted.Headers.Contains("Marathon-Deployment-Id"));
        var status = await StableAsync(platform, "/shop/pod", 1);
        var instance = Assert.Single(Instances(status));
        output.WriteLine(status.ToJsonString());

        // found by service port through the proxy, by host port, and by DNS
        Assert.Contains($"task    {IdOf(instance)}.web", await GetAsync(PlatformUnderTest.ServicePort(ServicePort(status, 0))));
        var addresses = (await platform.DigAsync("pod.shop.marathon.mesos", "A")).Data("A");
        var hostPort = Endpoint(instance, 0)["allocatedHostPort"]!.GetValue<int>();
        Assert.Contains("program rails", await GetAsync(new Uri($"http://{Assert.Single(addresses)}:{hostPort}/")));
        Assert.Contains($" {hostPort} ", Assert.Single((await platform.DigAsync("_http._pod-shop._tcp.marathon.mesos", "SRV")).Data("SRV")), StringComparison.Ordinal);
        Assert.True(Endpoint(instance, 0)["healthy"]!.GetValue<bool>());
        Assert.True(Endpoint(instance, 1)["healthy"]!.GetValue<bool>());

        // one network, one volume
        Assert.Contains("program rails", await GetAsync(PlatformUnderTest.ServicePort(ServicePort(status, 1), "/seen")));
        Assert.Contains($"note of {IdOf(instance)}.web blue", await GetAsync(PlatformUnderTest.ServicePort(ServicePort(status, 1), "/note")));

        // no app
        Assert.Empty(await platform.Api.AppIdsAsync());
        Assert.Empty((await platform.Api.GetAsync("/v2/tasks")).Json["tasks"]!.AsArray());

        // up, another version, down
        (await platform.Api.PutAsync("/v2/pods/shop/pod", TwoContainers("/shop/pod", 2))).Must(HttpStatusCode.OK);
        var two = Instances(await StableAsync(platform, "/shop/pod", 2)).Select(IdOf).ToArray();
        Assert.Contains(IdOf(instance), two);
        Assert.Equal(2, (await platform.DigAsync("_http._pod-shop._tcp.marathon.mesos", "SRV")).Data("SRV").Length);
        var green = TwoContainers("/shop/pod", 2).With("environment", new JsonObject { ["COLOUR"] = "green" });
        (await platform.Api.PutAsync("/v2/pods//shop/pod", green)).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("both are of the new version", async () =>
            Instances(await StableAsync(platform, "/shop/pod", 2)).All(x => !two.Contains(IdOf(x))));
        Assert.Contains("green", await GetAsync(PlatformUnderTest.ServicePort(ServicePort(status, 1), "/note")));
        (await platform.Api.PutAsync("/v2/pods/shop/pod", green.With("scaling", new JsonObject { ["kind"] = "fixed", ["instances"] = 1 }))).Must(HttpStatusCode.OK);
        await StableAsync(platform, "/shop/pod", 1);
        Assert.Equal(2, (await Eventually.GetAsync("one instance's containers are left", platform.ContainersAsync, x => x.Length == 2)).Length);
        Assert.Equal(4, (await platform.Api.GetAsync("/v2/pods/shop/pod::versions")).Json.AsArray().Count);

        var deleted = (await platform.Api.DeleteAsync("/v2/pods/shop/pod")).Must(HttpStatusCode.Accepted);
        Assert.Contains("/v2/deployments/", deleted.Headers.Location!.ToString(), StringComparison.Ordinal);
        await GoneAsync(platform, "/shop/pod");
        await events.UntilAsync("the pod's events", x => new[] { "pod_created_event", "pod_updated_event", "pod_deleted_event" }.All(t => x.Any(e => e.Type == t)));
    }

    [DockerTheory]
    [InlineData(0)] // the owner of the network
    [InlineData(1)]
    public async Task A_pod_is_made_anew_as_a_whole_when_one_container_is_killed(int victim)
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        (await platform.Api.PostAsync("/v2/pods", TwoContainers("/pod"))).Must(HttpStatusCode.Created);
        var first = Assert.Single(Instances(await StableAsync(platform, "/pod", 1)));
        var container = first["containers"]![victim]!;
        await Command.DockerAsync("kill", $"platform-{container["containerId"]!.GetValue<string>()}");

        await Eventually.HoldsAsync("another instance is stable", async () =>
            Instances(await StableAsync(platform, "/pod", 1)).All(x => IdOf(x) != IdOf(first)));
        var history = (await StatusAsync(platform, "/pod"))["terminationHistory"]!.AsArray();
        output.WriteLine(history.ToJsonString());
        var termination = Assert.Single(history)!;
        Assert.Equal(IdOf(first), termination["instanceID"]!.GetValue<string>());
        Assert.StartsWith($"Container '{container["name"]!.GetValue<string>()}' exited with status 137 (SIGKILL)", termination["message"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Equal(137, termination["containers"]![victim]!["termination"]!["exitCode"]!.GetValue<int>());
        await Eventually.GetAsync("only the new instance's containers are left", platform.ContainersAsync, x => x.Length == 2);
        Assert.Single(await VolumesAsync(platform));
    }

    [DockerFact]
    public async Task A_pod_goes_on_when_the_platform_is_killed_and_is_adopted_by_the_next()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        (await platform.Api.PostAsync("/v2/pods", TwoContainers("/pod", 2))).Must(HttpStatusCode.Created);
        var status = await StableAsync(platform, "/pod", 2);
        var containers = await platform.ContainersAsync();
        Assert.Equal(4, containers.Length);

        await platform.KillAsync();
        await platform.StartAgainAsync();

        Assert.Equal(Instances(status).Select(IdOf), Instances(await StableAsync(platform, "/pod", 2)).Select(IdOf));
        await Eventually.HoldsAsync("the proxy serves it again", async () =>
            (await GetAsync(PlatformUnderTest.ServicePort(ServicePort(status, 0)))).Contains("program rails", StringComparison.Ordinal));
        Assert.Equal(containers, await platform.ContainersAsync());
        (await platform.Api.DeleteAsync("/v2/pods/pod")).Must(HttpStatusCode.Accepted);
        await GoneAsync(platform, "/pod");
    }

    [DockerFact]
    public async Task Killed_in_the_midst_of_starting_pods_it_finishes_what_it_began()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        (await platform.Api.PostAsync("/v2/pods", TwoContainers("/pod", 4))).Must(HttpStatusCode.Created);
        await Eventually.HoldsAsync("some containers are made", async () => (await platform.ContainersAsync()).Length >= 3);
        await platform.KillAsync();
        await platform.StartAgainAsync();
        await StableAsync(platform, "/pod", 4);
        Assert.Equal(8, (await Eventually.GetAsync("two containers for each instance", platform.ContainersAsync, x => x.Length == 8)).Length);
    }

    [DockerFact]
    public async Task What_cannot_be_started_says_which_container_and_why_and_leaves_nothing()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        var broken = TwoContainers("/pod");
        broken["containers"]![1]!["exec"] = JsonNode.Parse("""{"command": {"argv": ["/no/such/program"]}, "overrideEntrypoint": true}""");
        (await platform.Api.PostAsync("/v2/pods", broken)).Must(HttpStatusCode.Created);
        var status = await Eventually.GetAsync("a start has failed", () => StatusAsync(platform, "/pod"), x => x["terminationHistory"] is JsonArray { Count: > 0 });
        Assert.StartsWith("Docker could not start the container 'side'", status["terminationHistory"]![0]!["message"]!.GetValue<string>(), StringComparison.Ordinal);
        (await platform.Api.SendAsync(HttpMethod.Delete, "/v2/pods/pod?force=true", null)).Must(HttpStatusCode.Accepted);
        await GoneAsync(platform, "/pod");
    }
}
