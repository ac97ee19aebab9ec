namespace Platform.Model;

/// <summary>Hard limits of one app definition (reliability 7.4). A body may be longer than any sensible app; its parts may not.</summary>
public static class AppLimits
{
    public const int InstancesMax = 50_000;
    public const int LabelsMax = 256;
    public const int EnvMax = 1_024;
    public const int ValueBytesMax = 64 * 1024;
    public const int PortsMax = 100;
    public const int HealthChecksMax = 32;
    public const int ConstraintsMax = 64;
    public const int DependenciesMax = 256;

    /// <summary>Apps and groups together in one body.</summary>
    public const int GroupMembersMax = 10_000;

    public const int VolumesMax = 256;
    public const int ParametersMax = 256;
    public const int ArgsMax = 4_096;
    public const int ImageLengthMax = 1_024;
    public const int PortNameLengthMax = 255;

    /// <summary>A third of a century: far beyond use, and far from where spans and instants overflow.</summary>
    public const double SecondsMax = 1e9;

    public const double ResourceMax = 1e9;
    public const int ProblemsMax = 100;
}
