namespace Platform.Model;

public static class AppChange
{
    /// <summary>
    /// Whether tasks must be replaced to get from one definition to the other: anything but the count differs (contract 2.9). Both must have
    /// their service ports assigned. How the user spelled the network is no difference.
    /// </summary>
    public static bool ConfigChanged(AppDefinition before, AppDefinition after) => Config(before) != Config(after);

    private static AppDefinition Config(AppDefinition app) => app with { Instances = 0, Version = default, VersionInfo = default, LegacyDockerNetwork = false };
}
