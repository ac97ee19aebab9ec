using System.Text.Json;
using Docker.DotNet;
using Microsoft.Extensions.Logging;
using Platform.Agent.Core;
using Platform.Agent.Docker;
using Platform.Discovery;
using Platform.Model;
using Platform.Protocol;

namespace Platform.Agent;

public sealed partial class NodeAgent
{
    /// <summary>The only one that touches the core. Disk before the world: what a start may do is on disk before the start.</summary>
    private async Task StepLoopAsync(Membership member)
    {
        await Task.Yield();
        var ended = member.Ended.Token;
        var batch = new List<AgentInput>();
        DateTimeOffset? lookAt = null;
        DateTimeOffset? saveAt = null;
        while (!ended.IsCancellationRequested)
        {
            batch.Clear();
            while (batch.Count < BatchMax && member.Inbox.Reader.TryRead(out var input)) batch.Add(input);
            var step = member.Core.Step(_time.GetUtcNow(), batch.ToArray());
            if (step.Persist == Persistence.BeforeActions || (saveAt is { } due && _time.GetUtcNow() >= due))
            {
                _memory = member.Core.Memory;
                SaveMemory();
                saveAt = null;
            }
            else if (step.Persist == Persistence.Soon) saveAt ??= _time.GetUtcNow() + SoonDelay;

            foreach (var action in step.Actions) Dispatch(member, action);
            foreach (var volume in step.Wipe) _ = WipeAsync(member, volume);
            _link.Publish(new NodeState(member.Core.Adopted, member.Core.Reports(), member.Core.DesiredRevision) { Wiped = member.Core.Wiped }, step.ChangedReports.Select(x => x.Id));
            foreach (var report in step.ChangedReports) LogReport(report);

            lookAt = step.NextLookAt;
            if (saveAt < lookAt || lookAt is null) lookAt = saveAt ?? lookAt;
            await WaitAsync(member, lookAt, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        if (saveAt is not null)
        {
            _memory = member.Core.Memory;
            SaveMemory();
        }
    }

    private async Task WaitAsync(Membership member, DateTimeOffset? until, CancellationToken ended)
    {
        if (until is null)
        {
            await member.Inbox.Reader.WaitToReadAsync(ended).ConfigureAwait(false);
            return;
        }
        var rest = until.Value - _time.GetUtcNow();
        if (rest <= TimeSpan.Zero) return;
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(ended);
        await Task.WhenAny(member.Inbox.Reader.WaitToReadAsync(waiting.Token).AsTask(), Task.Delay(rest, _time, waiting.Token)).ConfigureAwait(false);
        await waiting.CancelAsync().ConfigureAwait(false);
    }

    private void Dispatch(Membership member, AgentAction action)
    {
        if (action is AgentAction.CancelStart)
        {
            if (member.Starts.TryGetValue(action.Id, out var start)) start.Cancel();
            return;
        }
        if (action is AgentAction.Start) member.Starts[action.Id] = new CancellationTokenSource();
        var running = ActAsync(member, action);
        if (action is AgentAction.Probe or AgentAction.AskReadiness || running.IsCompleted) return;
        member.Running[running] = 0;
        _ = running.ContinueWith(x => member.Running.TryRemove(x, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Every action is answered exactly once, whatever happens in it; else its instance would wait for ever.</summary>
    private async Task ActAsync(Membership member, AgentAction action)
    {
        await Task.Yield();
        var ended = member.Ended.Token;
        AgentInput[] answer;
        try
        {
            answer = action switch
            {
                AgentAction.Start x => await StartAsync(member, x).ConfigureAwait(false),
                AgentAction.Probe x => [new AgentInput.Probed(x.Id, x.Index, await _prober.ProbeAsync(x, member.Runtimes.GetValueOrDefault(x.Runtime), ended).ConfigureAwait(false))],
                AgentAction.AskReadiness x => [new AgentInput.ReadinessAnswered(x.Id, x.Index, await _prober.AskAsync(x, ended).ConfigureAwait(false))],
                AgentAction.Terminate x => await DoneAsync(x.Id, member.Runtimes[x.Runtime].SignalAsync(x.Id, force: false, ended)).ConfigureAwait(false),
                AgentAction.Kill x => await DoneAsync(x.Id, member.Runtimes[x.Runtime].SignalAsync(x.Id, force: true, ended)).ConfigureAwait(false),
                AgentAction.Remove x => await DoneAsync(x.Id, member.Runtimes[x.Runtime].RemoveAsync(x.Id, ended)).ConfigureAwait(false),
                _ => throw new System.Diagnostics.UnreachableException($"{action}"),
            };
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            return;
        }
        catch (Exception e) when (action is AgentAction.Probe probe)
        {
            LogActionFailed(e, nameof(AgentAction.Probe), action.Id.TaskId, e.Message);
            answer = [new AgentInput.Probed(probe.Id, probe.Index, new ProbeOutcome.Undecided())];
        }
        catch (Exception e) when (action is AgentAction.AskReadiness ask)
        {
            LogActionFailed(e, nameof(AgentAction.AskReadiness), action.Id.TaskId, e.Message);
            answer = [new AgentInput.ReadinessAnswered(ask.Id, ask.Index, Prober.NotAsked(e.Message))];
        }
        catch (Exception e)
        {
            LogActionFailed(e is RuntimeUnavailableException ? null : e, action.GetType().Name, action.Id.TaskId, e.Message);
            answer = [new AgentInput.Failed(action.Id, e.Message)];
        }
        try
        {
            foreach (var input in answer) await member.Inbox.Writer.WriteAsync(input, ended).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The core is gone; the next life lists what there is.
        }
    }

    /// <summary>Much data takes long to delete; the node's other work goes on meanwhile.</summary>
    private async Task WipeAsync(Membership member, string volume)
    {
        await Task.Yield();
        string? why = null;
        try
        {
            Volumes.Wipe(volume);
            LogWiped(volume);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            why = e.Message;
            LogNotWiped(volume, why);
        }
        try
        {
            await member.Inbox.Writer.WriteAsync(new AgentInput.Wiped(volume, why), member.Ended.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The scheduler tells the next life again.
        }
    }

    private static async Task<AgentInput[]> DoneAsync(InstanceId id, Task action)
    {
        await action.ConfigureAwait(false);
        return [new AgentInput.Done(id)];
    }

    private static async Task<AgentInput[]> StartAsync(Membership member, AgentAction.Start start)
    {
        var progress = new StartProgress(x => member.Inbox.Writer.TryWrite(new AgentInput.Progress(start.Id, x))); // words only: lost when the inbox is full
        try
        {
            var outcome = await member.Runtimes[Runtimes.Of(start.Assignment.App)].StartAsync(start.Assignment, progress, member.Starts[start.Id].Token).ConfigureAwait(false);
            return outcome switch
            {
                StartOutcome.Started x => [new AgentInput.Seen(x.Container), new AgentInput.Done(start.Id)],
                StartOutcome.Refused x => [new AgentInput.StartRefused(start.Id, x.State, x.Why)],
                _ => throw new System.Diagnostics.UnreachableException($"{outcome}"),
            };
        }
        finally
        {
            if (member.Starts.TryRemove(start.Id, out var cancel)) cancel.Dispose();
        }
    }

    private sealed class StartProgress(Action<string> each) : IProgress<string>
    {
        private string? _last;

        public void Report(string value)
        {
            if (value == _last) return;
            each(_last = value);
        }
    }

    /// <summary>Anti-entropy: whatever news was lost, a list brings it.</summary>
    private async Task ListLoopAsync(Membership member, IContainerRuntime runtime)
    {
        await Task.Yield();
        var ended = member.Ended.Token;
        var backoff = new Backoff(_time);
        while (!ended.IsCancellationRequested)
            try
            {
                var asOf = _time.GetUtcNow();
                var seen = await runtime.ListAsync(ended).ConfigureAwait(false);
                await member.Inbox.Writer.WriteAsync(new AgentInput.Listed(runtime.Kind, asOf, seen.ToEquatableArray()), ended).ConfigureAwait(false);
                backoff.Reset();
                await Task.Delay(ListInterval, _time, ended).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (ended.IsCancellationRequested) { }
            catch (Exception e) when (e is RuntimeUnavailableException or DockerApiException or IOException or JsonException)
            {
                LogNoList(runtime.Kind, e.Message);
                await backoff.WaitAsync(ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
    }

    private async Task WatchLoopAsync(Membership member, IContainerRuntime runtime)
    {
        await Task.Yield();
        var ended = member.Ended.Token;
        var backoff = new Backoff(_time);
        while (!ended.IsCancellationRequested)
            try
            {
                await foreach (var seen in runtime.WatchAsync(ended).ConfigureAwait(false))
                {
                    backoff.Reset();
                    await member.Inbox.Writer.WriteAsync(new AgentInput.Seen(seen), ended).ConfigureAwait(false);
                }
            }
            catch (OperationCanceledException) when (ended.IsCancellationRequested) { }
            catch (Exception e) when (e is RuntimeUnavailableException or DockerApiException or IOException or JsonException)
            {
                await backoff.WaitAsync(ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
    }

    /// <summary>Keeps the endpoint table on disk, at most once a second.</summary>
    private async Task KeepTableAsync(CancellationToken stopping)
    {
        var (saved, savedAt) = (_feed.Current.Cursor, _time.GetTimestamp());
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(TableDelay - _time.GetElapsedTime(savedAt) is var rest && rest > TimeSpan.Zero ? rest : TimeSpan.Zero, _time, stopping).ConfigureAwait(false);
                await _feed.ChangedAsync(saved, stopping).ConfigureAwait(false);
                await Task.Delay(TableSoon, _time, stopping).ConfigureAwait(false); // first those whom the change is for
            }
            catch (OperationCanceledException)
            {
                // Save what came last, then end.
            }
            var snapshot = _feed.Current;
            if (snapshot.Cursor == saved) continue;
            saved = snapshot.Cursor;
            TryWrite(TableFile, JsonSerializer.SerializeToUtf8Bytes(EndpointTable.Complete(snapshot), AgentCodec.Json));
            savedAt = _time.GetTimestamp(); // a change by itself is soon on the disk; of many, the last
        }
    }

    /// <summary>Keeps the copy of the store on disk, at most once a second.</summary>
    private async Task KeepStoreAsync(CancellationToken stopping)
    {
        var seen = _store.Cursor;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await _store.ChangedAsync(seen, stopping).ConfigureAwait(false);
                await Task.Delay(TableDelay, _time, stopping).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                // Save what came last, then end.
            }
            seen = _store.Cursor;
            if (StoreFile.IsLong) _store.Forget();
            if (_store.TakeUnsaved() is not { } unsaved) continue;
            try
            {
                StoreFile.Write(unsaved);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                _store.Forget();
                LogNotSaved("store.jsonl", e.Message);
            }
        }
    }

    private void SaveMemory() => TryWrite(MemoryFile, JsonSerializer.SerializeToUtf8Bytes(_memory, AgentCodec.Json));

    /// <summary>A full disk must not end what runs (reliability I5): the node goes on with what is in memory, and says so.</summary>
    private void TryWrite(string path, byte[] content)
    {
        try
        {
            DurableFile.Write(path, content);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotSaved(path, e.Message);
        }
    }

    private static T? ReadFile<T>(string path) where T : class
    {
        if (DurableFile.Read(path) is not { } bytes) return null;
        try
        {
            return JsonSerializer.Deserialize<T>(bytes, AgentCodec.Json);
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            throw new InvalidDataException($"{path} cannot be read ({e.Message}). Move it away and the scheduler will tell this node anew; its tasks run on.", e);
        }
    }

    private async Task<DockerClient?> FindDockerAsync(bool wasThere, CancellationToken stopping)
    {
        var host = _options.DockerHost ?? Environment.GetEnvironmentVariable("DOCKER_HOST") ?? "unix:///var/run/docker.sock";
        var client = new DockerClientBuilder().WithEndpoint(new Uri(host)).WithTimeout(Timeout.InfiniteTimeSpan).Build();
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            limit.CancelAfter(DockerTimeout);
            await client.System.PingAsync(limit.Token).ConfigureAwait(false);
            return client;
        }
        catch (Exception e) when (!stopping.IsCancellationRequested && e is HttpRequestException or IOException or OperationCanceledException or DockerApiException or System.Net.Sockets.SocketException or TimeoutException)
        {
            // A node that had an engine has tasks in it: it waits for the engine to come back.
            if (wasThere) return client;
            client.Dispose();
            if (_options.Runtime == RuntimeChoice.Docker) throw new InvalidOperationException($"No Docker engine answers at {host} ({e.Message}). Start it, or run this node with --runtime process.", e);
            LogNoDocker(host, e.Message);
            return null;
        }
    }

    private async Task BridgeAsync(string clusterId, string? before, CancellationToken stopping)
    {
        try
        {
            BridgeGateway = await DockerNetwork.EnsureAsync(_docker!, clusterId, _options.NodeId, stopping).ConfigureAwait(false);
            if (BridgeGateway != before) TryWrite(BridgeFile, System.Text.Encoding.UTF8.GetBytes(BridgeGateway));
        }
        catch (Exception e) when (before is not null && e is HttpRequestException or IOException or DockerApiException or RuntimeUnavailableException or System.Net.Sockets.SocketException or TimeoutException)
        {
            BridgeGateway = before; // the engine is away; its network will be where it was
        }
        _bridgeKnown.TrySetResult(BridgeGateway);
    }

    private async Task StopAllAsync(IContainerRuntime runtime, TimeSpan grace, CancellationToken stopping)
    {
        var tasks = await runtime.ListAsync(stopping).ConfigureAwait(false);
        await Task.WhenAll(tasks.Select(x => runtime.SignalAsync(x.Id, force: false, stopping))).ConfigureAwait(false);
        var since = _time.GetTimestamp();
        while (tasks.Any(x => x.State == ContainerState.Running) && _time.GetElapsedTime(since) < grace)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(100), _time, stopping).ConfigureAwait(false);
            tasks = await runtime.ListAsync(stopping).ConfigureAwait(false);
        }
        await Task.WhenAll(tasks.Select(x => runtime.SignalAsync(x.Id, force: true, stopping))).ConfigureAwait(false);
        await Task.WhenAll(tasks.Select(x => runtime.RemoveAsync(x.Id, stopping))).ConfigureAwait(false);
    }

    private void LogReport(InstanceReport report)
    {
        if (report.End is { } end) LogEnded(report.Id.TaskId, end.State, end.Message);
        else LogPhase(report.Id.TaskId, report.Phase, report.Detail ?? "", report.Health.Count(x => x.Alive), report.Health.Count);
    }

    [LoggerMessage(4001, LogLevel.Information, "Node {Node} at {Address} runs {Runtimes}")]
    private partial void LogStarted(string node, string address, string runtimes);

    [LoggerMessage(4002, LogLevel.Error, "This scheduler is cluster {Theirs}'s; this node belongs to {Mine} and still holds its tasks. It does nothing to them, and does not obey")]
    private partial void LogForeign(string theirs, string mine);

    [LoggerMessage(4003, LogLevel.Warning, "This node held nothing of cluster {Mine} and now belongs to {Theirs}")]
    private partial void LogMoved(string mine, string theirs);

    [LoggerMessage(4004, LogLevel.Warning, "A scheduler of term {Term} wants to lead; term {Seen} was seen. It is not obeyed")]
    private partial void LogDeposed(long term, long seen);

    [LoggerMessage(4005, LogLevel.Warning, "{Action} of {Task} did not work and is tried again: {Why}")]
    private partial void LogActionFailed(Exception? exception, string action, string task, string why);

    [LoggerMessage(4006, LogLevel.Warning, "The {Runtime} runtime cannot be listed: {Why}. Its tasks are taken to run on")]
    private partial void LogNoList(RuntimeKind runtime, string why);

    [LoggerMessage(4007, LogLevel.Error, "{Path} could not be written: {Why}. What it holds would be lost with the agent's process")]
    private partial void LogNotSaved(string path, string why);

    [LoggerMessage(4008, LogLevel.Information, "No Docker engine answers at {Host} ({Why}): this node runs plain processes only")]
    private partial void LogNoDocker(string host, string why);

    [LoggerMessage(4011, LogLevel.Information, "Volume {Volume} is wiped")]
    private partial void LogWiped(string volume);

    [LoggerMessage(4012, LogLevel.Error, "Volume {Volume} could not be wiped and its disk stays reserved; trying again: {Why}")]
    private partial void LogNotWiped(string volume, string why);

    [LoggerMessage(4009, LogLevel.Information, "Task {Task} ended {State}: {Message}")]
    private partial void LogEnded(string task, TerminalState state, string message);

    [LoggerMessage(4010, LogLevel.Debug, "Task {Task} is {Phase} {Detail} ({Alive} of {Checks} checks pass)")]
    private partial void LogPhase(string task, Phase phase, string detail, int alive, int checks);
}
