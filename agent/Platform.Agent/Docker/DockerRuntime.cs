using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Docker.DotNet;
using Docker.DotNet.Models;
using Microsoft.Extensions.Logging;
using Platform.Agent.Core;
using Platform.Agent.Fetching;
using Platform.Model;
using ContainerState = Platform.Agent.Core.ContainerState;

namespace Platform.Agent.Docker;

/// <summary>Instances as Docker containers; the client is shared and not its own. It touches only containers and the network that carry this cluster's and this node's labels.</summary>
internal sealed partial class DockerRuntime(
    DockerClient client, DockerSite site, LocalVolumes volumes, ArtifactFetcher fetcher, TimeProvider time, ILogger log) : IContainerRuntime
{
    private readonly DockerSandboxes _sandboxes = new(site, fetcher);

    /// <summary>The engine makes containers no faster with more at once, and everything else it does gets slower.</summary>
    public const int CreatesAtOnceMax = 4;
    public const int PullsAtOnceMax = 2;
    private const int NewsMax = 4096;

    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(30);

    private readonly SemaphoreSlim _creates = new(CreatesAtOnceMax);
    private readonly SemaphoreSlim _pulls = new(PullsAtOnceMax);

    /// <summary>Facts that never change again, by the engine's container id: when it started, how it ended. Spares an inspect for each container at each list.</summary>
    private readonly ConcurrentDictionary<string, ObservedContainer> _settled = new();

    /// <summary>The engine's ids of containers that are parts of pods.</summary>
    private readonly ConcurrentDictionary<string, bool> _podParts = new();

    public RuntimeKind Kind => RuntimeKind.Docker;

    public async Task<IReadOnlyList<ObservedContainer>> ListAsync(CancellationToken stopping)
    {
        var containers = await CallAsync(ct => client.Containers.ListContainersAsync(new ContainersListParameters { All = true, Filters = OurFilter() }, ct), stopping).ConfigureAwait(false);
        List<ObservedContainer> seen = [];
        List<PodPart> parts = [];
        foreach (var container in containers)
        {
            if (!DockerLabels.AreOurs(container.Labels, site)) continue;
            var running = container.State is "running" or "paused";
            if (!_settled.TryGetValue(container.ID, out var one) || one.State != (running ? ContainerState.Running : ContainerState.Exited))
                one = await InspectAsync(container.ID, stopping).ConfigureAwait(false);
            if (one is null) continue;
            if (PodContainers.PartOf(container.Labels!, one) is { } part) parts.Add(part);
            else seen.Add(one);
        }
        var there = containers.Select(x => x.ID).ToHashSet();
        foreach (var id in _settled.Keys.Where(x => !there.Contains(x))) _settled.TryRemove(id, out _);
        foreach (var id in _podParts.Keys.Where(x => !there.Contains(x))) _podParts.TryRemove(id, out _);
        await SweepVolumesAsync([.. parts.Select(x => x.Seen.Id.Text)], stopping).ConfigureAwait(false);
        ObservedContainer[] all = [.. seen, .. WholesOf(parts)];
        _sandboxes.Sweep(all.Select(x => x.Id));
        return all;
    }

    public async Task<StartOutcome> StartAsync(Assignment assignment, IProgress<string> progress, CancellationToken cancelled)
    {
        if (assignment.App.Pod is not null) return await StartPodAsync(assignment, progress, cancelled).ConfigureAwait(false);
        var (spec, problems) = DockerContainerSpec.Of(assignment, site, volumes.PathOf);
        if (spec is not null && VolumeProblem(assignment) is { } unmade) return new StartOutcome.Refused(TerminalState.Failed, unmade);
        if (spec is null) return new StartOutcome.Refused(TerminalState.Failed, string.Join("; ", problems));
        if (TaskSecrets.Refusal(assignment) is { } inaccessible) return inaccessible;
        var outcome = await StartAsync(assignment, spec, progress, cancelled).ConfigureAwait(false);
        if (outcome is StartOutcome.Refused) _sandboxes.Remove(assignment.Id);
        return outcome;
    }

    private async Task<StartOutcome> StartAsync(Assignment assignment, CreateContainerParameters spec, IProgress<string> progress, CancellationToken cancelled)
    {
        try
        {
            // A container that is there has its mounts in use: they must not be made anew below it.
            var mounts = !assignment.App.Fetch.IsEmpty || assignment.Secrets is { Files.Count: > 0 };
            if (mounts && !await IsThereAsync(assignment.Id, cancelled).ConfigureAwait(false)) await _sandboxes.PrepareAsync(assignment, progress, cancelled).ConfigureAwait(false);
            // Asked for again after an answer that was lost, it may run already: a pull that fails must not deny that.
            var pulls = assignment.App.Container!.ForcePullImage && !await IsThereAsync(assignment.Id, cancelled).ConfigureAwait(false);
            if (pulls && await PullAsync(spec.Image!, progress, cancelled).ConfigureAwait(false) is { } refused) return refused;
            var made = await MakeAsync(spec, cancelled).ConfigureAwait(false);
            if (made is Made.NoImage)
            {
                if (await PullAsync(spec.Image!, progress, cancelled).ConfigureAwait(false) is { } unpullable) return unpullable;
                made = await MakeAsync(spec, cancelled).ConfigureAwait(false);
            }
            return made switch
            {
                Made.Settled x => x.Outcome,
                Made.Runs x => await ShowAsync(x.Id, spec).ConfigureAwait(false), // no longer holding up the next create
                _ => new StartOutcome.Refused(TerminalState.Failed, $"The image {spec.Image} was pulled and is gone again"),
            };
        }
        catch (FetchFailedException e)
        {
            return new StartOutcome.Refused(TerminalState.Failed, e.Message);
        }
        catch (OperationCanceledException) when (cancelled.IsCancellationRequested)
        {
            return new StartOutcome.Refused(TerminalState.Killed, "Task was killed before it was started");
        }
    }

    /// <summary>Makes the instance's volumes, or says why not.</summary>
    private string? VolumeProblem(Assignment assignment)
    {
        try
        {
            foreach (var volume in assignment.Volumes) volumes.Ensure(volume);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"The task's persistent volume could not be made: {e.Message}";
        }
    }

    private async Task<bool> IsThereAsync(InstanceId id, CancellationToken stopping)
    {
        try
        {
            var there = await CallAsync(ct => client.Containers.InspectContainerAsync(DockerContainerSpec.NameOf(id), ct), stopping).ConfigureAwait(false);
            return DockerLabels.AreOurs(there.Config?.Labels, site);
        }
        catch (DockerApiException gone) when (gone.StatusCode == HttpStatusCode.NotFound)
        {
            return false;
        }
    }

    public async Task SignalAsync(InstanceId id, bool force, CancellationToken stopping)
    {
        try
        {
            await CallAsync(ct => client.Containers.KillContainerAsync(DockerContainerSpec.NameOf(id), new ContainerKillParameters { Signal = force ? "SIGKILL" : "SIGTERM" }, ct), stopping).ConfigureAwait(false);
        }
        catch (DockerApiException none) when (none.StatusCode is HttpStatusCode.NotFound)
        {
            await SignalPodAsync(id, force, stopping).ConfigureAwait(false); // gone, which is what we wanted; or a pod, whose containers have other names
        }
        catch (DockerApiException gone) when (gone.StatusCode is HttpStatusCode.Conflict)
        {
            // Not running: what we wanted.
        }
    }

    public async Task RemoveAsync(InstanceId id, CancellationToken stopping)
    {
        try
        {
            var name = DockerContainerSpec.NameOf(id);
            var there = await CallAsync(ct => client.Containers.InspectContainerAsync(name, ct), stopping).ConfigureAwait(false);
            if (!DockerLabels.AreOurs(there.Config?.Labels, site)) return;
            await CallAsync(ct => client.Containers.RemoveContainerAsync(there.ID, new ContainerRemoveParameters { Force = true, RemoveVolumes = true }, ct), stopping).ConfigureAwait(false);
        }
        catch (DockerApiException none) when (none.StatusCode is HttpStatusCode.NotFound)
        {
            await RemovePodAsync(id, stopping).ConfigureAwait(false);
        }
        catch (DockerApiException gone) when (gone.StatusCode is HttpStatusCode.Conflict)
        {
            // Going: removal in progress.
        }
        _sandboxes.Remove(id);
    }

    public async Task<ProbeOutcome> ExecAsync(InstanceId id, HealthCheck check, TimeSpan timeout, CancellationToken stopping)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        limit.CancelAfter(timeout);
        string? exec = null;
        try
        {
            IList<string> command = check.Argv.IsEmpty ? ["/bin/sh", "-c", check.Command ?? ""] : [.. check.Argv];
            var create = new ContainerExecCreateParameters { Cmd = command, AttachStdout = true, AttachStderr = true };
            var container = check.Container is { } name ? PodContainers.NameOf(id, name) : DockerContainerSpec.NameOf(id);
            exec = (await client.Exec.CreateContainerExecAsync(container, create, limit.Token).ConfigureAwait(false)).ID;
            using var stream = await client.Exec.StartContainerExecAsync(exec, new ContainerExecStartParameters(), limit.Token).ConfigureAwait(false);
            var output = await ReadTailAsync(stream, limit.Token).ConfigureAwait(false);
            var code = (await client.Exec.InspectContainerExecAsync(exec, limit.Token).ConfigureAwait(false)).ExitCode;
            return code == 0 ? new ProbeOutcome.Passed() : new ProbeOutcome.Failed($"Command exited with status {code}{(output.Length == 0 ? "" : $": {LastLine(output)}")}");
        }
        catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
        {
            if (exec is not null) await KillExecAsync(exec).ConfigureAwait(false);
            return new ProbeOutcome.Failed($"Command did not end within {timeout.TotalSeconds:0.###} s");
        }
        catch (DockerApiException refused)
        {
            return new ProbeOutcome.Failed($"Command could not be run: {ReasonOf(refused)}");
        }
        catch (Exception e) when (IsTransport(e))
        {
            return new ProbeOutcome.Undecided(); // the engine is away; that says nothing about the task
        }
    }

    public async IAsyncEnumerable<ObservedContainer> WatchAsync([EnumeratorCancellation] CancellationToken stopping)
    {
        // Full: the oldest news is dropped, and the next list brings it.
        var news = Channel.CreateBounded<string>(new BoundedChannelOptions(NewsMax) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });
        var filters = OurFilter();
        filters["type"] = new Dictionary<string, bool> { ["container"] = true };
        filters["event"] = new Dictionary<string, bool> { ["die"] = true };
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var pump = PumpAsync(filters, news.Writer, ended.Token);
        try
        {
            await foreach (var id in news.Reader.ReadAllAsync(stopping).ConfigureAwait(false))
                if (await NewsOfAsync(id, stopping).ConfigureAwait(false) is { } container) yield return container;
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await pump.ConfigureAwait(false);
        }
    }

    public ValueTask DisposeAsync()
    {
        _creates.Dispose();
        _pulls.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task PumpAsync(IDictionary<string, IDictionary<string, bool>> filters, ChannelWriter<string> news, CancellationToken stopping)
    {
        Exception? why = null;
        try
        {
            var each = new InPlace<Message>(x =>
            {
                if (x.Actor?.ID is { Length: > 0 } id) news.TryWrite(id);
            });
            await client.System.MonitorEventsAsync(new ContainerEventsParameters { Filters = filters }, each, stopping).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested) { }
        catch (Exception e) when (e is DockerApiException || IsTransport(e))
        {
            why = e;
        }
        finally
        {
            news.TryComplete(stopping.IsCancellationRequested ? null : new RuntimeUnavailableException("The Docker engine's event stream ended", why));
        }
    }

    private abstract record Made
    {
        public sealed record NoImage : Made;
        public sealed record Runs(string Id) : Made;
        public sealed record Settled(StartOutcome Outcome) : Made;

        public static Settled Refused(string why) => new Settled(new StartOutcome.Refused(TerminalState.Failed, why));
    }

    private async Task<Made> MakeAsync(CreateContainerParameters spec, CancellationToken cancelled)
    {
        await _creates.WaitAsync(cancelled).ConfigureAwait(false);
        try
        {
            string id;
            try
            {
                id = (await CallAsync(ct => client.Containers.CreateContainerAsync(spec, ct), CancellationToken.None).ConfigureAwait(false)).ID;
            }
            catch (DockerApiException missing) when (missing.StatusCode == HttpStatusCode.NotFound && missing.ResponseBody?.Contains("image", StringComparison.OrdinalIgnoreCase) == true)
            {
                return new Made.NoImage();
            }
            catch (DockerApiException conflict) when (conflict.StatusCode == HttpStatusCode.Conflict)
            {
                return await AdoptAsync(spec).ConfigureAwait(false);
            }
            return await RunAsync(id, spec.User).ConfigureAwait(false);
        }
        catch (DockerApiException refused) when (!IsBusy(refused))
        {
            return Made.Refused($"Docker refused the container: {ReasonOf(refused)}");
        }
        catch (DockerApiException busy)
        {
            throw new RuntimeUnavailableException($"Docker answers {(int)busy.StatusCode}: {ReasonOf(busy)}", busy);
        }
        finally
        {
            _creates.Release();
        }
    }

    /// <summary>One under our name is there already: made before the agent or the engine went away in the middle.</summary>
    private async Task<Made> AdoptAsync(CreateContainerParameters spec)
    {
        var there = await CallAsync(ct => client.Containers.InspectContainerAsync(spec.Name!, ct), CancellationToken.None).ConfigureAwait(false);
        if (!DockerLabels.AreOurs(there.Config?.Labels, site) || there.Config!.Labels!.TryGetValue(DockerLabels.Instance, out var instance) is false || instance != spec.Labels![DockerLabels.Instance])
            return Made.Refused($"A container named {spec.Name} that is not this cluster's is in the way");
        LogAdopted(spec.Name!);
        return there.State?.Status == "created" ? await RunAsync(there.ID, spec.User).ConfigureAwait(false) : new Made.Settled(new StartOutcome.Started((await ObserveAsync(there, CancellationToken.None).ConfigureAwait(false))!));
    }

    private async Task<Made> RunAsync(string id, string? user)
    {
        try
        {
            await CallAsync(ct => client.Containers.StartContainerAsync(id, null, ct), CancellationToken.None).ConfigureAwait(false);
        }
        catch (DockerApiException refused) when (!IsBusy(refused))
        {
            await CallAsync(ct => client.Containers.RemoveContainerAsync(id, new ContainerRemoveParameters { Force = true, RemoveVolumes = true }, ct), CancellationToken.None).ConfigureAwait(false);
            var why = ReasonOf(refused);
            return Made.Refused(why.Contains("unable to find user", StringComparison.Ordinal) ? $"No such user '{user}' in the image: {why}" : $"Docker could not start the container: {why}");
        }
        return new Made.Runs(id);
    }

    /// <summary>Only a bridge container has an address to look up.</summary>
    private async Task<StartOutcome> ShowAsync(string id, CreateContainerParameters spec)
    {
        if (spec.HostConfig!.NetworkMode == "host")
            return new StartOutcome.Started(new ObservedContainer
            {
                Id = InstanceId.Parse(spec.Labels![DockerLabels.Instance]),
                Serial = long.Parse(spec.Labels![DockerLabels.Serial], CultureInfo.InvariantCulture),
                Runtime = RuntimeKind.Docker,
                State = ContainerState.Running,
                StartedAt = time.GetUtcNow(),
            });
        return await InspectAsync(id, CancellationToken.None).ConfigureAwait(false) is { } seen
            ? new StartOutcome.Started(seen)
            : new StartOutcome.Refused(TerminalState.Failed, "The container was removed by someone else as soon as it was started");
    }

    private async Task<StartOutcome.Refused?> PullAsync(string image, IProgress<string> progress, CancellationToken cancelled)
    {
        await _pulls.WaitAsync(cancelled).ConfigureAwait(false);
        try
        {
            progress.Report($"Pulling image {image}");
            string? error = null;
            var layers = new Dictionary<string, string>();
            var each = new InPlace<JSONMessage>(x =>
            {
                if (x.Error is { } e) error = e.Message;
                else if (x.ID is { Length: > 0 } layer && x.Status is { } status) layers[layer] = status;
                if (layers.Count > 0) progress.Report($"Pulling image {image}: {layers.Values.Count(s => s is "Pull complete" or "Already exists")} of {layers.Count} layers");
            });
            var reference = image.Contains('@') || image.LastIndexOf(':') > image.LastIndexOf('/') ? image : image + ":latest"; // without a tag the engine would pull all of them
            await client.Images.CreateImageAsync(new ImagesCreateParameters { FromImage = reference }, new AuthConfig(), each, cancelled).ConfigureAwait(false);
            return error is null ? null : CannotPull(image, error);
        }
        catch (DockerApiException refused)
        {
            return CannotPull(image, ReasonOf(refused));
        }
        catch (Exception e) when (!cancelled.IsCancellationRequested && IsTransport(e))
        {
            throw new RuntimeUnavailableException($"Docker does not answer: {e.Message}", e);
        }
        finally
        {
            _pulls.Release();
        }
    }

    private static StartOutcome.Refused CannotPull(string image, string why) => new(TerminalState.Failed, $"The image {image} is not on this node and could not be pulled: {why}");

    private async Task<ObservedContainer?> InspectAsync(string id, CancellationToken stopping)
    {
        try
        {
            var inspected = await CallAsync(ct => client.Containers.InspectContainerAsync(id, ct), stopping).ConfigureAwait(false);
            return await ObserveAsync(inspected, stopping).ConfigureAwait(false);
        }
        catch (DockerApiException gone) when (gone.StatusCode == HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    /// <summary>Null if its labels are not ours or make no sense.</summary>
    private async Task<ObservedContainer?> ObserveAsync(ContainerInspectResponse inspected, CancellationToken stopping)
    {
        var labels = inspected.Config?.Labels;
        var status = inspected.State!;
        if (!DockerLabels.AreOurs(labels, site) || !labels!.TryGetValue(DockerLabels.Instance, out var text) || !InstanceId.TryParse(text, out var instance)
            || !labels.TryGetValue(DockerLabels.Serial, out var serialText) || !long.TryParse(serialText, CultureInfo.InvariantCulture, out var serial))
            return null;
        var state = status.Running || status.Paused ? ContainerState.Running : status.Status == "created" ? ContainerState.Created : ContainerState.Exited;
        var seen = new ObservedContainer
        {
            Id = instance,
            Serial = serial,
            Runtime = RuntimeKind.Docker,
            State = state,
            StartedAt = InstantOf(status.StartedAt),
            Address = inspected.NetworkSettings?.Networks?.Values.Select(x => x.IPAddress).FirstOrDefault(x => !string.IsNullOrEmpty(x)),
            Exit = state == ContainerState.Exited ? await ExitOfAsync(inspected, stopping).ConfigureAwait(false) : null,
        };
        if (state != ContainerState.Created) _settled[inspected.ID] = seen;
        if (PodContainers.PartOf(labels, seen) is not null) _podParts[inspected.ID] = true;
        return seen;
    }

    private async Task<ContainerExit> ExitOfAsync(ContainerInspectResponse inspected, CancellationToken stopping)
    {
        var status = inspected.State!;
        var code = (int)status.ExitCode;
        var output = code == 0 ? "" : await OutputOfAsync(inspected.ID, stopping).ConfigureAwait(false);
        if (status.Error is { Length: > 0 } error) output = output.Length == 0 ? error : $"{output}\n{error}";
        return new ContainerExit(code, status.OOMKilled, output, InstantOf(status.FinishedAt) ?? time.GetUtcNow());
    }

    /// <summary>The output is a courtesy: an engine that cannot give it must not hide the exit.</summary>
    private async Task<string> OutputOfAsync(string id, CancellationToken stopping)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        limit.CancelAfter(TimeSpan.FromSeconds(3));
        try
        {
            var tail = new ContainerLogsParameters { ShowStdout = true, ShowStderr = true, Tail = OutputTail.LinesMax.ToString(CultureInfo.InvariantCulture) };
            using var stream = await client.Containers.GetContainerLogsAsync(id, tail, limit.Token).ConfigureAwait(false);
            return await ReadTailAsync(stream, limit.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (!stopping.IsCancellationRequested && (e is DockerApiException or OperationCanceledException || IsTransport(e)))
        {
            return "";
        }
    }

    private static async Task<string> ReadTailAsync(MultiplexedStream stream, CancellationToken stopping)
    {
        var tail = new OutputTail();
        var buffer = new byte[8192];
        while (true)
        {
            var read = await stream.ReadOutputAsync(buffer, 0, buffer.Length, stopping).ConfigureAwait(false);
            if (read.EOF) return tail.ToString();
            tail.Add(buffer.AsSpan(0, read.Count));
        }
    }

    /// <summary>The engine cannot end an exec; its process would stay in the container, one more with each hanging probe.</summary>
    private async Task KillExecAsync(string exec)
    {
        try
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(3));
            var inspected = await client.Exec.InspectContainerExecAsync(exec, limit.Token).ConfigureAwait(false);
            if (inspected.Running && inspected.Pid > 1) Posix.Kill((int)inspected.Pid, Posix.SigKill);
        }
        catch (Exception e) when (e is DockerApiException or OperationCanceledException || IsTransport(e))
        {
            LogExecLeft(exec, e.Message);
        }
    }

    private Dictionary<string, IDictionary<string, bool>> OurFilter() => new()
    {
        ["label"] = new Dictionary<string, bool> { [$"{DockerLabels.Cluster}={site.ClusterId}"] = true, [$"{DockerLabels.Node}={site.Node.Name}"] = true },
    };

    /// <summary>The engine's refusals come through as they are; its silence becomes <see cref="RuntimeUnavailableException"/>.</summary>
    private static async Task<T> CallAsync<T>(Func<CancellationToken, Task<T>> call, CancellationToken stopping)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        limit.CancelAfter(CallTimeout);
        try
        {
            return await call(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!stopping.IsCancellationRequested)
        {
            throw new RuntimeUnavailableException($"Docker has not answered for {CallTimeout.TotalSeconds:0} s");
        }
        catch (Exception e) when (!stopping.IsCancellationRequested && IsTransport(e))
        {
            throw new RuntimeUnavailableException($"Docker does not answer: {e.Message}", e);
        }
    }

    private static Task<bool> CallAsync(Func<CancellationToken, Task> call, CancellationToken stopping) =>
        CallAsync(async ct =>
        {
            await call(ct).ConfigureAwait(false);
            return true;
        }, stopping);

    private static bool IsTransport(Exception e) => e is HttpRequestException or IOException or TimeoutException or System.Net.Sockets.SocketException or OperationCanceledException;

    /// <summary>Shutting down, or overloaded: not the container's fault.</summary>
    private static bool IsBusy(DockerApiException e) => e.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.GatewayTimeout;

    private static string ReasonOf(DockerApiException e)
    {
        try
        {
            using var body = System.Text.Json.JsonDocument.Parse(e.ResponseBody ?? "");
            return body.RootElement.TryGetProperty("message", out var message) ? message.GetString() ?? e.Message : e.Message;
        }
        catch (System.Text.Json.JsonException)
        {
            return e.ResponseBody is { Length: > 0 } text ? text.Trim() : e.Message;
        }
    }

    private static DateTimeOffset? InstantOf(string? text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var at) && at.Year > 1 ? at : null;

    private static string LastLine(string text) => text[(text.LastIndexOf('\n') + 1)..];

    /// <summary>Reports in the caller's order and thread; <see cref="Progress{T}"/> would shuffle.</summary>
    private sealed class InPlace<T>(Action<T> each) : IProgress<T>
    {
        public void Report(T value) => each(value);
    }

    [LoggerMessage(4101, LogLevel.Information, "Adopted {Container}, which was there already")]
    private partial void LogAdopted(string container);

    [LoggerMessage(4102, LogLevel.Warning, "A timed-out check command {Exec} may still run in its container: {Why}")]
    private partial void LogExecLeft(string exec, string why);
}
