using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Platform.Proxy.Forwarding;
using Platform.Proxy.Routing;

namespace Platform.Proxy.Transport;

/// <summary>Connections to ports in tcp mode: each is relayed to one endpoint and counted there until it ends.</summary>
internal sealed class TcpDoor(LiveRoutes routes, EdgeProxyOptions options) : IDisposable
{
    private const int AttemptsMax = 3;
    private const long SuspectForMs = 1000;

    private readonly ConcurrentDictionary<TcpRelay, byte> _relays = new();
    private readonly CancellationTokenSource _stopping = new();
    private int _connections;

    /// <summary>Returns at once; the relay goes on by itself.</summary>
    public void Admit(Socket client, int port)
    {
        if (Interlocked.Increment(ref _connections) > options.ConnectionsMax || _stopping.IsCancellationRequested)
        {
            Interlocked.Decrement(ref _connections);
            TcpRelay.Reset(client);
            return;
        }
        _ = ServeAsync(client, port);
    }

    /// <summary>Lets relays end by themselves until the token says otherwise, then cuts them.</summary>
    public async Task StopAsync(CancellationToken hurry)
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        while (Volatile.Read(ref _connections) > 0)
        {
            if (hurry.IsCancellationRequested)
                foreach (var relay in _relays.Keys) relay.Abort();
            await Task.Delay(TimeSpan.FromMilliseconds(20), CancellationToken.None).ConfigureAwait(false);
        }
    }

    public void Dispose() => _stopping.Dispose();

    private async Task ServeAsync(Socket client, int port)
    {
        try
        {
            await RelayAsync(client, port).ConfigureAwait(false);
        }
        finally
        {
            client.Dispose();
            Interlocked.Decrement(ref _connections);
        }
    }

    private async Task RelayAsync(Socket client, int port)
    {
        Upstream? failed = null;
        for (var attempt = 1; attempt <= AttemptsMax; attempt++)
        {
            var (route, target) = routes.Enter(port, default, failed);
            if (attempt == 1) route?.Tally.Requested();
            if (route is null || target is null)
            {
                route?.Tally.Failed(Failure.NoEndpoint);
                break;
            }
            try
            {
                if (!IsAllowed(route, client))
                {
                    route.Tally.Failed(Failure.Refused);
                    break;
                }
                using var server = await Dialer.ConnectAsync(target.Host, target.Port, options.ConnectTimeout, _stopping.Token).ConfigureAwait(false);
                await RunAsync(new TcpRelay(client, server, options.Time)).ConfigureAwait(false);
                return;
            }
            catch (ConnectFailedException)
            {
                target.Upstream.Failed();
                target.Upstream.SuspectUntil(Environment.TickCount64 + SuspectForMs);
                if (attempt == AttemptsMax) route.Tally.Failed(Failure.Connect);
                else route.Tally.Retried();
                failed = target.Upstream;
            }
            catch (OperationCanceledException)
            {
                break; // stopping while connecting
            }
            finally
            {
                routes.Exit(target);
            }
        }
        TcpRelay.Reset(client); // tcp has no 503: a reset is how it says no
    }

    private async Task RunAsync(TcpRelay relay)
    {
        _relays[relay] = 0;
        try
        {
            await relay.RunAsync().ConfigureAwait(false);
        }
        finally
        {
            _relays.TryRemove(relay, out _);
        }
    }

    private static bool IsAllowed(PortRoute route, Socket client)
    {
        if (route.Spec.ClosedBecause is not null) return false;
        if (route.Spec.AllowedSources.IsEmpty) return true;
        try
        {
            return Access.Allows(route.Spec, (client.RemoteEndPoint as IPEndPoint)?.Address);
        }
        catch (SocketException)
        {
            return false; // it has left already
        }
    }
}
