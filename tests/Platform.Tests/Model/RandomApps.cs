using CsCheck;
using Platform.Model;

namespace Platform.Tests.Model;

/// <summary>Valid, canonical apps of every form.</summary>
internal static class RandomApps
{
    private static readonly Gen<string> Label = Gen.Char["abcdefghijklmnopqrstuvwxyz0123456789"].Array[1, 6].Select(x => new string(x));

    // Texts of every script and with every escape, but no half surrogate pairs and no NUL: neither gets past the edge.
    private static readonly Gen<string> AnyText = Gen.OneOf(
        Label, Gen.Char["aZ \"\\/<>&'\n\té€漢\u0001\u007f="].Array[2, 12].Select(x => new string(x)), Gen.Const("😀🚀"));

    private static readonly Gen<EquatableMap> Map = Gen.Dictionary(Label, AnyText)[0, 4].Select(x => EquatableMap.From(x));
    private static readonly Gen<string?> Name = Gen.OneOf(Gen.Const((string?)null), Label.Select(x => (string?)x));
    private static readonly Gen<double> Amount = Gen.OneOf(Gen.Const(0.01), Gen.Const(256.0), Gen.Double[0, 100_000], Gen.Int[0, 1000].Select(x => (double)x));
    private static readonly Gen<double> Share = Gen.OneOf(Gen.Const(0.0), Gen.Const(1.0), Gen.Double[0, 1]);
    private static readonly Gen<string> Protocol = Pick.Of("tcp", "udp", "udp,tcp");
    private static readonly Gen<AppId> Id = Label.Array[1, 4].Where(x => x[^1] is not ("restart" or "tasks" or "versions"))
        .Select(x => AppId.Parse("/" + string.Join('/', x)));
    private static readonly Gen<AppVersion> Version = Gen.Long[0, 4_000_000_000_000].Select(x => new AppVersion(DateTimeOffset.FromUnixTimeMilliseconds(x)));

    private static readonly Gen<Constraint> Constraint = Gen.OneOf(
        Label.Select(x => new Constraint(x, ConstraintOperator.Unique, null)),
        Gen.Select(Label, Name, (x, value) => new Constraint(x, ConstraintOperator.Cluster, value)),
        Gen.Int[1, 9].Select(x => new Constraint("@zone", ConstraintOperator.GroupBy, $"{x}")),
        Label.Select(x => new Constraint(x, ConstraintOperator.GroupBy, null)),
        Gen.Int[1, 9].Select(x => new Constraint("hostname", ConstraintOperator.MaxPer, $"{x}")),
        Label.Select(x => new Constraint("rack", ConstraintOperator.Like, $"{x}.*|b+")),
        Label.Select(x => new Constraint("rack", ConstraintOperator.Unlike, x)),
        Label.Select(x => new Constraint("rack", ConstraintOperator.Is, x)));

    private static readonly Gen<UnreachableStrategy> Unreachable = Gen.OneOf(
        Gen.Const(UnreachableStrategy.Disabled), Gen.Const(UnreachableStrategy.Default),
        Gen.Select(Amount, Amount, (a, b) => new UnreachableStrategy(Math.Min(a, b), Math.Max(a, b))));

