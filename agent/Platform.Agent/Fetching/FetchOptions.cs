namespace Platform.Agent;

/// <summary>What a node fetches for its tasks, and how much.</summary>
public sealed record FetchOptions
{
    /// <summary>Nothing from private, local or link-local addresses; the artifact store is exempt.</summary>
    public bool ForbidPrivate { get; init; }

    /// <summary><c>host:port</c> of the scheduler's artifact store; null while it is not known.</summary>
    public Func<string?> ArtifactStore { get; init; } = () => null;

    /// <summary>One artifact, as it is downloaded.</summary>
    public long BytesMax { get; init; } = 8L << 30;

    /// <summary>One archive, unpacked: small files can hold very large ones.</summary>
    public long UnpackedBytesMax { get; init; } = 16L << 30;

    public int EntriesMax { get; init; } = 200_000;
    public long CacheBytesMax { get; init; } = 2L << 30;
    public TimeSpan TimeMax { get; init; } = TimeSpan.FromMinutes(30);
}
