namespace Platform.Model;

/// <summary>What must hold of what an app wants brought to its task: artifacts (contract 7.1, 7.2) and secrets (2.1, 2.3).</summary>
internal static class FetchRules
{
    /// <param name="uris">The artifacts were given in the old spelling: where the problems are then.</param>
    public static void Check(AppDefinition app, bool uris, ProblemList rules)
    {
        CheckFetch(app.Fetch, uris, rules);
        if (AppRules.Within("/storeUrls", app.StoreUrls.Count, AppLimits.FetchMax, "URLs", rules))
            for (var i = 0; i < app.StoreUrls.Count; i++)
                if (FetchUri.Parse(app.StoreUrls[i], out var why) is not { } url) rules.Add($"/storeUrls({i})", why!);
                else if (url.IsFile) rules.Add($"/storeUrls({i})", "only http and https can be copied into the artifact store: a file of the scheduler's machine is nobody's to ask for");
                else if (FetchUri.Of(app.StoreUrls[i]).FileName.Length == 0) rules.Add($"/storeUrls({i})", "must end in a file name");
        CheckSecrets(app, rules);
    }

    private static void CheckFetch(EquatableArray<FetchUri> fetch, bool uris, ProblemList rules)
    {
        if (!AppRules.Within(uris ? "/uris" : "/fetch", fetch.Count, AppLimits.FetchMax, "artifacts", rules)) return;
        for (var i = 0; i < fetch.Count; i++)
        {
            var path = uris ? $"/uris({i})" : $"/fetch({i})/uri";
            if (FetchUri.Parse(fetch[i].Uri, out var why) is null) rules.Add(path, why!);
            else if (fetch[i].DestPath is null && !IsInside(fetch[i].FileName)) rules.Add(path, "must end in a file name, or destPath must give one");
            if (fetch[i].DestPath is { } dest && !IsInside(dest)) rules.Add($"/fetch({i})/destPath", "must be a relative path that stays inside the sandbox");
        }
    }

    /// <summary>A relative path of plain names. <c>.platform</c> is where the agent keeps its own notes.</summary>
    private static bool IsInside(string path) =>
        path.Length > 0 && !path.Any(char.IsControl) && path.Split('/') is var names && names[0] != ".platform" && !names.Any(x => x is "" or "." or "..");

    private static void CheckSecrets(AppDefinition app, ProblemList rules)
    {
        AppRules.Within("/secrets", app.Secrets.Count, AppLimits.SecretsMax, "secrets", rules);
        foreach (var (name, source) in app.Secrets)
        {
            if (name.Length == 0) rules.Add("/secrets", "must not have a secret without a name");
            if (!SecretPath.IsValid(source, out var why)) rules.Add($"/secrets/{name}/source", why);
        }
        foreach (var (variable, secret) in app.EnvSecrets)
        {
            if (variable.Length == 0) rules.Add("/env", "must not have a variable without a name");
            if (variable.Contains('=') || variable.Contains('\0')) rules.Add($"/env/{variable}", "the name of a variable must contain neither '=' nor NUL");
            if (!app.Secrets.ContainsKey(secret)) rules.Add($"/env/{variable}", Undefined(secret));
        }
        AppRules.Within("/env", app.Env.Count + app.EnvSecrets.Count, AppLimits.EnvMax, "variables", rules);
        if (app.Container is not { } container) return;
        for (var i = 0; i < container.Volumes.Count; i++)
        {
            if (container.Volumes[i] is not SecretVolume volume) continue;
            if (!app.Secrets.ContainsKey(volume.Secret)) rules.Add($"/container/volumes({i})/secret", Undefined(volume.Secret));
            var path = SecretPath.Canonical(volume.ContainerPath);
            if (!IsInside(path) || path.Contains(':') || (container.Image is null && path != volume.ContainerPath))
                rules.Add($"/container/volumes({i})/containerPath", container.Image is null
                    ? "must be a relative path that stays inside the sandbox of the process"
                    : "must be the path of a file, without ':' and '..'");
        }
    }

    private static string Undefined(string secret) => $"references an undefined secret named '{secret}'";
}

/// <summary>The path of a secret in the store: names of letters, digits, <c>-</c>, <c>_</c> and <c>.</c> between slashes. A slash before it means nothing.</summary>
public static class SecretPath
{
    public const int LengthMax = 255;

    public static string Canonical(string path) => path.StartsWith('/') ? path[1..] : path;

    public static bool IsValid(string text, out string why)
    {
        var path = Canonical(text);
        why = $"must be at most {LengthMax} characters: names of letters, digits, '-', '_' and '.', with single slashes between them";
        return path.Length is > 0 and <= LengthMax
            && path.Split('/').All(name => name is not ("" or "." or "..") && name.All(x => char.IsAsciiLetterOrDigit(x) || x is '-' or '_' or '.'));
    }
}
