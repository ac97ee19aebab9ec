using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Platform.Scheduler.Api;

/// <summary>
/// The REST door: the Marathon contract under /v2 and /ping. Paths are split here and not by ASP.NET's routing, for app ids hold slashes,
/// clients double them (<c>/v2/apps//a/b</c>), and what an id is depends on the words behind it and on the method: see <see cref="ApiRoutes"/>.
/// </summary>
public sealed partial class RestApi
{
    private readonly SchedulerLoop _loop;
    private readonly ApiOptions _options;
    private readonly EventHub _hub;
    private readonly ILogger<RestApi> _logger;
    private readonly AppsEndpoints _apps;
    private readonly TasksEndpoints _tasks;
    private readonly DeploymentsEndpoints _deployments;
    private readonly QueueEndpoints _queue;
    private readonly EventStream _events;
    private readonly ApiRoutes _routes;

    public RestApi(SchedulerLoop loop, ApiOptions options, EventHub hub, TimeProvider time, ILogger<RestApi> logger)
    {
        (_loop, _options, _hub, _logger) = (loop, options, hub, logger);
        var door = new CommandDoor(loop, hub, options, time);
        _apps = new AppsEndpoints(door, time);
        _tasks = new TasksEndpoints(door);
        _deployments = new DeploymentsEndpoints(door);
        _queue = new QueueEndpoints(door, time);
        _events = new EventStream(hub, time);
        _routes = new ApiRoutes(Routes());
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
            var call = new Call(http, segments, flags, _loop.Current, _options);
            var answer = refusal ?? await RouteAsync(call).ConfigureAwait(false);
            if (answer.Status == StatusCodes.Status405MethodNotAllowed && HttpMethods.IsOptions(http.Request.Method))
                answer = new Answer(200) { Allow = answer.Allow };
            if (answer.Follow is { } follow) await follow().ConfigureAwait(false);
            else await Answers.WriteAsync(http, answer).ConfigureAwait(false);
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

    private Task<Answer> RouteAsync(Call call)
    {
        var (route, pieces, allow) = _routes.Find(call.Method, call.Segments);
        if (route is not null) return route.AnswerAsync(call, pieces);
        return Task.FromResult(allow is null ? Answer.NotFound($"URI not found: {call.Http.Request.Path}") : Answer.NotAllowed(allow));
    }

    [LoggerMessage(3201, LogLevel.Error, "{Method} {Path} failed")]
    private partial void Failed(Exception e, string method, PathString path);
}
