using System.Net;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Platform.Scheduler;

namespace Platform.Cli;

/// <summary>Everything on one machine in one process: the scheduler and the node, over the same link that would join them across machines.</summary>
internal static class PlatformUp
{
    public static async Task<int> RunAsync(UpOptions options, CancellationToken cancelled)
    {
        Doors.Check(options);
        using var levels = new LogLevels(TimeProvider.System);
        using var loggers = LoggerFactory.Create(logging => logging
            .SetMinimumLevel(LogLevel.Trace) // what is heard is for the levels to say, at any time
            .AddFilter((category, level) => levels.IsEnabled(category, level))
            .AddSimpleConsole(console =>
            {
                console.SingleLine = true;
                console.TimestampFormat = "HH:mm:ss.fff ";
                console.UseUtcTimestamp = true;
            }));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancelled);
        using var term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);

        await using var terms = new LeaderTerms(options, LinkSocket(options.Data), levels, loggers);
        var scheduler = await terms.BeginAsync(stop.Token).ConfigureAwait(false);
        await using var node = new NodeHost(options, terms.LinkSocket, scheduler.ClusterId, () => terms.Current.Api, loggers);
        await node.StartAsync(stop.Token).ConfigureAwait(false);
        await scheduler.StartAsync(stop.Token).ConfigureAwait(false);
        node.NameScheduler(scheduler.Api);
        PrintDoors(scheduler.Api, node);
        await RunAsync(options, terms, node, stop.Token).ConfigureAwait(false);
        return (int)ExitCode.Done;

        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true; // we end in our own order
            stop.Cancel();
        }
    }

    private static async Task RunAsync(UpOptions options, LeaderTerms terms, NodeHost node, CancellationToken stopping)
    {
        using var together = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var loops = new[] { terms.RunAsync(together.Token), node.RunAsync(together.Token) };
        var ready = SayWhenReadyAsync(options, terms.Current, node, together.Token);
        var first = await Task.WhenAny(loops).ConfigureAwait(false);
        await together.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await ready.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        using var grace = new CancellationTokenSource(TimeSpan.FromSeconds(15));
        if (options.StopTasksOnExit) await node.Agent.StopAllTasksAsync(grace.Token).ConfigureAwait(false);
        await node.StopAsync(grace.Token).ConfigureAwait(false);
        await terms.StopAsync(keepSnapshot: !first.IsFaulted, grace.Token).ConfigureAwait(false);
        if (first.IsFaulted) await first.ConfigureAwait(false); // a loop that died ends the program, with its reason
    }

    /// <summary>Ready: this node has joined, and every view serves the table as the log has it.</summary>
    private static async Task SayWhenReadyAsync(UpOptions options, SchedulerHost scheduler, NodeHost node, CancellationToken stopping)
    {
        bool Joined() => scheduler.Loop.Current.State.Nodes.TryGetValue(options.NodeName, out var n) && n.LostAt is null;
        var views = node.Views.Current;
        while (!Joined() || views.Served.Values.Any(c => c.Epoch != scheduler.ClusterId || c.Revision < scheduler.Endpoints.Revision))
            views = await node.Views.ChangedAsync(views, stopping).ConfigureAwait(false);
        Console.WriteLine($"ready   node {options.NodeName} at {node.Agent.NodeAddress}, cluster {scheduler.ClusterId}, data in {options.Data}");
    }

    private static void PrintDoors(IPEndPoint api, NodeHost node)
    {
        foreach (var (name, address, speaks) in node.Doors.Prepend(("api", $"http://{api}", "REST API and event stream")))
            Console.WriteLine($"{name,-7} {address,-28} {speaks}");
    }

    /// <summary>In the data directory, or, where that path is longer than a socket's may be, in the temporary one under a name made of it.</summary>
    private static string LinkSocket(string data)
    {
        Directory.CreateDirectory(data);
        var socket = Path.Combine(data, "link.sock");
        return Encoding.UTF8.GetByteCount(socket) <= 100
            ? socket
            : Path.Combine(Path.GetTempPath(), $"platform-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(data)))[..12]}.sock");
    }
}
