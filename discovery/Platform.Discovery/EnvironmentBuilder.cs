using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// The environment of one instance (contract section 4), complete before it leaves the scheduler. An environment is fixed at the start of
/// a process, so it names only what stays true for its lifetime: the instance's own ports, and the stable service ports of other apps as
/// they are reached through the node's own proxy. Live endpoints belong in DNS, KV and the files.
/// </summary>
public static class EnvironmentBuilder
{
    /// <summary>Set to <c>all</c>, an app is told of every service, not only of its dependencies.</summary>
    public const string ServicesLabel = "PLATFORM_ENV_SERVICES";

    /// <summary>Set to <c>true</c>, services are also told as .NET's service discovery reads them from its configuration: <c>services__web-shop__http__0</c>.</summary>
    public const string DotnetLabel = "PLATFORM_ENV_DOTNET";

    /// <summary>Where Docker containers find their sandbox.</summary>
    public const string ContainerSandbox = "/mnt/mesos/sandbox";

    internal const string LabelPrefix = "MARATHON_APP_LABEL_";
    private const int TextLengthMax = 512;

    /// <param name="hostPorts">One for each declared port; 0 where it is not published on the host.</param>
    /// <param name="servicesWithin">Every service whose app is the given one, or lies in the given group; for the root, all of them.</param>
    public static EquatableMap Build(
        AppDefinition app, InstanceId id, NodeId node, string nodeAddress, EquatableArray<int> hostPorts, Func<AppId, IEnumerable<Service>> servicesWithin)
    {
        var env = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        AddServices(env, app, nodeAddress, servicesWithin);
        if (app.Pod is null) AddTaskContext(env, app, id);
        AddLabels(env, app.Labels);
        env["HOST"] = node.Name;
        if (app.Pod is null) AddPorts(env, app.Ports, hostPorts);
        else PodEnvironment.AddShared(env, app, id, hostPorts);
        foreach (var (name, value) in app.Env) env[name] = value; // last: the user's word wins, over PORT too
        return EquatableMap.From(env.ToImmutable());
    }

    /// <summary>The lookup that <see cref="Build"/> wants, over an endpoint table.</summary>
    public static Func<AppId, IEnumerable<Service>> ServicesOf(EndpointSnapshot snapshot) => group =>
        snapshot.Services.TryGetValue(group, out var one)
            ? [one.Service] // an app has nothing below it
            : snapshot.Services.Values.Select(x => x.Service).Where(x => x.App.IsWithin(group));

    /// <summary>
    /// The port inside the container that PORT<c>n</c> names. A mapping that declares container port 0 and no host port has nothing to equal;
    /// its container has a network of its own, so one fixed port for each index is as free as a random one and needs no agreement.
    /// </summary>
    public static int ContainerPort(AppPort port, int hostPort) =>
        port.ContainerPort is > 0 and var declared ? declared : hostPort > 0 ? hostPort : GeneratedPortBase + port.Index;

    private const int GeneratedPortBase = 49152;

    private static void AddTaskContext(ImmutableSortedDictionary<string, string>.Builder env, AppDefinition app, InstanceId id)
    {
        env["MESOS_TASK_ID"] = id.TaskId;
        env["MARATHON_APP_ID"] = app.Id.Path;
        env["MARATHON_APP_VERSION"] = app.Version.ToString();
        env["MARATHON_APP_RESOURCE_CPUS"] = Decimal(app.Resources.Cpus);
        env["MARATHON_APP_RESOURCE_MEM"] = Decimal(app.Resources.MemMib);
        env["MARATHON_APP_RESOURCE_DISK"] = Decimal(app.Resources.DiskMib);
        env["MARATHON_APP_RESOURCE_GPUS"] = "0";
        if (app.Container?.Image is not { } image) return;
        env["MESOS_SANDBOX"] = ContainerSandbox;
        if (app.Container.Type == ContainerType.Docker) env["MARATHON_APP_DOCKER_IMAGE"] = image;
    }

    private static void AddLabels(ImmutableSortedDictionary<string, string>.Builder env, EquatableMap labels)
    {
        var names = new List<string>();
        foreach (var (key, value) in labels)
        {
            if (!IsExported(key, value)) continue;
            var name = LabelName(key);
            env[LabelPrefix + name] = value;
            if (!names.Contains(name)) names.Add(name);
        }
        env["MARATHON_APP_LABELS"] = string.Join(' ', names);
    }

    internal static bool IsExported(string key, string value) => key.Length < TextLengthMax - LabelPrefix.Length && value.Length < TextLengthMax;

