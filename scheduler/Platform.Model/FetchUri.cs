namespace Platform.Model;

/// <summary>
/// One artifact that a task wants in its sandbox before it starts (contract 7.1). <paramref name="Uri"/>: http, https, file, or an absolute path on
/// the node. <paramref name="DestPath"/>: relative to the sandbox; null = the file name of the URI.
/// </summary>
public sealed record FetchUri(string Uri, bool Extract, bool Executable, bool Cache, string? DestPath)
{
    private static readonly string[] Endings = [".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip", ".tar", ".gz"];

    /// <summary>As <c>uris</c> means it: unpacked if its name says that it can be.</summary>
    public static FetchUri Of(string uri) => new(uri, ArchiveEnding(FileNameOf(uri)) is not null, false, false, null);

    /// <summary>The file name that the URI's path ends with; the query is no part of it. Empty if there is none.</summary>
    public string FileName => FileNameOf(Uri);

    /// <summary>The ending by which a file name says that it is an archive, longest first; null if it says no such thing.</summary>
    public static string? ArchiveEnding(string name) =>
        Endings.Where(x => name.Length > x.Length && name.EndsWith(x, StringComparison.OrdinalIgnoreCase)).MaxBy(x => x.Length);

    /// <summary>The URI as one, a plain path as <c>file</c>; null with the reason if it is none that can be fetched.</summary>
    public static Uri? Parse(string text, out string? why)
    {
        why = null;
        if (text.Length > AppLimits.FetchUriLengthMax) why = $"must be at most {AppLimits.FetchUriLengthMax} characters";
        else if (text.Length == 0 || text.Any(char.IsControl) || !System.Uri.TryCreate(text, text[0] == '/' ? UriKind.Absolute : UriKind.RelativeOrAbsolute, out var uri)
            || (text[0] != '/' && text.Contains(' '))) why = "URI has invalid syntax.";
        else if (!uri.IsAbsoluteUri) why = "must be an http, https or file URI, or an absolute path on the node";
        else if (uri.Scheme is not ("http" or "https" or "file"))
            why = $"the scheme '{uri.Scheme}' cannot be fetched by this version of Platform: http, https, file and absolute paths can";
        else if (uri.IsFile && uri.Host is not ("" or "localhost")) why = "a file URI names a file of the node, not of another host";
        else return uri;
        return null;
    }

    private static string FileNameOf(string text)
    {
        if (Parse(text, out _) is not { } uri) return "";
        var path = uri.IsFile ? uri.LocalPath : System.Uri.UnescapeDataString(uri.AbsolutePath);
        return path[(path.LastIndexOf('/') + 1)..];
    }
}
