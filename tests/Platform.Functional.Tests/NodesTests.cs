using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;
using Xunit.Abstractions;

namespace Platform.Functional.Tests;

/// <summary>One scheduler and nodes on other machines, each with its own network: names, traffic and tasks across them, and what they survive.</summary>
public sealed class NodesTests(ITestOutputHelper output)
{
    private const int Port = 10042;
    private const string Name = "web.shop.marathon.mesos";

    [DockerAndRootFact]
    public async Task Three_nodes_share_an_app_and_each_finds_and_calls_all_of_it()
    {
        await using var cluster = await ClusterUnderTest.StartAsync(3);
        await cluster.Api.CreateAsync(ClusterUnderTest.Web("/shop/web", 3, Port).With("constraints", new JsonArray(new JsonArray("hostname", "UNIQUE"))));
        await cluster.Api.ReadyAsync("/shop/web");
        var tasks = await cluster.Api.TasksAsync("/shop/web");
        Assert.Equal(cluster.Nodes.Select(n => n.Name), tasks.Select(t => t.Host).Order());

        foreach (var node in cluster.Nodes)
        {
            await Eventually.HoldsAsync($"{node.Name} names every instance", async () =>
                (await node.DigAsync(Name, "A")).Data("A").SequenceEqual(cluster.Nodes.Select(n => n.Address)));
            Assert.Equal(3, (await node.DigAsync("_web.shop._tcp.marathon.mesos", "SRV")).Data("SRV").Length);
            Assert.Equal(tasks.Select(t => InstanceOf(t.Id)).Order(), KeysOf(await node.GetAsync("8500/v1/kv/platform/services/shop/web/?keys")));
            await node.AnsweredByAsync(Port, [.. tasks.Select(t => t.Id)]);
        }

        var first = await cluster.NodeAsync(cluster.Nodes[0].Name);
        Assert.Equal(("ready", true, "r1", "z1", "linux", cluster.Nodes[0].Address), (
            first["state"]!.GetValue<string>(), first["connected"]!.GetValue<bool>(), first["attributes"]!["rack"]!.GetValue<string>(), first["attributes"]!["zone"]!.GetValue<string>(),
            first["attributes"]!["os"]!.GetValue<string>(), first["address"]!.GetValue<string>()));
        await AnswersToStrangersAsync(cluster);
    }

    /// <summary>Who comes with a token that is used, forged, or with none, is told why it may not.</summary>
    private static async Task AnswersToStrangersAsync(ClusterUnderTest cluster)
    {
        var used = cluster.Nodes[0].Process.Environment["PLATFORM_TOKEN"];
        foreach (var (token, why) in ((string?, string)[])[(used, $"was used by node {cluster.Nodes[0].Name}"), (used[..^1] + (used[^1] == '0' ? '1' : '0'), "the secret is not that of join token"), (null, "has not joined yet")])
        {
            await using var stranger = cluster.NodeOn(4, token, "stranger");
            var (code, said) = await stranger.Process.RefusedAsync();
            Assert.Contains(why, said, StringComparison.Ordinal);
            Assert.Equal(token is null ? 23 : 24, code);
            File.Delete(stranger.Process.LogPath);
        }
    }

