using System.Collections.Concurrent;
using System.Net;
using Docker.DotNet;
using Docker.DotNet.Models;
using Microsoft.Extensions.Logging;
using Platform.Agent.Core;
using Platform.Model;
using ContainerState = Platform.Agent.Core.ContainerState;

namespace Platform.Agent.Docker;

/// <summary>Pods: one instance, several containers, told to the core as one.</summary>
internal sealed partial class DockerRuntime
{
    /// <summary>World-writable and sticky, like /tmp: the containers of a pod may be different users.</summary>
    private const UnixFileMode SharedDirectory = (UnixFileMode)0x3FF;

    /// <summary>Those that are being started say nothing through lists and events: what is seen in the middle would be taken for an end.</summary>
    private readonly ConcurrentDictionary<InstanceId, bool> _startingPods = new();
    private bool _volumesSwept;

    private async Task<StartOutcome> StartPodAsync(Assignment assignment, IProgress<string> progress, CancellationToken cancelled)
    {
        _startingPods[assignment.Id] = true;
        try
        {
            if (await MakePodAsync(assignment, progress, cancelled).ConfigureAwait(false) is { } refused)
            {
                await RemovePodAsync(assignment.Id, CancellationToken.None).ConfigureAwait(false);
                return refused;
            }
        }
        catch (OperationCanceledException) when (cancelled.IsCancellationRequested)
        {
            await RemovePodAsync(assignment.Id, CancellationToken.None).ConfigureAwait(false);
            return new StartOutcome.Refused(TerminalState.Killed, "Task was killed before it was started");
        }
        finally
        {
            _startingPods.TryRemove(assignment.Id, out _);
        }
        return await WholeAsync(assignment.Id, CancellationToken.None).ConfigureAwait(false) is { } seen
            ? new StartOutcome.Started(seen)
            : new StartOutcome.Refused(TerminalState.Failed, "The containers were removed by someone else as soon as they were started");
    }

    /// <summary>
    /// Images first, then every container is made, then they are started: after a crash in the middle it can be told what waits for its start
    /// from what somebody took away.
    /// </summary>
    private async Task<StartOutcome.Refused?> MakePodAsync(Assignment assignment, IProgress<string> progress, CancellationToken cancelled)
    {
        var specs = PodContainers.SpecsOf(assignment, site);
        var there = (await PartsAsync(assignment.Id, cancelled).ConfigureAwait(false)).Select(x => x.Name).ToHashSet();
        foreach (var container in assignment.App.Pod!.Containers.Where(x => !there.Contains(x.Name)))
        {
            var image = container.Image!;
            if (!image.ForcePull && await HasImageAsync(image.Id, cancelled).ConfigureAwait(false)) continue;
            if (await PullAsync(image.Id, progress, cancelled).ConfigureAwait(false) is { } unpullable) return unpullable;
        }
        await _creates.WaitAsync(cancelled).ConfigureAwait(false);
        try
        {
            foreach (var volume in assignment.App.Pod.Volumes.Where(x => x.HostPath is null))
                await MakeVolumeAsync(assignment.Id, volume).ConfigureAwait(false);
            var made = new List<(string Id, string Name)>();
            foreach (var spec in specs)
            {
                var (id, refused) = await EnsureMadeAsync(spec).ConfigureAwait(false);
                if (refused is not null) return refused;
                if (id is not null) made.Add((id, spec.Labels![DockerLabels.Container]));
            }
            foreach (var (id, name) in made)
                if (await RunPartAsync(assignment.Id, id, name).ConfigureAwait(false) is { } refused) return refused;
            return null;
        }
        catch (DockerApiException busy) when (IsBusy(busy))
        {
            throw new RuntimeUnavailableException($"Docker answers {(int)busy.StatusCode}: {ReasonOf(busy)}", busy);
        }
        finally
        {
            _creates.Release();
        }
    }

