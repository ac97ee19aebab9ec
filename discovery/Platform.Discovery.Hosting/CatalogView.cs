using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>The catalog, health and agent parts of the Consul door: reads of this node's own copy of the endpoint table.</summary>
public sealed class CatalogView
{
    public const string ViewName = "catalog";

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly AgentIdentity _agent;
    private readonly ParkedQueries _parked;
    private readonly KvWatches _watches = new();
    private volatile CatalogTree _tree = CatalogTree.Empty;
    private ConsulDoor? _door;

    public CatalogView(EndpointFeed feed, NodeViews views, AgentIdentity agent, KvOptions options, ILoggerFactory loggers, TimeProvider? time = null)
    {
        _feed = feed;
        _views = views;
        _agent = agent;
        _parked = new ParkedQueries(options.ParkedMax, loggers.CreateLogger<CatalogView>(), time ?? TimeProvider.System);
        views.Expect(ViewName);
    }

    public CatalogTree Tree => _tree;
    public ParkedQueries Parked => _parked;

    /// <summary>Follows the table until told to stop.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var cursor = EndpointCursor.Start;
        try
        {
            while (true)
            {
                var snapshot = await _feed.ChangedAsync(cursor, stopping).ConfigureAwait(false);
                cursor = snapshot.Cursor;
                var before = _tree;
                var next = before.Apply(snapshot);
                _tree = next;
                if (before.Snapshot.Cursor.Epoch == cursor.Epoch) _watches.Wake(next.Changed);
                else _watches.WakeAll();
                _views.Served(ViewName, cursor);
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            _watches.WakeAll(forGood: true); // parked clients get what there is instead of a broken connection
        }
    }

    /// <summary>The rows of the door that this view answers.</summary>
    public ConsulDoor AddTo(ConsulDoor door)
    {
        _door = door;
        Row("/v1/catalog/nodes", _ => new CatalogQuestion.NodeList());
        Row("/v1/catalog/services", _ => new CatalogQuestion.ServiceNames());
        Row("/v1/catalog/service/", x => new CatalogQuestion.InstancesOf(x), "Missing service name");
        Row("/v1/catalog/node/", x => new CatalogQuestion.ServicesOn(x, AsList: false), "Missing node name");
        Row("/v1/catalog/node-services/", x => new CatalogQuestion.ServicesOn(x, AsList: true), "Missing node name");
        Row("/v1/catalog/connect/", x => new CatalogQuestion.MeshOf(x), "Missing service name");
        Row("/v1/health/service/", x => new CatalogQuestion.HealthOf(x), "Missing service name");
        Row("/v1/health/connect/", x => new CatalogQuestion.MeshOf(x), "Missing service name");
        Row("/v1/health/ingress/", x => new CatalogQuestion.MeshOf(x), "Missing service name");
        Row("/v1/health/checks/", x => new CatalogQuestion.ChecksOf(x), "Missing service name");
        Row("/v1/health/node/", x => new CatalogQuestion.ChecksOn(x), "Missing node name");
        Row("/v1/health/state/", StateOf, "Missing check state");
        return door
            .Add(ConsulDoor.Reads, "/v1/catalog/datacenters", call => call.JsonAsync("""["dc1"]"""u8.ToArray())) // also before the first table
            .Add(ConsulDoor.Reads, "/v1/coordinate/nodes", call => PlainAsync(call, pretty => CatalogAnswers.Render(pretty, json => { json.WriteStartArray(); json.WriteEndArray(); })))
            .Add(ConsulDoor.Reads, "/v1/coordinate/datacenters", call => call.JsonAsync("[]"u8.ToArray()))
            .Add(ConsulDoor.Reads, "/v1/agent/self", call => PlainAsync(call, pretty => AgentAnswers.Self(_tree, _agent, pretty)))
            .Add(ConsulDoor.Reads, "/v1/agent/members", call => PlainAsync(call, pretty => AgentAnswers.Members(_tree, pretty)))
            .Add(ConsulDoor.Reads, "/v1/agent/services", call => OwnAsync(call, query => AgentAnswers.Services(_tree, _agent, query)))
            .Add(ConsulDoor.Reads, "/v1/agent/checks", call => OwnAsync(call, query => AgentAnswers.Checks(_tree, _agent, query)))
            .Add(ConsulDoor.Reads, "/v1/agent/service/", OwnServiceAsync)
            .Add(ConsulDoor.Reads, "/v1/agent/health/service/id/", call => HealthAsync(call, pretty => AgentAnswers.HealthById(_tree, _agent, call.Tail, pretty)))
            .Add(ConsulDoor.Reads, "/v1/agent/health/service/name/", call => HealthAsync(call, pretty => AgentAnswers.HealthByName(_tree, _agent, call.Tail, pretty)));

        void Row(string path, Func<string, CatalogQuestion> question, string missing = "") =>
            door.Add(ConsulDoor.Reads, path, call => AskAsync(call, question, path.EndsWith('/') ? missing : ""));
    }

