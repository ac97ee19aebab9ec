using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Platform.Model;
using Platform.Scheduler.Api;

namespace Platform.Tests.Api;

/// <summary>What the documents say of the API is what it does.</summary>
public sealed partial class OpenApiTests
{
    private static readonly string[] Methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];

    [Fact]
    public async Task Each_documented_operation_is_there()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        foreach (var (path, item) in (await world.GetAsync("/v2/openapi.json")).Must(HttpStatusCode.OK).Json["paths"]!.AsObject())
            foreach (var (method, operation) in item!.AsObject())
            {
                var at = InPath().Replace(path, "some");
                var answer = await world.SendAsync(new HttpMethod(method.ToUpperInvariant()), at, null);
                Assert.False(answer.Status == HttpStatusCode.MethodNotAllowed && path != "/v2/events", $"{method} {path}: {answer.Body}");
                Assert.DoesNotContain("URI not found", answer.Body, StringComparison.Ordinal);
                if (answer.Status == HttpStatusCode.OK || answer.Status == HttpStatusCode.MethodNotAllowed || operation!["requestBody"] is not null) continue;
                Assert.True(operation["responses"]![$"{(int)answer.Status}"] is not null, $"{method} {path} answers {(int)answer.Status}, which is not documented: {answer.Body}");
            }
    }

    [Fact]
    public async Task Each_operation_there_is_documented()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var paths = (await world.GetAsync("/v2/openapi.json")).Json["paths"]!;
        foreach (var route in world.Rest.Documented)
        {
            Assert.NotNull(paths[route.Path.Replace("...}", "}", StringComparison.Ordinal)]?[route.Method.ToLowerInvariant()]);
            Assert.NotEmpty(route.Summary);
            // A method that a path does not know is refused, unless the path stands for another resource too.
            foreach (var other in Methods.Where(m => !world.Rest.Documented.Any(r => r.Path == route.Path && r.Method == m)))
            {
                var answer = await world.SendAsync(new HttpMethod(other), InPath().Replace(route.Path, "some"), null);
                if (!SharesItsPath(route.Path))
                    Assert.True(answer.Status == HttpStatusCode.MethodNotAllowed, $"{other} {route.Path} answers {(int)answer.Status}");
            }
        }
    }

    private static bool SharesItsPath(string path) => path is "/v2/apps/*" or "/v2/groups/apps" or "/v2/groups/versions" or "/v2/groups/versions/{version}" or "/v2/deployments/records" or "/v2/nodes/tokens"
        || path == "/v2/pods::status" || path.StartsWith("/v2/pods/{id...}::", StringComparison.Ordinal)
        || path.StartsWith("/v2/apps/{id...}/", StringComparison.Ordinal) || path.StartsWith("/v2/groups/{id...}/", StringComparison.Ordinal);

    [Fact]
    public async Task Every_reference_leads_somewhere()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        var document = (await world.GetAsync("/v2/openapi.json")).Json;
        foreach (Match reference in Reference().Matches(document.ToJsonString()))
        {
            var target = reference.Groups[1].Value;
            if (!target.StartsWith('#')) (await world.GetAsync(target)).Must(HttpStatusCode.OK);
            else Assert.True(target[2..].Split('/').Aggregate(document, (node, name) => node?[name]!) is not null, target);
        }
        var used = world.Rest.Documented.SelectMany(r => r.Query.Items).Distinct().Order(StringComparer.Ordinal);
        Assert.Equal(used, document["components"]!["parameters"]!.AsObject().Select(p => p.Key).Order(StringComparer.Ordinal));
    }

    public static TheoryData<string> Accepted() => [.. Cases("app.json")];
    public static TheoryData<string> Refused() =>
        [.. Cases("problems.json").Where(c => JsonNode.Parse(Golden.Read($"apps/{c}/problems.json"))!["message"]!.GetValue<string>() == "Invalid JSON")];

    [Theory]
    [MemberData(nameof(Accepted))]
    public void The_schema_takes_what_the_reader_takes(string name) => Assert.Empty(Problems(JsonNode.Parse(Golden.Read($"apps/{name}/input.json")), name));

    /// <summary>What is stored, and so what GET gives back, may be sent again.</summary>
    [Theory]
    [MemberData(nameof(Accepted))]
    public void The_schema_takes_what_is_answered(string name) => Assert.Empty(Problems(JsonNode.Parse(Golden.Read($"apps/{name}/app.json")), name));

    [Theory]
    [MemberData(nameof(Refused))]
    public void The_schema_refuses_what_has_the_wrong_shape(string name) => Assert.NotEmpty(Problems(JsonNode.Parse(Golden.Read($"apps/{name}/input.json")), name));

    [Fact]
    public void The_schema_names_every_member_that_the_reader_asks_for()
    {
        var source = File.ReadAllText(Path.Combine(Golden.Root, "../../../scheduler/Platform.Model/AppShape.cs"));
        var asked = AskedFor().Matches(source).Select(m => m.Groups[1].Value).Distinct().ToList();
        Assert.True(asked.Count > 50, string.Join(' ', asked));
        var text = System.Text.Encoding.UTF8.GetString(Embedded.Read("app.schema.json"));
        Assert.All(asked, name => Assert.Contains($"\"{name}\":", text, StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_schema_is_served()
    {
        await using var world = await ApiWorld.StartAsync(nodes: 0);
        Assert.Equal("App", (await world.GetAsync("/v2/schemas/app")).Must(HttpStatusCode.OK).Json["title"]!.GetValue<string>());
    }

    private static IEnumerable<string> Cases(string outcome) => Directory.GetDirectories(Path.Combine(Golden.Root, "apps"))
        .Where(d => File.Exists(Path.Combine(d, outcome))).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal);

    /// <summary>An update need not name the id.</summary>
    private static List<string> Problems(JsonNode? body, string name)
    {
        var schema = JsonNode.Parse(Embedded.Read("app.schema.json"))!.AsObject();
        if (File.Exists(Path.Combine(Golden.Root, "apps", name, "existing.json"))) schema.Remove("required");
        return [.. new SchemaReading(schema).Problems(schema, body, "")];
    }

    [GeneratedRegex(@"\{[^}]*\}")]
    private static partial Regex InPath();

    [GeneratedRegex("\"\\$ref\":\"([^\"]+)\"")]
    private static partial Regex Reference();

    [GeneratedRegex(@"\.(?:Text|Flag|Number|Integer|Object|List|Texts|TextList|Member|OneOf|RequiredText)\(""(\w+)""")]
    private static partial Regex AskedFor();
}

/// <summary>As much of JSON Schema as the app's schema uses; a keyword it does not know fails the test.</summary>
internal sealed class SchemaReading(JsonNode root)
{
    private static readonly string[] Told = ["$schema", "$defs", "title", "description", "examples"];

    public IEnumerable<string> Problems(JsonNode schema, JsonNode? value, string at) => schema.AsObject().SelectMany(keyword => keyword.Key switch
    {
        "$ref" => Problems(root["$defs"]![keyword.Value!.GetValue<string>()["#/$defs/".Length..]]!, value, at),
        "type" => Types(keyword.Value!).Any(t => Is(t, value)) ? [] : [$"{at}: not of type {keyword.Value!.ToJsonString()}"],
        "enum" => keyword.Value!.AsArray().Any(x => JsonNode.DeepEquals(x, value)) ? [] : [$"{at}: none of {keyword.Value!.ToJsonString()}"],
        "anyOf" => keyword.Value!.AsArray().Any(s => !Problems(s!, value, at).Any()) ? [] : (string[])[$"{at}: none of several forms"],
        "required" => value is JsonObject o ? keyword.Value!.AsArray().Select(n => n!.GetValue<string>()).Where(n => !o.ContainsKey(n)).Select(n => $"{at}/{n}: missing") : [],
        "properties" => value is JsonObject o ? o.Where(m => keyword.Value![m.Key] is not null).SelectMany(m => Problems(keyword.Value![m.Key]!, m.Value, $"{at}/{m.Key}")) : [],
        "additionalProperties" => value is JsonObject o ? o.SelectMany(m => Problems(keyword.Value!, m.Value, $"{at}/{m.Key}")) : [],
        "items" => value is JsonArray a ? a.SelectMany((x, i) => Problems(keyword.Value!, x, $"{at}({i})")) : [],
        "minimum" => value is JsonValue v && v.GetValueKind() == JsonValueKind.Number && v.GetValue<double>() < keyword.Value!.GetValue<double>() ? [$"{at}: too small"] : [],
        "maximum" => value is JsonValue v && v.GetValueKind() == JsonValueKind.Number && v.GetValue<double>() > keyword.Value!.GetValue<double>() ? [$"{at}: too large"] : [],
        "minLength" => value is JsonValue v && v.GetValueKind() == JsonValueKind.String && v.GetValue<string>().Length < keyword.Value!.GetValue<int>() ? [$"{at}: too short"] : [],
        "pattern" => value is JsonValue v && v.GetValueKind() == JsonValueKind.String && !Regex.IsMatch(v.GetValue<string>(), keyword.Value!.GetValue<string>()) ? [$"{at}: does not match"] : [],
        _ when Told.Contains(keyword.Key) => [],
        _ => throw new NotSupportedException(keyword.Key),
    });

    private static IEnumerable<string> Types(JsonNode type) => type is JsonArray several ? several.Select(t => t!.GetValue<string>()) : [type.GetValue<string>()];

    private static bool Is(string type, JsonNode? value) => (type, value?.GetValueKind() ?? JsonValueKind.Null) switch
    {
        ("null", JsonValueKind.Null) or ("string", JsonValueKind.String) or ("number", JsonValueKind.Number) or ("boolean", JsonValueKind.True or JsonValueKind.False) => true,
        ("object", JsonValueKind.Object) or ("array", JsonValueKind.Array) => true,
        ("integer", JsonValueKind.Number) => value!.GetValue<double>() is var number && number == Math.Truncate(number),
        _ => false,
    };
}
