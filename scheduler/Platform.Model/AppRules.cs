using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Platform.Model;

/// <summary>What must hold of a complete app by itself. Rules that need the other apps (cycles, taken ids, service ports) are the scheduler's.</summary>
internal static partial class AppRules
{
    private const string CommandRule = "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.";
    private static readonly string[] SubResources = ["restart", "tasks", "versions"];

    /// <summary>Those below which the API has resources again, one for each name.</summary>
    private static readonly string[] Collections = ["tasks", "versions"];

    public static void Check(AppDefinition app, string portsPath, ProblemList rules)
    {
        CheckId(app.Id, rules);
        CheckCommand(app, rules);
        CheckTexts(app, rules);
        CheckScale(app, rules);
        CheckContainer(app, rules);
        CheckPorts(app, portsPath, rules);
        CheckHealthChecks(app, rules);
        ResidentRules.Check(app, rules);
        if (app.ResourceLimits?.Cpus < app.Resources.Cpus) rules.Add("/resourceLimits/cpus", "must be \"unlimited\" or at least the app's cpus");
        if (app.ResourceLimits?.MemMib < app.Resources.MemMib) rules.Add("/resourceLimits/mem", "must be \"unlimited\" or at least the app's mem");
        CheckReadiness(app, rules);
        DeploymentPolicy.Check(app.Labels, rules);
        if (app.AcceptedResourceRoles.Any(x => x != "*")) rules.Add("/acceptedResourceRoles", "there is only the role '*'");
        if (app.UnreachableStrategy is { InactiveAfterSeconds: { } inactive, ExpungeAfterSeconds: { } expunge } && inactive > expunge)
            rules.Add("/unreachableStrategy", "inactiveAfterSeconds must be less than or equal to expungeAfterSeconds");
    }

    public static bool IsSingleInstance(EquatableMap labels) => labels.TryGetValue("MARATHON_SINGLE_INSTANCE_APP", out var value) && value == "true";

    public static bool Within(string path, int count, int max, string what, ProblemList rules)
    {
        if (count > max) rules.Add(path, string.Create(CultureInfo.InvariantCulture, $"may have at most {max} {what}, has {count}"));
        return count <= max;
    }

    private static void CheckId(AppId id, ProblemList rules)
    {
        if (id.IsRoot) rules.Add("/id", "must not be the root path '/'");
        else if (SubResources.Contains(id.Segments[^1])) rules.Add("/id", $"must not end in '{id.Segments[^1]}': /v2/apps{id} is a resource of the API");
        else if (id.Segments.Count > 1 && Collections.Contains(id.Segments[^2])) // it could be made, and neither read nor deleted
            rules.Add("/id", $"must not be in '{id.Segments[^2]}': /v2/apps{id} is a resource of the API");
    }

    private static void CheckCommand(AppDefinition app, ProblemList rules)
    {
        var anyImage = app.Container?.Image is not null;
        if ((app.Cmd is not null && !app.Args.IsEmpty) || (app.Cmd is null && app.Args.IsEmpty && !anyImage)) rules.Add("/", CommandRule);
        if (app.Cmd is { Length: <= 1 }) rules.Add("/cmd", "must not be an empty string");
        if (app.User is { Length: 0 }) rules.Add("/user", "must not be an empty string");
        Within("/args", app.Args.Count, AppLimits.ArgsMax, "arguments", rules);
    }

