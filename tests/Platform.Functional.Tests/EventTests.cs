using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>GET /v2/events tells an app's life in order.</summary>
public sealed class EventTests
{
    [DockerFact]
    public async Task Create_and_delete_are_told_in_order()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await using var stream = await EventStream.AttachAsync(platform.ApiPort);
        await stream.UntilAsync("the stream says that it is attached", x => x.Any(e => e.Type == "event_stream_attached"));

        await platform.Api.CreateAsync(Apps.Web("/told").WithHttpCheck());
        var created = await stream.UntilAsync("deployment_success", x => x.Any(e => e.Type == "deployment_success"));
        InOrder(created, "api_post_event", "deployment_info", "status_update_event:TASK_RUNNING", "health_status_changed_event", "deployment_step_success", "deployment_success");
        Assert.Equal("/told", created.First(x => x.Type == "api_post_event").Data["appDefinition"]!["id"]!.GetValue<string>());
        Assert.Equal(2, created.Count(x => x.Type == "deployment_info")); // StartApplication, then ScaleApplication

        await platform.Api.DeleteAsync("/v2/apps/told");
        var deleted = (await stream.UntilAsync("a second deployment_success, and the app's end", x =>
            x.Count(e => e.Type == "deployment_success") == 2 && x.Any(e => e.Type == "app_terminated_event")))[created.Length..];
        InOrder(deleted, "deployment_info", "status_update_event:TASK_KILLED", "deployment_success");
        Assert.Equal("/told", deleted.First(x => x.Type == "app_terminated_event").Data["appId"]!.GetValue<string>());
        Assert.All(deleted.Concat(created), x => Assert.Equal(x.Type, x.Data["eventType"]!.GetValue<string>()));
        Assert.All(deleted.Concat(created), x => Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", x.Data["timestamp"]!.GetValue<string>()));
    }

    [DockerFact]
    public async Task Without_the_right_accept_header_it_is_refused()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        (await platform.Api.GetAsync("/v2/events")).Must(System.Net.HttpStatusCode.MethodNotAllowed);
    }

    private static void InOrder(PlatformEvent[] events, params string[] expected)
    {
        var names = events.Select(x => x.Type == "status_update_event" ? $"{x.Type}:{x.Data["taskStatus"]}" : x.Type).ToList();
        var at = -1;
        foreach (var name in expected)
        {
            at = names.IndexOf(name, at + 1);
            Assert.True(at >= 0, $"{name} is missing, or not after those before it in [{string.Join(", ", expected)}]; seen: {string.Join(", ", names)}");
        }
    }
}
