using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Platform.Scheduler.Api;

/// <summary>
/// The REST door: the Marathon contract under /v2 and /ping. Paths are split here and not by ASP.NET's routing, for app ids hold slashes,
/// clients double them (<c>/v2/apps//a/b</c>), and what an id is depends on the words behind it and on the method.
/// </summary>
public sealed partial class RestApi
{
    private const string ReadOnly = "GET, HEAD";

    private readonly SchedulerLoop _loop;
    private readonly ApiOptions _options;
    private readonly EventHub _hub;
    private readonly ILogger<RestApi> _logger;
    private readonly AppsEndpoints _apps;
    private readonly GroupsEndpoints _groups;
    private readonly TasksEndpoints _tasks;
    private readonly DeploymentsEndpoints _deployments;
    private readonly QueueEndpoints _queue;
    private readonly PodsEndpoints _pods;
    private readonly EventStream _events;

    public RestApi(SchedulerLoop loop, ApiOptions options, EventHub hub, TimeProvider time, ILogger<RestApi> logger)
    {
        (_loop, _options, _hub, _logger) = (loop, options, hub, logger);
        var door = new CommandDoor(loop, hub, options, time);
        _apps = new AppsEndpoints(door, time);
        _groups = new GroupsEndpoints(door, time);
        _tasks = new TasksEndpoints(door);
        _deployments = new DeploymentsEndpoints(door);
        _queue = new QueueEndpoints(door, time);
        _pods = new PodsEndpoints(door, time);
        _events = new EventStream(hub, time);
    }

    /// <summary>Takes /v2 and /ping, and answers 404 for whatever nobody else has mapped.</summary>
    public void Map(WebApplication app)
    {
        app.Use(next => http => IsOurs(http.Request.Path) ? AnswerAsync(http) : next(http));
        app.MapFallback("{**path}", AnswerAsync);
        app.Lifetime.ApplicationStopping.Register(_hub.Close);
    }

    private static bool IsOurs(PathString path) =>
        path.StartsWithSegments("/v2", StringComparison.Ordinal) || path.StartsWithSegments("/ping", StringComparison.Ordinal);

    private async Task AnswerAsync(HttpContext http)
    {
        Answers.WriteCommonHeaders(http, Call.LeaderOf(http, _options));
        try
        {
            var (flags, refusal) = Flags.Read(http.Request.Query);
            var segments = (http.Request.Path.Value ?? "").Split('/', StringSplitOptions.RemoveEmptyEntries);
            var (precondition, malformed) = Preconditions.Read(http.Request);
            refusal ??= malformed;
            var call = new Call(http, segments, flags, _loop.Current, _options) { Precondition = precondition };
            if (refusal is null && IsEventStream(call))
            {
                await _events.FollowAsync(call).ConfigureAwait(false);
                return;
            }
            var answer = refusal ?? await RouteAsync(call).ConfigureAwait(false);
            if (answer.Status == StatusCodes.Status405MethodNotAllowed && HttpMethods.IsOptions(http.Request.Method))
                answer = new Answer(200) { Allow = answer.Allow };
            await Answers.WriteAsync(http, answer).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // nobody is there to be answered
        }
        catch (BadHttpRequestException e)
        {
            await ApologiseAsync(http, Answer.Message(e.StatusCode, e.Message)).ConfigureAwait(false);
        }
        catch (SchedulerUnavailableException e)
        {
            await ApologiseAsync(http, Answer.Message(503, e.Message) with { RetryAfterSeconds = 1 }).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Failed(e, http.Request.Method, http.Request.Path);
            await ApologiseAsync(http, Answer.Message(500, "An error within the scheduler; its log has the details")).ConfigureAwait(false);
        }
    }

    /// <summary>Half an answer cannot be taken back: the connection is cut, so that nobody takes it for a whole one.</summary>
    private static async Task ApologiseAsync(HttpContext http, Answer answer)
    {
        if (http.Response.HasStarted) http.Abort();
        else await Answers.WriteAsync(http, answer).ConfigureAwait(false);
    }

    private static bool IsEventStream(Call call) => call.Segments is ["v2", "events"] && call.Method == HttpMethods.Get && EventStream.IsWanted(call.Http);