    /// <summary>Texts end up in processes and in Docker's API, neither of which can carry a NUL.</summary>
    private static void CheckTexts(AppDefinition app, ProblemList rules)
    {
        NoNul("/cmd", app.Cmd, rules);
        NoNul("/user", app.User, rules);
        for (var i = 0; i < app.Args.Count; i++) NoNul($"/args({i})", app.Args[i], rules);
        Within("/env", app.Env.Count, AppLimits.EnvMax, "variables", rules);
        Within("/labels", app.Labels.Count, AppLimits.LabelsMax, "labels", rules);
        CheckValues("/labels", app.Labels, rules);
        CheckValues("/env", app.Env, rules);
        foreach (var name in app.Env.Keys)
        {
            if (name.Length == 0) rules.Add("/env", "must not have a variable without a name");
            if (name.Contains('=')) rules.Add($"/env/{name}", "the name of a variable must not contain '='");
        }
        if (app.Labels.ContainsKey("DCOS_MIGRATION_API_VERSION") != app.Labels.ContainsKey("DCOS_MIGRATION_API_PATH"))
            rules.Add("/labels", "DCOS_MIGRATION_API_VERSION and DCOS_MIGRATION_API_PATH must be given together");
    }

    internal static void CheckValues(string path, EquatableMap values, ProblemList rules)
    {
        foreach (var (key, value) in values)
        {
            NoNul($"{path}/{key}", key, rules);
            NoNul($"{path}/{key}", value, rules);
            var byteCount = Encoding.UTF8.GetByteCount(key) + Encoding.UTF8.GetByteCount(value);
            Within($"{path}/{key}", byteCount, AppLimits.ValueBytesMax, "bytes of name and value", rules);
        }
    }

    internal static void NoNul(string path, string? text, ProblemList rules)
    {
        if (text?.Contains('\0') == true) rules.Add(path, "must not contain the NUL character");
    }

    private static void CheckScale(AppDefinition app, ProblemList rules)
    {
        Within("/instances", app.Instances, AppLimits.InstancesMax, "instances", rules);
        var strategy = app.UpgradeStrategy;
        if (strategy.MinimumHealthCapacity is not (>= 0 and <= 1)) rules.Add("/upgradeStrategy/minimumHealthCapacity", "is not between 0.0 and 1.0");
        if (strategy.MaximumOverCapacity is not (>= 0 and <= 1)) rules.Add("/upgradeStrategy/maximumOverCapacity", "is not between 0.0 and 1.0");
        if (!IsSingleInstance(app.Labels)) return;
        if (app.Instances > 1) rules.Add("/instances", "Single instance app may only have one instance");
        if (strategy != new UpgradeStrategy(0, 0))
            rules.Add(
                "/upgradeStrategy",
                "a single instance app needs minimumHealthCapacity and maximumOverCapacity of 0: a second instance may never run beside the first");
    }

    // ---- containers

    /// <summary>Options of `docker run` that name, wire or watch the container: Platform does these itself, and two cannot.</summary>
    private static readonly Dictionary<string, string> ManagedParameters = new(StringComparer.Ordinal)
    {
        ["name"] = "Platform names the container after its task",
        ["network"] = "use networks",
        ["net"] = "use networks",
        ["publish"] = "use portMappings, so that the port is reserved and published as an endpoint",
        ["p"] = "use portMappings, so that the port is reserved and published as an endpoint",
        ["publish-all"] = "use portMappings, so that the port is reserved and published as an endpoint",
        ["P"] = "use portMappings, so that the port is reserved and published as an endpoint",
        ["restart"] = "Platform restarts tasks itself",
        ["rm"] = "Platform removes the container once it knows how the task ended",
        ["detach"] = "Platform runs the container itself",
        ["d"] = "Platform runs the container itself",
        ["cidfile"] = "Platform runs the container itself",
    };

