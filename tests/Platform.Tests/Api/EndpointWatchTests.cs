using System.Diagnostics;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Model;
using Platform.Protocol;
using Platform.Scheduler.Api;

namespace Platform.Tests.Api;

/// <summary>/v2/endpoints: one look, a look that waits, and the stream.</summary>
public sealed class EndpointWatchTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 1000","instances":2,"ports":[0]}""";

    [Fact]
    public async Task A_look_shows_every_ready_instance_with_its_revision()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await world.CreateAsync("""{"id":"/other","cmd":"sleep 1000","instances":1,"ports":[]}""");
        var all = (await world.GetAsync("/v2/endpoints")).Must(HttpStatusCode.OK);
        Assert.Equal(["/other", "/shop/web"], all.Json["services"]!.AsArray().Select(s => s!["app"]!.GetValue<string>()));
        Assert.Equal(2, all.Json["services"]![1]!["endpoints"]!.AsArray().Count);
        Assert.Equal(["node1", "node2"], all.Json["nodes"]!.AsArray().Select(n => n!["node"]!.GetValue<string>()));
        Assert.Equal(world.State.ClusterId, all.Json["epoch"]!.GetValue<string>());
        Assert.Equal((world.State.ClusterId, all.Json["revision"]!.ToJsonString()), (all.Header("X-Platform-Epoch"), all.Header("X-Platform-Revision")));
        Assert.Equal(world.Endpoints.Feed.Current.Revision, all.Json["revision"]!.GetValue<long>());

        foreach (var filter in new[] { "app=/shop/web", "app=/shop", "app=shop/web&app=/nobody" })
            Assert.Equal(["/shop/web"], (await world.GetAsync($"/v2/endpoints?{filter}")).Must(HttpStatusCode.OK).Json["services"]!.AsArray().Select(s => s!["app"]!.GetValue<string>()));
    }

    [Fact]
    public async Task A_question_with_the_current_index_waits_for_the_next_change_of_what_it_asks_for()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await world.CreateAsync("""{"id":"/other","cmd":"sleep 1000","instances":1,"ports":[]}""");
        var index = world.Endpoints.Feed.Current.Revision;
        var any = world.GetAsync($"/v2/endpoints?index={index}");
        var web = world.GetAsync($"/v2/endpoints?index={index}&app=/shop/web");
        await ParkedAsync(world, 2);

        await world.EndAsync(world.InstancesOf("/other")[0], TerminalState.Failed, "gone");
        Assert.Empty((await any).Must(HttpStatusCode.OK).Json["services"]![0]!["endpoints"]!.AsArray());
        Assert.False(web.IsCompleted);
        await world.EndAsync(world.InstancesOf("/shop/web")[0], TerminalState.Failed, "gone");
        var changed = (await web).Must(HttpStatusCode.OK).Json;
        Assert.Single(changed["services"]![0]!["endpoints"]!.AsArray());
        Assert.True(changed["revision"]!.GetValue<long>() > index);
        Assert.Equal(0, world.Rest.Endpoints.Parked);
    }

    [Fact]
    public async Task Nothing_that_can_be_told_at_once_waits()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var now = world.Endpoints.Feed.Current.Revision;
        foreach (var query in new[] { "index=0", $"index={now - 1}", $"index={now + 1000}", $"index={now}&epoch=another", "index=1&app=/shop/web" })
            Assert.Equal(now, (await world.GetAsync($"/v2/endpoints?{query}")).Must(HttpStatusCode.OK).Json["revision"]!.GetValue<long>());
    }

    [Theory]
    [InlineData("30s", 32)]
    [InlineData("30", 32)]
    [InlineData("500ms", 1)]
    public async Task The_time_given_is_kept(string wait, int overAfterSeconds)
    {
        await using var world = await ApiWorld.StartAsync();
        var waiting = world.GetAsync($"/v2/endpoints?index={world.Endpoints.Feed.Current.Revision}&wait={wait}");
        await ParkedAsync(world, 1);
        Assert.False(waiting.IsCompleted);
        world.Clock.Advance(TimeSpan.FromSeconds(overAfterSeconds));
        Assert.Equal(world.Endpoints.Feed.Current.Revision, (await world.PassTimeUntilAsync(waiting)).Must(HttpStatusCode.OK).Json["revision"]!.GetValue<long>());
    }

    [Theory]
    [InlineData("index=x", "index")]
    [InlineData("index=-1", "index")]
    [InlineData("wait=soon", "wait")]
    [InlineData("app=/UPPER", "app")]
    [InlineData("index=x&wait=soon", "wait")]
    public async Task What_cannot_be_is_refused_with_every_reason(string query, string named)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        Assert.Contains(named, (await world.GetAsync($"/v2/endpoints?{query}")).Must(HttpStatusCode.BadRequest).Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task More_waiting_questions_than_allowed_are_turned_away_and_none_counts_as_a_request_at_work()
    {
        await using var world = await ApiWorld.StartAsync(options: new ApiOptions { EndpointsParkedMax = 2, ConcurrentRequestsMax = 1 });
        var index = world.Endpoints.Feed.Current.Revision;
        var waiting = new List<Task<Heard>>();
        for (var i = 1; i <= 2; i++)
        {
            waiting.Add(world.GetAsync($"/v2/endpoints?index={index}"));
            await ParkedAsync(world, i);
        }
        var turnedAway = (await world.GetAsync($"/v2/endpoints?index={index}")).Must(HttpStatusCode.ServiceUnavailable);
        Assert.Equal("5", turnedAway.Header("Retry-After"));
        Assert.Contains("More than 2", turnedAway.Body, StringComparison.Ordinal);
        await world.CreateAsync(Web);
        foreach (var answer in waiting) (await answer).Must(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_server_that_ends_answers_those_who_wait()
    {
        await using var world = await ApiWorld.StartAsync();
        var waiting = world.GetAsync($"/v2/endpoints?index={world.Endpoints.Feed.Current.Revision}");
        await ParkedAsync(world, 1);
        world.Rest.Endpoints.Close();
        (await waiting).Must(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_stream_begins_with_everything_and_goes_on_with_what_changes()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await using var stream = await Stream.FollowAsync(world);
        var first = await stream.NextAsync();
        Assert.True(first.Data["complete"]!.GetValue<bool>());
        Assert.Equal(2, first.Data["services"]![0]!["endpoints"]!.AsArray().Count);
        Assert.Equal(2, first.Data["nodes"]!.AsArray().Count);
        Assert.Equal($"{first.Data["epoch"]!.GetValue<string>()}:{first.Data["revision"]!.ToJsonString()}", first.Id);

        await world.EndAsync(world.InstancesOf("/shop/web")[0], TerminalState.Failed, "gone");
        var second = await stream.NextAsync();
        Assert.False(second.Data["complete"]!.GetValue<bool>());
        Assert.Single(second.Data["services"]![0]!["endpoints"]!.AsArray());
        Assert.Null(second.Data["nodes"]);

        (await world.DeleteAsync("/v2/apps/shop/web")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        JsonNode removed;
        while ((removed = (await stream.NextAsync()).Data)["removed"]!.AsArray().Count == 0) { }
        Assert.Equal("/shop/web", removed["removed"]![0]!.GetValue<string>());
    }

    [Fact]
    public async Task A_follower_that_comes_back_is_told_what_it_missed_and_nothing_else()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await world.CreateAsync("""{"id":"/other","cmd":"sleep 1000","instances":1,"ports":[]}""");
        string last;
        await using (var stream = await Stream.FollowAsync(world)) last = (await stream.NextAsync()).Id;
        await world.EndAsync(world.InstancesOf("/other")[0], TerminalState.Failed, "gone");
        await using (var again = await Stream.FollowAsync(world, last))
        {
            var missed = (await again.NextAsync()).Data;
            Assert.False(missed["complete"]!.GetValue<bool>());
            Assert.Equal("/other", Assert.Single(missed["services"]!.AsArray())!["app"]!.GetValue<string>());
        }
        await using var stranger = await Stream.FollowAsync(world, "another-cluster:3");
        Assert.True((await stranger.NextAsync()).Data["complete"]!.GetValue<bool>());
    }

    [Fact]
    public async Task The_stream_is_for_those_who_accept_one()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        Assert.Equal(HttpStatusCode.NotAcceptable, (await world.GetAsync("/v2/endpoints/events")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await world.GetAsync("/v2/endpoints/events?app=/UPPER", "text/event-stream")).Status);
    }

    [Fact]
    public async Task How_far_each_view_of_each_node_is_and_how_fast_is_told_and_measured()
    {
        await using var world = await ApiWorld.StartAsync();
        var node = NodeId.Parse("node1");
        world.Endpoints.Propagation.Connected(node);
        world.Endpoints.Propagation.Reported(node, Views(world, 0, TimeSpan.Zero)); // it knows what was before it came, and that is no measure
        await world.CreateAsync(Web);
        world.Clock.Advance(TimeSpan.FromMilliseconds(30));
        world.Endpoints.Propagation.Reported(node, Views(world, 1, TimeSpan.FromMilliseconds(10)));

        var answer = (await world.GetAsync("/v2/endpoints/revisions")).Must(HttpStatusCode.OK).Json;
        Assert.Equal(world.Endpoints.Feed.Current.Revision, answer["revision"]!.GetValue<long>());
        var dns = answer["nodes"]![0]!["views"]![0]!;
        Assert.Equal(("node1", "dns", true), (answer["nodes"]![0]!["node"]!.GetValue<string>(), dns["view"]!.GetValue<string>(), answer["nodes"]![0]!["connected"]!.GetValue<bool>()));
        Assert.Equal(world.Endpoints.Feed.Current.Revision - 1, dns["revision"]!.GetValue<long>());
        Assert.Equal(0.02, dns["propagationSeconds"]!["p99"]!.GetValue<double>(), 3);

        var metrics = (await world.GetAsync("/metrics")).Json["timers"]!;
        Assert.Equal(0.02, metrics["platform.propagation.by-view.timer.seconds{node=node1,view=files}"]!["p50"]!.GetValue<double>(), 3);
        Assert.True(metrics["platform.propagation.timer.seconds"]!["count"]!.GetValue<int>() >= 2);
        var text = (await world.GetAsync("/metrics/prometheus", "text/plain")).Body.Split('\n');
        Assert.Contains(text, l => l.StartsWith("platform_propagation_by_view_timer_seconds{node=\"node1\",view=\"dns\",quantile=\"0.99\"} 0.02", StringComparison.Ordinal));
        Assert.Single(text, "# TYPE platform_propagation_by_view_timer_seconds summary");

        world.Endpoints.Propagation.Disconnected(node);
        Assert.False((await world.GetAsync("/v2/endpoints/revisions")).Json["nodes"]![0]!["connected"]!.GetValue<bool>());
    }

    private static EquatableArray<ViewServed> Views(ApiWorld world, int behind, TimeSpan ago) =>
        [new("dns", world.Endpoints.Feed.Current.Revision - behind, ago), new("files", world.Endpoints.Feed.Current.Revision - behind, ago)];

    private static async Task ParkedAsync(ApiWorld world, int count)
    {
        for (var since = Stopwatch.StartNew(); world.Rest.Endpoints.Parked < count; await Task.Yield())
            Assert.True(since.Elapsed < TimeSpan.FromSeconds(60), $"{world.Rest.Endpoints.Parked} wait, {count} should");
    }

    private sealed class Stream(HttpResponseMessage response, StreamReader reader) : IAsyncDisposable
    {
        public static async Task<Stream> FollowAsync(ApiWorld world, string? lastEventId = null)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/v2/endpoints/events");
            request.Headers.Accept.ParseAdd("text/event-stream");
            if (lastEventId is not null) request.Headers.Add("Last-Event-ID", lastEventId);
            var response = await world.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
            response.EnsureSuccessStatusCode();
            return new Stream(response, new StreamReader(await response.Content.ReadAsStreamAsync()));
        }

        public async Task<(string Id, JsonNode Data)> NextAsync()
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            for (var id = ""; await reader.ReadLineAsync(patience.Token) is { } line;)
                if (line.StartsWith("id: ", StringComparison.Ordinal)) id = line[4..];
                else if (line.StartsWith("data: ", StringComparison.Ordinal)) return (id, JsonNode.Parse(line[6..])!);
            throw new InvalidOperationException("the stream has ended");
        }

        public ValueTask DisposeAsync()
        {
            reader.Dispose();
            response.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
