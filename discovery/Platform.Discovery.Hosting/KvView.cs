using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>The scheduler that this node hears from, and how long ago it last did.</summary>
public sealed record KvLeader(string Address, TimeSpan LastContact);

public sealed record KvOptions
{
    /// <summary>Null while no scheduler is heard: the tree is then what it was (X-Consul-KnownLeader: false).</summary>
    public Func<KvLeader?> Leader { get; init; } = () => null;

    /// <summary>Blocking queries that may be parked at once; more are told 503.</summary>
    public int ParkedMax { get; init; } = 50_000;
}

/// <summary>
/// The KV door: Consul's HTTP shape over the published tree (<see cref="KvTree"/>), read-only. A parked query costs one entry in a table
/// and one timer, and is woken only by a change below its own prefix.
/// </summary>
public sealed class KvView
{
    public const string ViewName = "kv";

    private readonly EndpointFeed _feed;
    private readonly NodeViews _views;
    private readonly KvOptions _options;
    private readonly ParkedQueries _parked;
    private ConsulDoor _door;
    private readonly KvWatches _watches = new();
    private volatile KvTree _tree = KvTree.Empty;

    public KvView(EndpointFeed feed, NodeViews views, KvOptions options, ILoggerFactory loggers, TimeProvider? time = null)
    {
        _feed = feed;
        _views = views;
        _options = options;
        _parked = new ParkedQueries(options.ParkedMax, loggers.CreateLogger<KvView>(), time ?? TimeProvider.System);
        _door = new ConsulDoor(options);
        views.Expect(ViewName);
    }

    public KvOptions Options => _options;
    public KvTree Tree => _tree;
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
        return door.Add("*", "/v1/kv", KvAsync).Add("*", "/v1/kv/", KvAsync).Add(ConsulDoor.Reads, "/v1/status/leader", LeaderAsync);
    }

    private async Task KvAsync(ConsulCall call)
    {
        var (context, key) = (call.Http, KvAnswers.KeyOf(call.Target)!);
        if (context.Request.Method is not ("GET" or "HEAD"))
        {
            context.Response.Headers.Allow = ConsulDoor.Reads;
            await call.TextAsync(403, $"the tree is read-only: it shows what runs, and {context.Request.Method} cannot change that; deploy through the REST API").ConfigureAwait(false);
            return;
        }
        if (Parse(context.Request.Query, key, out var why) is not { } query)
        {
            await call.TextAsync(400, why).ConfigureAwait(false);
            return;
        }
        if (_tree.Snapshot.Revision == 0)
        {
            // An empty tree would be a lie: this node has not heard yet what runs.
            await call.TextAsync(500, "No cluster leader").ConfigureAwait(false);
            return;
        }
        if (!await WaitAsync(query, context.RequestAborted).ConfigureAwait(false))
        {
            context.Response.Headers.RetryAfter = "5";
            await call.TextAsync(503, $"{_options.ParkedMax} queries wait here already").ConfigureAwait(false);
            return;
        }
        await WriteAsync(context, KvAnswers.Of(_tree, query)).ConfigureAwait(false);
    }

    /// <summary>Null and why, for a query that contradicts itself. Presence counts for flags: <c>?recurse</c>, <c>?recurse=1</c>.</summary>
    private static KvQuery? Parse(IQueryCollection query, string key, out string why)
    {
        why = "";
        var wait = KvQuery.WaitDefault;
        if (query.TryGetValue("wait", out var waitText) && waitText.ToString() is { Length: > 0 } text && !KvAnswers.TryParseDuration(text, out wait)) why = $"Invalid wait time: {text}";
        if (wait == TimeSpan.Zero) wait = KvQuery.WaitDefault;
        if (wait > KvQuery.WaitMax) wait = KvQuery.WaitMax;
        ulong index = 0;
        if (query.TryGetValue("index", out var indexText) && indexText.ToString() is { Length: > 0 } number
            && !ulong.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out index)) why = "Invalid index";
        if (query.ContainsKey("stale") && query.ContainsKey("consistent")) why = "Cannot specify ?stale with ?consistent, conflicting semantics.";
        var parsed = new KvQuery(key, query.ContainsKey("raw"), query.ContainsKey("recurse"), query.ContainsKey("keys"), query["separator"].ToString(),
            query.ContainsKey("pretty"), (long)Math.Min(index, long.MaxValue), wait);
        if (key.Length == 0 && !parsed.IsPrefix) why = "Missing key name";
        return why.Length == 0 ? parsed : null;
    }

    /// <summary>Returns when the index has passed the asked one, or the time is over. False: too many wait already.</summary>
    private async ValueTask<bool> WaitAsync(KvQuery query, CancellationToken aborted)
    {
        if (query.AfterIndex == 0) return true;
        var epoch = _tree.Snapshot.Cursor.Epoch;
        return await _parked.WaitAsync(
            query.Wait,
            () => _tree is var tree && (tree.Snapshot.Cursor.Epoch != epoch || KvAnswers.Index(tree, query) > query.AfterIndex),
            () => _watches.Watch(query.Key, query.IsPrefix),
            aborted).ConfigureAwait(false) == Parking.Over;
    }

    private async Task WriteAsync(HttpContext context, KvAnswer answer)
    {
        var response = context.Response;
        response.StatusCode = answer.Status;
        _door.ReadHeaders(response.Headers);
        response.Headers["X-Consul-Index"] = answer.Index.ToString(CultureInfo.InvariantCulture);
        if (answer.Status != 200)
        {
            response.ContentLength = 0;
            return;
        }
        response.ContentType = answer.Plain ? "text/plain" : "application/json";
        if (answer.Plain)
        {
            // A value is somebody's text; a browser must not take it for a page of ours.
            response.Headers.XContentTypeOptions = "nosniff";
            response.Headers.ContentSecurityPolicy = "sandbox";
        }
        response.ContentLength = answer.Body.Length;
        await response.Body.WriteAsync(answer.Body, context.RequestAborted).ConfigureAwait(false);
    }

    private async Task LeaderAsync(ConsulCall call)
    {
        _door.ReadHeaders(call.Http.Response.Headers);
        var address = _options.Leader()?.Address ?? "";
        await call.JsonAsync(Encoding.UTF8.GetBytes($"\"{System.Text.Json.JsonEncodedText.Encode(address)}\"")).ConfigureAwait(false);
    }
}

