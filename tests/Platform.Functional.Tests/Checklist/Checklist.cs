using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>
/// What Marathon's own system and integration tests check (contract, section 9), line by line: the name of each test is its line's number and
/// wording. <see cref="CoverageTests"/> sees to it that no line is forgotten.
/// </summary>
public abstract class ChecklistTests(OnePlatform one) : IClassFixture<OnePlatform>
{
    private protected PlatformUnderTest Platform => one.Platform;
    private protected MarathonApi Api => one.Platform.Api;

    /// <summary>A plain process that only sleeps.</summary>
    private protected static JsonObject Sleeper(string id, int instances = 1) => new()
    {
        ["id"] = id, ["cmd"] = "sleep 9999", ["instances"] = instances, ["cpus"] = 0.01, ["mem"] = 16, ["ports"] = new JsonArray(),
    };

    /// <summary>A check on the node that passes while this holds inside of the task.</summary>
    private protected static JsonObject CommandCheck(string condition) =>
        new() { ["protocol"] = "COMMAND", ["command"] = new JsonObject { ["value"] = condition }, ["delaySeconds"] = 0 };

    /// <summary>More than the machine has.</summary>
    private protected const int TooManyCpus = 1000;

    private protected async Task<AppView> RunAsync(JsonObject app)
    {
        await Api.CreateAsync(app);
        return await Api.ReadyAsync(IdOf(app));
    }

    private protected Task RemoveAsync(params string[] ids) => Task.WhenAll(ids.Select(async id =>
    {
        (await Api.DeleteAsync($"/v2/apps{id}")).Must(HttpStatusCode.OK);
        await Api.GoneAsync(id);
    }));

    private protected async Task<string> PutAsync(string id, JsonObject change, bool force = false)
    {
        var answer = await Api.PutAsync($"/v2/apps{id}{(force ? "?force=true" : "")}", change);
        return answer.Must(HttpStatusCode.OK).Json["deploymentId"]!.GetValue<string>();
    }

    private protected async Task<JsonObject> AppAsync(string id, string query = "") =>
        (await Api.GetAsync($"/v2/apps{id}{query}")).Must(HttpStatusCode.OK).Json["app"]!.AsObject();

    private protected async Task<string[]> TaskIdsAsync(string id) => [.. (await Api.TasksAsync(id)).Select(t => t.Id).Order(StringComparer.Ordinal)];

    private protected async Task<JsonNode[]> DeploymentsOfAsync(string id) =>
    [
        .. (await Api.GetAsync("/v2/deployments")).Must(HttpStatusCode.OK).Json.AsArray().Select(d => d!)
            .Where(d => d["affectedApps"]!.AsArray().Any(a => a!.GetValue<string>() == id)),
    ];

    private protected async Task<string> FailureAsync(string id) => (await Eventually.GetAsync("the failure is told",
        async () => (await AppAsync(id))["lastTaskFailure"]?["message"]?.GetValue<string>(), message => message is not null))!;

    /// <summary>Waits until as many of its tasks run.</summary>
    private protected Task<AppView> RunningAsync(string id, int count) =>
        Eventually.GetAsync($"{count} of {id} run", () => Api.AppAsync(id), a => a.Running == count && a.Staged == 0);

    private protected static string IdOf(JsonObject app) => app["id"]!.GetValue<string>();

    private protected static async Task<string> GetTextAsync(Uri uri)
    {
        using var http = new HttpClient();
        return await http.GetStringAsync(uri);
    }
}
