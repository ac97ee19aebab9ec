namespace Platform.Model;

/// <summary>What an app's labels ask of its names.</summary>
public static class DnsView
{
    /// <summary>
    /// With <c>true</c> the instances that run and are not ready yet are published, too, under names of their own (<c>web.marathon.all.mesos</c>):
    /// for peers that must find each other before any of them is healthy.
    /// </summary>
    public const string AllLabel = "PLATFORM_DNS_ALL";

    public static bool ShowsAll(EquatableMap labels) => labels.TryGetValue(AllLabel, out var all) && string.Equals(all, "true", StringComparison.OrdinalIgnoreCase);
}
