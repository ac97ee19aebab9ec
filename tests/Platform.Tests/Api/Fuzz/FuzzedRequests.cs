using System.Globalization;
using System.Text;
using Platform.Model;
using Platform.Scheduling;
using Platform.Simulation;

namespace Platform.Tests.Api.Fuzz;

/// <param name="Target">Path and query as they go over the wire.</param>
internal sealed record FuzzedRequest(string Method, string Target, byte[]? Body, string? ContentType, bool IsChunked, (string Name, string Value)? Header)
{
    public bool IsDryRun => Target.EndsWith("dryRun=true", StringComparison.Ordinal);

    public override string ToString()
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{Method} {Target}{(IsChunked ? " in chunks" : "")}, Content-Type: {ContentType ?? "none"}");
        if (Header is { } header) text.Append(CultureInfo.InvariantCulture, $", {header.Name}: {header.Value}");
        if (Body is { } body) text.AppendLine().Append(CultureInfo.InvariantCulture, $"{body.Length} bytes: ").Append(Encoding.Latin1.GetString(body, 0, Math.Min(body.Length, 3000)));
        return text.ToString();
    }
}

/// <summary>Requests to every door that changes something: good bodies, mutated; paths, queries and headers of every oddness.</summary>
internal sealed class FuzzedRequests
{
    private static readonly string[] Ids = ["/f/a", "/f/b", "/f/c", "/f/g/d", "/top", "/e", "/constraint-demo", "/talk/demo"];

    private static readonly string[] OddPaths =
    [
        "", "/", "//", "///f//a", "..", "/..", "/../..", "/f/..", "/f/../f/a", ".", "/./f/./a", "/%2e%2e/%2e%2e", "/f%2fa", "/%00", "/%ff", "/%c3%28", "/%ed%a0%80", "/%e6%bc%a2", "/UPPER", "/a_b", "/-a", "/a-", "/a.",
        "/a..b", "/f/a/", "/*", "/f/*", "/f/a/*", "/tasks", "/f/a/tasks", "/f/a/tasks/x", "/f/a/restart", "/restart", "/f/a/versions", "/f/a/versions/2026-01-01T10:00:00.000Z", "/f/a/versions/x", "/%", "/%zz",
        "/f/a?", "/f/a?x", "/f/a;x=1", "/a%20b", "/a+b", "/f/a::instances", "/f/a::instances/x", "/f/a::status", "/f/a::versions",
    ];

    private static readonly string[] Queries =
    [
        "force=true", "force=false", "force", "force=", "force=1", "force=TRUE", "force=true&force=false", "scale=true", "scale=yes", "wipe=true", "scale=true&wipe=true", "partialUpdate=false", "partialUpdate=null",
        "host=node1", "host=*", "host=%00", "dryRun=true", "dryRun=x", "x=%ff", "%=%", "&&&", "=", "force=true;scale=true", "embed=apps.tasks", "callbackUrl=http://127.0.0.1:1/x", "callbackUrl=", "callbackUrl=%2f",
        "callbackUrl=file:///etc/passwd", "callbackUrl=http://127.0.0.1:99999/",
    ];

    private static readonly string?[] ContentTypes =
    [
        null, "", "text/plain", "text/html; charset=utf-16", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x", "application/json;;;",
        "application/vnd.dcos.package+json", "/", "application/json, application/json",
    ];

    private static readonly (string, string)?[] Headers =
    [
        ("Content-Encoding", "gzip"), ("Content-Encoding", "br"), ("Accept", "text/html"), ("Accept", "nothing;q=x"), ("X-HTTP-Method-Override", "DELETE"), ("Expect", "100-continue"), ("Accept-Encoding", "gzip"),
        ("Range", "bytes=0-1"), ("If-Match", "*"), ("If-Match", "\"2026-01-01T10:00:00.000Z\""), ("If-Match", "x, \"\", W/\"y"), ("If-None-Match", "*"), ("Origin", "null"), ("Authorization", "Basic !!!"), ("Last-Event-ID", "x"), ("Cookie", "a=b"),
    ];

    private readonly Chance _chance;
    private readonly ClusterState _state;
    private readonly Mutations _mutations;

    /// <summary>The request a seed and an index stand for, in a cluster that is as it is.</summary>
    public static FuzzedRequest Draw(ulong seed, int index, ClusterState state) =>
        new FuzzedRequests(new Chance(seed ^ (ulong)index * 0xD1342543DE82EF95), state).Draw();

    private FuzzedRequests(Chance chance, ClusterState state)
    {
        (_chance, _state) = (chance, state);
        _mutations = new Mutations(chance, GoodBodies.All);
    }