    [DockerAndRootFact]
    public async Task Rollouts_and_drains_of_nodes_fail_no_request_through_another_nodes_proxy()
    {
        await using var cluster = await ClusterUnderTest.StartAsync(3);
        await cluster.Api.CreateAsync(ClusterUnderTest.Web("/shop/web", 3, Port));
        await cluster.Api.ReadyAsync("/shop/web");
        var (first, second) = (cluster.Nodes[0], cluster.Nodes[1]);
        await Eventually.HoldsAsync("the service port is open", async () => await first.TryCallAsync(Port) is not null);

        await using var load = Load.Start(first.ServicePort(Port));
        for (var release = 1; release <= 3; release++)
        {
            var env = new JsonObject { ["RELEASE"] = release.ToString(CultureInfo.InvariantCulture) };
            (await cluster.Api.PutAsync("/v2/apps/shop/web", new JsonObject { ["env"] = env })).Must(HttpStatusCode.OK);
            await cluster.Api.ReadyAsync("/shop/web", 120);
            await load.MoreAnsweredAsync(50);
        }
        foreach (var node in (NodeUnderTest[])[second, first]) // the second time its own proxy goes on serving
        {
            (await cluster.AskNodeAsync(node.Name, "drain")).Must(HttpStatusCode.Accepted);
            await cluster.StateAsync(node.Name, "drained");
            await cluster.Api.ReadyAsync("/shop/web");
            Assert.DoesNotContain(await cluster.Api.TasksAsync("/shop/web"), t => t.Host == node.Name);
            await load.MoreAnsweredAsync(50);
            (await cluster.AskNodeAsync(node.Name, "resume")).Must(HttpStatusCode.OK);
        }
        var result = await load.StopAsync();
        output.WriteLine($"{result}");
        Assert.Empty(result.Failed);

        await RemovedForGoodAsync(cluster, cluster.Nodes[2]);
    }

