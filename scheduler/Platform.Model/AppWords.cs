namespace Platform.Model;

/// <summary>The words of the contract's enumerations. Input takes any case, output uses these.</summary>
internal static class AppWords
{
    public static readonly Dictionary<string, ContainerType> ContainerTypes = Words([("DOCKER", ContainerType.Docker), ("MESOS", ContainerType.Mesos)]);

    public static readonly Dictionary<string, KillSelection> KillSelections =
        Words([("YOUNGEST_FIRST", KillSelection.YoungestFirst), ("OLDEST_FIRST", KillSelection.OldestFirst)]);

    public static readonly Dictionary<string, bool> VolumeModes = Words([("RO", true), ("RW", false)]);

    /// <summary>True where the old word asks for a relaunch elsewhere, which the volume does not allow (contract 2.1: no effect).</summary>
    public static readonly Dictionary<string, bool> TaskLostBehaviors = Words([("RELAUNCH_AFTER_TIMEOUT", true), ("WAIT_FOREVER", false)]);

    public static readonly Dictionary<string, HealthCheckProtocol> HealthCheckProtocols = Words(
    [
        ("HTTP", HealthCheckProtocol.Http), ("HTTPS", HealthCheckProtocol.Https), ("TCP", HealthCheckProtocol.Tcp), ("COMMAND", HealthCheckProtocol.Command),
        ("MESOS_HTTP", HealthCheckProtocol.MesosHttp), ("MESOS_HTTPS", HealthCheckProtocol.MesosHttps), ("MESOS_TCP", HealthCheckProtocol.MesosTcp),
    ]);

    public static readonly Dictionary<string, ConstraintOperator> ConstraintOperators = Words(
    [
        ("UNIQUE", ConstraintOperator.Unique), ("CLUSTER", ConstraintOperator.Cluster), ("GROUP_BY", ConstraintOperator.GroupBy),
        ("LIKE", ConstraintOperator.Like), ("UNLIKE", ConstraintOperator.Unlike), ("MAX_PER", ConstraintOperator.MaxPer), ("IS", ConstraintOperator.Is),
    ]);

    /// <summary>The modes of <c>networks</c>; null where only a named network could be meant.</summary>
    public static readonly Dictionary<string, NetworkWord> NetworkModes =
        Words([("host", NetworkWord.Host), ("container/bridge", NetworkWord.Bridge), ("container", NetworkWord.Named)]);

    /// <summary>The modes of <c>container.docker.network</c> (contract 2.2).</summary>
    public static readonly Dictionary<string, NetworkWord> DockerNetworks =
        Words([("HOST", NetworkWord.Host), ("BRIDGE", NetworkWord.Bridge), ("USER", NetworkWord.Named), ("NONE", NetworkWord.None)]);

    public static string Of<T>(Dictionary<string, T> words, T value) where T : struct => words.First(x => x.Value.Equals(value)).Key;

    private static Dictionary<string, T> Words<T>(IEnumerable<(string Word, T Value)> words) =>
        words.ToDictionary(x => x.Word, x => x.Value, StringComparer.OrdinalIgnoreCase);
}

internal enum NetworkWord { Host, Bridge, Named, None }
