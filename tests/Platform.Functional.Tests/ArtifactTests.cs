using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Artifacts from the store into tasks, and secrets into containers: with real archives, real processes and real containers.</summary>
public sealed class ArtifactTests : IDisposable
{
    private const string Secret = "open sesame 4711";

    private readonly string _home = Directory.CreateTempSubdirectory("platform-ft-artifacts-").FullName;

    public void Dispose() => Directory.Delete(_home, recursive: true);

    [Fact]
    public async Task A_process_finds_its_artifacts_unpacked_executable_and_cached()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        File.WriteAllText(Path.Combine(_home, "word"), "packed");
        const string tool = "#!/bin/sh\ncat from-gz from-xz from-zip in/tool | wc -c\n";
        var urls = new JsonArray();
        foreach (var (name, pack) in new[]
        {
            ("g.tar.gz", "tar -czf g.tar.gz --transform s/word/from-gz/ word"), ("x.tar.xz", "tar -cJf x.tar.xz --transform s/word/from-xz/ word"),
            ("z.zip", "python3 -c \"import zipfile; zipfile.ZipFile('z.zip','w').write('word','from-zip')\""),
        })
        {
            (await Command.RunAsync("/bin/sh", "-c", $"cd {_home} && {pack}")).Must(pack);
            urls.Add(new JsonObject { ["uri"] = await UploadAsync(platform, name, File.ReadAllBytes(Path.Combine(_home, name))), ["cache"] = name == "g.tar.gz" });
        }
        urls.Add(new JsonObject { ["uri"] = await UploadAsync(platform, "tool", Encoding.ASCII.GetBytes(tool)), ["executable"] = true });
        urls.Add(new JsonObject { ["uri"] = $"http://127.0.0.1:{platform.ApiPort}/v2/artifacts/tool", ["destPath"] = "in/tool" });
        await platform.Api.CreateAsync(new JsonObject { ["id"] = "/uses", ["cmd"] = "./tool > told; exec sleep 1000", ["cpus"] = 0.01, ["mem"] = 16, ["instances"] = 2, ["fetch"] = urls });
        await platform.Api.ReadyAsync("/uses");
        foreach (var task in await platform.Api.TasksAsync("/uses"))
        {
            var sandbox = Path.Combine(platform.DataDirectory, "sandboxes", task.Id);
            await Eventually.HoldsAsync("the tool has run", () => Task.FromResult(File.Exists(Path.Combine(sandbox, "told")) && File.ReadAllText(Path.Combine(sandbox, "told")).Trim() == $"{3 * "packed".Length + tool.Length}"));
            Assert.True(File.Exists(Path.Combine(sandbox, "g.tar.gz"))); // the archive stays, too
        }
        Assert.Single(Directory.GetFiles(Path.Combine(platform.DataDirectory, "fetch-cache")));
    }

    [Fact]
    public async Task A_fetch_that_fails_says_which_and_why_and_leaves_no_sandbox()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var url = $"http://127.0.0.1:{platform.ApiPort}/v2/artifacts/missing.tgz";
        await platform.Api.CreateAsync(new JsonObject { ["id"] = "/bad", ["cmd"] = "sleep 1000", ["cpus"] = 0.01, ["mem"] = 16, ["backoffSeconds"] = 3600, ["maxLaunchDelaySeconds"] = 3600, ["uris"] = new JsonArray(url) });
        var failure = await FailureAsync(platform, "bad");
        Assert.Equal("TASK_FAILED", failure["state"]!.GetValue<string>());
        Assert.Equal($"Failed to fetch all URIs for container {failure["taskId"]}: {url}: the server answered 404 Not Found", failure["message"]!.GetValue<string>());
        Assert.False(Directory.Exists(Path.Combine(platform.DataDirectory, "sandboxes", failure["taskId"]!.GetValue<string>())));
        var item = await Eventually.GetAsync("it waits", () => platform.Api.QueueItemAsync("/bad"), x => x is not null);
        Assert.True(item!["delay"]!["timeLeftSeconds"]!.GetValue<int>() > 3000);
    }

    [Fact]
    public async Task A_kill_ends_a_fetch_that_never_would()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        using var silent = new HttpListener();
        var port = Ports.FreeBlock(1).First;
        silent.Prefixes.Add($"http://127.0.0.1:{port}/");
        silent.Start();
        await platform.Api.CreateAsync(new JsonObject { ["id"] = "/slow", ["cmd"] = "sleep 1000", ["cpus"] = 0.01, ["mem"] = 16, ["uris"] = new JsonArray($"http://127.0.0.1:{port}/never") });
        var asked = await silent.GetContextAsync().WaitAsync(TimeSpan.FromSeconds(Eventually.Patience));
        Assert.Equal(1, (await platform.Api.AppAsync("/slow")).Staged);
        await Eventually.HoldsAsync("it says what it waits for", async () =>
            (await platform.Api.GetAsync("/v2/apps/slow/tasks")).Json["tasks"]?.AsArray().FirstOrDefault()?["detail"]?.GetValue<string>() == $"Fetching http://127.0.0.1:{port}/never");
        await platform.Api.DeleteAsync("/v2/apps/slow");
        await platform.Api.GoneAsync("/slow");
        asked.Response.Abort();
        Assert.Empty(Directory.GetDirectories(Path.Combine(platform.DataDirectory, "sandboxes")));
    }

    [Fact]
    public async Task Private_addresses_can_be_forbidden_but_for_the_store()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process", Flags = new Dictionary<string, string> { ["--fetch-forbid-private"] = "true" } });
        var stored = await UploadAsync(platform, "a/file", "x"u8.ToArray());
        await platform.Api.CreateAsync(new JsonObject { ["id"] = "/store", ["cmd"] = "test -f file && sleep 1000", ["cpus"] = 0.01, ["mem"] = 16, ["uris"] = new JsonArray(stored) });
        await platform.Api.CreateAsync(new JsonObject { ["id"] = "/private", ["cmd"] = "sleep 1000", ["cpus"] = 0.01, ["mem"] = 16, ["uris"] = new JsonArray($"http://127.0.0.1:{platform.AdminPort}/health") });
        await platform.Api.ReadyAsync("/store");
        Assert.Contains("private addresses may not be fetched from", (await FailureAsync(platform, "private"))["message"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [DockerFact]
    public async Task A_container_has_its_artifacts_and_its_secrets_and_nothing_else_has()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        File.WriteAllText(Path.Combine(_home, "word"), "packed");
        (await Command.RunAsync("tar", "-czf", Path.Combine(_home, "w.tgz"), "-C", _home, "word")).Must("tar");
        var url = await UploadAsync(platform, "w.tgz", File.ReadAllBytes(Path.Combine(_home, "w.tgz")));
        await StoreSecretAsync(platform, "prod/db", Secret);
        var app = Apps.Web("/boxed");
        app["cmd"] = "cd $MESOS_SANDBOX; cat word > told; stat -c %a /run/db >> told; printf %s \"$DB\" | sha256sum >> told; sha256sum < /run/db >> told; rails server -p 8080";
        app["uris"] = new JsonArray(url);
        app["secrets"] = new JsonObject { ["db"] = new JsonObject { ["source"] = "prod/db" } };
        app["env"] = new JsonObject { ["DB"] = new JsonObject { ["secret"] = "db" } };
        app["container"]!["volumes"] = new JsonArray(new JsonObject { ["containerPath"] = "/run/db", ["secret"] = "db" });
        await platform.Api.CreateAsync(app);
        await platform.Api.ReadyAsync("/boxed");
        var task = Assert.Single(await platform.Api.TasksAsync("/boxed"));
        var sandbox = Path.Combine(platform.DataDirectory, "container-sandboxes", task.Id);
        var sum = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(Secret)));
        await Eventually.HoldsAsync("it has told", () => Task.FromResult(
            File.Exists(Path.Combine(sandbox, "told")) && File.ReadAllText(Path.Combine(sandbox, "told")) == $"packed400\n{sum}  -\n{sum}  -\n"));

        // Where it is: in the container's environment, which Docker shows to who may ask it, and in a file in memory.
        var labels = await Command.DockerAsync("inspect", "--format", "{{json .Config.Labels}}", task.Container);
        Assert.DoesNotContain(Secret, labels, StringComparison.Ordinal);
        var shm = Assert.Single(Directory.GetDirectories("/dev/shm", "platform-*"), x => x.EndsWith(platform.NodeName, StringComparison.Ordinal));
        Assert.Equal(Secret, File.ReadAllText(Path.Combine(shm, task.Id, "0")));
        await platform.TerminateAsync(); // with everything written down
        AssertNowhere(platform);
        await platform.StartAgainAsync();
        await platform.Api.ReadyAsync("/boxed");
        Assert.Equal(task.Id, Assert.Single(await platform.Api.TasksAsync("/boxed")).Id);

        // A task started after the restart gets it too: the log and the key have it.
        (await platform.Api.DeleteAsync($"/v2/apps/boxed/tasks/{task.Id}")).Must(HttpStatusCode.OK);
        var next = await Eventually.GetAsync("a replacement runs", () => platform.Api.TasksAsync("/boxed"), x => x is [{ State: "TASK_RUNNING" }] && x[0].Id != task.Id);
        Assert.Equal(Secret, File.ReadAllText(Path.Combine(shm, next[0].Id, "0")));
        await platform.Api.DeleteAsync("/v2/apps/boxed");
        await platform.Api.GoneAsync("/boxed");
        await Eventually.HoldsAsync("nothing is left of its files", () => Task.FromResult(
            Directory.GetDirectories(shm).Length == 0 && Directory.GetDirectories(Path.Combine(platform.DataDirectory, "container-sandboxes")).Length == 0));
        AssertNowhere(platform);
        Directory.Delete(shm);
    }

    [Fact]
    public async Task A_secret_that_is_not_there_fails_the_task_until_it_is()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        await platform.Api.CreateAsync(new JsonObject
        {
            ["id"] = "/needs", ["cmd"] = "printf %s \"$TOKEN\" | cmp - key && stat -c %a key > told && sleep 1000", ["cpus"] = 0.01, ["mem"] = 16, ["backoffSeconds"] = 0.5, ["backoffFactor"] = 1,
            ["secrets"] = new JsonObject { ["t"] = new JsonObject { ["source"] = "late" } }, ["env"] = new JsonObject { ["TOKEN"] = new JsonObject { ["secret"] = "t" } },
            ["container"] = new JsonObject { ["type"] = "MESOS", ["volumes"] = new JsonArray(new JsonObject { ["containerPath"] = "key", ["secret"] = "t" }) },
        });
        Assert.Equal("Inaccessible secret: late", (await FailureAsync(platform, "needs"))["message"]!.GetValue<string>());
        await StoreSecretAsync(platform, "late", Secret);
        await platform.Api.ReadyAsync("/needs");
        var sandbox = Path.Combine(platform.DataDirectory, "sandboxes", Assert.Single(await platform.Api.TasksAsync("/needs")).Id);
        await Eventually.HoldsAsync("it has read it", () => Task.FromResult(File.Exists(Path.Combine(sandbox, "told")) && File.ReadAllText(Path.Combine(sandbox, "told")) == "400\n"));
        await platform.Api.DeleteAsync("/v2/apps/needs");
        await platform.Api.GoneAsync("/needs");
        await Eventually.HoldsAsync("its file is gone", () => Task.FromResult(!Directory.Exists(sandbox)));
        AssertNowhere(platform);
    }

    [Fact]
    public async Task Without_its_key_a_platform_with_secrets_does_not_start()
    {
        var data = Path.Combine(_home, "data");
        await using (var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process", DataDirectory = data }))
        {
            await StoreSecretAsync(platform, "a", Secret);
            await platform.KillAsync(); // an answered write survives
        }
        File.Move(Path.Combine(data, "secrets.key"), Path.Combine(data, "elsewhere"));
        var (code, output) = await PlatformUnderTest.RefusedStartAsync(new PlatformOptions { Runtime = "process", DataDirectory = data });
        Assert.Equal(23, code);
        Assert.Contains("--secrets-key", output, StringComparison.Ordinal);
        await using var again = await PlatformUnderTest.StartAsync(new PlatformOptions
        {
            Runtime = "process", DataDirectory = data, Flags = new Dictionary<string, string> { ["--secrets-key"] = Path.Combine(data, "elsewhere") },
        });
        Assert.Equal("a", (await again.Api.GetAsync("/v2/secrets")).Json["secrets"]![0]!["path"]!.GetValue<string>());
    }

    private static async Task<string> UploadAsync(PlatformUnderTest platform, string name, byte[] content)
    {
        using var http = new HttpClient();
        using var answer = await http.PutAsync(new Uri($"http://127.0.0.1:{platform.ApiPort}/v2/artifacts/{name}"), new ByteArrayContent(content));
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return answer.Headers.Location!.AbsoluteUri;
    }

    private static async Task StoreSecretAsync(PlatformUnderTest platform, string path, string value)
    {
        using var http = new HttpClient();
        using var answer = await http.PutAsync(new Uri($"http://127.0.0.1:{platform.ApiPort}/v2/secrets/{path}"), new StringContent(value));
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
    }

    private static async Task<JsonNode> FailureAsync(PlatformUnderTest platform, string app) => (await Eventually.GetAsync("the failure is told", async () =>
        (await platform.Api.GetAsync($"/v2/apps/{app}?embed=app.lastTaskFailure")).Json["app"]?["lastTaskFailure"], x => x is not null))!;

    /// <summary>In no file of the data directory, whatever wrote it, and in no line of the log.</summary>
    private static void AssertNowhere(PlatformUnderTest platform)
    {
        Assert.DoesNotContain(Secret, platform.Log(), StringComparison.Ordinal);
        var files = Directory.EnumerateFiles(platform.DataDirectory, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 }).ToList();
        Assert.Contains(files, x => x.EndsWith("cluster.db", StringComparison.Ordinal));
        foreach (var file in files.Where(x => !x.EndsWith(".sock", StringComparison.Ordinal) && !x.EndsWith("log.lock", StringComparison.Ordinal)))
            using (var open = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete))
            using (var bytes = new MemoryStream())
            {
                open.CopyTo(bytes);
                Assert.True(bytes.ToArray().AsSpan().IndexOf(Encoding.UTF8.GetBytes(Secret)) < 0, file);
            }
    }
}
