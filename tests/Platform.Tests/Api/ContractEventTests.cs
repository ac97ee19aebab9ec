using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Platform.Model;
using Platform.Scheduler.Api;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>Every kind of event of the contract that this scheduler tells, as its clients will read it (6.2).</summary>
public sealed class ContractEventTests
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static readonly string[] Kinds =
    [
        "add_health_check_event", "api_post_event", "app_terminated_event", "deployment_failed", "deployment_info", "deployment_step_success", "deployment_success",
        "event_stream_attached", "event_stream_detached", "events_missed", "failed_health_check_event", "group_change_failed", "group_change_success", "health_status_changed_event",
        "instance_changed_event", "instance_health_changed_event", "remove_health_check_event", "status_update_event", "subscribe_event", "unhealthy_instance_kill_event", "unsubscribe_event",
    ];

    [Fact]
    public async Task Each_kind_has_its_golden_file()
    {
        await using var world = await ApiWorld.StartAsync(settings: new SchedulerSettings());
        await LiveAsync(world);
        var events = world.Published.SelectMany(ContractEvents.Of)
            .Append(ContractEvents.GroupChangeFailed(AppId.Parse("/shop"), "App is locked by one or more deployments.", ApiWorld.Start))
            .Append(ContractEvents.StreamAttached("10.1.1.5", ApiWorld.Start))
            .Append(ContractEvents.StreamDetached("10.1.1.5", ApiWorld.Start))
            .Append(ContractEvents.Subscribed("10.1.1.5", "http://10.1.1.5:9292/cb", ApiWorld.Start))
            .Append(ContractEvents.Unsubscribed("10.1.1.5", "http://10.1.1.5:9292/cb", ApiWorld.Start))
            .Append(ContractEvents.Missed("17.2", 4711, ApiWorld.Start))
            .ToList();
        Assert.Equal(Kinds, events.Select(e => e.Type).Distinct().Order(StringComparer.Ordinal));
        foreach (var kind in events.GroupBy(e => e.Type))
        {
            var text = new StringBuilder();
            foreach (var form in kind.GroupBy(Form).Select(g => g.First()))
                text.AppendLine(JsonNode.Parse(form.Json)!.ToJsonString(Indented));
            Golden.Check($"api/events/{kind.Key}.json", text.ToString());
        }
        Assert.All(events, e => Assert.DoesNotContain((byte)'\n', e.Json));
    }

    /// <summary>One of each: status and condition make their events look different, the rest repeats.</summary>
    private static string Form(ContractEvent e)
    {
        var json = JsonNode.Parse(e.Json)!;
        return $"{json["taskStatus"]}{json["condition"]}{json["alive"]}{json["healthy"]}";
    }

    /// <summary>A life with all that can happen to an app.</summary>
    private static async Task LiveAsync(ApiWorld world)
    {
        await world.CreateAsync("""{"id":"/shop/web","cmd":"serve","cpus":0.1,"mem":32,"instances":2,"ports":[0],"healthChecks":[{"protocol":"HTTP","path":"/health"}]}""");
        var (first, second) = (world.InstancesOf("/shop/web")[0], world.InstancesOf("/shop/web")[1]);
        await world.ReportAsync(world.Running(first, alive: false));
        await world.EndAsync(first, TerminalState.Killed, "Task was killed since health check failed. Reason: ConnectionRefused", healthKill: true);
        await world.EndAsync(second, TerminalState.Failed, "Command exited with status 1");
        await world.AdvanceAsync(2);
        await world.SettleAsync();
        await world.PutAsync("/v2/apps/shop/web", """{"cpus":1000}""");
        await world.PutAsync("/v2/apps/shop/web?force=true", """{"cpus":0.2,"healthChecks":[]}""");
        await world.SettleAsync();
        var starting = world.InstancesOf("/shop/web")[0];
        await world.EndAsync(starting, TerminalState.Finished, "");
        await world.AdvanceAsync(2);
        var fresh = world.InstancesOf("/shop/web").Last();
        await world.ReportAsync(new InstanceReport { Id = fresh.Id, Serial = fresh.Serial, Phase = Phase.Starting });
        await world.SettleAsync();
        await world.AdvanceAsync(20); // both nodes say nothing for too long
        await world.SettleAsync();
        await world.DeleteAsync("/v2/apps/shop/web");
        await world.SettleAsync();
    }
}
