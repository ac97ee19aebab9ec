using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Platform.Scheduler.Metrics;
using Platform.Scheduler.Secrets;

namespace Platform.Scheduler.Api;

/// <summary>
/// The REST door: the Marathon contract under /v2 and /ping. Paths are split here and not by ASP.NET's routing, for app ids hold slashes,
/// clients double them (<c>/v2/apps//a/b</c>), and what an id is depends on the words behind it and on the method: see <see cref="ApiRoutes"/>.
/// </summary>
public sealed partial class RestApi : IDisposable
{
    private readonly SchedulerLoop _loop;
    private readonly ApiOptions _options;
    private readonly EventHub _hub;
    private readonly TimeProvider _time;
    private readonly ILogger<RestApi> _logger;
    private readonly SchedulerMeters _meters;
    private readonly AppsEndpoints _apps;
    private readonly GroupsEndpoints _groups;
    private readonly TasksEndpoints _tasks;
    private readonly DeploymentsEndpoints _deployments;
    private readonly QueueEndpoints _queue;
    private readonly ExplainEndpoints _explanations;
    private readonly PodsEndpoints _pods;
    private readonly EventStream _events;
    private readonly EndpointWatch _endpoints;
    private readonly ArtifactsEndpoints _artifacts;
    private readonly SecretsEndpoints _secrets;
    private readonly NodesEndpoints _nodes;
    private readonly EventSubscriptionEndpoints _subscriptions;
    private readonly ServerEndpoints _server;
    private readonly ApiRoutes _routes;

    public RestApi(SchedulerLoop loop, ApiOptions options, ApiStores stores, EventHub hub, TimeProvider time, ILogger<RestApi> logger)
    {
        (_loop, _options, _hub, _time, _logger) = (loop, options, hub, time, logger);
        _meters = new SchedulerMeters(loop, hub, stores.Endpoints, time);
        var door = new CommandDoor(loop, hub, options, _meters, time);
        _apps = new AppsEndpoints(door, time);
        _groups = new GroupsEndpoints(door, time);
        _tasks = new TasksEndpoints(door);
        _deployments = new DeploymentsEndpoints(door, time);
        _explanations = new ExplainEndpoints(time);
        _queue = new QueueEndpoints(door, time);
        _pods = new PodsEndpoints(door, time);
        _events = new EventStream(hub, _meters, time);
        _endpoints = new EndpointWatch(stores.Endpoints, _meters, time);
        _subscriptions = new EventSubscriptionEndpoints(door, time);
        _server = new ServerEndpoints(_meters);
        _artifacts = new ArtifactsEndpoints(stores.Artifacts);
        _secrets = new SecretsEndpoints(door, stores.Secrets);
        _nodes = new NodesEndpoints(door, stores.Authority, time);
        _apps.Copies = new StoreUrlsDoor(stores.Copies, options);
        _routes = new ApiRoutes(Routes());
    }

    /// <summary>Takes /v2 and /ping, and answers 404 for whatever nobody else has mapped.</summary>
    public void Map(WebApplication app)
    {
        app.Use(next => http => IsOurs(http.Request.Path) ? AnswerAsync(http) : next(http));
        app.MapFallback("{**path}", AnswerAsync);
        app.Lifetime.ApplicationStopping.Register(_hub.Close);
        app.Lifetime.ApplicationStopping.Register(_endpoints.Close);
    }

    internal EndpointWatch Endpoints => _endpoints;

    public void Dispose()
    {
        _endpoints.Dispose();
        _meters.Dispose();
    }

    private static bool IsOurs(PathString path) =>
        path.StartsWithSegments("/v2", StringComparison.Ordinal) || path.StartsWithSegments("/ping", StringComparison.Ordinal);

    private async Task AnswerAsync(HttpContext http)
    {
        var startedAt = _time.GetTimestamp();
        var served = new Served(_meters.Begin());
        try
        {
            Answers.WriteCommonHeaders(http, Call.LeaderOf(http, _options));
            CrossOrigin.WriteHeaders(http, _options);
            await ServeAsync(http, served).ConfigureAwait(false);
        }
        finally
        {
            if (!served.Followed) _meters.Ended(http.Request.Method, http.Response.StatusCode, _time.GetElapsedTime(startedAt), served.BodyBytes);
        }
    }

    private async Task ServeAsync(HttpContext http, Served served)
    {
        try
        {
            var (flags, refusal) = Flags.Read(http.Request.Query);
            var segments = (http.Request.Path.Value ?? "").Split('/', StringSplitOptions.RemoveEmptyEntries);
            var (precondition, malformed) = Preconditions.Read(http.Request);
            var call = new Call(http, segments, flags, _loop.Current, _options) { Precondition = precondition };
            var answer = WhyNotIn(http, served.Active) ?? refusal ?? malformed ?? await RouteAsync(call).ConfigureAwait(false);
            served.BodyBytes = call.BodyBytes;
            if (answer.Status == StatusCodes.Status405MethodNotAllowed && HttpMethods.IsOptions(http.Request.Method))
                answer = new Answer(200) { Allow = answer.Allow };
            if (answer.Later is { } later)
            {
                served.Followed = true;
                _meters.Left();
                answer = await later().ConfigureAwait(false);
            }
            if (answer.Follow is not { } follow)
            {
                await SendAsync(http, answer).ConfigureAwait(false);
                return;
            }
            // A stream is no request that takes long: it is neither counted nor limited as one.
            served.Followed = true;
            _meters.Left();
            await follow().ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (http.RequestAborted.IsCancellationRequested)
        {
            // nobody is there to be answered
        }
        catch (BadHttpRequestException e)
        {
            await ApologiseAsync(http, Answer.Message(e.StatusCode, e.Message)).ConfigureAwait(false);
        }
        catch (SecretsKeyException e)
        {
            await ApologiseAsync(http, Answer.Message(503, e.Message)).ConfigureAwait(false);
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

    private async Task SendAsync(HttpContext http, Answer answer)
    {
        var (bytes, gzipped) = await Answers.WriteAsync(http, answer).ConfigureAwait(false);
        if (!HttpMethods.IsHead(http.Request.Method)) _meters.Answered(bytes, gzipped);
    }

    /// <summary>Before anything is looked at: how many there are already, then who it is.</summary>
    private Answer? WhyNotIn(HttpContext http, int active)
    {
        if (active > _options.ConcurrentRequestsMax)
            return Answer.Message(503, $"More than {_options.ConcurrentRequestsMax} requests are being answered already") with { RetryAfterSeconds = 1 };
        return _options.Credentials is { } credentials && !credentials.Admit(http.Request.Headers.Authorization.ToString())
            ? Answer.Message(401, "Invalid username or password.") with { Challenge = $"Basic realm=\"{_options.Realm}\"" }
            : null;
    }

    /// <summary>What is counted of a request.</summary>
    /// <param name="active">How many were being answered when it came, itself included.</param>
    private sealed class Served(int active)
    {
        public int Active => active;
        public long BodyBytes { get; set; }
        public bool Followed { get; set; }
    }

    /// <summary>Half an answer cannot be taken back: the connection is cut, so that nobody takes it for a whole one.</summary>
    private async Task ApologiseAsync(HttpContext http, Answer answer)
    {
        if (http.Response.HasStarted) http.Abort();
        else await SendAsync(http, answer).ConfigureAwait(false);
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
