using System.Diagnostics;
using System.Globalization;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>How far the store may grow. A write beyond that is refused; nothing is ever thrown out to make room.</summary>
public sealed record StoreLimits
{
    public static readonly StoreLimits Default = new();

    public const int ValueBytesMax = 512 * 1024;
    public const int TransactionBytesMax = 512 * 1024;
    public const int OperationsMax = 128;

    public int KeysMax { get; init; } = 500_000;
    public long BytesMax { get; init; } = 256L << 20;
    public int SessionsMax { get; init; } = 100_000;
}

/// <summary>Operations on keys, one after the other on what the ones before have made of the store; what they come to is one event.</summary>
/// <param name="published">The keys that show what runs, where they can be read: on a node.</param>
internal sealed class KvWork(StoreState start, KvTree? published, long index, DateTimeOffset now, StoreLimits limits)
{
    /// <summary>What one operation came to. An error is told as such even where there is but one operation.</summary>
    public readonly record struct Outcome(bool Yes, string? Why, int Status)
    {
        public static readonly Outcome Done = new(true, null, 200);
        public static Outcome No(string why) => new(false, why, 200);
        public static Outcome Error(string why, int status = 500) => new(false, why, status);
    }

    private readonly List<KvChange> _changes = [];

    public StoreState State { get; private set; } = start;
    public EquatableArray<KvChange> Changes => _changes.ToEquatableArray();

    /// <summary>What reads and writes of a transaction give back, in order.</summary>
    public List<KvEntry> Results { get; } = [];

    public Outcome Do(KvOperation x)
    {
        if (x.Verb == KvVerb.Unknown) return Outcome.Error($"unknown KV verb {Quoted(x.Word)}");
        if (x.Key.Length == 0 && x.Verb != KvVerb.DeleteTree) return Outcome.Error("Must provide key");
        if (Reserved(x) is { } reserved) return Outcome.Error(reserved, 403);
        return x.Verb switch
        {
            KvVerb.Set => Write(x, Find(x.Key) is { } old ? old.Session : null, 0),
            KvVerb.Cas => (Find(x.Key)?.ModifyIndex ?? 0) == (long)Math.Min(x.Index, long.MaxValue) ? Write(x, Find(x.Key)?.Session, 0) : No(x, "failed to set key {0}, index is stale"),
            KvVerb.Lock => Lock(x),
            KvVerb.Unlock => Unlock(x),
            KvVerb.Delete => Delete(x),
            KvVerb.DeleteTree => DeleteTree(x),
            KvVerb.DeleteCas => Find(x.Key) is { } old && (ulong)old.ModifyIndex != x.Index ? No(x, "failed to delete key {0}, index is stale") : Delete(x),
            _ => Read(x),
        };
    }

    private Outcome Read(KvOperation x)
    {
        switch (x.Verb)
        {
            case KvVerb.GetTree:
                Results.AddRange(Under(x.Key));
                return Outcome.Done;
            case KvVerb.CheckNotExists:
                return Find(x.Key) is null ? Outcome.Done : No(x, "key {0} exists");
        }
        var entry = Find(x.Key);
        switch (x.Verb)
        {
            case KvVerb.Get:
                if (entry is null) return No(x, "key {0} doesn't exist");
                Results.Add(entry);
                return Outcome.Done;
            case KvVerb.CheckIndex:
                if (entry is null) return No(x, "failed to check index, key {0} doesn't exist");
                if ((ulong)entry.ModifyIndex != x.Index)
                    return No(x, string.Create(CultureInfo.InvariantCulture, $"failed index check for key {{0}}, current modify index {entry.ModifyIndex} != {x.Index}"));
                return Bare(entry);
            case KvVerb.CheckSession:
                if (entry is null) return No(x, "failed to check session, key {0} doesn't exist");
                if ((entry.Session ?? "") != x.Session) return No(x, $"failed session check for key {{0}}, current session {Quoted(entry.Session ?? "")} != {Quoted(x.Session)}");
                return Bare(entry);
            default:
                throw new UnreachableException($"{x.Verb}");
        }
    }

