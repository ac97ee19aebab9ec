using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>One name of the zone.</summary>
/// <param name="Node">All its records; empty where only names below it exist (RFC 8020 forbids denying those).</param>
/// <param name="Parts">
/// What each app, or the zone itself, gave it, where that is not just <paramref name="Node"/>: containers of several nodes may share an address,
/// and so its reverse name. Null = one part, the node.
/// </param>
/// <param name="Below">How many names stand directly below it.</param>
internal sealed record DnsEntry(string Name, DnsNode Node, ImmutableHashSet<DnsNode>? Parts, int Below)
{
    /// <summary>Of more than these, a name shows some: thousands of nodes may have given their first container the same address.</summary>
    private const int PartsShownMax = 32;

    public static readonly ImmutableHashSet<DnsNode> NoParts = ImmutableHashSet.Create<DnsNode>(ReferenceEqualityComparer.Instance);

    /// <summary>Nobody gave it anything: it exists for the names below.</summary>
    public bool IsBare => Parts is { IsEmpty: true };

    public DnsEntry WithPart(DnsNode part) => Parts switch
    {
        null => WithParts(NoParts.Add(Node).Add(part)),
        { IsEmpty: true } => this with { Node = part, Parts = null },
        _ => WithParts(Parts.Add(part)),
    };

    /// <summary>Null if it has no such part.</summary>
    public DnsEntry? WithoutPart(DnsNode part)
    {
        if (Parts is null) return ReferenceEquals(Node, part) ? this with { Node = DnsNode.Empty, Parts = NoParts } : null;
        return Parts.Contains(part) ? WithParts(Parts.Remove(part)) : null;
    }

    private DnsEntry WithParts(ImmutableHashSet<DnsNode> parts) =>
        parts.Count == 1 ? this with { Node = parts.Single(), Parts = null } : this with { Node = DnsNode.Merge(parts.Take(PartsShownMax)), Parts = parts };
}

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

    /// <summary>The names that differ, each as it was and as it is. Maps made from one another share what did not change: this costs what did.</summary>
    public static IEnumerable<(DnsEntry? Before, DnsEntry? After)> Differences(DnsNameMap before, DnsNameMap after)
    {
        for (var i = 0; i < Fan; i++)
        {
            var (old, now) = (before._levels[i], after._levels[i]);
            if (ReferenceEquals(old, now)) continue;
            for (var j = 0; j < Fan; j++)
            {
                var (was, @is) = (old?.Buckets[j] ?? [], now?.Buckets[j] ?? []);
                if (ReferenceEquals(was, @is)) continue;
                foreach (var entry in was)
                    if (Array.Find(@is, x => x.Name == entry.Name) is var same && !ReferenceEquals(entry.Node, same?.Node)) yield return (entry, same);
                foreach (var entry in @is)
                    if (!Array.Exists(was, x => x.Name == entry.Name)) yield return (null, entry);
            }
        }
    }

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
            if (Find(name) is { } known) Put(known.WithPart(part));
            else
            {
                Put(new DnsEntry(name, part, null, 0));
                if (name != apex) CountBelow(Parent(name), +1, apex);
            }
        }

        /// <summary>Takes back a part that was added; a name without parts and without names below it is gone.</summary>
        public void Remove(string name, DnsNode part, string apex)
        {
            if (Find(name)?.WithoutPart(part) is { } left) Settle(left, apex);
        }

        public DnsNameMap ToMap() => new(_levels, _count);

        private void CountBelow(ReadOnlySpan<char> name, int more, string apex)
        {
            if (Find(name) is { } known) Settle(known with { Below = known.Below + more }, apex);
            else
            {
                Put(new DnsEntry(name.ToString(), DnsNode.Empty, DnsEntry.NoParts, more));
                if (!name.SequenceEqual(apex)) CountBelow(Parent(name), +1, apex);
            }
        }

        private void Settle(DnsEntry entry, string apex)
        {
            if (!entry.IsBare || entry.Below > 0)
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
