using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// The endpoint table as a tree of keys and values, in the form of Consul's KV store and read-only:
/// <c>platform/apps/{app path}</c>, <c>platform/services/{app path}/{instance id}</c>, <c>platform/nodes/{name}</c>, <c>platform/revision</c>.
/// A key's ModifyIndex is the revision at which its value last changed, as this node saw it; deletions leave tombstones, so that
/// the index of a prefix moves when something below it goes away.
/// </summary>
public sealed class KvTree
{
    public const string Root = "platform/";
    public const string RevisionKey = Root + "revision";

    public static readonly KvTree Empty = new(EndpointSnapshot.Empty, KvEntries.Empty, []);

    private readonly KvEntries _entries;

    private KvTree(EndpointSnapshot snapshot, KvEntries entries, ImmutableArray<string> changed)
    {
        Snapshot = snapshot;
        _entries = entries;
        Changed = changed;
    }

    public EndpointSnapshot Snapshot { get; }

    /// <summary>The keys that the step to this tree set or removed.</summary>
    public ImmutableArray<string> Changed { get; }

    public int Count => _entries.Count;

    public KvEntry? Find(string key) => _entries.Find(key);

    /// <summary>All entries whose key begins with the text, in order.</summary>
    public IEnumerable<KvEntry> Under(string prefix) => _entries.Under(prefix);

    /// <summary>What a reader of this key has seen once it was told this index: it grows when the key changes and not otherwise. Never 0.</summary>
    public long IndexOf(string key) => _entries.IndexOf(key);

    /// <summary>The same for everything below a prefix.</summary>
    public long IndexUnder(string prefix) => RevisionKey.StartsWith(prefix, StringComparison.Ordinal) && Snapshot.Revision > 0
        ? Snapshot.Revision // that key changes with every revision
        : _entries.IndexUnder(prefix);

    /// <summary>The tree of the next snapshot. Services that are the same object are not looked at again.</summary>
    public KvTree Apply(EndpointSnapshot next)
    {
        // Revisions of another cluster do not compare with ours: start afresh, and let readers notice by the lower index.
        if (next.Cursor.Epoch != Snapshot.Cursor.Epoch && Snapshot.Revision > 0) return Empty.Apply(next);
        var step = new Step(this, next.Revision);
        foreach (var (app, entry) in next.Services)
        {
            var before = Snapshot.Services.GetValueOrDefault(app);
            if (!ReferenceEquals(before, entry)) step.Service(before, entry);
        }
        foreach (var (app, entry) in Snapshot.Services)
            if (!next.Services.ContainsKey(app)) step.ServiceGone(entry);
        if (!ReferenceEquals(Snapshot.Nodes, next.Nodes)) step.Nodes(Snapshot.Nodes, next.Nodes);
        step.Set(RevisionKey, () => Encoding.ASCII.GetBytes(next.Revision.ToString(CultureInfo.InvariantCulture)));
        return step.Done(next);
    }

    private sealed class Step(KvTree from, long revision)
    {
        private readonly KvEntries.Step _entries = from._entries.Change();
        private readonly ImmutableArray<string>.Builder _changed = ImmutableArray.CreateBuilder<string>();

        private static string AppKey(AppId app) => $"{Root}apps{app.Path}";
        private static string EndpointKey(Endpoint endpoint) => $"{Root}services{endpoint.App.Path}/{endpoint.Instance.Text}";

        public void Service(ServiceEntry? before, ServiceEntry now)
        {
            if (!ReferenceEquals(before?.Service, now.Service)) Set(AppKey(now.Service.App), () => EndpointJson.Render(json => EndpointJson.Service(json, now.Service)));
            foreach (var (id, endpoint) in now.Endpoints)
                if (before is null || !before.Endpoints.TryGetValue(id, out var known) || !ReferenceEquals(known, endpoint))
                    Set(EndpointKey(endpoint), () => EndpointJson.Render(json => EndpointJson.Endpoint(json, endpoint)));
            if (before is null) return;
            foreach (var (id, endpoint) in before.Endpoints)
                if (!now.Endpoints.ContainsKey(id)) Remove(EndpointKey(endpoint));
        }

        public void ServiceGone(ServiceEntry before)
        {
            Remove(AppKey(before.Service.App));
            foreach (var endpoint in before.Endpoints.Values) Remove(EndpointKey(endpoint));
        }

        public void Nodes(ImmutableSortedDictionary<NodeId, NodeAddress> before, ImmutableSortedDictionary<NodeId, NodeAddress> now)
        {
            foreach (var node in now.Values)
                if (before.GetValueOrDefault(node.Node) != node)
                    Set($"{Root}nodes/{node.Node.Name}", () => EndpointJson.Render(json =>
                    {
                        json.WriteStartObject();
                        json.WriteString("node", node.Node.Name);
                        json.WriteString("address", node.Address);
                        json.WriteEndObject();
                    }));
            foreach (var node in before.Keys)
                if (!now.ContainsKey(node)) Remove($"{Root}nodes/{node.Name}");
        }

        /// <summary>A value that is what it was keeps its index: nobody is woken for nothing.</summary>
        public void Set(string key, Func<byte[]> render)
        {
            var value = new KvValue(render());
            var old = _entries.Find(key);
            if (old?.Value == value) return;
            _entries.Set(new KvEntry(key, value, old?.CreateIndex ?? revision, revision));
            _changed.Add(key);
        }

        private void Remove(string key)
        {
            if (_entries.Remove(key, revision)) _changed.Add(key);
        }

        public KvTree Done(EndpointSnapshot snapshot) => new(snapshot, _entries.Done(), _changed.ToImmutable());
    }
}
