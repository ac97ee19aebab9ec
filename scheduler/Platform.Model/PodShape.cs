using System.Text.Json;

namespace Platform.Model;

/// <summary>
/// Reads the shape of a pod's JSON (contract 1.10): types, ranges, required members, words, defaults. Rules that hold between fields are for
/// <see cref="PodRules"/>.
/// </summary>
internal static class PodShape
{
    private static readonly Dictionary<string, bool> Tcp = new(StringComparer.OrdinalIgnoreCase) { ["tcp"] = true, ["udp"] = false };
    private static readonly Dictionary<string, bool> Kinds = new(StringComparer.OrdinalIgnoreCase) { ["fixed"] = true };
    private static readonly Dictionary<string, bool> ImageKinds = new(StringComparer.OrdinalIgnoreCase) { ["DOCKER"] = true, ["APPC"] = false };

    private static readonly Dictionary<string, HealthCheckProtocol> Schemes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["HTTP"] = HealthCheckProtocol.MesosHttp, ["HTTPS"] = HealthCheckProtocol.MesosHttps,
    };

    /// <summary>Everything but the id, the networks and the constraints, which are read by rules that apps have too.</summary>
    public static AppDefinition Read(JsonAt pod)
    {
        var scaling = pod.Object("scaling");
        scaling?.OneOf("kind", Kinds);
        var scheduling = pod.Object("scheduling");
        var backoff = scheduling?.Object("backoff");
        var upgrade = scheduling?.Object("upgrade") is { } strategy ? AppShape.Upgrade(strategy) : null;
        var spec = new PodSpec
        {
            Containers = Containers(pod),
            Volumes = AppShape.Each(pod.List("volumes"), Volume) ?? default,
            ExecutorResources = pod.Object("executorResources") is { } executor ? Resources(executor, default) : default,
        };
        return new AppDefinition
        {
            Id = AppId.Root,
            User = pod.Text("user"),
            Env = pod.Object("environment") is { } env ? AppShape.Env(env) : EquatableMap.Empty,
            Labels = pod.Texts("labels") ?? EquatableMap.Empty,
            Instances = scaling?.Integer("instances", 0, int.MaxValue) ?? 1,
            Backoff = new Backoff(
                backoff?.Number("backoff", 0, AppLimits.SecondsMax) ?? Backoff.Default.Seconds,
                backoff?.Number("backoffFactor", 1, AppLimits.SecondsMax) ?? Backoff.Default.Factor,
                backoff?.Number("maxLaunchDelay", 0, AppLimits.SecondsMax) ?? Backoff.Default.MaxLaunchDelaySeconds),
            UpgradeStrategy = new UpgradeStrategy(upgrade?.MinimumHealthCapacity ?? 1, upgrade?.MaximumOverCapacity ?? 1),
            AcceptedResourceRoles = scheduling?.Object("placement")?.TextList("acceptedResourceRoles") ?? default,
            KillSelection = scheduling?.OneOf("killSelection", AppWords.KillSelections) ?? KillSelection.YoungestFirst,
            UnreachableStrategy = scheduling?.Member("unreachableStrategy") is { } unreachable
                ? AppShape.Unreachable(unreachable) ?? UnreachableStrategy.Default
                : UnreachableStrategy.Default,
        }.WithPod(spec);
    }

    /// <summary>As apps have them: two or three texts. In a pod each is an object with names for them.</summary>
    public static EquatableArray<EquatableArray<string>> Constraints(JsonAt pod)
    {
        var texts = new List<EquatableArray<string>>();
        foreach (var item in pod.Object("scheduling")?.Object("placement")?.List("constraints") ?? [])
        {
            if (item.AsObject() is not { } constraint) continue;
            if (constraint.RequiredText("fieldName") is not { } field || constraint.RequiredText("operator") is not { } @operator) continue;
            texts.Add(constraint.Text("value") is { } value ? [field, @operator, value] : [field, @operator]);
        }
        return texts.ToEquatableArray();
    }

    private static EquatableArray<PodContainer> Containers(JsonAt pod)
    {
        if (pod.Member("containers") is null) pod.Missing("containers");
        return AppShape.Each(pod.List("containers"), Container) ?? default;
    }

    private static PodContainer? Container(JsonAt item)
    {
        if (item.AsObject() is not { } container) return null;
        return new PodContainer
        {
            Name = container.RequiredText("name") ?? "",
            Command = container.Object("exec") is { } exec ? Command(exec) : null,
            Resources = container.Object("resources") is { } resources ? Resources(resources, Model.Resources.Default) : Model.Resources.Default,
            Endpoints = AppShape.Each(container.List("endpoints"), Endpoint) ?? default,
            Image = container.Object("image") is { } image ? Image(image) : null,
            Environment = container.Object("environment") is { } env ? AppShape.Env(env) : EquatableMap.Empty,
            User = container.Text("user"),
            HealthCheck = container.Object("healthCheck") is { } check ? HealthCheck(check) : null,
            VolumeMounts = AppShape.Each(container.List("volumeMounts"), Mount) ?? default,
            Labels = container.Texts("labels") ?? EquatableMap.Empty,
            KillGracePeriodSeconds = container.Object("lifecycle")?.Number("killGracePeriodSeconds", 0, AppLimits.SecondsMax),
        };
    }

    private static Resources Resources(JsonAt resources, Resources defaults) => new(
        resources.Number("cpus", 0, AppLimits.ResourceMax) ?? defaults.Cpus,
        resources.Number("mem", 0, AppLimits.ResourceMax) ?? defaults.MemMib,
        resources.Number("disk", 0, AppLimits.ResourceMax) ?? defaults.DiskMib);

    private static PodCommand? Command(JsonAt exec)
    {
        if (exec.Member("command") is null) exec.Missing("command");
        if (exec.Object("command") is not { } command) return null;
        return new PodCommand(command.Text("shell"), command.TextList("argv") ?? default, exec.Flag("overrideEntrypoint") ?? false);
    }

    private static PodImage? Image(JsonAt image)
    {
        image.OneOf("kind", ImageKinds); // APPC is a word of the contract; UnavailablePodFields refuses it
        return image.RequiredText("id", lengthMin: 1) is { } id ? new PodImage(id, image.Flag("forcePull") ?? false) : null;
    }

    private static PodEndpoint? Endpoint(JsonAt item) => item.AsObject() is { } endpoint
        ? new PodEndpoint(
            endpoint.RequiredText("name") ?? "", endpoint.Integer("containerPort", 0, AppShape.PortMax), endpoint.Integer("hostPort", 0, AppShape.PortMax),
            endpoint.Integer("servicePort", 0, AppShape.PortMax) ?? 0, Protocol(endpoint), endpoint.Texts("labels") ?? EquatableMap.Empty)
        : null;

    /// <summary>A list of words, or, as the first pods had it, one.</summary>
    private static string Protocol(JsonAt endpoint)
    {
        if (endpoint.Member("protocol") is not { } member) return "tcp";
        List<JsonAt>? items = member.Element.ValueKind == JsonValueKind.String ? [member] : member.AsList();
        var words = items?.Select(x => x.AsOneOf(Tcp)).ToList() ?? [];
        return (words.Contains(true), words.Contains(false)) switch { (true, true) => "udp,tcp", (false, true) => "udp", _ => "tcp" };
    }

    private static PodVolume? Volume(JsonAt item) =>
        item.AsObject() is { } volume ? new PodVolume(volume.RequiredText("name") ?? "", volume.Text("host")) : null;

    private static PodVolumeMount? Mount(JsonAt item) => item.AsObject() is { } mount
        ? new PodVolumeMount(mount.RequiredText("name") ?? "", mount.RequiredText("mountPath") ?? "", mount.Flag("readOnly") ?? false)
        : null;

    private static HealthCheck? HealthCheck(JsonAt check)
    {
        var (http, tcp, exec) = (check.Object("http"), check.Object("tcp"), check.Object("exec"));
        if (http is null && tcp is null && exec is null) return null; // which PodRules refuses
        var command = exec is { } run ? Command(run) : null;
        var path = http?.Text("path") ?? "/";
        var defaults = new HealthCheck();
        return defaults with
        {
            Protocol = http is { } h ? h.OneOf("scheme", Schemes) ?? HealthCheckProtocol.MesosHttp
                : tcp is not null ? HealthCheckProtocol.MesosTcp
                : HealthCheckProtocol.Command,
            Path = http is null ? null : path.StartsWith('/') ? path : "/" + path,
            Endpoint = (http ?? tcp)?.RequiredText("endpoint"),
            Command = command?.Shell,
            Argv = command?.Argv ?? default,
            GracePeriodSeconds = check.Number("gracePeriodSeconds", 0, AppLimits.SecondsMax) ?? defaults.GracePeriodSeconds,
            IntervalSeconds = check.Number("intervalSeconds", 0, AppLimits.SecondsMax) ?? defaults.IntervalSeconds,
            TimeoutSeconds = check.Number("timeoutSeconds", 0, AppLimits.SecondsMax) ?? defaults.TimeoutSeconds,
            MaxConsecutiveFailures = check.Integer("maxConsecutiveFailures", 0, int.MaxValue) ?? defaults.MaxConsecutiveFailures,
            DelaySeconds = check.Number("delaySeconds", 0, AppLimits.SecondsMax) ?? defaults.DelaySeconds,
        };
    }
}
