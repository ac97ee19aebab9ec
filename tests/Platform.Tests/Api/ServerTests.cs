using System.Net;
using Platform.Scheduler.Api;

namespace Platform.Tests.Api;

/// <summary>Headers, methods, and what the server says of itself (contract 1.1, 1.9).</summary>
public sealed class ServerTests
{
    [Theory]
    [InlineData("GET", "/v2/apps")]
    [InlineData("GET", "/v2/apps/none")]
    [InlineData("GET", "/nowhere")]
    [InlineData("POST", "/v2/apps")]
    [InlineData("GET", "/ping")]
    public async Task Every_answer_carries_the_common_headers(string method, string path)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var answer = await world.SendAsync(new HttpMethod(method), path, method == "POST" ? "{" : null);
        Assert.True(answer.Headers.CacheControl is { NoCache: true, NoStore: true, MustRevalidate: true });
        Assert.Equal("no-cache", answer.Header("Pragma"));
        Assert.Equal("0", answer.Header("Expires"));
        Assert.Equal($"http://{world.Authority}", answer.Header("X-Marathon-Leader"));
        Assert.Equal("DENY", answer.Header("X-Frame-Options"));
        Assert.Equal("1; mode=block", answer.Header("X-XSS-Protection"));
    }

    [Theory]
    [InlineData(null, 200, "pong", "text/plain; charset=utf-8")]
    [InlineData("*/*", 200, "pong", "text/plain; charset=utf-8")]
    [InlineData("text/plain", 200, "pong", "text/plain; charset=utf-8")]
    [InlineData("application/json", 200, "\"pong\"", "application/json; charset=utf-8")]
    [InlineData("image/png", 204, "", null)]
    public async Task Ping_answers_in_the_form_asked_for(string? accept, int status, string body, string? type)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var answer = (await world.GetAsync("/ping", accept)).Must((HttpStatusCode)status);
        Assert.Equal(body, answer.Body);
        Assert.Equal(type, answer.Header("Content-Type"));
    }

    [Fact]
    public async Task Info_and_leader_name_the_public_address()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0, options: new ApiOptions { PublicAddress = "scheduler.example:8080" });
        var info = (await world.GetAsync("/v2/info")).Must(HttpStatusCode.OK);
        Assert.Equal("marathon", info.Json["name"]!.GetValue<string>());
        Assert.Equal("scheduler.example:8080", info.Json["leader"]!.GetValue<string>());
        Assert.Equal("scheduler.example", info.Json["marathon_config"]!["hostname"]!.GetValue<string>());
        Assert.Equal(world.State.ClusterId, info.Json["frameworkId"]!.GetValue<string>());
        Assert.True(info.Json["elected"]!.GetValue<bool>());
        Assert.Equal("scheduler.example:8080", (await world.GetAsync("/v2/leader")).Json["leader"]!.GetValue<string>());
        Assert.Equal("http://scheduler.example:8080", info.Header("X-Marathon-Leader"));
    }

    [Theory]
    [InlineData("/v2/apps")]
    [InlineData("/v2/apps/one")]
    [InlineData("/v2/apps/one/tasks")]
    [InlineData("/v2/apps/one/versions")]
    [InlineData("/v2/tasks")]
    [InlineData("/v2/deployments")]
    [InlineData("/v2/queue")]
    [InlineData("/v2/info")]
    [InlineData("/v2/leader")]
    [InlineData("/ping")]
    [InlineData("/metrics")]
    [InlineData("/metrics/prometheus")]
    [InlineData("/logging")]
    [InlineData("/config")]
    [InlineData("/ui/")]
    [InlineData("/v2/openapi.json")]
    public async Task Head_works_where_get_does(string path)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await world.PostAsync("/v2/apps", """{"id":"/one","cmd":"sleep 1"}""");
        var get = (await world.GetAsync(path)).Must(HttpStatusCode.OK);
        var head = (await world.SendAsync(HttpMethod.Head, path, null)).Must(HttpStatusCode.OK);
        Assert.Empty(head.Body);
        Assert.Equal(get.Header("Content-Type"), head.Header("Content-Type"));
    }

    [Theory]
    [InlineData("DELETE", "/v2/apps", "GET, HEAD, POST, PUT, PATCH")]
    [InlineData("POST", "/v2/apps/one", "GET, HEAD, PUT, PATCH, DELETE")]
    [InlineData("POST", "/v2/apps/a/b/one/tasks", "GET, HEAD, DELETE")]
    [InlineData("POST", "/v2/apps/one/tasks/x", "DELETE")]
    [InlineData("POST", "/v2/apps/one/versions", "GET, HEAD")]
    [InlineData("POST", "/v2/tasks", "GET, HEAD")]
    [InlineData("GET", "/v2/tasks/delete", "POST")]
    [InlineData("PUT", "/v2/deployments", "GET, HEAD")]
    [InlineData("GET", "/v2/deployments/x", "DELETE")]
    [InlineData("GET", "/v2/queue/a/b/delay", "DELETE")]
    [InlineData("DELETE", "/v2/info", "GET, HEAD")]
    [InlineData("PUT", "/v2/leader", "GET, HEAD, DELETE")]
    [InlineData("PUT", "/v2/eventSubscriptions", "GET, HEAD, POST, DELETE")]
    [InlineData("DELETE", "/logging", "GET, HEAD, POST")]
    [InlineData("POST", "/", "GET, HEAD")]
    [InlineData("POST", "/ping", "GET, HEAD")]
    public async Task A_wrong_method_is_405_and_options_tells_the_right_ones(string method, string path, string allow)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var answer = (await world.SendAsync(new HttpMethod(method), path, null)).Must(HttpStatusCode.MethodNotAllowed);
        Assert.Equal(allow, answer.Header("Allow"));
        Assert.NotEmpty(answer.Json["message"]!.GetValue<string>());
    }

    [Fact]
    public async Task Options_lists_the_methods()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        Assert.Equal("GET, HEAD, POST, PUT, PATCH", (await world.SendAsync(HttpMethod.Options, "/v2/apps", null)).Must(HttpStatusCode.OK).Header("Allow"));
    }
}
