using System.Net;
using System.Text.Json.Nodes;
using Platform.Model;
using Platform.Scheduler.Api;

namespace Platform.Tests.Api;

internal sealed record StreamEvent(string? Id, string Type, JsonNode Data);

/// <summary>One client of /v2/events, reading line by line.</summary>
internal sealed class StreamReading : IAsyncDisposable
{
    private readonly HttpResponseMessage _response;
    private readonly Stream _stream;
    private readonly List<string> _lines = [];
    private string _rest = "";

    private StreamReading(HttpResponseMessage response, Stream stream) => (_response, _stream) = (response, stream);

    public static async Task<StreamReading> AttachAsync(ApiWorld world, string query = "", string? lastEventId = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v2/events" + query);
        request.Headers.Accept.ParseAdd("text/event-stream");
        if (lastEventId is not null) request.Headers.TryAddWithoutValidation("Last-Event-ID", lastEventId);
        var response = await world.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        return new StreamReading(response, await response.Content.ReadAsStreamAsync());
    }

    /// <summary>Everything up to and with the first event of this type (and, for tasks, of this status).</summary>
    public async Task<List<StreamEvent>> UntilAsync(string name)
    {
        var events = new List<StreamEvent>();
        while (true)
        {
            var e = await NextAsync();
            events.Add(e);
            if (NameOf(e) == name) return events;
        }
    }

    public static string NameOf(StreamEvent e) => e.Type == "status_update_event" ? $"{e.Data["taskStatus"]}" : e.Type;

    public async Task<StreamEvent> NextAsync()
    {
        string? id = null, type = null;
        JsonNode? data = null;
        while (true)
        {
            var line = await LineAsync() ?? throw new EndOfStreamException($"the stream ended after: {string.Join('\n', _lines)}");
            if (line.StartsWith("id: ", StringComparison.Ordinal)) id = line[4..];
            else if (line.StartsWith("event: ", StringComparison.Ordinal)) type = line[7..];
            else if (line.StartsWith("data: ", StringComparison.Ordinal)) data = JsonNode.Parse(line[6..]);
            else if (line.Length == 0 && type is not null) return new StreamEvent(id, type, data!);
        }
    }

    /// <summary>Lines end with CR LF, all of them; null at the end of the stream.</summary>
    public async Task<string?> LineAsync()
    {
        using var deadline = new CancellationTokenSource(Suite.Patience); // never reached when all is well
        var buffer = new byte[16 * 1024];
        int end;
        while ((end = _rest.IndexOf('\n', StringComparison.Ordinal)) < 0)
        {
            var count = await _stream.ReadAsync(buffer, deadline.Token);
            if (count == 0) return null;
            _rest += System.Text.Encoding.UTF8.GetString(buffer, 0, count);
        }
        Assert.Equal('\r', _rest[end - 1]);
        var line = _rest[..(end - 1)];
        _rest = _rest[(end + 1)..];
        _lines.Add(line);
        return line;
    }

    public async ValueTask DisposeAsync()
    {
        await _stream.DisposeAsync();
        _response.Dispose();
    }
}

