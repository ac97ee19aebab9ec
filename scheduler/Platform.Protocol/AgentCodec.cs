using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Google.Protobuf;
using Platform.Model;

namespace Platform.Protocol;

/// <summary>What an agent says first on a stream.</summary>
/// <param name="ClusterId">The cluster it last belonged to; null on its first start.</param>
public sealed record AgentHello(NodeDescription Node, string? ClusterId, string BootId, int Protocol, EndpointCursor Endpoints);

/// <summary>What is, on one node; see NodeReport in agent.proto.</summary>
public sealed record AgentReport(
    ulong Sequence, bool Complete, EquatableArray<InstanceReport> Instances, long EndpointRevision, EquatableArray<InstanceId> Draining, long DesiredRevision)
{
    public EquatableArray<string> Wiped { get; init; }

    public EquatableArray<AppTraffic> Traffic { get; init; }

    public EquatableArray<ViewServed> Views { get; init; }
}

/// <summary>Where one view of a node stands, and since when.</summary>
public sealed record ViewServed(string View, long Revision, TimeSpan Ago);

/// <summary>What a scheduler says first on a stream.</summary>
public sealed record SchedulerWelcome(string ClusterId, long Term, TimeSpan ReportInterval)
{
    /// <summary>Where this node finds the scheduler's REST door; empty = it cannot reach it.</summary>
    public string Api { get; init; } = "";
}

/// <summary>What one node is to run; see Desired in agent.proto.</summary>
public sealed record DesiredState(long Revision, bool Complete, long NextSerial, EquatableArray<Assignment> Upsert, EquatableArray<InstanceId> Remove)
{
    public EquatableArray<string> Wipe { get; init; }
}

/// <summary>
/// The one place where the wire's messages and the model meet. The scheduler's gateway and the agent's link both go through it.
/// Instants travel as whole milliseconds. A message that does not decode is a broken peer: <see cref="FormatException"/> or <see cref="JsonException"/>.
/// </summary>
public static class AgentCodec
{
    /// <summary>A year, in microseconds: what a broken peer says beyond it is cut, and fits a TimeSpan.</summary>
    private const long AgoMaxUs = 365L * 24 * 3600 * 1_000_000;

    /// <summary>Said in Hello; a scheduler that cannot serve it answers Goodbye.</summary>
    public const int ProtocolVersion = 1;

