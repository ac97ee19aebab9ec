using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Fields of an app that only a real task can show: who it runs as, on what terminal, within which limits, on which network, and TLS.</summary>
public sealed class TaskFieldTests(OnePlatform one) : IClassFixture<OnePlatform>
{
    private PlatformUnderTest Platform => one.Platform;

    [DockerTheory]
    [InlineData("docker", "nobody")]
    [InlineData("process", "nobody")]
    public Task The_user_is_honoured(string kind, string user) => HoldsInsideAsync($"/user-{kind}", kind, app => app["user"] = user, "test \"$(id -un)\" = nobody");

    [DockerTheory]
    [InlineData("docker")]
    [InlineData("process")]
    public async Task An_unknown_user_is_told(string kind)
    {
        var id = $"/bad-user-{kind}";
        await Platform.Api.CreateAsync(Sleeper(kind, id, "true").With("user", "bad").With("backoffSeconds", 30));
        Assert.Contains("No such user 'bad'", await FailureAsync(id), StringComparison.Ordinal);
        await Platform.Api.DeleteAsync($"/v2/apps{id}");
    }

    [DockerTheory]
    [InlineData("docker")]
    [InlineData("process")]
    public Task A_terminal_is_there_when_asked_for(string kind) => HoldsInsideAsync($"/tty-{kind}", kind, app => app["tty"] = true, "test -t 0 && test -t 1");

    [DockerTheory]
    [InlineData("docker")]
    [InlineData("process")]
    public async Task A_task_on_a_terminal_fails_with_its_status_and_last_words_and_obeys_a_stop(string kind)
    {
        var id = $"/tty-end-{kind}";
        await Platform.Api.CreateAsync(Sleeper(kind, id, "false", otherwise: "echo the last words; exit 7").With("tty", true).With("backoffSeconds", 30));
        var failure = await FailureAsync(id);
        Assert.Contains("status 7", failure, StringComparison.Ordinal);
        Assert.Contains("the last words", failure, StringComparison.Ordinal);
        await Platform.Api.DeleteAsync($"/v2/apps{id}");
        await Platform.Api.GoneAsync(id);
    }

    [DockerFact]
    public async Task Limits_beyond_the_request_are_the_containers()
    {
        await Platform.Api.CreateAsync(Sleeper("docker", "/limits", "true").With("resourceLimits", new JsonObject { ["cpus"] = 0.5, ["mem"] = 48 }));
        await Platform.Api.CreateAsync(Sleeper("docker", "/unlimited", "true").With("resourceLimits", new JsonObject { ["cpus"] = "unlimited", ["mem"] = "unlimited" }));
        await Platform.Api.ReadyAsync("/limits");
        await Platform.Api.ReadyAsync("/unlimited");
        Assert.Equal($"{48 << 20} 500000000", await LimitsAsync("/limits"));
        Assert.Equal("0 0", await LimitsAsync("/unlimited"));
        await Platform.Api.DeleteAsync("/v2/apps/limits");
        await Platform.Api.DeleteAsync("/v2/apps/unlimited");
    }

    [DockerFact]
    public async Task A_named_network_is_joined_and_its_tasks_are_found_at_their_own_address()
    {
        var network = $"{Platform.NodeName}-net";
        await Command.DockerAsync("network", "create", network);
        try
        {
            var app = Apps.Web("/joined").WithHttpCheck();
            app["container"]!["docker"]!.AsObject().Remove("network");
            app["container"]!["docker"]!["portMappings"] = new JsonArray(new JsonObject { ["containerPort"] = Apps.ContainerPort });
            app["networks"] = new JsonArray(new JsonObject { ["mode"] = "container", ["name"] = network });
            await Platform.Api.CreateAsync(app);
            var view = await Platform.Api.ReadyAsync("/joined");
            var task = Assert.Single(await Platform.Api.TasksAsync("/joined"));
            Assert.Empty(task.Ports);
            var address = (await Command.DockerAsync("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", task.Container)).Trim();
            Assert.Equal(address, Assert.Single((await Platform.DigAsync("joined.marathon.mesos", "A")).Answers).Data);
            using var http = new HttpClient();
            Assert.NotEmpty(await http.GetStringAsync(PlatformUnderTest.ServicePort(view.ServicePorts[0])));
            await Platform.Api.DeleteAsync("/v2/apps/joined");
            await Platform.Api.GoneAsync("/joined");
        }
        finally
        {
            await Command.DockerAsync("network", "rm", network);
        }
        await Platform.Api.CreateAsync(Sleeper("docker", "/stray", "true").With("backoffSeconds", 30).With("networks", new JsonArray(new JsonObject { ["name"] = network })));
        Assert.Contains(network, await FailureAsync("/stray"), StringComparison.Ordinal);
        await Platform.Api.DeleteAsync("/v2/apps/stray");
    }

