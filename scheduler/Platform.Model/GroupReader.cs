using System.Text.Json;

namespace Platform.Model;

/// <summary>Reads groups as clients send them (contract 1.5), with everything that is wrong anywhere in them.</summary>
public static class GroupReader
{
    private static readonly string[] StructureMembers = ["apps", "groups", "pods", "dependencies", "enforceRole"];

    /// <param name="url">The group of the URL. The body's id must agree with it, or is relative to it; at the root it may be any.</param>
    public static GroupReadResult Read(JsonElement body, AppId url)
    {
        var reading = new Reading();
        if (new JsonAt(body, "", reading.Shape).AsObject() is not { } group) return reading.Refuse();
        var id = reading.IdAgreeing(group, url);
        if (group.Member("scaleBy") is { } factor) return ReadScaling(reading, group, id, factor);
        // An answer that is sent back holds its version beside the rest; there it says nothing.
        if (group.Text("version") is { } version && !StructureMembers.Any(m => group.Member(m) is not null)) return ReadRollback(reading, id, version);
        var update = reading.Group(group, id);
        return reading.AnyProblem ? reading.Refuse() : new GroupReadResult.Structure(update);
    }

    /// <summary>PATCH: <c>{"enforceRole": bool}</c> and nothing else that has a meaning.</summary>
    public static (bool EnforceRole, Refusal? Refusal) ReadPatch(JsonElement body)
    {
        var problems = new ProblemList();
        if (new JsonAt(body, "", problems).AsObject() is not { } patch) return (false, problems.Refuse(RefusalFamily.InvalidJson));
        var enforce = patch.Flag("enforceRole");
        if (enforce is null && !problems.Any) problems.Add("/enforceRole", "error.path.missing");
        return problems.Any ? (false, problems.Refuse(RefusalFamily.InvalidJson)) : (enforce!.Value, null);
    }

    private static GroupReadResult ReadScaling(Reading reading, JsonAt group, AppId id, JsonAt factor)
    {
        var value = factor.AsNumber(0, AppLimits.InstancesMax);
        if (group.Element.EnumerateObject().Any(x => x.Name != "scaleBy" && x.Value.ValueKind != JsonValueKind.Null))
            reading.Rules.Add("/scaleBy", "is not allowed in conjunction with other properties");
        return reading.AnyProblem ? reading.Refuse() : new GroupReadResult.Scaling(id, value!.Value);
    }

    private static GroupReadResult ReadRollback(Reading reading, AppId id, string text)
    {
        if (!AppVersion.TryParse(text, out var version))
            reading.Rules.Add("/version", $"Invalid timestamp provided '{text}'. Expecting ISO-8601 datetime string.");
        return reading.AnyProblem ? reading.Refuse() : new GroupReadResult.Rollback(id, version!.Value);
    }

    /// <summary>One walk through one body.</summary>
    private sealed class Reading
    {
        private readonly HashSet<AppId> _seen = [];

        public ProblemList Shape { get; } = new();
        public ProblemList Rules { get; } = new();
        public bool AnyProblem => Shape.Any || Rules.Any;

        /// <summary>A misread value gives the whole refusal its family's name (contract 1.2).</summary>
        public GroupReadResult.Refused Refuse()
        {
            var family = Shape.Any ? RefusalFamily.InvalidJson : RefusalFamily.ObjectNotValid;
            var all = Shape.Refuse(family).Problems.Concat(Rules.Refuse(family).Problems).Take(AppLimits.ProblemsMax);
            return new GroupReadResult.Refused(new Refusal(family, all.ToEquatableArray()));
        }

        public AppId IdAgreeing(JsonAt group, AppId url)
        {
            if (group.Text("id") is not { } text) return url;
            var relative = !text.StartsWith('/');
            if (relative && AppId.TryParse(text, out var itself, out _, url.Parent) && itself == url) return url;
            if (!AppId.TryParse(text, out var id, out var why, url)) Rules.Add("/id", why);
            else if (id == url || ((url.IsRoot || relative) && id.IsWithin(url))) return id;
            else Rules.Add("/id", $"must agree with the group of the URL, {url}");
            return url;
        }

