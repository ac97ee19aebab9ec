using System.Collections.Immutable;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Platform.Discovery;

/// <summary>
/// Everything clients have written through the KV door, as of one revision of the cluster log: keys, sessions, and who holds what. The leader has it as part
/// of the cluster's state, every node a copy. It changes only by <see cref="Fold"/>.
/// </summary>
[JsonConverter(typeof(StoreStateConverter))]
public sealed partial record StoreState
{
    public static readonly StoreState Empty = new();

    /// <summary>The revision of the newest event folded; 0 before the first.</summary>
    public long Index { get; init; }

    public KvEntries Entries { get; init; } = KvEntries.Empty;
    public ImmutableSortedDictionary<string, KvSession> Sessions { get; init; } = ImmutableSortedDictionary.Create<string, KvSession>(StringComparer.Ordinal);

    /// <summary>When a session last came or went.</summary>
    public long SessionsIndex { get; init; }

    /// <summary>The keys each session holds; those that hold none are not in it.</summary>
    public ImmutableDictionary<string, ImmutableSortedSet<string>> Held { get; init; } = ImmutableDictionary.Create<string, ImmutableSortedSet<string>>(StringComparer.Ordinal);

    /// <summary>Keys that nobody may acquire before then.</summary>
    public ImmutableSortedDictionary<string, DateTimeOffset> LockDelays { get; init; } = ImmutableSortedDictionary.Create<string, DateTimeOffset>(StringComparer.Ordinal);

    /// <summary>Who may do what here.</summary>
    public AclState Acl { get; init; } = AclState.Empty;

    public IEnumerable<string> HeldBy(string session) => Held.GetValueOrDefault(session)?.AsEnumerable() ?? [];

    /// <summary>The state after one more event. Total over every event a log can hold.</summary>
    /// <param name="index">The revision the event has in the cluster log.</param>
    public StoreState Fold(StoreEvent e, long index, DateTimeOffset at)
    {
        var next = e switch
        {
            StoreEvent.KeysChanged x => new KeyStep(this, index).Apply(x.Changes).Done(),
            StoreEvent.SessionCreated x => this with { Sessions = Sessions.SetItem(x.Session.Id, x.Session with { CreateIndex = index }), SessionsIndex = index },
            StoreEvent.SessionEnded x => End(x, index, at),
            StoreEvent.Registered x => this with { Registry = Registry.Fold(x.Changes, index) },
            StoreEvent.PolicySet x => this with { Acl = Acl.With(x.Policy, index) },
            StoreEvent.PolicyRemoved x => this with { Acl = Acl.WithoutPolicy(x.Id) },
            StoreEvent.TokenSet x => this with { Acl = Acl.With(x.Token, index) with { BootstrapIndex = x.First ? index : Acl.BootstrapIndex } },
            StoreEvent.TokenRemoved x => this with { Acl = Acl.WithoutToken(x.Accessor) },
            _ => throw new UnreachableException($"{e}"),
        };
        return next with { Index = index };
    }

    /// <summary>The keys that an event would set or remove, for whoever waits for them.</summary>
    public IEnumerable<string> KeysOf(StoreEvent e) => e switch
    {
        StoreEvent.KeysChanged x => x.Changes.Items.SelectMany(c => c switch
        {
            KvChange.Set set => [set.Key],
            KvChange.Removed removed => [removed.Key],
            KvChange.RemovedUnder under => Entries.Under(under.Prefix).Select(k => k.Key),
            _ => throw new UnreachableException($"{c}"),
        }),
        StoreEvent.SessionEnded x => HeldBy(x.Session),
        _ => [],
    };

    private StoreState End(StoreEvent.SessionEnded x, long index, DateTimeOffset at)
    {
        if (!Sessions.TryGetValue(x.Session, out var session)) return this;
        var step = new KeyStep(this, index);
        var delays = LockDelays.RemoveRange(LockDelays.Where(d => d.Value <= at).Select(d => d.Key).ToList());
        foreach (var key in HeldBy(x.Session))
        {
            if (session.Behavior == SessionBehavior.Delete) step.Remove(key);
            else if (Entries.Find(key) is { } entry) step.Set(new KvChange.Set(key, entry.Value, entry.Flags, null, entry.LockIndex));
            if (session.EffectiveLockDelay > TimeSpan.Zero) delays = delays.SetItem(key, at + session.EffectiveLockDelay);
        }
        return step.Done() with { Sessions = Sessions.Remove(x.Session), SessionsIndex = index, LockDelays = delays };
    }

    /// <summary>Changes of keys together with who holds them.</summary>
    private sealed class KeyStep(StoreState before, long index)
    {
        private readonly KvEntries.Step _entries = before.Entries.Change();
        private ImmutableDictionary<string, ImmutableSortedSet<string>> _held = before.Held;