/// <summary>GET /v2/events (contract 6.1) and the order of what it tells.</summary>
public sealed class EventStreamTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 600","cpus":0.1,"mem":32,"healthChecks":[{"protocol":"COMMAND","command":{"value":"true"}}]}""";

    [Fact]
    public async Task Creating_and_deleting_an_app_is_told_in_order()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var stream = await StreamReading.AttachAsync(world);
        Assert.Equal("event_stream_attached", (await stream.NextAsync()).Type);

        await world.CreateAsync(Web);
        var created = await stream.UntilAsync("deployment_success");
        Assert.Equal(
            ["api_post_event", "group_change_success", "add_health_check_event", "TASK_STAGING"],
            created.Select(StreamReading.NameOf).Where(n => n is "api_post_event" or "group_change_success" or "add_health_check_event" or "TASK_STAGING"));
        InOrder(created, "deployment_info", "deployment_step_success", "deployment_info", "TASK_RUNNING", "health_status_changed_event", "instance_health_changed_event", "deployment_step_success", "deployment_success");
        Assert.Equal("/shop", created.Single(e => e.Type == "group_change_success").Data["groupId"]!.GetValue<string>());
        Assert.Equal("/v2/apps", created[0].Data["uri"]!.GetValue<string>());
        Assert.Equal("127.0.0.1", created[0].Data["clientIp"]!.GetValue<string>());
        var revisions = created.Select(e => long.Parse(e.Id!.Split('.')[0], System.Globalization.CultureInfo.InvariantCulture)).ToList();
        Assert.Equal(revisions.Order(), revisions);
        Assert.Equal(world.State.Revision, revisions[^1]);

        await world.DeleteAsync("/v2/apps/shop/web");
        await world.SettleAsync();
        var deleted = await stream.UntilAsync("deployment_success");
        InOrder(deleted, "group_change_success", "remove_health_check_event", "deployment_info", "TASK_KILLING", "TASK_KILLED", "app_terminated_event", "deployment_step_success", "deployment_success");
        Assert.DoesNotContain(deleted, e => e.Type == "api_post_event");
        Assert.All(created.Concat(deleted), e => Assert.Equal(e.Type, e.Data["eventType"]!.GetValue<string>()));
    }

    [Fact]
    public async Task A_filter_lets_only_its_types_through()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var stream = await StreamReading.AttachAsync(world, "?event_type=deployment_success&event_type=api_post_event&event_type=nonsense");
        await world.CreateAsync(Web);
        Assert.Equal(["api_post_event", "deployment_success"], (await stream.UntilAsync("deployment_success")).Select(e => e.Type));
    }

    [Fact]
    public async Task A_refused_change_of_a_locked_app_is_told()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.PostAsync("/v2/apps", Web);
        await using var stream = await StreamReading.AttachAsync(world, "?event_type=group_change_failed");
        (await world.PutAsync("/v2/apps/shop/web", """{"instances":2}""")).Must(HttpStatusCode.Conflict);
        var told = await stream.NextAsync();
        Assert.Equal("/shop", told.Data["groupId"]!.GetValue<string>());
        Assert.StartsWith("App is locked by one or more deployments.", told.Data["reason"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Null(told.Id);
    }

    [Fact]
    public async Task A_change_that_is_not_valid_is_told_with_what_is_wrong()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await using var stream = await StreamReading.AttachAsync(world, "?event_type=group_change_failed");
        (await world.PostAsync("/v2/apps", """{"id":"/shop/bad","cmd":"sleep 1","upgradeStrategy":{"minimumHealthCapacity":2}}""")).Must(HttpStatusCode.UnprocessableEntity);
        var told = await stream.NextAsync();
        Assert.Equal("/shop", told.Data["groupId"]!.GetValue<string>());
        Assert.Equal("Object is not valid: /upgradeStrategy/minimumHealthCapacity is not between 0.0 and 1.0", told.Data["reason"]!.GetValue<string>());
    }

    [Fact]
    public async Task Coming_and_going_is_told_to_the_others()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await using var first = await StreamReading.AttachAsync(world);
        await first.NextAsync();
        await using (await StreamReading.AttachAsync(world))
        {
            Assert.Equal("event_stream_attached", (await first.NextAsync()).Type);
        }
        var left = await first.NextAsync();
        Assert.Equal("event_stream_detached", left.Type);
        Assert.Equal("127.0.0.1", left.Data["remoteAddress"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("*/*")]
    [InlineData(null)]
    public async Task Without_the_accept_header_it_is_405(string? accept)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        (await world.GetAsync("/v2/events", accept)).Must(HttpStatusCode.MethodNotAllowed);
    }

    [Fact]
    public async Task A_quiet_stream_beats()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await using var stream = await StreamReading.AttachAsync(world);
        await stream.NextAsync();
        Assert.Equal("", await world.PassTimeUntilAsync(stream.LineAsync()));
    }

    [Fact]
    public async Task One_follower_too_many_is_503()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { EventFollowersMax = 1 });
        await using var stream = await StreamReading.AttachAsync(world);
        (await world.GetAsync("/v2/events", "text/event-stream")).Must(HttpStatusCode.ServiceUnavailable);
    }

    [Fact]
    public async Task The_hub_closes_its_streams()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await using var stream = await StreamReading.AttachAsync(world);
        await stream.NextAsync();
        world.Hub.Close();
        await Assert.ThrowsAnyAsync<Exception>(async () => await stream.NextAsync());
    }

    [Fact]
    public async Task A_follower_that_lets_too_much_wait_is_cut_and_the_others_are_not()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var slow = new EventFollower("10.0.0.9", waitingMax: 3, attachedAt: 0);
        using var quick = new EventFollower("10.0.0.8", waitingMax: 3, attachedAt: 0);
        for (var i = 0; i < 4; i++)
        {
            var batch = new EventBatch(0, [ContractEvents.StreamAttached("10.0.0.7", ApiWorld.Start)]);
            slow.Enqueue(batch);
            quick.Enqueue(batch);
            Assert.True(quick.Waiting.TryRead(out _));
        }
        Assert.True(slow.IsCut.IsCancellationRequested);
        Assert.False(quick.IsCut.IsCancellationRequested);
    }

    private static void InOrder(List<StreamEvent> events, params string[] expected)
    {
        var names = events.Select(StreamReading.NameOf).ToList();
        var at = -1;
        foreach (var name in expected)
        {
            at = names.IndexOf(name, at + 1);
            Assert.True(at >= 0, $"{name} is missing, or not after those before it; seen: {string.Join(", ", names)}");
        }
    }
}
