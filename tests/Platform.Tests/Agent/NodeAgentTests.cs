using Microsoft.Extensions.Logging.Abstractions;
using Platform.Agent;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Protocol;

namespace Platform.Tests.Agent;

#pragma warning disable CA1001 // xunit's DisposeAsync is not the one the analyzer knows

/// <summary>The whole agent with plain processes, over a real stream; the waits are for facts.</summary>
public sealed class NodeAgentTests : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("platform-agent-").FullName;
    private readonly EndpointFeed _feed = new(new EndpointTable());
    private readonly NodeViews _views = new();
    private FakeScheduler _scheduler = null!;
    private NodeAgent _agent = null!;
    private CancellationTokenSource _stopping = null!;
    private Task _running = Task.CompletedTask;

    public async Task InitializeAsync()
    {
        _scheduler = await FakeScheduler.StartAsync(Path.Combine(_directory, "s"));
        await StartAsync();
    }

    public async Task DisposeAsync()
    {
        await StopAsync();
        await _agent.StopAllTasksAsync();
        await _agent.DisposeAsync();
        await _scheduler.DisposeAsync();
        _stopping.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private async Task StartAsync()
    {
        _stopping = new CancellationTokenSource();
        _agent = new NodeAgent(new NodeAgentOptions
        {
            NodeId = NodeId.Parse("n1"), DataDirectory = Path.Combine(_directory, "data"), Schedulers = [$"unix:{Path.Combine(_directory, "s")}"], Runtime = RuntimeChoice.Process,
        }, _feed, _views, NullLoggerFactory.Instance, TimeProvider.System);
        await _agent.StartAsync(default);
        _running = _agent.RunAsync(_stopping.Token);
    }

    private async Task StopAsync()
    {
        await _stopping.CancelAsync();
        await _running;
    }

    private static Assignment Command(long serial, string command, params HealthCheck[] checks)
    {
        var app = new AppDefinition { Id = AppId.Parse("/job"), Cmd = command, Network = NetworkMode.Host, HealthChecks = checks.ToEquatableArray(), TaskKillGracePeriodSeconds = 5 };
        return new Assignment(InstanceId.Derive("c1", app.Id, serial), serial, Goal.Run, app, default, EquatableMap.From([new("GREETING", "it's \"me\"")]));
    }

    private static Platform.Protocol.Wire.ToAgent Desired(long revision, params Assignment[] all) =>
        AgentCodec.Encode(new DesiredState(revision, true, 100, all.ToEquatableArray(), default));

    private static InstanceReport? Of(AgentReport report, Assignment a) => report.Instances.FirstOrDefault(x => x.Id == a.Id);

    [Fact]
    public async Task RunsReportsStopsAndForgets()
    {
        var session = await _scheduler.NextSessionAsync();
        Assert.Null(session.Hello.ClusterId);
        Assert.Equal(["process"], session.Hello.Node.Runtimes);
        var fails = Command(1, "echo out; echo \"$GREETING\" >&2; exit 3");
        var stays = Command(2, "trap 'exit 0' TERM; while :; do sleep 1; done", new HealthCheck { Protocol = HealthCheckProtocol.Command, Command = "test \"$GREETING\" = \"it's \\\"me\\\"\"", IntervalSeconds = 1 });
        var nobody = Command(3, "true") with { App = Command(3, "true").App with { User = "no-such-user" } };
        await session.SendAsync(Desired(5, fails, stays, nobody));
        var end = Of(await session.ReportAsync(r => Of(r, fails)?.End is not null), fails)!.End!;
        Assert.Equal((TerminalState.Failed, (int?)3, "Command exited with status 3. Last output:\nit's \"me\""), (end.State, end.ExitCode, end.Message));
        Assert.Equal("No such user 'no-such-user'", Of(await session.ReportAsync(r => Of(r, nobody)?.End is not null), nobody)!.End!.Message);
        await session.ReportAsync(r => Of(r, stays) is { Health: [{ Alive: true }] });
        await session.ReportAsync(r => r is { Complete: true, DesiredRevision: 5, Instances.Count: 3 });

        await session.SendAsync(Desired(6, fails, stays with { Goal = Goal.Stop }, nobody));
        Assert.Equal(TerminalState.Killed, Of(await session.ReportAsync(r => Of(r, stays)?.End is not null), stays)!.End!.State);
        await session.SendAsync(Desired(7));
        await session.ReportAsync(r => r is { Complete: true, DesiredRevision: 7, Instances.Count: 0 });
        Assert.Empty(Directory.EnumerateDirectories(Path.Combine(_directory, "data", "sandboxes")));
    }

    [Fact]
    public async Task TasksOutliveTheAgent_AndAreAdopted_WithWhatHappenedMeanwhile()
    {
        var session = await _scheduler.NextSessionAsync();
        var stays = Command(1, "while :; do sleep 1; done");
        var gate = Path.Combine(_directory, "gate");
        var ends = Command(2, $"while ! test -e {gate}; do sleep 0.05; done; exit 6");
        await session.SendAsync(Desired(1, stays, ends));
        var before = Of(await session.ReportAsync(r => Of(r, stays)?.Phase == Phase.Running), stays)!;
        await session.ReportAsync(r => Of(r, ends)?.Phase == Phase.Running);
        await StopAsync();
        await _agent.DisposeAsync();
        await File.WriteAllTextAsync(gate, "");

        await StartAsync();
        session = await _scheduler.NextSessionAsync();
        Assert.Equal("c1", session.Hello.ClusterId);
        var after = Of(await session.ReportAsync(r => Of(r, stays) is not null), stays)!;
        Assert.Equal((Phase.Running, Timestamps.ToMilliseconds(before.StartedAt!.Value)), (after.Phase, Timestamps.ToMilliseconds(after.StartedAt!.Value)));
        Assert.Equal(6, Of(await session.ReportAsync(r => Of(r, ends)?.End is not null), ends)!.End!.ExitCode);
    }

    [Fact]
    public async Task AnotherClustersScheduler_IsNotObeyed_WhileTasksOfTheOldAreHeld()
    {
        var session = await _scheduler.NextSessionAsync();
        var stays = Command(1, "while :; do sleep 1; done");
        await session.SendAsync(Desired(1, stays));
        await session.ReportAsync(r => Of(r, stays)?.Phase == Phase.Running);
        await StopAsync();
        await _agent.DisposeAsync();

        _scheduler.Welcome = _scheduler.Welcome with { ClusterId = "c2" };
        await StartAsync();
        session = await _scheduler.NextSessionAsync();
        await session.Ended.Task.WaitAsync(Suite.Patience); // it hung up
        Assert.Equal("c1", _agent.ClusterId);
        Assert.False(_agent.Linked);

        _scheduler.Welcome = _scheduler.Welcome with { ClusterId = "c1" };
        do session = await _scheduler.NextSessionAsync(); while (session.Ended.Task.IsCompleted);
        await session.ReportAsync(r => Of(r, stays)?.Phase == Phase.Running);
    }

    [Fact]
    public async Task ADeposedLeader_IsNotObeyed()
    {
        _scheduler.Welcome = _scheduler.Welcome with { Term = 7 };
        var session = await _scheduler.NextSessionAsync();
        await session.SendAsync(Desired(1)); // whichever term it was welcomed with, this one is remembered
        await session.ReportAsync(r => r.DesiredRevision == 1);
        _scheduler.Welcome = _scheduler.Welcome with { Term = 0 };
        await session.SendAsync(AgentCodec.Goodbye("bye"));
        session = await _scheduler.NextSessionAsync();
        await session.Ended.Task.WaitAsync(Suite.Patience);
        Assert.False(_agent.Linked);
    }

    [Fact]
    public async Task TheEndpointTable_IsFollowed_AndAGapBringsAWholeOne()
    {
        var session = await _scheduler.NextSessionAsync();
        Assert.Equal(EndpointCursor.Start, session.Hello.Endpoints);
        await session.SendAsync(AgentCodec.Encode(new EndpointUpdate("c1", 0, 4, true, [new EndpointChange.NodeSet(new NodeAddress(NodeId.Parse("n1"), "1.2.3.4"))])));
        await _feed.ChangedAsync(EndpointCursor.Start, default).AsTask().WaitAsync(Suite.Patience);
        Assert.Equal(4, _feed.Current.Revision);
        await session.SendAsync(AgentCodec.Encode(new EndpointUpdate("c1", 6, 7, false, default)));
        session = await _scheduler.NextSessionAsync();
        Assert.Equal(EndpointCursor.Start, session.Hello.Endpoints);
        Assert.Equal(4, _feed.Current.Revision); // the old table serves on
    }

    [Fact]
    public async Task WhatTheViewsServe_IsReportedAtOnce()
    {
        _scheduler.Welcome = _scheduler.Welcome with { ReportInterval = TimeSpan.FromHours(1) };
        await (await _scheduler.NextSessionAsync()).SendAsync(AgentCodec.Goodbye("again, with the long interval"));
        var session = await _scheduler.NextSessionAsync();
        await session.ReportAsync(r => r.Complete || r.EndpointRevision == 0);
        var drained = InstanceId.Derive("c1", AppId.Parse("/x"), 1);
        _views.Served("proxy", new EndpointCursor("c1", 9), [drained]);
        var report = await session.ReportAsync(r => r.EndpointRevision == 9);
        Assert.Equal([drained], report.Draining);
        _views.Served("proxy", new EndpointCursor("c1", 9), default);
        await session.ReportAsync(r => r.Draining.IsEmpty);
    }
}
