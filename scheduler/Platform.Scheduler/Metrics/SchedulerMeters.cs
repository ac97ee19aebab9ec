using System.Diagnostics.Metrics;
using System.Text.Json;
using Platform.Model;
using Platform.Scheduler.Api;
using Platform.Scheduler.Link;
using Platform.Scheduling;

namespace Platform.Scheduler.Metrics;

/// <summary>
/// The scheduler's instruments. Those that Marathon has too carry its names (contract 1.9, 1.7 and later); the others begin with <c>platform.</c>.
/// Any listener of System.Diagnostics.Metrics sees them under the meter <c>platform.scheduler</c>.
/// </summary>
internal sealed class SchedulerMeters : IDisposable
{
    private static readonly string[] Methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    private readonly Meter _meter = new("platform.scheduler");
    private readonly Measurements _measurements;
    private readonly SchedulerLoop _loop;
    private readonly Counter<long>[] _responses;
    private readonly Dictionary<string, Histogram<double>> _durations;
    private readonly Histogram<double> _decisions;
    private readonly Counter<long> _requestBytes;
    private readonly Counter<long> _responseBytes;
    private readonly Counter<long> _gzippedBytes;
    private readonly Counter<long> _streamedBytes;
    private readonly Counter<long> _deployments;
    private readonly Counter<long> _launched;
    private readonly Counter<long> _failed;
    private readonly Counter<long> _logged;
    private readonly PublishedEndpoints _endpoints;
    private readonly Histogram<double> _propagation;
    private readonly Histogram<double> _propagationByView;
    private int _active;

    public SchedulerMeters(SchedulerLoop loop, EventHub hub, PublishedEndpoints endpoints, TimeProvider time)
    {
        _endpoints = endpoints;
        _loop = loop;
        _measurements = new Measurements(_meter, time);
        _responses = [.. Enumerable.Range(1, 5).Select(n => _meter.CreateCounter<long>($"marathon.http.responses.{n}xx.rate"))];
        _durations = Methods.ToDictionary(m => m, m => _meter.CreateHistogram<double>($"marathon.http.requests.{m.ToLowerInvariant()}.duration.timer.seconds"));
        _decisions = _meter.CreateHistogram<double>("platform.decisions.duration.timer.seconds");
        _propagation = _meter.CreateHistogram<double>("platform.propagation.timer.seconds");
        _propagationByView = _meter.CreateHistogram<double>("platform.propagation.by-view.timer.seconds");
        _requestBytes = _meter.CreateCounter<long>("marathon.http.requests.size.counter.bytes");
        _responseBytes = _meter.CreateCounter<long>("marathon.http.responses.size.counter.bytes");
        _gzippedBytes = _meter.CreateCounter<long>("marathon.http.responses.size.gzipped.counter.bytes");
        _streamedBytes = _meter.CreateCounter<long>("marathon.http.event-streams.responses.size.counter.bytes");
        _deployments = _meter.CreateCounter<long>("marathon.deployments.counter");
        _launched = _meter.CreateCounter<long>("platform.instances.launched.counter");
        _failed = _meter.CreateCounter<long>("platform.instances.failed.counter");
        _logged = _meter.CreateCounter<long>("platform.log.events.counter");
        // A counter that has counted nothing yet is shown as 0.
        foreach (var counter in new[] { _requestBytes, _responseBytes, _gzippedBytes, _streamedBytes, _deployments, _launched, _failed, _logged })
            counter.Add(0);
        Observe(hub, time);
        loop.Published += OnPublished;
        endpoints.Propagation.Measured += OnPropagated;
    }

    public void Dispose()
    {
        _loop.Published -= OnPublished;
        _endpoints.Propagation.Measured -= OnPropagated;
        _measurements.Dispose();
        _meter.Dispose();
    }

    public void WriteJson(Utf8JsonWriter writer) => _measurements.WriteJson(writer);
    public string PrometheusText() => _measurements.PrometheusText();

    public int Begin() => Interlocked.Increment(ref _active);

    public void Ended(string method, int status, TimeSpan took, long requestBytes)
    {
        Interlocked.Decrement(ref _active);
        if (status is >= 100 and < 600) _responses[status / 100 - 1].Add(1);
        if (_durations.TryGetValue(method, out var durations)) durations.Record(took.TotalSeconds);
        _requestBytes.Add(requestBytes);
    }

    /// <summary>An event stream is no request that takes long.</summary>
    public void Left() => Interlocked.Decrement(ref _active);

