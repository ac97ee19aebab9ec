using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Consul;

/// <summary>Tokens: the same requests to a real Consul that denies by default and to our door told to do so.</summary>
public sealed class ConsulAclTests
{
    private static readonly Dictionary<string, string> Scripts = new()
    {
        ["tokens"] = """
            GET /v1/acl/tokens
            PUT /v1/kv/a <<< x
            $m = PUT /v1/acl/bootstrap
            PUT /v1/kv/other @$m <<< x
            PUT /v1/kv/app/ro/a @$m <<< x
            PUT /v1/kv/one @$m <<< x
            PUT /v1/acl/policy @$m <<< {"Name":"app","Description":"of a test","Rules":"# its own\nkey_prefix \"app/\" { policy = \"write\" }\nkey_prefix \"app/ro/\" { policy = \"read\" }\nkey \"one\" { policy = \"read\" }\nsession_prefix \"\" { policy = \"write\" }"}
            PUT /v1/acl/policy @$m <<< {"Name":"app","Rules":""}
            PUT /v1/acl/policy @$m <<< {"Name":"b ad"}
            PUT /v1/acl/policy @$m <<< {}
            GET /v1/acl/policy/name/app @$m
            $t = PUT /v1/acl/token @$m <<< {"Description":"ci","Policies":[{"Name":"app"}]}
            PUT /v1/acl/token @$m <<< {"Policies":[{"Name":"nope"}]}
            PUT /v1/acl/token @$t <<< {"Policies":[{"Name":"app"}]}
            PUT /v1/acl/policy @$t <<< {"Name":"mine"}
            GET /v1/acl/token/self @$t
            GET /v1/acl/token/self
            GET /v1/acl/tokens @$t
            GET /v1/acl/token/11111111-1111-1111-1111-111111111111 @$m
            PUT /v1/kv/app/a @$t <<< x
            PUT /v1/kv/app/ro/a @$t <<< y
            PUT /v1/kv/other @$t <<< y
            PUT /v1/kv/one @$t <<< y
            PUT /v1/kv/onething @$t <<< y
            PUT /v1/kv/app/a <<< y
            GET /v1/kv/app/a
            GET /v1/kv/app/a?token=$t
            GET /v1/kv/app/a @$t
            GET /v1/kv/one @$t
            GET /v1/kv/other @$t
            GET /v1/kv/nothing @$t
            GET /v1/kv/app/a @11111111-1111-1111-1111-111111111111
            GET /v1/kv/?recurse @$t
            GET /v1/kv/?keys @$t
            GET /v1/kv/?keys
            GET /v1/kv/app?keys
            GET /v1/kv/other?recurse @$t
            DELETE /v1/kv/other @$t
            DELETE /v1/kv/app/?recurse @$t
            DELETE /v1/kv/?recurse @$t
            DELETE /v1/kv/app/b/?recurse @$t
            PUT /v1/txn @$t <<< [{"KV":{"Verb":"set","Key":"app/t"}},{"KV":{"Verb":"set","Key":"no"}}]
            PUT /v1/txn @$t <<< [{"KV":{"Verb":"set","Key":"app/t"}},{"KV":{"Verb":"get","Key":"app/ro/a"}}]
            PUT /v1/session/create
            $s = PUT /v1/session/create @$t
            GET /v1/session/list
            GET /v1/session/list @$t
            PUT /v1/session/renew/$s
            PUT /v1/session/destroy/$s
            PUT /v1/kv/app/lock?acquire=$s @$t <<< x
            PUT /v1/kv/other?acquire=$s @$t <<< x
            PUT /v1/session/destroy/$s @$t
            DELETE /v1/acl/policy/00000000-0000-0000-0000-000000000001 @$m
            DELETE /v1/acl/token/00000000-0000-0000-0000-000000000002 @$m
            """,
    };

    [Fact]
    public async Task Both_let_the_same_pass()
    {
        await using var real = await RealConsul.StartAsync("""acl { enabled = true default_policy = "deny" tokens { agent_master = "11111111-2222-3333-4444-555555555555" } }""");
        await using var ours = await PlatformUnderTest.StartAsync(Asking());
        var theirs = await new ConsulScript(real.Http, RealConsul.NodeName).RunAsync(Scripts["tokens"]);
        Assert.Equal(theirs, await new ConsulScript(ours.Kv, ours.NodeName).RunAsync(Scripts["tokens"]));
    }

    [Fact]
    public async Task A_token_stays_within_its_prefixes_also_after_a_kill_and_until_it_is_taken_away()
    {
        await using var platform = await PlatformUnderTest.StartAsync(Asking());
        var boss = JsonNode.Parse(await Send(platform, HttpMethod.Put, "/v1/acl/bootstrap", null, ""))!["SecretID"]!.GetValue<string>();
        await Send(platform, HttpMethod.Put, "/v1/acl/policy", boss, """{"Name":"team","Rules":"{\"key_prefix\":{\"team/\":{\"policy\":\"write\"}}}"}""");
        var token = JsonNode.Parse(await Send(platform, HttpMethod.Put, "/v1/acl/token", boss, """{"Policies":[{"Name":"team"}]}"""))!;
        var (secret, accessor) = (token["SecretID"]!.GetValue<string>(), token["AccessorID"]!.GetValue<string>());
        foreach (var again in (bool[])[false, true])
        {
            if (again)
            {
                await platform.KillAsync();
                await platform.StartAgainAsync();
            }
            Assert.Equal("true", await Send(platform, HttpMethod.Put, "/v1/kv/team/a", secret, "x"));
            Assert.Equal("Permission denied", await Send(platform, HttpMethod.Put, "/v1/kv/teams", secret, "x"));
            Assert.Equal("Permission denied", await Send(platform, HttpMethod.Get, "/v1/kv/platform/revision", secret, null));
            Assert.Equal("Permission denied", await Send(platform, HttpMethod.Put, "/v1/kv/team/a", null, "x"));
            Assert.Equal("Permission denied: ACL bootstrap no longer allowed", (await Send(platform, HttpMethod.Put, "/v1/acl/bootstrap", null, "")).Split(" (")[0]);
        }
        Assert.DoesNotContain(secret, await Send(platform, HttpMethod.Get, $"/v1/acl/token/{accessor}", boss, null), StringComparison.Ordinal);
        Assert.Equal("true", await Send(platform, HttpMethod.Delete, $"/v1/acl/token/{accessor}", boss, null));
        Assert.Equal("ACL not found", await Send(platform, HttpMethod.Put, "/v1/kv/team/a", secret, "x"));
        foreach (var file in Directory.EnumerateFiles(platform.DataDirectory, "*", SearchOption.AllDirectories).Where(x => Path.GetExtension(x) is not (".sock" or ".lock")))
            Assert.DoesNotContain(secret, Read(file), StringComparison.Ordinal);
    }

    private static PlatformOptions Asking() => new() { Runtime = "process", Flags = new Dictionary<string, string> { ["--kv-acl"] = "deny" } };

    private static async Task<string> Send(PlatformUnderTest platform, HttpMethod method, string path, string? token, string? body)
    {
        using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative));
        if (token is not null) request.Headers.Add("Authorization", $"Bearer {token}");
        if (body is not null) request.Content = new StringContent(body);
        using var answer = await platform.Kv.SendAsync(request);
        if (answer.StatusCode == HttpStatusCode.InternalServerError) throw new InvalidOperationException(await answer.Content.ReadAsStringAsync());
        return await answer.Content.ReadAsStringAsync();
    }

    private static string Read(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        return new StreamReader(stream, System.Text.Encoding.Latin1).ReadToEnd();
    }
}
