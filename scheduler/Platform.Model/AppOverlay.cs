namespace Platform.Model;

/// <summary>
/// Lays an update over an existing app, or over the defaults: each field that the update has replaces the whole old one (contract 1.4),
/// and old spellings and mirrors become the canonical form (2.4). Contradictions between fields of the update are noted here, because
/// afterwards they cannot be seen any more.
/// </summary>
/// <param name="exact">The update is a stored definition, already canonical: nothing that it leaves out is filled in by guess.</param>
internal sealed class AppOverlay(AppUpdate update, AppDefinition? existing, ProblemList rules, bool exact = false)
{
    private const string BridgeOnly = "portDefinitions are only allowed with host-networking";
    private const string HostOnly = "portMappings are not allowed with host-networking";
    private static readonly PortDefinition DefaultDefinition = new(0, "tcp", "default", EquatableMap.Empty);
    private static readonly PortMapping DefaultMapping = new(0, 0, 0, "tcp", "default", EquatableMap.Empty);

    /// <summary>Where the user wrote the ports, for the paths of problems with them.</summary>
    public string PortsPath { get; private set; } = "/portDefinitions";

    public AppDefinition Apply(AppId id)
    {
        var old = existing ?? new AppDefinition { Id = id };
        var mode = Mode(old);
        var container = update.Container?.Container ?? old.Container;
        var mappings = mode == NetworkMode.Bridge ? Mappings() : NoMappings();
        if (container is not null) container = container with { PortMappings = mappings };
        var definitions = mode == NetworkMode.Host ? Definitions() : NoDefinitions(mappings);
        var labels = update.Labels ?? old.Labels;
        return old with
        {
            Id = id,
            Cmd = update.Cmd ?? old.Cmd,
            Args = update.Args ?? old.Args,
            User = update.User ?? old.User,
            Env = update.Env ?? old.Env,
            Instances = update.Instances ?? old.Instances,
            Resources = new Resources(update.Cpus ?? old.Resources.Cpus, update.MemMib ?? old.Resources.MemMib, update.DiskMib ?? old.Resources.DiskMib),
            Executor = update.Executor ?? old.Executor,
            Constraints = update.Constraints is { } constraints ? Constraints(constraints) : old.Constraints,
            AcceptedResourceRoles = update.AcceptedResourceRoles ?? old.AcceptedResourceRoles,
            Backoff = new Backoff(
                update.BackoffSeconds ?? old.Backoff.Seconds, update.BackoffFactor ?? old.Backoff.Factor,
                update.MaxLaunchDelaySeconds ?? old.Backoff.MaxLaunchDelaySeconds),
            Container = container,
            Dependencies = update.Dependencies is { } dependencies ? Dependencies(dependencies, id) : old.Dependencies,
            HealthChecks = Addressed(update.HealthChecks ?? old.HealthChecks, anyPort: !exact && definitions.Count + mappings.Count > 0),
            Labels = labels,
            Network = mode,
            PortDefinitions = definitions,
            RequirePorts = update.RequirePorts ?? old.RequirePorts,
            UpgradeStrategy = Upgrade(labels),
            TaskKillGracePeriodSeconds = update.TaskKillGracePeriodSeconds ?? old.TaskKillGracePeriodSeconds,
            KillSelection = update.KillSelection ?? old.KillSelection,
            UnreachableStrategy = update.UnreachableStrategy ?? old.UnreachableStrategy,
            LegacyDockerNetwork = IsLegacy(old) && container is { Type: ContainerType.Docker, Image: not null },
        };
    }

    // ---- networks

    private NetworkMode Mode(AppDefinition old)
    {
        var said = update.Networks is { } networks ? Mode(networks, rules) : null;
        var docker = update.Container?.DockerNetwork is { } word ? Mode(word) : null;
        if (update.Networks is not null && update.Container?.DockerNetwork is not null && said != docker)
            rules.Add("/container/docker/network", "must not specify both container.docker.network and networks");
        return said ?? docker ?? old.Network;
    }

    internal static NetworkMode? Mode(EquatableArray<NetworkUpdate> networks, ProblemList rules)
    {
        if (networks.Count == 0) return NetworkMode.Host;
        for (var i = 0; i < networks.Count; i++)
        {
            var (word, name, labels) = networks[i];
            var path = $"/networks({i})";
            if (labels is { Count: > 0 }) rules.Add($"{path}/labels", "networks have no labels in this version of Platform");
            if (word is NetworkWord.Bridge && name is not null) rules.Add($"{path}/name", "Bridge networks may not have names");
            if (word is NetworkWord.Host && name is not null) rules.Add($"{path}/name", "Host networks may not have names");
            if (word is null or NetworkWord.Named)
                rules.Add(path, string.IsNullOrEmpty(name)
                    ? "Network name must be specified when container network is selected."
                    : "only host and container/bridge networks exist in this version of Platform");
        }
        var names = networks.Where(x => x.Name is not null).ToList();
        if (names.DistinctBy(x => x.Name).Count() < names.Count) rules.Add("/networks", "network names must be unique");
        if (networks.Count > 1 && networks.Any(x => x.Mode is NetworkWord.Host or NetworkWord.Bridge))
            rules.Add("/networks", "must be one host network, or one bridge network, or container networks");
        return networks[0].Mode == NetworkWord.Bridge ? NetworkMode.Bridge : NetworkMode.Host;
    }

