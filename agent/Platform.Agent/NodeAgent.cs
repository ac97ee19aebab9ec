using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using System.Threading.Channels;
using Docker.DotNet;
using Microsoft.Extensions.Logging;
using Platform.Agent.Core;
using Platform.Agent.Docker;
using Platform.Agent.Fetching;
using Platform.Agent.Processes;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Protocol;

namespace Platform.Agent;

/// <summary>
/// The agent of one node: the pure core, and around it runtimes, probes, disk and the link. One loop steps the core; everything else only posts to its inbox.
/// Stopping it never stops a task.
/// </summary>
public sealed partial class NodeAgent : ILinkOwner, IAsyncDisposable
{
    public const int InboxMax = 4096;
    public const int BatchMax = 256;
    private static readonly TimeSpan ListInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan SoonDelay = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan TableDelay = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan DockerTimeout = TimeSpan.FromSeconds(5);

    private readonly NodeAgentOptions _options;
    private readonly EndpointFeed _feed;
    private readonly TimeProvider _time;
    private readonly ILoggerFactory _loggers;
    private readonly ILogger _log;
    private readonly SchedulerLink _link;
    private readonly Prober _prober = new();
    private readonly ArtifactFetcher _fetcher;
    private readonly string _bootId = Guid.NewGuid().ToString("N");
    private readonly TaskCompletionSource<string?> _bridgeKnown = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _joining = new(1);
    private DockerClient? _docker;
    private AgentMemory _memory = AgentMemory.Empty;
    private NodeDescription? _description;
    private volatile Membership? _membership;
    private CancellationToken _stopping;

    /// <summary>All that depends on the cluster; made when its id is known, made anew if the node changes clusters.</summary>
    private sealed record Membership(string ClusterId, AgentCore Core, IReadOnlyDictionary<RuntimeKind, IContainerRuntime> Runtimes, CancellationTokenSource Ended)
    {
        public Channel<AgentInput> Inbox { get; } = Channel.CreateBounded<AgentInput>(new BoundedChannelOptions(InboxMax) { SingleReader = true });
        public ConcurrentDictionary<InstanceId, CancellationTokenSource> Starts { get; } = new();
        public ConcurrentDictionary<Task, byte> Running { get; } = new();
        public List<Task> Loops { get; } = [];
    }

    public NodeAgent(NodeAgentOptions options, EndpointFeed feed, NodeViews views, ILoggerFactory loggers, TimeProvider time)
    {
        (_options, _feed, _time, _loggers) = (options, feed, time, loggers);
        _log = loggers.CreateLogger<NodeAgent>();
        _fetcher = new ArtifactFetcher(options.Fetch, Path.Combine(Path.GetFullPath(options.DataDirectory), "fetch-cache"), time);
        _link = new SchedulerLink(this, options.Schedulers.Items, options.Credentials, _bootId, feed, views, time, loggers.CreateLogger<SchedulerLink>());
        views.Silence = () => Silence;
    }

    /// <summary>After <see cref="StartAsync"/>.</summary>
    public string NodeAddress => Description.Address;

    public NodeDescription Description => _description ?? throw new InvalidOperationException("the agent is not started");

    public string? ClusterId => _memory.ClusterId;

    /// <summary>Where bridge containers find this node; null without Docker, and before the cluster is known.</summary>
    public string? BridgeGateway { get; private set; }

    /// <summary>Completes when the bridge network is there (its gateway) or is known not to come (null).</summary>
    public Task<string?> BridgeKnown => _bridgeKnown.Task;

    public bool Linked => _link.Connected;

    /// <summary>Where the scheduler that leads has its REST door, as this node reaches it; null while it is not known.</summary>
    public IPEndPoint? SchedulerApi { get; private set; }

    /// <summary>A scheduler was heard: <see cref="SchedulerApi"/> may be another.</summary>
    public event Action? Welcomed;

    private string MemoryFile => Path.Combine(_options.DataDirectory, "agent", "desired.json");
    private string TableFile => Path.Combine(_options.DataDirectory, "agent", "endpoints.json");
    private LocalVolumes Volumes => new(Path.Combine(Path.GetFullPath(_options.DataDirectory), "volumes"));
    private string BridgeFile => Path.Combine(_options.DataDirectory, "agent", "bridge");

