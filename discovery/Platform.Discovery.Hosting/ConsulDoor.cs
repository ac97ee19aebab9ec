using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Platform.Discovery.Hosting;

/// <summary>One path of the door, with what answers it by method. A path that ends in a slash stands for all below it.</summary>
internal sealed record ConsulRoute(string Path, params (string Method, Func<ConsulCall, Task> Answer)[] Methods)
{
    public string Allow => string.Join(',', Methods.Select(m => m.Method).Prepend("OPTIONS"));

    /// <summary>Null where it is none of ours; else what follows our path.</summary>
    public string? RestOf(string path) =>
        Path[^1] == '/' ? path.StartsWith(Path, StringComparison.Ordinal) ? path[Path.Length..] : null
        : path == Path ? "" : null;
}

/// <summary>
/// The KV door: Consul's HTTP API over what this node has (the published keys and its copy of the store). Reads are local and say how old they are; writes go to
/// the leader, and their answers come when this node's own copy has them. A parked query costs one entry in a table and one timer.
/// </summary>
public sealed partial class ConsulDoor
{
    private readonly KvView _view;
    private readonly StoreReplica _store;
    private readonly KvOptions _options;
    private readonly TimeProvider _time;
    private ConsulRoute[] _routes;

    public ConsulDoor(KvView view, StoreReplica store, KvOptions options, ILoggerFactory loggers, TimeProvider? time = null)
    {
        (_view, _store, _options) = (view, store, options);
        _time = time ?? TimeProvider.System;
        Parking = new ParkedQueries(options.ParkedMax, loggers.CreateLogger<ConsulDoor>(), _time);
        _routes = [];
        Add([.. KvRoutes(), .. SessionRoutes(), .. AclRoutes(), .. StatusRoutes()]);
    }

    public int Parked => Parking.Count;

    /// <summary>The blocking queries of everything that answers at this door.</summary>
    internal ParkedQueries Parking { get; }

    /// <summary>More of Consul's API, by who answers it; before the door is opened. The longest path that fits a request has it.</summary>
    internal void Add(IEnumerable<ConsulRoute> routes) => _routes = [.. _routes.Concat(routes).OrderByDescending(x => x.Path[^1] != '/').ThenByDescending(x => x.Path.Length)];

    /// <summary>One request. It is read from the raw target: the framework would undo dot segments and leave <c>%2F</c>, Consul does neither.</summary>
    public async Task AnswerAsync(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        var path = Uri.UnescapeDataString(KvAnswers.PathOf(target).ToString());
        if (KvAnswers.KeyOf(target) is { } key) path = $"/v1/kv/{key}"; // slashes made right
        foreach (var route in _routes)
        {
            if (route.RestOf(path) is not { } rest) continue;
            var call = new ConsulCall(context, rest);
            foreach (var (method, answer) in route.Methods)
                if (method == call.Method || (method == "GET" && HttpMethods.IsHead(call.Method))) // Consul refuses HEAD; a read is a read
                {
                    await AnswerAsync(call, answer).ConfigureAwait(false);
                    return;
                }
            call.Headers.Allow = route.Allow;
            if (HttpMethods.IsOptions(call.Method)) call.Empty(200);
            else await call.TextAsync(405, $"method {call.Method} not allowed").ConfigureAwait(false);
            return;
        }
        await new ConsulCall(context, "").TextAsync(404, $"{path} is not served here").ConfigureAwait(false);
    }

    private static async Task AnswerAsync(ConsulCall call, Func<ConsulCall, Task> answer)
    {
        try
        {
            await answer(call).ConfigureAwait(false);
        }
        catch (NoLeaderException e)
        {
            await call.TextAsync(500, e.Message).ConfigureAwait(false);
        }
        catch (RefusedException e)
        {
            await call.TextAsync(e.Status, e.Message).ConfigureAwait(false);
        }
        catch (StoreUnavailableException e)
        {
            call.Headers.RetryAfter = "1";
            await call.TextAsync(503, e.Message).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (call.Aborted.IsCancellationRequested)
        {
            // nobody is there to be answered
        }
    }

    /// <summary>Asks the leader, and waits until this node shows what it did: who writes here reads it here.</summary>
    internal async Task<StoreReply> AskAsync(StoreRequest request, CancellationToken aborted)
    {
        var answer = await _options.Ask(request, aborted).ConfigureAwait(false);
        await _store.ReachedAsync(answer.Index, _options.OwnWriteWait, aborted).ConfigureAwait(false);
        return answer.Reply;
    }

    /// <summary>
    /// A read: it waits for news if it wants to, and then answers. <paramref name="index"/> says where what is asked for stands, <paramref name="watch"/> what
    /// wakes it.
    /// </summary>
    private async Task ReadAsync(ConsulCall call, Func<KvWatches.Handle> watch, Func<long> index, Func<ReadOptions, Task> answer)
    {
        if (await call.ReadOptionsAsync().ConfigureAwait(false) is not { } options) return;
        if (!_store.IsKnown && _view.Tree.Snapshot.Revision == 0) throw new NoLeaderException(); // an empty answer would be a lie: nothing was heard yet
        if (options.Consistent)
        {
            var answered = await _options.Ask(new StoreRequest.Barrier(), call.Aborted).ConfigureAwait(false);
            if (!await _store.ReachedAsync(answered.Index, _options.OwnWriteWait, call.Aborted).ConfigureAwait(false))
                throw new StoreUnavailableException("This node is too far behind the leader to answer consistently");
        }
        if (!await WaitAsync(options, watch, index, call.Aborted).ConfigureAwait(false))
        {
            call.Headers.RetryAfter = "5";
            await call.TextAsync(503, $"{_options.ParkedMax} queries wait here already").ConfigureAwait(false);
            return;
        }
        await answer(options).ConfigureAwait(false);
    }

    /// <summary>Returns when the index has passed the asked one, or the time is over. False: too many wait already.</summary>
    private async ValueTask<bool> WaitAsync(ReadOptions options, Func<KvWatches.Handle> watch, Func<long> index, CancellationToken aborted)
    {
        if (options.AfterIndex == 0) return true;
        var (epoch, store) = (_view.Tree.Snapshot.Cursor.Epoch, _store.Cursor.Epoch);
        bool Passed() => _view.Tree.Snapshot.Cursor.Epoch != epoch || _store.Cursor.Epoch != store || index() > options.AfterIndex;
        return await Parking.WaitAsync(options.Wait, Passed, watch, aborted).ConfigureAwait(false) == ParkingEnd.Over;
    }

    /// <summary>On every read: Go clients refuse an answer without them.</summary>
    internal void ReadHeaders(ConsulCall call, long? index)
    {
        var leader = _options.Leader();
        if (index is { } i) call.Headers["X-Consul-Index"] = Math.Max(1, i).ToString(CultureInfo.InvariantCulture);
        call.Headers["X-Consul-KnownLeader"] = leader is null ? "false" : "true";
        call.Headers["X-Consul-LastContact"] = AgeMilliseconds.ToString(CultureInfo.InvariantCulture);
    }

    private long AgeMilliseconds => (long)_store.Age.TotalMilliseconds;

    private IEnumerable<ConsulRoute> StatusRoutes()
    {
        yield return new("/v1/status/leader", ("GET", call => call.JsonAsync(json => json.WriteStringValue(_options.Leader()?.Address ?? ""))));
        yield return new("/v1/status/peers", ("GET", call => call.JsonAsync(json =>
        {
            json.WriteStartArray();
            if (_options.Leader() is { } leader) json.WriteStringValue(leader.Address);
            json.WriteEndArray();
        })));
    }
}