    private static CatalogQuestion.ChecksIn StateOf(string text) => text switch
    {
        "any" => new(null, true),
        "passing" => new(CheckStatus.Passing, true),
        "warning" => new(CheckStatus.Warning, true),
        "critical" => new(CheckStatus.Critical, true),
        _ => new(null, false),
    };

    private async Task AskAsync(ConsulCall call, Func<string, CatalogQuestion> ask, string missing)
    {
        if (missing.Length > 0 && call.Tail.Length == 0)
        {
            await call.TextAsync(400, missing).ConfigureAwait(false);
            return;
        }
        if (!TryRead(call, out var query, out var blocking, out var refusal))
        {
            await call.TextAsync(refusal.Status, refusal.Why).ConfigureAwait(false);
            return;
        }
        var question = ask(call.Tail);
        if (!await WaitAsync(call, question.Topic, blocking, question.Index).ConfigureAwait(false)) return;
        var answer = CatalogAnswers.Of(_tree, question, query);
        var headers = call.Http.Response.Headers;
        _door!.ReadHeaders(headers);
        headers["X-Consul-Effective-Consistency"] = "stale"; // what this node last heard, and the header before says of whom
        if (call.Query.ContainsKey("cached"))
        {
            headers["X-Cache"] = "HIT";
            headers.Age = "0";
        }
        await WriteAsync(call, answer).ConfigureAwait(false);
    }

    private static Task WriteAsync(ConsulCall call, CatalogAnswer answer)
    {
        switch (answer)
        {
            case CatalogAnswer.Found found:
                call.Http.Response.Headers["X-Consul-Index"] = found.Index.ToString(CultureInfo.InvariantCulture);
                return call.JsonAsync(found.Json);
            case CatalogAnswer.Refused refused:
                return call.TextAsync(400, refused.Why);
            default:
                throw new System.Diagnostics.UnreachableException($"{answer}");
        }
    }

    /// <summary>False: it has been answered that too many wait, or that nothing is known yet.</summary>
    private async ValueTask<bool> WaitAsync(ConsulCall call, string topic, BlockingQuery blocking, Func<CatalogTree, long> index)
    {
        if (_tree.Snapshot.Revision == 0)
        {
            // An empty catalog would be a lie: this node has not heard yet what runs.
            await call.TextAsync(500, "No cluster leader").ConfigureAwait(false);
            return false;
        }
        if (blocking.After == 0) return true;
        var epoch = _tree.Snapshot.Cursor.Epoch;
        var parking = await _parked.WaitAsync(
            blocking.Wait,
            () => _tree is var tree && (tree.Snapshot.Cursor.Epoch != epoch || index(tree) > blocking.After),
            () => _watches.Watch(topic, prefix: false), call.Aborted).ConfigureAwait(false);
        if (parking == Parking.Over) return true;
        call.Http.Response.Headers.RetryAfter = "5";
        await call.TextAsync(503, "too many queries wait here already").ConfigureAwait(false);
        return false;
    }

