using System.Text.Json;
using System.Text.RegularExpressions;

namespace Platform.Model;

/// <summary>What must hold of a complete pod by itself (contract 1.10). Rules that need its neighbours are the scheduler's.</summary>
internal static partial class PodRules
{
    private const int ContainersMax = 32;
    private const int NameLengthMax = 63;
    private const int PathLengthMax = 1_024;
    private static readonly string[] CheckKindNames = ["http", "tcp", "exec"];

    public static void Check(AppDefinition pod, ProblemList rules)
    {
        var spec = pod.Pod!;
        if (pod.Id.IsRoot) rules.Add("/id", "must not be the root path '/'");
        if (pod.User is { } user) CheckUser("/user", user, rules);
        CheckEnvironment("/environment", pod.Env, rules);
        CheckLabels("/labels", pod.Labels, rules);
        AppRules.Within("/scaling/instances", pod.Instances, AppLimits.InstancesMax, "instances", rules);
        CheckScheduling(pod, rules);
        if (spec.Containers.IsEmpty) rules.Add("/containers", "must not be empty");
        if (!AppRules.Within("/containers", spec.Containers.Count, ContainersMax, "containers", rules)) return;
        if (!AppRules.Within("/containers", pod.Ports.Count, AppLimits.PortsMax, "endpoints", rules)) return;
        for (var i = 0; i < spec.Containers.Count; i++) CheckContainer(pod, spec.Containers[i], $"/containers({i})", rules);
        Unique("/containers", "container names must be unique", spec.Containers.Select(x => x.Name), rules);
        CheckVolumes(spec, rules);
        CheckPorts(pod, rules);
    }

    /// <summary>What the definition no longer shows: which kinds of check a container names.</summary>
    public static void CheckKinds(JsonElement body, ProblemList rules)
    {
        foreach (var (container, path) in UnavailableFields.Items(body, "containers", "/containers"))
            if (UnavailableFields.Member(container, "healthCheck") is { } check
                && CheckKindNames.Count(x => UnavailableFields.Member(check, x) is not null) != 1)
                rules.Add($"{path}/healthCheck", "must have exactly one of http, tcp and exec");
    }

    private static void CheckScheduling(AppDefinition pod, ProblemList rules)
    {
        var strategy = pod.UpgradeStrategy;
        if (strategy.MinimumHealthCapacity is not (>= 0 and <= 1)) rules.Add("/scheduling/upgrade/minimumHealthCapacity", "is not between 0.0 and 1.0");
        if (strategy.MaximumOverCapacity is not (>= 0 and <= 1)) rules.Add("/scheduling/upgrade/maximumOverCapacity", "is not between 0.0 and 1.0");
        if (pod.AcceptedResourceRoles.Any(x => x != "*")) rules.Add("/scheduling/placement/acceptedResourceRoles", "there is only the role '*'");
        if (pod.UnreachableStrategy is { InactiveAfterSeconds: { } inactive, ExpungeAfterSeconds: { } expunge } && inactive > expunge)
            rules.Add("/scheduling/unreachableStrategy", "inactiveAfterSeconds must be less than or equal to expungeAfterSeconds");
    }

    private static void CheckContainer(AppDefinition pod, PodContainer container, string path, ProblemList rules)
    {
        CheckName($"{path}/name", container.Name, rules);
        if (container.Command is { } command) CheckCommand($"{path}/exec/command", command.Shell, command.Argv, rules);
        if (container.User is { } user) CheckUser($"{path}/user", user, rules);
        if (container.Image is not { Id: var image })
            rules.Add($"{path}/image", "must be given: the containers of a pod run in the node's container engine");
        else if (image.Length > AppLimits.ImageLengthMax || image.Any(x => char.IsWhiteSpace(x) || char.IsControl(x)))
            rules.Add($"{path}/image/id", $"must be at most {AppLimits.ImageLengthMax} characters without white space");
        CheckEnvironment($"{path}/environment", container.Environment, rules);
        CheckLabels($"{path}/labels", container.Labels, rules);
        for (var i = 0; i < container.Endpoints.Count; i++) CheckEndpoint(pod.Network, container.Endpoints[i], $"{path}/endpoints({i})", rules);
        CheckMounts(pod.Pod!, container, path, rules);
        if (container.HealthCheck is { } check) CheckHealth(container, check, $"{path}/healthCheck", rules);
    }

    private static void CheckEndpoint(NetworkMode network, PodEndpoint endpoint, string path, ProblemList rules)
    {
        CheckName($"{path}/name", endpoint.Name, rules);
        CheckLabels($"{path}/labels", endpoint.Labels, rules);
        if (network == NetworkMode.Host)
        {
            if (endpoint.HostPort is null) rules.Add($"{path}/hostPort", "must be given with host networking; 0 is any free port");
            if (endpoint.ContainerPort is not null) rules.Add($"{path}/containerPort", "must not be given with host networking: there is only the host port");
        }
        else if (endpoint.ContainerPort is null) rules.Add($"{path}/containerPort", "must be given with container networking");
        else if (endpoint is { ContainerPort: 0, HostPort: null })
            rules.Add($"{path}/containerPort", "must be a port number where there is no host port to equal");
    }