    private static void CheckContainer(AppDefinition app, ProblemList rules)
    {
        if (app.Network != NetworkMode.Host && app.Container?.Image is null)
            rules.Add("/container", "container networking needs a container with an image: a plain process has the network of its host");
        if (app.NetworkName is { Length: > 0 } network && (!NetworkName().IsMatch(network) || network is "host" or "none" or "default"))
            rules.Add("/networks(0)/name", "must be the name of a Docker network: letters, digits, '_', '.', '-', and not host, none or default");
        if (app.Container is not { } container) return;
        if (container.Image is { } image && (image.Length > AppLimits.ImageLengthMax || image.Any(x => char.IsWhiteSpace(x) || char.IsControl(x))))
            rules.Add("/container/docker/image", $"must be at most {AppLimits.ImageLengthMax} characters without white space");
        CheckVolumes(container, rules);
        Within("/container/docker/parameters", container.Parameters.Count, AppLimits.ParametersMax, "parameters", rules);
        for (var i = 0; i < container.Parameters.Count; i++)
        {
            var (key, value) = (container.Parameters[i].Key.TrimStart('-'), container.Parameters[i].Value);
            var path = $"/container/docker/parameters({i})";
            if (ManagedParameters.TryGetValue(key, out var why)) rules.Add(path, $"'{key}' is not yours to set: {why}");
            if (key is "label" or "l" && value.StartsWith("platform.", StringComparison.Ordinal))
                rules.Add(path, "labels that begin with 'platform.' are how Platform knows its containers");
            if (key is "label-file") rules.Add(path, "'label-file' is not yours to set: its labels could be Platform's own");
            if (container.Parameters[i].Key.Contains('\0') || value.Contains('\0')) rules.Add(path, "must not contain the NUL character");
        }
    }

    private static void CheckVolumes(Container container, ProblemList rules)
    {
        Within("/container/volumes", container.Volumes.Count, AppLimits.VolumesMax, "volumes", rules);
        for (var i = 0; i < container.Volumes.Count; i++)
        {
            var (path, volume) = ($"/container/volumes({i})", container.Volumes[i]);
            if (volume is PersistentVolume persistent) ResidentRules.Check(persistent, path, rules);
            if (volume is not HostVolume host) continue;
            if (!IsPath(host.HostPath)) rules.Add($"{path}/hostPath", "must be an absolute path without ':' and '..'");
            if (!IsPath(host.ContainerPath)) rules.Add($"{path}/containerPath", "must be an absolute path without ':' and '..'");
        }
        if (container.Volumes.DistinctBy(x => x.ContainerPath).Count() < container.Volumes.Count)
            rules.Add("/container/volumes", "container paths must be unique");
    }

    // Docker's mount syntax splits at colons, and '..' would be resolved by whoever comes first.
    internal static bool IsPath(string path) => path.StartsWith('/') && !path.Any(x => x == ':' || char.IsControl(x)) && !path.Split('/').Contains("..");

    /// <summary>Engine rules that the canonical form no longer shows.</summary>
    public static void CheckEngine(ContainerUpdate update, ProblemList rules)
    {
        if (update.Container.Type == ContainerType.Docker)
        {
            if (!update.HasDocker) rules.Add("/container/docker", "must be given for a container of type DOCKER");
            return;
        }
        const string why = "must not be given for a container of type MESOS";
        if (update.DockerNetwork is not null) rules.Add("/container/docker/network", why);
        if (!update.Container.Parameters.IsEmpty) rules.Add("/container/docker/parameters", why);
        if (update.DockerPortMappings is not null) rules.Add("/container/docker/portMappings", why);
    }

    // ---- ports

    private static void CheckPorts(AppDefinition app, string path, ProblemList rules)
    {
        var ports = app.Ports;
        if (!Within(path, ports.Count, AppLimits.PortsMax, "ports", rules)) return;
        foreach (var port in ports)
        {
            if (port.Name is { } name && (name.Length > AppLimits.PortNameLengthMax || !PortName().IsMatch(name)))
                rules.Add($"{path}({port.Index})/name", "must consist of letters, digits, '-' and '.'");
            CheckValues($"{path}({port.Index})/labels", port.Labels, rules);
            Within($"{path}({port.Index})/labels", port.Labels.Count, AppLimits.LabelsMax, "labels", rules);
        }
        var names = ports.Select(x => x.Name).OfType<string>().ToList();
        if (names.Distinct(StringComparer.Ordinal).Count() < names.Count) rules.Add(path, "Port names must be unique.");
        var unique = app.Network == NetworkMode.Host
            ? ports.Where(x => x.ServicePort > 0).GroupBy(x => x.ServicePort).All(x => x.Count() == 1)
            : Disjoint(ports, x => x.ServicePort) && Disjoint(ports, x => x.HostPort ?? 0);
        if (!unique) rules.Add(path, "Ports must be unique.");
    }