    private static async Task RemovedForGoodAsync(ClusterUnderTest cluster, NodeUnderTest node)
    {
        Assert.Equal(HttpStatusCode.Conflict, (await cluster.Api.DeleteAsync($"/v2/nodes/{node.Name}")).Status);
        (await cluster.AskNodeAsync(node.Name, "drain?deadline=60")).Must(HttpStatusCode.Accepted);
        await cluster.StateAsync(node.Name, "drained");
        (await cluster.Api.DeleteAsync($"/v2/nodes/{node.Name}")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync("the removed node is told so", () => Task.FromResult(node.Process.Log().Contains("was removed", StringComparison.Ordinal)));
        Assert.Equal(HttpStatusCode.NotFound, (await cluster.Api.GetAsync($"/v2/nodes/{node.Name}")).Status);
        Assert.DoesNotContain(node.Address, (await cluster.Nodes[0].DigAsync("slave.mesos", "A")).Data("A"));
    }

    [DockerAndRootFact]
    public async Task Killed_agents_and_a_killed_scheduler_stop_no_task_and_nodes_serve_on()
    {
        await using var cluster = await ClusterUnderTest.StartAsync(2, ("--node-certificate-lifetime", "20"));
        await cluster.Api.CreateAsync(ClusterUnderTest.Web("/shop/web", 2, Port).With("constraints", new JsonArray(new JsonArray("hostname", "UNIQUE"))));
        await cluster.Api.ReadyAsync("/shop/web");
        var before = (await cluster.Api.TasksAsync("/shop/web")).Select(t => t.Id).Order().ToList();
        var (first, second) = (cluster.Nodes[0], cluster.Nodes[1]);

        await second.Process.KillAsync();
        await first.AnsweredByAsync(Port, before); // the task of a killed agent among them
        await second.Process.StartAsync();
        Assert.Equal(before, (await cluster.Api.ReadyTasksAsync("/shop/web")).Select(t => t.Id).Order());

        await cluster.Scheduler.KillAsync();
        foreach (var node in cluster.Nodes)
        {
            Assert.Equal(2, (await node.DigAsync(Name, "A")).Data("A").Length);
            await node.AnsweredByAsync(Port, before);
        }
        await Eventually.HoldsAsync("its disk has what it knows", () => Task.FromResult(before.TrueForAll(t => second.TableOnDisk().Contains(InstanceOf(t), StringComparison.Ordinal))));
        await second.Process.KillAsync(); // and its own restart changes nothing either
        var from = second.Process.Log().Length;
        var starting = second.Process.StartAsync();
        await Eventually.HoldsAsync("a node that starts without a scheduler serves", async () => second.Process.Log(from).Contains("admin ", StringComparison.Ordinal) && await second.TryCallAsync(Port) is not null, 60);
        await second.AnsweredByAsync(Port, before);
        await cluster.Scheduler.StartAsync();
        await starting;
        Assert.Equal(before, (await cluster.Api.ReadyTasksAsync("/shop/web")).Select(t => t.Id).Order());
        await Eventually.HoldsAsync("certificates were renewed in time", () => Task.FromResult(cluster.Nodes.All(n => n.Process.Log().Contains("certificate is renewed", StringComparison.Ordinal))), 60);
    }

    [DockerAndRootFact]
    public async Task A_node_that_is_cut_off_is_replaced_and_what_it_still_runs_is_stopped_on_its_return()
    {
        await using var cluster = await ClusterUnderTest.StartAsync(3);
        await cluster.Api.CreateAsync(ClusterUnderTest.Web("/shop/web", 2, Port).With("unreachableStrategy", new JsonObject { ["inactiveAfterSeconds"] = 0, ["expungeAfterSeconds"] = 0 }));
        await cluster.Api.ReadyAsync("/shop/web");
        var lost = cluster.Nodes.First(n => n.Name == cluster.Api.TasksAsync("/shop/web").Result[0].Host);
        var machine = cluster.Nodes.ToList().IndexOf(lost) + 1;
        var other = cluster.Nodes.First(n => n != lost);

        await cluster.Machines.CutAsync(machine, cut: true);
        var clock = Stopwatch.StartNew();
        await cluster.StateAsync(lost.Name, "lost");
        output.WriteLine($"lost after {clock.Elapsed.TotalSeconds:F1} s");
        var now = await cluster.Api.ReadyTasksAsync("/shop/web");
        output.WriteLine($"replaced after {clock.Elapsed.TotalSeconds:F1} s");
        Assert.DoesNotContain(now, t => t.Host == lost.Name);
        // A node that is gone does not hold up the drain of others' tasks.
        (await cluster.Api.PutAsync("/v2/apps/shop/web", new JsonObject { ["env"] = new JsonObject { ["RELEASE"] = "2" } })).Must(HttpStatusCode.OK);
        await cluster.Api.ReadyAsync("/shop/web", 45);
        Assert.DoesNotContain(lost.Address, (await other.DigAsync(Name, "A")).Data("A"));

        await cluster.Machines.CutAsync(machine, cut: false);
        await cluster.StateAsync(lost.Name, "ready");
        await Eventually.GetAsync("the surplus is stopped", async () => (await ServersOnAsync(cluster, machine)).Length, x => x == 0, 60);
        Assert.Equal(2, (await cluster.Api.ReadyTasksAsync("/shop/web")).Length);
        await Eventually.HoldsAsync("it serves the table again", async () => (await lost.DigAsync(Name, "A")).Data("A").Length > 0);
    }

    /// <summary>The processes of the app on a machine that is to have none of it.</summary>
    private static async Task<string[]> ServersOnAsync(ClusterUnderTest cluster, int machine)
    {
        if ((await cluster.Api.TasksAsync("/shop/web")).Any(t => t.Host == cluster.NameOf(machine))) return [];
        var pids = (await Command.RunAsync("ip", "netns", "pids", Path.GetFileName(cluster.Machines.NamespaceOf(machine)))).Must("ip netns pids").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return [.. pids.Where(pid => File.Exists($"/proc/{pid}/cmdline") && File.ReadAllText($"/proc/{pid}/cmdline").Contains("httpd", StringComparison.Ordinal))];
    }

    private static string InstanceOf(string task) => task[..task.IndexOf("._app", StringComparison.Ordinal)];

    private static IEnumerable<string> KeysOf(string kv) => JsonNode.Parse(kv)!.AsArray().Select(x => x!.GetValue<string>().Split('/')[^1]).Where(x => x.Length > 0).Order();
}