        public GroupUpdate Group(JsonAt group, AppId id)
        {
            if (group.Path.Length > 0 && group.Member("scaleBy") is { } factor)
                Rules.Add(factor.Path, "is not allowed in conjunction with other properties");
            var enforceRole = group.Flag("enforceRole");
            if (enforceRole is not null && (id.IsRoot || !id.Parent.IsRoot))
                Rules.Add($"{group.Path}/enforceRole", "enforceRole belongs to top-level groups only");
            return new GroupUpdate(
                id,
                group.List("apps")?.Select(x => RunSpec(x, id, AppReader.Create)).OfType<AppDefinition>().ToEquatableArray(),
                group.List("pods")?.Select(x => RunSpec(x, id, PodReader.Read)).OfType<AppDefinition>().ToEquatableArray(),
                group.List("groups")?.Select(x => Nested(x, id)).OfType<GroupUpdate>().ToEquatableArray(),
                Dependencies(group, id), enforceRole, group.Path);
        }

        /// <summary>An app or a pod, each by its own reader.</summary>
        private AppDefinition? RunSpec(JsonAt item, AppId group, Func<JsonElement, AppId?, ReadResult> read)
        {
            if (IsFull(item)) return null;
            switch (read(item.Element, group))
            {
                case ReadResult.App app:
                    IsChild($"{item.Path}/id", app.Definition.Id, group);
                    return app.Definition;
                case ReadResult.Refused refused:
                    var list = refused.Refusal.Family == RefusalFamily.InvalidJson ? Shape : Rules;
                    foreach (var (path, reason) in refused.Refusal.Problems) list.Add(path == "/" ? item.Path : item.Path + path, reason);
                    return null;
                default:
                    throw new System.Diagnostics.UnreachableException();
            }
        }

        private GroupUpdate? Nested(JsonAt item, AppId parent)
        {
            if (IsFull(item) || item.AsObject() is not { } group || group.RequiredText("id", lengthMin: 1) is not { } text) return null;
            if (!AppId.TryParse(text, out var id, out var why, parent))
            {
                Rules.Add($"{item.Path}/id", why);
                return null;
            }
            return IsChild($"{item.Path}/id", id, parent) ? Group(group, id) : null;
        }

        /// <summary>Before any work on one more.</summary>
        private bool IsFull(JsonAt item)
        {
            if (_seen.Count >= AppLimits.GroupMembersMax) Rules.Add(item.Path, $"a body may hold at most {AppLimits.GroupMembersMax} apps and groups");
            return _seen.Count >= AppLimits.GroupMembersMax;
        }

        private bool IsChild(string path, AppId id, AppId group)
        {
            if (id.IsRoot || id.Parent != group) Rules.Add(path, $"identifier {id} is not child of {group}. Hint: use relative paths.");
            else if (!_seen.Add(id)) Rules.Add(path, $"Groups and Applications may not have the same identifier: {id}");
            else return true;
            return false;
        }

        private EquatableArray<AppId>? Dependencies(JsonAt group, AppId id)
        {
            if (group.TextList("dependencies") is not { } texts) return null;
            var path = $"{group.Path}/dependencies";
            if (!AppRules.Within(path, texts.Count, AppLimits.DependenciesMax, "dependencies", Rules)) return null;
            var ids = new List<AppId>();
            foreach (var (text, index) in texts.Items.Select((t, i) => (t, i)))
                if (text.Length == 0) Rules.Add($"{path}({index})", "must not be empty");
                else if (AppId.TryParse(text, out var dependency, out var why, id)) ids.Add(dependency);
                else Rules.Add($"{path}({index})", why);
            return ids.Distinct().ToEquatableArray();
        }
    }
}
