using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

internal sealed record Answer(HttpStatusCode Status, string Body, HttpResponseHeaders Headers)
{
    public JsonNode Json => JsonNode.Parse(Body) ?? throw new InvalidOperationException($"no JSON: {Body}");

    public Answer Must(HttpStatusCode expected) =>
        Status == expected ? this : throw new InvalidOperationException($"answered {(int)Status}, expected {(int)expected}: {Body}");
}

internal sealed record TaskView(string Id, string State, string Host, int[] Ports, string Version, bool Healthy)
{
    public string Container => $"platform-{Id}";
}

internal sealed record AppView(int Instances, int Staged, int Running, int Healthy, int Unhealthy, bool HasChecks, string Version, int[] ServicePorts, bool Deploying)
{
    public int Ready => HasChecks ? Healthy : Running;
}

/// <summary>The REST door, as a client of the Marathon contract sees it.</summary>
internal sealed class MarathonApi(Uri door) : IDisposable
{
    private readonly HttpClient _http = new() { BaseAddress = door, Timeout = TimeSpan.FromSeconds(Eventually.Patience) };

    public Task<Answer> GetAsync(string path, string accept = "*/*") => SendAsync(HttpMethod.Get, path, null, accept);
    public Task<Answer> PostAsync(string path, JsonNode body) => SendAsync(HttpMethod.Post, path, Encoding.UTF8.GetBytes(body.ToJsonString()));
    public Task<Answer> PutAsync(string path, JsonNode body) => SendAsync(HttpMethod.Put, path, Encoding.UTF8.GetBytes(body.ToJsonString()));
    public Task<Answer> DeleteAsync(string path) => SendAsync(HttpMethod.Delete, path, null);

    public async Task<Answer> SendAsync(HttpMethod method, string path, byte[]? body, string accept = "*/*")
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Accept.ParseAdd(accept);
        if (body is not null)
        {
            request.Content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
            request.Headers.ExpectContinue = body.Length > 1_000_000; // a refusal of a large body comes before the body, so no race with a reset
        }
        using var response = await _http.SendAsync(request);
        return new Answer(response.StatusCode, await response.Content.ReadAsStringAsync(), response.Headers);
    }

    public async Task<Answer> CreateAsync(JsonObject app) => (await PostAsync("/v2/apps", app)).Must(HttpStatusCode.Created);

    public async Task<AppView> AppAsync(string id)
    {
        var app = (await GetAsync($"/v2/apps/{id.TrimStart('/')}")).Must(HttpStatusCode.OK).Json["app"]!;
        int Number(string name) => app[name]?.GetValue<int>() ?? 0;
        return new AppView(Number("instances"), Number("tasksStaged"), Number("tasksRunning"), Number("tasksHealthy"), Number("tasksUnhealthy"),
            app["healthChecks"] is JsonArray { Count: > 0 }, app["version"]!.GetValue<string>(), Numbers(app["ports"]), app["deployments"] is JsonArray { Count: > 0 });
    }

    public async Task<TaskView[]> TasksAsync(string id)
    {
        var answer = await GetAsync($"/v2/apps/{id.TrimStart('/')}/tasks");
        return [.. answer.Must(HttpStatusCode.OK).Json["tasks"]!.AsArray().Select(x => View(x!))];
    }

    public async Task<string[]> AppIdsAsync() =>
        [.. (await GetAsync("/v2/apps")).Must(HttpStatusCode.OK).Json["apps"]!.AsArray().Select(x => x!["id"]!.GetValue<string>()).Order(StringComparer.Ordinal)];

    public async Task<JsonObject?> QueueItemAsync(string id) =>
        (await GetAsync("/v2/queue")).Must(HttpStatusCode.OK).Json["queue"]!.AsArray().FirstOrDefault(x => x!["app"]?["id"]?.GetValue<string>() == id)?.AsObject();

    /// <summary>All instances ready, and no deployment of the app any more.</summary>
    public Task<AppView> ReadyAsync(string id, double seconds = Eventually.Patience) => Eventually.GetAsync(
        $"{id} is ready and its deployment has ended", () => AppAsync(id), x => x.Ready == x.Instances && x.Staged == 0 && !x.Deploying, seconds);

    /// <summary>The app is unknown at once; gone it is when its last task has ended too.</summary>
    public async Task GoneAsync(string id, double seconds = Eventually.Patience)
    {
        var path = id.TrimStart('/');
        await Eventually.GetAsync($"{id} is unknown", async () => (await GetAsync($"/v2/apps/{path}")).Status, x => x == HttpStatusCode.NotFound, seconds);
        await Eventually.HoldsAsync(
            $"{id} has no task left", async () => !(await GetAsync("/v2/tasks")).Json["tasks"]!.AsArray().Any(x => x!["appId"]!.GetValue<string>() == $"/{path}"), seconds);
    }

    public void Dispose() => _http.Dispose();

    private static TaskView View(JsonNode task) => new(
        task["id"]!.GetValue<string>(), task["state"]!.GetValue<string>(), task["host"]!.GetValue<string>(), Numbers(task["ports"]), task["version"]?.GetValue<string>() ?? "",
        task["healthCheckResults"] is JsonArray { Count: > 0 } results && results.All(x => x!["alive"]?.GetValue<bool>() == true));

    private static int[] Numbers(JsonNode? array) => array is JsonArray items ? [.. items.Select(x => x!.GetValue<int>())] : [];
}
