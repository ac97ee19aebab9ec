using Platform.Agent.Core;
using Platform.Model;

namespace Platform.Agent;

/// <summary>The engine did not answer, or not sensibly: nothing is known about the effect, and it is worth trying again.</summary>
public sealed class RuntimeUnavailableException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>What came of a start.</summary>
public abstract record StartOutcome
{
    private StartOutcome() { }

    /// <summary>It runs; or it did, and has ended already.</summary>
    public sealed record Started(ObservedContainer Container) : StartOutcome;

    /// <summary>It cannot be started, and nothing of it is left.</summary>
    public sealed record Refused(TerminalState State, string Why) : StartOutcome;
}

/// <summary>
/// Runs instances of one kind. Every call may be repeated: names are functions of instance ids, so "already there" and "already gone" are success.
/// Calls throw <see cref="RuntimeUnavailableException"/> while the engine does not answer. They are safe to make concurrently.
/// </summary>
public interface IContainerRuntime : IAsyncDisposable
{
    RuntimeKind Kind { get; }

    /// <summary>Everything that carries this cluster's and node's labels, ended ones included. Strangers are never shown.</summary>
    Task<IReadOnlyList<ObservedContainer>> ListAsync(CancellationToken stopping);

    /// <summary>Makes and starts. <paramref name="cancelled"/> gives up waiting and pulling; once the container is being made it is seen through.</summary>
    Task<StartOutcome> StartAsync(Assignment assignment, IProgress<string> progress, CancellationToken cancelled);

    /// <summary>SIGTERM, or SIGKILL if <paramref name="force"/>.</summary>
    Task SignalAsync(InstanceId id, bool force, CancellationToken stopping);

    Task RemoveAsync(InstanceId id, CancellationToken stopping);

    /// <summary>Runs a check's command inside the instance (of a pod: inside the check's container); exit status 0 passes.</summary>
    Task<ProbeOutcome> ExecAsync(InstanceId id, HealthCheck check, TimeSpan timeout, CancellationToken stopping);

    /// <summary>News of containers as they happen, from about now on, until the engine's stream breaks (<see cref="RuntimeUnavailableException"/>) or <paramref name="stopping"/>.</summary>
    IAsyncEnumerable<ObservedContainer> WatchAsync(CancellationToken stopping);
}