    /// <summary>Finds out what the machine has, and takes up what an earlier life left. Throws with a sentence for the user if the node cannot be one.</summary>
    public async Task StartAsync(CancellationToken stopping)
    {
        Directory.CreateDirectory(Path.Combine(_options.DataDirectory, "agent"));
        if (ReadFile<AgentMemory>(MemoryFile) is { } memory) _memory = memory;
        if (ReadFile<EndpointUpdate>(TableFile) is { Complete: true } table)
        {
            _feed.Apply(table);
            _link.LastHeardAt = new DateTimeOffset(File.GetLastWriteTimeUtc(TableFile), TimeSpan.Zero);
        }
        if (_options.ClusterId is { } given && _memory.ClusterId is null) _memory = _memory with { ClusterId = given };

        var bridgeBefore = DurableFile.Read(BridgeFile) is { } bytes ? System.Text.Encoding.UTF8.GetString(bytes) : null;
        if (_options.Runtime != RuntimeChoice.Process) _docker = await FindDockerAsync(bridgeBefore is not null, stopping).ConfigureAwait(false);
        if (_docker is null) _bridgeKnown.TrySetResult(null);
        else if (_memory.ClusterId is { } cluster) await BridgeAsync(cluster, bridgeBefore, stopping).ConfigureAwait(false);

        _description = new NodeDescription
        {
            Id = _options.NodeId,
            Address = _options.NodeAddress ?? BridgeGateway ?? _options.Schedulers.Select(Machine.AddressTowards).FirstOrDefault(x => x is not null) ?? "127.0.0.1",
            Total = Offered(_options.Resources ?? Machine.Measure(_options.DataDirectory), _options.Reserved),
            Reserved = _options.Reserved,
            Version = _options.Version,
            TaskPortMin = _options.TaskPortMin,
            TaskPortMax = _options.TaskPortMax,
            Attributes = EquatableMap.From(await AttributesAsync(stopping).ConfigureAwait(false)),
            Runtimes = [.. _docker is null ? [] : (string[])["docker"], .. _options.Runtime == RuntimeChoice.Docker ? [] : (string[])["process"]],
        };
        LogStarted(_options.NodeId.Name, NodeAddress, string.Join('+', _description.Runtimes));
    }

    /// <summary>What constraints may name: what the machine is, and what was said of it.</summary>
    private async Task<Dictionary<string, string>> AttributesAsync(CancellationToken stopping)
    {
        var found = Machine.Attributes();
        if (_docker is not null && await DockerVersionAsync(_docker, stopping).ConfigureAwait(false) is { } version) found["docker"] = version;
        foreach (var (name, value) in _options.Attributes) found[name] = value;
        return found;
    }

    private static async Task<string?> DockerVersionAsync(DockerClient docker, CancellationToken stopping)
    {
        try
        {
            return (await docker.System.GetVersionAsync(stopping).WaitAsync(DockerTimeout, stopping).ConfigureAwait(false)).Version;
        }
        catch (Exception e) when (!stopping.IsCancellationRequested && e is DockerApiException or HttpRequestException or IOException or TimeoutException or System.Net.Sockets.SocketException or OperationCanceledException)
        {
            return null; // the engine is away just now; without it there is nothing to say of it
        }
    }

    private static Resources Offered(Resources all, Resources reserved) => new(Math.Max(0, all.Cpus - reserved.Cpus), Math.Max(0, all.MemMib - reserved.MemMib), all.DiskMib);

