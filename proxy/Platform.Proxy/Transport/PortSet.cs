using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Platform.Proxy.Transport;

/// <summary>A port that should be open and is not.</summary>
internal sealed record PortProblem(IPEndPoint EndPoint, SocketError Error, int Attempts);

/// <summary>
/// The listening sockets: every wanted port on every address. Ports come and go one by one; one that cannot be bound is tried again later and
/// holds nobody up. One loop writes; anyone may read <see cref="Problems"/> and <see cref="Open"/>.
/// </summary>
internal sealed partial class PortSet(Func<Socket, int, ValueTask> accepted, TimeProvider time, ILogger logger) : IDisposable
{
    private static readonly TimeSpan RetryFirst = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(30);

    private sealed record Failed(PortProblem Problem, DateTimeOffset NextAt);

    private readonly List<IPAddress> _addresses = [];
    private readonly HashSet<int> _wanted = [];
    private readonly Dictionary<IPEndPoint, PortListener> _open = [];
    private readonly Dictionary<IPEndPoint, Failed> _failed = [];
    private readonly Lock _reading = new();

    public IReadOnlyList<PortProblem> Problems
    {
        get
        {
            lock (_reading) return [.. _failed.Values.Select(x => x.Problem).OrderBy(x => x.EndPoint.Port).ThenBy(x => x.EndPoint.Address.ToString(), StringComparer.Ordinal)];
        }
    }

    public IReadOnlyList<IPEndPoint> Open
    {
        get
        {
            lock (_reading) return [.. _open.Keys.OrderBy(x => x.Port).ThenBy(x => x.Address.ToString(), StringComparer.Ordinal)];
        }
    }

    /// <summary>When a port that could not be bound is due again; null if none waits.</summary>
    public DateTimeOffset? NextRetryAt
    {
        get
        {
            lock (_reading) return _failed.Count == 0 ? null : _failed.Values.Min(x => x.NextAt);
        }
    }

    /// <summary>Opens the first port, whose failure stops the program's start and is no problem to retry.</summary>
    public (int Port, BindFailure? Failure) OpenFirst(IPEndPoint endPoint)
    {
        var (listener, error) = PortListener.TryOpen(endPoint, accepted, logger);
        if (listener is null) return (0, new BindFailure(endPoint, error));
        lock (_reading)
        {
            _addresses.Add(endPoint.Address);
            _wanted.Add(listener.EndPoint.Port);
            _open[listener.EndPoint] = listener;
        }
        return (listener.EndPoint.Port, null);
    }

    public void AddAddress(IPAddress address)
    {
        lock (_reading)
        {
            // a wildcard socket on the same port already takes this address's connections
            if (_addresses.Any(x => x.Equals(address) || x.Equals(IPAddress.IPv6Any) || (x.Equals(IPAddress.Any) && address.AddressFamily == AddressFamily.InterNetwork))) return;
            _addresses.Add(address);
            foreach (var port in _wanted) TryOpen(new IPEndPoint(address, port));
        }
    }

    public void Want(int port)
    {
        lock (_reading)
        {
            if (!_wanted.Add(port)) return;
            foreach (var address in _addresses) TryOpen(new IPEndPoint(address, port));
        }
    }

    public void Drop(int port)
    {
        lock (_reading)
        {
            if (!_wanted.Remove(port)) return;
            foreach (var address in _addresses)
            {
                var endPoint = new IPEndPoint(address, port);
                _failed.Remove(endPoint);
                if (_open.Remove(endPoint, out var listener)) listener.Dispose();
            }
        }
    }

    public void RetryDue()
    {
        lock (_reading)
        {
            var now = time.GetUtcNow();
            foreach (var endPoint in _failed.Where(x => x.Value.NextAt <= now).Select(x => x.Key).ToArray()) TryOpen(endPoint);
        }
    }

    public void Dispose()
    {
        lock (_reading)
        {
            foreach (var listener in _open.Values) listener.Dispose();
            _open.Clear();
            _failed.Clear();
            _wanted.Clear();
        }
    }

    private void TryOpen(IPEndPoint endPoint)
    {
        var (listener, error) = PortListener.TryOpen(endPoint, accepted, logger);
        if (listener is not null)
        {
            if (_failed.Remove(endPoint)) Opened(logger, endPoint);
            _open[endPoint] = listener;
            return;
        }
        var attempts = _failed.TryGetValue(endPoint, out var before) ? before.Problem.Attempts + 1 : 1;
        if (before?.Problem.Error != error) NotOpened(logger, endPoint, error);
        var delay = TimeSpan.FromTicks(Math.Min(RetryMax.Ticks, RetryFirst.Ticks << Math.Min(attempts - 1, 10)));
        _failed[endPoint] = new Failed(new PortProblem(endPoint, error, attempts), time.GetUtcNow() + delay);
    }

    [LoggerMessage(5002, LogLevel.Warning, "Cannot listen on {EndPoint}: {Error}; trying again until it works")]
    private static partial void NotOpened(ILogger logger, IPEndPoint endPoint, SocketError error);

    [LoggerMessage(5003, LogLevel.Information, "Listening on {EndPoint} at last")]
    private static partial void Opened(ILogger logger, IPEndPoint endPoint);
}
