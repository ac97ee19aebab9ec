using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Platform.Model;
using Platform.Protocol.Transfer;
using Platform.Scheduler;
using Platform.Scheduler.Api;
using Platform.Scheduler.Artifacts;
using Platform.Scheduler.Link;
using Platform.Scheduler.Secrets;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

namespace Platform.Tests.Api;

/// <summary>What came back over the wire.</summary>
internal sealed record Heard(HttpStatusCode Status, string Body, HttpResponseHeaders Headers, HttpContentHeaders ContentHeaders)
{
    public JsonNode Json => JsonNode.Parse(Body) ?? throw new InvalidOperationException($"no JSON: {Body}");

    public Heard Must(HttpStatusCode expected) => Status == expected ? this : throw new InvalidOperationException($"answered {(int)Status}, expected {(int)expected}: {Body}");

    public string? Header(string name) => Headers.TryGetValues(name, out var values) || ContentHeaders.TryGetValues(name, out values) ? string.Join(", ", values) : null;
}

/// <summary>
/// The REST door on a real Kestrel, a real loop and a real SQLite log, with a clock that only tests move and nodes that only say what they
/// are told to. All ids follow from the cluster's id and the clock, so answers can be golden files.
/// </summary>
internal sealed class ApiWorld : IAsyncDisposable
{
    public static readonly DateTimeOffset Start = new(2026, 1, 1, 10, 0, 0, TimeSpan.Zero);

    private readonly DirectoryInfo _directory;
    private readonly MoodyLog _log;
    private readonly WebApplication _app;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _running;
    private readonly List<NodeId> _nodes = [];
    private readonly HttpDownload _download = new(forbidPrivate: false);

    private ApiWorld(DirectoryInfo directory, MoodyLog log, ClusterState state, ApiOptions options, SchedulerSettings settings)
    {
        (_directory, _log) = (directory, log);
        Loop = new SchedulerLoop(log, new Brain(state, settings, Clock.GetUtcNow()), Clock, NullLogger<SchedulerLoop>.Instance);
        Loop.Published += step =>
        {
            foreach (var folded in step.Events) Published.Enqueue(folded);
        };
        Endpoints = new PublishedEndpoints(Loop, Clock);
        Hub = new EventHub(Loop, log, Clock);
        Callbacks = new EventCallbacks(Loop, Hub, CallbackLimits.Default, Clock, NullLogger<EventCallbacks>.Instance);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        _app = builder.Build();
        Artifacts = new ArtifactStore(Path.Combine(directory.FullName, "artifacts"), ArtifactBytesMax);
        Secrets = SecretVault.Open(Path.Combine(directory.FullName, "secrets.key"), state);
        Rest = new RestApi(
            Loop, options, new ApiStores(Artifacts, new ArtifactCopies(Artifacts, _download), Secrets, Endpoints), Hub, Clock, NullLogger<RestApi>.Instance);
        Rest.Map(_app);
        _running = Loop.RunAsync(_stopping.Token);
    }

    public FakeTimeProvider Clock { get; } = new(Start);
    public SchedulerLoop Loop { get; }
    public PublishedEndpoints Endpoints { get; }
    public EventHub Hub { get; }
    public EventCallbacks Callbacks { get; }
    public RestApi Rest { get; }

    public const long ArtifactBytesMax = 4 << 20;
    public ArtifactStore Artifacts { get; }
    public SecretVault Secrets { get; }
    public string Folder => _directory.FullName;
    public ConcurrentQueue<Folded> Published { get; } = new();
    public HttpClient Http { get; } = new();
    public ClusterState State => Loop.Current.State;
    public MoodyLog Log => _log;
    public string Authority => Http.BaseAddress!.Authority;

    public static async Task<ApiWorld> StartAsync(int nodes = 2, ApiOptions? options = null, SchedulerSettings? settings = null)
    {
        var directory = Directory.CreateTempSubdirectory("platform-api-");
        var log = new MoodyLog(SqliteClusterLog.Open(directory.FullName));
        await log.AppendAsync(0, [new SchedulerEvent.ClusterFounded("11111111-2222-3333-4444-555555555555") { At = Start }], CancellationToken.None);
        var state = await log.RecoverAsync(CancellationToken.None);
        // Nodes of a test say nothing while it moves the clock; that alone makes none of them lost.
        settings ??= new SchedulerSettings { NodeLostAfter = TimeSpan.FromDays(1) };
        var world = new ApiWorld(directory, log, state, (options ?? new ApiOptions()) with { Settings = settings }, settings);
        await world._app.StartAsync();
        var address = world._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        world.Http.BaseAddress = new Uri(address);
        for (var i = 1; i <= nodes; i++) await world.JoinAsync($"node{i}", $"10.0.0.{i}");
        return world;
    }

