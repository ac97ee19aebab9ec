using System.Globalization;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>The way from one machine to two, as README tells it.</summary>
public sealed class GrowingTests : IDisposable
{
    private const int Port = 10043;
    private readonly string _home = Directory.CreateTempSubdirectory("platform-ft-").FullName;

    public void Dispose() => Directory.Delete(_home, recursive: true);

    [DockerAndRootFact]
    public async Task A_machine_that_ran_alone_is_joined_by_another_and_its_task_runs_on()
    {
        await using var machines = await Machines.MakeAsync(2);
        var flags = FlagsOf(machines, 1);
        flags["--api"] = $"{machines.AddressOf(1)}:8080";
        flags["--service-ports"] = "10000-10100";
        await using var first = new PlatformProcess("up", Path.Combine(_home, "m1"), flags, machines.NamespaceOf(1));
        await first.StartAsync();
        using var api = new MarathonApi(new Uri($"http://{machines.AddressOf(1)}:8080"));
        await api.CreateAsync(ClusterUnderTest.Web("/shop/web", 1, Port));
        var before = Assert.Single(await api.ReadyTasksAsync("/shop/web")).Id;

        Assert.Equal(0, await first.TerminateAsync());
        flags["--link"] = $"{machines.AddressOf(1)}:8090";
        await first.StartAsync();
        Assert.Equal(before, Assert.Single(await api.ReadyTasksAsync("/shop/web")).Id);

        var join = FlagsOf(machines, 2);
        join["--join"] = machines.AddressOf(1); // the usual port
        await using var second = new PlatformProcess("node", Path.Combine(_home, "m2"), join, machines.NamespaceOf(2));
        second.Environment["PLATFORM_TOKEN"] = (await Command.RunAsync(Machine.Program, "node", "token", "--api", $"{machines.AddressOf(1)}:8080", "--ttl", "5m")).Must("platform node token").Trim();
        await second.StartAsync();
        await using var node = new NodeUnderTest(join["--node-name"], machines.AddressOf(2), join["--data"], second);
        await node.AnsweredByAsync(Port, [before]);

        (await api.PutAsync("/v2/apps/shop/web", new JsonObject { ["instances"] = 2 })).Must(System.Net.HttpStatusCode.OK);
        var after = await api.ReadyTasksAsync("/shop/web");
        Assert.Equal([flags["--node-name"], join["--node-name"]], after.Select(t => t.Host).Order());
        Assert.Contains(after, t => t.Id == before);
        await node.AnsweredByAsync(Port, [.. after.Select(t => t.Id)]);
        Assert.Equal([machines.AddressOf(1)], (await node.DigAsync("leader.mesos", "A")).Data("A"));
    }

    private Dictionary<string, string> FlagsOf(Machines machines, int machine)
    {
        var address = machines.AddressOf(machine);
        return new Dictionary<string, string>
        {
            ["--data"] = Path.Combine(_home, $"m{machine}", "data"), ["--node-name"] = string.Create(CultureInfo.InvariantCulture, $"ft-{Environment.ProcessId}-g{machine}"),
            ["--dns"] = $"{address}:53", ["--kv"] = $"{address}:8500", ["--edge"] = $"{address}:80", ["--admin"] = $"{address}:9090", ["--insecure"] = "true",
            ["--runtime"] = "process", ["--task-ports"] = "31000-31100",
        };
    }
}