    public void Answered(long bytes, bool gzipped) => (gzipped ? _gzippedBytes : _responseBytes).Add(bytes);
    public void StreamedBytes(long bytes) => _streamedBytes.Add(bytes);
    public void Decided(TimeSpan took) => _decisions.Record(took.TotalSeconds);

    /// <summary>What the newest changes took to this view of this node, in seconds.</summary>
    public void WritePropagation(Utf8JsonWriter writer, NodeId node, string view)
    {
        if (_measurements.SpreadOf(_propagationByView, Tags(node, view))?.Read() is not { Count: > 0 } figures) return;
        writer.WriteStartObject("propagationSeconds");
        writer.WriteNumber("count", figures.Count);
        writer.WriteNumber("p50", figures.At(0.5));
        writer.WriteNumber("p99", figures.At(0.99));
        writer.WriteNumber("max", figures.Max);
        writer.WriteEndObject();
    }

    private static KeyValuePair<string, object?>[] Tags(NodeId node, string view) => [new("node", node.Name), new("view", view)];

    private void Observe(EventHub hub, TimeProvider time)
    {
        var startedAt = time.GetTimestamp();
        Gauge("marathon.uptime.gauge.seconds", _ => time.GetElapsedTime(startedAt).TotalSeconds);
        Gauge("marathon.apps.active.gauge", v => AppsEndpoints.Visible(v.State).Count());
        Gauge("marathon.groups.active.gauge", v => GroupsOf(v.State));
        Gauge("marathon.deployments.active.gauge", v => v.State.Deployments.Count);
        Gauge("marathon.instances.running.gauge", v => Instances(v).Count(i => i.Phase == Phase.Running && v.State.IsReachable(i)));
        Gauge("marathon.instances.staged.gauge", v => Instances(v).Count(i => i.Phase != Phase.Running && v.State.IsReachable(i)));
        Gauge("marathon.instances.inflight-kills.gauge", v => Instances(v).Count(i => i is { IsStopping: true, Drained: true }));
        Gauge("marathon.http.requests.active.gauge", _ => Volatile.Read(ref _active));
        Gauge("marathon.http.event-streams.active.gauge", _ => hub.Followers);
        Gauge("platform.queue.waiting.gauge", v => v.Queue.Values.Sum(q => q.Explanation.Waiting));
        Gauge("platform.nodes.active.gauge", v => v.State.Nodes.Count - v.State.LostNodes);
        Gauge("platform.nodes.lost.gauge", v => v.State.LostNodes);
        Gauge("platform.events.subscribers.gauge", v => v.State.EventSubscribers.Count);
        Gauge("platform.endpoints.revision.gauge", _ => _endpoints.Feed.Current.Revision);
        Gauge("platform.endpoints.served.gauge", _ => ServedByAll());
        Gauge("platform.log.revision.gauge", v => v.State.Revision);
        Gauge("platform.process.memory.gauge.bytes", _ => Environment.WorkingSet);
    }

    private void Gauge(string name, Func<ClusterView, double> value) => _meter.CreateObservableGauge(name, () => value(_loop.Current));

    /// <summary>The revision that every view of every connected node serves at least; 0 without a node.</summary>
    private long ServedByAll() => _endpoints.Propagation.Nodes.Values
        .Where(n => n.Connected).SelectMany(n => n.Views.Values).Select(v => v.Revision).DefaultIfEmpty().Min();

    private void OnPropagated(NodeId node, string view, TimeSpan took)
    {
        _propagation.Record(took.TotalSeconds);
        _propagationByView.Record(took.TotalSeconds, Tags(node, view));
    }

    private static IEnumerable<Instance> Instances(ClusterView view) => view.State.Apps.Values.SelectMany(a => a.Instances.Values);

    /// <summary>The root, and every group that an app is in.</summary>
    private static int GroupsOf(ClusterState state)
    {
        var groups = new HashSet<AppId> { AppId.Root };
        foreach (var app in AppsEndpoints.Visible(state))
            for (var group = app.Definition.Id.Parent; !group.IsRoot && groups.Add(group);) group = group.Parent;
        return groups.Count;
    }

    /// <summary>On the loop's thread, so it only counts.</summary>
    private void OnPublished(Step step)
    {
        _logged.Add(step.Events.Length);
        foreach (var folded in step.Events)
            switch (folded.Event)
            {
                case SchedulerEvent.DeploymentStarted:
                    _deployments.Add(1);
                    break;
                case SchedulerEvent.InstancePlaced:
                    _launched.Add(1);
                    break;
                case SchedulerEvent.InstanceEnded { End.State: TerminalState.Failed or TerminalState.Error or TerminalState.Lost or TerminalState.Gone }:
                    _failed.Add(1);
                    break;
            }
    }
}
