using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduler.Api;

namespace Platform.Tests.Api;

/// <summary>/metrics, /logging, /config, /v2/leader, /v2/plugins, and offers in the queue (contract 1.8, 1.9).</summary>
public sealed class OperationsTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 600","cpus":0.1,"mem":32}""";

    [Fact]
    public async Task Metrics_count_what_happens()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await world.PostAsync("/v2/apps", """{"id":"/big","cmd":"sleep 1","cpus":1000}""");
        await world.GetAsync("/v2/apps/none");
        await world.AdvanceAsync(10);
        var metrics = (await world.GetAsync("/metrics")).Must(HttpStatusCode.OK).Json;
        Assert.Equal(["version", "gauges", "counters", "histograms", "meters", "timers"], metrics.AsObject().Select(m => m.Key));
        Assert.Equal(2, Gauge("marathon.apps.active.gauge"));
        Assert.Equal(2, Gauge("marathon.groups.active.gauge")); // the root and /shop
        Assert.Equal(1, Gauge("marathon.deployments.active.gauge"));
        Assert.Equal(1, Gauge("marathon.instances.running.gauge"));
        Assert.Equal(1, Gauge("platform.queue.waiting.gauge"));
        Assert.Equal(2, Gauge("platform.nodes.active.gauge"));
        Assert.Equal(10, Gauge("marathon.uptime.gauge.seconds"));
        Assert.Equal(world.State.Revision, Gauge("platform.log.revision.gauge"));
        Assert.Equal(2, Counter("marathon.deployments.counter"));
        Assert.Equal(1, Counter("platform.instances.launched.counter"));
        Assert.True(Counter("marathon.http.requests.size.counter.bytes") > Web.Length);
        Assert.True(Counter("marathon.http.responses.size.counter.bytes") > 0);
        Assert.Equal(1, metrics["meters"]!["marathon.http.responses.4xx.rate"]!["count"]!.GetValue<int>());
        Assert.Equal(0.2 * (11.0 / 12), metrics["meters"]!["marathon.http.responses.4xx.rate"]!["m1_rate"]!.GetValue<double>(), 2); // one in 5 s, and 5 s without
        Assert.Equal(2, metrics["timers"]!["marathon.http.requests.post.duration.timer.seconds"]!["count"]!.GetValue<int>());
        Assert.Equal(2, metrics["timers"]!["platform.decisions.duration.timer.seconds"]!["count"]!.GetValue<int>());

        double Gauge(string name) => metrics["gauges"]![name]!["value"]!.GetValue<double>();
        long Counter(string name) => metrics["counters"]![name]!["count"]!.GetValue<long>();
    }

    [Fact]
    public async Task Prometheus_reads_the_same_figures()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var answer = (await world.GetAsync("/metrics/prometheus", "text/plain")).Must(HttpStatusCode.OK);
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", answer.Header("Content-Type"));
        var lines = answer.Body.TrimEnd('\n').Split('\n');
        var typed = new HashSet<string>();
        foreach (var line in lines)
            if (line.StartsWith("# TYPE ", StringComparison.Ordinal)) Assert.True(typed.Add(line.Split(' ')[2]), line);
            else
            {
                Assert.Matches(@"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{quantile=""0\.\d+""\})? -?[0-9.E+-]+$", line);
                Assert.Contains(typed, t => line.StartsWith(t, StringComparison.Ordinal));
                Assert.True(double.IsFinite(double.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture)));
            }
        Assert.Contains("marathon_apps_active_gauge 1", lines);
        Assert.Contains("marathon_http_requests_post_duration_timer_seconds_count 1", lines);
    }

    [Fact]
    public async Task A_level_is_changed_for_good_or_for_a_while()
    {
        var clock = new FakeTimeProvider(ApiWorld.Start);
        using var levels = new LogLevels(clock);
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { LogLevels = levels });
        Assert.False(levels.IsEnabled("Platform.Scheduler.SchedulerLoop", LogLevel.Debug));
        Assert.False(levels.IsEnabled("Microsoft.AspNetCore.Hosting", LogLevel.Information));
        var before = await LevelsAsync();
        Assert.Equal("INFO", before["ROOT"]!.GetValue<string>());
        Assert.Equal("INFO (inherited)", before["Platform.Scheduler.SchedulerLoop"]!.GetValue<string>());
        Assert.Equal("WARN (inherited)", before["Microsoft.AspNetCore.Hosting"]!.GetValue<string>());

        var echo = (await world.PostAsync("/logging", """{"logger":"Platform.Scheduler","level":"debug","durationSeconds":30}""")).Must(HttpStatusCode.OK);
        Assert.Equal("""{"logger":"Platform.Scheduler","level":"debug","durationSeconds":30}""", echo.Body);
        Assert.True(levels.IsEnabled("Platform.Scheduler.SchedulerLoop", LogLevel.Debug));
        Assert.Equal("DEBUG", (await LevelsAsync())["Platform.Scheduler"]!.GetValue<string>());
        await world.PostAsync("/logging", """{"logger":"Platform.Scheduler","level":"TRACE","durationSeconds":30}""");
        Assert.True(levels.IsEnabled("Platform.Scheduler.SchedulerLoop", LogLevel.Trace));
        clock.Advance(TimeSpan.FromSeconds(31));
        Assert.False(levels.IsEnabled("Platform.Scheduler.SchedulerLoop", LogLevel.Debug));
        Assert.Null((await LevelsAsync())["Platform.Scheduler"]);

        (await world.PostAsync("/logging", """{"logger":"root","level":"off"}""")).Must(HttpStatusCode.OK);
        clock.Advance(TimeSpan.FromDays(1));
        Assert.False(levels.IsEnabled("Platform.Scheduler.SchedulerLoop", LogLevel.Critical));
        Assert.True(levels.IsEnabled("Grpc.Net", LogLevel.Warning)); // it has a level of its own

        async Task<JsonNode> LevelsAsync() => (await world.GetAsync("/logging")).Must(HttpStatusCode.OK).Json;
    }

    [Fact]
    public async Task A_change_of_level_that_cannot_be_is_refused_with_all_that_is_wrong()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var refused = (await world.PostAsync("/logging", """{"level":"loud","durationSeconds":0}""")).Must(HttpStatusCode.UnprocessableEntity);
        Assert.Equal(["/durationSeconds", "/level", "/logger"], refused.Json["details"]!.AsArray().Select(d => d!["path"]!.GetValue<string>()).Order(StringComparer.Ordinal));
        // Found by the fuzz: no timer lasts 68 years. And what is kept for each name has an end.
        (await world.PostAsync("/logging", """{"logger":"platform","level":"debug","durationSeconds":2147483647}""")).Must(HttpStatusCode.UnprocessableEntity);
        (await world.PostAsync("/logging", $$"""{"logger":"{{new string('a', 256)}}","level":"debug"}""")).Must(HttpStatusCode.UnprocessableEntity);
        (await world.PostAsync("/logging", "{")).Must(HttpStatusCode.BadRequest);
        (await world.PostAsync("/logging", "[]")).Must(HttpStatusCode.UnprocessableEntity);
    }

    [Fact]
    public async Task The_configuration_is_told()
    {
        var options = new ApiOptions { Configuration = EquatableMap.Empty.With("api", "127.0.0.1:8080").With("http-credentials", "set, and not shown") };
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: options);
        Assert.Equal("""{"api":"127.0.0.1:8080","http-credentials":"set, and not shown"}""", (await world.GetAsync("/config")).Must(HttpStatusCode.OK).Body);
    }

    [Fact]
    public async Task Abdicating_is_answered_first_and_asked_for_once()
    {
        var asked = 0;
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { Abdicate = () => asked++ });
        foreach (var word in (string[])["backup", "restore"])
            Assert.Contains(word, (await world.DeleteAsync($"/v2/leader?{word}=file:///x.tar")).Must(HttpStatusCode.UnprocessableEntity).Json["message"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Equal(0, asked);
        Assert.Equal("""{"message":"Leadership abdicated"}""", (await world.DeleteAsync("/v2/leader")).Must(HttpStatusCode.OK).Body);
        Assert.Equal(1, asked);
    }

    [Fact]
    public async Task There_are_no_plugins()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        Assert.Equal("""{"plugins":[]}""", (await world.GetAsync("/v2/plugins")).Must(HttpStatusCode.OK).Body);
        foreach (var method in (string[])["GET", "HEAD", "POST", "PUT", "DELETE"])
        {
            var answer = (await world.SendAsync(new HttpMethod(method), "/v2/plugins/some/path/in/it", null)).Must(HttpStatusCode.NotFound);
            if (method != "HEAD") Assert.Equal("No plugin with this pluginId: some", answer.Json["message"]!.GetValue<string>());
        }
    }

    [Fact]
    public async Task Who_waits_tells_what_it_was_offered()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 1);
        await world.CreateAsync("""{"id":"/takes","cmd":"sleep 1","cpus":1,"mem":96,"ports":[0,0]}""");
        await world.PostAsync("/v2/apps", """{"id":"/big","cmd":"sleep 1","cpus":100,"instances":5}""");
        var transcript = new Transcript(world);
        await transcript.NoteAsync("GET", "/v2/queue?embed=lastUnusedOffers");
        transcript.Check("queue-offers");
        Assert.Null((await world.GetAsync("/v2/queue")).Json["queue"]![0]!["lastUnusedOffers"]);
    }

    [Fact]
    public async Task Info_tells_no_secrets_and_what_is_true()
    {
        Assert.True(HttpCredentials.TryParse("admin:hidden", out var credentials));
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { Credentials = credentials, PublicAddress = "scheduler.example:8080" });
        world.Http.DefaultRequestHeaders.Authorization = new("Basic", Convert.ToBase64String("admin:hidden"u8));
        var info = (await world.GetAsync("/v2/info")).Must(HttpStatusCode.OK);
        Assert.DoesNotContain("hidden", info.Body, StringComparison.Ordinal);
        Assert.Equal(["task_killing", "secrets"], info.Json["marathon_config"]!["features"]!.AsArray().Select(f => f!.GetValue<string>()));
        Assert.Equal("http://scheduler.example:8080/ui/", info.Json["marathon_config"]!["webui_url"]!.GetValue<string>());
        Assert.Equal(world.Http.BaseAddress!.Port, info.Json["http_config"]!["http_port"]!.GetValue<int>());
        Assert.Equal("http_callback", info.Json["event_subscriber"]!["type"]!.GetValue<string>());
    }
}
