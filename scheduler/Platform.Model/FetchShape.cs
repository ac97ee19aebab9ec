using System.Text.Json;

namespace Platform.Model;

/// <summary>Reads the shape of what an app wants brought to its task: artifacts (contract 7.1) and secrets (2.1, 2.3).</summary>
internal static class FetchShape
{
    public static FetchUri? Fetch(JsonAt item)
    {
        if (item.AsObject() is not { } fetch) return null;
        var uri = fetch.RequiredText("uri");
        var (extract, executable, cache) = (fetch.Flag("extract") ?? true, fetch.Flag("executable") ?? false, fetch.Flag("cache") ?? false);
        return new FetchUri(uri ?? "", extract, executable, cache, fetch.Text("destPath"));
    }

    /// <summary>A value that names a secret instead of being one.</summary>
    public static bool IsSecretReference(JsonElement value) =>
        value.ValueKind == JsonValueKind.Object && value.TryGetProperty("secret", out var secret) && secret.ValueKind != JsonValueKind.Null;

    /// <summary>The variables of an <c>env</c> whose value is <c>{"secret": "name"}</c>.</summary>
    public static EquatableMap SecretReferences(JsonAt env)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in env.Element.EnumerateObject().Select(x => x.Name).Distinct(StringComparer.Ordinal))
            if (env.Member(name) is { } value && IsSecretReference(value.Element) && value.RequiredText("secret", lengthMin: 1) is { } secret) names[name] = secret;
        return EquatableMap.From(names);
    }

    /// <summary><c>{name: {source}}</c></summary>
    public static EquatableMap Secrets(JsonAt secrets)
    {
        var sources = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in secrets.Element.EnumerateObject().Select(x => x.Name).Distinct(StringComparer.Ordinal))
            if (secrets.Object(name) is { } secret && secret.RequiredText("source", lengthMin: 1) is { } source) sources[name] = source;
        return EquatableMap.From(sources);
    }

    /// <param name="item">A volume for which <see cref="IsSecretReference"/> holds.</param>
    public static SecretVolume? SecretVolume(JsonAt item)
    {
        var (path, secret) = (item.RequiredText("containerPath", lengthMin: 1), item.RequiredText("secret", lengthMin: 1));
        return path is null || secret is null ? null : new SecretVolume(path, secret);
    }
}
