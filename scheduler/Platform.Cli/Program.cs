using System.CommandLine;
using System.Text.Json;
using Platform.Agent.Joining;
using Platform.Cli;
using Platform.Proxy;
using Platform.Scheduler.Secrets;
using Platform.Scheduler.Storage;
using Platform.Scheduling;

EdgeProxy.HardenRuntime();
var root = new RootCommand("Platform: runs containers on a set of machines and makes each findable the moment it is healthy")
{
    UpCommand.Make("up", "Run everything on this machine: scheduler, agent, discovery and edge proxy", Roles.Up, PlatformUp.RunAsync),
    UpCommand.Make("scheduler", "Run the scheduler alone; nodes on other machines join it", Roles.Scheduler, PlatformUp.RunAsync),
    NodeCommand.Make(),
};
var parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (var error in parsed.Errors) await Console.Error.WriteLineAsync(error.Message);
    await Console.Error.WriteLineAsync("See 'platform --help'.");
    return (int)ExitCode.Usage;
}
try
{
    return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
}
catch (Exception e)
{
    await Console.Error.WriteLineAsync(e is BadOptionException or SecretsKeyException or LogUnreadableException or LogOvertakenException or InvariantBrokenException or JoinRefusedException ? $"platform: {e.Message}" : $"platform: {e}");
    return (int)(e switch
    {
        BadOptionException or SecretsKeyException or InvalidDataException or JsonException => ExitCode.BadOption,
        JoinRefusedException => ExitCode.JoinRefused,
        LogUnreadableException => ExitCode.LogUnreadable,
        LogOvertakenException => ExitCode.LeadershipLost,
        InvariantBrokenException => ExitCode.InvariantBroken,
        _ => ExitCode.Failed,
    });
}
