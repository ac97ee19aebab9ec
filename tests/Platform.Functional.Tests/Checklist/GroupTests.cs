using System.Net;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests.Checklist;

/// <summary>Lines 48 to 57: groups, and changes that meet one another.</summary>
public sealed class GroupTests(OnePlatform one) : ChecklistTests(one)
{
    private static JsonObject Group(string id, params JsonNode?[] apps) => new() { ["id"] = id, ["apps"] = new JsonArray([.. apps]) };

    /// <summary>Its first deployment, or update, never ends.</summary>
    private static JsonObject Stuck(string id) => Sleeper(id).With("cpus", TooManyCpus);

    private async Task<Answer> ApplyAsync(JsonObject group, HttpStatusCode expected, bool force = false, string method = "PUT")
    {
        var path = method == "PUT" ? $"/v2/groups{IdOf(group)}" : "/v2/groups";
        return (await Api.SendAsync(new HttpMethod(method), $"{path}{(force ? "?force=true" : "")}", System.Text.Encoding.UTF8.GetBytes(group.ToJsonString()))).Must(expected);
    }

    private async Task DeleteAsync(string group)
    {
        (await Api.DeleteAsync($"/v2/groups{group}?force=true")).Must(HttpStatusCode.OK);
        await Eventually.HoldsAsync($"{group} has no task left", async () => (await Api.GetAsync("/v2/tasks")).Json["tasks"]!.AsArray()
            .All(t => t?["appId"]?.GetValue<string>().StartsWith($"{group}/", StringComparison.Ordinal) == false));
    }

    [DockerFact]
    public async Task Line_48_Empty_group_create_201_update_200_delete_200_delete_unknown_404()
    {
        await ApplyAsync(Group("/line48"), HttpStatusCode.Created, method: "POST");
        await ApplyAsync(Group("/line48").With("dependencies", new JsonArray("/other")), HttpStatusCode.OK);
        (await Api.DeleteAsync("/v2/groups/line48")).Must(HttpStatusCode.OK);
        (await Api.DeleteAsync("/v2/groups/line48")).Must(HttpStatusCode.NotFound);
    }

    [DockerFact]
    public async Task Line_49_Group_with_apps_starts_all_update_of_one_restarts_only_it_same_group_again_restarts_nothing()
    {
        var group = Group("/line49", Sleeper("/line49/a"), Sleeper("/line49/b"));
        await ApplyAsync(group, HttpStatusCode.Created, method: "POST");
        await Api.ReadyAsync("/line49/a");
        await Api.ReadyAsync("/line49/b");
        var (a, b) = (await TaskIdsAsync("/line49/a"), await TaskIdsAsync("/line49/b"));
        await ApplyAsync(group, HttpStatusCode.OK);
        await Api.ReadyAsync("/line49/a");
        Assert.Equal((a, b), (await TaskIdsAsync("/line49/a"), await TaskIdsAsync("/line49/b")), Same);
        group["apps"]![0]!["cmd"] = "sleep 8888";
        await ApplyAsync(group, HttpStatusCode.OK);
        await Api.ReadyAsync("/line49/a");
        Assert.NotEqual(a, await TaskIdsAsync("/line49/a"));
        Assert.Equal(b, await TaskIdsAsync("/line49/b"));
        await DeleteAsync("/line49");
    }

    [DockerFact]
    public async Task Line_50_scaleBy_2_doubles_each_app_and_app_scaled_to_2_then_group_times_2_gives_4_and_2()
    {
        await ApplyAsync(Group("/line50", Sleeper("/line50/a"), Sleeper("/line50/b")), HttpStatusCode.Created, method: "POST");
        await Api.ReadyAsync("/line50/a");
        await Api.ReadyAsync("/line50/b");
        await PutAsync("/line50/a", new JsonObject { ["instances"] = 2 });
        await Api.ReadyAsync("/line50/a");
        (await Api.PutAsync("/v2/groups/line50", new JsonObject { ["scaleBy"] = 2 })).Must(HttpStatusCode.OK);
        Assert.Equal((4, 2), ((await Api.ReadyAsync("/line50/a")).Running, (await Api.ReadyAsync("/line50/b")).Running));
        await DeleteAsync("/line50");
    }

