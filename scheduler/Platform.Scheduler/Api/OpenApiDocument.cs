using System.Text.Json;

namespace Platform.Scheduler.Api;

/// <summary>The route table as an OpenAPI 3.1 document. What parameters mean and bodies look like is in Resources/openapi.components.json.</summary>
internal static class OpenApiDocument
{
    /// <summary>What a status means wherever it is answered.</summary>
    private static readonly Dictionary<int, string> Meanings = new()
    {
        [200] = "Done", [201] = "Created", [202] = "Accepted", [204] = "Done, nothing to say", [206] = "The part asked for", [302] = "Look there", [304] = "As you have it",
        [400] = "No JSON, or a parameter that cannot be", [401] = "User or password are wrong", [403] = "Too many already", [404] = "Not there",
        [405] = "Not with this method", [406] = "Not in a form that is accepted", [409] = "Taken, or locked by a deployment", [412] = "It is not at the version named", [413] = "Too large", [416] = "No such part",
        [422] = "Not valid: details tell where and why",
        [503] = "Not now; try again", [507] = "The store is full",
    };

    public static void Write(Utf8JsonWriter writer, IEnumerable<Route> routes, string version)
    {
        writer.WriteStartObject();
        writer.WriteString("openapi", "3.1.0");
        writer.WriteStartObject("info");
        writer.WriteString("title", "Platform");
        writer.WriteString("description", "The scheduler's REST API: Marathon's, and what is said to be our own. HEAD works wherever GET does; "
            + "any request may also be answered 401, 405, 500 or 503.");
        writer.WriteString("version", version);
        writer.WriteEndObject();
        writer.WriteStartObject("paths");
        foreach (var path in routes.GroupBy(r => r.Path))
        {
            writer.WriteStartObject(path.Key.Replace("...}", "}", StringComparison.Ordinal));
            foreach (var route in path) WriteOperation(writer, route);
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
        writer.WritePropertyName("components");
        writer.WriteRawValue(Embedded.Read("openapi.components.json"));
        writer.WriteEndObject();
    }

    private static void WriteOperation(Utf8JsonWriter writer, Route route)
    {
        writer.WriteStartObject(route.Method.ToLowerInvariant());
        writer.WriteString("summary", route.Summary);
        writer.WriteStartArray("parameters");
        foreach (var piece in route.Path.Split('{').Skip(1)) WritePathParameter(writer, piece[..piece.IndexOf('}', StringComparison.Ordinal)]);
        foreach (var name in route.Query) WriteReference(writer, "parameters", name);
        writer.WriteEndArray();
        if (route.Body is { } body)
        {
            writer.WriteStartObject("requestBody");
            writer.WriteBoolean("required", true);
            WriteContent(writer, body);
            writer.WriteEndObject();
        }
        writer.WriteStartObject("responses");
        foreach (var status in route.Statuses)
        {
            writer.WriteStartObject(status.ToString(System.Globalization.CultureInfo.InvariantCulture));
            writer.WriteString("description", Meanings[status]);
            if (status >= 400) WriteContent(writer, "Message");
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void WritePathParameter(Utf8JsonWriter writer, string name)
    {
        var several = name.EndsWith("...", StringComparison.Ordinal);
        writer.WriteStartObject();
        writer.WriteString("name", several ? name[..^3] : name);
        writer.WriteString("in", "path");
        writer.WriteBoolean("required", true);
        if (several) writer.WriteString("description", "One word or several with slashes between; doubled slashes count once.");
        writer.WriteStartObject("schema");
        writer.WriteString("type", "string");
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void WriteContent(Utf8JsonWriter writer, string schema)
    {
        writer.WriteStartObject("content");
        writer.WriteStartObject("application/json");
        writer.WritePropertyName("schema");
        WriteReference(writer, "schemas", schema);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    private static void WriteReference(Utf8JsonWriter writer, string kind, string name)
    {
        writer.WriteStartObject();
        writer.WriteString("$ref", $"#/components/{kind}/{name}");
        writer.WriteEndObject();
    }
}

/// <summary>Documents that come with the program, from the folder Resources.</summary>
internal static class Embedded
{
    public static byte[] Read(string name)
    {
        using var stream = typeof(Embedded).Assembly.GetManifestResourceStream($"Platform.Scheduler.Resources.{name}")
            ?? throw new InvalidOperationException($"the program comes without its {name}");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
