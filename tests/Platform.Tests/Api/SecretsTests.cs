using System.Net;
using System.Text;
using Platform.Model;
using Platform.Scheduler;
using Platform.Scheduler.Secrets;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>Secrets go in, reach the task they are for, and are found nowhere else.</summary>
public sealed class SecretsTests
{
    private const string Value = "correct horse battery staple";

    private const string App = """
        {"id":"/shop/web","cmd":"run","env":{"PLAIN":"p","DB":{"secret":"db"}},"secrets":{"db":{"source":"prod/db"}},
         "container":{"type":"DOCKER","docker":{"image":"i"},"volumes":[{"containerPath":"/run/key","secret":"db"}]}}
        """;

    private static Task<Heard> PutAsync(ApiWorld world, string path, string value, string? type = "text/plain") => world.SendAsync(HttpMethod.Put, path, value, contentType: type);

    [Fact]
    public async Task Golden_routes()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var notes = new Transcript(world);
        await notes.NoteAsync("GET", "/v2/secrets");
        await notes.NoteAsync("PUT", "/v2/secrets/prod/db", $$"""{"value":"{{Value}}"}""");
        await notes.NoteAsync("PUT", "/v2/secrets/prod/db", $$"""{"value":"{{Value}}!"}""");
        await notes.NoteAsync("GET", "/v2/secrets");
        await notes.NoteAsync("GET", "/v2/secrets/prod/db");
        await notes.NoteAsync("GET", "/v2/secrets/prod");
        await notes.NoteAsync("PUT", "/v2/secrets/prod/db", """{"value":1}""");
        await notes.NoteAsync("PUT", "/v2/secrets/prod/db", """{"valu""");
        await notes.NoteAsync("PUT", "/v2/secrets/pr od", """{"value":"x"}""");
        await notes.NoteAsync("PUT", "/v2/secrets/empty", """{"value":""}""");
        await notes.NoteAsync("POST", "/v2/secrets", """{"value":"x"}""");
        await notes.NoteAsync("DELETE", "/v2/secrets/prod/db");
        await notes.NoteAsync("DELETE", "/v2/secrets/prod/db");
        notes.Check("secrets");
    }

    [Fact]
    public async Task A_value_is_in_no_answer_no_event_and_no_file()
    {
        await using var world = await ApiWorld.StartAsync();
        var heard = new StringBuilder();
        (await PutAsync(world, "/v2/secrets/prod/db", Value)).Must(HttpStatusCode.Created);
        await world.CreateAsync(App);
        heard.Append((await PutAsync(world, "/v2/secrets/prod/db", Value)).Body);
        heard.Append((await PutAsync(world, "/v2/secrets/bad path", Value)).Body);
        heard.Append((await PutAsync(world, "/v2/secrets/prod/db", $"{{\"value\": {Value}}}", "application/json")).Body);
        await world.EndAsync(world.InstancesOf("/shop/web")[0], TerminalState.Failed, "it failed");
        foreach (var path in new[] { "/v2/secrets", "/v2/secrets/prod/db", "/v2/apps?embed=apps.tasks&embed=apps.lastTaskFailure", "/v2/apps/shop/web", "/v2/apps/shop/web/versions", "/v2/tasks", "/v2/queue", "/v2/deployments", "/v2/info" })
            heard.Append((await world.GetAsync(path)).Must(HttpStatusCode.OK).Body);
        foreach (var folded in world.Published)
        {
            heard.Append(folded.Event).Append(Encoding.UTF8.GetString(SchedulerJson.Write(folded.Event)));
            foreach (var e in Platform.Scheduler.Api.ContractEvents.Of(folded)) heard.Append(Encoding.UTF8.GetString(e.Json));
        }
        heard.Append(Encoding.UTF8.GetString(SchedulerJson.Write(world.State)));
        await world.Log.SaveSnapshotAsync(world.State, CancellationToken.None);

        Assert.DoesNotContain(Value, heard.ToString(), StringComparison.Ordinal);
        foreach (var file in Directory.EnumerateFiles(world.Folder, "*", SearchOption.AllDirectories).Where(x => !x.EndsWith("log.lock", StringComparison.Ordinal)))
        {
            using var open = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using var bytes = new MemoryStream();
            await open.CopyToAsync(bytes);
            Assert.True(bytes.ToArray().AsSpan().IndexOf(Encoding.UTF8.GetBytes(Value)) < 0, file);
            Assert.True(bytes.ToArray().AsSpan().IndexOf(Encoding.UTF8.GetBytes(Convert.ToBase64String(Encoding.UTF8.GetBytes(Value))[..30])) < 0, file);
        }
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(world.Folder, "secrets.key")));
        // And yet the task is given it.
        var revealed = world.Secrets.Reveal(world.State, world.State.Apps[AppId.Parse("/shop/web")].Definition);
        Assert.Equal(new RevealedSecrets(EquatableMap.From([new("DB", Value)]), EquatableMap.From([new("/run/key", Value)]), default), revealed);
    }

    [Fact]
    public async Task Secrets_survive_a_restart_with_their_key_and_with_no_other()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await PutAsync(world, "/v2/secrets/a", Value);
        var state = await world.StoredAsync();
        var app = new AppDefinition { Id = AppId.Parse("/x"), Secrets = EquatableMap.From([new("s", "/a"), new("t", "gone")]), EnvSecrets = EquatableMap.From([new("S", "s")]) };
        var key = Path.Combine(world.Folder, "secrets.key");
        Assert.Equal(Value, SecretVault.Open(key, state).Reveal(state, app).Env["S"]);

        var missing = Assert.Throws<SecretsKeyException>(() => SecretVault.Open(Path.Combine(world.Folder, "none"), state));
        Assert.Contains("there is no such file, but the cluster log holds 1 secrets", missing.Message, StringComparison.Ordinal);
        var other = Path.Combine(world.Folder, "other");
        SecretVault.Open(other, ClusterState.Empty).Seal("x", "y");
        Assert.Contains("not the key that secret 'a' was sealed with", Assert.Throws<SecretsKeyException>(() => SecretVault.Open(other, state)).Message, StringComparison.Ordinal);
        File.SetUnixFileMode(other, UnixFileMode.UserRead | UnixFileMode.GroupRead);
        Assert.Contains("chmod 600", Assert.Throws<SecretsKeyException>(() => SecretVault.Open(other, ClusterState.Empty)).Message, StringComparison.Ordinal);
        File.WriteAllText(key, "no key\n");
        Assert.Contains("64 hexadecimal digits", Assert.Throws<SecretsKeyException>(() => SecretVault.Open(key, state)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_missing_or_tampered_with_is_inaccessible()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        await PutAsync(world, "/v2/secrets/a", Value);
        await PutAsync(world, "/v2/secrets/b", "other");
        AppDefinition Of(string source) => new() { Id = AppId.Parse("/x"), Secrets = EquatableMap.From([new("s", source)]), EnvSecrets = EquatableMap.From([new("S", "s")]) };
        var state = world.State;
        Assert.Equal(["gone"], world.Secrets.Reveal(state, Of("gone")).Inaccessible);
        var box = Convert.FromBase64String(state.Secrets["a"].Secret.Box);
        box[^1] ^= 1;
        var tampered = state with { Secrets = state.Secrets.SetItem("a", state.Secrets["a"] with { Secret = state.Secrets["a"].Secret with { Box = Convert.ToBase64String(box) } }) };
        Assert.Equal(["a"], world.Secrets.Reveal(tampered, Of("a")).Inaccessible);
        // One secret's box under another's name is nobody's.
        var swapped = state with { Secrets = state.Secrets.SetItem("b", state.Secrets["a"]) };
        Assert.Equal(["b"], world.Secrets.Reveal(swapped, Of("b")).Inaccessible);
        Assert.NotEqual(world.Secrets.Seal("a", Value), world.Secrets.Seal("a", Value)); // no two boxes tell that they hold the same
    }
}
