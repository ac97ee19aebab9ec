using System.Text.Json;

namespace Platform.Model;

/// <summary>One member of an app that differs; values as text, null where there is none.</summary>
public sealed record FieldDiff(string Path, string? From, string? To);

/// <summary>What a change made of one app. <paramref name="From"/> or <paramref name="To"/> is null where it did not exist.</summary>
/// <param name="More">How many members differ beyond those listed.</param>
public sealed record AppDiff(AppId App, AppVersion? From, AppVersion? To, EquatableArray<FieldDiff> Fields, int More)
{
    private const int FieldsMax = 50;
    private const int ValueMax = 500;

    public static AppDiff Between(AppId id, AppDefinition? before, AppDefinition? after)
    {
        if (before is null || after is null) return new AppDiff(id, before?.Version, after?.Version, default, 0);
        var (old, now) = (Flat(before), Flat(after));
        var differing = old.Keys.Union(now.Keys).Where(path => old.GetValueOrDefault(path) != now.GetValueOrDefault(path))
            .Order(StringComparer.Ordinal).ToList();
        var fields = differing.Take(FieldsMax).Select(path => new FieldDiff(path, Short(old.GetValueOrDefault(path)), Short(now.GetValueOrDefault(path))));
        return new AppDiff(id, before.Version, after.Version, fields.ToEquatableArray(), Math.Max(0, differing.Count - FieldsMax));
    }

    private static string? Short(string? value) => value is { Length: > ValueMax } ? string.Concat(value.AsSpan(0, ValueMax), "…") : value;

    private static Dictionary<string, string> Flat(AppDefinition app)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream, AppJson.WriterOptions)) AppJson.Write(writer, app with { Version = default, VersionInfo = default });
        using var document = JsonDocument.Parse(stream.ToArray());
        var leaves = new Dictionary<string, string>(StringComparer.Ordinal);
        Flatten(document.RootElement, "", leaves);
        return leaves;
    }

    private static void Flatten(JsonElement element, string path, Dictionary<string, string> leaves)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject()) Flatten(member.Value, $"{path}/{member.Name}", leaves);
                break;
            case JsonValueKind.Array:
                foreach (var (item, index) in element.EnumerateArray().Select((item, index) => (item, index))) Flatten(item, $"{path}({index})", leaves);
                break;
            default:
                leaves[path] = element.ValueKind == JsonValueKind.String ? element.GetString()! : element.GetRawText();
                break;
        }
    }
}