    /// <summary>Until <paramref name="stopping"/>; then it lets actions that began end, and leaves the tasks alone.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        _stopping = stopping;
        if (_memory.ClusterId is { } cluster) Enter(cluster, stopping);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var loops = Task.WhenAll(_link.RunAsync(ended.Token), KeepTableAsync(ended.Token), KeepContactAsync(ended.Token));
        var first = await Task.WhenAny(loops, _broken.Task).ConfigureAwait(false);
        await ended.CancelAsync().ConfigureAwait(false);
        await loops.ConfigureAwait(false);
        await LeaveAsync().ConfigureAwait(false);
        await first.ConfigureAwait(false);
    }

    /// <summary>For <c>--stop-tasks-on-exit</c>, after <see cref="RunAsync"/> has ended: stops and removes this node's tasks and its network.</summary>
    public async Task StopAllTasksAsync(CancellationToken stopping = default)
    {
        if (_memory.ClusterId is not { } cluster) return;
        var grace = _memory.Assignments.Select(x => x.App.KillGrace).Append(TimeSpan.FromSeconds(3)).Max();
        await Task.WhenAll(MakeRuntimes(cluster).Values.Select(async runtime =>
        {
            await using var _ = runtime.ConfigureAwait(false);
            await StopAllAsync(runtime, grace, stopping).ConfigureAwait(false);
        })).ConfigureAwait(false); // a runtime that does not answer must not keep the other's tasks alive
        await RemoveNetworkAsync(stopping).ConfigureAwait(false);
        _memory = _memory with { Assignments = default, Launched = default, Health = default };
        SaveMemory();
    }

    /// <summary>False if containers still use the network.</summary>
    public async Task<bool> RemoveNetworkAsync(CancellationToken stopping = default)
    {
        if (_docker is null || _memory.ClusterId is not { } cluster) return true;
        if (!await DockerNetwork.RemoveAsync(_docker, cluster, _options.NodeId, stopping).ConfigureAwait(false)) return false;
        File.Delete(BridgeFile);
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        await LeaveAsync().ConfigureAwait(false);
        _prober.Dispose();
        _fetcher.Dispose();
        _link.Dispose();
        _docker?.Dispose();
        _joining.Dispose();
    }

    async ValueTask<bool> ILinkOwner.WelcomedAsync(SchedulerWelcome welcome, CancellationToken stopping)
    {
        await _joining.WaitAsync(stopping).ConfigureAwait(false);
        try
        {
            if (_memory.ClusterId is { } mine && mine != welcome.ClusterId)
            {
                if (await HoldsTasksAsync(stopping).ConfigureAwait(false))
                {
                    LogForeign(welcome.ClusterId, mine);
                    return false;
                }
                LogMoved(mine, welcome.ClusterId);
                await LeaveAsync().ConfigureAwait(false);
                await RemoveNetworkAsync(stopping).ConfigureAwait(false);
                _memory = AgentMemory.Empty;
            }
            if (welcome.Term < _memory.Term)
            {
                LogDeposed(welcome.Term, _memory.Term);
                return false;
            }
            SchedulerApi = IPEndPoint.TryParse(welcome.Api, out var api) ? api : null;
            Welcomed?.Invoke();
            if (_membership is not null) return true;
            if (_memory.ClusterId is null)
            {
                _memory = AgentMemory.Empty with { ClusterId = welcome.ClusterId };
                SaveMemory();
                if (_docker is not null) await BridgeAsync(welcome.ClusterId, null, stopping).ConfigureAwait(false);
            }
            Enter(welcome.ClusterId, _stopping);
            return true;
        }
        finally
        {
            _joining.Release();
        }
    }

    async ValueTask ILinkOwner.DesiredAsync(long term, DesiredState desired, CancellationToken stopping)
    {
        if (_membership is { } member)
            await member.Inbox.Writer.WriteAsync(new AgentInput.Desired(term, desired.Revision, desired.Complete, desired.NextSerial, desired.Upsert, desired.Remove) { Wipe = desired.Wipe }, stopping).ConfigureAwait(false);
    }

    private void Enter(string clusterId, CancellationToken stopping)
    {
        var runtimes = MakeRuntimes(clusterId);
        var core = new AgentCore(_memory, NodeAddress, runtimes.Keys.ToEquatableArray());
        var member = new Membership(clusterId, core, runtimes, CancellationTokenSource.CreateLinkedTokenSource(stopping));
        member.Loops.Add(OwnAsync(StepLoopAsync(member)));
        foreach (var runtime in runtimes.Values)
        {
            member.Loops.Add(OwnAsync(ListLoopAsync(member, runtime)));
            member.Loops.Add(OwnAsync(WatchLoopAsync(member, runtime)));
        }
        _membership = member;
    }

    /// <summary>A loop that dies takes <see cref="RunAsync"/> along: an agent that only seems to work is worse than none.</summary>
    private async Task OwnAsync(Task loop)
    {
        try
        {
            await loop.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _broken.TrySetException(e);
        }
    }

    /// <summary>Ends the loops; starts and stops that are under way get a moment to end and be recorded.</summary>
    private async Task LeaveAsync()
    {
        if (_membership is not { } member) return;
        _membership = null;
        await Task.WhenAny(Task.WhenAll(member.Running.Keys), Task.Delay(TimeSpan.FromSeconds(2), _time)).ConfigureAwait(false);
        await member.Ended.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(member.Loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var runtime in member.Runtimes.Values.OfType<ProcessRuntime>()) await runtime.DisposeAsync().ConfigureAwait(false);
        member.Ended.Dispose();
    }

    private Dictionary<RuntimeKind, IContainerRuntime> MakeRuntimes(string clusterId)
    {
        var runtimes = new Dictionary<RuntimeKind, IContainerRuntime>();
        var data = Path.GetFullPath(_options.DataDirectory);
        if (_docker is not null)
        {
            var dns = _options.ContainerDns switch { null => BridgeGateway, "" => null, { } own => own };
            var site = new DockerSite(clusterId, _options.NodeId, NodeAddress, DockerNetwork.NameOf(clusterId, _options.NodeId), dns)
            {
                Sandboxes = Path.Combine(data, "container-sandboxes"),
                // In memory, so that no disk ever holds them; named after the cluster and the node, of which one machine may have several.
                Secrets = Directory.Exists("/dev/shm") && Posix.IsRoot ? $"/dev/shm/platform-{clusterId}-{_options.NodeId.Name}" : Path.Combine(data, "agent", "secrets"),
            };
            runtimes[RuntimeKind.Docker] = new DockerRuntime(_docker, site, Volumes, _fetcher, _time, _loggers.CreateLogger<DockerRuntime>());
        }
        if (_options.Runtime != RuntimeChoice.Docker)
            runtimes[RuntimeKind.Process] = new ProcessRuntime(
                Path.Combine(data, "sandboxes"), Volumes, clusterId, _options.NodeId, _fetcher, _time, _loggers.CreateLogger<ProcessRuntime>());
        return runtimes;
    }

    private async Task<bool> HoldsTasksAsync(CancellationToken stopping)
    {
        if (_membership is not { } member) return true; // cannot tell: do not guess
        foreach (var runtime in member.Runtimes.Values)
            if ((await runtime.ListAsync(stopping).ConfigureAwait(false)).Count > 0) return true;
        return false;
    }
}
