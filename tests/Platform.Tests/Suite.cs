using System.Runtime.CompilerServices;
using CsCheck;

namespace Platform.Tests;

/// <summary>
/// What the whole suite stands on. Property tests compute for seconds without a pause; on a pool of two threads (a machine of two cores) they, and the
/// threads that CsCheck would add, held up every continuation of the tests beside them until a probe of 20 s ran out. So the pool may have more
/// threads than cores at once, and a property computes on its own thread alone.
/// </summary>
internal static class Suite
{
    /// <summary>How long a test waits for a fact that is sure to come. Long, for the machine may be busy; no test ever waits for it when all is well.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    [ModuleInitializer]
    internal static void Prepare()
    {
        ThreadPool.SetMinThreads(64, 64);
        Check.Threads = 1;
    }

    /// <summary>Looks again and again, without holding a thread meanwhile.</summary>
    public static async Task UntilAsync(Func<bool> holds, Func<string> what)
    {
        for (var deadline = Environment.TickCount64 + (long)Patience.TotalMilliseconds; !holds(); await Task.Delay(5))
            if (Environment.TickCount64 > deadline) Assert.Fail($"not within {Patience}: {what()}");
    }
}