    private static void AddPorts(ImmutableSortedDictionary<string, string>.Builder env, EquatableArray<AppPort> ports, EquatableArray<int> hostPorts)
    {
        if (ports.Count != hostPorts.Count)
            throw new ArgumentException($"{ports.Count} declared ports, {hostPorts.Count} host ports", nameof(hostPorts));
        if (ports.IsEmpty) return;

        var listed = new List<string>();
        foreach (var port in ports)
        {
            var hostPort = hostPorts[port.Index];
            var value = Number(hostPort > 0 ? hostPort : ContainerPort(port, 0));
            var declared = port.ContainerPort ?? port.ServicePort; // in host mode the declared number is both
            env[$"PORT{Number(port.Index)}"] = value;
            env[$"PORT_{(declared > 0 ? Number(declared) : value)}"] = value;
            if (port.Name is { Length: > 0 } name) env[$"PORT_{name.ToUpperInvariant()}"] = value; // a hyphen stays, as the contract has it
            if (hostPort > 0 || port.ContainerPort is 0) listed.Add(value); // an unpublished port is listed only if it was made up for the app
        }
        env["PORT"] = env["PORT0"];
        if (listed.Count > 0) env["PORTS"] = string.Join(',', listed);
    }

    /// <summary>Stable places only: the service port on this node's own proxy.</summary>
    private static void AddServices(
        ImmutableSortedDictionary<string, string>.Builder env, AppDefinition app, string nodeAddress, Func<AppId, IEnumerable<Service>> servicesWithin)
    {
        var all = app.Labels.TryGetValue(ServicesLabel, out var wish) && wish.Equals("all", StringComparison.OrdinalIgnoreCase);
        var dotnet = app.Labels.TryGetValue(DotnetLabel, out var spoken) && spoken.Equals("true", StringComparison.OrdinalIgnoreCase);
        foreach (var target in all ? [AppId.Root] : app.Dependencies.Items)
            foreach (var service in servicesWithin(target))
            {
                if (dotnet) AddDotnet(env, service, nodeAddress);
                if (service.Ports.IsEmpty || service.Ports[0].Port == 0) continue;
                var name = ServiceName(service.App);
                env[$"{name}_SERVICE_HOST"] = nodeAddress;
                env[$"{name}_SERVICE_PORT"] = Number(service.Ports[0].Port);
                foreach (var port in service.Ports)
                    if (port.Name is { Length: > 0 } portName && port.Port > 0)
                        env[$"{name}_SERVICE_PORT_{Sanitised(portName)}"] = Number(port.Port);
            }
    }

    /// <summary>
    /// The first port under its scheme, which is what <c>http://web-shop</c> asks for, and each named port under its name (<c>http://_admin.web-shop</c>).
    /// The proxy speaks HTTP on a service port unless its label says otherwise.
    /// </summary>
    private static void AddDotnet(ImmutableSortedDictionary<string, string>.Builder env, Service service, string nodeAddress)
    {
        var host = nodeAddress.Contains(':', StringComparison.Ordinal) ? $"[{nodeAddress}]" : nodeAddress;
        foreach (var port in service.Ports.Where(x => x.Port > 0 && EndpointFileSet.IsTcp(x)))
        {
            var scheme = service.Labels.TryGetValue($"HAPROXY_{Number(port.Index)}_MODE", out var mode) && mode.Equals("tcp", StringComparison.OrdinalIgnoreCase) ? "tcp" : "http";
            var place = $"{scheme}://{host}:{Number(port.Port)}";
            if (port.Index == 0) env[$"services__{DnsNames.AppLabel(service.App)}__{scheme}__0"] = place;
            if (port.Name is { Length: > 0 } name) env[$"services__{DnsNames.AppLabel(service.App)}__{name}__0"] = place;
        }
    }

    /// <summary><c>/shop/eu-1/web</c> is <c>SHOP_EU_1_WEB</c>.</summary>
    public static string ServiceName(AppId app) => Sanitised(app.Underscored);

    internal static string Sanitised(string text) => string.Create(text.Length, text, static (name, source) =>
    {
        for (var i = 0; i < name.Length; i++) name[i] = char.IsAsciiLetterOrDigit(source[i]) ? char.ToUpperInvariant(source[i]) : '_';
    });

    /// <summary>Upper case, every run of other characters one underscore.</summary>
    internal static string LabelName(string key)
    {
        var name = new StringBuilder(key.Length);
        var inRun = false;
        foreach (var c in key)
        {
            var kept = char.IsAsciiLetterOrDigit(c) || c == '_';
            if (kept) name.Append(char.ToUpperInvariant(c));
            else if (!inRun) name.Append('_');
            inRun = !kept;
        }
        return name.ToString();
    }

    internal static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

    /// <summary>The contract's doubles always show a decimal point.</summary>
    internal static string Decimal(double value) => value.ToString("0.0##############", CultureInfo.InvariantCulture);
}
