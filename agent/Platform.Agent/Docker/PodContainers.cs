using System.Globalization;
using Docker.DotNet.Models;
using Platform.Agent.Core;
using Platform.Discovery;
using Platform.Model;
using ContainerState = Platform.Agent.Core.ContainerState;

namespace Platform.Agent.Docker;

/// <summary>One container of a pod as the engine shows it, with the names of all that belong to the same instance.</summary>
internal sealed record PodPart(string Name, EquatableArray<string> Names, ObservedContainer Seen);

/// <summary>
/// The translation of a pod's instance into the engine's words, and back. Pure; golden files show it. The pod's first container owns the network
/// namespace and its published ports, and the others join it: no container of ours is needed that only holds it open, and when the first one
/// ends, the pod ends, which it does for every other of its containers too.
/// </summary>
internal static class PodContainers
{
    public static string NameOf(InstanceId id, string container) => $"platform-{id.TaskIdOf(container)}";

    /// <summary>Of a volume that is made for the instance.</summary>
    public static string VolumeOf(InstanceId id, string volume) => $"platform-{id.Text}.{volume}";

    /// <summary>The containers to make, the owner of the network first: the order in which they must be started.</summary>
    public static IReadOnlyList<CreateContainerParameters> SpecsOf(Assignment assignment, DockerSite site) =>
        [.. assignment.App.Pod!.Containers.Select((_, i) => SpecOf(assignment, i, site))];

    private static CreateContainerParameters SpecOf(Assignment assignment, int index, DockerSite site)
    {
        var pod = assignment.App.Pod!;
        var container = pod.Containers[index];
        var ownsNetwork = index == 0;
        var network = assignment.App.Network == NetworkMode.Host ? "host"
            : ownsNetwork ? site.Network
            : $"container:{NameOf(assignment.Id, pod.Containers[0].Name)}";
        var spec = new CreateContainerParameters
        {
            Name = NameOf(assignment.Id, container.Name),
            Image = container.Image!.Id,
            User = container.User ?? assignment.App.User!,
            Env = PodEnvironment.OfContainer(assignment.Env, assignment.Id, container).Select(x => $"{x.Key}={x.Value}").ToList(),
            Labels = DockerContainerSpec.LabelsOf(assignment, site),
            HostConfig = DockerContainerSpec.HostConfigOf(container.Resources.Cpus, container.Resources.MemMib, network, container.VolumeMounts.Select(x => BindOf(assignment.Id, pod, x))),
        };
        spec.Labels["MESOS_TASK_ID"] = assignment.Id.TaskIdOf(container.Name);
        spec.Labels[DockerLabels.Container] = container.Name;
        spec.Labels[DockerLabels.Pod] = string.Join(',', pod.Containers.Select(x => x.Name));
        if (container.Command is { } command) Command(spec, command);
        if (ownsNetwork && assignment.App.Network == NetworkMode.Bridge) DockerContainerSpec.Publish(spec, assignment, site);
        return spec;
    }

    /// <summary>A line for the shell replaces the image's entry point, as with apps; words go to it, unless they are to replace it.</summary>
    private static void Command(CreateContainerParameters spec, PodCommand command)
    {
        if (command.Shell is { } line) (spec.Entrypoint, spec.Cmd) = (["/bin/sh", "-c"], [line]);
        else if (command.OverrideEntrypoint) spec.Entrypoint = [.. command.Argv];
        else spec.Cmd = [.. command.Argv];
    }

    private static string BindOf(InstanceId id, PodSpec pod, PodVolumeMount mount) =>
        $"{pod.Volumes.First(x => x.Name == mount.Name).HostPath ?? VolumeOf(id, mount.Name)}:{mount.MountPath}:{(mount.ReadOnly ? "ro" : "rw")}";

    /// <summary>Null if the labels are of a container that is none of a pod.</summary>
    public static PodPart? PartOf(IDictionary<string, string> labels, ObservedContainer seen) =>
        labels.TryGetValue(DockerLabels.Container, out var name) && labels.TryGetValue(DockerLabels.Pod, out var names)
            ? new PodPart(name, names.Split(',').ToEquatableArray(), seen)
            : null;

    /// <summary>
    /// The instance that the parts make. It runs when all of it runs. It is not yet made while one waits for its start. All containers are made
    /// before the first is started, so one that is missing beside others that ran was taken away, and counts as ended.
    /// </summary>
    public static ObservedContainer Whole(IReadOnlyCollection<PodPart> parts, DateTimeOffset now)
    {
        var running = parts.Where(x => x.Seen.State == ContainerState.Running).ToList();
        var names = parts.First().Names;
        var exit = FirstExit(parts, names, now);
        var state = running.Count == 0 ? (exit is null ? ContainerState.Created : ContainerState.Exited)
            : exit is null && running.Count < names.Count ? ContainerState.Created
            : ContainerState.Running;
        return parts.First().Seen with
        {
            State = state,
            StartedAt = state == ContainerState.Created ? null : parts.Max(x => x.Seen.StartedAt),
            Address = parts.Select(x => x.Seen.Address).FirstOrDefault(x => x is not null),
            Exit = exit,
        };
    }

    private static ContainerExit? FirstExit(IReadOnlyCollection<PodPart> parts, EquatableArray<string> names, DateTimeOffset now)
    {
        var ended = parts.Where(x => x.Seen.State == ContainerState.Exited)
            .OrderBy(x => x.Seen.Exit?.At ?? now).ThenBy(x => names.Items.IndexOf(x.Name)).FirstOrDefault();
        if (ended is not null) return (ended.Seen.Exit ?? new ContainerExit(null, false, "", now)) with { Container = ended.Name };
        if (parts.All(x => x.Seen.State == ContainerState.Created)) return null;
        var missing = names.FirstOrDefault(name => parts.All(x => x.Name != name));
        return missing is null ? null : new ContainerExit(null, false, "", now) { Container = missing };
    }
}
