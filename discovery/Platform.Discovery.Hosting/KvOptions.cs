namespace Platform.Discovery.Hosting;

/// <summary>The scheduler that this node hears from.</summary>
public sealed record KvLeader(string Address);

/// <summary>No scheduler is heard: what needs one cannot be done now.</summary>
public sealed class NoLeaderException(string message = "No cluster leader") : Exception(message);

/// <summary>The leader has too much to do, or its log refuses: nothing was done, and it may be tried again.</summary>
public sealed class StoreUnavailableException(string message) : Exception(message);

public sealed record KvOptions
{
    /// <summary>This node, to which sessions are bound that name none.</summary>
    public string NodeName { get; init; } = "";

    public string Datacenter { get; init; } = "dc1";

    /// <summary>Null while no scheduler is heard: what is shown is then what it was (X-Consul-KnownLeader: false).</summary>
    public Func<KvLeader?> Leader { get; init; } = () => null;

    /// <summary>How a request reaches the leader. Throws <see cref="NoLeaderException"/> if there is none or it got lost on the way, <see cref="StoreUnavailableException"/> if it was refused for now.</summary>
    public Func<StoreRequest, CancellationToken, Task<StoreAnswer>> Ask { get; init; } = (_, _) => throw new NoLeaderException();

    /// <summary>Whether callers need tokens.</summary>
    public AclMode Acl { get; init; }

    /// <summary>Blocking queries that may be parked at once; more are told 503.</summary>
    public int ParkedMax { get; init; } = 50_000;

    /// <summary>How long a write's answer waits for this node's own copy to have it.</summary>
    public TimeSpan OwnWriteWait { get; init; } = TimeSpan.FromSeconds(5);
}
