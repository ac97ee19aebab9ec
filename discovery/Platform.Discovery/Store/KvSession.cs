using System.Text.Json.Serialization;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>What becomes of the keys a session holds when it ends.</summary>
public enum SessionBehavior { Release, Delete }

/// <summary>Why a session ended.</summary>
public enum SessionEnd { Destroyed, Expired, NodeLost, CheckFailed }

/// <summary>Somebody who may hold keys as locks, for as long as it renews itself and what it is bound to is well (Consul's sessions).</summary>
public sealed record KvSession
{
    /// <summary>The check that every node has: it is there and heard.</summary>
    public const string NodeAlive = "serfHealth";

    public static readonly TimeSpan TtlMin = TimeSpan.FromSeconds(10);
    public static readonly TimeSpan TtlMax = TimeSpan.FromHours(24);
    public static readonly TimeSpan LockDelayDefault = TimeSpan.FromSeconds(15);
    public static readonly TimeSpan LockDelayMax = TimeSpan.FromSeconds(60);

    /// <summary>A session lives at least its TTL without a renewal, and at most this many times that.</summary>
    public const int TtlFactor = 2;

    public required string Id { get; init; }
    public string Name { get; init; } = "";
    public required string Node { get; init; }

    /// <summary>Checks of its node, by id; when one is critical or gone, the session ends.</summary>
    public EquatableArray<string> NodeChecks { get; init; }

    /// <summary>Checks of services on its node, by id.</summary>
    public EquatableArray<string> ServiceChecks { get; init; }

    /// <summary>After it ended without having let go, for so long nobody gets what it held.</summary>
    public TimeSpan LockDelay { get; init; } = LockDelayDefault;

    public SessionBehavior Behavior { get; init; }

    /// <summary>As the client wrote it; empty where it gave none.</summary>
    public string TtlText { get; init; } = "";

    /// <summary>Null: it need not be renewed.</summary>
    public TimeSpan? Ttl { get; init; }

    /// <summary>Given by the fold.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public long CreateIndex { get; init; }

    [JsonIgnore]
    public TimeSpan EffectiveLockDelay => LockDelay > LockDelayMax ? LockDelayMax : LockDelay;
}
