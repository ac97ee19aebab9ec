using Grpc.Core;
using Microsoft.Extensions.Logging;
using Platform.Discovery;
using Platform.Discovery.Hosting;
using Platform.Model;
using Platform.Protocol;
using Wire = Platform.Protocol.Wire;

namespace Platform.Agent;

/// <summary>The store's part of the link: this node's copy follows the leader's, and its KV door asks the leader.</summary>
internal sealed partial class SchedulerLink
{
    /// <summary>A request that the leader has not answered by then is lost to us, whatever became of it.</summary>
    public static readonly TimeSpan AskTimeout = TimeSpan.FromSeconds(15);

    /// <summary>How long a request waits for a leader to be heard, as Consul holds its calls.</summary>
    public static readonly TimeSpan LeaderWait = TimeSpan.FromSeconds(7);

    private static readonly TimeSpan FollowAgainAfter = TimeSpan.FromSeconds(1);

    private readonly Lock _leaderLock = new();
    private TaskCompletionSource<Wire.SchedulerLink.SchedulerLinkClient> _leader = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Throws <see cref="NoLeaderException"/> and <see cref="StoreUnavailableException"/>. What was sent is not sent again: it may have been done.</summary>
    public async Task<StoreAnswer> AskStoreAsync(StoreRequest request, NodeId node, CancellationToken stopping)
    {
        var leader = await LeaderAsync(stopping).ConfigureAwait(false);
        try
        {
            var call = leader.AskStoreAsync(StoreCodec.Encode(request, node), deadline: (time.GetUtcNow() + AskTimeout).UtcDateTime, cancellationToken: stopping);
            return StoreCodec.Decode(await call.ResponseAsync.ConfigureAwait(false));
        }
        catch (RpcException e) when (e.StatusCode == StatusCode.ResourceExhausted)
        {
            throw new StoreUnavailableException(e.Status.Detail);
        }
        catch (Exception e) when (e is RpcException or ObjectDisposedException or InvalidOperationException && !stopping.IsCancellationRequested)
        {
            throw new NoLeaderException($"rpc error making call: {(e is RpcException rpc ? rpc.Status.Detail : e.Message)}");
        }
        catch (RpcException) when (stopping.IsCancellationRequested)
        {
            throw new OperationCanceledException(stopping);
        }
    }

    private async Task<Wire.SchedulerLink.SchedulerLinkClient> LeaderAsync(CancellationToken stopping)
    {
        Task<Wire.SchedulerLink.SchedulerLinkClient> leader;
        lock (_leaderLock) leader = _leader.Task;
        try
        {
            return await leader.WaitAsync(LeaderWait, time, stopping).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new NoLeaderException();
        }
    }

    /// <summary>From now on this one is asked; null: nobody can be.</summary>
    private void Lead(Wire.SchedulerLink.SchedulerLinkClient? leader)
    {
        lock (_leaderLock)
        {
            if (leader is not null) _leader.TrySetResult(leader);
            else if (_leader.Task.IsCompleted) _leader = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <summary>As long as the link holds. Its trouble is its own: tasks and endpoints do not depend on it.</summary>
    private async Task FollowStoreAsync(Wire.SchedulerLink.SchedulerLinkClient leader, CancellationToken ended)
    {
        while (!ended.IsCancellationRequested)
            try
            {
                using var call = leader.WatchStore(StoreCodec.Encode(store.Cursor), cancellationToken: ended);
                var reader = new StoreCodec.Reader();
                while (await call.ResponseStream.MoveNext(ended).ConfigureAwait(false))
                {
                    if (reader.Take(call.ResponseStream.Current) is { } update && !store.Apply(update)) break; // a gap: asked again from where the copy stands
                    store.Heard();
                }
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.Unimplemented)
            {
                return; // a scheduler of a version without a store
            }
            catch (Exception e) when (e is RpcException or IOException or OperationCanceledException or System.Text.Json.JsonException or FormatException or ObjectDisposedException)
            {
                if (!ended.IsCancellationRequested) LogStoreLost(e is RpcException rpc ? rpc.Status.Detail : e.Message);
                await Task.Delay(FollowAgainAfter, time, ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
    }

    [LoggerMessage(4305, LogLevel.Warning, "The stream of the store broke: {Why}. The copy here stays what it was; following again")]
    private partial void LogStoreLost(string why);
}