    public async Task JoinAsync(string name, string address, double cpus = 4)
    {
        var node = new NodeDescription
        {
            Id = NodeId.Parse(name), Address = address, Total = new Resources(cpus, 4096, 10_000), TaskPortMin = 31000, TaskPortMax = 31099, Runtimes = ["docker", "process"],
        };
        _nodes.Add(node.Id);
        await Loop.TellAsync(new Input.NodeConnected(node, 1), CancellationToken.None);
        await HeardAsync();
    }

    /// <summary>The inbox is a queue: when this has been answered, everything before it has been decided, logged and published.</summary>
    public Task HeardAsync() => Loop.AskAsync(new Command.ResetDelay(AppId.Parse("/nobody")) { Origin = ChangeOrigin.Internal }, CancellationToken.None);

    /// <summary>Every node does what it is told, until nothing more is to do: what shall run runs and is healthy, what shall stop has ended.</summary>
    public async Task SettleAsync(bool alive = true)
    {
        for (var revision = -1L; revision != State.Revision;)
        {
            revision = State.Revision;
            foreach (var node in _nodes) await ReportAsync(node, i => Running(i, alive));
        }
    }

    public async Task ReportAsync(NodeId node, Func<Instance, InstanceReport> say)
    {
        var reports = Projections.WantedOn(State, node)
            .Select(w => w.Goal == Goal.Run ? say(w.Instance) : Ended(w.Instance, new InstanceEnd(TerminalState.Killed, "", 143, false, false, Clock.GetUtcNow())))
            .ToEquatableArray();
        await Loop.TellAsync(new Input.NodeReported(node, 1, true, reports, long.MaxValue, default), CancellationToken.None);
        await HeardAsync();
    }

    /// <summary>One instance's news; those beside it stay as they are.</summary>
    public async Task ReportAsync(InstanceReport report)
    {
        var instance = State.Instance(report.Id) ?? throw new InvalidOperationException($"{report.Id} is not there");
        await Loop.TellAsync(new Input.NodeReported(instance.Node, 1, false, [report], long.MaxValue, default), CancellationToken.None);
        await HeardAsync();
    }

    public async Task EndAsync(Instance instance, TerminalState state, string message, bool healthKill = false)
    {
        await ReportAsync(Ended(instance, new InstanceEnd(state, message, 1, false, healthKill, Clock.GetUtcNow())));
    }

    public InstanceReport Running(Instance instance, bool alive = true)
    {
        var checks = State.Apps[instance.App].DefinitionOf(instance).HealthChecks.Count;
        var health = alive
            ? new HealthState { FirstSuccessAt = Start, LastSuccessAt = Start, Seen = true }
            : new HealthState { LastFailureAt = Start, LastFailureCause = "ConnectionRefused", ConsecutiveFailures = 1, Seen = true };
        return new InstanceReport
        {
            Id = instance.Id, Serial = instance.Serial, Phase = Phase.Running, StartedAt = instance.StartedAt ?? Clock.GetUtcNow(), ContainerAddress = "172.18.0.7",
            Health = Enumerable.Repeat(health, checks).ToEquatableArray(),
        };
    }

    public Instance[] InstancesOf(string app) => [.. State.Apps[AppId.Parse(app)].Instances.Values.OrderBy(i => i.Serial)];

    public Task<Heard> GetAsync(string path, string? accept = "*/*") => SendAsync(HttpMethod.Get, path, null, accept);
    public Task<Heard> PostAsync(string path, string? body = null) => SendAsync(HttpMethod.Post, path, body);
    public Task<Heard> PutAsync(string path, string body) => SendAsync(HttpMethod.Put, path, body);
    public Task<Heard> PatchAsync(string path, string body) => SendAsync(HttpMethod.Patch, path, body);
    public Task<Heard> DeleteAsync(string path) => SendAsync(HttpMethod.Delete, path, null);

