using CsCheck;
using Platform.Model;

namespace Platform.Tests.Model;

public sealed class ServicePortsTests
{
    private static readonly IReadOnlySet<int> None = new HashSet<int>();

    [Fact]
    public void Zeros_take_the_lowest_free_numbers() => Assert.Equal([10_000, 9_000, 10_002], Assign(Host(0, 9_000, 0), null, new HashSet<int> { 10_001 }));

    [Fact]
    public void Posting_the_same_file_again_keeps_the_numbers() =>
        Assert.Equal([10_007, 10_003], Assign(Host(0, 0), Host(10_007, 10_003), new HashSet<int> { 10_003, 10_007 }));

    [Fact]
    public void Numbers_that_the_new_definition_names_are_not_given_again() =>
        Assert.Equal([10_003, 10_000, 10_001], Assign(Host(10_003, 0, 0), Host(10_003), None));

    [Fact]
    public void Old_numbers_outside_the_range_are_let_go() => Assert.Equal([10_000], Assign(Host(0), Host(3_000), None));

    [Fact]
    public void Explicit_numbers_are_taken_as_they_are() => Assert.Equal([9_000], Assign(Host(9_000), null, new HashSet<int> { 9_000 }));

    [Fact]
    public void Mappings_have_service_ports_too()
    {
        var app = Bridge(0, 10_000, 0);
        Assert.Equal([10_001, 10_000, 10_002], Assign(app, null, None));
        Assert.Equal([10_005], Assign(Host(0), Bridge(10_005), None)); // and keep them when the network's mode changes
    }

    [Fact]
    public void Under_require_ports_zero_means_any_host_port_and_stays() =>
        Assert.Equal([0, 8_080], Assign(Host(0, 8_080) with { RequirePorts = true }, null, None));

    [Fact]
    public void A_full_range_is_a_problem()
    {
        Assert.False(ServicePorts.TryAssign(Host(0, 0, 0), null, new HashSet<int> { 10_000 }, 10_000, 10_002, out var assigned, out var problem));
        Assert.Null(assigned);
        Assert.Equal(new Problem("/portDefinitions", "All ports in the range [10000-10003) are already in use"), problem);
    }

    [Fact]
    public void Assigned_numbers_are_free_in_range_and_different() =>
        Gen.Select(Gen.Int[0, 1].Array[0, 6], Gen.Int[9_998, 10_006].Array[0, 6], Gen.Int[10_000, 10_008].Array[0, 5]).Sample((zeros, previous, others) =>
        {
            var next = Host([.. zeros.Select((x, i) => x * (10_000 + i))]);
            var used = new HashSet<int>(others.Concat(previous));
            if (!ServicePorts.TryAssign(next, Host([.. previous.Distinct()]), used, 10_000, 10_010, out var assigned, out _)) return;
            var ports = assigned.PortDefinitions.Select(x => x.Port).ToList();
            Assert.Equal(ports.Count, ports.Distinct().Count());
            for (var i = 0; i < zeros.Length; i++)
            {
                if (zeros[i] != 0) Assert.Equal(next.PortDefinitions[i].Port, ports[i]);
                else Assert.True(ports[i] is >= 10_000 and <= 10_010 && (previous.Contains(ports[i]) || !others.Contains(ports[i])), $"{ports[i]}");
            }
            Assert.True(ServicePorts.TryAssign(next, assigned, used, 10_000, 10_010, out var again, out _));
            Assert.False(AppChange.ConfigChanged(assigned, again));
        }, iter: 1_000);

    private static IEnumerable<int> Assign(AppDefinition next, AppDefinition? previous, IReadOnlySet<int> used)
    {
        Assert.True(ServicePorts.TryAssign(next, previous, used, 10_000, 20_000, out var assigned, out var problem), problem?.Reason);
        return assigned.Ports.Select(x => x.ServicePort);
    }

    private static AppDefinition Host(params int[] ports) =>
        new()
        {
            Id = AppId.Parse("/x"),
            Cmd = "true",
            PortDefinitions = ports.Select(x => new PortDefinition(x, "tcp", null, EquatableMap.Empty)).ToEquatableArray(),
        };

    private static AppDefinition Bridge(params int[] ports) => new()
    {
        Id = AppId.Parse("/x"),
        Network = NetworkMode.Bridge,
        Container = new Container
        {
            Image = "i",
            PortMappings = ports.Select((x, i) => new PortMapping(80 + i, 0, x, "tcp", null, EquatableMap.Empty)).ToEquatableArray(),
        },
    };
}
