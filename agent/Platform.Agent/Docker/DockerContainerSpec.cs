using System.Globalization;
using Docker.DotNet.Models;
using Platform.Discovery;
using Platform.Model;

namespace Platform.Agent.Docker;

/// <summary>Whose containers these are, and how they reach their node.</summary>
/// <param name="Network">The node's own bridge network.</param>
/// <param name="Dns">The resolver of bridge containers; null = the engine's own choice.</param>
internal sealed record DockerSite(string ClusterId, NodeId Node, string NodeAddress, string Network, string? Dns)
{
    /// <summary>Where the sandboxes are, one a task.</summary>
    public string Sandboxes { get; init; } = "/var/lib/platform/container-sandboxes";

    /// <summary>Where the secrets' files are, one directory a task.</summary>
    public string Secrets { get; init; } = "/dev/shm/platform";

    public string SandboxOf(InstanceId id) => Path.Combine(Sandboxes, id.TaskId);
    public string SecretsOf(InstanceId id) => Path.Combine(Secrets, id.TaskId);
}

/// <summary>Our labels on containers and networks. They are all the engine keeps for us, and all we trust to tell ours from strangers.</summary>
internal static class DockerLabels
{
    public const string Cluster = "platform.cluster";
    public const string Node = "platform.node";
    public const string Instance = "platform.instance";
    public const string Serial = "platform.serial";
    public const string App = "platform.app";
    public const string Version = "platform.version";
    public const string Ports = "platform.ports";

    /// <summary>Of a pod's container: its name in the pod, and the names of all, the owner of the network first.</summary>
    public const string Container = "platform.container";
    public const string Pod = "platform.pod";

    public static bool AreOurs(IDictionary<string, string>? labels, DockerSite site) =>
        labels is not null && labels.TryGetValue(Cluster, out var cluster) && cluster == site.ClusterId && labels.TryGetValue(Node, out var node) && node == site.Node.Name;
}

/// <summary>The translation of an assignment into the engine's words. Pure; golden files show it.</summary>
internal static class DockerContainerSpec
{
    /// <summary>Docker 20.10 refuses less.</summary>
    public const long MemoryMin = 6L << 20;
    public const long CpuSharesMin = 2;
    public const long PidsMax = 4096;

    public static string NameOf(InstanceId id) => $"platform-{id.TaskId}";

    /// <summary>The container to make, or every reason why there is none to make.</summary>
    /// <param name="volumePath">Where a persistent volume is on the node, by its uuid.</param>
    public static (CreateContainerParameters? Spec, EquatableArray<string> Problems) Of(Assignment assignment, DockerSite site, Func<string, string> volumePath)
    {
        var app = assignment.App;
        var container = app.Container!;
        var network = app.Network switch { NetworkMode.Host => "host", NetworkMode.Container => app.NetworkName!, _ => site.Network };
        var binds = container.Volumes.OfType<HostVolume>().Select(x => $"{x.HostPath}:{x.ContainerPath}:{(x.ReadOnly ? "ro" : "rw")}")
            .Concat(assignment.Volumes.Select(x => $"{volumePath(x.Uuid)}:{EnvironmentBuilder.ContainerSandbox}/{x.ContainerPath}:rw"));
        var spec = new CreateContainerParameters
        {
            Name = NameOf(assignment.Id),
            Image = container.Image!,
            User = app.User!,
            Env = assignment.Env.Select(x => $"{x.Key}={x.Value}").ToList(),
            Labels = LabelsOf(assignment, site),
            HostConfig = HostConfigOf(app.Resources.Cpus, app.ResourceLimits?.MemMib ?? app.Resources.MemMib, network, binds),
        };
        spec.HostConfig.Privileged = container.Privileged;
        Mount(spec, assignment, site);
        // As Mesos did: a command is the shell's, and replaces the image's entry point; arguments go to the entry point.
        if (app.Cmd is { } cmd) (spec.Entrypoint, spec.Cmd) = (["/bin/sh", "-c"], [cmd]);
        else if (app.Args.Count > 0) spec.Cmd = [.. app.Args];
        if (app.ResourceLimits?.Cpus is { } cpus && double.IsFinite(cpus)) spec.HostConfig.NanoCPUs = (long)(cpus * 1e9);
        spec.Tty = app.Tty == true;
        if (app.Network != NetworkMode.Host) Publish(spec, assignment, site);

        List<string> problems = [];
        var host = spec.HostConfig;
        var dnsBefore = host.DNS;
        if (container.Parameters.Any(x => x.Key == "dns")) host.DNS = []; // an own resolver replaces ours
        foreach (var parameter in container.Parameters.OrderBy(x => x.Key == "log-opt")) // after log-driver, which starts the options anew
            if (DockerParameters.Apply(spec, parameter) is { } why) problems.Add($"docker parameter '{parameter.Key}' {why}");
        if (host.DNS is { Count: 0 }) host.DNS = dnsBefore;
        return problems.Count == 0 ? (spec, default) : (null, problems.ToEquatableArray());
    }