    public static readonly Gen<AppDefinition> App =
        from basics in Gen.Select(Id, Map, Map, Gen.Int[0, 50_000], Gen.Select(Amount, Amount, Amount))
        from command in Gen.Select(AnyText, AnyText.Array[1, 4], Gen.Int[0, 1], Name)
        from network in Pick.Of(NetworkMode.Host, NetworkMode.Bridge)
        from ports in Ports(network)
        from container in Gen.OneOf(
            ContainerOf(network, ports.Mappings), network == NetworkMode.Host ? Gen.Const((Container?)null) : ContainerOf(network, ports.Mappings))
        from checks in Check(ports.Count).Array[0, 3]
        from placement in Gen.Select(Constraint.Array[0, 3], Id.Array[0, 3], Gen.Bool, Gen.Select(Amount, Gen.Double[1, 5], Amount))
        from strategies in Gen.Select(Gen.Select(Share, Share), Amount, Pick.Of(KillSelection.YoungestFirst, KillSelection.OldestFirst), Unreachable, Gen.Bool)
        from versions in Gen.Select(Version, Version, Version)
        from artifacts in Gen.Select(Label, Gen.Bool, Gen.Bool, Gen.Bool, Name).Array[0, 3]
        from secrets in Gen.Select(Label, Label).Array[0, 3]
        select new AppDefinition
        {
            Id = basics.Item1,
            Cmd = command.Item3 == 0 ? command.Item1 + "-" : null,
            Args = command.Item3 == 0 ? default : command.Item2.ToEquatableArray(),
            User = command.Item4,
            Env = EquatableMap.From(basics.Item2),
            Fetch = artifacts.Select(x => new FetchUri($"http://h/{x.Item1}.tgz", x.Item2, x.Item3, x.Item4, x.Item5)).ToEquatableArray(),
            Secrets = EquatableMap.From(secrets.DistinctBy(x => x.Item1).Select(x => KeyValuePair.Create(x.Item1, x.Item2))),
            EnvSecrets = EquatableMap.From(secrets.DistinctBy(x => x.Item1).Select(x => KeyValuePair.Create("S_" + x.Item1, x.Item1))),
            Labels = basics.Item3,
            Instances = basics.Item4,
            Resources = new Resources(basics.Item5.Item1, basics.Item5.Item2, basics.Item5.Item3),
            Executor = placement.Item3 ? "//cmd" : "",
            Constraints = placement.Item1.ToEquatableArray(),
            AcceptedResourceRoles = placement.Item3 ? ["*"] : default(EquatableArray<string>),
            Backoff = new Backoff(placement.Item4.Item1, placement.Item4.Item2, placement.Item4.Item3),
            Container = container is { Image: not null }
                ? container with { Volumes = container.Volumes.Concat(secrets.DistinctBy(x => x.Item1).Select(x => new SecretVolume($"/secret/{x.Item1}", x.Item1))).ToEquatableArray() }
                : container,
            Dependencies = placement.Item2.Distinct().ToEquatableArray(),
            HealthChecks = checks.Where((x, i) => i == 0 || !x.IsMesosKind).ToEquatableArray(),
            Network = network,
            PortDefinitions = ports.Definitions,
            RequirePorts = placement.Item3,
            UpgradeStrategy = new UpgradeStrategy(strategies.Item1.Item1, strategies.Item1.Item2),
            TaskKillGracePeriodSeconds = strategies.Item5 ? strategies.Item2 : null,
            KillSelection = strategies.Item3,
            UnreachableStrategy = strategies.Item4,
            Version = versions.Item1,
            VersionInfo = new VersionInfo(versions.Item2, versions.Item3),
            LegacyDockerNetwork = strategies.Item5 && container is { Type: ContainerType.Docker, Image: not null },
        };

    private static Gen<(EquatableArray<PortDefinition> Definitions, EquatableArray<PortMapping> Mappings, int Count)> Ports(NetworkMode network) =>
        Gen.Select(Gen.Int[0, 1].Array[0, 3], Protocol, Name, Map, Gen.Int[0, 1000]).Select((zeros, protocol, name, labels, at) =>
        {
            string? NameOf(int i) => name is null ? null : $"{name}{i}";
            var definitions = zeros.Select((x, i) => new PortDefinition(x * (at + 10_000 + i), protocol, NameOf(i), labels));
            var mappings = zeros.Select((x, i) => new PortMapping(at + i, x * (31_000 + i), x * (at + 10_000 + i), protocol, NameOf(i), labels));
            return network == NetworkMode.Host
                ? (definitions.ToEquatableArray(), default(EquatableArray<PortMapping>), zeros.Length)
                : (default, mappings.ToEquatableArray(), zeros.Length);
        });

    private static Gen<Container?> ContainerOf(NetworkMode network, EquatableArray<PortMapping> mappings) =>
        Gen.Select(Gen.Int[0, 2], Label, Gen.Bool, Gen.Bool, Gen.Select(Label, AnyText).Array[0, 3])
        .Select((kind, image, privileged, pull, pairs) => (Container?)new Container
        {
            Type = kind == 0 ? ContainerType.Docker : ContainerType.Mesos,
            Image = kind == 2 && network == NetworkMode.Host ? null : image,
            Privileged = privileged && !(kind == 2 && network == NetworkMode.Host),
            ForcePullImage = pull && !(kind == 2 && network == NetworkMode.Host),
            Parameters = kind == 0 ? pairs.Select(x => new DockerParameter("x" + x.Item1, x.Item2)).ToEquatableArray() : default,
            Volumes = pairs.Select(Volume (x, i) => new HostVolume($"/in/{i}/{x.Item1}", "/out/" + x.Item1, pull)).ToEquatableArray(),
            PortMappings = mappings,
        });

