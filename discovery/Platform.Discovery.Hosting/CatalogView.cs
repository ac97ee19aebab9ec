using System.Globalization;
using Platform.Discovery.Catalog;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>The catalog, health and agent parts of the Consul door: reads of this node's own copy of the endpoint table.</summary>
public sealed class CatalogView
{
    public const string ViewName = "catalog";

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly StoreReplica _store;
    private readonly AgentIdentity _agent;
    private readonly KvWatches _watches = new();
    private readonly Lock _showing = new();
    private volatile CatalogTree _tree = CatalogTree.Empty;
    private ConsulDoor? _door;

    public CatalogView(EndpointFeed feed, NodeViews views, StoreReplica store, AgentIdentity agent)
    {
        _feed = feed;
        _views = views;
        _store = store;
        _agent = agent;
        views.Expect(ViewName);
    }

    public CatalogTree Tree => _tree;

    /// <summary>Follows the table, and what is registered beside it, until told to stop.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        try
        {
            await Task.WhenAll(FollowTableAsync(stopping), FollowRegistryAsync(stopping)).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            _watches.WakeAll(forGood: true); // parked clients get what there is instead of a broken connection
        }
    }

    private async Task FollowTableAsync(CancellationToken stopping)
    {
        var cursor = EndpointCursor.Start;
        while (true)
        {
            var snapshot = await _feed.ChangedAsync(cursor, stopping).ConfigureAwait(false);
            cursor = snapshot.Cursor;
            Show(snapshot);
            _views.Served(ViewName, cursor);
        }
    }

    private async Task FollowRegistryAsync(CancellationToken stopping)
    {
        while (true)
        {
            var cursor = _store.Cursor;
            CatchUp();
            await _store.ChangedAsync(cursor, stopping).ConfigureAwait(false);
        }
    }

    /// <summary>Shows what the store has by now; who registers here reads it here.</summary>
    internal void CatchUp()
    {
        var tree = _tree;
        if (!ReferenceEquals(_store.State.Registry, tree.Registry) && tree.Snapshot.Revision > 0) Show(tree.Snapshot);
    }

    private void Show(EndpointSnapshot snapshot)
    {
        CatalogTree before, next;
        lock (_showing)
        {
            before = _tree;
            if (snapshot.Cursor.Epoch == before.Snapshot.Cursor.Epoch && snapshot.Revision < before.Snapshot.Revision) snapshot = before.Snapshot; // the other follower was quicker
            var state = _store.State;
            _tree = next = before.Apply(snapshot, state.Registry, state.Index);
        }
        if (before.Snapshot.Cursor.Epoch == next.Snapshot.Cursor.Epoch) _watches.Wake(next.Changed);
        else _watches.WakeAll();
    }

    /// <summary>Adds to the door what this view answers.</summary>
    public ConsulDoor AddTo(ConsulDoor door)
    {
        _door = door;
        door.Add([.. CatalogRoutes(), .. AgentRoutes()]);
        return door;
    }

    private IEnumerable<ConsulRoute> CatalogRoutes()
    {
        yield return Asked("/v1/catalog/nodes", _ => new CatalogQuestion.NodeList());
        yield return Asked("/v1/catalog/services", _ => new CatalogQuestion.ServiceNames());
        yield return Asked("/v1/catalog/service/", x => new CatalogQuestion.InstancesOf(x), "Missing service name");
        yield return Asked("/v1/catalog/node/", x => new CatalogQuestion.ServicesOn(x, AsList: false), "Missing node name");
        yield return Asked("/v1/catalog/node-services/", x => new CatalogQuestion.ServicesOn(x, AsList: true), "Missing node name");
        yield return Asked("/v1/catalog/connect/", x => new CatalogQuestion.MeshOf(x), "Missing service name");
        yield return Asked("/v1/health/service/", x => new CatalogQuestion.HealthOf(x), "Missing service name");
        yield return Asked("/v1/health/connect/", x => new CatalogQuestion.MeshOf(x), "Missing service name");
        yield return Asked("/v1/health/ingress/", x => new CatalogQuestion.MeshOf(x), "Missing service name");
        yield return Asked("/v1/health/checks/", x => new CatalogQuestion.ChecksOf(x), "Missing service name");
        yield return Asked("/v1/health/node/", x => new CatalogQuestion.ChecksOn(x), "Missing node name");
        yield return Asked("/v1/health/state/", StateOf, "Missing check state");
        yield return new("/v1/catalog/datacenters", ("GET", call => call.BytesAsync("""["dc1"]"""u8.ToArray(), "application/json"))); // also before the first table
        foreach (var path in new[] { "/v1/coordinate/nodes", "/v1/coordinate/datacenters" }) // nothing here measures distances
            yield return new(path, ("GET", call => call.BytesAsync("[]"u8.ToArray(), "application/json")));
    }

    private IEnumerable<ConsulRoute> AgentRoutes()
    {
        yield return new("/v1/agent/self", ("GET", call => PlainAsync(call, pretty => AgentAnswers.Self(_tree, _agent, pretty))));
        yield return new("/v1/agent/members", ("GET", call => PlainAsync(call, pretty => AgentAnswers.Members(_tree, pretty))));
        yield return new("/v1/agent/services", ("GET", call => OwnAsync(call, query => AgentAnswers.Services(_tree, _agent, query))));
        yield return new("/v1/agent/checks", ("GET", call => OwnAsync(call, query => AgentAnswers.Checks(_tree, _agent, query))));
        yield return new("/v1/agent/service/", ("GET", OwnServiceAsync));
        yield return new("/v1/agent/health/service/id/", ("GET", call => HealthAsync(call, pretty => AgentAnswers.HealthById(_tree, _agent, call.Rest, pretty))));
        yield return new("/v1/agent/health/service/name/", ("GET", call => HealthAsync(call, pretty => AgentAnswers.HealthByName(_tree, _agent, call.Rest, pretty))));
    }

    private ConsulRoute Asked(string path, Func<string, CatalogQuestion> question, string missing = "") => new(path, ("GET", call => AskAsync(call, question, missing)));

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
        if (missing.Length > 0 && call.Rest.Length == 0)
        {
            await call.TextAsync(400, missing).ConfigureAwait(false);
            return;
        }
        if (await call.ReadOptionsAsync().ConfigureAwait(false) is not { } read) return;
        if (!TryParse(call, out var query, out var refusal))
        {
            await call.TextAsync(refusal.Status, refusal.Why).ConfigureAwait(false);
            return;
        }
        var question = ask(call.Rest);
        if (!await WaitAsync(call, question.Topic, read, question.Index).ConfigureAwait(false)) return;
        var answer = CatalogAnswers.Of(_tree, question, query);
        var headers = call.Headers;
        _door!.ReadHeaders(call, null);
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
                call.Headers["X-Consul-Index"] = found.Index.ToString(CultureInfo.InvariantCulture);
                return call.BytesAsync(found.Json, "application/json");
            case CatalogAnswer.Refused refused:
                return call.TextAsync(400, refused.Why);
            default:
                throw new System.Diagnostics.UnreachableException($"{answer}");
        }
    }

    /// <summary>False: it has been answered that too many wait, or that nothing is known yet.</summary>
    private async ValueTask<bool> WaitAsync(ConsulCall call, string topic, ReadOptions? read, Func<CatalogTree, long> index)
    {
        if (_tree.Snapshot.Revision == 0)
        {
            // An empty catalog would be a lie: this node has not heard yet what runs.
            await call.TextAsync(500, "No cluster leader").ConfigureAwait(false);
            return false;
        }
        if (read is null or { AfterIndex: 0 }) return true;
        var epoch = _tree.Snapshot.Cursor.Epoch;
        var parking = await _door!.Parking.WaitAsync(
            read.Wait,
            () => _tree is var tree && (tree.Snapshot.Cursor.Epoch != epoch || index(tree) > read.AfterIndex),
            () => _watches.Watch(topic, prefix: false), call.Aborted).ConfigureAwait(false);
        if (parking == ParkingEnd.Over) return true;
        call.Headers.RetryAfter = "5";
        await call.TextAsync(503, "too many queries wait here already").ConfigureAwait(false);
        return false;
    }

    private bool TryParse(ConsulCall call, out CatalogQuery query, out (int Status, string Why) refusal)
    {
        var said = call.Query;
        query = CatalogQuery.Plain;
        refusal = (400, "");
        if (said["dc"].ToString() is { Length: > 0 } dc && dc != "dc1")
        {
            refusal = (500, "No path to datacenter");
            return false;
        }
        var passing = said.ContainsKey("passing") && (said["passing"].ToString() is not { Length: > 0 } text || GoWords.BoolOf(text) is not false);
        if (said["passing"].ToString() is { Length: > 0 } word && GoWords.BoolOf(word) is null)
        {
            refusal = (400, "Invalid value for ?passing");
            return false;
        }
        var meta = said["node-meta"].Where(x => !string.IsNullOrEmpty(x)).Select(x => x!.Split(':', 2)).Select(x => KeyValuePair.Create(x[0], x.Length > 1 ? x[1] : ""));
        query = new CatalogQuery(
            said["tag"].OfType<string>().Where(x => x.Length > 0).ToEquatableArray(), EquatableMap.From(meta.DistinctBy(x => x.Key)), passing,
            said["near"].ToString() switch { "" => null, "_agent" => _agent.Node, var node => node }, said["filter"].ToString(), said.ContainsKey("pretty")) { Caller = _door!.AuthorizerOf(call) };
        return true;
    }

    /// <summary>What the agent says without an index.</summary>
    private async Task PlainAsync(ConsulCall call, Func<bool, byte[]> render)
    {
        ConsulDoor.Must(_door!.AuthorizerOf(call).MayRead("agent", _agent.Node));
        if (await WaitAsync(call, "", null, _ => 0).ConfigureAwait(false)) await call.BytesAsync(render(call.Has("pretty")), "application/json").ConfigureAwait(false);
    }

    private async Task OwnAsync(ConsulCall call, Func<CatalogQuery, CatalogAnswer> ask)
    {
        var query = CatalogQuery.Plain with { Filter = call.Query["filter"].ToString(), Pretty = call.Query.ContainsKey("pretty"), Caller = _door!.AuthorizerOf(call) };
        if (!await WaitAsync(call, "", null, _ => 0).ConfigureAwait(false)) return;
        await (ask(query) switch
        {
            CatalogAnswer.Found found => call.BytesAsync(found.Json, "application/json"),
            var refused => WriteAsync(call, refused),
        }).ConfigureAwait(false);
    }

    /// <summary>One service of this node; <c>?hash=</c> waits until it is another than the client knows.</summary>
    private async Task OwnServiceAsync(ConsulCall call)
    {
        if (await call.ReadOptionsAsync().ConfigureAwait(false) is not { } read) return;
        var known = call.Query["hash"].ToString();
        (string Hash, ReadOnlyMemory<byte> Json)? Look() =>
            AgentAnswers.Service(_tree, _agent, call.Rest) is { } service ? AgentAnswers.Service(service, call.Query.ContainsKey("pretty")) : null;
        var differs = (CatalogTree _) => Look()?.Hash == known ? 0L : 2L;
        if (!await WaitAsync(call, CatalogTree.NodeTopic(_agent.Node), read with { AfterIndex = known.Length > 0 ? 1 : 0 }, differs).ConfigureAwait(false)) return;
        if (AgentAnswers.Service(_tree, _agent, call.Rest) is { } own) ConsulDoor.Must(_door!.AuthorizerOf(call).MayRead("service", own.Name));
        if (Look() is not var (hash, json))
        {
            await call.TextAsync(404, $"unknown service ID: {call.Rest}").ConfigureAwait(false);
            return;
        }
        call.Headers["X-Consul-ContentHash"] = hash;
        await call.BytesAsync(json, "application/json").ConfigureAwait(false);
    }

    private async Task HealthAsync(ConsulCall call, Func<bool, AgentHealth> ask)
    {
        var name = AgentAnswers.Service(_tree, _agent, call.Rest)?.Name ?? call.Rest;
        ConsulDoor.Must(_door!.AuthorizerOf(call).MayRead("service", name));
        if (!await WaitAsync(call, "", null, _ => 0).ConfigureAwait(false)) return;
        var health = ask(call.Query.ContainsKey("pretty"));
        call.Headers["X-Consul-Reason"] = string.Concat(health.Reason.Where(x => x is >= ' ' and <= '~'));
        if (call.Query["format"] == "text") await call.TextAsync(health.Status, health.Reason).ConfigureAwait(false);
        else await call.BytesAsync(health.Json, "application/json", health.Status).ConfigureAwait(false);
    }
}