    private static void Mount(CreateContainerParameters spec, Assignment assignment, DockerSite site)
    {
        if (!assignment.App.Fetch.IsEmpty)
        {
            // Before the volumes, which lie in it.
            spec.HostConfig!.Binds!.Insert(0, $"{site.SandboxOf(assignment.Id)}:{EnvironmentBuilder.ContainerSandbox}:rw");
            if (!assignment.Env.ContainsKey("MESOS_SANDBOX")) spec.Env!.Add($"MESOS_SANDBOX={EnvironmentBuilder.ContainerSandbox}");
        }
        if (assignment.Secrets is not { } secrets) return;
        foreach (var (name, value) in secrets.Env) spec.Env!.Add($"{name}={value}");
        foreach (var (file, path) in TaskSecrets.Numbered(site.SecretsOf(assignment.Id), secrets)) spec.HostConfig!.Binds!.Add($"{file}:{path}:ro");
    }

    /// <param name="memMib">Infinity = unlimited.</param>
    internal static HostConfig HostConfigOf(double cpus, double memMib, string network, IEnumerable<string> binds)
    {
        var memory = double.IsInfinity(memMib) ? 0 : Math.Max(MemoryMin, (long)(memMib * (1 << 20)));
        return new HostConfig
        {
            NetworkMode = network,
            Binds = binds.ToList(),
            CPUShares = Math.Max(CpuSharesMin, (long)Math.Round(cpus * 1024)),
            Memory = memory,
            MemorySwap = memory, // the limit is a limit: no second helping from swap
            PidsLimit = PidsMax,
            LogConfig = new LogConfig { Type = "json-file", Config = new Dictionary<string, string> { ["max-size"] = "10m", ["max-file"] = "3" } },
        };
    }

    internal static Dictionary<string, string> LabelsOf(Assignment assignment, DockerSite site) => new()
    {
        [DockerLabels.Cluster] = site.ClusterId,
        [DockerLabels.Node] = site.Node.Name,
        [DockerLabels.Instance] = assignment.Id.Text,
        [DockerLabels.Serial] = assignment.Serial.ToString(CultureInfo.InvariantCulture),
        [DockerLabels.App] = assignment.App.Id.Path,
        [DockerLabels.Version] = assignment.App.VersionInfo.LastConfigChangeAt.ToString(),
        [DockerLabels.Ports] = string.Join(',', assignment.HostPorts),
        ["MESOS_TASK_ID"] = assignment.Id.TaskId,
    };

    internal static void Publish(CreateContainerParameters spec, Assignment assignment, DockerSite site)
    {
        var host = spec.HostConfig!;
        if (site.Dns is { } dns) host.DNS = [dns];
        var exposed = new Dictionary<string, EmptyStruct>();
        var bindings = new Dictionary<string, IList<PortBinding>>();
        foreach (var port in assignment.App.Ports)
        {
            var hostPort = port.Index < assignment.HostPorts.Count ? assignment.HostPorts[port.Index] : 0;
            var containerPort = port.ContainerPort is > 0 and { } declared ? declared : hostPort;
            if (containerPort == 0) continue;
            foreach (var protocol in port.Protocol.Split(','))
            {
                var key = string.Create(CultureInfo.InvariantCulture, $"{containerPort}/{protocol}");
                exposed[key] = default;
                if (hostPort == 0) continue;
                if (!bindings.TryGetValue(key, out var list)) bindings[key] = list = [];
                list.Add(new PortBinding { HostIP = site.NodeAddress, HostPort = hostPort.ToString(CultureInfo.InvariantCulture) });
            }
        }
        spec.ExposedPorts = exposed;
        host.PortBindings = bindings;
    }
}
