using System.Text;
using System.Text.Json;
using Platform.Model;

namespace Platform.Tests.Model;

/// <summary>
/// Golden/apps/&lt;case&gt;/input.json is what a client sends; with existing.json beside it, as a PUT over that app (a full replace where
/// the case's name begins so). What comes of it is app.json, problems.json (the 422's body) or rollback.json.
/// </summary>
public sealed class AppGoldenTests
{
    private static readonly string[] Outcomes = ["app.json", "problems.json", "rollback.json"];

    private static IEnumerable<string> Names => Directory.GetDirectories(Path.Combine(Golden.Root, "apps"))
        .Select(x => Path.GetFileName(x)!).Order(StringComparer.Ordinal);

    public static TheoryData<string> Cases() => [.. Names];

    [Theory]
    [MemberData(nameof(Cases))]
    public void An_input_gives_what_was_reviewed(string name)
    {
        var folder = Path.Combine(Golden.Root, "apps", name);
        var input = AppJsonTests.Parse(Golden.Read($"apps/{name}/input.json"));
        var result = File.Exists(Path.Combine(folder, "existing.json"))
            ? Over(Accepted(AppReader.Create(AppJsonTests.Parse(Golden.Read($"apps/{name}/existing.json")))))
            : AppReader.Create(input);
        var (file, text) = result switch
        {
            ReadResult.App x => ("app.json", Indented(w => AppJson.Write(w, x.Definition))),
            ReadResult.Refused x => ("problems.json", Indented(x.Refusal.Write)),
            ReadResult.Rollback x => ("rollback.json", $"\"{x.Version}\""),
            _ => throw new System.Diagnostics.UnreachableException($"{result}"),
        };
        foreach (var other in Outcomes.Where(x => x != file && File.Exists(Path.Combine(folder, x))))
            Assert.Fail($"Golden/apps/{name}/{other} is stale: the outcome is {file} now");
        Golden.Check($"apps/{name}/{file}", text);

        ReadResult Over(AppDefinition existing) =>
            AppReader.Update(input, existing.Id, existing, partial: !name.StartsWith("replace-", StringComparison.Ordinal));
    }

    [Fact]
    public void The_seed_bodies_are_accepted()
    {
        foreach (var name in Names.Where(x => x.StartsWith("seed-", StringComparison.Ordinal)))
            Assert.True(File.Exists(Path.Combine(Golden.Root, "apps", name, "app.json")), $"{name} is refused");
    }

    private static AppDefinition Accepted(ReadResult result) => Assert.IsType<ReadResult.App>(result).Definition;

    private static string Indented(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, AppJson.WriterOptions with { Indented = true })) write(writer);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