    private static Gen<HealthCheck> Check(int ports) =>
        Gen.Select(Gen.Enum<HealthCheckProtocol>(), Gen.Int[0, 100], Gen.Bool, Label, Gen.Select(Amount, Amount, Amount, Amount, Gen.Int[0, 9]))
        .Select((protocol, pick, flag, text, numbers) =>
        {
            var check = new HealthCheck { Protocol = protocol };
            var isCommand = protocol == HealthCheckProtocol.Command;
            var index = !isCommand && ports > 0 && flag;
            return check with
            {
                Path = check.IsHttp ? "/" + text : null,
                PortIndex = index ? pick % ports : null,
                Port = isCommand || index ? null : 8000 + pick,
                Command = isCommand ? text : null,
                GracePeriodSeconds = numbers.Item1,
                IntervalSeconds = numbers.Item2,
                TimeoutSeconds = numbers.Item3,
                DelaySeconds = numbers.Item4,
                MaxConsecutiveFailures = numbers.Item5,
                IgnoreHttp1xx = flag,
            };
        });
}

/// <summary>Bodies that look like apps, with members of every wrong kind.</summary>
internal static class RandomJson
{
    private static readonly Gen<string> Member = Pick.Of(
        "id", "cmd", "args", "user", "env", "instances", "cpus", "mem", "disk", "gpus", "executor", "constraints", "fetch", "uris", "uri", "destPath", "source",
        "storeUrls", "backoffSeconds", "backoffFactor",
        "maxLaunchDelaySeconds", "container", "dependencies", "healthChecks", "readinessChecks", "check", "labels", "networks",
        "ports", "portDefinitions", "requirePorts", "ipAddress",
        "acceptedResourceRoles", "role", "upgradeStrategy", "taskKillGracePeriodSeconds", "killSelection", "unreachableStrategy", "residency", "secrets",
        "tty", "resourceLimits", "version",
        "versionInfo", "type", "docker", "volumes", "portMappings", "image", "network", "parameters", "privileged", "pullConfig", "mode",
        "name", "containerPort", "hostPort", "servicePort",
        "protocol", "containerPath", "hostPath", "persistent", "secret", "path", "portIndex", "port", "command", "value", "key",
        "minimumHealthCapacity", "inactiveAfterSeconds", "a\\u0000b");

    private static readonly Gen<string> Scalar = Gen.OneOf(
        Pick.Of("null", "true", "false", "0", "-1", "1.5", "3", "70000", "1e999", "1e9", "-0", "\"\"", "\"x\"",
            "\"HTTP\"", "\"BRIDGE\"", "\"DOCKER\"", "\"MESOS\"", "\"container\"", "\"host\"",
            "\"container/bridge\"", "\"/a/b\"", "\"..\"", "\"UNIQUE\"", "\"LIKE\"", "\"(a\"", "\"\\u0000\"", "\"\\ud800\"", "\"disabled\"",
            "\"NaN\"", "\"2014-09-24T05:21:22.123Z\"", "\"platform.x=1\""));

    public static readonly Gen<string> Body = Gen.Recursive<string>((depth, nested) => depth > 4
        ? Scalar
        : Gen.Frequency(
            (depth == 0 ? 1 : 3, Scalar),
            (depth == 0 ? 1 : 2, nested.Array[0, 4].Select(x => $"[{string.Join(',', x)}]")),
            (depth == 0 ? 20 : 3, Gen.Select(Member, nested).Array[0, 8].Select(x => $"{{{string.Join(',', x.Select(y => $"\"{y.Item1}\":{y.Item2}"))}}}"))));
}

internal static class Pick
{
    public static Gen<T> Of<T>(params T[] items) => Gen.Int[0, items.Length - 1].Select(x => items[x]);
}
