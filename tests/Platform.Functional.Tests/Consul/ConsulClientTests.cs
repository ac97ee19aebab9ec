using System.Globalization;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Consul;

/// <summary>Clients that were written for Consul, as their users have them. Each does the same at a real one, so that the script itself is known to be right.</summary>
public sealed class ConsulClientTests(ConsulWorld world) : IClassFixture<ConsulWorld>
{
    private static readonly TimeSpan ClientLimit = TimeSpan.FromSeconds(180);

    public static TheoryData<string> Both => ConsulWorld.Both;

    [Theory]
    [MemberData(nameof(Both))]
    public async Task Debians_python3_consul_does_its_work(string server)
    {
        var result = await Command.RunAsync("/usr/bin/python3", ClientLimit, [Script("consul_client.py"), Port(server), .. (string[])(server == "real" ? ["--real"] : [])]);
        Assert.Equal("done", result.Must("the client").Trim());
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task Npms_consul_does_its_work_and_watches(string server)
    {
        var modules = await Command.RunAsync("bash", TimeSpan.FromMinutes(5), "-c", $". '{Machine.Repository}/tests/lib/consul.sh'; ensure_consul_npm");
        var result = await Command.RunAsync("env", ClientLimit, $"NODE_PATH={modules.Must("npm install").Trim()}", "node", Script("consul_client.js"), Port(server));
        Assert.Equal("done", result.Must("the client").Trim());
    }

    /// <summary>Real PostgreSQL, replicated; its leader is elected by a lock at our door and replaced when it is gone.</summary>
    [Fact]
    public async Task Debians_patroni_elects_a_leader_and_another_when_it_dies()
    {
        await using var first = await PatroniMember.StartAsync("p1", world.Ours.KvPort);
        await using var second = await PatroniMember.StartAsync("p2", world.Ours.KvPort);
        var roles = await Eventually.GetAsync("one leads and one follows", first.RolesAsync, x => x is "p1 leader p2 replica" or "p1 replica p2 leader", 120);
        var (leader, follower) = roles.StartsWith("p1 leader", StringComparison.Ordinal) ? (first, second) : (second, first);
        await leader.SqlAsync("CREATE TABLE orders(id int)");
        await leader.SqlAsync("INSERT INTO orders VALUES (42)");
        await Eventually.GetAsync("it is replicated", async () => (await Command.RunAsync("psql", "-h", "127.0.0.1", "-p", $"{follower.PostgresPort}", "-U", "postgres", "-At", "-c", "SELECT id FROM orders")).Output.Trim(), x => x == "42");

        await leader.KillAsync();

        await Eventually.GetAsync("the other leads", follower.RolesAsync, x => x == $"{follower.Name} leader", 120);
        await Eventually.GetAsync("and takes writes", async () => (await Command.RunAsync("psql", "-h", "127.0.0.1", "-p", $"{follower.PostgresPort}", "-U", "postgres", "-At", "-c", "INSERT INTO orders VALUES (43) RETURNING id")).Output.Trim(), x => x.StartsWith("43", StringComparison.Ordinal), 60);
        Assert.Equal("42", await follower.SqlAsync("SELECT id FROM orders WHERE id = 42"));
    }

    private static string Script(string name) => Path.Combine(Machine.Repository, "tests", "clients", name);

    private string Port(string server) => (server == "real" ? world.Real.HttpPort : world.Ours.KvPort).ToString(CultureInfo.InvariantCulture);
}
