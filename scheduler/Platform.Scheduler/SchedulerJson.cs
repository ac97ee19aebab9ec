using System.Text.Json;
using System.Text.Json.Serialization;
using Platform.Scheduling;

namespace Platform.Scheduler;

/// <summary>The one JSON form of what the cluster log keeps: events and snapshots of the state.</summary>
public static class SchedulerJson
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        IgnoreReadOnlyProperties = true,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    public static byte[] Write(SchedulerEvent e) => JsonSerializer.SerializeToUtf8Bytes(e, Options);
    public static SchedulerEvent ReadEvent(ReadOnlySpan<byte> json) => JsonSerializer.Deserialize<SchedulerEvent>(json, Options)!;
    public static byte[] Write(ClusterState state) => JsonSerializer.SerializeToUtf8Bytes(state, Options);
    public static ClusterState ReadState(ReadOnlySpan<byte> json) => JsonSerializer.Deserialize<ClusterState>(json, Options)!;
}