    [DockerFact]
    public async Task Line_51_Upgrade_keeps_at_least_min_health_capacity_at_all_times()
    {
        var app = Sleeper("/line51/a", 4).With("upgradeStrategy", new JsonObject { ["minimumHealthCapacity"] = 0.75, ["maximumOverCapacity"] = 0 }).WithCheck(CommandCheck("true"));
        await ApplyAsync(Group("/line51", app), HttpStatusCode.Created, method: "POST");
        await Api.ReadyAsync("/line51/a");
        await PutAsync("/line51/a", new JsonObject { ["cmd"] = "sleep 8888" });
        var least = int.MaxValue;
        await Eventually.HoldsAsync("the upgrade has ended", async () =>
        {
            var now = await Api.AppAsync("/line51/a");
            least = Math.Min(least, now.Healthy);
            return !now.Deploying;
        });
        Assert.InRange(least, 3, 4);
        await DeleteAsync("/line51");
    }

    [DockerFact]
    public async Task Line_52_Second_update_during_a_running_one_409_group_change_failed_with_force_200_and_then_OK()
    {
        await using var events = await EventStream.AttachAsync(Platform.ApiPort);
        await ApplyAsync(Group("/line52", Stuck("/line52/a")), HttpStatusCode.Created, method: "POST");
        var group = Group("/line52", Sleeper("/line52/a"));
        var refused = await ApplyAsync(group, HttpStatusCode.Conflict);
        Assert.Equal(Assert.Single(await DeploymentsOfAsync("/line52/a"))["id"]!.GetValue<string>(), Assert.Single(refused.Json["deployments"]!.AsArray())!["id"]!.GetValue<string>());
        await events.UntilAsync("group_change_failed", seen => seen.Any(e =>
            e.Type == "group_change_failed" && e.Data["groupId"]!.GetValue<string>() == "/" && e.Data["reason"]!.GetValue<string>().StartsWith("App is locked", StringComparison.Ordinal)));
        await ApplyAsync(group, HttpStatusCode.OK, force: true);
        Assert.Equal(1, (await Api.ReadyAsync("/line52/a")).Running);
        await DeleteAsync("/line52");
    }

    [DockerFact]
    public async Task Line_53_Delete_during_deployment_409_with_force_200()
    {
        await ApplyAsync(Group("/line53", Stuck("/line53/a")), HttpStatusCode.Created, method: "POST");
        (await Api.DeleteAsync("/v2/groups/line53")).Must(HttpStatusCode.Conflict);
        (await Api.DeleteAsync("/v2/groups/line53?force=true")).Must(HttpStatusCode.OK);
        await Api.GoneAsync("/line53/a");
    }

    [DockerFact]
    public async Task Line_54_Rollback_by_version()
    {
        await ApplyAsync(Group("/line54", Sleeper("/line54/a")), HttpStatusCode.Created, method: "POST");
        await Api.ReadyAsync("/line54/a");
        var version = (await Api.GetAsync("/v2/groups/line54")).Json["version"]!.GetValue<string>();
        await ApplyAsync(Group("/line54", Sleeper("/line54/a").With("cmd", "sleep 8888"), Sleeper("/line54/b")), HttpStatusCode.OK);
        await Api.ReadyAsync("/line54/b");
        await Api.ReadyAsync("/line54/a");
        (await Api.PutAsync("/v2/groups/line54", new JsonObject { ["version"] = version })).Must(HttpStatusCode.OK);
        await Api.GoneAsync("/line54/b");
        await Api.ReadyAsync("/line54/a");
        Assert.Equal("sleep 9999", (await AppAsync("/line54/a"))["cmd"]!.GetValue<string>());
        await DeleteAsync("/line54");
    }

