using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>One platform for all bad inputs: it must be unimpressed by each.</summary>
public sealed class OnePlatform : IAsyncLifetime
{
    private PlatformUnderTest? _platform;

    internal PlatformUnderTest Platform => _platform ?? throw new InvalidOperationException("no Docker engine answers");

    public async Task InitializeAsync()
    {
        if (Machine.MissingForDocker is null) _platform = await PlatformUnderTest.StartAsync();
    }

    public async Task DisposeAsync()
    {
        if (_platform is not null) await _platform.DisposeAsync();
    }
}

/// <summary>Bad input gets the contract's status and body, and nothing of it is stored.</summary>
public sealed class BadInputTests(OnePlatform one) : IClassFixture<OnePlatform>
{
    private MarathonApi Api => one.Platform.Api;

    [DockerTheory]
    [InlineData("instances as a word", """{"id":"/bad","cmd":"sleep 9","instances":"many"}""", "/instances", "Invalid JSON")]
    [InlineData("instances with a fraction", """{"id":"/bad","cmd":"sleep 9","instances":1.5}""", "/instances", "Invalid JSON")]
    [InlineData("cpus as a word", """{"id":"/bad","cmd":"sleep 9","cpus":"x"}""", "/cpus", "Invalid JSON")]
    [InlineData("id as a number", """{"id":7,"cmd":"sleep 9"}""", "/id", "Invalid JSON")]
    [InlineData("env as an array", """{"id":"/bad","cmd":"sleep 9","env":[1]}""", "/env", "Invalid JSON")]
    [InlineData("no id", """{"cmd":"sleep 9"}""", "/id", null)]
    [InlineData("upper case in the id", """{"id":"/Bad","cmd":"sleep 9"}""", "/id", null)]
    [InlineData("underscore and ! in the id", """{"id":"/bad_id!","cmd":"sleep 9"}""", "/id", null)]
    [InlineData("instances -1", """{"id":"/bad","cmd":"sleep 9","instances":-1}""", "/instances", null)]
    [InlineData("unknown operator", """{"id":"/bad","cmd":"sleep 9","constraints":[["hostname","NEAR"]]}""", "/constraints(0)", null)]
    [InlineData("a LIKE that is no regex", """{"id":"/bad","cmd":"sleep 9","constraints":[["hostname","LIKE","node[0-9"]]}""", "/constraints(0)", null)]
    [InlineData("UNIQUE with a value", """{"id":"/bad","cmd":"sleep 9","constraints":[["hostname","UNIQUE","x"]]}""", "/constraints(0)", null)]
    [InlineData("port 70000", """{"id":"/bad","cmd":"sleep 9","ports":[70000]}""", "/ports", null)]
    [InlineData("port 70000, defined", """{"id":"/bad","cmd":"sleep 9","portDefinitions":[{"port":70000}]}""", "/portDefinitions", null)]
    [InlineData("a port twice", """{"id":"/bad","cmd":"sleep 9","ports":[3000,3000]}""", "/ports", null)]
    [InlineData("portIndex beyond the ports", """{"id":"/bad","cmd":"sleep 9","ports":[0],"healthChecks":[{"protocol":"HTTP","portIndex":3}]}""", "/healthChecks(0)", null)]
    [InlineData("upgradeStrategy 1.5", """{"id":"/bad","cmd":"sleep 9","upgradeStrategy":{"minimumHealthCapacity":1.5}}""", "/upgradeStrategy/minimumHealthCapacity", null)]
    [InlineData("cmd and args", """{"id":"/bad","cmd":"sleep 9","args":["sleep","9"]}""", "/", null)]
    [InlineData("nothing to run", """{"id":"/bad"}""", "/", null)]
    public async Task An_app_that_cannot_be_is_refused_with_path_and_reason(string what, string body, string path, string? message)
    {
        var before = await Api.AppIdsAsync();

        var answer = await Api.SendAsync(HttpMethod.Post, "/v2/apps", Encoding.UTF8.GetBytes(body));

        Assert.True(answer.Status == HttpStatusCode.UnprocessableEntity, $"{what}: {(int)answer.Status} {answer.Body}");
        Assert.Equal(message ?? answer.Json["message"]!.GetValue<string>(), answer.Json["message"]!.GetValue<string>());
        var details = answer.Json["details"]!.AsArray();
        Assert.All(details, x => Assert.NotEmpty(x!["errors"]!.AsArray()));
        Assert.Contains(details, x => PathFits(x!["path"]!.GetValue<string>(), path));
        Assert.Equal(before, await Api.AppIdsAsync());
    }

    [DockerFact]
    public async Task All_problems_are_named_at_once()
    {
        const string body = """{"id":"/bad","cmd":"sleep 9","instances":-1,"ports":[70000],"upgradeStrategy":{"minimumHealthCapacity":1.5}}""";
        var answer = (await Api.SendAsync(HttpMethod.Post, "/v2/apps", Encoding.UTF8.GetBytes(body))).Must(HttpStatusCode.UnprocessableEntity);
        Assert.True(answer.Json["details"]!.AsArray().Count >= 3, answer.Body);
    }

