using static Platform.Scheduler.Api.Route;

namespace Platform.Scheduler.Api;

/// <summary>Everything the REST door answers. Within one area the more special path comes first.</summary>
public sealed partial class RestApi
{
    private static readonly string[] PluginMethods = ["GET", "POST", "PUT", "DELETE"];

    internal IEnumerable<Route> Documented => _routes.All;

    private IEnumerable<Route> Routes() =>
    [
        .. AppRoutes(), .. AppsBelow(), .. PodRoutes(), .. GroupRoutes(), .. TaskRoutes(), .. DeploymentRoutes(), .. QueueRoutes(), .. StoreRoutes(),
        .. NodeRoutes(), .. EventRoutes(), .. EndpointRoutes(), .. ServerRoutes(),
    ];

    private IEnumerable<Route> AppRoutes() =>
    [
        Get("/v2/apps", "Apps, all or those that match", _apps.List) with { Query = ["id", "cmd", "label", "embed"], Statuses = [200, 422] },
        Post("/v2/apps", "Create an app", (call, _) => _apps.CreateAsync(call))
            with { Query = ["force", "dryRun"], Body = "App", Statuses = [201, 400, 403, 409, 412, 413, 422] },
        Put("/v2/apps", "Write several apps in one deployment; those that are not there are created", (call, _) => _apps.WriteAllAsync(call, patch: false))
            with { Query = ["force", "partialUpdate", "dryRun"], Body = "Apps", Statuses = [200, 400, 403, 404, 409, 412, 413, 422] },
        Patch("/v2/apps", "Change several apps in one deployment", (call, _) => _apps.WriteAllAsync(call, patch: true))
            with { Query = ["force", "dryRun"], Body = "Apps", Statuses = [200, 400, 403, 404, 409, 412, 413, 422] },
    ];

    /// <summary>The id is everything up to a trailing word of the contract, where the method goes with that word (1.1).</summary>
    private IEnumerable<Route> AppsBelow() =>
    [
        Get("/v2/apps/{id...}/tasks", "The tasks of an app, or of a group's apps (grp/*)", (call, at) => TasksEndpoints.ListOf(call, at.Id))
            with { Statuses = [200, 404] },
        Delete("/v2/apps/{id...}/tasks", "Kill an app's tasks", (call, at) => _tasks.KillAllAsync(call, at.Id))
            with { Query = ["host", "scale", "force", "wipe"], Statuses = [200, 400, 404, 409] },
        Delete("/v2/apps/{id...}/tasks/{task}", "Kill one task", (call, at) => _tasks.KillOneAsync(call, at.Id, at.Word))
            with { Query = ["scale", "force", "wipe"], Statuses = [200, 400, 404, 409] },
        Get("/v2/apps/{id...}/versions", "An app's versions, the newest first", (call, at) => AppsEndpoints.Versions(call, at.Id))
            with { Statuses = [200, 404] },
        Get("/v2/apps/{id...}/versions/{version}", "An app as it was", (call, at) => AppsEndpoints.Version(call, at.Id, at.Word))
            with { Statuses = [200, 404, 422] },
        Post("/v2/apps/{id...}/restart", "Replace every task of an app", (call, at) => _apps.RestartAsync(call, at.Id))
            with { Query = ["force", "dryRun"], Statuses = [200, 403, 404, 409, 412] },
        // Our own word, and so no id may be lost to it: an app of that name comes first.
        Get("/v2/apps/{id...}/explain", "Why instances wait: every node by every rule, and the nearest change that would place one",
            (call, at) => AppsEndpoints.Find(call, [.. at.Id, "explain"]) is null ? _explanations.Get(call, at.Id) : _apps.Get(call, [.. at.Id, "explain"]))
            with { Query = ["embed"], Statuses = [200, 404] },
        Get("/v2/apps/*", "All apps", (call, at) => _apps.ListGroup(call, at.Id)) with { Query = ["embed"] },
        Get("/v2/apps/{id...}/*", "The apps of a group and of those within it", (call, at) => _apps.ListGroup(call, at.Id))
            with { Query = ["embed"], Statuses = [200, 404] },
        Get("/v2/apps/{id...}", "One app", (call, at) => _apps.Get(call, at.Id)) with { Query = ["embed"], Statuses = [200, 404] },
        Put("/v2/apps/{id...}", "Write an app: create it, change the fields named, or go back to a version", (call, at) => _apps.WriteAsync(call, at.Id, patch: false))
            with { Query = ["force", "partialUpdate", "dryRun"], Body = "AppUpdate", Statuses = [200, 201, 400, 403, 404, 409, 412, 413, 422] },
        Patch("/v2/apps/{id...}", "Change the fields named", (call, at) => _apps.WriteAsync(call, at.Id, patch: true))
            with { Query = ["force", "dryRun"], Body = "AppUpdate", Statuses = [200, 400, 403, 404, 409, 412, 413, 422] },
        Delete("/v2/apps/{id...}", "Remove an app and stop its tasks", (call, at) => _apps.DeleteAsync(call, at.Id))
            with { Query = ["force", "dryRun"], Statuses = [200, 403, 404, 409, 412] },
    ];