    /// <summary>The id of a container that waits for its start, made now or before; neither id nor refusal for one that has been started.</summary>
    private async Task<(string? Id, StartOutcome.Refused? Refusal)> EnsureMadeAsync(CreateContainerParameters spec)
    {
        try
        {
            return ((await CallAsync(ct => client.Containers.CreateContainerAsync(spec, ct), CancellationToken.None).ConfigureAwait(false)).ID, null);
        }
        catch (DockerApiException conflict) when (conflict.StatusCode == HttpStatusCode.Conflict)
        {
            var there = await CallAsync(ct => client.Containers.InspectContainerAsync(spec.Name!, ct), CancellationToken.None).ConfigureAwait(false);
            if (!DockerLabels.AreOurs(there.Config?.Labels, site))
                return (null, Failed($"A container named {spec.Name} that is not this cluster's is in the way"));
            LogAdopted(spec.Name!);
            return (there.State?.Status == "created" ? there.ID : null, null);
        }
        catch (DockerApiException refused) when (!IsBusy(refused))
        {
            return (null, Failed($"Docker refused the container '{spec.Labels![DockerLabels.Container]}': {ReasonOf(refused)}"));
        }
    }

    private async Task<StartOutcome.Refused?> RunPartAsync(InstanceId instance, string id, string name)
    {
        try
        {
            await CallAsync(ct => client.Containers.StartContainerAsync(id, null, ct), CancellationToken.None).ConfigureAwait(false);
            return null;
        }
        catch (DockerApiException refused) when (!IsBusy(refused))
        {
            // Nothing can join the network of one that has ended already: that end is the reason, and it is there to be seen.
            if (await WholeAsync(instance, CancellationToken.None).ConfigureAwait(false) is { Exit: not null }) return null;
            return Failed($"Docker could not start the container '{name}': {ReasonOf(refused)}");
        }
    }

    private static StartOutcome.Refused Failed(string why) => new(TerminalState.Failed, why);

    private async Task<bool> HasImageAsync(string image, CancellationToken stopping)
    {
        try
        {
            await CallAsync(ct => client.Images.InspectImageAsync(image, ct), stopping).ConfigureAwait(false);
            return true;
        }
        catch (DockerApiException missing) when (missing.StatusCode == HttpStatusCode.NotFound)
        {
            return false;
        }
    }

    private async Task MakeVolumeAsync(InstanceId instance, PodVolume volume)
    {
        var made = await CallAsync(ct => client.Volumes.CreateAsync(new VolumesCreateParameters
        {
            Name = PodContainers.VolumeOf(instance, volume.Name),
            Labels = new Dictionary<string, string>
            {
                [DockerLabels.Cluster] = site.ClusterId, [DockerLabels.Node] = site.Node.Name, [DockerLabels.Instance] = instance.Text,
            },
        }, ct), CancellationToken.None).ConfigureAwait(false);
        try
        {
            if (made.Mountpoint is { } path && !OperatingSystem.IsWindows() && Directory.Exists(path)) File.SetUnixFileMode(path, SharedDirectory);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogVolumeRootOnly(made.Name ?? volume.Name, e.Message); // an agent that is not root, or an engine elsewhere
        }
    }

    /// <summary>Every container of the instance at once; one that does not run is what we wanted.</summary>
    private async Task SignalPodAsync(InstanceId id, bool force, CancellationToken stopping)
    {
        var containers = await ContainersOfAsync(id, stopping).ConfigureAwait(false);
        await Task.WhenAll(containers.Select(async container =>
        {
            try
            {
                var signal = new ContainerKillParameters { Signal = force ? "SIGKILL" : "SIGTERM" };
                await CallAsync(ct => client.Containers.KillContainerAsync(container.ID!, signal, ct), stopping).ConfigureAwait(false);
            }
            catch (DockerApiException gone) when (gone.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Conflict)
            {
                // Not there, or not running.
            }
        })).ConfigureAwait(false);
    }

    private async Task RemovePodAsync(InstanceId id, CancellationToken stopping)
    {
        var wholly = new ContainerRemoveParameters { Force = true, RemoveVolumes = true };
        foreach (var container in await ContainersOfAsync(id, stopping).ConfigureAwait(false))
            await QuietlyAsync(ct => client.Containers.RemoveContainerAsync(container.ID!, wholly, ct), stopping).ConfigureAwait(false);
        foreach (var (name, _) in await VolumesAsync(id, stopping).ConfigureAwait(false))
            await QuietlyAsync(ct => client.Volumes.RemoveAsync(name, false, ct), stopping).ConfigureAwait(false);
    }