    private NetworkMode? Mode(NetworkWord docker)
    {
        if (docker == NetworkWord.Named)
            rules.Add("/container/docker/network", "only HOST and BRIDGE networks exist in this version of Platform");
        if (docker == NetworkWord.None) rules.Add("/container/docker/network", "NONE is no longer supported: use HOST or BRIDGE");
        return docker == NetworkWord.Bridge ? NetworkMode.Bridge : NetworkMode.Host;
    }

    private bool IsLegacy(AppDefinition old) =>
        update.Container is { DockerNetwork: not null } or { DockerPortMappings.Count: > 0 } || (update.Networks is null && old.LegacyDockerNetwork);

    // ---- ports

    private EquatableArray<PortDefinition> Definitions()
    {
        var kept = existing is { Network: NetworkMode.Host } ? existing.PortDefinitions : (EquatableArray<PortDefinition>?)null;
        if (update.PortDefinitions is { } definitions)
        {
            if (update.Ports is { } mirror && !mirror.SequenceEqual(definitions.Select(x => x.Port)))
                rules.Add("/ports", "must agree with portDefinitions where both are given");
            return definitions;
        }
        if (update.Ports is not { } ports) return kept ?? [DefaultDefinition];
        PortsPath = "/ports";
        // A client that sends back the mirror it read says nothing new, and must not strip the names from the ports.
        if (kept is { } same && ports.SequenceEqual(same.Select(x => x.Port))) return same;
        return ports.Select(x => new PortDefinition(x, "tcp", null, EquatableMap.Empty)).ToEquatableArray();
    }

    private EquatableArray<PortDefinition> NoDefinitions(EquatableArray<PortMapping> mappings)
    {
        if (update.PortDefinitions is { Count: > 0 }) rules.Add("/portDefinitions", BridgeOnly);
        // Files of 2014 may list ports beside docker.portMappings; 0.7 took the mappings' service ports and so do we.
        var agrees = update.Ports is not { } ports || ports.All(x => x == 0) || update.Container?.DockerNetwork is not null
            || ports.SequenceEqual(mappings.Select(x => x.ServicePort));
        if (!agrees) rules.Add("/ports", "must agree with the service ports of the port mappings; " + BridgeOnly);
        return default;
    }

    private EquatableArray<PortMapping> Mappings()
    {
        PortsPath = "/container/portMappings";
        var said = update.Container?.PortMappings;
        if (update.Container?.DockerPortMappings is { } docker)
        {
            if (said is null) PortsPath = "/container/docker/portMappings";
            else if (!said.Value.Select(Published).SequenceEqual(docker.Select(Published)))
                rules.Add("/container/docker/portMappings", "must agree with container.portMappings where both are given");
            said ??= docker;
        }
        if (said is { } mappings) return mappings.Select(Published).ToEquatableArray();
        return update.Container is null && existing is { Network: NetworkMode.Bridge, Container.PortMappings: var kept } ? kept : [DefaultMapping];
    }

    // In bridge mode every port is published; not saying where means anywhere.
    private PortMapping Published(PortMapping mapping) => mapping.HostPort is null && !exact ? mapping with { HostPort = 0 } : mapping;

    private EquatableArray<PortMapping> NoMappings()
    {
        if (update.Container is { PortMappings.Count: > 0 }) rules.Add("/container/portMappings", HostOnly);
        if (update.Container is { DockerPortMappings.Count: > 0 }) rules.Add("/container/docker/portMappings", HostOnly);
        return default;
    }

    // ---- the rest

    private static EquatableArray<HealthCheck> Addressed(EquatableArray<HealthCheck> checks, bool anyPort) => checks
        .Select(x => anyPort && x is { PortIndex: null, Port: null, Protocol: not HealthCheckProtocol.Command } ? x with { PortIndex = 0 } : x)
        .ToEquatableArray();

    private UpgradeStrategy Upgrade(EquatableMap labels)
    {
        if (existing is not null && update.UpgradeStrategy is null) return existing.UpgradeStrategy;
        var usual = AppRules.IsSingleInstance(labels) ? new UpgradeStrategy(0, 0) : UpgradeStrategy.Default;
        return new UpgradeStrategy(
            update.UpgradeStrategy?.MinimumHealthCapacity ?? usual.MinimumHealthCapacity,
            update.UpgradeStrategy?.MaximumOverCapacity ?? usual.MaximumOverCapacity);
    }

    private EquatableArray<Constraint> Constraints(EquatableArray<EquatableArray<string>> constraints)
    {
        // A million patterns must not be compiled to be refused.
        if (!AppRules.Within("/constraints", constraints.Count, AppLimits.ConstraintsMax, "constraints", rules)) return default;
        return constraints.Select((x, i) => ConstraintRules.Read(x, $"/constraints({i})", rules)).OfType<Constraint>().ToEquatableArray();
    }

    /// <summary>
    /// Relative ids count from the app (<c>../db</c> is its neighbour), as Marathon resolves them. A bare name counts from the app's group:
    /// under the app itself, where Marathon looks, there can be nothing.
    /// </summary>
    private EquatableArray<AppId> Dependencies(EquatableArray<string> dependencies, AppId id)
    {
        if (!AppRules.Within("/dependencies", dependencies.Count, AppLimits.DependenciesMax, "dependencies", rules)) return default;
        var ids = new List<AppId>();
        for (var i = 0; i < dependencies.Count; i++)
        {
            var text = dependencies[i];
            if (AppId.TryParse(text, out var dependency, out var why, text.StartsWith('.') ? id : id.Parent) && text.Length > 0) ids.Add(dependency);
            else rules.Add($"/dependencies({i})", why ?? "must not be empty");
        }
        return ids.Distinct().ToEquatableArray();
    }
}