    private IEnumerable<Route> PodRoutes() =>
    [
        Get("/v2/pods", "Pods", PodsEndpoints.List),
        Post("/v2/pods", "Create a pod", (call, _) => _pods.CreateAsync(call))
            with { Query = ["force", "dryRun"], Body = "Pod", Statuses = [200, 201, 400, 403, 409, 412, 413, 422] },
        Get("/v2/pods::status", "How all pods are", _pods.Statuses),
        Get("/v2/pods/{id...}::status", "How a pod is, and its instances", (call, at) => _pods.Status(call, at.Id)) with { Statuses = [200, 404] },
        Get("/v2/pods/{id...}::versions", "A pod's versions, the newest first", (call, at) => PodsEndpoints.Versions(call, at.Id)) with { Statuses = [200, 404] },
        Get("/v2/pods/{id...}::versions/{version}", "A pod as it was", (call, at) => PodsEndpoints.Version(call, at.Id, at.Word)) with { Statuses = [200, 404, 422] },
        Delete("/v2/pods/{id...}::instances", "Kill the instances named", (call, at) => _pods.KillSeveralAsync(call, at.Id))
            with { Query = ["wipe"], Body = "InstanceIds", Statuses = [200, 400, 404, 413, 422] },
        Delete("/v2/pods/{id...}::instances/{instance}", "Kill one instance", (call, at) => _pods.KillOneAsync(call, at.Id, at.Word))
            with { Query = ["wipe"], Statuses = [200, 400, 404, 422] },
        Get("/v2/pods/{id...}", "One pod", (call, at) => PodsEndpoints.Get(call, at.Id)) with { Statuses = [200, 404] },
        Put("/v2/pods/{id...}", "Write a pod whole; one that is not there is created", (call, at) => _pods.WriteAsync(call, at.Id))
            with { Query = ["force", "dryRun"], Body = "Pod", Statuses = [200, 400, 403, 409, 412, 413, 422] },
        Delete("/v2/pods/{id...}", "Remove a pod and stop its instances", (call, at) => _pods.DeleteAsync(call, at.Id))
            with { Query = ["force", "dryRun"], Statuses = [200, 202, 403, 404, 409, 412] },
    ];

    private IEnumerable<Route> GroupRoutes() => [.. GroupRoutesAt("/v2/groups"), .. GroupRoutesAt("/v2/groups/{id...}")];

    /// <summary>The root, or a group within it.</summary>
    private IEnumerable<Route> GroupRoutesAt(string path) =>
    [
        Get($"{path}/apps", "The apps of a group and of those within it", (call, at) => _groups.Apps(call, at.Id)) with { Query = ["embed"], Statuses = [200, 404] },
        Get($"{path}/versions", "A group's versions, the newest first", (call, at) => GroupsEndpoints.Versions(call, at.Id)) with { Statuses = [200, 404] },
        Get($"{path}/versions/{{version}}", "A group as it was", (call, at) => _groups.Version(call, at.Id, at.Word))
            with { Query = ["embed"], Statuses = [200, 404, 422] },
        Get(path, "A group with what is in it", (call, at) => _groups.Get(call, at.Id)) with { Query = ["embed"], Statuses = [200, 404] },
        Post(path, "Create a group", (call, at) => _groups.WriteAsync(call, at.Id, mayExist: false))
            with { Query = ["force", "dryRun"], Body = "GroupUpdate", Statuses = [200, 201, 400, 403, 409, 412, 413, 422] },
        Put(path, "Write a group: its structure, a version to go back to, or a factor to scale by", (call, at) => _groups.WriteAsync(call, at.Id, mayExist: true))
            with { Query = ["force", "dryRun"], Body = "GroupUpdate", Statuses = [200, 201, 400, 403, 404, 409, 412, 413, 422] },
        Patch(path, "Change whether a top-level group enforces its role", (call, at) => _groups.PatchAsync(call, at.Id))
            with { Body = "GroupPatch", Statuses = [200, 400, 404, 412, 413, 422] },
        Delete(path, "Remove a group and all that is in it", (call, at) => _groups.DeleteAsync(call, at.Id))
            with { Query = ["force", "dryRun"], Statuses = [200, 403, 404, 409, 412] },
    ];