    [DockerTheory]
    [InlineData("""{"id":""", "Invalid JSON")]
    [InlineData("no JSON at all", "Invalid JSON")]
    [InlineData("", "Please specify data in JSON format")]
    public async Task A_body_that_is_no_json_is_400_with_the_parsers_words(string body, string message)
    {
        var before = await Api.AppIdsAsync();
        foreach (var (method, path) in ((HttpMethod, string)[])[(HttpMethod.Post, "/v2/apps"), (HttpMethod.Put, "/v2/apps/bad")])
        {
            var answer = (await Api.SendAsync(method, path, Encoding.UTF8.GetBytes(body))).Must(HttpStatusCode.BadRequest);
            Assert.Equal(message, answer.Json["message"]!.GetValue<string>());
            Assert.Equal(System.Text.Json.JsonValueKind.String, answer.Json["details"]!.GetValueKind());
        }
        Assert.Equal(before, await Api.AppIdsAsync());
    }

    [DockerFact]
    public async Task Five_megabytes_are_413()
    {
        var before = await Api.AppIdsAsync();
        var body = new JsonObject { ["id"] = "/bad", ["cmd"] = "sleep 9", ["env"] = new JsonObject { ["A"] = new string('a', 5 * 1024 * 1024) } };

        var answer = await Api.PostAsync("/v2/apps", body);

        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, answer.Status);
        Assert.NotEqual("", answer.Json["message"]!.GetValue<string>());
        Assert.Equal(before, await Api.AppIdsAsync());
    }

    [DockerFact]
    public async Task A_taken_id_is_409_and_the_app_stays_as_it_was()
    {
        await Api.CreateAsync(Apps.Web("/taken", 0));
        var before = await Api.AppAsync("/taken");

        var answer = (await Api.PostAsync("/v2/apps", Apps.Web("/taken", 3))).Must(HttpStatusCode.Conflict);

        Assert.Equal("An app with id [/taken] already exists.", answer.Json["message"]!.GetValue<string>());
        Assert.Equal(before with { Deploying = false }, await Api.AppAsync("/taken") with { Deploying = false }, AppViewContent.Same);
    }

    [DockerFact]
    public async Task Scaling_an_app_that_is_not_there_is_422_and_creates_nothing()
    {
        var before = await Api.AppIdsAsync();
        (await Api.PutAsync("/v2/apps/missing", new JsonObject { ["instances"] = 3 })).Must(HttpStatusCode.UnprocessableEntity);
        (await Api.GetAsync("/v2/apps/missing")).Must(HttpStatusCode.NotFound);
        Assert.Equal(before, await Api.AppIdsAsync());
    }

    [DockerTheory]
    [InlineData("GET", "/v2/apps/nowhere", HttpStatusCode.NotFound)]
    [InlineData("DELETE", "/v2/apps/nowhere", HttpStatusCode.NotFound)]
    [InlineData("GET", "/v2/apps/nowhere/tasks", HttpStatusCode.NotFound)]
    [InlineData("GET", "/v2/apps/nowhere/versions", HttpStatusCode.NotFound)]
    [InlineData("DELETE", "/v2/deployments/5ff0bd8d-1e70-4c08-b5ac-6ff1d1f2a1a1", HttpStatusCode.NotFound)]
    [InlineData("GET", "/v2/no-such-thing", HttpStatusCode.NotFound)]
    [InlineData("PUT", "/v2/info", HttpStatusCode.MethodNotAllowed)]
    public async Task What_is_not_there_answers_in_the_contracts_json(string method, string path, HttpStatusCode status)
    {
        var answer = (await Api.SendAsync(new HttpMethod(method), path, null)).Must(status);
        if (status == HttpStatusCode.NotFound) Assert.NotEqual("", answer.Json["message"]!.GetValue<string>());
    }

    [DockerFact]
    public async Task An_image_that_does_not_exist_fails_the_task_with_its_name_backs_off_and_disturbs_nobody()
    {
        var app = Apps.Web("/no-image").With("backoffSeconds", 20);
        app["container"]!["docker"]!["image"] = "platform-tests/no-such-image:1";
        await Api.CreateAsync(app);

        await Api.CreateAsync(Apps.Web("/beside"));
        await Api.ReadyAsync("/beside");
        var failure = await Eventually.GetAsync("the failure is told", async () =>
            (await Api.GetAsync("/v2/apps/no-image?embed=app.lastTaskFailure")).Json["app"]?["lastTaskFailure"], x => x is not null);
        Assert.Contains("platform-tests/no-such-image", failure!["message"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.StartsWith("TASK_", failure["state"]!.GetValue<string>(), StringComparison.Ordinal);
        var waiting = await Eventually.GetAsync("its backoff is in the queue", () => Api.QueueItemAsync("/no-image"), x => x is not null);
        Assert.False(waiting!["delay"]!["overdue"]!.GetValue<bool>());
        Assert.InRange(waiting["delay"]!["timeLeftSeconds"]!.GetValue<int>(), 1, 30);
        Assert.Equal(1, (await Api.AppAsync("/beside")).Running);
        (await Api.DeleteAsync("/v2/apps/no-image")).Must(HttpStatusCode.OK);
        await Api.GoneAsync("/no-image");
    }

    private static bool PathFits(string path, string expected) =>
        expected == "/" || path == expected || path.StartsWith($"{expected}/", StringComparison.Ordinal) || path.StartsWith($"{expected}(", StringComparison.Ordinal)
        || (expected == "/ports" && path.StartsWith("/portDefinitions", StringComparison.Ordinal)); // ports are stored as definitions

    private sealed class AppViewContent : IEqualityComparer<AppView>
    {
        public static readonly AppViewContent Same = new();

        public bool Equals(AppView? x, AppView? y) => x is not null && y is not null && x.ServicePorts.SequenceEqual(y.ServicePorts) && x with { ServicePorts = [] } == y with { ServicePorts = [] };
        public int GetHashCode(AppView view) => view.Version.GetHashCode(StringComparison.Ordinal);
    }
}
