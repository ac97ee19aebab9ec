using System.Net;
using System.Text.RegularExpressions;
using Platform.Scheduler.Api;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>
/// The endpoint tables of the contract (1.2 to 1.10), row by row: every operation with every status it documents, as it goes over the wire. The last
/// test reads the golden files: a status that no answer shows, or that is shown and not documented, fails it.
/// </summary>
public sealed partial class RowTests
{
    private const string Pod = """{"id":"/p","containers":[{"name":"c","resources":{"cpus":0.1,"mem":32},"image":{"kind":"DOCKER","id":"x"},"exec":{"command":{"shell":"sleep 1"}}}]}""";
    private const string StuckPod = """{"id":"/p","containers":[{"name":"c","resources":{"cpus":1000,"mem":32},"image":{"kind":"DOCKER","id":"x"},"exec":{"command":{"shell":"sleep 1"}}}]}""";
    private const string Stuck = """{"id":"/a","cmd":"sleep 1","cpus":1000}""";

    /// <summary>What the contract knows of, and our additions within it; areas of our own have tests of their own.</summary>
    private static readonly string[] Areas =
    [
        "apps", "groups", "pods", "tasks", "deployments", "queue", "artifacts", "secrets", "events", "eventSubscriptions", "info", "leader", "plugins", "schemas", "openapi.json",
    ];

    private static bool IsOfContract(Route route) =>
        route.Path.Split('/', '{', ':') is not ["", "v2", var area, ..] || Areas.Contains(area);

    /// <summary>Every operation that takes JSON, with a body that would do.</summary>
    private static readonly (string Method, string Path, string Body)[] Writes =
    [
        ("POST", "/v2/apps", """{"id":"/new","cmd":"sleep 1"}"""), ("PUT", "/v2/apps", """[{"id":"/a","instances":2}]"""), ("PATCH", "/v2/apps", """[{"id":"/a","instances":2}]"""),
        ("PUT", "/v2/apps/a", """{"instances":2}"""), ("PATCH", "/v2/apps/a", """{"instances":2}"""),
        ("POST", "/v2/groups", """{"id":"/newgroup","apps":[{"id":"x","cmd":"sleep 1"}]}"""), ("POST", "/v2/groups/newgroup", """{"apps":[{"id":"x","cmd":"sleep 1"}]}"""),
        ("PUT", "/v2/groups", """{"scaleBy":2}"""), ("PUT", "/v2/groups/g", """{"scaleBy":2}"""), ("PATCH", "/v2/groups", """{"enforceRole":true}"""),
        ("PATCH", "/v2/groups/g", """{"enforceRole":true}"""), ("POST", "/v2/pods", Pod.Replace("/p", "/newpod", StringComparison.Ordinal)), ("PUT", "/v2/pods/p", Pod),
    ];

    private static readonly (string Method, string Path)[] Changes =
    [
        ("POST", "/v2/apps/a/restart"), ("DELETE", "/v2/apps/a"), ("DELETE", "/v2/groups"), ("DELETE", "/v2/groups/g"), ("DELETE", "/v2/pods/p"),
    ];

    private static readonly (string Method, string Path)[] OtherBodies =
        [("POST", "/v2/tasks/delete"), ("DELETE", "/v2/pods/p::instances"), ("PUT", "/v2/secrets/s"), ("POST", "/logging")];

    private static async Task<ApiWorld> DeployedAsync(ApiOptions? options = null, SchedulerSettings? settings = null)
    {
        var world = await ApiWorld.StartAsync(options: options, settings: settings);
        await world.CreateAsync("""{"id":"/a","cmd":"sleep 1","cpus":0.1}""");
        (await world.PostAsync("/v2/groups", """{"id":"/g","apps":[{"id":"b","cmd":"sleep 1","cpus":0.1}]}""")).Must(HttpStatusCode.Created);
        (await world.PostAsync("/v2/pods", Pod)).Must(HttpStatusCode.Created);
        await world.SettleAsync();
        return world;
    }

