using Platform.Model;

namespace Platform.Discovery;

/// <summary>Where a copy of the store stands: which cluster's it is, and the revision of the newest event in it.</summary>
public readonly record struct StoreCursor(string Epoch, long Index)
{
    public static readonly StoreCursor Start = new("", 0);
}

/// <summary>An event with what a fold needs to know of it.</summary>
public sealed record StoredEvent(long Index, DateTimeOffset At, StoreEvent Event);

/// <summary>What a copy misses: the whole store, or the events since.</summary>
public abstract record StoreUpdate(string Epoch)
{
    public sealed record Whole(string Epoch, StoreState State) : StoreUpdate(Epoch);

    /// <summary>They follow on <paramref name="From"/>; none, to say that there is no news.</summary>
    public sealed record Since(string Epoch, long From, EquatableArray<StoredEvent> Events) : StoreUpdate(Epoch);
}
