using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Consul;

/// <summary>Blocking queries, sessions that run out and locks that wait: what takes time, said of real Consul and of our door by the same test.</summary>
public sealed class BlockingTests(ConsulWorld world) : IClassFixture<ConsulWorld>
{
    public static TheoryData<string> Both => ConsulWorld.Both;

    [Theory]
    [MemberData(nameof(Both))]
    public async Task A_parked_query_wakes_with_its_change_and_sleeps_through_others(string server)
    {
        var http = world.Of(server);
        await PutAsync(http, "/v1/kv/block/a", "one");
        var (index, _) = await ReadAsync(http, "/v1/kv/block/a");
        var parked = ReadAsync(http, $"/v1/kv/block/a?index={index}&wait=60s");
        await PutAsync(http, "/v1/kv/block/other", "noise");
        await PutAsync(http, "/v1/kv/block/a", "one"); // what it was already: no news
        var (still, _) = await ReadAsync(http, $"/v1/kv/block/a?index={index}&wait=50ms");
        Assert.Equal(index, still);
        Assert.False(parked.IsCompleted);
        await PutAsync(http, "/v1/kv/block/a", "two");
        var (changed, body) = await parked.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.True(changed > index, $"{changed} after {index}");
        Assert.Equal("dHdv", body![0]!["Value"]!.GetValue<string>());
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task A_prefix_wakes_when_something_below_it_comes_changes_or_goes(string server)
    {
        var http = world.Of(server);
        await PutAsync(http, "/v1/kv/below/a", "1");
        var (index, _) = await ReadAsync(http, "/v1/kv/below/?recurse");
        foreach (var change in (Func<Task>[])
        [
            () => PutAsync(http, "/v1/kv/below/b", "2"),
            () => PutAsync(http, "/v1/kv/below/a", "3"),
            () => DeleteAsync(http, "/v1/kv/below/a"),
            () => DeleteAsync(http, "/v1/kv/below/b"),
        ])
        {
            var parked = ReadAsync(http, $"/v1/kv/below/?recurse&index={index}&wait=60s");
            await change();
            var (next, _) = await parked.WaitAsync(TimeSpan.FromSeconds(30));
            Assert.True(next > index, $"{next} after {index}");
            index = next;
        }
        var (empty, nothing) = await ReadAsync(http, "/v1/kv/below/?recurse");
        Assert.True(empty >= index);
        Assert.Null(nothing);
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task What_is_not_there_can_be_waited_for(string server)
    {
        var http = world.Of(server);
        var (index, nothing) = await ReadAsync(http, "/v1/kv/awaited");
        Assert.Null(nothing);
        var parked = ReadAsync(http, $"/v1/kv/awaited?index={index}&wait=60s");
        await PutAsync(http, "/v1/kv/awaited", "here");
        Assert.NotNull((await parked.WaitAsync(TimeSpan.FromSeconds(30))).Body);
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task A_query_without_news_ends_after_its_wait_and_at_most_a_sixteenth_more(string server)
    {
        var http = world.Of(server);
        await PutAsync(http, "/v1/kv/quiet", "x");
        var (index, _) = await ReadAsync(http, "/v1/kv/quiet");
        var clock = Stopwatch.StartNew();
        var (after, _) = await ReadAsync(http, $"/v1/kv/quiet?index={index}&wait=2s");
        Assert.Equal(index, after);
        Assert.True(clock.Elapsed >= TimeSpan.FromSeconds(1.99), $"{clock.Elapsed}");
    }

    [Theory]
    [MemberData(nameof(Both))]
    public async Task Sessions_can_be_watched(string server)
    {
        var http = world.Of(server);
        var first = await CreateAsync(http, "{}");
        var (index, _) = await ReadAsync(http, "/v1/session/list");
        var parked = ReadAsync(http, $"/v1/session/list?index={index}&wait=60s");
        var second = await CreateAsync(http, "{}");
        var (_, body) = await parked.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Contains(body!.AsArray().ToList(), x => x!["ID"]!.GetValue<string>() == second);
        foreach (var session in (string[])[first, second]) await PutAsync(http, $"/v1/session/destroy/{session}", "");
    }

    /// <summary>The deadlines are Consul's own: at least the TTL, at most twice that; for a busy machine more.</summary>
    [Theory]
    [MemberData(nameof(Both))]
    public async Task A_session_that_nobody_renews_ends_and_lets_go_of_its_lock_for_the_next_after_the_delay(string server)
    {
        var http = world.Of(server);
        var renewed = await CreateAsync(http, """{"TTL":"10s"}""");
        var left = await CreateAsync(http, """{"TTL":"10s","LockDelay":"3s"}""");
        var next = await CreateAsync(http, "{}");
        var clock = Stopwatch.StartNew();
        Assert.Equal("true", await PutAsync(http, $"/v1/kv/ttl/lock?acquire={left}", "left"));
        var (index, _) = await ReadAsync(http, "/v1/kv/ttl/lock");
        var parked = ReadAsync(http, $"/v1/kv/ttl/lock?index={index}&wait=120s");
        while (!parked.IsCompleted)
        {
            await Task.WhenAny(parked, Task.Delay(1000));
            await PutAsync(http, $"/v1/session/renew/{renewed}", "");
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(90), "the session has not ended");
        }
        Assert.True(clock.Elapsed > TimeSpan.FromSeconds(10), $"ended after {clock.Elapsed}");
        var freedAt = clock.Elapsed;
        Assert.Null((await parked).Body![0]!["Session"]);
        var atOnce = await PutAsync(http, $"/v1/kv/ttl/lock?acquire={next}", "next");
        if (clock.Elapsed - freedAt < TimeSpan.FromSeconds(2)) Assert.Equal("false", atOnce); // else the machine was too slow to tell
        await Eventually.HoldsAsync("the lock is free after its delay", async () => await PutAsync(http, $"/v1/kv/ttl/lock?acquire={next}", "next") == "true", 60);
        Assert.True(clock.Elapsed - freedAt > TimeSpan.FromSeconds(2), $"free after {clock.Elapsed - freedAt}");
        Assert.Equal(HttpStatusCode.OK, (await http.PutAsync(new Uri($"/v1/session/renew/{renewed}", UriKind.Relative), null)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await http.PutAsync(new Uri($"/v1/session/renew/{left}", UriKind.Relative), null)).StatusCode);
        foreach (var session in (string[])[renewed, next]) await PutAsync(http, $"/v1/session/destroy/{session}", "");
    }

    private static async Task<string> PutAsync(HttpClient http, string path, string body)
    {
        using var answer = await http.PutAsync(new Uri(path, UriKind.Relative), new StringContent(body));
        return (await answer.Content.ReadAsStringAsync()).Trim();
    }

    private static async Task DeleteAsync(HttpClient http, string path) => (await http.DeleteAsync(new Uri(path, UriKind.Relative))).EnsureSuccessStatusCode();

    private static async Task<string> CreateAsync(HttpClient http, string body) => JsonNode.Parse(await PutAsync(http, "/v1/session/create", body))!["ID"]!.GetValue<string>();

    private static async Task<(long Index, JsonNode? Body)> ReadAsync(HttpClient http, string path)
    {
        using var answer = await http.GetAsync(new Uri(path, UriKind.Relative));
        var index = long.Parse(answer.Headers.GetValues("X-Consul-Index").Single(), CultureInfo.InvariantCulture);
        return (index, answer.StatusCode == HttpStatusCode.NotFound ? null : JsonNode.Parse(await answer.Content.ReadAsStringAsync()));
    }
}
