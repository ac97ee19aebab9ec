using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Platform.Scheduler.Api;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>Contract 1.2: every refusal has its status and its JSON, and leaves nothing behind.</summary>
public sealed class RefusalTests
{
    [Fact]
    public async Task Refusals_read_as_the_contract_has_them()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, settings: new SchedulerSettings { DeploymentsMax = 2 });
        await world.PostAsync("/v2/apps", """{"id":"/taken","cmd":"sleep 1"}""");
        var stored = await world.StoredAsync();
        var transcript = new Transcript(world);
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":""");
        await transcript.NoteAsync("POST", "/v2/apps", "");
        await transcript.NoteAsync("PUT", "/v2/apps/x", "  ");
        await transcript.NoteAsync("POST", "/v2/apps", "[]");
        await transcript.NoteAsync("POST", "/v2/apps", """{"cmd":"sleep 1"}""");
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":7,"instances":"many"}""");
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":"/bad","cmd":"sleep 9","instances":-1,"upgradeStrategy":{"minimumHealthCapacity":1.5}}""");
        await transcript.NoteAsync("PUT", "/v2/apps/UPPER", """{"cmd":"sleep 9"}""");
        await transcript.NoteAsync("PUT", "/v2/apps/bad/tasks", """{"cmd":"sleep 9"}""");
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":"/taken","cmd":"sleep 1"}""");
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":"/taken/below","cmd":"sleep 1"}""");
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":"/loop","cmd":"sleep 1","dependencies":["/loop2"]}""");
        await transcript.NoteAsync("PUT", "/v2/apps", """[{"id":"/loop3","cmd":"sleep 1","dependencies":["/loop4"]},{"id":"/loop4","cmd":"sleep 1","dependencies":["/loop3"]}]""");
        await transcript.NoteAsync("POST", "/v2/apps", """{"id":"/third","cmd":"sleep 1"}""");
        await transcript.NoteAsync("PUT", "/v2/apps/taken", """{"instances":3}""");
        await transcript.NoteAsync("PUT", "/v2/apps/taken?force=perhaps", """{"instances":3}""");
        await transcript.NoteAsync("DELETE", "/v2/apps/taken/tasks?scale=true&wipe=true");
        await transcript.NoteAsync("POST", "/v2/tasks/delete", """{"ids":["nonsense"]}""");
        await transcript.NoteAsync("POST", "/v2/tasks/delete", """{"ids":[1]}""");
        await transcript.NoteAsync("POST", "/v2/tasks/delete", """{"ids":"x"}""");
        await transcript.NoteAsync("POST", "/v2/tasks/delete", """{}""");
        await transcript.NoteAsync("POST", "/v2/tasks/delete", """[]""");
        await transcript.NoteAsync("GET", "/v2/nonsense");
        await transcript.NoteAsync("GET", "/nowhere");
        await transcript.NoteAsync("PUT", "/v2/info", "{}");
        await transcript.NoteAsync("POST", "/v2/apps/taken", "{}");
        await transcript.NoteAsync("GET", "/v2/events");
        transcript.Check("refusals");

        // One of them was none: /loop is waiting for an app that does not exist, which the contract allows.
        Assert.Equal(["/loop", "/taken"], (await world.StoredAsync()).Apps.Keys.Select(k => k.Path));
        Assert.Equal(stored.Apps.Values.Single().Definition, (await world.StoredAsync()).Apps.Values.Last().Definition);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("text/plain")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("nonsense")]
    public async Task Any_content_type_is_taken(string? contentType)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        (await world.SendAsync(HttpMethod.Post, "/v2/apps", """{"id":"/any","cmd":"sleep 1"}""", contentType: contentType)).Must(HttpStatusCode.Created);
    }

    [Theory]
    [InlineData(5 * 1024 * 1024, false)]
    [InlineData(5 * 1024 * 1024, true)]
    [InlineData(1024 * 1024 + 1, false)]
    public async Task A_body_too_large_is_413_in_json_however_it_is_sent(int bytes, bool chunked)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v2/apps") { Content = new ByteArrayContent(Encoding.UTF8.GetBytes("{\"id\":\"/big\",\"cmd\":\"" + new string('a', bytes) + "\"}")) };
        request.Headers.TransferEncodingChunked = chunked;
        using var response = await world.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        using var body = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal("The body is larger than 1048576 bytes", body.RootElement.GetProperty("message").GetString());
        Assert.Empty((await world.StoredAsync()).Apps);
        (await world.GetAsync("/ping")).Must(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Whoever_asks_before_sending_too_much_is_told_before_it()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, world.Http.BaseAddress!.Port);
        await using var stream = client.GetStream();
        await stream.WriteAsync("POST /v2/apps HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n"u8.ToArray());
        using var reader = new StreamReader(stream);
        Assert.StartsWith("HTTP/1.1 413", await reader.ReadLineAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Each_app_of_an_array_may_be_as_long_as_one_and_no_longer()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        static string App(string id, int bytes) => $$"""{"id":"{{id}}","instances":0,"cmd":"{{new string('a', bytes)}}"}""";
        (await world.PutAsync("/v2/apps", $"[{App("/a", 60_000)},{App("/b", 60_000)}]")).Must(HttpStatusCode.OK);
        (await world.PutAsync("/v2/apps", $"[{App("/c", 10)},{App("/d", 1024 * 1024)}]")).Must(HttpStatusCode.RequestEntityTooLarge);
        Assert.Equal(["/a", "/b"], (await world.StoredAsync()).Apps.Keys.Select(k => k.Path));
    }

    [Fact]
    public async Task An_array_has_its_bound()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { AppsPerBodyMax = 2 });
        (await world.PutAsync("/v2/apps", "[1,2,3]")).Must(HttpStatusCode.RequestEntityTooLarge);
    }

    [Fact]
    public async Task A_log_that_takes_nothing_is_503_and_nothing_has_happened()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { DecisionMax = TimeSpan.FromDays(40) }); // the clock outruns the loop here
        world.Log.Refuses = true;
        var refused = (await world.PostAsync("/v2/apps", """{"id":"/a","cmd":"sleep 1"}""")).Must(HttpStatusCode.ServiceUnavailable);
        Assert.Equal("1", refused.Header("Retry-After"));
        Assert.Equal("The disk is full", refused.Json["message"]!.GetValue<string>());
        Assert.Empty((await world.GetAsync("/v2/apps")).Must(HttpStatusCode.OK).Json["apps"]!.AsArray());
        world.Log.Refuses = false;
        (await world.PassTimeUntilAsync(world.PostAsync("/v2/apps", """{"id":"/a","cmd":"sleep 1"}"""))).Must(HttpStatusCode.Created);
    }

    [Fact]
    public async Task Who_waits_too_long_for_a_decision_is_answered_503()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.StopLoopAsync();
        var refused = (await world.PassTimeUntilAsync(world.PostAsync("/v2/apps", """{"id":"/a","cmd":"sleep 1"}"""))).Must(HttpStatusCode.ServiceUnavailable);
        Assert.Equal("1", refused.Header("Retry-After"));
        (await world.GetAsync("/v2/apps")).Must(HttpStatusCode.OK); // reading needs no decision
    }

    [Fact]
    public async Task A_locked_app_gives_way_to_force()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var first = (await world.PostAsync("/v2/apps", """{"id":"/locked","cmd":"sleep 1"}""")).Header("Marathon-Deployment-Id");
        var refused = (await world.PutAsync("/v2/apps/locked", """{"instances":2}""")).Must(HttpStatusCode.Conflict);
        Assert.Equal(first, refused.Json["deployments"]![0]!["id"]!.GetValue<string>());
        (await world.PostAsync("/v2/apps/locked/restart")).Must(HttpStatusCode.Conflict);
        Assert.Equal(1, (await world.StoredAsync()).Apps.Values.Single().Definition.Instances);
        (await world.PutAsync("/v2/apps/locked?force=true", """{"instances":2}""")).Must(HttpStatusCode.OK);
        (await world.DeleteAsync("/v2/apps/locked?force=false")).Must(HttpStatusCode.Conflict);
        (await world.DeleteAsync("/v2/apps/locked")).Must(HttpStatusCode.OK); // force is the default here
    }
}