    private FuzzedRequest Draw() => _chance.Below(40) switch
    {
        < 9 => Send("POST", "/v2/apps", GoodBodies.Apps),
        < 17 => Send("PUT", $"/v2/apps{Id()}", _chance.Hits(0.3) ? GoodBodies.Apps : GoodBodies.Updates),
        < 20 => Send("PATCH", $"/v2/apps{Id()}", GoodBodies.Updates),
        < 23 => Send(_chance.Hits(0.7) ? "PUT" : "PATCH", "/v2/apps", GoodBodies.Lists),
        23 => Send("DELETE", $"/v2/apps{Id()}", null),
        24 => Send("POST", $"/v2/apps{Id()}/restart", null),
        25 => Send("DELETE", $"/v2/apps{Id()}/tasks{(_chance.Hits(0.5) ? "/" + Escaped(Task()) : "")}", null),
        26 or 27 => Send("POST", "/v2/tasks/delete", GoodBodies.Kills(Task())),
        28 => Send("DELETE", $"/v2/deployments/{Escaped(Deployment())}", null),
        29 => Send("DELETE", $"/v2/queue{Id()}/delay", null),
        < 34 => Send(_chance.Hits(0.5) ? "PUT" : "POST", $"/v2/groups{(_chance.Hits(0.3) ? "" : Id())}", GoodBodies.Groups),
        34 => Send(_chance.Hits(0.5) ? "PATCH" : "DELETE", $"/v2/groups{Id()}", GoodBodies.Groups),
        35 => Send("POST", "/v2/pods", GoodBodies.Pods),
        36 => Send(_chance.Hits(0.8) ? "PUT" : "DELETE", $"/v2/pods{Id()}", GoodBodies.Pods),
        37 => _chance.Hits(0.5) ? Form() : Send(_chance.Of(["PUT", "PUT", "DELETE"]), $"/v2/secrets{Id()}", GoodBodies.Secrets),
        38 => Send(_chance.Of(["POST", "DELETE"]), _chance.Of(["/v2/eventSubscriptions?callbackUrl=http://127.0.0.1:1/e", "/v2/eventSubscriptions", "/logging"]), GoodBodies.Small),
        _ => Send(_chance.Of(["GET", "PURGE", "OPTIONS", "POST", "PUT", "TRACE", "PATCH"]), $"/v2/{_chance.Of(["apps", "tasks", "queue", "deployments", "info", "nothing", "groups", "nodes"])}{Id()}", GoodBodies.Small),
    };

    private FuzzedRequest Send(string method, string path, IReadOnlyList<JsonTree>? good)
    {
        var hasBody = good is not null ? _chance.Hits(0.99) : _chance.Hits(0.05);
        var body = hasBody ? _mutations.Apply(_chance.Of(good ?? GoodBodies.All)) : null;
        if (_chance.Hits(0.35)) path += (path.Contains('?', StringComparison.Ordinal) ? "&" : "?") + _chance.Of(Queries);
        return new FuzzedRequest(
            method, path, body, _chance.Hits(0.9) ? "application/json" : _chance.Of(ContentTypes), IsChunked: _chance.Hits(0.1), _chance.Hits(0.05) ? _chance.Of(Headers) : null);
    }

    /// <summary>An artifact: no JSON, but parts between boundaries.</summary>
    private FuzzedRequest Form()
    {
        var name = _chance.Hits(0.5) ? "a.txt" : _chance.Of(OddPaths);
        var form = $"--x\r\nContent-Disposition: form-data; name=\"{(_chance.Hits(0.9) ? "file" : "other")}\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n";
        var bytes = Encoding.UTF8.GetBytes(form);
        var method = _chance.Of(["POST", "PUT", "DELETE"]);
        return new FuzzedRequest(
            method, $"/v2/artifacts{(_chance.Hits(0.3) ? "" : Id())}", _chance.Hits(0.5) ? bytes : _mutations.Damage(bytes), _chance.Hits(0.8) ? "multipart/form-data; boundary=x" : _chance.Of(ContentTypes),
            IsChunked: _chance.Hits(0.2), null);
    }

    private string Id() => _chance.Hits(0.12) ? _chance.Of(OddPaths)
        : _chance.Hits(0.05) ? "/" + new string('a', 1 + _chance.Below(3000))
        : (_chance.Hits(0.2) ? "/" : "") + _chance.Of(Ids);

    private string Task() => _state.Owners.Count > 0 && _chance.Hits(0.8)
        ? _chance.Of(_state.Apps.Values.SelectMany(a => a.Instances.Keys).ToList()) is var id && _chance.Hits(0.5) ? id.TaskId : id.Text
        : _chance.Of(["x", "f_a.instance-00000000-0000-0000-0000-000000000000", "f_a.instance-", "a/b", "\u0000", "..", " "]);

    private string Deployment() => _state.Deployments.Count > 0 && _chance.Hits(0.8) ? _chance.Of(_state.Deployments.Keys.ToList()) : _chance.Of(["x", "00000000-0000-8000-8000-000000000000", "..", "%"]);

    private static string Escaped(string text) => Uri.EscapeDataString(text);
}
