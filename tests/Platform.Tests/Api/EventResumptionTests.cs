using System.Collections.Immutable;
using Platform.Model;
using Platform.Scheduler.Api;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>A follower that comes back with the id it saw last is told what it missed, or that it is not known (an addition to contract 6.1).</summary>
public sealed class EventResumptionTests
{
    private const string Web = """{"id":"/shop/web","cmd":"sleep 600","cpus":0.1,"mem":32,"healthChecks":[{"protocol":"COMMAND","command":{"value":"true"}}]}""";

    [Fact]
    public async Task Coming_back_anywhere_gives_exactly_the_rest()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var first = await StreamReading.AttachAsync(world);
        await world.CreateAsync(Web);
        var all = (await first.UntilAsync("deployment_success")).Where(e => e.Id is not null).ToList();
        Assert.Equal(all.Count, all.Select(e => e.Id).Distinct().Count());
        Assert.Contains(all, e => e.Id!.EndsWith(".2", StringComparison.Ordinal)); // several events of one revision
        for (var seen = 0; seen < all.Count - 1; seen++)
        {
            await using var again = await StreamReading.AttachAsync(world, lastEventId: all[seen].Id);
            Assert.Equal("event_stream_attached", (await again.NextAsync()).Type);
            var rest = await again.UntilAsync("deployment_success");
            Assert.Equal(all.Skip(seen + 1).Select(Text), rest.Select(Text));
        }
    }

    [Fact]
    public async Task A_revision_alone_means_all_of_its_events()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var first = await StreamReading.AttachAsync(world);
        await world.CreateAsync(Web);
        var all = (await first.UntilAsync("deployment_success")).Where(e => e.Id is not null).ToList();
        var revision = all[0].Id!.Split('.')[0];
        await using var again = await StreamReading.AttachAsync(world, lastEventId: revision);
        await again.NextAsync();
        var rest = await again.UntilAsync("deployment_success");
        Assert.Equal(all.Where(e => e.Id!.Split('.')[0] != revision).Select(Text), rest.Select(Text));
    }

    [Fact]
    public async Task A_filter_holds_for_what_was_missed_too_and_the_present_follows_without_a_seam()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await using var stream = await StreamReading.AttachAsync(world, "?event_type=api_post_event&event_type=deployment_success", lastEventId: "1");
        Assert.Equal(["api_post_event", "deployment_success"], (await stream.UntilAsync("deployment_success")).Select(e => e.Type));
        await world.PutAsync("/v2/apps/shop/web", """{"instances":2}""");
        await world.SettleAsync();
        Assert.Equal(["api_post_event", "deployment_success"], (await stream.UntilAsync("deployment_success")).Select(e => e.Type));
    }

    [Theory]
    [InlineData("4711.1")]
    [InlineData("not one of ours")]
    [InlineData("-1")]
    public async Task An_id_that_is_not_of_this_log_is_said_to_be_unknown(string id)
    {
        await using var world = await ApiWorld.StartAsync();
        await using var stream = await StreamReading.AttachAsync(world, lastEventId: id);
        Assert.Equal("event_stream_attached", (await stream.NextAsync()).Type);
        Assert.StartsWith(": what followed the given Last-Event-ID is not known any more", await stream.LineAsync(), StringComparison.Ordinal);
        var missed = await stream.NextAsync();
        Assert.Equal("events_missed", missed.Type);
        Assert.Equal(id, missed.Data["lastEventId"]!.GetValue<string>());
        Assert.Equal(world.State.Revision + 1, missed.Data["knownFrom"]!.GetValue<long>());
        await world.CreateAsync(Web);
        Assert.Equal("api_post_event", (await stream.NextAsync()).Type);
    }

    [Fact]
    public async Task After_a_restart_the_log_knows_what_was_missed()
    {
        await using var world = await ApiWorld.StartAsync();
        await using var first = await StreamReading.AttachAsync(world);
        await world.CreateAsync(Web);
        var all = (await first.UntilAsync("deployment_success")).Where(e => e.Id is not null).ToList();
        using var later = new EventHub(world.Loop, world.Log, world.Clock); // it has seen nothing itself
        using var follower = later.Attach("10.0.0.9", 100, 10)!;
        Assert.True(EventPosition.TryParse(all[1].Id!, out var last));
        var (missed, whole) = await later.MissedAsync(follower, last, CancellationToken.None);
        Assert.True(whole);
        var rest = missed.SelectMany(b => b.Events.Select((e, i) => (Id: $"{b.Revision}.{i + 1}", e.Type, Seen: !last.IsBefore(b.Revision, i + 1)))).Where(e => !e.Seen).Select(e => $"{e.Id} {e.Type}");
        Assert.Equal(all.Skip(2).Select(e => $"{e.Id} {e.Type}"), rest);
    }

    [Fact]
    public async Task What_the_log_has_let_go_of_is_a_gap()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        await world.Loop.SaveSnapshotAsync(CancellationToken.None);
        var kept = world.State.Revision;
        await world.PutAsync("/v2/apps/shop/web", """{"instances":2}""");
        await world.SettleAsync();
        await world.Loop.SaveSnapshotAsync(CancellationToken.None); // now the log begins behind the older one
        using var later = new EventHub(world.Loop, world.Log, world.Clock);
        using var follower = later.Attach("10.0.0.9", 100, 10)!;
        var (missed, whole) = await later.MissedAsync(follower, new EventPosition(2, 1), CancellationToken.None);
        Assert.False(whole);
        Assert.Equal(kept + 1, missed[0].Revision);
        (missed, whole) = await later.MissedAsync(follower, new EventPosition(kept, int.MaxValue), CancellationToken.None);
        Assert.True(whole);
        Assert.Equal(world.State.Revision - kept, missed.Length);
    }

    [Fact]
    public async Task The_tail_of_a_log_has_the_states_as_they_were()
    {
        await using var world = await ApiWorld.StartAsync();
        await world.CreateAsync(Web);
        var lived = world.Published.ToList();
        foreach (var count in (int[])[1, 3, 1000])
        {
            var tail = await world.Log.ReadTailAsync(count, CancellationToken.None);
            Assert.Equal(Math.Min(count, world.State.Revision), tail.Length);
            Assert.Equal(world.State.Revision, tail[^1].After.Revision);
            foreach (var (read, was) in tail.Reverse().Zip(Enumerable.Reverse(lived)))
            {
                Assert.Equal(was.Event, read.Event);
                Assert.Equal(Platform.Scheduler.SchedulerJson.Write(was.Before), Platform.Scheduler.SchedulerJson.Write(read.Before));
            }
        }
    }

    [Fact]
    public async Task The_history_forgets_what_is_too_much()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        using var history = new EventHistory(world.Log, startRevision: 0);
        var state = ClusterState.Empty;
        for (var i = 0; i < EventHistory.EventsMax + 10; i++)
        {
            var e = new SchedulerEvent.LaunchDelayReset(AppId.Parse("/a")) { At = ApiWorld.Start };
            history.Add(new Folded(state, e, state = state.Fold(e)));
        }
        var (events, whole) = await history.BetweenAsync(5, state.Revision, CancellationToken.None);
        Assert.False(whole);
        Assert.Equal(11, events[0].After.Revision);
        (events, whole) = await history.BetweenAsync(11, state.Revision, CancellationToken.None);
        Assert.True(whole);
        Assert.Equal(EventHistory.EventsMax, events.Length);
    }

    private static string Text(StreamEvent e) => $"{e.Id} {e.Type} {e.Data.ToJsonString()}";
}