    private Task<Answer> RouteAsync(Call call) => call.Segments switch
    {
        ["v2", "apps"] => AppsAsync(call),
        ["v2", "apps", .. var path] => AppAsync(call, path),
        ["v2", "pods", .. var path] => _pods.RouteAsync(call, path),
        ["v2", "pods::status"] => _pods.AllStatuses(call),
        ["v2", "groups", .. var path] => GroupAsync(call, path),
        ["v2", "tasks"] => Read(call, () => TasksEndpoints.List(call)),
        ["v2", "tasks", "delete"] => call.Method == HttpMethods.Post ? _tasks.KillSeveralAsync(call) : NotAllowed("POST"),
        ["v2", "deployments"] => Read(call, () => DeploymentsEndpoints.List(call)),
        ["v2", "deployments", var id] => call.Method == HttpMethods.Delete ? _deployments.CancelAsync(call, id) : NotAllowed("DELETE"),
        ["v2", "queue"] => Read(call, () => _queue.List(call)),
        ["v2", "queue", .. { Length: > 0 } path, "delay"] => call.Method == HttpMethods.Delete ? _queue.ResetDelayAsync(call, path) : NotAllowed("DELETE"),
        ["v2", "info"] => Read(call, () => ServerEndpoints.Info(call)),
        ["v2", "leader"] => Read(call, () => ServerEndpoints.Leader(call)),
        ["v2", "events"] => NotAllowed(ReadOnly, call.Method == HttpMethods.Get ? "The event stream is only for those who accept text/event-stream" : null),
        ["ping"] => Read(call, () => ServerEndpoints.Ping(call)),
        _ => Task.FromResult(Answer.NotFound($"URI not found: {call.Http.Request.Path}")),
    };

    private Task<Answer> AppsAsync(Call call) => call.Method switch
    {
        "GET" => Task.FromResult(_apps.List(call)),
        "POST" => _apps.CreateAsync(call),
        "PUT" => _apps.WriteAllAsync(call, patch: false),
        "PATCH" => _apps.WriteAllAsync(call, patch: true),
        _ => NotAllowed("GET, HEAD, POST, PUT, PATCH"),
    };

    /// <summary>The id is everything up to a trailing word of the contract, where the method goes with that word (1.1).</summary>
    private Task<Answer> AppAsync(Call call, string[] path) => (call.Method, path) switch
    {
        ("GET", [.. { Length: > 0 } id, "tasks"]) => Task.FromResult(TasksEndpoints.ListOf(call, id)),
        ("DELETE", [.. { Length: > 0 } id, "tasks"]) => _tasks.KillAllAsync(call, id),
        ("DELETE", [.. { Length: > 0 } id, "tasks", var task]) => _tasks.KillOneAsync(call, id, task),
        ("GET", [.. { Length: > 0 } id, "versions"]) => Task.FromResult(AppsEndpoints.Versions(call, id)),
        ("GET", [.. { Length: > 0 } id, "versions", var version]) => Task.FromResult(AppsEndpoints.Version(call, id, version)),
        ("POST", [.. { Length: > 0 } id, "restart"]) => _apps.RestartAsync(call, id),
        ("GET", [.. var group, "*"]) => Task.FromResult(_apps.ListGroup(call, group)),
        ("GET", _) => Task.FromResult(_apps.Get(call, path)),
        ("PUT", _) => _apps.WriteAsync(call, path, patch: false),
        ("PATCH", _) => _apps.WriteAsync(call, path, patch: true),
        ("DELETE", _) => _apps.DeleteAsync(call, path),
        _ => NotAllowed(AllowedOf(path)),
    };

    private Task<Answer> GroupAsync(Call call, string[] path) => (call.Method, path) switch
    {
        ("GET", [.. var id, "apps"]) => Task.FromResult(_groups.Apps(call, id)),
        ("GET", [.. var id, "versions"]) => Task.FromResult(GroupsEndpoints.Versions(call, id)),
        ("GET", [.. var id, "versions", var version]) => Task.FromResult(_groups.Version(call, id, version)),
        ("GET", _) => Task.FromResult(_groups.Get(call, path)),
        ("POST", _) => _groups.WriteAsync(call, path, mayExist: false),
        ("PUT", _) => _groups.WriteAsync(call, path, mayExist: true),
        ("PATCH", _) => _groups.PatchAsync(call, path),
        ("DELETE", _) => _groups.DeleteAsync(call, path),
        _ => NotAllowed("GET, HEAD, POST, PUT, PATCH, DELETE"),
    };

    private static string AllowedOf(string[] path) => path switch
    {
        [_, .., "restart"] => "POST",
        [_, .., "tasks"] => "GET, HEAD, DELETE",
        [_, .., "tasks", _] => "DELETE",
        [_, .., "versions"] or [_, .., "versions", _] or [.., "*"] => ReadOnly,
        _ => "GET, HEAD, PUT, PATCH, DELETE",
    };

    private static Task<Answer> Read(Call call, Func<Answer> read) => call.Method == HttpMethods.Get ? Task.FromResult(read()) : NotAllowed(ReadOnly);

    private static Task<Answer> NotAllowed(string allow, string? message = null) => Task.FromResult(Answer.NotAllowed(allow, message));

    [LoggerMessage(3201, LogLevel.Error, "{Method} {Path} failed")]
    private partial void Failed(Exception e, string method, PathString path);
}
