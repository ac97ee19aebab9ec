using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Platform.Scheduler.Api;

namespace Platform.Tests.Model;

/// <summary>
/// The field tables of the contract (section 2), row by row: each field that the app's schema knows is taken in one golden case and refused in another.
/// </summary>
public sealed partial class AppFieldRowTests
{
    private static readonly string[] NeverTaken = ["/version"]; // read-only, or alone: a rollback

    [Fact]
    public void Every_field_is_taken_in_one_case_and_refused_in_another()
    {
        var schema = JsonNode.Parse(Embedded.Read("app.schema.json"))!;
        var fields = Fields(schema, schema, "").ToHashSet();
        var (taken, refused) = (new HashSet<string>(), new HashSet<string>());
        foreach (var folder in Directory.GetDirectories(Path.Combine(Golden.Root, "apps")))
        {
            if (File.Exists(Path.Combine(folder, "app.json"))) taken.UnionWith(Members(JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "input.json"))), ""));
            else if (Path.Combine(folder, "problems.json") is var problems && File.Exists(problems) && JsonNode.Parse(File.ReadAllText(problems))!["details"] is JsonArray details)
                refused.UnionWith(details.Select(d => Index().Replace(d!["path"]!.GetValue<string>(), "")));
        }
        AssertNone("taken in no golden case", fields.Except(taken).Except(NeverTaken));
        AssertNone("refused in no golden case", fields.Except(refused));
    }

    private static void AssertNone(string what, IEnumerable<string> fields) => Assert.True(!fields.Any(), $"{what}: {string.Join(", ", fields.Order(StringComparer.Ordinal))}");

    private static IEnumerable<string> Fields(JsonNode root, JsonNode schema, string at)
    {
        if (schema["$ref"]?.GetValue<string>() is { } name) return Fields(root, root["$defs"]![name["#/$defs/".Length..]]!, at);
        var own = schema["properties"]?.AsObject().SelectMany(p => Fields(root, p.Value!, $"{at}/{p.Key}").Prepend($"{at}/{p.Key}")) ?? [];
        var either = schema["anyOf"]?.AsArray().SelectMany(s => Fields(root, s!, at)) ?? [];
        return own.Concat(either).Concat(schema["items"] is JsonObject items ? Fields(root, items, at) : []);
    }

    private static IEnumerable<string> Members(JsonNode? node, string at) => node switch
    {
        JsonObject o => o.SelectMany(m => Members(m.Value, $"{at}/{m.Key}").Prepend($"{at}/{m.Key}")),
        JsonArray a => a.SelectMany(x => Members(x, at)),
        _ => [],
    };

    [GeneratedRegex(@"\(\d+\)")]
    private static partial Regex Index();
}
