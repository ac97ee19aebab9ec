using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;
using Xunit.Abstractions;

namespace Platform.Functional.Tests.Consul;

/// <summary>What the KV door acknowledged is there after the worst end, and what cannot be is said in time.</summary>
public sealed class StoreDurabilityTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Kill_nine_loses_no_acknowledged_write_and_no_lock()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var session = JsonNode.Parse(await (await platform.Kv.PutAsync("/v1/session/create", Text("""{"TTL":"3600s"}"""))).Content.ReadAsStringAsync())!["ID"]!.GetValue<string>();
        Assert.Equal("true", await (await platform.Kv.PutAsync($"/v1/kv/crash/lock?acquire={session}", Text("mine"))).Content.ReadAsStringAsync());
        var acknowledged = new ConcurrentDictionary<string, int>();
        for (var round = 0; round < 3; round++)
        {
            var writers = Enumerable.Range(0, 4).Select(w => WriteUntilCutOffAsync(platform.Kv, $"crash/r{round}w{w}", acknowledged)).ToArray();
            var target = acknowledged.Values.Sum() + 200;
            await Eventually.HoldsAsync("200 more writes acknowledged", () => Task.FromResult(acknowledged.Values.Sum() >= target), 60);
            await platform.KillAsync();
            await Task.WhenAll(writers);
            await platform.StartAgainAsync();
            foreach (var (key, count) in acknowledged)
            {
                var stored = int.Parse(await platform.Kv.GetStringAsync($"/v1/kv/{key}?raw&consistent"), CultureInfo.InvariantCulture);
                Assert.InRange(stored, count, count + 1); // the one that was cut off may be there or not
            }
            var held = JsonNode.Parse(await platform.Kv.GetStringAsync("/v1/kv/crash/lock?consistent"))![0]!;
            Assert.Equal(session, held["Session"]!.GetValue<string>());
        }
        output.WriteLine($"{acknowledged.Values.Sum()} acknowledged writes, none lost");
    }

    [Fact]
    public async Task What_is_written_through_the_door_is_read_there_at_once()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        for (var i = 0; i < 200; i++)
        {
            await platform.Kv.PutAsync("/v1/kv/own", Text($"{i}"));
            Assert.Equal($"{i}", await platform.Kv.GetStringAsync("/v1/kv/own?raw"));
        }
    }

    [Fact]
    public async Task What_is_too_large_or_not_ours_to_change_is_refused()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        using var large = await platform.Kv.PutAsync("/v1/kv/large", new ByteArrayContent(new byte[524_289]));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, large.StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await platform.Kv.GetAsync("/v1/kv/large")).StatusCode);
        foreach (var attempt in (Func<Task<HttpResponseMessage>>[])
        [
            () => platform.Kv.PutAsync("/v1/kv/platform/apps/x", Text("x")),
            () => platform.Kv.DeleteAsync("/v1/kv/platform/nodes?recurse"),
            () => platform.Kv.PutAsync("/v1/kv//platform//apps/x", Text("x")),
            () => platform.Kv.PutAsync("/v1/kv/platform%2Fapps/x", Text("x")),
        ])
        {
            using var refused = await attempt();
            Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
            Assert.Contains("read-only", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        using var transaction = await platform.Kv.PutAsync("/v1/txn", Text("""[{"KV":{"Verb":"set","Key":"mine","Value":""}},{"KV":{"Verb":"delete","Key":"platform/revision"}}]"""));
        Assert.Equal(HttpStatusCode.Conflict, transaction.StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await platform.Kv.GetAsync("/v1/kv/mine")).StatusCode);
        Assert.Equal("true", await (await platform.Kv.DeleteAsync("/v1/kv/?recurse")).Content.ReadAsStringAsync());
        Assert.Contains("platform/revision", await platform.Kv.GetStringAsync("/v1/kv/?keys"), StringComparison.Ordinal);
        var many = new JsonArray([.. Enumerable.Range(0, 129).Select(i => new JsonObject { ["KV"] = new JsonObject { ["Verb"] = "set", ["Key"] = $"many/{i}" } })]);
        using var tooMany = await platform.Kv.PutAsync("/v1/txn", Text(many.ToJsonString()));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, tooMany.StatusCode);
        many.RemoveAt(0);
        using var most = await platform.Kv.PutAsync("/v1/txn", Text(many.ToJsonString()));
        Assert.Equal(HttpStatusCode.OK, most.StatusCode);
    }

    private static StringContent Text(string text) => new(text, Encoding.UTF8);

    private static async Task WriteUntilCutOffAsync(HttpClient kv, string key, ConcurrentDictionary<string, int> acknowledged)
    {
        for (var i = 1; i < 100_000; i++)
            try
            {
                using var answer = await kv.PutAsync($"/v1/kv/{key}", Text($"{i}"));
                if (answer.StatusCode != HttpStatusCode.OK) return; // its platform is about to be gone
                acknowledged[key] = i;
            }
            catch (HttpRequestException)
            {
                return; // cut off: this write was not acknowledged
            }
    }
}
