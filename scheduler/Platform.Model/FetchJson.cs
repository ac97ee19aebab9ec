using System.Text.Json;

namespace Platform.Model;

/// <summary>What an app's JSON says of its environment, its secrets by name, and its artifacts, with <c>uris</c> as their mirror (contract 2.4).</summary>
internal static class FetchJson
{
    public static void Write(Utf8JsonWriter writer, AppDefinition app)
    {
        WriteEnv(writer, app);
        if (app.Secrets.Count > 0)
        {
            writer.WriteStartObject("secrets");
            foreach (var (name, source) in app.Secrets)
            {
                writer.WriteStartObject(name);
                writer.WriteString("source", source);
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        if (!app.Fetch.IsEmpty) WriteFetch(writer, app.Fetch);
        if (!app.StoreUrls.IsEmpty) WriteTexts(writer, "storeUrls", app.StoreUrls);
    }

    private static void WriteEnv(Utf8JsonWriter writer, AppDefinition app)
    {
        if (app.Env.Count + app.EnvSecrets.Count == 0) return;
        writer.WriteStartObject("env");
        foreach (var (name, value) in app.Env) writer.WriteString(name, value);
        foreach (var (name, secret) in app.EnvSecrets)
        {
            writer.WriteStartObject(name);
            writer.WriteString("secret", secret);
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
    }

    private static void WriteFetch(Utf8JsonWriter writer, EquatableArray<FetchUri> artifacts)
    {
        writer.WriteStartArray("fetch");
        foreach (var artifact in artifacts)
        {
            writer.WriteStartObject();
            writer.WriteString("uri", artifact.Uri);
            writer.WriteBoolean("extract", artifact.Extract);
            writer.WriteBoolean("executable", artifact.Executable);
            writer.WriteBoolean("cache", artifact.Cache);
            if (artifact.DestPath is { } path) writer.WriteString("destPath", path);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        WriteTexts(writer, "uris", artifacts.Select(x => x.Uri));
    }

    private static void WriteTexts(Utf8JsonWriter writer, string name, IEnumerable<string> texts)
    {
        writer.WriteStartArray(name);
        foreach (var text in texts) writer.WriteStringValue(text);
        writer.WriteEndArray();
    }
}
