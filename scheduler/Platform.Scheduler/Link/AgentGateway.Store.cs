using System.Text.Json;
using Grpc.Core;
using Platform.Discovery;
using Platform.Model;
using Platform.Protocol;
using Platform.Scheduling;

namespace Platform.Scheduler.Link;

/// <summary>The store's part of the link: what the nodes' KV doors ask, and the stream from which every node keeps its copy.</summary>
public sealed partial class AgentGateway
{
    /// <summary>So often a follower hears that there is no news; what it tells its readers of its age rests on that.</summary>
    private static readonly TimeSpan StoreHeartbeat = TimeSpan.FromSeconds(1);

    /// <summary>Events of one message have at most so many bytes of values, roughly.</summary>
    private const int MessageEventsMax = 64;

    private readonly StoreFeed _store;

    public override async Task<Protocol.Wire.StoreAnswer> AskStore(Protocol.Wire.StoreAsk request, ServerCallContext context)
    {
        StoreRequest asked;
        try
        {
            asked = StoreCodec.Decode(request);
        }
        catch (JsonException e)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, e.Message));
        }
        try
        {
            // The caller may go away; the command does not: its answer is then nobody's.
            var decision = await _loop.AskAsync(new Command.Store(asked) { Origin = ChangeOrigin.Internal }, context.CancellationToken).ConfigureAwait(false);
            return decision is Decision.Accepted { Reply.Store: { } answer }
                ? StoreCodec.Encode(answer)
                : throw new RpcException(new Status(StatusCode.Internal, "the store gave no answer"));
        }
        catch (SchedulerUnavailableException e)
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted, e.Message));
        }
    }

    public override async Task WatchStore(Protocol.Wire.StoreCursor request, IServerStreamWriter<Protocol.Wire.StoreUpdate> responseStream, ServerCallContext context)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, _closing.Token);
        var cursor = StoreCodec.Decode(request);
        try
        {
            while (true)
            {
                var changed = _store.ChangedAsync(); // before the look, so that a change in between wakes us
                var missed = _store.After(cursor);
                foreach (var piece in Pieces(missed?.Update ?? new StoreUpdate.Since(cursor.Epoch, cursor.Index, default)))
                    await responseStream.WriteAsync(piece, ending.Token).ConfigureAwait(false);
                if (missed is { } m) cursor = m.Cursor;
                await changed.WaitAsync(StoreHeartbeat, ending.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                ending.Token.ThrowIfCancellationRequested();
                if (LinkGuard.PeerOf(context) is LinkPeer.Node node && !_loop.Current.State.Admissions.ContainsKey(node.Id)) return; // removed since
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or InvalidOperationException)
        {
            // the follower or this term has ended; it asks again, from where its copy stands
        }
    }

    /// <summary>Events by so many at a time: with a value of half a megabyte each, all that a follower may miss would not fit one message.</summary>
    private static IEnumerable<Protocol.Wire.StoreUpdate> Pieces(StoreUpdate update)
    {
        if (update is not StoreUpdate.Since { Events.Count: > MessageEventsMax } since) return StoreCodec.Encode(update);
        return since.Events.Items.Chunk(MessageEventsMax).Select((events, i) => (events, From: i == 0 ? since.From : since.Events[(i * MessageEventsMax) - 1].Index))
            .SelectMany(x => StoreCodec.Encode(new StoreUpdate.Since(since.Epoch, x.From, x.events.ToEquatableArray())));
    }
}
