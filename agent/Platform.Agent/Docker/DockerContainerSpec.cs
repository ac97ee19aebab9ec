using System.Globalization;
using Docker.DotNet.Models;
using Platform.Model;

namespace Platform.Agent.Docker;

/// <summary>Whose containers these are, and how they reach their node.</summary>
/// <param name="Network">The node's own bridge network.</param>
/// <param name="Dns">The resolver of bridge containers; null = the engine's own choice.</param>
internal sealed record DockerSite(string ClusterId, NodeId Node, string NodeAddress, string Network, string? Dns);

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
    public static (CreateContainerParameters? Spec, EquatableArray<string> Problems) Of(Assignment assignment, DockerSite site)
    {
        var app = assignment.App;
        var container = app.Container!;
        var network = app.Network == NetworkMode.Host ? "host" : site.Network;
        var spec = new CreateContainerParameters
        {
            Name = NameOf(assignment.Id),
            Image = container.Image!,
            User = app.User!,
            Env = assignment.Env.Select(x => $"{x.Key}={x.Value}").ToList(),
            Labels = LabelsOf(assignment, site),
            HostConfig = HostConfigOf(app.Resources, network, container.Volumes.Select(x => $"{x.HostPath}:{x.ContainerPath}:{(x.ReadOnly ? "ro" : "rw")}")),
        };
        spec.HostConfig.Privileged = container.Privileged;
        // As Mesos did: a command is the shell's, and replaces the image's entry point; arguments go to the entry point.
        if (app.Cmd is { } cmd) (spec.Entrypoint, spec.Cmd) = (["/bin/sh", "-c"], [cmd]);
        else if (app.Args.Count > 0) spec.Cmd = [.. app.Args];
        if (app.Network == NetworkMode.Bridge) Publish(spec, assignment, site);

        List<string> problems = [];
        var host = spec.HostConfig;
        var dnsBefore = host.DNS;
        if (container.Parameters.Any(x => x.Key == "dns")) host.DNS = []; // an own resolver replaces ours
        foreach (var parameter in container.Parameters.OrderBy(x => x.Key == "log-opt")) // after log-driver, which starts the options anew
            if (DockerParameters.Apply(spec, parameter) is { } why) problems.Add($"docker parameter '{parameter.Key}' {why}");
        if (host.DNS is { Count: 0 }) host.DNS = dnsBefore;
        return problems.Count == 0 ? (spec, default) : (null, problems.ToEquatableArray());
    }

    internal static HostConfig HostConfigOf(Platform.Model.Resources resources, string network, IEnumerable<string> binds)
    {
        var memory = Math.Max(MemoryMin, (long)(resources.MemMib * (1 << 20)));
        return new HostConfig
        {
            NetworkMode = network,
            Binds = binds.ToList(),
            CPUShares = Math.Max(CpuSharesMin, (long)Math.Round(resources.Cpus * 1024)),
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