    [Fact]
    public async Task What_is_not_JSON_is_400()
    {
        await using var world = await DeployedAsync();
        var transcript = new Transcript(world);
        foreach (var (method, path, _) in Writes) await transcript.NoteAsync(method, path, "{");
        foreach (var (method, path) in OtherBodies) await transcript.NoteAsync(method, path, path.StartsWith("/v2/secrets", StringComparison.Ordinal) ? """{"value":""" : "{");
        await transcript.NoteAsync("DELETE", "/v2/apps/a/tasks?scale=true&wipe=true");
        await transcript.NoteAsync("DELETE", $"/v2/apps/a/tasks/{world.InstancesOf("/a")[0].Id.TaskId}?scale=true&wipe=true");
        await transcript.NoteAsync("DELETE", "/v2/pods/p::instances/x?wipe=perhaps");
        transcript.Check("rows-400");
    }

    [Fact]
    public async Task Whose_limit_of_deployments_is_reached_gets_403()
    {
        await using var world = await ApiWorld.StartAsync(settings: new SchedulerSettings { NodeLostAfter = TimeSpan.FromDays(1), DeploymentsMax = 3 });
        await world.CreateAsync("""{"id":"/a","cmd":"sleep 1","cpus":0.1}""");
        await world.PostAsync("/v2/groups", """{"id":"/g","apps":[{"id":"b","cmd":"sleep 1","cpus":0.1}]}""");
        await world.PostAsync("/v2/pods", Pod);
        await world.SettleAsync();
        foreach (var id in (string[])["/s1", "/s2", "/s3"]) await world.PostAsync("/v2/apps", Stuck.Replace("/a", id, StringComparison.Ordinal));
        var transcript = new Transcript(world);
        foreach (var (method, path, body) in Writes.Where(w => w is not { Method: "PATCH", Path: "/v2/groups" or "/v2/groups/g" } and not { Path: "/v2/groups", Method: "PUT" }))
            await transcript.NoteAsync(method, path, body);
        await transcript.NoteAsync("PUT", "/v2/groups", """{"apps":[{"id":"/a","cmd":"sleep 2"},{"id":"/s1","cmd":"sleep 1","cpus":1000},{"id":"/s2","cmd":"sleep 1","cpus":1000},{"id":"/s3","cmd":"sleep 1","cpus":1000}]}""");
        foreach (var (method, path) in Changes.Where(c => c.Path != "/v2/groups")) await transcript.NoteAsync(method, path);
        for (var i = 0; i < 1000; i++) await world.PostAsync($"/v2/eventSubscriptions?callbackUrl=http://127.0.0.1:1/{i}");
        await transcript.NoteAsync("POST", "/v2/eventSubscriptions?callbackUrl=http://127.0.0.1:1/one-more");
        transcript.Check("rows-403");
    }

    [Fact]
    public async Task What_is_not_there_is_404()
    {
        await using var world = await ApiWorld.StartAsync();
        var transcript = new Transcript(world);
        foreach (var path in (string[])
            ["apps/x", "apps/x/*", "apps/x/tasks", "apps/x/versions", "apps/x/versions/2026-01-01T10:00:00.000Z", "apps/x/explain", "groups/x", "groups/x/apps", "groups/x/versions",
            "groups/x/versions/2026-01-01T10:00:00.000Z", "groups/versions/2020-01-01T10:00:00.000Z", "pods/x", "pods/x::status", "pods/x::versions", "pods/x::versions/2026-01-01T10:00:00.000Z",
            "deployments/records/x", "artifacts/x", "secrets/x", "plugins/x"])
            await transcript.NoteAsync("GET", $"/v2/{path}");
        foreach (var path in (string[])
            ["apps/x", "apps/x/tasks", "apps/x/tasks/x.instance-00000000-0000-8000-8000-000000000000._app.1", "groups/x", "pods/x", "pods/x::instances/y", "deployments/x", "queue/x/delay", "secrets/x",
            "leader", "plugins/x"])
            await transcript.NoteAsync("DELETE", $"/v2/{path}");
        await transcript.NoteAsync("DELETE", "/v2/pods/x::instances", """["x.instance-00000000-0000-8000-8000-000000000000"]""");
        await transcript.NoteAsync("POST", "/v2/apps/x/restart");
        await transcript.NoteAsync("POST", "/v2/plugins/x", "{}");
        await transcript.NoteAsync("PUT", "/v2/plugins/x", "{}");
        await transcript.NoteAsync("PATCH", "/v2/apps/x", """{"instances":2}""");
        await transcript.NoteAsync("PATCH", "/v2/apps", """[{"id":"/x","instances":2}]""");
        await transcript.NoteAsync("PUT", "/v2/apps", """[{"id":"/x","version":"2026-01-01T10:00:00.000Z"}]""");
        await transcript.NoteAsync("PUT", "/v2/apps/x", """{"version":"2026-01-01T10:00:00.000Z"}""");
        await transcript.NoteAsync("PATCH", "/v2/groups/x", """{"enforceRole":true}""");
        transcript.Check("rows-404");
    }