    /// <summary>A plain write leaves the holder of a lock in place, and sets its count back, as Consul does.</summary>
    private Outcome Write(KvOperation x, string? session, long lockIndex)
    {
        if (x.Value.Length > StoreLimits.ValueBytesMax) return Outcome.Error($"Value exceeds {StoreLimits.ValueBytesMax} byte limit", 413);
        var old = Find(x.Key);
        var same = old is not null && old.Value == x.Value && old.Flags == x.Flags && old.Session == session && old.LockIndex == lockIndex;
        if (same) return Bare(old!); // it is what it was: nobody is woken, nothing is logged
        if (Full(x, old) is { } full) return Outcome.Error(full, 507);
        Change(new KvChange.Set(x.Key, x.Value, x.Flags, session, lockIndex));
        return Bare(Find(x.Key)!);
    }

    private Outcome Lock(KvOperation x)
    {
        if (State.LockDelays.TryGetValue(x.Key, out var until) && until > now) return No(x, "failed to lock key {0} due to lock delay");
        if (x.Session.Length == 0) return Outcome.Error("missing session");
        if (SessionIds.Wrong(x.Session) is { } wrong) return Outcome.Error(wrong);
        if (!State.Sessions.ContainsKey(x.Session)) return Outcome.Error($"invalid session {Quoted(x.Session)}");
        var old = Find(x.Key);
        if (old?.Session is { } holder && holder != x.Session) return No(x, "failed to lock key {0}, lock is already held");
        return Write(x, x.Session, old?.Session == x.Session ? old.LockIndex : (old?.LockIndex ?? 0) + 1);
    }

    private Outcome Unlock(KvOperation x)
    {
        if (x.Session.Length == 0) return Outcome.Error("missing session");
        var old = Find(x.Key);
        return old?.Session == x.Session ? Write(x, null, old.LockIndex) : No(x, "failed to unlock key {0}, lock isn't held, or is held by another session");
    }

    private Outcome Delete(KvOperation x)
    {
        if (Find(x.Key) is not null) Change(new KvChange.Removed(x.Key));
        return Outcome.Done;
    }

    private Outcome DeleteTree(KvOperation x)
    {
        if (State.Entries.Under(x.Key).Any()) Change(new KvChange.RemovedUnder(x.Key));
        return Outcome.Done;
    }

    private void Change(KvChange change)
    {
        _changes.Add(change);
        State = State.Fold(new StoreEvent.KeysChanged([change]), index, now);
    }

    private Outcome Bare(KvEntry entry)
    {
        Results.Add(entry with { Value = default });
        return Outcome.Done;
    }

    private string? Full(KvOperation x, KvEntry? old)
    {
        if (old is null && State.Entries.Count >= limits.KeysMax) return $"The store holds {limits.KeysMax} keys, which is the most";
        var entry = new KvEntry(x.Key, x.Value, 0, 0);
        return State.Entries.Bytes - (old?.Size ?? 0) + entry.Size > limits.BytesMax ? $"The store holds {State.Entries.Bytes} bytes, and {limits.BytesMax} is the most" : null;
    }

    private KvEntry? Find(string key) => KvLookup.IsPublished(key) ? published?.Find(key) : State.Entries.Find(key);

    private IEnumerable<KvEntry> Under(string prefix) => published is null ? State.Entries.Under(prefix) : KvLookup.Under(published, State.Entries, prefix);

    private string? Reserved(KvOperation x)
    {
        if (!KvLookup.IsPublished(x.Key)) return null;
        if (x.IsRead) return published is null ? $"key {Quoted(x.Key)} is published by every node and cannot be read in a transaction that writes" : null;
        return KvLookup.WhyReadOnly;
    }

    /// <param name="why">With <c>{0}</c> where the key goes.</param>
    private static Outcome No(KvOperation x, string why) => Outcome.No(why.Replace("{0}", Quoted(x.Key), StringComparison.Ordinal));

    private static string Quoted(string text) => $"\"{text}\"";
}

/// <summary>The texts of session ids: those of UUIDs.</summary>
public static class SessionIds
{
    /// <summary>Null where the text may be a session's id.</summary>
    public static string? Wrong(string id) =>
        id.Length != 36 ? "failed session lookup: index error: UUID must be 36 characters"
        : !Guid.TryParseExact(id, "D", out _) ? $"failed session lookup: index error: invalid UUID {id}" : null;
}
