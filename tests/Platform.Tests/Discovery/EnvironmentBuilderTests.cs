using Platform.Discovery;
using Platform.Model;

namespace Platform.Tests.Discovery;

public sealed class EnvironmentBuilderTests
{
    private static readonly AppVersion Version = new(new DateTimeOffset(2015, 2, 3, 12, 30, 0, TimeSpan.Zero));

    private static readonly Service[] Services =
    [
        Service("/shop/eu-1/cart", Port(0, 10001, "http"), Port(1, 10002, "admin-api")),
        Service("/shop/eu-1/stock", Port(0, 10003, null)),
        Service("/mail", Port(0, 10004, null)),
        Service("/quiet"),
    ];

    private static readonly Service Cache = Service("/cache", Port(0, 10005, "redis")) with { Labels = Map(("HAPROXY_0_MODE", "tcp")) };

    [Fact]
    public void A_docker_app_in_bridge_mode_gets_everything_the_contract_lists() => Check("docker-bridge", new AppDefinition
    {
        Id = AppId.Parse("/prod/web"),
        Version = Version,
        Network = NetworkMode.Bridge,
        Resources = new Resources(0.1, 256, 0),
        Labels = Map(("team", "Blue"), ("a.b-c", "x"), ("HAPROXY_0_VHOST", "web.example.com"), ("long", new string('x', 512)), (new string('k', 512), "v")),
        Container = new Container
        {
            Type = ContainerType.Docker,
            Image = "nginx:1.9",
            PortMappings =
            [
                new PortMapping(80, 0, 10010, "tcp", "http-api", EquatableMap.Empty),
                new PortMapping(0, 0, 10011, "udp", null, EquatableMap.Empty),
                new PortMapping(9000, null, 10012, "tcp", "debug", EquatableMap.Empty),
                new PortMapping(0, null, 10013, "tcp", null, EquatableMap.Empty),
            ],
        },
    }, 31005, 31006, 0, 0);

    [Fact]
    public void A_process_app_in_host_mode_is_told_its_ports_by_number_and_name() => Check("process-host", new AppDefinition
    {
        Id = AppId.Parse("/worker"),
        Version = Version,
        Cmd = "exec ./worker",
        Resources = new Resources(10, 1024.5, 100),
        PortDefinitions = [new PortDefinition(10020, "tcp", "main", EquatableMap.Empty), new PortDefinition(0, "udp", null, EquatableMap.Empty)],
    }, 31007, 31008);

    [Fact]
    public void Without_declared_ports_there_are_no_port_variables() =>
        Check("no-ports", new AppDefinition { Id = AppId.Parse("/batch"), Version = Version, Cmd = "true" });

    [Fact]
    public void The_users_own_variables_win_over_every_other() => Check("user-wins", new AppDefinition
    {
        Id = AppId.Parse("/batch"),
        Version = Version,
        Dependencies = [AppId.Parse("/mail")],
        PortDefinitions = [new PortDefinition(10020, "tcp", null, EquatableMap.Empty)],
        Env = Map(("PORT", "8080"), ("HOST", "me"), ("MAIL_SERVICE_PORT", "25"), ("MESOS_TASK_ID", "mine"), ("OWN", "$PORT0")),
    }, 31009);

    [Fact]
    public void Dependencies_give_stable_service_addresses_and_a_group_gives_all_its_apps() => Check("dependencies", new AppDefinition
    {
        Id = AppId.Parse("/shop/web"),
        Version = Version,
        Dependencies = [AppId.Parse("/shop/eu-1"), AppId.Parse("/quiet"), AppId.Parse("/unknown")],
    });

    [Fact]
    public void A_label_asks_for_all_services() => Check("all-services", new AppDefinition
    {
        Id = AppId.Parse("/console"),
        Version = Version,
        Labels = Map((EnvironmentBuilder.ServicesLabel, "all")),
    });

    [Fact]
    public void A_label_asks_for_dependencies_as_dotnet_reads_them() => Check("dotnet", new AppDefinition
    {
        Id = AppId.Parse("/shop/web"),
        Version = Version,
        Dependencies = [AppId.Parse("/shop/eu-1"), AppId.Parse("/cache")],
        Labels = Map((EnvironmentBuilder.DotnetLabel, "true")),
    });

    [Fact]
    public void The_lookup_over_an_endpoint_table_finds_apps_groups_and_the_root()
    {
        var table = new EndpointTable();
        table.Apply(new EndpointUpdate("c", 0, 1, true, Services.Select(EndpointChange (s) => new EndpointChange.ServiceSet(s)).ToEquatableArray()));
        var within = EnvironmentBuilder.ServicesOf(table.Current);

        Assert.Equal(["/mail"], within(AppId.Parse("/mail")).Select(x => x.App.Path));
        Assert.Equal(["/shop/eu-1/cart", "/shop/eu-1/stock"], within(AppId.Parse("/shop")).Select(x => x.App.Path));
        Assert.Equal(4, within(AppId.Root).Count());
        Assert.Empty(within(AppId.Parse("/sho")));
    }

    private static void Check(string golden, AppDefinition app, params int[] hostPorts)
    {
        var id = InstanceId.Derive("test-cluster", app.Id, 7);
        var env = EnvironmentBuilder.Build(app, id, NodeId.Parse("node-1"), "10.1.2.3", [.. hostPorts], g => Services.Concat(g.IsRoot ? [] : [Cache]).Where(s => s.App.IsWithin(g)));
        GoldenFile.Check($"env/{golden}.env", string.Join('\n', env.Select(x => $"{x.Key}={x.Value}")));
    }

    private static EquatableMap Map(params (string Key, string Value)[] items) => EquatableMap.From(items.Select(x => KeyValuePair.Create(x.Key, x.Value)));

    private static Service Service(string app, params ServicePort[] ports) => new() { App = AppId.Parse(app), Version = Version, Ports = [.. ports] };

    private static ServicePort Port(int index, int port, string? name) => new(index, port, "tcp", name, false, EquatableMap.Empty);
}
