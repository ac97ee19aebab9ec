using Platform.Model;

namespace Platform.Scheduler.Api;

/// <summary>
/// One operation of the REST door, with what its documentation says of it: the table of these is all that is dispatched, and all that
/// <c>/v2/openapi.json</c> tells.
/// </summary>
/// <param name="Method">GET stands for HEAD too.</param>
/// <param name="Path">
/// Between slashes a word, <c>{name}</c> for any one word, or <c>{id...}</c> for one or more, which may have a word right behind it
/// (<c>{id...}::status</c>).
/// </param>
/// <param name="Summary">What it does, in a line.</param>
internal sealed record Route(string Method, string Path, string Summary, Func<Call, PathPieces, Task<Answer>> AnswerAsync)
{
    /// <summary>The names of its query parameters; <see cref="OpenApiDocument"/> knows what each means.</summary>
    public EquatableArray<string> Query { get; init; }

    /// <summary>What its body is, by the name of a schema in <see cref="OpenApiDocument"/>; null where none is read.</summary>
    public string? Body { get; init; }

    /// <summary>Every status it may answer with, apart from those that any request may meet (401, 405, 500, 503).</summary>
    public EquatableArray<int> Statuses { get; init; } = [200];

    public static Route Get(string path, string summary, Func<Call, Answer> read) => new("GET", path, summary, (call, _) => Task.FromResult(read(call)));

    public static Route Get(string path, string summary, Func<Call, PathPieces, Answer> read) =>
        new("GET", path, summary, (call, at) => Task.FromResult(read(call, at)));

    public static Route Post(string path, string summary, Func<Call, PathPieces, Task<Answer>> change) => new("POST", path, summary, change);
    public static Route Put(string path, string summary, Func<Call, PathPieces, Task<Answer>> change) => new("PUT", path, summary, change);
    public static Route Patch(string path, string summary, Func<Call, PathPieces, Task<Answer>> change) => new("PATCH", path, summary, change);
    public static Route Delete(string path, string summary, Func<Call, PathPieces, Task<Answer>> change) => new("DELETE", path, summary, change);
}

/// <summary>What a route's path took from a request's.</summary>
/// <param name="Id">The segments of <c>{id...}</c>.</param>
/// <param name="Words">What stood for each <c>{name}</c>, in order.</param>
internal readonly record struct PathPieces(string[] Id, string[] Words)
{
    public string Word => Words[0];
}

/// <summary>
/// Finds the route of a request. The order is the precedence: what is more special comes first, and a path that stands for several
/// resources goes to the first of them that knows the method (<c>DELETE /v2/apps/a/tasks</c> kills tasks, <c>PUT</c> there writes the app a/tasks).
/// </summary>
internal sealed class ApiRoutes(IEnumerable<Route> routes)
{
    private readonly (Route Route, PathPattern Pattern)[] _routes = [.. routes.Select(r => (r, new PathPattern(r.Path)))];

    public IEnumerable<Route> All => _routes.Select(r => r.Route);

    /// <summary>The route, or else which methods the path knows; nothing of either where the path is unknown.</summary>
    public (Route? Route, PathPieces Pieces, string? Allow) Find(string method, string[] segments)
    {
        string? resource = null;
        foreach (var (route, pattern) in _routes)
        {
            if (!pattern.TryMatch(segments, out var pieces)) continue;
            if (route.Method == method) return (route, pieces, null);
            resource ??= route.Path;
        }
        return (null, default, resource is null ? null : AllowedOn(resource));
    }

    private string AllowedOn(string path) => string.Join(", ", All
        .Where(r => r.Path == path).SelectMany(r => r.Method == "GET" ? ["GET", "HEAD"] : (string[])[r.Method]));
}

/// <summary>A route's path, cut up.</summary>
internal sealed class PathPattern
{
    private readonly string[] _before;
    private readonly string[] _after;
    private readonly string? _suffix;

    public PathPattern(string path)
    {
        var pieces = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        var many = Array.FindIndex(pieces, p => p.Contains("...}", StringComparison.Ordinal));
        _before = many < 0 ? pieces : pieces[..many];
        _after = many < 0 ? [] : pieces[(many + 1)..];
        _suffix = many < 0 ? null : pieces[many][(pieces[many].IndexOf('}', StringComparison.Ordinal) + 1)..];
    }

    public bool TryMatch(string[] segments, out PathPieces pieces)
    {
        pieces = default;
        var fixedCount = _before.Length + _after.Length;
        if (_suffix is null ? segments.Length != fixedCount : segments.Length <= fixedCount) return false;
        var words = new List<string>();
        if (!Fit(_before, segments.AsSpan(0, _before.Length), words) || !Fit(_after, segments.AsSpan(segments.Length - _after.Length), words)) return false;
        string[] id = _suffix is null ? [] : segments[_before.Length..^_after.Length];
        if (_suffix is { Length: > 0 })
        {
            if (!id[^1].EndsWith(_suffix, StringComparison.Ordinal) || id[^1].Length == _suffix.Length) return false;
            id[^1] = id[^1][..^_suffix.Length];
        }
        pieces = new PathPieces(id, [.. words]);
        return true;
    }

    private static bool Fit(string[] pattern, ReadOnlySpan<string> segments, List<string> words)
    {
        for (var i = 0; i < pattern.Length; i++)
            if (pattern[i][0] == '{') words.Add(segments[i]);
            else if (pattern[i] != segments[i]) return false;
        return true;
    }
}
