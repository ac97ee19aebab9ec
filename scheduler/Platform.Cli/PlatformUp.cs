using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Platform.Agent.Joining;
using Platform.Model;
using Platform.Scheduler;

namespace Platform.Cli;

/// <summary>
/// One process: a scheduler, a node, or both. Where it is both they speak over the same link that joins them across machines, and neither knows the difference.
/// </summary>
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

        await using var terms = options.Role.HasFlag(Roles.Scheduler) ? new LeaderTerms(options, LinkSocket(options.Data), levels, loggers) : null;
        if (terms is not null) await terms.BeginAsync(stop.Token).ConfigureAwait(false);
        using var credentials = await CredentialsAsync(options, loggers, stop.Token).ConfigureAwait(false);
        var link = terms is not null ? new NodeLink([$"unix:{terms.LinkSocket}"], terms.Current.ClusterId, null) : new NodeLink(options.Join, credentials?.Cluster, credentials);
        await using var node = options.Role.HasFlag(Roles.Node) ? new NodeHost(options with { NodeAddress = NodeAddresses.Choose(options) }, link, loggers) : null;
        if (node is not null) await node.StartAsync(stop.Token).ConfigureAwait(false);
        if (terms is not null) await terms.Current.StartAsync(stop.Token).ConfigureAwait(false);
        PrintDoors(terms?.Current, node);
        await RunAsync(options, terms, node, stop.Token).ConfigureAwait(false);
        return (int)ExitCode.Done;

        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true; // we end in our own order
            stop.Cancel();
        }
    }

    /// <summary>What this node joined with, or joins with now; null where no certificates are asked for.</summary>
    private static async Task<NodeCredentials?> CredentialsAsync(UpOptions options, ILoggerFactory loggers, CancellationToken stopping)
    {
        if (options.Role != Roles.Node || options.Join.Items.All(a => a.StartsWith("http:", StringComparison.Ordinal))) return null;
        var directory = Path.Combine(options.Data, "agent");
        if (NodeCredentials.Load(directory, options.NodeName, options.Token, TimeProvider.System.GetUtcNow()) is { } kept) return kept;
        if (options.Token is not { } token)
            throw new BadOptionException($"--token: node {options.NodeName} has not joined yet, or too long ago. 'platform node token', asked of a scheduler, makes a token");
        var secured = options.Join.Where(a => a.StartsWith("https:", StringComparison.Ordinal)).ToList();
        return await new ClusterJoin(secured, token, options.NodeName, directory, TimeProvider.System, loggers.CreateLogger<ClusterJoin>()).JoinAsync(stopping).ConfigureAwait(false);
    }

    private static async Task RunAsync(UpOptions options, LeaderTerms? terms, NodeHost? node, CancellationToken stopping)
    {
        using var together = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var loops = new[] { terms?.RunAsync(together.Token), node?.RunAsync(together.Token) }.OfType<Task>().ToArray();
        var ready = SayWhenReadyAsync(options, terms?.Current, node, together.Token);
        var first = await Task.WhenAny(loops).ConfigureAwait(false);
        await together.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await ready.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        using var grace = new CancellationTokenSource(TimeSpan.FromSeconds(15));
        if (options.StopTasksOnExit && node is not null) await node.Agent.StopAllTasksAsync(grace.Token).ConfigureAwait(false);
        if (node is not null) await node.StopAsync(grace.Token).ConfigureAwait(false);
        if (terms is not null) await terms.StopAsync(keepSnapshot: !first.IsFaulted, grace.Token).ConfigureAwait(false);
        if (first.IsFaulted) await first.ConfigureAwait(false); // a loop that died ends the program, with its reason
    }

    /// <summary>Ready: this node has joined, and every view serves the cluster's table; where it is its own scheduler's, as the log has it.</summary>
    private static async Task SayWhenReadyAsync(UpOptions options, SchedulerHost? scheduler, NodeHost? node, CancellationToken stopping)
    {
        if (node is null)
        {
            Console.WriteLine($"ready   scheduler, cluster {scheduler!.ClusterId}, data in {options.Data}");
            return;
        }
        await node.Welcomed.WaitAsync(stopping).ConfigureAwait(false);
        bool Joined() => scheduler is null || scheduler.Loop.Current.State.Nodes.TryGetValue(options.NodeName, out var n) && n.LostAt is null;
        bool Serves(EndpointCursor cursor) => cursor.Epoch == node.Agent.ClusterId && cursor.Revision >= (scheduler?.Endpoints.Revision ?? 0);
        var views = node.Views.Current;
        while (!Joined() || !views.Served.Values.All(Serves))
            views = await node.Views.ChangedAsync(views, stopping).ConfigureAwait(false);
        Console.WriteLine($"ready   node {options.NodeName} at {node.Agent.NodeAddress}, cluster {node.Agent.ClusterId}, data in {options.Data}");
    }

    private static void PrintDoors(SchedulerHost? scheduler, NodeHost? node)
    {
        List<(string Name, string Address, string Speaks)> doors = [];
        if (scheduler is not null) doors.Add(("api", $"http://{scheduler.Api}", "REST API and event stream"));
        if (scheduler?.Link is { } link) doors.Add(("link", link.ToString(), "nodes on other machines: platform node --join"));
        if (node is not null) doors.AddRange(node.Doors);
        foreach (var (name, address, speaks) in doors)
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