    [Fact]
    public async Task What_is_locked_or_taken_is_409()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.PostAsync("/v2/apps", Stuck);
        await world.PostAsync("/v2/groups", """{"id":"/g","apps":[{"id":"b","cmd":"sleep 1","cpus":1000}]}""");
        await world.PostAsync("/v2/pods", StuckPod);
        var transcript = new Transcript(world);
        var taken = Writes.Where(w => w.Method != "POST" && w is not { Method: "PATCH", Path: "/v2/groups" or "/v2/groups/g" }).Concat(
        [
            ("POST", "/v2/apps", Stuck), ("POST", "/v2/groups", """{"id":"/g"}"""), ("POST", "/v2/groups/a", "{}"), ("POST", "/v2/pods", Pod),
        ]);
        foreach (var (method, path, body) in taken) await transcript.NoteAsync(method, path, body);
        foreach (var (method, path) in Changes) await transcript.NoteAsync(method, path.StartsWith("/v2/apps/a", StringComparison.Ordinal) ? $"{path}?force=false" : path);
        await transcript.NoteAsync("DELETE", "/v2/apps/a/tasks?scale=true");
        transcript.Check("rows-409");
    }

    [Fact]
    public async Task Tasks_of_a_locked_app_are_not_scaled_away_and_that_is_409()
    {
        await using var world = await DeployedAsync();
        await world.PutAsync("/v2/apps/a", """{"cpus":1000}""");
        var task = world.InstancesOf("/a")[0].Id.TaskId;
        var transcript = new Transcript(world);
        await transcript.NoteAsync("DELETE", "/v2/apps/a/tasks?scale=true");
        await transcript.NoteAsync("DELETE", $"/v2/apps/a/tasks/{task}?scale=true");
        await transcript.NoteAsync("POST", "/v2/tasks/delete?scale=true", $$"""{"ids":["{{task}}"]}""");
        transcript.Check("rows-409-tasks");
    }

    [Fact]
    public async Task What_has_changed_meanwhile_is_412()
    {
        await using var world = await DeployedAsync();
        var transcript = new Transcript(world);
        (string, string) stale = ("If-Match", "\"2020-01-01T00:00:00.000Z\"");
        foreach (var (method, path, body) in Writes) await transcript.NoteAsync(method, path, body, headers: stale);
        foreach (var (method, path) in Changes) await transcript.NoteAsync(method, path, headers: stale);
        transcript.Check("rows-412");
    }

    [Fact]
    public async Task What_is_too_large_is_413()
    {
        await using var world = await DeployedAsync(new ApiOptions { AppBytesMax = 500, AppsBytesMax = 1000 });
        var transcript = new Transcript(world);
        var large = new string('x', 1200);
        foreach (var (method, path, _) in Writes) await transcript.NoteAsync(method, path, large);
        foreach (var (method, path) in OtherBodies) await transcript.NoteAsync(method, path, path.StartsWith("/v2/secrets", StringComparison.Ordinal) ? new string('x', 2 << 20) : large);
        transcript.Check("rows-413");
    }

    [Fact]
    public async Task What_is_JSON_and_makes_no_sense_is_422()
    {
        await using var world = await DeployedAsync();
        var transcript = new Transcript(world);
        foreach (var (method, path, _) in Writes) await transcript.NoteAsync(method, path, path == "/v2/apps" && method != "POST" ? """[{"id":5,"cpus":"x"}]""" : """{"id":5,"cpus":"x","enforceRole":"x"}""");
        foreach (var (method, path) in OtherBodies) await transcript.NoteAsync(method, path, """{"ids":5,"value":5,"logger":5}""");
        foreach (var path in (string[])["apps?label=(", "apps/a/versions/x", "groups/versions/x", "groups/g/versions/x", "pods/p::versions/x", "artifacts/a%01b"]) await transcript.NoteAsync("GET", $"/v2/{path}");
        foreach (var path in (string[])["leader?backup=file:///x", "eventSubscriptions", "pods/p::instances/x", "artifacts/a%01b"]) await transcript.NoteAsync("DELETE", $"/v2/{path}");
        await transcript.NoteAsync("POST", "/v2/eventSubscriptions?callbackUrl=ftp://x");
        transcript.Check("rows-422");
    }

    [Fact]
    public async Task What_is_well_is_done()
    {
        await using var world = await DeployedAsync(new ApiOptions { Abdicate = () => { } });
        var transcript = new Transcript(world);
        foreach (var path in (string[])
            ["/v2/apps/*", "/v2/apps/g/*", "/v2/apps/a/tasks", "/v2/pods/p", "/v2/groups", "/v2/groups/apps", "/v2/groups/versions", "/v2/eventSubscriptions", "/v2/leader", "/v2/plugins", "/ping", "/", "/ui", "/help"])
            await transcript.NoteAsync("GET", path);
        foreach (var path in (string[])["/v2/info", "/v2/schemas/app", "/v2/openapi.json", "/metrics", "/metrics/prometheus", "/logging", "/config", "/ui/"])
            await transcript.NoteAsync("GET", path, showBody: false);
        await transcript.NoteAsync("GET", "/ping", accept: "image/png");
        await transcript.NoteStreamAsync("/v2/events");
        var root = (await world.GetAsync("/v2/groups")).Json["version"]!.GetValue<string>();
        await transcript.NoteAsync("GET", $"/v2/groups/versions/{root}");
        foreach (var (method, path, body) in Writes.Where(w => w is not { Method: "PATCH", Path: "/v2/groups" or "/v2/groups/g" })) await transcript.NoteAsync(method, $"{path}?dryRun=true", body);
        foreach (var (method, path) in Changes) await transcript.NoteAsync(method, $"{path}?dryRun=true");
        foreach (var (method, path, body) in Writes.Where(w => w is not { Method: "PATCH", Path: "/v2/groups" }))
        {
            await transcript.NoteAsync(method, path, body.Replace("/newgroup", "/newgroup2", StringComparison.Ordinal));
            await world.SettleAsync();
        }
        await transcript.NoteAsync("PUT", "/v2/apps/made", """{"cmd":"sleep 1","cpus":0.1}""");
        await transcript.NoteAsync("PUT", "/v2/groups/made", """{"apps":[{"id":"x","cmd":"sleep 1"}]}""");
        await world.SettleAsync();
        await transcript.NoteAsync("DELETE", "/v2/apps/a/tasks?host=nobody");
        await transcript.NoteAsync("DELETE", $"/v2/apps/a/tasks/{world.InstancesOf("/a")[0].Id.TaskId}");
        await transcript.NoteAsync("POST", "/v2/tasks/delete", $$"""{"ids":["{{world.InstancesOf("/a")[1].Id.TaskId}}"]}""");
        await world.SettleAsync();
        await transcript.NoteAsync("POST", "/logging", """{"logger":"x","level":"warn","durationSeconds":60}""");
        await transcript.NoteAsync("POST", "/v2/eventSubscriptions?callbackUrl=http://127.0.0.1:1/x");
        await transcript.NoteAsync("DELETE", "/v2/eventSubscriptions?callbackUrl=http://127.0.0.1:1/x");
        await DeploymentsAsync(world, transcript);
        await transcript.NoteAsync("GET", "/v2/deployments");
        foreach (var (method, path) in Changes)
        {
            await transcript.NoteAsync(method, path);
            await world.SettleAsync();
        }
        await transcript.NoteAsync("DELETE", "/v2/leader");
        transcript.Check("rows-2xx");
    }

    /// <summary>Of those that cannot end: one is undone, the other given up; and what is left of one that has ended.</summary>
    private static async Task DeploymentsAsync(ApiWorld world, Transcript transcript)
    {
        var ids = new List<string>();
        foreach (var id in (string[])["/s1", "/s2"])
            ids.Add((await world.PostAsync("/v2/apps", Stuck.Replace("/a", id, StringComparison.Ordinal))).Json["deployments"]![0]!["id"]!.GetValue<string>());
        await transcript.NoteAsync("DELETE", "/v2/queue/s1/delay");
        await transcript.NoteAsync("DELETE", $"/v2/deployments/{ids[0]}");
        await transcript.NoteAsync("DELETE", $"/v2/deployments/{ids[1]}?force=true");
        await transcript.NoteAsync("GET", $"/v2/deployments/records/{ids[1]}");
        await world.SettleAsync();
    }

    [Fact]
    public async Task Artifacts_are_put_fetched_in_part_or_not_again_refused_and_removed()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var transcript = new Transcript(world);
        const string form = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\nhello\r\n--B--\r\n";
        var wrong = form.Replace("\"file\"", "\"other\"", StringComparison.Ordinal);
        var huge = form.Replace("hello", new string('x', (int)ApiWorld.ArtifactBytesMax), StringComparison.Ordinal);
        foreach (var (method, path) in new[] { ("POST", "/v2/artifacts"), ("POST", "/v2/artifacts/d/f"), ("PUT", "/v2/artifacts/d/g") })
            foreach (var body in (string[])[form, form, wrong, "--B\r\nbroken", huge])
                await transcript.NoteAsync(method, path, body, contentType: "multipart/form-data; boundary=B", showBody: body != huge); // how much is stored depends on how it was cut off
        var modified = (await transcript.NoteAsync("GET", "/v2/artifacts/f.txt")).Header("Last-Modified")!;
        await transcript.NoteAsync("GET", "/v2/artifacts/f.txt", headers: ("Range", "bytes=1-2"));
        await transcript.NoteAsync("GET", "/v2/artifacts/f.txt", headers: ("Range", "bytes=100-"));
        await transcript.NoteAsync("GET", "/v2/artifacts/f.txt", headers: ("If-Modified-Since", modified));
        await transcript.NoteAsync("DELETE", "/v2/artifacts/f.txt");
        transcript.Check("rows-artifacts");
    }

    [Fact]
    public async Task Every_operation_is_noted_with_every_status_it_documents_and_with_no_other()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var routes = new ApiRoutes(world.Rest.Documented);
        var noted = Directory.GetFiles(Path.Combine(Golden.Root, "api"), "*.txt").SelectMany(f => Exchange().Matches(File.ReadAllText(f)))
            .Select(m => (Method: m.Groups[1].Value, Path: m.Groups[2].Value.Split('?')[0], Status: m.Groups[3].Value))
            .Select(x => (routes.Find(x.Method == "HEAD" ? "GET" : x.Method, Uri.UnescapeDataString(x.Path).Split('/', StringSplitOptions.RemoveEmptyEntries)).Route, x.Status))
            .Where(x => x.Route is not null && IsOfContract(x.Route)).Select(x => $"{x.Route!.Method} {x.Route.Path} {x.Status}").ToHashSet();
        var documented = world.Rest.Documented.Where(IsOfContract).SelectMany(r => r.Statuses.Items.Select(s => $"{r.Method} {r.Path} {s}")).ToHashSet();
        Assert.True(documented.IsSubsetOf(noted), $"documented, and in no golden file:\n{string.Join('\n', documented.Except(noted).Order(StringComparer.Ordinal))}");
        Assert.True(noted.IsSubsetOf(documented), $"in a golden file, and not documented:\n{string.Join('\n', noted.Except(documented).Order(StringComparer.Ordinal))}");
    }

    [GeneratedRegex(@"^> ([A-Z]+) (\S+)\n(?:(?!< )(?!> ).*\n)*< (\d{3})$", RegexOptions.Multiline)]
    private static partial Regex Exchange();
}
