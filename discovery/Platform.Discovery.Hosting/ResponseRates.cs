using System.Diagnostics;

namespace Platform.Discovery.Hosting;

/// <summary>What to do with an answer over UDP.</summary>
internal enum ResponseVerdict { Send, Slip, Drop }

/// <summary>
/// How many answers a network gets over UDP, so that nobody can have us shoot at a third party whose address he wrote on his questions. Over the
/// limit every other answer is empty and says "come by TCP", which costs a forger as much as it gives, and a true client only the way; the rest
/// is silence. A table of fixed size, without a lock: networks that share a slot share a limit.
/// </summary>
internal sealed class ResponseRates
{
    private const int Slots = 1 << 14;

    private readonly long[] _freeAt = new long[Slots]; // when the slot's network has nothing used up any more, in ticks
    private readonly long _cost;
    private readonly long _burst;
    private readonly ulong _seed = (ulong)Random.Shared.NextInt64();
    private int _over;

    /// <param name="perSecond">Answers a second, and as many at once.</param>
    /// <param name="ticksPerSecond">Of the clock that <see cref="Judge"/> is told.</param>
    public ResponseRates(int perSecond, long ticksPerSecond)
    {
        _cost = Math.Max(1, ticksPerSecond / perSecond);
        _burst = ticksPerSecond;
    }

    /// <param name="client">As <see cref="LocalNetworks"/> numbers it: its network is the /24 of IPv4, the /56 of IPv6.</param>
    public ResponseVerdict Judge(UInt128 client, long now)
    {
        var network = (ulong)(client >> 72) ^ (client >> 32 == 0xFFFF ? (ulong)(client >> 8) & 0xFFFFFF : 0);
        ref var slot = ref _freeAt[(int)(((network ^ _seed) * 0x9E3779B97F4A7C15UL) >> 50)];
        while (true)
        {
            var seen = Volatile.Read(ref slot);
            var next = Math.Max(seen, now) + _cost;
            if (next - now > _burst) return (Interlocked.Increment(ref _over) & 1) == 0 ? ResponseVerdict.Slip : ResponseVerdict.Drop;
            if (Interlocked.CompareExchange(ref slot, next, seen) == seen) return ResponseVerdict.Send;
        }
    }

    public static ResponseRates? Of(int perSecond) => perSecond <= 0 ? null : new ResponseRates(perSecond, Stopwatch.Frequency);
}