    [DockerFact]
    public async Task Line_55_Cyclic_dependencies_422()
    {
        var cycle = Group("/line55", Sleeper("/line55/a").With("dependencies", new JsonArray("/line55/b")), Sleeper("/line55/b").With("dependencies", new JsonArray("/line55/a")));
        Assert.Contains("cyclic", (await ApplyAsync(cycle, HttpStatusCode.UnprocessableEntity, method: "POST")).Body, StringComparison.Ordinal);
        (await Api.GetAsync("/v2/groups/line55")).Must(HttpStatusCode.NotFound);
    }

    [DockerFact]
    public async Task Line_56_Dependency_order_db_before_service_before_frontend_by_startup_health_relative_dependencies_resolved_to_absolute()
    {
        JsonObject Part(string id, params JsonNode?[] dependencies) => Sleeper(id).With("dependencies", new JsonArray([.. dependencies])).WithCheck(CommandCheck("true"));
        var group = new JsonObject
        {
            ["id"] = "/line56",
            ["groups"] = new JsonArray(
                Group("frontend", Part("web")).With("dependencies", new JsonArray("../service")),
                Group("service", Part("api", "../../db/sql")),
                Group("db", Part("sql"))),
        };
        await ApplyAsync(group, HttpStatusCode.Created, method: "POST");
        foreach (var id in (string[])["/line56/db/sql", "/line56/service/api", "/line56/frontend/web"]) await Api.ReadyAsync(id);
        var (db, service, frontend) = (await CourseAsync("/line56/db/sql"), await CourseAsync("/line56/service/api"), await CourseAsync("/line56/frontend/web"));
        Assert.True(string.CompareOrdinal(db.Healthy, service.Staged) <= 0, $"{db} before {service}");
        Assert.True(string.CompareOrdinal(service.Healthy, frontend.Staged) <= 0, $"{service} before {frontend}");
        Assert.Equal("/line56/db/sql", (await AppAsync("/line56/service/api"))["dependencies"]![0]!.GetValue<string>());
        Assert.Equal("/line56/service", (await Api.GetAsync("/v2/groups/line56/frontend")).Json["dependencies"]![0]!.GetValue<string>());
        await DeleteAsync("/line56");
    }

    [DockerFact]
    public async Task Line_57_enforceRole_only_by_PATCH_at_top_level_second_level_PATCH_fails_422()
    {
        await ApplyAsync(new JsonObject { ["id"] = "/line57", ["groups"] = new JsonArray(Group("second")) }, HttpStatusCode.Created, method: "POST");
        var patch = """{"enforceRole":true}"""u8.ToArray();
        (await Api.SendAsync(HttpMethod.Put, "/v2/groups/line57", patch)).Must(HttpStatusCode.UnprocessableEntity);
        (await Api.SendAsync(HttpMethod.Patch, "/v2/groups/line57", patch)).Must(HttpStatusCode.OK);
        Assert.True((await Api.GetAsync("/v2/groups/line57")).Json["enforceRole"]!.GetValue<bool>());
        (await Api.SendAsync(HttpMethod.Patch, "/v2/groups/line57/second", patch)).Must(HttpStatusCode.UnprocessableEntity);
        await DeleteAsync("/line57");
    }

    private static bool Same((string[] A, string[] B) x, (string[] A, string[] B) y) => x.A.SequenceEqual(y.A) && x.B.SequenceEqual(y.B);

    private async Task<(string Staged, string Healthy)> CourseAsync(string id)
    {
        var task = (await AppAsync(id))["tasks"]![0]!;
        return (task["stagedAt"]!.GetValue<string>(), task["healthCheckResults"]![0]!["firstSuccess"]!.GetValue<string>());
    }
}
