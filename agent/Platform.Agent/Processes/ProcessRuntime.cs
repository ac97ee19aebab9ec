using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Platform.Agent.Core;
using Platform.Agent.Fetching;
using Platform.Model;

namespace Platform.Agent.Processes;

/// <summary>
/// Instances as process groups of the node, each in a sandbox directory. They are sessions of their own and outlive the agent:
/// a small shell around the command writes its exit status down, so that it is known even if nobody was there to see it.
/// </summary>
internal sealed partial class ProcessRuntime(
    string sandboxRoot, LocalVolumes volumes, string clusterId, NodeId node, ArtifactFetcher fetcher, TimeProvider time, ILogger log) : IContainerRuntime
{
    private const int NewsMax = 4096;

    /// <summary>Runs a command on a pseudo-terminal of its own, and ends with its exit status.</summary>
    private const string TerminalProgram = "/usr/bin/script";
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Waits for the word that its identity is on disk; without it (the agent died in between) nothing ever ran. A trapped signal is the command's
    /// to obey: traps are not inherited, ignoring would be. At the end what is left of the group goes too, the shell included.
    /// </summary>
    private const string Launcher = """
        read -r go && [ "$go" = go ] || exit 125
        sandbox=$1; shift
        cd "$sandbox" || exit 125
        exec </dev/null >>"$sandbox/stdout" 2>>"$sandbox/stderr"
        trap : TERM INT HUP QUIT USR1 USR2
        "$@"
        echo $? >"$sandbox/.platform/exit.new" && mv "$sandbox/.platform/exit.new" "$sandbox/.platform/exit"
        kill -KILL -$$
        """;

    private readonly ConcurrentDictionary<InstanceId, Task> _waits = new();

    /// <summary>Their artifacts are still on their way: nothing of them is made yet, whatever their sandbox holds.</summary>
    private readonly ConcurrentDictionary<InstanceId, byte> _preparing = new();
    private readonly Channel<ObservedContainer> _news = Channel.CreateBounded<ObservedContainer>(new BoundedChannelOptions(NewsMax) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly CancellationTokenSource _closed = new();

    public RuntimeKind Kind => RuntimeKind.Process;

    public Task<IReadOnlyList<ObservedContainer>> ListAsync(CancellationToken stopping)
    {
        List<ObservedContainer> seen = [];
        if (Directory.Exists(sandboxRoot))
            foreach (var path in Directory.EnumerateDirectories(sandboxRoot))
                if (InstanceId.TryParse(Path.GetFileName(path), out var id) && !_preparing.ContainsKey(id) && Of(id) is { } record) seen.Add(Observe(record));
        return Task.FromResult<IReadOnlyList<ObservedContainer>>(seen);
    }

    public async Task<StartOutcome> StartAsync(Assignment assignment, IProgress<string> progress, CancellationToken cancelled)
    {
        var sandbox = new Sandbox(sandboxRoot, assignment.Id);
        if (Of(assignment.Id) is { Process: not null } there) return new StartOutcome.Started(Observe(there));
        var user = assignment.App.User is { } name ? SystemUser.Find(name) : null;
        if (Refusal(assignment, user) is { } why) return new StartOutcome.Refused(TerminalState.Failed, why);
        if (TaskSecrets.Refusal(assignment) is { } inaccessible) return inaccessible;
        try
        {
            _preparing[assignment.Id] = 0;
            await PrepareAsync(assignment, sandbox, user, progress, cancelled).ConfigureAwait(false);
            return new StartOutcome.Started(await LaunchAsync(assignment, sandbox, user).ConfigureAwait(false));
        }
        catch (Exception e) when (e is FetchFailedException || (e is OperationCanceledException && cancelled.IsCancellationRequested))
        {
            sandbox.Remove();
            return e is FetchFailedException
                ? new StartOutcome.Refused(TerminalState.Failed, e.Message)
                : new StartOutcome.Refused(TerminalState.Killed, "Task was killed before it was started");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or System.ComponentModel.Win32Exception or TimeoutException)
        {
            return new StartOutcome.Refused(TerminalState.Failed, $"The process could not be started: {e.Message}");
        }
        finally
        {
            _preparing.TryRemove(assignment.Id, out _);
        }
    }

    public Task SignalAsync(InstanceId id, bool force, CancellationToken stopping)
    {
        if (Of(id) is { Process: { IsAlive: true } process } record)
        {
            Posix.Kill(-process.Pid, force ? Posix.SigKill : Posix.SigTerm);
            if (force)
                foreach (var member in CgroupOf(id).Members) Posix.Kill(member, Posix.SigKill);
            Wait(record);
        }
        return Task.CompletedTask;
    }

    public async Task RemoveAsync(InstanceId id, CancellationToken stopping)
    {
        if (Of(id) is not { } record) return;
        if (record.Process is { IsAlive: true })
        {
            await SignalAsync(id, force: true, stopping).ConfigureAwait(false);
            if (_waits.TryGetValue(id, out var ending)) await ending.WaitAsync(stopping).ConfigureAwait(false);
        }
        CgroupOf(id).Remove();
        try
        {
            new Sandbox(sandboxRoot, id).Remove();
        }
        catch (IOException e)
        {
            throw new RuntimeUnavailableException($"The sandbox of {id.TaskId} cannot be removed: {e.Message}", e);
        }
    }

    public async Task<ProbeOutcome> ExecAsync(InstanceId id, HealthCheck check, TimeSpan timeout, CancellationToken stopping)
    {
        var sandbox = new Sandbox(sandboxRoot, id);
        var start = new ProcessStartInfo("/usr/bin/setsid") { WorkingDirectory = sandbox.Directory, RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        var name = Of(id)?.User;
        if ((name is null ? null : SystemUser.Find(name)) is var user && user is null && name is not null) return new ProbeOutcome.Failed($"No such user '{name}'");
        foreach (var argument in (string[])[.. Become(user), "/bin/sh", "-c", check.Command ?? ""]) start.ArgumentList.Add(argument);
        if (EnvironmentOf(id) is { } environment)
        {
            start.Environment.Clear();
            foreach (var (key, value) in environment) start.Environment[key] = value;
        }
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        limit.CancelAfter(timeout);
        using var process = new Process { StartInfo = start };
        try
        {
            process.Start();
            process.StandardInput.Close();
            var tail = new OutputTail();
            await Task.WhenAll(DrainAsync(process.StandardOutput.BaseStream, tail, limit.Token), DrainAsync(process.StandardError.BaseStream, tail, limit.Token)).ConfigureAwait(false);
            await process.WaitForExitAsync(limit.Token).ConfigureAwait(false);
            if (process.ExitCode == 0) return new ProbeOutcome.Passed();
            var output = tail.ToString();
            return new ProbeOutcome.Failed($"Command exited with status {process.ExitCode}{(output.Length == 0 ? "" : $": {output[(output.LastIndexOf('\n') + 1)..]}")}");
        }
        catch (OperationCanceledException)
        {
            Posix.Kill(-process.Id, Posix.SigKill);
            stopping.ThrowIfCancellationRequested();
            return new ProbeOutcome.Failed(string.Create(CultureInfo.InvariantCulture, $"Command did not end within {timeout.TotalSeconds:0.###} s"));
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or IOException)
        {
            return new ProbeOutcome.Failed($"Command could not be run: {e.Message}");
        }
    }

    public async IAsyncEnumerable<ObservedContainer> WatchAsync([EnumeratorCancellation] CancellationToken stopping)
    {
        await foreach (var seen in _news.Reader.ReadAllAsync(stopping).ConfigureAwait(false)) yield return seen;
    }

    public async ValueTask DisposeAsync()
    {
        await _closed.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_waits.Values).ConfigureAwait(false);
        _closed.Dispose();
    }

    private static string? Refusal(Assignment assignment, SystemUser? user)
    {
        var app = assignment.App;
        if (app.Cmd is null && app.Args.Count == 0) return "There is nothing to run: the app has neither 'cmd', 'args' nor an image";
        if (app.Tty == true && !File.Exists(TerminalProgram)) return $"The node has no {TerminalProgram} to give a process a terminal with (package bsdutils)";
        if (app.User is { } name && user is null) return $"No such user '{name}'";
        if (user is not null && !Posix.IsRoot && user.Name != Environment.UserName) return $"The agent is not root and cannot run tasks as '{user.Name}'";
        return app.Container?.Volumes.OfType<HostVolume>().FirstOrDefault(x => x.ContainerPath.StartsWith('/') && x.ContainerPath != x.HostPath) is { } volume
            ? $"A plain process sees the node's own files: '{volume.HostPath}' cannot be shown at '{volume.ContainerPath}'; use a relative containerPath, or an image"
            : null;
    }

    /// <summary>The record comes first: a sandbox that a crash leaves half filled is listed, and so is removed or filled anew.</summary>
    private async Task PrepareAsync(Assignment assignment, Sandbox sandbox, SystemUser? user, IProgress<string> progress, CancellationToken cancelled)
    {
        sandbox.Create();
        sandbox.Write(new SandboxRecord(clusterId, node.Name, assignment.Id, assignment.Serial, assignment.App.Id.Path, assignment.App.Resources.MemMib, null, null, null));
        (uint, uint)? owner = user is null ? null : (user.Id, user.Group);
        if (!assignment.App.Fetch.IsEmpty) await fetcher.FetchAsync(assignment, sandbox.Directory, owner, progress, cancelled).ConfigureAwait(false);
        try
        {
            TaskSecrets.WriteInto(sandbox.Directory, assignment, owner);
        }
        catch (ArchiveRefusedException e)
        {
            throw new FetchFailedException($"The secret's file cannot be written: {e.Message}", e);
        }
    }

    private async Task<ObservedContainer> LaunchAsync(Assignment assignment, Sandbox sandbox, SystemUser? user)
    {
        foreach (var volume in assignment.App.Container?.Volumes.OfType<HostVolume>() ?? [])
            if (!volume.ContainerPath.StartsWith('/') && !Path.Exists(Path.Combine(sandbox.Directory, volume.ContainerPath)))
                File.CreateSymbolicLink(Path.Combine(sandbox.Directory, volume.ContainerPath), volume.HostPath);
        foreach (var volume in assignment.Volumes)
        {
            var (link, directory) = (Path.Combine(sandbox.Directory, volume.ContainerPath), volumes.Ensure(volume));
            if (!Path.Exists(link)) File.CreateSymbolicLink(link, directory);
        }
        if (user is not null) Posix.ChangeOwner(sandbox.Directory, user.Id, user.Group);
        var record = new SandboxRecord(clusterId, node.Name, assignment.Id, assignment.Serial, assignment.App.Id.Path, assignment.App.Resources.MemMib, null, null, null) { User = user?.Name };

        using var launcher = new Process { StartInfo = StartInfoOf(assignment, sandbox, user) };
        launcher.Start();
        var identity = ProcessIdentity.Of(launcher.Id) ?? throw new IOException("its shell ended at once");
        var limitless = CgroupOf(assignment.Id).Limit(launcher.Id, assignment.App);
        if (limitless is not null) LogLimitless(assignment.Id.TaskId, limitless);
        record = record with { Process = identity, Limitless = limitless, StartedAt = time.GetUtcNow() };
        sandbox.Write(record);
        using var limit = new CancellationTokenSource(StartTimeout);
        await launcher.StandardInput.WriteLineAsync("go".AsMemory(), limit.Token).ConfigureAwait(false);
        launcher.StandardInput.Close();
        return Observe(record);
    }

    /// <summary>The agent's own environment may hold secrets: a task gets a bare one, and what was assigned.</summary>
    private static ProcessStartInfo StartInfoOf(Assignment assignment, Sandbox sandbox, SystemUser? user)
    {
        var start = new ProcessStartInfo("/usr/bin/setsid") { WorkingDirectory = "/", RedirectStandardInput = true };
        string[] launcher = ["/bin/sh", "-c", Launcher, "platform-task", sandbox.Directory];
        string[] command = assignment.App.Cmd is { } cmd ? ["/bin/sh", "-c", cmd] : [.. assignment.App.Args];
        if (assignment.App.Tty == true) command = [TerminalProgram, "-qefc", string.Join(' ', command.Select(Quoted)), "/dev/null"];
        foreach (var argument in (string[])[.. launcher, .. Become(user), .. command]) start.ArgumentList.Add(argument);

        start.Environment.Clear();
        if (assignment.App.Tty == true) start.Environment["SHELL"] = "/bin/sh"; // script's own choice of one would be the user's
        start.Environment["PATH"] = Environment.GetEnvironmentVariable("PATH") ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        start.Environment["HOME"] = user?.Home ?? Environment.GetEnvironmentVariable("HOME") ?? "/";
        start.Environment["USER"] = user?.Name ?? Environment.UserName;
        start.Environment["MESOS_SANDBOX"] = start.Environment["MESOS_DIRECTORY"] = sandbox.Directory;
        foreach (var (key, value) in assignment.Env)
            if (key is not ("MESOS_SANDBOX" or "MESOS_DIRECTORY") && key.Length > 0 && !key.Contains('=')) start.Environment[key] = value;
        foreach (var (key, value) in assignment.Secrets?.Env ?? EquatableMap.Empty) start.Environment[key] = value;
        return start;
    }

    /// <summary>What goes before a command so that it runs as the task's user: the task's own, and a health check's.</summary>
    private static string[] Become(SystemUser? user) => user is null || user.Name == Environment.UserName ? [] :
        ["/usr/bin/setpriv", string.Create(CultureInfo.InvariantCulture, $"--reuid={user.Id}"), string.Create(CultureInfo.InvariantCulture, $"--regid={user.Group}"), "--init-groups", "--"];

    private static string Quoted(string argument) => $"'{argument.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    /// <summary>A check's command sees what the task sees. Gone with the task.</summary>
    private Dictionary<string, string>? EnvironmentOf(InstanceId id)
    {
        try
        {
            if (Of(id)?.Process is not { } process) return null;
            var block = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{process.Pid}/environ"));
            return block.Split('\0', StringSplitOptions.RemoveEmptyEntries).Select(x => x.Split('=', 2)).Where(x => x.Length == 2).DistinctBy(x => x[0]).ToDictionary(x => x[0], x => x[1]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Null for strangers: another cluster's or node's, or no sandbox of ours.</summary>
    private SandboxRecord? Of(InstanceId id) => new Sandbox(sandboxRoot, id).Read() is { } record && record.ClusterId == clusterId && record.Node == node.Name ? record : null;

    private ObservedContainer Observe(SandboxRecord record)
    {
        var seen = new ObservedContainer { Id = record.Instance, Serial = record.Serial, Runtime = RuntimeKind.Process, State = ContainerState.Created, StartedAt = record.StartedAt };
        if (record.Process is not { } process) return seen;
        if (process.IsAlive)
        {
            Wait(record);
            return seen with { State = ContainerState.Running };
        }
        var sandbox = new Sandbox(sandboxRoot, record.Instance);
        var exit = sandbox.Exit();
        var outOfMemory = exit?.Code is 137 or null && CgroupOf(record.Instance).WasOutOfMemory;
        return seen with
        {
            State = ContainerState.Exited,
            Exit = new ContainerExit(exit?.Code, outOfMemory, exit?.Code == 0 ? "" : sandbox.LastOutput(), exit?.At ?? time.GetUtcNow()),
        };
    }

    /// <summary>One wait for each task that runs, whoever started it.</summary>
    private void Wait(SandboxRecord record) => _waits.GetOrAdd(record.Instance, _ => WaitAsync(record));

    private async Task WaitAsync(SandboxRecord record)
    {
        await Task.Yield(); // registered before it can end
        try
        {
            using var process = Process.GetProcessById(record.Process!.Pid);
            if (record.Process.IsAlive) await process.WaitForExitAsync(_closed.Token).ConfigureAwait(false);
        }
        catch (ArgumentException)
        {
            // Ended before the wait began.
        }
        catch (OperationCanceledException)
        {
            return;
        }
        finally
        {
            _waits.TryRemove(record.Instance, out _);
        }
        if (Of(record.Instance) is { } last) _news.Writer.TryWrite(Observe(last));
    }

    private static TaskCgroup CgroupOf(InstanceId id) => new("/sys/fs/cgroup", id.TaskId);

    private static async Task DrainAsync(Stream from, OutputTail tail, CancellationToken stopping)
    {
        var buffer = new byte[4096];
        while (await from.ReadAsync(buffer, stopping).ConfigureAwait(false) is var count and > 0)
            lock (tail) tail.Add(buffer.AsSpan(0, count));
    }

    [LoggerMessage(4201, LogLevel.Warning, "Task {Task} runs without a memory limit: {Why}")]
    private partial void LogLimitless(string task, string why);
}
