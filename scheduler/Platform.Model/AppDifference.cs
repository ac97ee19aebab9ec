using System.Buffers;
using System.Text.Json;

namespace Platform.Model;

/// <summary>One place in which two definitions differ: <c>/env/COLOUR</c>, with the JSON on either side; null where a side has nothing there.</summary>
public sealed record AppDifference(string Path, string? From, string? To)
{
    /// <summary>Mirrors of other fields for old clients (contract 2.4), and what the scheduler itself writes down.</summary>
    private static readonly HashSet<string> NotCompared = ["/ports", "/container/docker/network", "/container/docker/portMappings", "/version", "/versionInfo"];

    /// <summary>What a user would have to edit to get from one to the other. Objects are compared by member, arrays and values as a whole.</summary>
    public static EquatableArray<AppDifference> Between(AppDefinition? before, AppDefinition? after)
    {
        using var from = Parse(before);
        using var to = Parse(after);
        var differences = new List<AppDifference>();
        Compare("", from?.RootElement, to?.RootElement, differences);
        return differences.ToEquatableArray();
    }

    private static JsonDocument? Parse(AppDefinition? app)
    {
        if (app is null) return null;
        var bytes = new ArrayBufferWriter<byte>(1024);
        using (var writer = new Utf8JsonWriter(bytes, AppJson.WriterOptions))
            if (app.Pod is null) AppJson.Write(writer, app);
            else PodJson.Write(writer, app);
        return JsonDocument.Parse(bytes.WrittenMemory);
    }

    private static void Compare(string path, JsonElement? from, JsonElement? to, List<AppDifference> differences)
    {
        if (NotCompared.Contains(path)) return;
        if (from is { ValueKind: JsonValueKind.Object } || to is { ValueKind: JsonValueKind.Object })
        {
            foreach (var name in Names(from).Union(Names(to))) Compare($"{path}/{name}", Member(from, name), Member(to, name), differences);
            return;
        }
        if (from is { } a && to is { } b && JsonElement.DeepEquals(a, b)) return;
        differences.Add(new AppDifference(path, from?.GetRawText(), to?.GetRawText()));
    }

    private static IEnumerable<string> Names(JsonElement? element) =>
        element is { ValueKind: JsonValueKind.Object } owner ? owner.EnumerateObject().Select(x => x.Name) : [];

    private static JsonElement? Member(JsonElement? element, string name) =>
        element is { ValueKind: JsonValueKind.Object } owner && owner.TryGetProperty(name, out var value) ? value : null;
}