    [DockerTheory]
    [InlineData("HTTPS")]
    [InlineData("MESOS_HTTPS")]
    public async Task A_check_over_tls_takes_any_certificate(string protocol)
    {
        var id = $"/tls-{protocol.ToLowerInvariant().Replace('_', '-')}";
        using var keys = new Keys();
        var app = Apps.Web(id).WithCheck(new JsonObject { ["protocol"] = protocol, ["path"] = "/", ["portIndex"] = 0, ["delaySeconds"] = 0 });
        app["cmd"] = $"exec /usr/bin/openssl s_server -accept {Apps.ContainerPort} -key /keys/key.pem -cert /keys/cert.pem -www";
        app["container"]!["volumes"] = new JsonArray(
        [
            .. new[] { ("/usr", "/usr"), ("/lib", "/usr/lib"), ("/lib64", "/usr/lib64"), ("/etc/ssl", "/etc/ssl"), ("/keys", keys.Path) }
                .Where(x => Directory.Exists(x.Item2))
                .Select(x => (JsonNode)new JsonObject { ["containerPath"] = x.Item1, ["hostPath"] = x.Item2, ["mode"] = "RO" }),
        ]);
        await Platform.Api.CreateAsync(app);
        Assert.Equal((1, 1, 0), await Platform.Api.ReadyAsync(id) is var view ? (view.Running, view.Healthy, view.Unhealthy) : default);
        await Platform.Api.DeleteAsync($"/v2/apps{id}");
    }

    private async Task HoldsInsideAsync(string id, string kind, Action<JsonObject> with, string condition)
    {
        var app = Sleeper(kind, id, condition);
        with(app);
        await Platform.Api.CreateAsync(app);
        Assert.Equal(1, (await Platform.Api.ReadyAsync(id)).Running);
        await Platform.Api.DeleteAsync($"/v2/apps{id}");
        await Platform.Api.GoneAsync(id); // a task on a terminal obeys its SIGTERM, too
    }

    /// <summary>A task that lives if the condition holds in it, and else ends at once. Its check passes only after the condition has.</summary>
    private static JsonObject Sleeper(string kind, string id, string condition, string otherwise = "exit 1")
    {
        var app = new JsonObject
        {
            ["id"] = id,
            ["cmd"] = $"if {condition}; then touch /tmp/$MESOS_TASK_ID; sleep 9999; else {otherwise}; fi",
            ["cpus"] = 0.01,
            ["mem"] = 32,
            ["taskKillGracePeriodSeconds"] = 2,
        };
        if (kind == "docker") app["container"] = new JsonObject { ["type"] = "DOCKER", ["docker"] = new JsonObject { ["image"] = Machine.TestImage } };
        return app.WithCheck(new JsonObject { ["protocol"] = "COMMAND", ["command"] = new JsonObject { ["value"] = "test -f /tmp/$MESOS_TASK_ID" }, ["delaySeconds"] = 0 });
    }

    private async Task<string> FailureAsync(string id)
    {
        var failure = await Eventually.GetAsync("the failure is told", async () =>
            (await Platform.Api.GetAsync($"/v2/apps{id}?embed=app.lastTaskFailure")).Json["app"]?["lastTaskFailure"], x => x is not null);
        Assert.Equal("TASK_FAILED", failure!["state"]!.GetValue<string>());
        return failure["message"]!.GetValue<string>();
    }

    private async Task<string> LimitsAsync(string id) =>
        (await Command.DockerAsync("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", Assert.Single(await Platform.Api.TasksAsync(id)).Container)).Trim();

    /// <summary>A key and the certificate it signed for itself.</summary>
    private sealed class Keys : IDisposable
    {
        public Keys()
        {
            using var key = System.Security.Cryptography.RSA.Create(2048);
            var request = new System.Security.Cryptography.X509Certificates.CertificateRequest(
                "CN=nobody.knows", key, System.Security.Cryptography.HashAlgorithmName.SHA256, System.Security.Cryptography.RSASignaturePadding.Pkcs1);
            using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
            File.WriteAllText(System.IO.Path.Combine(Path, "cert.pem"), certificate.ExportCertificatePem());
            File.WriteAllText(System.IO.Path.Combine(Path, "key.pem"), key.ExportPkcs8PrivateKeyPem());
        }

        public string Path { get; } = Directory.CreateTempSubdirectory("platform-ft-keys-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