        public KeyStep Apply(IEnumerable<KvChange> changes)
        {
            foreach (var change in changes)
                switch (change)
                {
                    case KvChange.Set x:
                        Set(x);
                        break;
                    case KvChange.Removed x:
                        Remove(x.Key);
                        break;
                    case KvChange.RemovedUnder x:
                        foreach (var entry in _entries.Done().Under(x.Prefix).ToList()) Remove(entry.Key);
                        break;
                    default:
                        throw new UnreachableException($"{change}");
                }
            return this;
        }

        public void Set(KvChange.Set x)
        {
            var old = _entries.Find(x.Key);
            _entries.Set(new KvEntry(x.Key, x.Value, old?.CreateIndex ?? index, index) { Flags = x.Flags, Session = x.Session, LockIndex = x.LockIndex });
            Hold(x.Key, old?.Session, x.Session);
        }

        public void Remove(string key)
        {
            var old = _entries.Find(key);
            if (_entries.Remove(key, index)) Hold(key, old?.Session, null);
        }

        public StoreState Done() => before with { Entries = _entries.Done(), Held = _held };

        private void Hold(string key, string? holder, string? now)
        {
            if (holder == now) return;
            if (holder is not null && _held.TryGetValue(holder, out var keys))
                _held = keys.Remove(key) is { IsEmpty: false } rest ? _held.SetItem(holder, rest) : _held.Remove(holder);
            if (now is not null) _held = _held.SetItem(now, _held.GetValueOrDefault(now, ImmutableSortedSet.Create<string>(StringComparer.Ordinal)).Add(key));
        }
    }
}

/// <summary>The JSON form of a store, for snapshots of the log and for nodes that begin anew.</summary>
internal sealed class StoreStateConverter : JsonConverter<StoreState>
{
    /// <summary>What cannot be worked out from the rest.</summary>
    private sealed record Written(
        long Index, KvEntry[] Entries, KvTombstone[] Tombstones, long Forgotten, KvSession[] Sessions, long SessionsIndex, Delay[] LockDelays)
    {
        /// <summary>Null where nobody has spoken of tokens.</summary>
        public WrittenAcl? Acl { get; init; }

        /// <summary>Null where nothing was ever registered.</summary>
        public Catalog.Registry? Registry { get; init; }
    }

    private sealed record WrittenAcl(long BootstrapIndex, AclPolicy[] Policies, AclToken[] Tokens);

    private sealed record Delay(string Key, DateTimeOffset Until);

    public override StoreState Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var written = JsonSerializer.Deserialize<Written>(ref reader, options) ?? throw new JsonException("a store is wanted, not null");
        var held = written.Entries.Where(e => e.Session is not null).GroupBy(e => e.Session!, StringComparer.Ordinal);
        return StoreState.Empty with
        {
            Index = written.Index,
            Entries = KvEntries.Of(written.Entries, written.Tombstones, written.Forgotten),
            Sessions = StoreState.Empty.Sessions.AddRange(written.Sessions.Select(s => KeyValuePair.Create(s.Id, s))),
            SessionsIndex = written.SessionsIndex,
            Held = StoreState.Empty.Held.AddRange(held.Select(g => KeyValuePair.Create(g.Key, g.Select(e => e.Key).ToImmutableSortedSet(StringComparer.Ordinal)))),
            Registry = written.Registry ?? Catalog.Registry.Empty,
            LockDelays = StoreState.Empty.LockDelays.AddRange(written.LockDelays.Select(d => KeyValuePair.Create(d.Key, d.Until))),
            Acl = written.Acl is { } acl ? Read(acl) : AclState.Empty,
        };
    }

    private static AclState Read(WrittenAcl acl) => AclState.Empty with
    {
        BootstrapIndex = acl.BootstrapIndex,
        Policies = AclState.Empty.Policies.SetItems(acl.Policies.Select(p => KeyValuePair.Create(p.Id, p))),
        Tokens = AclState.Empty.Tokens.SetItems(acl.Tokens.Select(t => KeyValuePair.Create(t.Accessor, t))),
        AccessorOfSecret = AclState.Empty.AccessorOfSecret.SetItems(acl.Tokens.Select(t => KeyValuePair.Create(t.SecretHash, t.Accessor))),
    };

    public override void Write(Utf8JsonWriter writer, StoreState value, JsonSerializerOptions options) => JsonSerializer.Serialize(writer, new Written(
        value.Index, [.. value.Entries.Under("")], [.. value.Entries.Tombstones], value.Entries.Forgotten, [.. value.Sessions.Values], value.SessionsIndex,
        [.. value.LockDelays.Select(d => new Delay(d.Key, d.Value))])
    {
        Registry = ReferenceEquals(value.Registry, Catalog.Registry.Empty) ? null : value.Registry,
        Acl = ReferenceEquals(value.Acl, AclState.Empty) ? null : new WrittenAcl(value.Acl.BootstrapIndex, [.. value.Acl.Policies.Values], [.. value.Acl.Tokens.Values]),
    }, options);
}
