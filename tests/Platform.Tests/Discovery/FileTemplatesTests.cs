using Microsoft.Extensions.Logging.Abstractions;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;

namespace Platform.Tests.Discovery;

/// <summary>Files of the user's own form: what they say, what is done after a change, and what a mistake leaves in place.</summary>
public sealed class FileTemplatesTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("platform-templates-").FullName;

    public void Dispose() => Directory.Delete(_home, recursive: true);

    private const string Haproxy = """
        {%- for app in apps -%}
        {%- for port in app.ports -%}
        backend {{ port.backend }}
        {%- for server in port.servers %}
            server {{ server.id }} {{ server.at }} # {{ server.node }}
        {%- endfor %}
        {% endfor -%}
        {%- endfor -%}
        # {{ node }} {{ domain }} {{ nodes | size }} nodes, team {{ apps | map: "labels" | map: "team" | join: "" }}
        """;

    [Fact]
    public async Task A_template_of_the_node_sees_every_app() =>
        GoldenFile.Check("files/template.txt", System.Text.Encoding.UTF8.GetString(
            await LiquidText.Parse(Haproxy).RenderAsync(TemplateModel.Of(World.Assorted().Snapshot, "marathon.mesos", "node-1"))));

    [Fact]
    public async Task A_file_follows_the_table_and_its_command_runs_after_each_change_of_it_alone()
    {
        var world = new World().App("/web", World.Port(0, 10080)).Up("/web", 1, "n", "10.0.0.1", null, World.At(0, 31000));
        var template = Template("{% for a in apps %}{{ a.name }}={{ a.ports[0].servers[0].at }};{% endfor %}") with { Command = ["sh", "-c", $"cat {Destination} >> {At("told")}; echo >> {At("told")}"] };
        await using var running = Running.Start(world, template);
        await world.ServedAsync(FileTemplates.ViewName);
        Assert.Equal("web=10.0.0.1:31000;", File.ReadAllText(Destination));
        Assert.Equal("web=10.0.0.1:31000;\n", File.ReadAllText(At("told"))); // by the time the view says so, it has been told

        world.Node("n", "10.0.0.1"); // a change that the file does not show
        await world.ServedAsync(FileTemplates.ViewName);
        world.Up("/web", 1, "n", "10.0.0.1", null, World.At(0, 31007));
        await world.ServedAsync(FileTemplates.ViewName);
        Assert.Equal("web=10.0.0.1:31000;\nweb=10.0.0.1:31007;\n", File.ReadAllText(At("told")));
        Assert.Equal(["destination", "source", "told"], Files());
    }

    [Fact]
    public async Task One_file_for_each_app_comes_and_goes_with_it_also_across_a_restart()
    {
        var world = new World().App("/shop/web", World.Port(0, 10080)).App("/shop/db").App("/other");
        var template = Template("{{ app.id }} {{ app.dns }}") with { Destination = At("of-{app}.conf"), Within = AppId.Parse("/shop") };
        await using (Running.Start(world, template, At("memory"))) await world.ServedAsync(FileTemplates.ViewName);
        Assert.Equal(["memory", "of-shop_db.conf", "of-shop_web.conf", "source"], Files());
        Assert.Equal("/shop/web web-shop.marathon.mesos", File.ReadAllText(At("of-shop_web.conf")));
        File.WriteAllText(At("of-shop_strangers.conf"), "");

        world = new World().App("/shop/web").App("/other");
        await using (Running.Start(world, template, At("memory"))) await world.ServedAsync(FileTemplates.ViewName);
        Assert.Equal(["memory", "of-shop_strangers.conf", "of-shop_web.conf", "source"], Files());
    }

    [Theory]
    [InlineData("{% for a in apps %}")] // never ended
    [InlineData("{{ apps | nosuchfilter }}")]
    [InlineData("{% nosuchtag %}")]
    [InlineData("{% for i in (1..1000000000) %}x{% endfor %}")]
    [InlineData("{% assign s = 'x' %}{% for i in (1..100) %}{% assign s = s | append: s %}{% endfor %}")]
    public async Task A_broken_template_keeps_the_old_file_and_the_node_says_so_until_it_is_mended(string broken)
    {
        var world = new World().App("/web");
        var template = Template("good {{ apps.size }}");
        await using var running = Running.Start(world, template);
        await world.ServedAsync(FileTemplates.ViewName);

        Write(broken);
        var problem = await ProblemAsync(world, x => x is not null);
        Assert.EndsWith("the file is as it was", problem, StringComparison.Ordinal);
        world.App("/other");
        await world.ServedAsync(FileTemplates.ViewName); // what cannot be made must not hold the cluster's drains up
        Assert.Equal("good 1", File.ReadAllText(Destination));

        Write("mended {{ apps.size }}");
        await ProblemAsync(world, x => x is null);
        Assert.Equal("mended 2", File.ReadAllText(Destination));
        Assert.Equal(["destination", "source"], Files());
    }

    [Fact]
    public async Task A_file_that_its_check_refuses_does_not_take_the_old_ones_place()
    {
        var world = new World().App("/web");
        var template = Template("{% for a in apps %}{{ a.name }} {% endfor %}") with { Check = ["sh", "-c", "! grep -q evil \"$0\" || { echo this is evil >&2; exit 3; }", "{file}"] };
        await using var running = Running.Start(world, template);
        await world.ServedAsync(FileTemplates.ViewName);
        world.App("/evil");
        await world.ServedAsync(FileTemplates.ViewName);
        Assert.Equal("web ", File.ReadAllText(Destination));
        Assert.Contains("ended with 3: this is evil", await ProblemAsync(world, x => x is not null), StringComparison.Ordinal);
        world.Gone("/evil").App("/good");
        await world.ServedAsync(FileTemplates.ViewName);
        Assert.Equal("good web ", File.ReadAllText(Destination));
        Assert.Empty(world.Views.Current.Problems);
        Assert.Equal(["destination", "source"], Files());
    }

    [Fact]
    public async Task A_command_that_fails_is_told_and_run_again_until_it_works()
    {
        var world = new World().App("/web");
        var template = Template("{{ apps.size }}") with { Command = ["sh", "-c", $"echo >> {At("tries")}; test -f {At("allowed")}"] };
        await using var running = Running.Start(world, template);
        await world.ServedAsync(FileTemplates.ViewName);
        Assert.Contains("ended with 1", await ProblemAsync(world, x => x is not null, "command after "), StringComparison.Ordinal);
        Assert.Equal("1", File.ReadAllText(Destination));
        File.WriteAllText(At("allowed"), "");
        await ProblemAsync(world, x => x is null, "command after ");
        Assert.True(File.ReadAllText(At("tries")).Length >= 2);
    }

    [Fact]
    public async Task A_command_that_does_not_end_is_killed_and_told()
    {
        var world = new World().App("/web");
        var template = Template("x") with { Command = ["sleep", "1000"], Patience = TimeSpan.FromMilliseconds(200) };
        await using var running = Running.Start(world, template);
        await world.ServedAsync(FileTemplates.ViewName);
        Assert.Contains("was killed", await ProblemAsync(world, x => x is not null, "command after "), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_process_is_sent_its_signal_after_a_change()
    {
        using var listener = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(
            "sh", ["-c", $"trap 'touch {At("heard")}; exit' USR1; echo $$ > {At("pid.new")}; mv {At("pid.new")} {At("pid")}; while :; do sleep 0.05; done"]))!;
        try
        {
            await UntilAsync(() => File.Exists(At("pid")), "the listener has not started");
            var world = new World().App("/web");
            await using var running = Running.Start(world, Template("x") with { Signal = 10, PidFile = At("pid") });
            await world.ServedAsync(FileTemplates.ViewName);
            await UntilAsync(() => File.Exists(At("heard")), "the listener has not heard");
            Assert.Empty(world.Views.Current.Problems);
        }
        finally
        {
            listener.Kill();
        }
    }

    [Fact]
    public async Task Commands_of_the_same_words_run_once_for_all_that_changed()
    {
        var world = new World().App("/web");
        EquatableArray<string> command = ["sh", "-c", $"echo >> {At("told")}"];
        var one = Template("{{ apps.size }}") with { Command = command };
        await using var running = Running.Start(world, one, null, one with { Destination = At("second") });
        await world.ServedAsync(FileTemplates.ViewName);
        Assert.Equal("\n", File.ReadAllText(At("told")));
    }

    [Fact]
    public void A_configuration_is_read_whole_or_refused_with_every_reason()
    {
        Write("x");
        File.WriteAllText(At("good.json"), """
            // with comments, as people write them
            {"directory": "/run/x", "mode": "0640", "templates": [
              {"source": "source", "destination": "/etc/x.cfg", "check": ["true", "{file}"], "command": ["systemctl", "reload", "x"], "patienceSeconds": 5, "owner": "root:root"},
              {"source": "source", "destination": "/etc/x.d/{app}.cfg", "app": "/shop", "signal": "SIGHUP", "pidFile": "/run/x.pid"}]}
            """);
        var otherwise = new EndpointFilesOptions { Directory = "/d", Domain = "x.y", Node = "n" };
        var (options, problems) = EndpointFilesConfig.Read(otherwise, At("good.json"));
        Assert.Empty(problems);
        Assert.Equal(("/run/x", "x.y", "n"), (options.Directory, options.Domain, options.Node));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead, options.Rights.Mode);
        Assert.Equal(
            [
                new FileTemplate(At("source"), "/etc/x.cfg")
                {
                    Check = ["true", "{file}"], Command = ["systemctl", "reload", "x"], Patience = TimeSpan.FromSeconds(5), Rights = FileRights.Default with { Owner = (0, 0) },
                },
                new FileTemplate(At("source"), "/etc/x.d/{app}.cfg") { Within = AppId.Parse("/shop"), Signal = 1, PidFile = "/run/x.pid" },
            ], options.Templates);

        File.WriteAllText(At("bad.json"), """
            {"directry": 1, "directory": "relative", "mode": "999", "owner": "nobody-of-this-machine", "templates": [
              {"source": "nowhere", "destination": "relative", "app": "/a", "command": "systemctl reload x", "signal": "SIGNOTHING", "patienceSeconds": -1, "mode": "0044"},
              {"destination": 5}, 7,
              {"source": "source", "destination": "/x", "command": ["a"], "signal": "HUP", "pidFile": "/p"}, {"source": "source", "destination": "/x", "signal": "HUP"}]}
            """);
        GoldenFile.Check("files/bad-config.txt", string.Join('\n', EndpointFilesConfig.Read(otherwise, At("bad.json")).Problems).Replace(_home, "HOME", StringComparison.Ordinal));
        Assert.Single(EndpointFilesConfig.Read(otherwise, At("nowhere.json")).Problems);
    }

    private string Destination => At("destination");

    private string At(string name) => Path.Combine(_home, name);

    private string[] Files() => [.. Directory.EnumerateFiles(_home).Select(Path.GetFileName).Order(StringComparer.Ordinal)!];

    private FileTemplate Template(string text)
    {
        Write(text);
        return new FileTemplate(At("source"), Destination) { Patience = TimeSpan.FromSeconds(60) };
    }

    private DateTime _writtenAt = DateTime.UtcNow.AddHours(-1);

    /// <summary>Each later than the one before, also where the file system's clock is coarse.</summary>
    private void Write(string text)
    {
        File.WriteAllText(At("source.new"), text);
        File.SetLastWriteTimeUtc(At("source.new"), _writtenAt += TimeSpan.FromSeconds(10));
        File.Move(At("source.new"), At("source"), overwrite: true);
    }

    private async Task<string?> ProblemAsync(World world, Func<string?, bool> fits, string prefix = "")
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        for (var state = world.Views.Current; ; state = await world.Views.ChangedAsync(state, patience.Token))
            if (state.Problems.GetValueOrDefault((FileTemplates.ViewName, prefix + Destination)) is var problem && fits(problem)) return problem;
    }

    private static async Task UntilAsync(Func<bool> holds, string otherwise)
    {
        for (var deadline = DateTime.UtcNow.AddSeconds(60); !holds(); await Task.Delay(10)) Assert.True(DateTime.UtcNow < deadline, otherwise);
    }

    private sealed class Running : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stopping = new();
        private Task _running = Task.CompletedTask;

        public static Running Start(World world, FileTemplate template, string? memory = null, params FileTemplate[] more)
        {
            var running = new Running();
            var options = new EndpointFilesOptions { Directory = "/nowhere", Node = "n", Templates = [template, .. more], TemplateMemory = memory };
            var templates = new FileTemplates(world.Feed, world.Views, options, NullLoggerFactory.Instance);
            running._running = Task.Run(() => templates.RunAsync(running._stopping.Token));
            return running;
        }

        public async ValueTask DisposeAsync()
        {
            await _stopping.CancelAsync();
            await _running;
            _stopping.Dispose();
        }
    }
}