    /// <summary>Model values inside messages and in the agent's own files.</summary>
    public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        IgnoreReadOnlyProperties = true,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
        TypeInfoResolver = new DefaultJsonTypeInfoResolver { Modifiers = { NameEndpointChanges } },
    };

    public static Wire.FromAgent Encode(AgentHello hello) => new()
    {
        Hello = new Wire.Hello
        {
            Node = Encode(hello.Node),
            ClusterId = hello.ClusterId ?? "",
            BootId = hello.BootId,
            Protocol = (uint)hello.Protocol,
            EndpointEpoch = hello.Endpoints.Epoch,
            EndpointRevision = hello.Endpoints.Revision,
        },
    };

    public static AgentHello Decode(Wire.Hello hello) => new(
        Decode(hello.Node), hello.ClusterId.Length == 0 ? null : hello.ClusterId, hello.BootId, (int)hello.Protocol,
        new EndpointCursor(hello.EndpointEpoch, hello.EndpointRevision));

    public static Wire.FromAgent Encode(AgentReport report) => new()
    {
        Report = new Wire.NodeReport
        {
            Sequence = report.Sequence,
            Complete = report.Complete,
            Instances = { report.Instances.Select(Encode) },
            EndpointRevision = report.EndpointRevision,
            Draining = { report.Draining.Select(x => x.Text) },
            DesiredRevision = report.DesiredRevision,
            Wiped = { report.Wiped },
            Traffic = { report.Traffic.Select(x => new Wire.AppTraffic { App = x.App.Path, Requests = x.Requests, Failed = x.Failed }) },
            Views = { report.Views.Select(x => new Wire.ViewServed { View = x.View, Revision = x.Revision, AgoUs = (long)x.Ago.TotalMicroseconds }) },
        },
    };

    public static AgentReport Decode(Wire.NodeReport report) => new(
        report.Sequence, report.Complete, report.Instances.Select(Decode).ToEquatableArray(), report.EndpointRevision,
        report.Draining.Select(InstanceId.Parse).ToEquatableArray(), report.DesiredRevision)
    {
        Wiped = report.Wiped.ToEquatableArray(),
        Traffic = report.Traffic.Select(x => new AppTraffic(AppId.Parse(x.App), x.Requests, x.Failed)).ToEquatableArray(),
        Views = report.Views.Select(x => new ViewServed(x.View, x.Revision, TimeSpan.FromMicroseconds(Math.Clamp(x.AgoUs, 0, AgoMaxUs)))).ToEquatableArray(),
    };

    public static Wire.ToAgent Encode(SchedulerWelcome welcome) => new()
    {
        Welcome = new Wire.Welcome { ClusterId = welcome.ClusterId, Term = welcome.Term, ReportIntervalMs = (int)welcome.ReportInterval.TotalMilliseconds, Api = welcome.Api },
    };

    public static Wire.ToAgent EncodePace(TimeSpan reportInterval) => new() { Pace = new Wire.Pace { ReportIntervalMs = (int)reportInterval.TotalMilliseconds } };

    public static TimeSpan Decode(Wire.Pace pace) => TimeSpan.FromMilliseconds(pace.ReportIntervalMs);

    public static SchedulerWelcome Decode(Wire.Welcome welcome) =>
        new(welcome.ClusterId, welcome.Term, TimeSpan.FromMilliseconds(welcome.ReportIntervalMs)) { Api = welcome.Api };

    public static Wire.ToAgent Encode(DesiredState desired) => new()
    {
        Desired = new Wire.Desired
        {
            Revision = desired.Revision,
            Complete = desired.Complete,
            NextSerial = desired.NextSerial,
            Upsert = { desired.Upsert.Select(Encode) },
            Remove = { desired.Remove.Select(x => x.Text) },
            Wipe = { desired.Wipe },
        },
    };

    public static DesiredState Decode(Wire.Desired desired) => new(
        desired.Revision, desired.Complete, desired.NextSerial, desired.Upsert.Select(Decode).ToEquatableArray(),
        desired.Remove.Select(InstanceId.Parse).ToEquatableArray()) { Wipe = desired.Wipe.ToEquatableArray() };

    public static Wire.ToAgent Encode(EndpointUpdate update) => new()
    {
        Endpoints = new Wire.EndpointUpdate
        {
            Epoch = update.Epoch,
            From = update.From,
            To = update.To,
            Complete = update.Complete,
            Changes = UnsafeByteOperations.UnsafeWrap(JsonSerializer.SerializeToUtf8Bytes(update.Changes, Json)),
        },
    };

    public static EndpointUpdate Decode(Wire.EndpointUpdate update) => new(
        update.Epoch, update.From, update.To, update.Complete,
        update.Changes.IsEmpty ? default : JsonSerializer.Deserialize<EquatableArray<EndpointChange>>(update.Changes.Span, Json));

    public static Wire.ToAgent Goodbye(string reason) => new() { Goodbye = new Wire.Goodbye { Reason = reason } };

    private static Wire.Node Encode(NodeDescription node) => new()
    {
        Name = node.Id.Name,
        Address = node.Address,
        Cpus = node.Total.Cpus,
        MemMib = node.Total.MemMib,
        DiskMib = node.Total.DiskMib,
        TaskPortMin = node.TaskPortMin,
        TaskPortMax = node.TaskPortMax,
        Attributes = { node.Attributes.ToDictionary() },
        Runtimes = { node.Runtimes },
        ReservedCpus = node.Reserved.Cpus,
        ReservedMemMib = node.Reserved.MemMib,
        Version = node.Version ?? "",
    };

    private static NodeDescription Decode(Wire.Node node) => new()
    {
        Id = NodeId.Parse(node.Name),
        Address = node.Address,
        Total = new Resources(node.Cpus, node.MemMib, node.DiskMib),
        TaskPortMin = node.TaskPortMin,
        TaskPortMax = node.TaskPortMax,
        Attributes = EquatableMap.From(node.Attributes),
        Runtimes = node.Runtimes.ToEquatableArray(),
        Reserved = new Resources(node.ReservedCpus, node.ReservedMemMib, 0),
        Version = node.Version.Length == 0 ? null : node.Version,
    };

    private static Wire.Assignment Encode(Assignment assignment) => new()
    {
        Secrets = assignment.Secrets is { } secrets
            ? new Wire.Secrets { Env = { secrets.Env.ToDictionary() }, Files = { secrets.Files.ToDictionary() }, Inaccessible = { secrets.Inaccessible } }
            : null,
        Id = assignment.Id.Text,
        Serial = assignment.Serial,
        Goal = (int)assignment.Goal,
        App = UnsafeByteOperations.UnsafeWrap(JsonSerializer.SerializeToUtf8Bytes(assignment.App, Json)),
        HostPorts = { assignment.HostPorts },
        Env = { assignment.Env.ToDictionary() },
        Volumes = { assignment.Volumes.Select(x => new Wire.LocalVolume { ContainerPath = x.ContainerPath, Uuid = x.Uuid, SizeMib = x.SizeMib }) },
        AwaitsReadiness = assignment.AwaitsReadiness,
    };

    private static Assignment Decode(Wire.Assignment assignment) => new(
        InstanceId.Parse(assignment.Id), assignment.Serial, KnownOr(assignment.Goal, Goal.Run),
        JsonSerializer.Deserialize<AppDefinition>(assignment.App.Span, Json) ?? throw new FormatException($"{assignment.Id} has no app"),
        assignment.HostPorts.ToEquatableArray(), EquatableMap.From(assignment.Env))
    {
        Volumes = assignment.Volumes.Select(x => new LocalVolume(x.ContainerPath, x.Uuid, x.SizeMib)).ToEquatableArray(),
        Secrets = assignment.Secrets is { } secrets
            ? new RevealedSecrets(EquatableMap.From(secrets.Env), EquatableMap.From(secrets.Files), secrets.Inaccessible.ToEquatableArray())
            : null,
        AwaitsReadiness = assignment.AwaitsReadiness,
    };

    private static Wire.InstanceReport Encode(InstanceReport report)
    {
        var wire = new Wire.InstanceReport
        {
            Id = report.Id.Text,
            Serial = report.Serial,
            Phase = (int)report.Phase,
            StartedAtMs = Milliseconds(report.StartedAt),
            ContainerAddress = report.ContainerAddress ?? "",
            Health = { report.Health.Select(Encode) },
            Readiness = { report.Readiness.Select(Encode) },
            Detail = report.Detail ?? "",
            Ending = report.Ending,
        };
        if (report.End is { } end) wire.End = Encode(end);
        return wire;
    }

    private static InstanceReport Decode(Wire.InstanceReport report) => new()
    {
        Id = InstanceId.Parse(report.Id),
        Serial = report.Serial,
        Phase = KnownOr(report.Phase, Phase.Staging),
        StartedAt = Instant(report.StartedAtMs),
        ContainerAddress = TextOrNull(report.ContainerAddress),
        Health = report.Health.Select(Decode).ToEquatableArray(),
        Readiness = report.Readiness.Select(Decode).ToEquatableArray(),
        Detail = TextOrNull(report.Detail),
        Ending = report.Ending,
        End = report.End is { } end ? Decode(end) : null,
    };

    private static Wire.HealthState Encode(HealthState state) => new()
    {
        FirstSuccessAtMs = Milliseconds(state.FirstSuccessAt),
        LastSuccessAtMs = Milliseconds(state.LastSuccessAt),
        LastFailureAtMs = Milliseconds(state.LastFailureAt),
        LastFailureCause = state.LastFailureCause ?? "",
        ConsecutiveFailures = state.ConsecutiveFailures,
        Seen = state.Seen,
    };

    private static HealthState Decode(Wire.HealthState state) => new()
    {
        FirstSuccessAt = Instant(state.FirstSuccessAtMs),
        LastSuccessAt = Instant(state.LastSuccessAtMs),
        LastFailureAt = Instant(state.LastFailureAtMs),
        LastFailureCause = TextOrNull(state.LastFailureCause),
        ConsecutiveFailures = state.ConsecutiveFailures,
        Seen = state.Seen,
    };

    private static Wire.ReadinessState Encode(ReadinessState state)
    {
        var wire = new Wire.ReadinessState { Name = state.Name, Ready = state.Ready };
        if (state.LastResponse is { } response)
            wire.LastResponse = new Wire.ReadinessResponse { Status = response.Status, ContentType = response.ContentType, Body = response.Body };
        return wire;
    }

    private static ReadinessState Decode(Wire.ReadinessState state) => new(
        state.Name, state.Ready,
        state.LastResponse is { } response ? new ReadinessResponse(response.Status, response.ContentType, response.Body) : null);

    private static Wire.InstanceEnd Encode(InstanceEnd end) => new()
    {
        State = (int)end.State,
        Message = end.Message,
        ExitCode = end.ExitCode ?? 0,
        HasExitCode = end.ExitCode is not null,
        OutOfMemory = end.OutOfMemory,
        HealthKill = end.HealthKill,
        AtMs = end.At.ToUnixTimeMilliseconds(),
        Container = end.Container ?? "",
    };

    private static InstanceEnd Decode(Wire.InstanceEnd end) => new(
        KnownOr(end.State, TerminalState.Lost), end.Message, end.HasExitCode ? end.ExitCode : null, end.OutOfMemory, end.HealthKill,
        DateTimeOffset.FromUnixTimeMilliseconds(end.AtMs)) { Container = TextOrNull(end.Container) };

    /// <summary>A newer peer may know more values than we do; each caller names the reading that does no harm.</summary>
    private static T KnownOr<T>(int value, T otherwise) where T : struct, Enum =>
        Enum.GetValues<T>() is var known && value >= 0 && value < known.Length ? known[value] : otherwise;

    private static long Milliseconds(DateTimeOffset? at) => at?.ToUnixTimeMilliseconds() ?? 0;
    private static DateTimeOffset? Instant(long ms) => ms == 0 ? null : DateTimeOffset.FromUnixTimeMilliseconds(ms);
    private static string? TextOrNull(string text) => text.Length == 0 ? null : text;

    private static void NameEndpointChanges(JsonTypeInfo type)
    {
        if (type.Type != typeof(EndpointChange)) return;
        type.PolymorphismOptions = new JsonPolymorphismOptions
        {
            TypeDiscriminatorPropertyName = "kind",
            DerivedTypes =
            {
                new JsonDerivedType(typeof(EndpointChange.ServiceSet), "serviceSet"),
                new JsonDerivedType(typeof(EndpointChange.ServiceRemoved), "serviceRemoved"),
                new JsonDerivedType(typeof(EndpointChange.EndpointSet), "endpointSet"),
                new JsonDerivedType(typeof(EndpointChange.EndpointRemoved), "endpointRemoved"),
                new JsonDerivedType(typeof(EndpointChange.NodeSet), "nodeSet"),
                new JsonDerivedType(typeof(EndpointChange.NodeRemoved), "nodeRemoved"),
            },
        };
    }
}
