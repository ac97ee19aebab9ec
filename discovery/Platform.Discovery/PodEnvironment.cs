using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// The environment of a pod's containers, in Marathon's names: what they share is complete before it leaves the scheduler, as an app's is
/// (<see cref="EnvironmentBuilder.Build"/>); what each has of its own follows from the definition, and is put under it on the node.
/// </summary>
public static class PodEnvironment
{
    /// <summary>Where every container of the pod finds every endpoint, its own and its fellows'.</summary>
    internal static void AddShared(
        ImmutableSortedDictionary<string, string>.Builder env, AppDefinition pod, InstanceId id, EquatableArray<int> hostPorts)
    {
        env["MESOS_EXECUTOR_ID"] = $"instance-{id.Text}";
        env["MARATHON_APP_ID"] = pod.Id.Path;
        env["MARATHON_APP_VERSION"] = pod.Version.ToString();
        foreach (var port in pod.Ports)
        {
            var name = EnvironmentBuilder.Sanitised(port.Name!);
            var hostPort = hostPorts[port.Index];
            var listening = pod.Network == NetworkMode.Host ? hostPort : EnvironmentBuilder.ContainerPort(port, hostPort);
            env[$"ENDPOINT_{name}"] = EnvironmentBuilder.Number(listening);
            if (hostPort > 0) env[$"EP_HOST_{name}"] = EnvironmentBuilder.Number(hostPort);
            if (pod.Network != NetworkMode.Host) env[$"EP_CONTAINER_{name}"] = EnvironmentBuilder.Number(listening);
        }
    }

    /// <summary>The complete environment of one container. What it says itself wins over the pod's word, and the user's word over ours.</summary>
    /// <param name="shared">The instance's, as <see cref="EnvironmentBuilder.Build"/> made it.</param>
    public static EquatableMap OfContainer(EquatableMap shared, InstanceId id, PodContainer container)
    {
        var env = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        env["MESOS_TASK_ID"] = id.TaskIdOf(container.Name);
        env["MARATHON_CONTAINER_ID"] = container.Name;
        env["MARATHON_CONTAINER_RESOURCE_CPUS"] = EnvironmentBuilder.Decimal(container.Resources.Cpus);
        env["MARATHON_CONTAINER_RESOURCE_MEM"] = EnvironmentBuilder.Decimal(container.Resources.MemMib);
        env["MARATHON_CONTAINER_RESOURCE_DISK"] = EnvironmentBuilder.Decimal(container.Resources.DiskMib);
        env["MARATHON_CONTAINER_RESOURCE_GPUS"] = "0";
        foreach (var (name, value) in shared) env[name] = value;
        AddLabels(env, container.Labels);
        foreach (var (name, value) in container.Environment) env[name] = value;
        return EquatableMap.From(env.ToImmutable());
    }

    /// <summary>Beside the pod's; of two with one name the container's.</summary>
    private static void AddLabels(ImmutableSortedDictionary<string, string>.Builder env, EquatableMap labels)
    {
        const string list = "MARATHON_APP_LABELS";
        var names = (env.GetValueOrDefault(list) ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries).ToList();
        foreach (var (key, value) in labels)
        {
            if (!EnvironmentBuilder.IsExported(key, value)) continue;
            var name = EnvironmentBuilder.LabelName(key);
            env[EnvironmentBuilder.LabelPrefix + name] = value;
            if (!names.Contains(name)) names.Add(name);
        }
        env[list] = string.Join(' ', names);
    }
}
