using Grpc.Core;
using Microsoft.Extensions.Logging;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Protocol;
using Platform.Scheduler.Secrets;
using Platform.Scheduling;

namespace Platform.Scheduler.Link;

/// <summary>
/// The scheduler's side of every node's stream: reports go into the loop's inbox, the node's desired state and the endpoint table's changes
/// go out. What is sent is computed from the newest state at the moment of sending, so a slow node misses steps but never the present.
/// </summary>
public sealed partial class AgentGateway : Protocol.Wire.SchedulerLink.SchedulerLinkBase, IDisposable
{
    private static readonly TimeSpan NodeLostAfter = new SchedulerSettings().NodeLostAfter;

    private readonly SchedulerLoop _loop;
    private readonly EndpointFeed _feed;
    private readonly Propagation _propagation;
    private readonly SecretVault _secrets;
    private readonly ILogger<AgentGateway> _logger;
    private readonly long _term;
    private readonly Lock _sessionsLock = new();
    private readonly Dictionary<NodeId, NodeSession> _sessions = [];
    private readonly CancellationTokenSource _closing = new();
    private long _lastSession;

    /// <param name="endpoints">Made before: it hears of each step first.</param>
    public AgentGateway(SchedulerLoop loop, PublishedEndpoints endpoints, SecretVault secrets, ILogger<AgentGateway> logger)
    {
        (_feed, _propagation) = (endpoints.Feed, endpoints.Propagation);
        _secrets = secrets;
        _loop = loop;
        _logger = logger;
        _term = loop.Current.State.Revision;
        loop.Published += OnPublished;
    }

    /// <summary>Ends every stream, so that the agents look for another scheduler at once.</summary>
    public void Close() => _closing.Cancel();

    public void Dispose() => _closing.Dispose();