    private static void CheckHealth(PodContainer container, HealthCheck check, string path, ProblemList rules)
    {
        if (check.Protocol == HealthCheckProtocol.Command)
        {
            CheckCommand($"{path}/exec/command", check.Command, check.Argv, rules);
            return;
        }
        var kind = check.Protocol == HealthCheckProtocol.MesosTcp ? "tcp" : "http";
        if (container.Endpoints.All(x => x.Name != check.Endpoint)) rules.Add($"{path}/{kind}/endpoint", "must be the name of an endpoint of this container");
        if (check.Path is { } probed && (probed.Length > PathLengthMax || probed.Any(char.IsControl)))
            rules.Add($"{path}/http/path", $"must be at most {PathLengthMax} characters without control characters");
    }

    private static void CheckCommand(string path, string? shell, EquatableArray<string> argv, ProblemList rules)
    {
        if (shell is null == argv.IsEmpty) rules.Add(path, "must be either shell, not empty, or argv, not empty");
        if (shell is { Length: 0 }) rules.Add($"{path}/shell", "must not be empty");
        AppRules.NoNul($"{path}/shell", shell, rules);
        if (!AppRules.Within($"{path}/argv", argv.Count, AppLimits.ArgsMax, "arguments", rules)) return;
        for (var i = 0; i < argv.Count; i++) AppRules.NoNul($"{path}/argv({i})", argv[i], rules);
    }

    private static void CheckMounts(PodSpec pod, PodContainer container, string path, ProblemList rules)
    {
        if (!AppRules.Within($"{path}/volumeMounts", container.VolumeMounts.Count, AppLimits.VolumesMax, "volumes", rules)) return;
        for (var i = 0; i < container.VolumeMounts.Count; i++)
        {
            var (at, mount) = ($"{path}/volumeMounts({i})", container.VolumeMounts[i]);
            if (pod.Volumes.All(x => x.Name != mount.Name)) rules.Add($"{at}/name", "must be the name of one of the pod's volumes");
            if (mount.MountPath.Length > PathLengthMax || !AppRules.IsPath(mount.MountPath))
                rules.Add($"{at}/mountPath", "must be an absolute path without ':' and '..'");
        }
        Unique($"{path}/volumeMounts", "mount paths must be unique", container.VolumeMounts.Select(x => x.MountPath), rules);
    }

    private static void CheckVolumes(PodSpec pod, ProblemList rules)
    {
        if (!AppRules.Within("/volumes", pod.Volumes.Count, AppLimits.VolumesMax, "volumes", rules)) return;
        for (var i = 0; i < pod.Volumes.Count; i++)
        {
            var (path, volume) = ($"/volumes({i})", pod.Volumes[i]);
            CheckName($"{path}/name", volume.Name, rules);
            if (volume.HostPath is { } host && !AppRules.IsPath(host)) rules.Add($"{path}/host", "must be an absolute path without ':' and '..'");
            if (!pod.Containers.Any(x => x.VolumeMounts.Any(m => m.Name == volume.Name))) rules.Add(path, "must be mounted by at least one container");
        }
        Unique("/volumes", "volume names must be unique", pod.Volumes.Select(x => x.Name), rules);
    }

    /// <summary>One network namespace: a name or a number stands for one endpoint of the whole pod.</summary>
    private static void CheckPorts(AppDefinition pod, ProblemList rules)
    {
        var ports = pod.Ports;
        Unique("/", "endpoint names must be unique in the whole pod", ports.Select(x => x.Name!), rules);
        if (!AppRules.Disjoint(ports, x => x.ContainerPort ?? 0))
            rules.Add("/", "container ports must be unique in the whole pod: its containers share one network");
        if (!AppRules.Disjoint(ports, x => x.HostPort ?? 0)) rules.Add("/", "host ports must be unique");
        if (!AppRules.Disjoint(ports, x => x.ServicePort)) rules.Add("/", "service ports must be unique");
    }

    private static void CheckEnvironment(string path, EquatableMap environment, ProblemList rules)
    {
        AppRules.Within(path, environment.Count, AppLimits.EnvMax, "variables", rules);
        AppRules.CheckValues(path, environment, rules);
        foreach (var name in environment.Keys)
            if (!VariableName().IsMatch(name))
                rules.Add($"{path}/{name}", "must consist of letters, digits and '_', and must not begin with a digit");
    }

    private static void CheckLabels(string path, EquatableMap labels, ProblemList rules)
    {
        AppRules.Within(path, labels.Count, AppLimits.LabelsMax, "labels", rules);
        AppRules.CheckValues(path, labels, rules);
    }

    private static void CheckUser(string path, string user, ProblemList rules)
    {
        if (user.Length == 0) rules.Add(path, "must not be an empty string");
        AppRules.NoNul(path, user, rules);
    }

    private static void CheckName(string path, string name, ProblemList rules)
    {
        if (name.Length is < 1 or > NameLengthMax || !Name().IsMatch(name))
            rules.Add(path, $"must be 1 to {NameLengthMax} of a-z, 0-9 and '-', and neither begin nor end with '-'");
    }

    private static void Unique(string path, string rule, IEnumerable<string> names, ProblemList rules)
    {
        var all = names.ToList();
        if (all.Distinct(StringComparer.Ordinal).Count() < all.Count) rules.Add(path, rule);
    }

    [GeneratedRegex(@"\A[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?\z", RegexOptions.CultureInvariant)]
    private static partial Regex Name();

    [GeneratedRegex(@"\A[A-Za-z_][A-Za-z0-9_]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex VariableName();
}