    private IEnumerable<Route> TaskRoutes() =>
    [
        Get("/v2/tasks", "All tasks; as text/plain a line for each app and service port", TasksEndpoints.List) with { Query = ["status"] },
        Post("/v2/tasks/delete", "Kill the tasks named", (call, _) => _tasks.KillSeveralAsync(call))
            with { Query = ["scale", "force", "wipe"], Body = "TaskIds", Statuses = [200, 400, 409, 413, 422] },
    ];

    private IEnumerable<Route> DeploymentRoutes() =>
    [
        Get("/v2/deployments", "The changes on their way, and what each waits for", _deployments.List),
        Get("/v2/deployments/records", "Deployments that have ended, the newest first", DeploymentRecordsEndpoints.List) with { Query = ["app"] },
        Get("/v2/deployments/records/{deployment}", "One that has ended", (call, at) => DeploymentRecordsEndpoints.Get(call, at.Word))
            with { Statuses = [200, 404] },
        Delete("/v2/deployments/{deployment}", "Undo a deployment; with force only end it", (call, at) => _deployments.CancelAsync(call, at.Word))
            with { Query = ["force"], Statuses = [200, 202, 403, 404, 409] },
    ];

    private IEnumerable<Route> QueueRoutes() =>
    [
        Get("/v2/queue", "What waits to be launched, and why", _queue.List) with { Query = ["embed"] },
        Delete("/v2/queue/{id...}/delay", "Launch without waiting for the backoff to end", (call, at) => _queue.ResetDelayAsync(call, at.Id))
            with { Statuses = [204, 404] },
    ];

    private IEnumerable<Route> StoreRoutes() =>
    [
        Post("/v2/artifacts", "Store an artifact under its file's name", (call, _) => _artifacts.PostAsync(call))
            with { Body = "ArtifactForm", Statuses = [200, 201, 400, 422, 507] },
        Get("/v2/artifacts/{path...}", "An artifact", (call, at) => _artifacts.Get(call, at.Id)) with { Statuses = [200, 206, 304, 404, 416, 422] },
        Post("/v2/artifacts/{path...}", "Store an artifact", (call, at) => _artifacts.PutAsync(call, at.Id))
            with { Body = "ArtifactForm", Statuses = [200, 201, 400, 422, 507] },
        Put("/v2/artifacts/{path...}", "Store an artifact", (call, at) => _artifacts.PutAsync(call, at.Id))
            with { Body = "ArtifactForm", Statuses = [200, 201, 400, 422, 507] },
        Delete("/v2/artifacts/{path...}", "Remove an artifact; one that is not there is removed already", (_, at) => Task.FromResult(_artifacts.Delete(at.Id)))
            with { Statuses = [200, 422] },
        Get("/v2/secrets", "The secrets' names; never a value", SecretsEndpoints.List),
        Get("/v2/secrets/{path...}", "When a secret was changed; never its value", (call, at) => SecretsEndpoints.Get(call, at.Id)) with { Statuses = [200, 404] },
        Put("/v2/secrets/{path...}", "Store a secret: its value as it is, or as JSON", (call, at) => _secrets.PutAsync(call, at.Id))
            with { Body = "SecretValue", Statuses = [200, 201, 400, 413, 422] },
        Delete("/v2/secrets/{path...}", "Remove a secret", (call, at) => _secrets.DeleteAsync(call, at.Id)) with { Statuses = [200, 404] },
    ];

