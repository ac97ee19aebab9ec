using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>One key of the published tree. Both indices are endpoint table revisions.</summary>
public sealed record KvEntry(string Key, ImmutableArray<byte> Value, long CreateIndex, long ModifyIndex);

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

    /// <summary>Deletions remembered one by one; older ones are remembered together, as the least index every prefix has.</summary>
    public const int TombstonesMax = 8192;

    public static readonly KvTree Empty = new(EndpointSnapshot.Empty, Entries(), Entries(), [], 0, 0, []);

    private readonly ImmutableSortedSet<KvEntry> _entries;
    private readonly ImmutableSortedSet<KvEntry> _tombstones;
    private readonly ImmutableQueue<KvEntry> _tombstonesInOrder;
    private readonly int _queued;
    private readonly long _forgotten;

    private KvTree(EndpointSnapshot snapshot, ImmutableSortedSet<KvEntry> entries, ImmutableSortedSet<KvEntry> tombstones,
        ImmutableQueue<KvEntry> tombstonesInOrder, int queued, long forgotten, ImmutableArray<string> changed)
    {
        Snapshot = snapshot;
        _entries = entries;
        _tombstones = tombstones;
        _tombstonesInOrder = tombstonesInOrder;
        _queued = queued;
        _forgotten = forgotten;
        Changed = changed;
    }

    public EndpointSnapshot Snapshot { get; }

    /// <summary>The keys that the step to this tree set or removed.</summary>
    public ImmutableArray<string> Changed { get; }

    public int Count => _entries.Count;

    public KvEntry? Find(string key) => _entries.TryGetValue(Probe(key), out var entry) ? entry : null;

    /// <summary>All entries whose key begins with the text, in order.</summary>
    public IEnumerable<KvEntry> Under(string prefix) => Range(_entries, prefix);

    /// <summary>What a reader of this key has seen once it was told this index: it grows when the key changes and not otherwise. Never 0.</summary>
    public long IndexOf(string key) => Find(key)?.ModifyIndex is { } modified ? Math.Max(1, modified)
        : Math.Max(Math.Max(1, _forgotten), _tombstones.TryGetValue(Probe(key), out var tombstone) ? tombstone.ModifyIndex : 0);

    /// <summary>The same for everything below a prefix.</summary>
    public long IndexUnder(string prefix)
    {
        if (RevisionKey.StartsWith(prefix, StringComparison.Ordinal) && Snapshot.Revision > 0) return Snapshot.Revision; // that key changes with every revision
        var index = Math.Max(1, _forgotten);
        foreach (var entry in Range(_entries, prefix)) index = Math.Max(index, entry.ModifyIndex);
        foreach (var tombstone in Range(_tombstones, prefix)) index = Math.Max(index, tombstone.ModifyIndex);
        return index;
    }

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

    private static ImmutableSortedSet<KvEntry> Entries() => ImmutableSortedSet.Create<KvEntry>(ByKey.Instance);

    private static KvEntry Probe(string key) => new(key, [], 0, 0);

    private static IEnumerable<KvEntry> Range(ImmutableSortedSet<KvEntry> set, string prefix)
    {
        var first = set.IndexOf(Probe(prefix));
        for (var i = first < 0 ? ~first : first; i < set.Count && set[i].Key.StartsWith(prefix, StringComparison.Ordinal); i++) yield return set[i];
    }

    private sealed class Step(KvTree from, long revision)
    {
        private readonly ImmutableSortedSet<KvEntry>.Builder _entries = from._entries.ToBuilder();
        private readonly ImmutableSortedSet<KvEntry>.Builder _tombstones = from._tombstones.ToBuilder();
        private readonly ImmutableArray<string>.Builder _changed = ImmutableArray.CreateBuilder<string>();
        private ImmutableQueue<KvEntry> _inOrder = from._tombstonesInOrder;
        private int _queued = from._queued;
        private long _forgotten = from._forgotten;

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
            var value = render();
            var created = revision;
            if (_entries.TryGetValue(Probe(key), out var old))
            {
                if (old.Value.AsSpan().SequenceEqual(value)) return;
                _entries.Remove(old);
                created = old.CreateIndex;
            }
            _entries.Add(new KvEntry(key, ImmutableArray.Create(value), created, revision));
            _changed.Add(key);
        }

        private void Remove(string key)
        {
            if (!_entries.Remove(Probe(key))) return;
            _changed.Add(key);
            var tombstone = new KvEntry(key, [], 0, revision);
            _tombstones.Remove(tombstone); // an older one of this key
            _tombstones.Add(tombstone);
            _inOrder = _inOrder.Enqueue(tombstone);
            _queued++;
        }

        public KvTree Done(EndpointSnapshot snapshot)
        {
            for (; _queued > TombstonesMax; _queued--)
            {
                _inOrder = _inOrder.Dequeue(out var oldest);
                if (!_tombstones.TryGetValue(oldest, out var current) || !ReferenceEquals(current, oldest)) continue; // removed again since
                _tombstones.Remove(oldest);
                _forgotten = Math.Max(_forgotten, oldest.ModifyIndex);
            }
            return new KvTree(snapshot, _entries.ToImmutable(), _tombstones.ToImmutable(), _inOrder, _queued, _forgotten, _changed.ToImmutable());
        }
    }

    private sealed class ByKey : IComparer<KvEntry>
    {
        public static readonly ByKey Instance = new();
        public int Compare(KvEntry? x, KvEntry? y) => string.CompareOrdinal(x?.Key, y?.Key);
    }
}