/// <summary>Who waits for which key or prefix. A change wakes those whose text the changed key is, or begins with, and nobody else.</summary>
internal sealed class KvWatches
{
    private readonly Lock _changing = new();
    private readonly Dictionary<string, Node> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Node> _prefixes = new(StringComparer.Ordinal);
    private bool _ended;

    /// <summary>All that wait for one text share it.</summary>
    private sealed class Node
    {
        public TaskCompletionSource Changed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public int Watchers { get; set; }
    }

    internal readonly struct Handle : IDisposable
    {
        private readonly KvWatches _owner;
        private readonly Dictionary<string, Node> _nodes;
        private readonly string _text;
        private readonly Node _node;

        internal Handle(KvWatches owner, string text, bool prefix)
        {
            _owner = owner;
            _text = text;
            _nodes = prefix ? owner._prefixes : owner._keys;
            lock (owner._changing)
            {
                Ended = owner._ended;
                if (!_nodes.TryGetValue(text, out var node)) _nodes[text] = node = new Node();
                node.Watchers++;
                _node = node;
            }
        }

        public bool Ended { get; }
        public Task Changed => _node.Changed.Task;

        private Dictionary<string, Node> Nodes => _nodes;

        public void Dispose()
        {
            lock (_owner._changing)
                if (--_node.Watchers == 0 && Nodes.TryGetValue(_text, out var current) && ReferenceEquals(current, _node)) Nodes.Remove(_text);
        }
    }

    public Handle Watch(string text, bool prefix) => new(this, text, prefix);

    public void Wake(IReadOnlyCollection<string> changed)
    {
        var woken = new List<Node>();
        lock (_changing)
        {
            if (_keys.Count == 0 && _prefixes.Count == 0) return;
            var prefixes = _prefixes.GetAlternateLookup<ReadOnlySpan<char>>();
            foreach (var key in changed)
            {
                if (_keys.Remove(key, out var exact)) woken.Add(exact);
                for (var length = 0; length <= key.Length && _prefixes.Count > 0; length++)
                    if (prefixes.Remove(key.AsSpan(0, length), out _, out var node)) woken.Add(node);
            }
        }
        foreach (var node in woken) node.Changed.TrySetResult();
    }

    /// <param name="forGood">The view ends: whoever comes now need not wait.</param>
    public void WakeAll(bool forGood = false)
    {
        Node[] woken;
        lock (_changing)
        {
            _ended |= forGood;
            woken = [.. _keys.Values, .. _prefixes.Values];
            _keys.Clear();
            _prefixes.Clear();
        }
        foreach (var node in woken) node.Changed.TrySetResult();
    }
}