    private bool TryRead(ConsulCall call, out CatalogQuery query, out BlockingQuery blocking, out (int Status, string Why) refusal)
    {
        var said = call.Query;
        query = CatalogQuery.Plain;
        refusal = (400, "");
        if (!BlockingQuery.TryParse(said, out blocking, out var why))
        {
            refusal = (400, why);
            return false;
        }
        if (said["dc"].ToString() is { Length: > 0 } dc && dc != "dc1")
        {
            refusal = (500, "No path to datacenter");
            return false;
        }
        var passing = said.ContainsKey("passing") && (said["passing"].ToString() is not { Length: > 0 } text || ConsulWords.BoolOf(text) is not false);
        if (said["passing"].ToString() is { Length: > 0 } word && ConsulWords.BoolOf(word) is null)
        {
            refusal = (400, "Invalid value for ?passing");
            return false;
        }
        var meta = said["node-meta"].Where(x => !string.IsNullOrEmpty(x)).Select(x => x!.Split(':', 2)).Select(x => KeyValuePair.Create(x[0], x.Length > 1 ? x[1] : ""));
        query = new CatalogQuery(
            said["tag"].OfType<string>().Where(x => x.Length > 0).ToEquatableArray(), EquatableMap.From(meta.DistinctBy(x => x.Key)), passing,
            said["near"].ToString() switch { "" => null, "_agent" => _agent.Node, var node => node }, said["filter"].ToString(), said.ContainsKey("pretty"));
        return true;
    }

    /// <summary>What the agent says without an index.</summary>
    private async Task PlainAsync(ConsulCall call, Func<bool, byte[]> render)
    {
        if (await WaitAsync(call, "", default, _ => 0).ConfigureAwait(false)) await call.JsonAsync(render(call.Query.ContainsKey("pretty"))).ConfigureAwait(false);
    }

    private async Task OwnAsync(ConsulCall call, Func<CatalogQuery, CatalogAnswer> ask)
    {
        var query = CatalogQuery.Plain with { Filter = call.Query["filter"].ToString(), Pretty = call.Query.ContainsKey("pretty") };
        if (!await WaitAsync(call, "", default, _ => 0).ConfigureAwait(false)) return;
        await (ask(query) switch
        {
            CatalogAnswer.Found found => call.JsonAsync(found.Json),
            var refused => WriteAsync(call, refused),
        }).ConfigureAwait(false);
    }

    /// <summary>One service of this node; <c>?hash=</c> waits until it is another than the client knows.</summary>
    private async Task OwnServiceAsync(ConsulCall call)
    {
        if (!BlockingQuery.TryParse(call.Query, out var blocking, out var why))
        {
            await call.TextAsync(400, why).ConfigureAwait(false);
            return;
        }
        var known = call.Query["hash"].ToString();
        (string Hash, ReadOnlyMemory<byte> Json)? Look() =>
            AgentAnswers.Service(_tree, _agent, call.Tail) is { } service ? AgentAnswers.Service(service, call.Query.ContainsKey("pretty")) : null;
        var differs = (CatalogTree _) => Look()?.Hash == known ? 0L : 2L;
        if (!await WaitAsync(call, CatalogTree.NodeTopic(_agent.Node), blocking with { After = known.Length > 0 ? 1 : 0 }, differs).ConfigureAwait(false)) return;
        if (Look() is not var (hash, json))
        {
            await call.TextAsync(404, $"unknown service ID: {call.Tail}").ConfigureAwait(false);
            return;
        }
        call.Http.Response.Headers["X-Consul-ContentHash"] = hash;
        await call.JsonAsync(json).ConfigureAwait(false);
    }

    private async Task HealthAsync(ConsulCall call, Func<bool, AgentHealth> ask)
    {
        if (!await WaitAsync(call, "", default, _ => 0).ConfigureAwait(false)) return;
        var health = ask(call.Query.ContainsKey("pretty"));
        call.Http.Response.Headers["X-Consul-Reason"] = string.Concat(health.Reason.Where(x => x is >= ' ' and <= '~'));
        if (call.Query["format"] == "text") await call.TextAsync(health.Status, health.Reason).ConfigureAwait(false);
        else await call.JsonAsync(health.Json, health.Status).ConfigureAwait(false);
    }
}
