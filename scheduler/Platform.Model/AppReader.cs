using System.Text.Json;

namespace Platform.Model;

/// <summary>
/// Reads apps as clients send them (contract section 2), today's form and that of 2014, into the canonical form, or says everything
/// that is wrong. The element must come from <see cref="AppJson.TryParseBody"/>, which keeps out texts that cannot be decoded.
/// </summary>
public static class AppReader
{
    private const string Rollback = "The 'version' field may only be combined with the 'id' field.";

    /// <summary>A whole app: POST, or an app inside a group, whose id is then relative to <paramref name="within"/>.</summary>
    public static ReadResult Create(JsonElement body, AppId? within = null)
    {
        var problems = new ProblemList();
        if (Shape(body, problems) is not { } update) return Refuse(problems, RefusalFamily.InvalidJson);
        if (new JsonAt(body, "", problems).Member("id") is null) problems.Add("/id", "error.path.missing");
        if (problems.AnyMisread) return Refuse(problems, RefusalFamily.InvalidJson);
        var id = ParseId(update.Id!, within, problems);
        if (within is not null && (id == within || !id.IsWithin(within)) && !problems.AnyMisread)
            problems.Add("/id", $"must be inside the group {within}; hint: use a relative path");
        return Complete(body, update, id, null, problems);
    }

    /// <summary>
    /// PUT and PATCH: what the body says, over <paramref name="existing"/> if <paramref name="partial"/>, otherwise over the defaults.
    /// The id of the URL wins over the body's. An app that does not exist is made from the body alone.
    /// </summary>
    public static ReadResult Update(JsonElement body, AppId id, AppDefinition? existing, bool partial)
    {
        var problems = new ProblemList();
        if (Shape(body, problems) is not { } update) return Refuse(problems, RefusalFamily.InvalidJson);
        var version = new JsonAt(body, "", problems).Text("version");
        if (problems.AnyMisread) return Refuse(problems, RefusalFamily.InvalidJson);
        return version is null ? Complete(body, update, id, partial ? existing : null, problems) : ReadRollback(body, version, problems);
    }

    /// <summary>The id inside one item of a PUT of several apps.</summary>
    public static ReadResult.Refused? ReadId(JsonElement item, out AppId id)
    {
        id = AppId.Root;
        var problems = new ProblemList();
        if (new JsonAt(item, "", problems).AsObject() is not { } app || app.RequiredText("id") is not { } text)
            return Refuse(problems, RefusalFamily.InvalidJson);
        id = ParseId(text, null, problems);
        return problems.Any ? Refuse(problems, RefusalFamily.ObjectNotValid) : null;
    }

    /// <summary>
    /// What <see cref="AppJson.Write"/> wrote, from the cluster log or the agent link. No rules are checked: an app that was accepted
    /// once stays readable when a later version has stricter rules.
    /// </summary>
    internal static AppDefinition ReadStored(JsonElement app)
    {
        var problems = new ProblemList();
        var update = Shape(app, problems);
        if (update is null || problems.Any || update.Id is null)
            throw new JsonException($"not an app definition: {problems.Refuse(RefusalFamily.InvalidJson).Problems}");
        var definition = new AppOverlay(update, null, problems, exact: true).Apply(AppId.Parse(update.Id));
        if (problems.Any) throw new JsonException($"not an app definition: {problems.Refuse(RefusalFamily.ObjectNotValid).Problems}");
        var stored = new JsonAt(app, "", problems);
        var info = stored.Object("versionInfo");
        return definition with
        {
            Version = Version(stored, "version"),
            VersionInfo = info is { } x ? new VersionInfo(Version(x, "lastScalingAt"), Version(x, "lastConfigChangeAt")) : default,
        };
    }

    /// <summary>A broken id is noted, and a blameless one stands in for it so that the other rules can still be checked.</summary>
    internal static AppId ParseId(string text, AppId? within, ProblemList rules)
    {
        if (AppId.TryParse(text, out var id, out var why, within) && text.Length > 0) return id;
        rules.Add("/id", why ?? "must not be empty");
        return AppId.Parse("/nameless");
    }

    internal static AppVersion Version(JsonAt owner, string name) =>
        owner.Text(name) is not { } text ? default
            : AppVersion.TryParse(text, out var version) ? version.Value
            : throw new JsonException($"'{text}' is no version");

    private static AppUpdate? Shape(JsonElement body, ProblemList problems) =>
        new JsonAt(body, "", problems).AsObject() is { } app ? AppShape.Read(app) : null;

    private static ReadResult Complete(JsonElement body, AppUpdate update, AppId id, AppDefinition? existing, ProblemList rules)
    {
        UnavailableFields.Check(body, rules);
        if (update.Container is { } container) AppRules.CheckEngine(container, rules);
        if (update.AcceptedResourceRoles is { Count: 0 }) rules.Add("/acceptedResourceRoles", "must not be empty");
        var overlay = new AppOverlay(update, existing, rules);
        var app = overlay.Apply(id);
        AppRules.Check(app, overlay.PortsPath, rules);
        FetchRules.Check(app, overlay.FetchFromUris, rules);
        return rules.Any ? Refuse(rules, rules.AnyOutOfRange ? RefusalFamily.InvalidJson : RefusalFamily.ObjectNotValid) : new ReadResult.App(app);
    }

    private static ReadResult ReadRollback(JsonElement body, string text, ProblemList rules)
    {
        var others = body.EnumerateObject()
            .Any(x => x.Value.ValueKind != JsonValueKind.Null && x.Name is not ("id" or "version") && !AppShape.ReadOnlyMembers.Contains(x.Name));
        if (others) rules.Add("/", Rollback);
        if (!AppVersion.TryParse(text, out var version)) rules.Add("/version", $"Invalid timestamp provided '{text}'. Expecting ISO-8601 datetime string.");
        return rules.Any ? Refuse(rules, RefusalFamily.ObjectNotValid) : new ReadResult.Rollback(version!.Value);
    }

    private static ReadResult.Refused Refuse(ProblemList problems, RefusalFamily family) => new(problems.Refuse(family));
}
