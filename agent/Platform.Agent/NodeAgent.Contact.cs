namespace Platform.Agent;

/// <summary>How old what this node serves may be: the table is as of the moment in which its scheduler was last heard, also across its own restart.</summary>
public sealed partial class NodeAgent
{
    private static readonly TimeSpan ContactEvery = TimeSpan.FromSeconds(5);

    /// <summary>For how long no scheduler has been heard: zero while one is, null if none ever was.</summary>
    public TimeSpan? Silence => _link.Connected ? TimeSpan.Zero
        : _link.LastHeardAt is { } at ? _time.GetUtcNow() is var now && now > at ? now - at : TimeSpan.Zero
        : null;

    /// <summary>The time of the table's file says when it was last known to be true. It is not synced: after a power cut the age is told too high, never too low.</summary>
    private async Task KeepContactAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            await Task.Delay(ContactEvery, _time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (Silence is not { } silence) continue;
            try
            {
                if (File.Exists(TableFile)) File.SetLastWriteTimeUtc(TableFile, (_time.GetUtcNow() - silence).UtcDateTime);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                LogNotSaved(TableFile, e.Message);
            }
        }
    }
}
