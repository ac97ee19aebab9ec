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
        var mappings = mode == NetworkMode.Host ? NoMappings() : Mappings(mode);
        if (container is not null) container = container with { PortMappings = mappings };
        var definitions = mode == NetworkMode.Host ? Definitions() : NoDefinitions(mappings);
        var labels = update.Labels ?? old.Labels;
        var isResident = (update.Residency ?? old.Residency) is not null || container?.Volumes.OfType<PersistentVolume>().Any() == true;
        return old with
        {
            Id = id,
            Cmd = update.Cmd ?? old.Cmd,
            Args = update.Args ?? old.Args,
            User = update.User ?? old.User,
            Env = update.Env ?? old.Env,
            EnvSecrets = update.EnvSecrets ?? old.EnvSecrets,
            Secrets = update.Secrets ?? old.Secrets,
            Fetch = Fetch(old.Fetch),
            StoreUrls = update.StoreUrls ?? old.StoreUrls,
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
            ReadinessChecks = update.ReadinessChecks ?? old.ReadinessChecks,
            Labels = labels,
            Network = mode,
            NetworkName = mode == NetworkMode.Container ? update.Networks?.FirstOrDefault()?.Name ?? update.IpAddress?.NetworkName ?? old.NetworkName : null,
            PortDefinitions = definitions,
            RequirePorts = update.RequirePorts ?? old.RequirePorts,
            UpgradeStrategy = Upgrade(labels, isResident),
            TaskKillGracePeriodSeconds = update.TaskKillGracePeriodSeconds ?? old.TaskKillGracePeriodSeconds,
            KillSelection = update.KillSelection ?? old.KillSelection,
            UnreachableStrategy = update.UnreachableStrategy ?? (existing is null && isResident ? UnreachableStrategy.Disabled : old.UnreachableStrategy),
            Residency = update.Residency ?? old.Residency,
            Tty = update.Tty ?? old.Tty,
            ResourceLimits = update.ResourceLimits ?? old.ResourceLimits,
            ExecutorResources = update.ExecutorResources ?? old.ExecutorResources,
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
        return said ?? Mode(update.IpAddress, docker) ?? docker ?? old.Network;
    }

    /// <summary>The form of 1.0 to 1.4: an address of its own on the named network (contract 2.4).</summary>
    private NetworkMode? Mode(IpAddressUpdate? address, NetworkMode? docker)
    {
        if (docker == NetworkMode.Container && string.IsNullOrEmpty(address?.NetworkName))
            rules.Add("/ipAddress/networkName", "Network name must be specified when container network is selected.");
        if (address is null) return null;
        if (update.Networks is not null) rules.Add("/ipAddress", "must not specify both ipAddress and networks");
        if (docker is NetworkMode.Host or NetworkMode.Bridge) rules.Add("/ipAddress", "must not be given together with a docker.network other than USER");
        if (docker is null && string.IsNullOrEmpty(address.NetworkName))
            rules.Add("/ipAddress/networkName", "Network name must be specified when container network is selected.");
        return NetworkMode.Container;
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
            if (word is null or NetworkWord.Named && string.IsNullOrEmpty(name))
                rules.Add(path, "Network name must be specified when container network is selected.");
        }
        var names = networks.Where(x => x.Name is not null).ToList();
        if (names.DistinctBy(x => x.Name).Count() < names.Count) rules.Add("/networks", "network names must be unique");
        if (networks.Count > 1 && networks.Any(x => x.Mode is NetworkWord.Host or NetworkWord.Bridge))
            rules.Add("/networks", "must be one host network, or one bridge network, or container networks");
        else if (networks.Count > 1) rules.Add("/networks", "a container joins one network in this version of Platform");
        return networks[0].Mode switch { NetworkWord.Bridge => NetworkMode.Bridge, NetworkWord.Host => NetworkMode.Host, _ => NetworkMode.Container };
    }

    private NetworkMode? Mode(NetworkWord docker)
    {
        if (docker == NetworkWord.None) rules.Add("/container/docker/network", "NONE is no longer supported: use HOST or BRIDGE");
        return docker switch { NetworkWord.Bridge => NetworkMode.Bridge, NetworkWord.Named => NetworkMode.Container, _ => NetworkMode.Host };
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

    private EquatableArray<PortMapping> Mappings(NetworkMode mode)
    {
        PortsPath = "/container/portMappings";
        var said = update.Container?.PortMappings;
        if (update.Container?.DockerPortMappings is { } docker)
        {
            if (said is null) PortsPath = "/container/docker/portMappings";
            else if (!said.Value.Select(x => Published(x, mode)).SequenceEqual(docker.Select(x => Published(x, mode))))
                rules.Add("/container/docker/portMappings", "must agree with container.portMappings where both are given");
            said ??= docker;
        }
        if (said is null && update.Container is null && existing is { Network: not NetworkMode.Host, Container.PortMappings: var kept }) said = kept;
        if (said is { } mappings) return mappings.Select(x => Published(x, mode)).ToEquatableArray();
        return [mode == NetworkMode.Bridge ? DefaultMapping : DefaultMapping with { HostPort = null }];
    }

    // In bridge mode every port is published, and not saying where means anywhere; on a network of its own a container has ports of its own.
    private PortMapping Published(PortMapping mapping, NetworkMode mode) =>
        mode == NetworkMode.Bridge && mapping.HostPort is null && !exact ? mapping with { HostPort = 0 } : mapping;

    private EquatableArray<PortMapping> NoMappings()
    {
        if (update.Container is { PortMappings.Count: > 0 }) rules.Add("/container/portMappings", HostOnly);
        if (update.Container is { DockerPortMappings.Count: > 0 }) rules.Add("/container/docker/portMappings", HostOnly);
        return default;
    }

    // ---- the rest

    /// <summary>The artifacts were given as <c>uris</c>: where problems with them are.</summary>
    public bool FetchFromUris { get; private set; }

    private EquatableArray<FetchUri> Fetch(EquatableArray<FetchUri> old)
    {
        if (update.Uris is not { } uris || (uris.IsEmpty && update.Fetch is not null)) return update.Fetch ?? old;
        if (update.Fetch is { Count: > 0 } fetch)
        {
            // What we answered comes back: the mirror agrees, and says nothing new.
            if (!uris.SequenceEqual(fetch.Select(x => x.Uri))) rules.Add("/uris", "may not be set in conjunction with fetch");
            return fetch;
        }
        if (update.Fetch is null && uris.SequenceEqual(old.Select(x => x.Uri))) return old;
        FetchFromUris = true;
        return uris.Select(FetchUri.Of).ToEquatableArray();
    }

    private static EquatableArray<HealthCheck> Addressed(EquatableArray<HealthCheck> checks, bool anyPort) => checks
        .Select(x => anyPort && x is { PortIndex: null, Port: null, Protocol: not HealthCheckProtocol.Command } ? x with { PortIndex = 0 } : x)
        .ToEquatableArray();

    private UpgradeStrategy Upgrade(EquatableMap labels, bool isResident)
    {
        if (existing is not null && update.UpgradeStrategy is null) return existing.UpgradeStrategy;
        var usual = AppRules.IsSingleInstance(labels) ? new UpgradeStrategy(0, 0) : isResident ? UpgradeStrategy.Resident : UpgradeStrategy.Default;
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
