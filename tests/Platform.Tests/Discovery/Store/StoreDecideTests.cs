using System.Text;
using System.Text.Json;
using Platform.Discovery;

namespace Platform.Tests.Discovery.Store;

/// <summary>The store by itself: what its bounds are, what a copy comes to, and how long sessions live.</summary>
public sealed class StoreDecideTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);
    private const string Session = "01234567-89ab-8def-8123-456789abcdef";

    private readonly List<StoredEvent> _events = [];
    private StoreState _state = StoreState.Empty;
    private long _revision;

    private StoreReply Ask(StoreRequest request, StoreLimits? limits = null, DateTimeOffset? now = null)
    {
        var decision = StoreDecide.Decide(_state, request, (node, check) => node == "gone" ? CheckVerdict.NoSuchNode : check == "bad" ? CheckVerdict.Critical : CheckVerdict.Well, ++_revision, now ?? Now, limits);
        if (decision.Event is not { } e) return decision.Reply;
        _events.Add(new StoredEvent(_revision, now ?? Now, e));
        _state = _state.Fold(e, _revision, now ?? Now);
        return decision.Reply;
    }

    private StoreReply Do(KvVerb verb, string key, string value = "", ulong index = 0, string session = "", StoreLimits? limits = null, DateTimeOffset? now = null) =>
        Ask(new StoreRequest.Apply(new KvOperation(verb, key) { Value = new KvValue(Encoding.UTF8.GetBytes(value)), Index = index, Session = session }), limits, now);

    [Fact]
    public void A_full_store_refuses_what_would_make_it_larger_and_nothing_else()
    {
        var small = new StoreLimits { KeysMax = 2, BytesMax = 20, SessionsMax = 1 };
        Assert.Equal(new StoreReply.Done(true), Do(KvVerb.Set, "a", "12345", limits: small));
        Assert.Equal(new StoreReply.Done(true), Do(KvVerb.Set, "b", "12345", limits: small));
        Assert.Equal(507, Assert.IsType<StoreReply.Failed>(Do(KvVerb.Set, "c", "1", limits: small)).Status);
        Assert.Equal(507, Assert.IsType<StoreReply.Failed>(Do(KvVerb.Set, "a", "12345678901234567890", limits: small)).Status);
        Assert.Equal(new StoreReply.Done(true), Do(KvVerb.Set, "a", "1", limits: small));
        Assert.Equal(new StoreReply.Done(true), Do(KvVerb.Delete, "b", limits: small));
        Assert.Equal(new StoreReply.Done(true), Do(KvVerb.Set, "c", "1", limits: small));
        Assert.Equal(4, _state.Entries.Bytes);
        Assert.IsType<StoreReply.SessionIs>(Ask(new StoreRequest.CreateSession(new KvSession { Id = Session, Node = "n" }), small));
        Assert.Equal(507, Assert.IsType<StoreReply.Failed>(Ask(new StoreRequest.CreateSession(new KvSession { Id = Session.Replace('0', '1'), Node = "n" }), small)).Status);
    }

    [Fact]
    public void A_transaction_happens_whole_at_one_index_or_not_at_all()
    {
        Do(KvVerb.Set, "a", "1");
        var reply = (StoreReply.Transacted)Ask(new StoreRequest.Transact([
            new KvOperation(KvVerb.Set, "b"), new KvOperation(KvVerb.CheckNotExists, "a"), new KvOperation(KvVerb.Set, "platform/x"), new KvOperation(KvVerb.Get, "platform/x")]));
        Assert.Equal([1, 2, 3], reply.Failures.Select(f => f.Operation));
        Assert.Null(_state.Entries.Find("b"));
        Ask(new StoreRequest.Transact([new KvOperation(KvVerb.Delete, "a"), new KvOperation(KvVerb.Set, "b"), new KvOperation(KvVerb.Set, "c")]));
        Assert.Equal([_revision, _revision, _revision], [_state.Entries.IndexOf("a"), _state.Entries.IndexOf("b"), _state.Entries.IndexOf("c")]);
    }

    [Fact]
    public void A_lock_waits_out_its_delay_and_no_longer()
    {
        Ask(new StoreRequest.CreateSession(new KvSession { Id = Session, Node = "n", LockDelay = TimeSpan.FromSeconds(70) }));
        var other = Session.Replace('0', '1');
        Ask(new StoreRequest.CreateSession(new KvSession { Id = other, Node = "n" }));
        Assert.Equal(new StoreReply.Done(true), Do(KvVerb.Lock, "k", session: Session));
        Assert.Equal(new StoreReply.Done(false), Do(KvVerb.Lock, "k", session: other));
        Ask(new StoreRequest.DestroySession(Session));
        Assert.Equal(new StoreReply.Done(false), Do(KvVerb.Lock, "k", session: other, now: Now.AddSeconds(59)));
        Assert.Equal(new StoreReply.Done(true), Do(KvVerb.Lock, "k", session: other, now: Now.AddSeconds(60))); // 60 s is the most
        Assert.Equal(2, _state.Entries.Find("k")!.LockIndex);
    }

    [Fact]
    public void A_session_needs_a_node_and_checks_that_are_well()
    {
        Assert.Equal(new StoreReply.Failed(500, "Missing node registration"), Ask(new StoreRequest.CreateSession(new KvSession { Id = Session, Node = "gone" })));
        Assert.Equal(new StoreReply.Failed(500, "Check 'bad' is in critical state"), Ask(new StoreRequest.CreateSession(new KvSession { Id = Session, Node = "n", ServiceChecks = ["bad"] })));
        Assert.Empty(_state.Sessions);
    }

    /// <summary>Whatever was done in whatever order: a copy that took the whole at any time, or only the events, is the same as the original.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Copies_come_to_the_same_and_indices_only_grow(int seed)
    {
        var random = new Random(seed);
        string Any(params string[] of) => of[random.Next(of.Length)];
        var prefixes = new Dictionary<string, long>();
        var wholes = new List<string>();
        for (var i = 0; i < 400; i++)
        {
            if (i % 40 == 0) Ask(new StoreRequest.CreateSession(new KvSession { Id = $"00000000-0000-0000-0000-{i / 40:D12}", Node = "n", LockDelay = TimeSpan.Zero, Behavior = (SessionBehavior)(i / 40 % 2) }));
            var key = Any("a", "a/b", "a/b/c", "b", "b/");
            var session = $"00000000-0000-0000-0000-{random.Next(Math.Max(1, i / 40)):D12}";
            _ = random.Next(8) switch
            {
                0 or 1 => Do(KvVerb.Set, key, Any("x", "y")),
                2 => Do(KvVerb.Delete, key),
                3 => Do(KvVerb.DeleteTree, key),
                4 or 5 => Do(KvVerb.Lock, key, Any("x", "y"), session: session),
                6 => Do(KvVerb.Unlock, key, session: session),
                _ => random.Next(4) == 0 ? Ask(new StoreRequest.DestroySession(session)) : Do(KvVerb.Cas, key, "z", (ulong)_state.Entries.IndexOf(key)),
            };
            foreach (var prefix in (string[])["", "a", "a/", "a/b", "b"])
            {
                var index = _state.Entries.IndexUnder(prefix);
                Assert.True(index >= prefixes.GetValueOrDefault(prefix, 1));
                prefixes[prefix] = index;
            }
            wholes.Add(Text(_state));
        }
        var copy = StoreState.Empty;
        foreach (var e in _events) copy = copy.Fold(e.Event, e.Index, e.At);
        Assert.Equal(Text(_state), Text(copy));
        var at = wholes.Count / 2;
        copy = JsonSerializer.Deserialize<StoreState>(wholes[at])!;
        foreach (var e in _events.Where(e => e.Index > copy.Index)) copy = copy.Fold(e.Event, e.Index, e.At);
        Assert.Equal(Text(_state), Text(copy));
        Assert.Equal(_state.Held.OrderBy(h => h.Key).Select(h => $"{h.Key} {string.Join(' ', h.Value)}"), copy.Held.OrderBy(h => h.Key).Select(h => $"{h.Key} {string.Join(' ', h.Value)}"));
        Assert.Equal(_state.Entries.Bytes, _state.Entries.Under("").Sum(e => e.Size));
    }

    [Fact]
    public void More_deletions_than_are_remembered_still_move_the_index_of_their_prefix()
    {
        var many = KvEntries.TombstonesMax + 10;
        for (var i = 0; i < many; i++) Do(KvVerb.Set, $"gone/{i}", "x");
        for (var i = 0; i < many; i++) Do(KvVerb.Delete, $"gone/{i}");
        Assert.Equal(_revision, _state.Entries.IndexUnder("gone/"));
        Assert.True(_state.Entries.IndexOf("gone/0") > many); // forgotten by itself, and yet nobody is told an index from before
        Assert.Equal(KvEntries.TombstonesMax, _state.Entries.Tombstones.Count());
    }

    [Theory]
    [InlineData("key_prefix \"a/\" { policy = \"write\" } key \"b\" { policy = \"read\" }", "a/x", true, true)]
    [InlineData("key_prefix \"a/\" { policy = \"write\" } key_prefix \"a/x\" { policy = \"deny\" }", "a/x/y", false, false)]
    [InlineData("key_prefix \"a/\" { policy = \"deny\" } key \"a/x\" { policy = \"write\" }", "a/x", true, true)]
    [InlineData("# nothing\n/* at all */ acl = \"write\"", "a", false, false)]
    [InlineData("{\"key_prefix\":{\"\":{\"policy\":\"list\"}}}", "a", true, false)]
    public void Rules_say_what_they_say(string text, string key, bool read, bool write)
    {
        Assert.True(AccessRules.TryParse(text, out var rules, out var why), why);
        var authorizer = new Authorizer(rules, AccessLevel.Deny);
        Assert.Equal((read, write), (authorizer.MayRead("key", key), authorizer.MayWrite("key", key)));
    }

    [Theory]
    [InlineData("junk", "expected start of object")]
    [InlineData("key_prefix \"a\" { policy = \"wrote\" }", "Invalid key_prefix policy")]
    [InlineData("key_prefix \"a\" { }", "has no policy")]
    [InlineData("key_prefix \"a\" { policy = \"write\"", "a word is wanted")]
    [InlineData("colour \"a\" { policy = \"write\" }", "no rule colour")]
    [InlineData("key \"a", "is wanted")]
    [InlineData("{\"key\":[]}", "neither")]
    public void Rules_that_say_nothing_are_refused(string text, string expected)
    {
        Assert.False(AccessRules.TryParse(text, out _, out var why));
        Assert.Contains(expected, why);
    }

    private static string Text(StoreState state) => JsonSerializer.Serialize(state);
}
