using System.Text.Json;

namespace Platform.Model;

/// <summary>
/// Reads pods as clients send them (contract 1.10) into definitions with every default filled in, or says everything that is wrong. A pod is
/// always written whole: what a body leaves out is the default again. The element must come from <see cref="AppJson.TryParseBody"/>.
/// </summary>
public static class PodReader
{
    /// <summary>A pod of POST and PUT, or one inside a group, whose id is then relative to <paramref name="within"/>.</summary>
    public static ReadResult Read(JsonElement body, AppId? within = null)
    {
        var problems = new ProblemList();
        if (new JsonAt(body, "", problems).AsObject() is not { } pod) return Refuse(problems, RefusalFamily.InvalidJson);
        var definition = PodShape.Read(pod);
        var id = pod.RequiredText("id");
        var networks = AppShape.Each(pod.List("networks"), AppShape.Network) ?? default;
        var constraints = PodShape.Constraints(pod);
        if (problems.AnyMisread) return Refuse(problems, RefusalFamily.InvalidJson);

        UnavailablePodFields.Check(body, problems);
        PodRules.CheckKinds(body, problems);
        definition = definition with
        {
            Id = ParseId(id!, within, problems),
            Network = AppOverlay.Mode(networks, problems) ?? NetworkMode.Host,
            Constraints = Constraints(constraints, problems),
        };
        PodRules.Check(definition, problems);
        return problems.Any
            ? Refuse(problems, problems.AnyOutOfRange ? RefusalFamily.InvalidJson : RefusalFamily.ObjectNotValid)
            : new ReadResult.App(definition);
    }

    /// <summary>What <see cref="PodJson.WriteStored"/> wrote. No rules are checked: a pod that was accepted once stays readable.</summary>
    internal static AppDefinition ReadStored(JsonElement stored)
    {
        var problems = new ProblemList();
        if (new JsonAt(stored, "", problems).AsObject() is not { } pod || pod.Text("id") is not { } id) throw new JsonException("not a pod definition");
        var definition = PodShape.Read(pod);
        var networks = AppShape.Each(pod.List("networks"), AppShape.Network) ?? default;
        definition = definition with
        {
            Id = AppId.Parse(id),
            Network = AppOverlay.Mode(networks, problems) ?? NetworkMode.Host,
            Constraints = Constraints(PodShape.Constraints(pod), problems),
        };
        if (problems.Any) throw new JsonException($"not a pod definition: {problems.Refuse(RefusalFamily.ObjectNotValid).Problems}");
        var info = pod.Object("versionInfo");
        return definition with
        {
            Version = AppReader.Version(pod, "version"),
            VersionInfo = info is { } x ? new VersionInfo(AppReader.Version(x, "lastScalingAt"), AppReader.Version(x, "lastConfigChangeAt")) : default,
        };
    }

    private static AppId ParseId(string text, AppId? within, ProblemList rules)
    {
        var before = rules.Any;
        var id = AppReader.ParseId(text, within, rules);
        if (within is not null && !before && !rules.Any && (id == within || !id.IsWithin(within)))
            rules.Add("/id", $"must be inside the group {within}; hint: use a relative path");
        return id;
    }

    private static EquatableArray<Constraint> Constraints(EquatableArray<EquatableArray<string>> constraints, ProblemList rules)
    {
        const string path = "/scheduling/placement/constraints";
        if (!AppRules.Within(path, constraints.Count, AppLimits.ConstraintsMax, "constraints", rules)) return default;
        return constraints.Select((x, i) => ConstraintRules.Read(x, $"{path}({i})", rules)).OfType<Constraint>().ToEquatableArray();
    }

    private static ReadResult.Refused Refuse(ProblemList problems, RefusalFamily family) => new(problems.Refuse(family));
}