    public async Task<Heard> SendAsync(
        HttpMethod method, string path, string? body, string? accept = "*/*", string? contentType = "application/json", params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path);
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        if (accept is not null) request.Headers.TryAddWithoutValidation("Accept", accept);
        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            if (contentType is not null) request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        }
        using var response = await Http.SendAsync(request);
        return new Heard(response.StatusCode, await response.Content.ReadAsStringAsync(), response.Headers, response.Content.Headers);
    }

    /// <summary>Creates an app, runs all of it and lets its deployment end.</summary>
    public async Task<Heard> CreateAsync(string body)
    {
        var answer = (await PostAsync("/v2/apps", body)).Must(HttpStatusCode.Created);
        await SettleAsync();
        return answer;
    }

    /// <summary>What the log holds, read anew: the proof that something was stored, or was not.</summary>
    public async Task<ClusterState> StoredAsync()
    {
        await HeardAsync(); // the loop is idle then, and the log ours for a moment
        return await _log.RecoverAsync(CancellationToken.None);
    }

    /// <summary>Nobody decides any more.</summary>
    public async Task StopLoopAsync()
    {
        await _stopping.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _running);
    }

    /// <summary>Moves the clock, and sees to it that what is due has been done.</summary>
    public Task AdvanceAsync(double seconds)
    {
        Clock.Advance(TimeSpan.FromSeconds(seconds));
        return HeardAsync();
    }

    /// <summary>Moves the clock until something has come of it: what waits for the time may begin to wait at any moment.</summary>
    public async Task<T> PassTimeUntilAsync<T>(Task<T> outcome)
    {
        while (!outcome.IsCompleted)
        {
            Clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }
        return await outcome;
    }

    public async ValueTask DisposeAsync()
    {
        Hub.Close();
        await _app.StopAsync();
        await _app.DisposeAsync();
        await _stopping.CancelAsync();
        try
        {
            await _running;
        }
        catch (OperationCanceledException)
        {
            // as asked
        }
        _stopping.Dispose();
        await Callbacks.DisposeAsync();
        Rest.Dispose();
        Hub.Dispose();
        Http.Dispose();
        _download.Dispose();
        await _log.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    private static InstanceReport Ended(Instance instance, InstanceEnd end) => new() { Id = instance.Id, Serial = instance.Serial, Phase = instance.Phase, End = end };
}

/// <summary>The real log, which can be told to take nothing.</summary>
internal sealed class MoodyLog(SqliteClusterLog log) : IClusterLog
{
    public volatile bool Refuses;

    public ValueTask<ClusterState> RecoverAsync(CancellationToken stopping) => log.RecoverAsync(stopping);

    public ValueTask AppendAsync(long expected, ImmutableArray<SchedulerEvent> events, CancellationToken stopping) =>
        Refuses ? throw new LogRefusedException("The disk is full", new IOException("no space left")) : log.AppendAsync(expected, events, stopping);

    public ValueTask<ImmutableArray<Folded>> ReadTailAsync(int count, CancellationToken stopping) => log.ReadTailAsync(count, stopping);
    public ValueTask SaveSnapshotAsync(ClusterState state, CancellationToken stopping) => log.SaveSnapshotAsync(state, stopping);
    public ValueTask DisposeAsync() => log.DisposeAsync();
}

/// <summary>Requests and answers one below the other, as a person would note them; golden files hold them.</summary>
internal sealed class Transcript(ApiWorld world)
{
    private static readonly string[] Noted = ["Location", "Marathon-Deployment-Id", "Allow", "Retry-After", "ETag", "Content-Type"];
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly StringBuilder _text = new();

    public async Task<Heard> NoteAsync(string method, string path, string? body = null, string? accept = "*/*")
    {
        var heard = await world.SendAsync(new HttpMethod(method), path, body, accept);
        _text.Append("> ").Append(method).Append(' ').AppendLine(path);
        if (body is not null) _text.AppendLine(body);
        _text.Append("< ").AppendLine($"{(int)heard.Status}");
        foreach (var name in Noted)
            if (heard.Header(name) is { } value) _text.Append("< ").Append(name).Append(": ").AppendLine(value.Replace(world.Authority, "HOST", StringComparison.Ordinal));
        if (heard.Body.Length > 0) _text.AppendLine(IsJson(heard) ? heard.Json.ToJsonString(Indented) : heard.Body.TrimEnd('\n').Replace("\t", "<TAB>", StringComparison.Ordinal));
        _text.AppendLine();
        return heard;
    }

    public void Check(string name) => Golden.Check($"api/{name}.txt", _text.ToString());

    private static bool IsJson(Heard heard) => heard.Header("Content-Type")?.StartsWith("application/json", StringComparison.Ordinal) == true;
}
