using System.Net;
using Platform.Model;

namespace Platform.Proxy.Routing;

/// <summary>
/// One instance as the proxy sees it for as long as it routes to it: what is in flight there now, and whether it may still get more.
/// It outlives the route table's versions, so that a request that began under an older table is counted on the same object.
/// </summary>
internal sealed class Upstream(InstanceId instance)
{
    private const long WithdrawnBit = 1;
    private const long OneInFlight = 2;

    // Count and flag share one word: "count me in unless it is withdrawn" and "withdraw" are then one atomic step each, and no request can slip
    // in after the writer has seen a count of 0.
    private long _state;
    private long _suspectUntilMs;
    private long _requests;
    private long _failures;

    public InstanceId Instance => instance;
    public int InFlight => (int)(Volatile.Read(ref _state) >> 1);
    public bool IsWithdrawn => (Volatile.Read(ref _state) & WithdrawnBit) != 0;
    public long Requests => Volatile.Read(ref _requests);
    public long Failures => Volatile.Read(ref _failures);

    /// <summary>Counts one request in; false (and not counted) if the instance has been withdrawn.</summary>
    public bool TryEnter()
    {
        var state = Volatile.Read(ref _state);
        while ((state & WithdrawnBit) == 0)
        {
            var before = Interlocked.CompareExchange(ref _state, state + OneInFlight, state);
            if (before == state)
            {
                Interlocked.Increment(ref _requests);
                return true;
            }
            state = before;
        }
        return false;
    }

    /// <summary>Counts one request out; true if it was the last one of a withdrawn instance.</summary>
    public bool Exit() => Interlocked.Add(ref _state, -OneInFlight) == WithdrawnBit;

    /// <summary>Final: an instance that comes back gets a new object, so no old request can ever look like a new one.</summary>
    public void Withdraw() => Interlocked.Or(ref _state, WithdrawnBit);

    public void Failed() => Interlocked.Increment(ref _failures);

    /// <summary>
    /// Others are preferred until then. Without this a dead endpoint, which never has anything in flight, would be every request's first choice.
    /// </summary>
    public void SuspectUntil(long tickMs) => Volatile.Write(ref _suspectUntilMs, tickMs);

    public bool IsSuspect(long nowTickMs) => Volatile.Read(ref _suspectUntilMs) is var until and not 0 && nowTickMs < until;
}

/// <summary>Where one port of one instance is reached.</summary>
internal sealed class Target(Upstream upstream, string host, int port)
{
    public Upstream Upstream => upstream;
    public string Host => host;
    public int Port => port;

    /// <summary>The same for the kernel; null for a host that is a name.</summary>
    public SocketAddress? SocketAddress { get; } = IPAddress.TryParse(host, out var address) ? new IPEndPoint(address, port).Serialize() : null;

    /// <summary>What the outgoing URI begins with.</summary>
    public string Prefix { get; } = host.Contains(':', StringComparison.Ordinal) ? $"http://[{host}]:{port}" : $"http://{host}:{port}";
}

/// <summary>How forwarding to an app can fail.</summary>
internal enum Failure
{
    /// <summary>No task was ready.</summary>
    NoEndpoint,

    /// <summary>The task's port could not be connected to.</summary>
    Connect,

    /// <summary>The task broke the exchange off, or answered what is no HTTP.</summary>
    Broken,

    /// <summary>The task did not answer in time.</summary>
    Timeout,

    /// <summary>The client went away or sent a broken body.</summary>
    Client,

    /// <summary>The route's own rules refused the request.</summary>
    Refused,
}

/// <summary>What has happened on one port of an app since the proxy first knew it; shared by the route table's versions.</summary>
internal sealed class Tally
{
    public static readonly int FailureKinds = Enum.GetValues<Failure>().Length;

    private readonly long[] _failures = new long[FailureKinds];
    private long _requests;
    private long _retries;
    private long _serverErrors;
    private uint _rotation;

    public long Requests => Volatile.Read(ref _requests);
    public long Retries => Volatile.Read(ref _retries);
    public long Failures(Failure kind) => Volatile.Read(ref _failures[(int)kind]);

    /// <summary>Answers of 5xx that a task itself gave.</summary>
    public long ServerErrors => Volatile.Read(ref _serverErrors);

    /// <summary>Requests that got no answer from any task, and not because of their client.</summary>
    public long Unanswered => Failures(Failure.NoEndpoint) + Failures(Failure.Connect) + Failures(Failure.Broken) + Failures(Failure.Timeout);

    public void Requested() => Interlocked.Increment(ref _requests);
    public void ServerFailed() => Interlocked.Increment(ref _serverErrors);
    public void Retried() => Interlocked.Increment(ref _retries);
    public void Failed(Failure kind) => Interlocked.Increment(ref _failures[(int)kind]);

    /// <summary>Where the next look for an endpoint starts. A lost increment only repeats a starting point, so no lock.</summary>
    public uint NextRotation() => _rotation++;
}