    private IEnumerable<Route> NodeRoutes() =>
    [
        Get("/v2/nodes", "The machines: how they are, and what they have left", NodesEndpoints.List),
        Get("/v2/nodes/tokens", "Join tokens, without their secrets", _nodes.Tokens),
        Post("/v2/nodes/tokens", "Make a token with which one machine may join", (call, _) => _nodes.MakeTokenAsync(call))
            with { Query = ["ttl"], Statuses = [201, 400, 403, 409, 422] },
        Delete("/v2/nodes/tokens/{token}", "Revoke a join token", (call, at) => _nodes.RevokeTokenAsync(call, at.Word)) with { Statuses = [200, 404] },
        Get("/v2/nodes/{node}", "One machine; while it is drained, what is left on it and why", NodesEndpoints.Get) with { Statuses = [200, 404] },
        Post("/v2/nodes/{node}/drain", "Move a node's instances elsewhere, and send it no more", (call, at) => _nodes.DrainAsync(call, at.Word))
            with { Query = ["deadline"], Statuses = [202, 400, 404] },
        Post("/v2/nodes/{node}/resume", "Let a node take instances again", (call, at) => _nodes.ResumeAsync(call, at.Word)) with { Statuses = [200, 404] },
        Delete("/v2/nodes/{node}", "Forget a node that is lost or drained", (call, at) => _nodes.RemoveAsync(call, at.Word))
            with { Query = ["force"], Statuses = [200, 404, 409] },
    ];

    private IEnumerable<Route> EventRoutes() =>
    [
        Get("/v2/events", "What happens, as server-sent events; with Last-Event-ID, what was missed comes first", _events.Answer)
            with { Query = ["event_type", "plan-format"], Statuses = [200, 405] },
        Get("/v2/eventSubscriptions", "Where events are posted to", EventSubscriptionEndpoints.List),
        Post("/v2/eventSubscriptions", "Have every event posted to an address", (call, _) => _subscriptions.SubscribeAsync(call))
            with { Query = ["callbackUrl"], Statuses = [200, 403, 422] },
        Delete("/v2/eventSubscriptions", "Have no more events posted there", (call, _) => _subscriptions.UnsubscribeAsync(call))
            with { Query = ["callbackUrl"], Statuses = [200, 422] },
    ];

    private IEnumerable<Route> EndpointRoutes() =>
    [
        Get("/v2/endpoints", "Every ready instance, by service; with an index, as soon as something changes after it", _endpoints.Get)
            with { Query = ["app", "index", "epoch", "wait"], Statuses = [200, 400] },
        Get("/v2/endpoints/events", "The endpoints and then each change of them, as server-sent events; with Last-Event-ID, what was missed", _endpoints.Events)
            with { Query = ["app"], Statuses = [200, 400, 406] },
        Get("/v2/endpoints/revisions", "Which revision each view of each node serves, and how fast changes get there", _endpoints.Revisions),
    ];

    private IEnumerable<Route> ServerRoutes() =>
    [
        Get("/v2/info", "What the scheduler says of itself", ServerEndpoints.Info),
        Get("/v2/leader", "Who leads", ServerEndpoints.Leader),
        Delete("/v2/leader", "Let somebody else lead, or begin anew from the log; tasks go on", (call, _) => Task.FromResult(ServerEndpoints.Abdicate(call)))
            with { Query = ["backup", "restore"], Statuses = [200, 404, 422] },
        Get("/v2/plugins", "Plugins: there are none", ServerEndpoints.Plugins),
        .. PluginMethods.Select(method =>
            new Route(method, "/v2/plugins/{id...}", "What a plugin answers: there are none", (_, at) => Task.FromResult(ServerEndpoints.NoPlugin(at)))
            {
                Statuses = [404],
            }),
        Get("/v2/schemas/app", "The JSON Schema of an app", _ => Answer.Document("app.schema.json")),
        Get("/v2/openapi.json", "This document", _ => Answer.Of(200, writer => OpenApiDocument.Write(writer, _routes.All, _options.Version))),
        Get("/metrics", "Counters, gauges, meters and timers", _server.Metrics),
        Get("/metrics/prometheus", "The same, as Prometheus reads it", _server.Prometheus),
        Get("/logging", "Each logger's level", ServerEndpoints.Logging),
        Post("/logging", "Change a logger's level, for good or for a while", (call, _) => ServerEndpoints.SetLoggingAsync(call))
            with { Body = "LoggerChange", Statuses = [200, 400, 413, 422] },
        Get("/config", "What was set at the start", ServerEndpoints.Configuration),
        Get("/ping", "pong", ServerEndpoints.Ping) with { Statuses = [200, 204] },
        Get("/", "To the start page", _ => Pages.ToStart) with { Statuses = [302] },
        Get("/ui", "The start page", call => call.Http.Request.Path.Value!.EndsWith('/') ? Pages.Start : Pages.ToStart) with { Statuses = [200, 302] },
        Get("/help", "To this document", _ => Pages.ToReference) with { Statuses = [302] },
    ];
}