    public override async Task Connect(
        IAsyncStreamReader<Protocol.Wire.FromAgent> requestStream, IServerStreamWriter<Protocol.Wire.ToAgent> responseStream, ServerCallContext context)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, _closing.Token);
        if (!await requestStream.MoveNext(ending.Token).ConfigureAwait(false) || requestStream.Current.Hello is not { } wire)
            throw new RpcException(new Status(StatusCode.InvalidArgument, "The first message of a link is a Hello"));
        var hello = AgentCodec.Decode(wire);
        if (hello.Protocol != AgentCodec.ProtocolVersion)
            throw new RpcException(new Status(StatusCode.FailedPrecondition, $"This scheduler speaks link protocol {AgentCodec.ProtocolVersion}, the agent {hello.Protocol}"));

        Check(hello.Node, context);
        var api = await ApiForAsync(context).ConfigureAwait(false);
        var session = new NodeSession(hello.Node.Id, Interlocked.Increment(ref _lastSession), ending);
        Admit(session);
        await _loop.TellAsync(new Input.NodeConnected(hello.Node, session.Number), ending.Token).ConfigureAwait(false);
        Connected(hello.Node.Id, hello.Node.Address);
        _propagation.Connected(hello.Node.Id);
        try
        {
            await responseStream.WriteAsync(AgentCodec.Encode(new SchedulerWelcome(_loop.Current.State.ClusterId, _term, session.Pace = Pace()) { Api = api }), ending.Token).ConfigureAwait(false);
            var reading = ReadAsync(session, requestStream, ending);
            await WriteAsync(session, responseStream, hello.Endpoints, ending.Token).ConfigureAwait(false);
            await reading.ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException or IOException or InvalidOperationException)
        {
            Disconnected(hello.Node.Id, e.Message);
        }
        finally
        {
            await ending.CancelAsync().ConfigureAwait(false);
            Dismiss(session);
            if (!_closing.IsCancellationRequested)
                await _loop.TellAsync(new Input.NodeDisconnected(hello.Node.Id, session.Number), CancellationToken.None).ConfigureAwait(false);
        }
    }

    private async Task ReadAsync(NodeSession session, IAsyncStreamReader<Protocol.Wire.FromAgent> requests, CancellationTokenSource ending)
    {
        try
        {
            while (await requests.MoveNext(ending.Token).ConfigureAwait(false))
                if (requests.Current.Report is { } wire)
                {
                    var report = AgentCodec.Decode(wire);
                    _propagation.Reported(session.Node, report.Views);
                    await _loop.TellAsync(new Input.NodeReported(
                        session.Node, session.Number, report.Complete, report.Instances, report.EndpointRevision, report.Draining)
                    {
                        Wiped = report.Wiped, Traffic = report.Traffic,
                    }, ending.Token).ConfigureAwait(false);
                }
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException or IOException)
        {
            Disconnected(session.Node, e.Message);
        }
        await ending.CancelAsync().ConfigureAwait(false); // the writer has nobody to write to any more
    }

    private async Task WriteAsync(
        NodeSession session, IServerStreamWriter<Protocol.Wire.ToAgent> responses, EndpointCursor cursor, CancellationToken stopping)
    {
        while (true)
        {
            var dirty = session.DirtyAsync(); // before the look, so that a change in between wakes us
            if (_feed.After(cursor) is { } update)
            {
                await responses.WriteAsync(AgentCodec.Encode(update), stopping).ConfigureAwait(false);
                cursor = new EndpointCursor(update.Epoch, update.To);
            }
            if (Pace() is var pace && pace != session.Pace) await responses.WriteAsync(AgentCodec.EncodePace(session.Pace = pace), stopping).ConfigureAwait(false);
            if (Desired(session) is { } desired) await responses.WriteAsync(AgentCodec.Encode(desired), stopping).ConfigureAwait(false);
            var changed = _feed.ChangedAsync(cursor, stopping).AsTask();
            await (await Task.WhenAny(dirty, changed).WaitAsync(stopping).ConfigureAwait(false)).ConfigureAwait(false);
        }
    }

    private TimeSpan Pace() => FleetPace.ReportInterval(_loop.Current.State.Nodes.Count, NodeLostAfter);

    /// <summary>What has changed of the node's desired state since this session was last told; everything at first.</summary>
    private DesiredState? Desired(NodeSession session)
    {
        if (!session.TakeDirty()) return null;
        var state = _loop.Current.State;
        if (!state.Nodes.TryGetValue(session.Node, out var node)) return null; // its joining is still on its way into the log, and will mark it dirty
        var wanted = Projections.WantedOn(state, session.Node).ToList();
        var services = EnvironmentBuilder.ServicesOf(_feed.Current);
        var upsert = wanted.Where(w => !session.Sent.TryGetValue(w.Instance.Id, out var sent) || sent != (w.Goal, state.IsAskedForReadiness(w.Instance)))
            .Select(w => Projections.AssignmentOf(state, w.Instance, w.Goal, (instance, app) =>
                EnvironmentBuilder.Build(app, instance.Id, instance.Node, node.Description.Address, instance.HostPorts, services)))
            .Select(a => a with { Secrets = _secrets.Reveal(state, a.App) }) // at the moment of sending, and kept nowhere
            .ToEquatableArray();
        var now = wanted.Select(w => w.Instance.Id).ToHashSet();
        var remove = session.Sent.Keys.Where(id => !now.Contains(id)).ToEquatableArray();
        var complete = session.NextIsComplete;
        var wipe = Projections.WipedOn(state, session.Node).ToEquatableArray();
        if (!complete && upsert.IsEmpty && remove.IsEmpty && wipe == session.SentWipe) return null;

        session.NextIsComplete = false;
        session.SentWipe = wipe;
        foreach (var id in remove) session.Sent.Remove(id);
        foreach (var assignment in upsert) session.Sent[assignment.Id] = (assignment.Goal, assignment.AwaitsReadiness);
        return new DesiredState(state.Revision, complete, state.NextSerial, upsert, remove) { Wipe = wipe };
    }

    private void OnPublished(Step step)
    {
        lock (_sessionsLock)
            foreach (var node in step.DirtyNodes)
                if (_sessions.TryGetValue(node, out var session))
                    if (step.After.Nodes.ContainsKey(node)) session.MarkDirty();
                    else session.End(); // removed: it is nobody's node any more
    }

    private void Admit(NodeSession session)
    {
        lock (_sessionsLock)
        {
            if (_sessions.Remove(session.Node, out var older)) older.End(); // one link a node: the newer one is the living one
            _sessions[session.Node] = session;
        }
    }

    private void Dismiss(NodeSession session)
    {
        lock (_sessionsLock)
            if (_sessions.TryGetValue(session.Node, out var current) && current == session)
            {
                _sessions.Remove(session.Node);
                _propagation.Disconnected(session.Node);
            }
    }

    [LoggerMessage(3101, LogLevel.Information, "Node {Node} at {Address} is connected")]
    private partial void Connected(NodeId node, string address);

    [LoggerMessage(3102, LogLevel.Information, "The link of node {Node} ended: {Why}")]
    private partial void Disconnected(NodeId node, string why);

    /// <summary>One stream of one node: what it has been told, and whether there is more to tell.</summary>
    private sealed class NodeSession(NodeId node, long number, CancellationTokenSource ending)
    {
        private volatile TaskCompletionSource _dirty = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public NodeId Node => node;
        public long Number => number;
        public TimeSpan Pace { get; set; }
        public bool NextIsComplete { get; set; } = true;
        public Dictionary<InstanceId, (Goal Goal, bool AwaitsReadiness)> Sent { get; } = [];
        public EquatableArray<string> SentWipe { get; set; }

        private int _isDirty = 1;

        public void MarkDirty()
        {
            Volatile.Write(ref _isDirty, 1);
            _dirty.TrySetResult();
        }

        /// <summary>True once for any number of marks: the changes of the endpoint table alone, which are many, touch no node's desired state.</summary>
        public bool TakeDirty() => Interlocked.Exchange(ref _isDirty, 0) == 1;

        public Task DirtyAsync()
        {
            if (_dirty.Task.IsCompleted) _dirty = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _dirty.Task;
        }

        public void End()
        {
            try
            {
                ending.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // it ended by itself in this very moment
            }
        }
    }
}
