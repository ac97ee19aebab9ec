using System.Collections.Immutable;

namespace Platform.Discovery;

/// <summary>One name of the zone.</summary>
/// <param name="Node">All its records; empty where only names below it exist (RFC 8020 forbids denying those).</param>
/// <param name="Parts">What each app, or the zone itself, gave it: two apps whose names mangle to one share it.</param>
/// <param name="Below">How many names stand directly below it.</param>
internal sealed record DnsEntry(string Name, DnsNode Node, ImmutableArray<DnsNode> Parts, int Below);

/// <summary>
/// A persistent map of names: readers keep one while the next is made from it, and a change copies what lies on its way and no more, whatever
/// the size (an immutable dictionary does that, too, but takes no span and three times as long to find a name).
/// </summary>
internal sealed class DnsNameMap
{
    private const int Fan = 256;

    public static readonly DnsNameMap Empty = new(new Level?[Fan], 0);

    private readonly Level?[] _levels;

    private DnsNameMap(Level?[] levels, int count)
    {
        _levels = levels;
        Count = count;
    }

    public int Count { get; }

    public IEnumerable<DnsEntry> Entries => _levels.OfType<Level>().SelectMany(x => x.Buckets).OfType<DnsEntry[]>().SelectMany(x => x);

    public DnsEntry? Find(ReadOnlySpan<char> name) => Find(_levels, name);

    public Builder ToBuilder() => new(this);

    private static DnsEntry? Find(Level?[] levels, ReadOnlySpan<char> name)
    {
        var hash = string.GetHashCode(name);
        if (levels[hash & (Fan - 1)]?.Buckets[(hash >> 8) & (Fan - 1)] is not { } bucket) return null;
        foreach (var entry in bucket)
            if (name.SequenceEqual(entry.Name)) return entry;
        return null;
    }

    /// <param name="owner">The builder that made this copy and may write into it.</param>
    private sealed class Level(object owner, DnsEntry[]?[] buckets)
    {
        public object Owner => owner;
        public DnsEntry[]?[] Buckets => buckets;
    }

    public sealed class Builder(DnsNameMap before)
    {
        private readonly Level?[] _levels = (Level?[])before._levels.Clone();
        private int _count = before.Count;

        public DnsEntry? Find(ReadOnlySpan<char> name) => DnsNameMap.Find(_levels, name);

        /// <summary>One more part of a name. With a name, every name above it exists; the zone's apex ends the way up.</summary>
        public void Add(string name, DnsNode part, string apex)
        {
            if (name.Length > DnsNames.NameLengthMax) return;
            if (Find(name) is { } known) Put(known with { Node = known.Parts.IsEmpty ? part : known.Node.With(part), Parts = known.Parts.Add(part) });
            else
            {
                Put(new DnsEntry(name, part, [part], 0));
                if (name != apex) CountBelow(Parent(name), +1, apex);
            }
        }

        /// <summary>Takes back a part that was added; a name without parts and without names below it is gone.</summary>
        public void Remove(string name, DnsNode part, string apex)
        {
            if (Find(name) is not { } known || known.Parts.IndexOf(part) is not (>= 0 and var at)) return;
            var parts = known.Parts.RemoveAt(at);
            var node = parts.IsEmpty ? DnsNode.Empty : parts.Skip(1).Aggregate(parts[0], (all, x) => all.With(x));
            Settle(known with { Node = node, Parts = parts }, apex);
        }

        public DnsNameMap ToMap() => new(_levels, _count);

        private void CountBelow(ReadOnlySpan<char> name, int more, string apex)
        {
            if (Find(name) is { } known) Settle(known with { Below = known.Below + more }, apex);
            else
            {
                Put(new DnsEntry(name.ToString(), DnsNode.Empty, [], more));
                if (!name.SequenceEqual(apex)) CountBelow(Parent(name), +1, apex);
            }
        }

        private void Settle(DnsEntry entry, string apex)
        {
            if (!entry.Parts.IsEmpty || entry.Below > 0)
            {
                Put(entry);
                return;
            }
            Take(entry.Name);
            if (entry.Name != apex) CountBelow(Parent(entry.Name), -1, apex);
        }

        private static ReadOnlySpan<char> Parent(ReadOnlySpan<char> name) => name[(name.IndexOf('.') + 1)..];

        private void Put(DnsEntry entry)
        {
            ref var bucket = ref Bucket(entry.Name);
            var at = Array.FindIndex(bucket ??= [], x => x.Name == entry.Name);
            if (at < 0) _count++;
            bucket = at < 0 ? [.. bucket, entry] : [.. bucket.AsSpan(..at), entry, .. bucket.AsSpan(at + 1)];
        }

        private void Take(string name)
        {
            ref var bucket = ref Bucket(name);
            bucket = bucket is { Length: > 1 } ? [.. bucket.Where(x => x.Name != name)] : null;
            _count--;
        }

        private ref DnsEntry[]? Bucket(string name)
        {
            var hash = string.GetHashCode(name.AsSpan());
            ref var level = ref _levels[hash & (Fan - 1)];
            if (level is null) level = new Level(this, new DnsEntry[]?[Fan]);
            else if (!ReferenceEquals(level.Owner, this)) level = new Level(this, (DnsEntry[]?[])level.Buckets.Clone());
            return ref level.Buckets[(hash >> 8) & (Fan - 1)];
        }
    }
}
