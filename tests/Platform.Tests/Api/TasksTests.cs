using System.Net;
using Platform.Model;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>/v2/tasks and the tasks of an app (contract 1.4, 1.7, 3).</summary>
public sealed class TasksTests
{
    private const string Bridge = """
        {"id":"/prod/web","cpus":0.1,"mem":32,"instances":2,"cmd":"serve",
         "container":{"type":"DOCKER","docker":{"image":"web"},"portMappings":[{"containerPort":80,"hostPort":0,"servicePort":9000},{"containerPort":81,"servicePort":9001}]},
         "networks":[{"mode":"container/bridge"}],"healthChecks":[{"protocol":"HTTP","path":"/"}]}
        """;

    private const string Plain = """{"id":"/batch","cmd":"sleep 600","cpus":0.1,"mem":32,"ports":[],"instances":1}""";

    [Fact]
    public async Task Tasks_are_listed_in_json_and_in_the_bridges_text()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 1);
        var transcript = new Transcript(world);
        await world.PostAsync("/v2/apps", Bridge);
        await transcript.NoteAsync("GET", "/v2/tasks");
        await transcript.NoteAsync("GET", "/v2/tasks", accept: "text/plain");
        await world.SettleAsync();
        await world.CreateAsync(Plain);
        await world.PostAsync("/v2/apps", """{"id":"/none","cmd":"sleep 1","ports":[],"instances":0}""");
        await transcript.NoteAsync("GET", "/v2/tasks");
        await transcript.NoteAsync("GET", "/v2/tasks", accept: "text/plain");
        await transcript.NoteAsync("GET", "/v2/apps/prod/web/tasks");
        await transcript.NoteAsync("GET", "/v2/apps/prod/web/tasks", accept: "text/plain");
        await transcript.NoteAsync("GET", "/v2/apps/prod/*/tasks", accept: "text/plain");
        transcript.Check("tasks");
    }

    [Fact]
    public async Task A_task_says_how_far_its_image_is_until_it_runs()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 1);
        await world.PostAsync("/v2/apps", Plain);
        var instance = Assert.Single(world.InstancesOf("/batch"));
        await world.ReportAsync(instance.Node, i => new InstanceReport { Id = i.Id, Serial = i.Serial, Phase = Phase.Staging, Detail = "pulling web: 3 of 5 layers" });
        Assert.Equal("pulling web: 3 of 5 layers", (await world.GetAsync("/v2/tasks")).Json["tasks"]![0]!["detail"]!.GetValue<string>());
        await world.SettleAsync();
        Assert.Null((await world.GetAsync("/v2/tasks")).Json["tasks"]![0]!["detail"]);
    }

    [Fact]
    public async Task A_resident_task_shows_its_volumes_and_wiping_takes_running_and_stopped_ones()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 1);
        await world.CreateAsync("""
            {"id":"/db","cmd":"serve","cpus":0.1,"mem":32,"ports":[],"instances":2,
             "container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":10}}]}}
            """);
        var instances = world.InstancesOf("/db");
        var volume = world.State.Apps[AppId.Parse("/db")].ReservationOf(instances[0].Id)!.Volumes[0];
        var shown = (await world.GetAsync("/v2/apps/db/tasks")).Json["tasks"]!.AsArray().Single(t => t!["id"]!.GetValue<string>() == instances[0].Id.TaskId)!["localVolumes"]!;
        Assert.Equal($$"""[{"runSpecId":"/db","containerPath":"data","uuid":"{{volume.Uuid}}","persistenceId":"db#data#{{volume.Uuid}}"}]""", shown.ToJsonString());

        await world.PutAsync("/v2/apps/db", """{"instances":1}""");
        await world.SettleAsync();
        var (kept, stopped) = (world.InstancesOf("/db").Single().Id, instances.Select(i => i.Id).Except(world.InstancesOf("/db").Select(i => i.Id)).Single());
        (await world.DeleteAsync($"/v2/apps/db/tasks/{stopped.TaskId}")).Must(HttpStatusCode.NotFound);
        var wiped = (await world.DeleteAsync($"/v2/apps/db/tasks/{stopped.TaskId}?wipe=true")).Must(HttpStatusCode.OK).Json["task"]!;
        Assert.Equal((stopped.TaskId, "TASK_KILLED"), (wiped["id"]!.GetValue<string>(), wiped["state"]!.GetValue<string>()));
        (await world.DeleteAsync("/v2/apps/db/tasks?wipe=true")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.DoesNotContain(world.State.Apps[AppId.Parse("/db")].Reservations.Keys, id => id == kept || id == stopped);
        Assert.Equal(3, world.State.Nodes.Values.Single().Used.DiskMib / 10); // two wait to be wiped, one is new
        (await world.DeleteAsync("/v2/apps/db/tasks?wipe=true&scale=true")).Must(HttpStatusCode.BadRequest);
    }

    [Theory]
    [InlineData("*/*", false)]
    [InlineData("application/json, text/plain, */*", false)]
    [InlineData("text/plain, application/json", true)]
    [InlineData("application/json;q=0.5, text/plain", true)]
    [InlineData("text/plain;q=0.1, application/json", false)]
    [InlineData("text/html", false)]
    public async Task The_text_is_for_those_who_would_rather_have_it(string accept, bool text)
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        Assert.Equal(text ? "text/plain; charset=utf-8" : "application/json; charset=utf-8", (await world.GetAsync("/v2/tasks", accept)).Header("Content-Type"));
    }

    [Theory]
    [InlineData("", 3)]
    [InlineData("?status=running", 1)]
    [InlineData("?status=staging", 2)]
    [InlineData("?status[]=running&status[]=staging", 3)]
    [InlineData("?status=lost", 3)]
    public async Task The_status_filters(string query, int expected)
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Plain);
        await world.PostAsync("/v2/apps", Bridge);
        Assert.Equal(expected, (await world.GetAsync("/v2/tasks" + query)).Json["tasks"]!.AsArray().Count);
    }

    [Fact]
    public async Task A_killed_task_is_answered_with_and_replaced()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Bridge);
        var victim = world.InstancesOf("/prod/web")[0];
        var answer = (await world.DeleteAsync($"/v2/apps//prod/web/tasks/{victim.Id.TaskId}")).Must(HttpStatusCode.OK);
        Assert.Equal(victim.Id.TaskId, answer.Json["task"]!["id"]!.GetValue<string>());
        Assert.Null(answer.Header("Marathon-Deployment-Id"));
        await world.SettleAsync();
        Assert.Equal(2, world.InstancesOf("/prod/web").Length);
        Assert.DoesNotContain(world.InstancesOf("/prod/web"), i => i.Id == victim.Id);
        (await world.DeleteAsync($"/v2/apps/prod/web/tasks/{victim.Id.TaskId}")).Must(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Killed_with_scale_it_is_not_replaced()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Bridge);
        var victim = world.InstancesOf("/prod/web")[0];
        var answer = (await world.DeleteAsync($"/v2/apps/prod/web/tasks/{victim.Id.TaskId}?scale=true")).Must(HttpStatusCode.OK);
        Assert.Equal(answer.Json["deploymentId"]!.GetValue<string>(), answer.Header("Marathon-Deployment-Id"));
        await world.SettleAsync();
        Assert.Single(world.InstancesOf("/prod/web"));
        Assert.Equal(1, (await world.GetAsync("/v2/apps/prod/web")).Json["app"]!["instances"]!.GetValue<int>());
    }

    [Fact]
    public async Task All_tasks_of_an_app_on_a_host_are_killed()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Bridge.Replace("\"instances\":2", "\"instances\":4", StringComparison.Ordinal));
        var on = world.InstancesOf("/prod/web").Where(i => i.Node.Name == "node1").Select(i => i.Id.TaskId).Order(StringComparer.Ordinal).ToArray();
        Assert.NotEmpty(on);
        var killed = (await world.DeleteAsync("/v2/apps/prod/web/tasks?host=node1")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray();
        Assert.Equal(on, killed.Select(t => t!["id"]!.GetValue<string>()).Order(StringComparer.Ordinal));
        Assert.Empty((await world.DeleteAsync("/v2/apps/prod/web/tasks?host=nowhere")).Json["tasks"]!.AsArray());
        Assert.Equal(4, (await world.DeleteAsync("/v2/apps/prod/web/tasks?host=*")).Json["tasks"]!.AsArray().Count);
    }

    [Fact]
    public async Task All_killed_with_scale_leaves_none()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Bridge);
        (await world.DeleteAsync("/v2/apps/prod/web/tasks?scale=true")).Must(HttpStatusCode.OK);
        await world.SettleAsync();
        Assert.Empty(world.InstancesOf("/prod/web"));
        Assert.Equal(0, (await world.GetAsync("/v2/apps/prod/web")).Json["app"]!["instances"]!.GetValue<int>());
    }

    [Fact]
    public async Task Several_are_killed_by_id_and_those_that_are_not_there_are_skipped()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Bridge);
        await world.CreateAsync(Plain);
        var ids = new[] { world.InstancesOf("/prod/web")[0].Id.TaskId, world.InstancesOf("/batch")[0].Id.TaskId };
        var body = $$"""{"ids":["{{ids[0]}}","{{ids[1]}}","{{ids[0]}}","gone.instance-00000000-0000-8000-8000-000000000000._app.1"]}""";
        var killed = (await world.PostAsync("/v2/tasks/delete", body)).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray();
        Assert.Equal(ids.Order(StringComparer.Ordinal), killed.Select(t => t!["id"]!.GetValue<string>()).Order(StringComparer.Ordinal));
        Assert.Empty((await world.PostAsync("/v2/tasks/delete", """{"ids":[]}""")).Must(HttpStatusCode.OK).Json["tasks"]!.AsArray());
        await world.SettleAsync();
        var scaled = (await world.PostAsync("/v2/tasks/delete?scale=true", $$"""{"ids":["{{world.InstancesOf("/batch")[0].Id.TaskId}}"]}""")).Must(HttpStatusCode.OK);
        Assert.NotEmpty(scaled.Json["deploymentId"]!.GetValue<string>());
    }

    [Fact]
    public async Task A_task_out_of_reach_is_listed_and_counts_as_nothing()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 1, settings: new SchedulerSettings());
        await world.CreateAsync("""{"id":"/far","cmd":"sleep 1","cpus":0.1,"unreachableStrategy":"disabled"}""");
        await world.AdvanceAsync(20);
        var app = (await world.GetAsync("/v2/apps/far")).Json["app"]!;
        Assert.Equal("TASK_UNREACHABLE", app["tasks"]![0]!["state"]!.GetValue<string>());
        Assert.Equal(0, app["tasksRunning"]!.GetValue<int>() + app["tasksStaged"]!.GetValue<int>());
    }

    [Fact]
    public async Task A_task_that_is_told_to_stop_is_killing()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Plain);
        await world.DeleteAsync($"/v2/apps/batch/tasks/{world.InstancesOf("/batch")[0].Id.TaskId}");
        Assert.Equal("TASK_KILLING", (await world.GetAsync("/v2/apps/batch/tasks")).Json["tasks"]![0]!["state"]!.GetValue<string>());
    }
}
