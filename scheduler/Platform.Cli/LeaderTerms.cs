using System.Net;
using Microsoft.Extensions.Logging;
using Platform.Discovery.Hosting;
using Platform.Scheduler;
using Platform.Scheduler.Api;
using Platform.Scheduling;

namespace Platform.Cli;

/// <summary>
/// The scheduler, one term of leading after the other. It can be told to abdicate (DELETE /v2/leader): alone in its cluster it begins anew
/// from its log, as another one would. The process stays, for its node serves names and traffic all the while.
/// </summary>
internal sealed partial class LeaderTerms(UpOptions options, string linkSocket, LogLevels levels, ILoggerFactory loggers) : IAsyncDisposable
{
    /// <summary>From the answer to the end: the contract's half second, in which the answer is read.</summary>
    private static readonly TimeSpan ResignsAfter = TimeSpan.FromMilliseconds(500);

    private readonly ILogger<LeaderTerms> _logger = loggers.CreateLogger<LeaderTerms>();
    private TaskCompletionSource _abdicated = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SchedulerHost? _current;
    private IPEndPoint _api = options.Api;
    private LinkDoor? _link = options.Link;

    public string LinkSocket => linkSocket;
    public SchedulerHost Current => _current ?? throw new InvalidOperationException("no term has begun");

    /// <summary>Reads the log; the doors are opened by starting what comes of it.</summary>
    public async Task<SchedulerHost> BeginAsync(CancellationToken stopping)
    {
        _abdicated = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var abdicated = _abdicated;
        var rest = new ApiOptions
        {
            Settings = new SchedulerSettings
            {
                ServicePortMin = options.ServicePorts.Min, ServicePortMax = options.ServicePorts.Max,
                TaskLaunchTimeout = options.TaskLaunchTimeout, TaskLaunchConfirmTimeout = options.TaskLaunchConfirmTimeout,
                DeployTimeout = options.DeployTimeout, AutoRollback = options.AutoRollback,
            },
            Configuration = options.Shown,
            LogLevels = levels,
            Abdicate = () => abdicated.TrySetResult(),
            Credentials = options.HttpCredentials,
            Realm = options.HttpRealm,
            ConcurrentRequestsMax = options.HttpConcurrentRequestsMax,
            AllowedOrigins = options.AllowedOrigins,
        };
        var host = new SchedulerHostOptions(options.Data, _api, linkSocket, rest)
        {
            ArtifactBytesMax = options.ArtifactBytesMax, SecretsKey = options.SecretsKey, ForbidPrivateFetch = options.FetchForbidPrivate,
            Link = _link, NodeCertificateLifetime = options.NodeCertificateLifetime,
        };
        _current = await SchedulerHost.CreateAsync(host, loggers, TimeProvider.System, stopping).ConfigureAwait(false);
        return _current;
    }

    /// <summary>Leads until told to stop; dies with the loop that dies.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        while (true)
        {
            using var term = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            var leading = LeadAsync(Current, term.Token);
            if (await Task.WhenAny(leading, _abdicated.Task).ConfigureAwait(false) == leading)
            {
                await leading.ConfigureAwait(false);
                return;
            }
            await Task.Delay(ResignsAfter, stopping).ConfigureAwait(false);
            await ResignAsync(term, leading).ConfigureAwait(false);
            var next = await BeginAsync(stopping).ConfigureAwait(false);
            await next.StartAsync(stopping).ConfigureAwait(false);
            Led(next.Loop.Current.State.Revision);
        }
    }

    /// <summary>The loop, and where there is another Consul to publish into, its one writer; either's end is the term's.</summary>
    private async Task LeadAsync(SchedulerHost host, CancellationToken term)
    {
        if (options.Consul is not { } consul)
        {
            await host.Loop.RunAsync(term).ConfigureAwait(false);
            return;
        }
        using var together = CancellationTokenSource.CreateLinkedTokenSource(term);
        var publisher = new ConsulPublisher(consul, new PublisherPace(), loggers, TimeProvider.System);
        Task[] parts = [host.Loop.RunAsync(together.Token), publisher.RunAsync(host.EndpointFeed, together.Token)];
        var first = await Task.WhenAny(parts).ConfigureAwait(false);
        await together.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(parts).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await first.ConfigureAwait(false);
    }

    /// <summary>Closes the doors of the term that runs, if one does; its loop must have ended.</summary>
    public async Task StopAsync(bool keepSnapshot, CancellationToken stopping)
    {
        if (_current is not { } current) return;
        await current.StopAsync(stopping).ConfigureAwait(false);
        if (keepSnapshot) await current.Loop.SaveSnapshotAsync(stopping).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (_current is { } current) await current.DisposeAsync().ConfigureAwait(false);
    }

    private async Task ResignAsync(CancellationTokenSource term, Task leading)
    {
        Resigns();
        _api = Current.Api; // a free port stays the one that clients know
        if (_link is not null && Current.Link is { } link) _link = _link with { EndPoint = link };
        using var grace = new CancellationTokenSource(TimeSpan.FromSeconds(15));
        await Current.StopAsync(grace.Token).ConfigureAwait(false); // first the doors, so that what was asked is still decided
        await term.CancelAsync().ConfigureAwait(false);
        await leading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (leading.IsFaulted) await leading.ConfigureAwait(false); // it died of something else
        await Current.Loop.SaveSnapshotAsync(grace.Token).ConfigureAwait(false);
        await Current.DisposeAsync().ConfigureAwait(false);
        _current = null;
    }

    [LoggerMessage(5101, LogLevel.Information, "Abdicating: the scheduler ends its term; tasks, names and traffic go on")]
    private partial void Resigns();

    [LoggerMessage(5102, LogLevel.Information, "Leading again from revision {Revision} of the log")]
    private partial void Led(long revision);
}
