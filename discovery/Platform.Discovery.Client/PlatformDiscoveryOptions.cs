namespace Platform.Discovery.Client;

/// <summary>Where the platform is, and how its names are said.</summary>
public sealed class PlatformDiscoveryOptions
{
    /// <summary>The REST doors of the schedulers, such as <c>http://127.0.0.1:8080</c>; they are tried in turn. Without one nothing can be found.</summary>
    public IList<Uri> Schedulers { get; } = [];

    /// <summary><c>user:password</c>, where the REST door asks for one.</summary>
    public string? Credentials { get; set; }

    /// <summary>The platform's DNS domain: <c>http://web.marathon.mesos</c> is the same as <c>http://web</c>.</summary>
    public string Domain { get; set; } = "marathon.mesos";

    /// <summary>How long the first request waits for the first table before it fails. Later the last table serves, however long no scheduler answers.</summary>
    public TimeSpan FirstTableWithin { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>A stream that is silent for so long is dead: the scheduler says every 10 seconds that it is there.</summary>
    public TimeSpan SilenceMax { get; set; } = TimeSpan.FromSeconds(35);
}