    /// <summary>Whether no number is declared twice for one protocol; TCP and UDP may share one.</summary>
    internal static bool Disjoint(EquatableArray<AppPort> ports, Func<AppPort, int> number) => ports
        .Where(x => number(x) > 0).SelectMany(x => x.Protocol.Split(',').Select(protocol => (number(x), protocol))).GroupBy(x => x).All(x => x.Count() == 1);

    [GeneratedRegex(@"\A[A-Za-z0-9.\-]+\z", RegexOptions.CultureInvariant)]
    private static partial Regex PortName();

    [GeneratedRegex(@"\A[A-Za-z0-9][A-Za-z0-9_.\-]{0,254}\z", RegexOptions.CultureInvariant)]
    private static partial Regex NetworkName();

    // ---- health checks

    private static void CheckHealthChecks(AppDefinition app, ProblemList rules)
    {
        if (!Within("/healthChecks", app.HealthChecks.Count, AppLimits.HealthChecksMax, "health checks", rules)) return;
        var portCount = app.Ports.Count;
        for (var i = 0; i < app.HealthChecks.Count; i++)
        {
            var (path, check) = ($"/healthChecks({i})", app.HealthChecks[i]);
            var isCommand = check.Protocol == HealthCheckProtocol.Command;
            if (check.PortIndex is { } index ? index >= portCount : !isCommand && check.Port is null)
                rules.Add($"{path}/portIndex", "Health check port indices must address an element of the ports array or container port mappings.");
            if (check.Port == 0) rules.Add($"{path}/port", "must be a port number from 1 to 65535");
            if (isCommand && check.Command is null) rules.Add($"{path}/command", "must be given for protocol COMMAND");
            if (!isCommand && check.Command is not null) rules.Add($"{path}/command", "is only for protocol COMMAND");
            if (check.Path?.Any(char.IsControl) == true) rules.Add($"{path}/path", "must not contain control characters");
            NoNul($"{path}/command", check.Command, rules);
        }
        if (app.HealthChecks.Count(x => x.IsMesosKind) > 1) rules.Add("/healthChecks", "AppDefinition can contain at most one Mesos health check");
    }

    private static void CheckReadiness(AppDefinition app, ProblemList rules)
    {
        if (!Within("/readinessChecks", app.ReadinessChecks.Count, 1, "readiness check", rules)) return;
        for (var i = 0; i < app.ReadinessChecks.Count; i++)
        {
            var (path, check) = ($"/readinessChecks({i})", app.ReadinessChecks[i]);
            if (!app.Ports.Any(x => x.Name == check.PortName)) rules.Add($"{path}/portName", $"No port definition reference for portName {check.PortName}");
            if (check.Name.Length == 0) rules.Add($"{path}/name", "must not be empty");
            if (check.TimeoutSeconds < 1) rules.Add($"{path}/timeoutSeconds", "must be at least 1");
            if (check.TimeoutSeconds >= check.IntervalSeconds) rules.Add($"{path}/timeoutSeconds", "must be less than intervalSeconds");
            if (check.StatusCodesForReady.IsEmpty) rules.Add($"{path}/httpStatusCodesForReady", "must not be empty: the task could never be ready");
            Within($"{path}/httpStatusCodesForReady", check.StatusCodesForReady.Count, AppLimits.StatusCodesMax, "status codes", rules);
            if (check.Path.Any(char.IsControl)) rules.Add($"{path}/path", "must not contain control characters");
        }
    }
}
