using System.Collections.Immutable;
using System.Text;

namespace Platform.Discovery;

/// <summary>One key. The indices are revisions of the cluster log.</summary>
public sealed record KvEntry(string Key, KvValue Value, long CreateIndex, long ModifyIndex)
{
    /// <summary>The client's own number; libraries mark their locks with it.</summary>
    public ulong Flags { get; init; }

    /// <summary>Who holds it as a lock; null = nobody.</summary>
    public string? Session { get; init; }

    /// <summary>How often it was acquired: with key and session a fencing token.</summary>
    public long LockIndex { get; init; }

    /// <summary>What counts against the store's bound.</summary>
    public long Size => Encoding.UTF8.GetByteCount(Key) + Value.Length;
}

/// <summary>A key that is gone, and the revision at which it went.</summary>
public sealed record KvTombstone(string Key, long Index);

/// <summary>
/// Keys in order, at one revision; immutable. Deletions leave tombstones, so that the index of a prefix moves when something below it goes away.
/// </summary>
public sealed class KvEntries
{
    /// <summary>Deletions remembered one by one; older ones are remembered together, as the least index every prefix has.</summary>
    public const int TombstonesMax = 8192;

    public static readonly KvEntries Empty = new(Ordered<KvEntry>(x => x.Key), Ordered<KvTombstone>(x => x.Key), [], 0, 0, 0);

    private readonly ImmutableSortedSet<KvEntry> _entries;
    private readonly ImmutableSortedSet<KvTombstone> _tombstones;
    private readonly ImmutableQueue<KvTombstone> _inOrder;
    private readonly int _queued;

    private KvEntries(ImmutableSortedSet<KvEntry> entries, ImmutableSortedSet<KvTombstone> tombstones, ImmutableQueue<KvTombstone> inOrder,
        int queued, long forgotten, long bytes)
    {
        _entries = entries;
        _tombstones = tombstones;
        _inOrder = inOrder;
        _queued = queued;
        Forgotten = forgotten;
        Bytes = bytes;
    }

    public int Count => _entries.Count;

    /// <summary>Of all keys and values.</summary>
    public long Bytes { get; }

    /// <summary>The newest deletion that has no tombstone any more.</summary>
    public long Forgotten { get; }

    public IEnumerable<KvTombstone> Tombstones => _inOrder.Where(x => _tombstones.TryGetValue(x, out var current) && ReferenceEquals(current, x));

    public KvEntry? Find(string key) => _entries.TryGetValue(Probe(key), out var entry) ? entry : null;

    /// <summary>All entries whose key begins with the text, in order.</summary>
    public IEnumerable<KvEntry> Under(string prefix)
    {
        for (var i = From(_entries, Probe(prefix)); i < _entries.Count && _entries[i].Key.StartsWith(prefix, StringComparison.Ordinal); i++) yield return _entries[i];
    }

    /// <summary>What a reader of this key has seen once it was told this index: it grows when the key changes and not otherwise. Never 0.</summary>
    public long IndexOf(string key) => Find(key) is { } entry ? Math.Max(1, entry.ModifyIndex)
        : Math.Max(Math.Max(1, Forgotten), _tombstones.TryGetValue(new KvTombstone(key, 0), out var tombstone) ? tombstone.Index : 0);

    /// <summary>The same for everything below a prefix.</summary>
    public long IndexUnder(string prefix)
    {
        var index = Math.Max(1, Forgotten);
        foreach (var entry in Under(prefix)) index = Math.Max(index, entry.ModifyIndex);
        for (var i = From(_tombstones, new KvTombstone(prefix, 0)); i < _tombstones.Count && _tombstones[i].Key.StartsWith(prefix, StringComparison.Ordinal); i++)
            index = Math.Max(index, _tombstones[i].Index);
        return index;
    }

    public Step Change() => new(this);

    /// <summary>What was written down of it, taken up again.</summary>
    public static KvEntries Of(IEnumerable<KvEntry> entries, IEnumerable<KvTombstone> tombstones, long forgotten)
    {
        var step = Empty.Change();
        foreach (var entry in entries) step.Set(entry);
        foreach (var tombstone in tombstones) step.Bury(tombstone);
        return step.Done(forgotten);
    }

    private static KvEntry Probe(string key) => new(key, default, 0, 0);
    private static ImmutableSortedSet<T> Ordered<T>(Func<T, string> key) => ImmutableSortedSet.Create<T>(comparer: Comparer<T>.Create((x, y) => string.CompareOrdinal(key(x), key(y))));

    private static int From<T>(ImmutableSortedSet<T> set, T probe) => set.IndexOf(probe) is var first && first < 0 ? ~first : first;

    /// <summary>Several changes on their way to the next revision.</summary>
    public sealed class Step
    {
        private readonly ImmutableSortedSet<KvEntry>.Builder _entries;
        private readonly ImmutableSortedSet<KvTombstone>.Builder _tombstones;
        private ImmutableQueue<KvTombstone> _inOrder;
        private int _queued;
        private long _forgotten;

        internal Step(KvEntries from)
        {
            (_entries, _tombstones, _inOrder, _queued, _forgotten) = (from._entries.ToBuilder(), from._tombstones.ToBuilder(), from._inOrder, from._queued, from.Forgotten);
            Bytes = from.Bytes;
        }

        public long Bytes { get; private set; }
        public int Count => _entries.Count;

        public KvEntry? Find(string key) => _entries.TryGetValue(Probe(key), out var entry) ? entry : null;

        public void Set(KvEntry entry)
        {
            if (_entries.TryGetValue(entry, out var old))
            {
                _entries.Remove(old);
                Bytes -= old.Size;
            }
            _entries.Add(entry);
            Bytes += entry.Size;
        }

        /// <summary>False if there is no such key.</summary>
        public bool Remove(string key, long index)
        {
            if (!_entries.TryGetValue(Probe(key), out var old)) return false;
            _entries.Remove(old);
            Bytes -= old.Size;
            Bury(new KvTombstone(key, index));
            return true;
        }

        internal void Bury(KvTombstone tombstone)
        {
            _tombstones.Remove(tombstone); // an older one of this key
            _tombstones.Add(tombstone);
            _inOrder = _inOrder.Enqueue(tombstone);
            _queued++;
        }

        public KvEntries Done(long forgotten = 0)
        {
            _forgotten = Math.Max(_forgotten, forgotten);
            for (; _queued > TombstonesMax; _queued--)
            {
                _inOrder = _inOrder.Dequeue(out var oldest);
                if (!_tombstones.TryGetValue(oldest, out var current) || !ReferenceEquals(current, oldest)) continue; // removed again since
                _tombstones.Remove(oldest);
                _forgotten = Math.Max(_forgotten, oldest.Index);
            }
            return new KvEntries(_entries.ToImmutable(), _tombstones.ToImmutable(), _inOrder, _queued, _forgotten, Bytes);
        }
    }
}
