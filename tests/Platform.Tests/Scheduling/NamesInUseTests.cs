using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Scheduling;

/// <summary>Names that could not be, or could not be told apart, are refused when the app is created, with path and reason.</summary>
public sealed class NamesInUseTests
{
    private static readonly string Long = new('a', 40);

    [Theory]
    [InlineData("/c-a/b", "/id: its name in DNS, b-c-a.marathon.mesos, is that of /a/b-c already")]
    [InlineData("/b-c-a", "/id: its name in DNS, b-c-a.marathon.mesos, is that of /a/b-c already")]
    [InlineData("/revision", "/id: its name in DNS, revision.marathon.mesos, is one of the zone's own")]
    [InlineData("/x.y/z", "/id: the name of its group /x.y in DNS, x.y in marathon.mesos, is that of the group /y/x already")]
    public void A_name_that_is_taken_is_refused(string id, string problem)
    {
        var world = World.With();
        world.Accept(Write("/a/b-c"));
        world.Accept(Write("/y/x/w"));
        Assert.Equal([problem], Problems(world, Write(id)));
        Assert.Null(world.State.App(AppId.Parse(id)));
    }

    [Fact]
    public void A_name_that_is_too_long_for_a_label_is_refused()
    {
        var world = World.With();
        Assert.Equal([$"/id: makes a DNS label of 63 characters, {new string('b', 22)}-{Long}; 62 are possible"], Problems(world, Write($"/{Long}/{new string('b', 22)}")));
        world.Accept(Write($"/{Long}/{new string('b', 21)}"));
    }

    [Fact]
    public void All_apps_of_one_body_are_told_at_once_and_each_other()
    {
        var world = World.With();
        var write = new Command.WriteApps([new AppWrite(null, Body("/p/q-r")), new AppWrite(null, Body("/r-p/q")), new AppWrite(null, Body("/revision"))], Partial: true, MayCreate: true, Force: false)
        {
            Origin = ChangeOrigin.Internal,
        };
        Assert.Equal(3, Problems(world, write).Length);
        Assert.Empty(world.State.Apps);
    }

    [Fact]
    public void Ports_whose_names_are_one_in_dns_are_refused()
    {
        var world = World.With();
        var ports = new[] { "http", "HTTP", "a.b", "a-b", "port0", new string('n', 63) }.Select(x => new PortDefinition(0, "tcp", x, EquatableMap.Empty)).ToEquatableArray();
        Assert.Equal(
        [
            "/portDefinitions(1)/name: 'HTTP' is the name of port 0 in DNS", "/portDefinitions(3)/name: 'a-b' is the name of port 2 in DNS",
            "/portDefinitions(4)/name: 'port0' is the name of port 0 in DNS",
            "/portDefinitions(5)/name: must not be longer than 62 characters: it is a label in DNS",
        ], Problems(world, Write(World.Definition("/ports") with { PortDefinitions = ports })));
    }

    [Fact]
    public void Where_the_domain_is_the_zone_its_own_names_are_reserved()
    {
        var world = World.With(settings: new SchedulerSettings { Domain = "cluster" });
        foreach (var id in new[] { "/leader", "/master", "/master3", "/slave/web", "/ns1", "/all", "/containerip/x", "/group" }) Assert.Single(Problems(world, Write(id)));
        world.Accept(Write("/web/slave"));
        world.Accept(Write("/masters"));
    }

    [Fact]
    public void An_app_that_is_there_may_be_changed_whatever_its_name()
    {
        // As a log from before there was this rule would have it.
        var world = World.With(settings: new SchedulerSettings { Domain = "marathon.mesos" });
        world.Accept(Write("/a/b-c"));
        world.Accept(Write(World.Definition("/a/b-c", instances: 3)));
        Assert.Equal(3, world.State.App(AppId.Parse("/a/b-c"))!.Definition.Instances);
    }

    private static System.Text.Json.JsonElement Body(string id) => World.Json(World.Definition(id));

    private static Command Write(string id) => Write(World.Definition(id));

    private static Command Write(AppDefinition app) =>
        new Command.WriteApps([new AppWrite(app.Id, World.Json(app))], Partial: true, MayCreate: true, Force: true) { Origin = ChangeOrigin.Internal };

    private static string[] Problems(World world, Command command) =>
        [.. Assert.IsType<Decision.Refused>(Decider.Decide(world.State, command, world.Settings, world.Now)).Rejection.Details.Select(x => $"{x.Path}: {x.Reason}")];
}