    /// <summary>Gone, or going (409), is success.</summary>
    private static async Task QuietlyAsync(Func<CancellationToken, Task> remove, CancellationToken stopping)
    {
        try
        {
            await CallAsync(remove, stopping).ConfigureAwait(false);
        }
        catch (DockerApiException gone) when (gone.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Conflict)
        {
            // What we wanted.
        }
    }

    /// <summary>
    /// Volumes of instances whose containers somebody else has removed; looked for once, before anything is started. An engine that cannot remove
    /// one must not keep the node from its tasks.
    /// </summary>
    private async Task SweepVolumesAsync(HashSet<string> instances, CancellationToken stopping)
    {
        if (_volumesSwept) return;
        try
        {
            foreach (var (name, instance) in await VolumesAsync(null, stopping).ConfigureAwait(false))
                if (!instances.Contains(instance)) await QuietlyAsync(ct => client.Volumes.RemoveAsync(name, false, ct), stopping).ConfigureAwait(false);
        }
        catch (DockerApiException refused)
        {
            LogVolumesLeft(ReasonOf(refused));
        }
        _volumesSwept = true;
    }

    private async Task<IEnumerable<(string Name, string Instance)>> VolumesAsync(InstanceId? of, CancellationToken stopping)
    {
        var filters = OurFilter();
        if (of is not null) filters["label"][$"{DockerLabels.Instance}={of.Text}"] = true;
        var answer = await CallAsync(ct => client.Volumes.ListAsync(new VolumesListParameters { Filters = filters }, ct), stopping).ConfigureAwait(false);
        return (answer.Volumes ?? [])
            .Where(x => DockerLabels.AreOurs(x.Labels, site))
            .Select(x => (x.Name!, x.Labels!.TryGetValue(DockerLabels.Instance, out var instance) ? instance : ""));
    }

    private async Task<IEnumerable<ContainerListResponse>> ContainersOfAsync(InstanceId id, CancellationToken stopping)
    {
        var filters = OurFilter();
        filters["label"][$"{DockerLabels.Instance}={id.Text}"] = true;
        var all = new ContainersListParameters { All = true, Filters = filters };
        var containers = await CallAsync(ct => client.Containers.ListContainersAsync(all, ct), stopping).ConfigureAwait(false);
        return containers.Where(x => DockerLabels.AreOurs(x.Labels, site));
    }

    private async Task<List<PodPart>> PartsAsync(InstanceId id, CancellationToken stopping)
    {
        var parts = new List<PodPart>();
        foreach (var container in await ContainersOfAsync(id, stopping).ConfigureAwait(false))
            if (await InspectAsync(container.ID!, stopping).ConfigureAwait(false) is { } seen
                && PodContainers.PartOf(container.Labels!, seen) is { } part) parts.Add(part);
        return parts;
    }

    /// <summary>Null if nothing of it is there.</summary>
    private async Task<ObservedContainer?> WholeAsync(InstanceId id, CancellationToken stopping) =>
        await PartsAsync(id, stopping).ConfigureAwait(false) is { Count: > 0 } parts ? PodContainers.Whole(parts, time.GetUtcNow()) : null;

    /// <summary>What a container's news are of: itself, or the pod's instance it is a part of.</summary>
    private async Task<ObservedContainer?> NewsOfAsync(string container, CancellationToken stopping)
    {
        if (await InspectAsync(container, stopping).ConfigureAwait(false) is not { } seen) return null;
        if (!_podParts.ContainsKey(container)) return seen;
        return _startingPods.ContainsKey(seen.Id) ? null : await WholeAsync(seen.Id, stopping).ConfigureAwait(false);
    }

    private IEnumerable<ObservedContainer> WholesOf(IEnumerable<PodPart> parts) => parts
        .Where(x => !_startingPods.ContainsKey(x.Seen.Id))
        .GroupBy(x => x.Seen.Id).Select(x => PodContainers.Whole([.. x], time.GetUtcNow()));

    [LoggerMessage(4103, LogLevel.Warning, "The volume {Volume} could not be made writable for all of its pod's users: {Why}")]
    private partial void LogVolumeRootOnly(string volume, string why);

    [LoggerMessage(4104, LogLevel.Warning, "Volumes of pods that are gone may be left: {Why}")]
    private partial void LogVolumesLeft(string why);
}
