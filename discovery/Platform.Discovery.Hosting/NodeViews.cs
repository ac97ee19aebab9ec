using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery.Hosting;

/// <summary>
/// What this node's views (dns, kv, files, proxy) have made visible, and which withdrawn instances still have requests in flight in
/// its proxy. The agent's link sends it to the scheduler, which stops a task only after every node's proxy has let go of it (exact drain).
/// </summary>
public sealed class NodeViews(TimeProvider? time = null)
{
    public sealed record State(ImmutableSortedDictionary<string, EndpointCursor> Served, EquatableArray<InstanceId> Draining)
    {
        /// <summary>When each view reached what it serves, on the clock of this node alone (<see cref="SinceServed"/>).</summary>
        internal ImmutableSortedDictionary<string, long> ServedAt { get; init; } = ImmutableSortedDictionary<string, long>.Empty;

        /// <summary>What a view could not do and what it serves instead, by the view and the thing: a template that is broken, a reload that failed.</summary>
        public ImmutableSortedDictionary<(string View, string What), string> Problems { get; init; } = ImmutableSortedDictionary<(string, string), string>.Empty;

        /// <summary>The revision that every view has reached at least; 0 before the first view reported.</summary>
        public long ServedByAll => Served.IsEmpty ? 0 : Served.Values.Min(x => x.Revision);
    }

    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly Lock _writing = new();
    private volatile State _state = new(ImmutableSortedDictionary<string, EndpointCursor>.Empty, default);
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public State Current => _state;

    /// <summary>What the node's proxy has counted for each app that had requests; the proxy puts itself here.</summary>
    public Func<IEnumerable<AppTraffic>> Traffic { get; set; } = () => [];

    /// <summary>For how long no scheduler has been heard; null before any ever was. The agent puts itself here.</summary>
    public Func<TimeSpan?> Silence { get; set; } = () => null;

    /// <summary>Announces a view before it serves anything, so that the minimum counts it from the start.</summary>
    public void Expect(string view) => Change(s => s.Served.ContainsKey(view) ? s : s with { Served = s.Served.SetItem(view, EndpointCursor.Start) });

    public void Served(string view, EndpointCursor cursor) => Change(s => Reached(s, view, cursor));

    /// <summary>Told by the proxy together with, and not before, the revision that withdrew them.</summary>
    public void Served(string view, EndpointCursor cursor, EquatableArray<InstanceId> draining) =>
        Change(s => Reached(s, view, cursor) with { Draining = draining });

    /// <summary>Null: it works again.</summary>
    public void Problem(string view, string what, string? why) => Change(s =>
        s.Problems.GetValueOrDefault((view, what)) == why ? s
        : s with { Problems = why is null ? s.Problems.Remove((view, what)) : s.Problems.SetItem((view, what), why) });

    /// <summary>How long ago the view reached what <paramref name="state"/> says it serves; zero for one that serves nothing yet.</summary>
    public TimeSpan SinceServed(State state, string view) => state.ServedAt.TryGetValue(view, out var at) ? _time.GetElapsedTime(at) : TimeSpan.Zero;

    /// <summary>Completes when the state differs from <paramref name="seen"/>.</summary>
    public async Task<State> ChangedAsync(State seen, CancellationToken stopping)
    {
        while (true)
        {
            var changed = _changed;
            if (_state is var state && !ReferenceEquals(state, seen)) return state;
            await changed.Task.WaitAsync(stopping).ConfigureAwait(false);
        }
    }

    private State Reached(State state, string view, EndpointCursor cursor) => state.Served.GetValueOrDefault(view) == cursor
        ? state
        : state with { Served = state.Served.SetItem(view, cursor), ServedAt = state.ServedAt.SetItem(view, _time.GetTimestamp()) };

    private void Change(Func<State, State> change)
    {
        lock (_writing)
        {
            var next = change(_state);
            if (ReferenceEquals(next, _state)) return;
            _state = next;
            var waiters = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiters.TrySetResult();
        }
    }
}
