using System.Globalization;
using System.Text.Json.Nodes;
using Platform.Functional.Tests.Rig;

namespace Platform.Functional.Tests;

/// <summary>Apps without a container: plain processes of the machine, which outlive the platform as containers do.</summary>
public sealed class ProcessRuntimeTests : IDisposable
{
    private readonly string _marks = Directory.CreateTempSubdirectory("platform-ft-marks-").FullName;

    public void Dispose() => Directory.Delete(_marks, recursive: true);

    [Fact]
    public async Task A_process_survives_kill_minus_nine_of_the_platform_and_is_adopted_by_pid()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        await platform.Api.CreateAsync(Server("/plain"));
        var port = (await platform.Api.ReadyAsync("/plain")).ServicePorts[0];
        var task = Assert.Single(await platform.Api.TasksAsync("/plain"));
        var (pid, startedAt) = await ProcessOfAsync(task);
        Assert.Equal(task.Id, await CallAsync(port));

        await platform.KillAsync();
        Assert.Equal(startedAt, StartTimeOf(pid));
        await platform.StartAgainAsync();

        await platform.Api.ReadyAsync("/plain");
        Assert.Equal(task.Id, Assert.Single(await platform.Api.TasksAsync("/plain")).Id);
        Assert.Equal(startedAt, StartTimeOf(pid));
        await Eventually.HoldsAsync("it answers through the proxy", async () => await CallAsync(port) == task.Id);

        await platform.Api.DeleteAsync("/v2/apps/plain");
        await platform.Api.GoneAsync("/plain");
        Assert.Null(StartTimeOf(pid)); // adopted means that it can be stopped, too
    }

    [Fact]
    public async Task A_process_that_ends_is_started_anew_and_its_exit_code_is_told()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var app = new JsonObject { ["id"] = "/ends", ["cmd"] = "echo the last words; exit 7", ["cpus"] = 0.01, ["mem"] = 16, ["backoffSeconds"] = 1 };
        await platform.Api.CreateAsync(app);

        var failure = await Eventually.GetAsync("the failure is told", async () =>
            (await platform.Api.GetAsync("/v2/apps/ends?embed=app.lastTaskFailure")).Json["app"]?["lastTaskFailure"], x => x is not null);

        Assert.Equal("TASK_FAILED", failure!["state"]!.GetValue<string>());
        Assert.Contains("7", failure["message"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Contains("the last words", failure["message"]!.GetValue<string>(), StringComparison.Ordinal);
        var first = failure["taskId"]!.GetValue<string>();
        await Eventually.HoldsAsync("a later task fails too", async () =>
            (await platform.Api.GetAsync("/v2/apps/ends?embed=app.lastTaskFailure")).Json["app"]?["lastTaskFailure"]?["taskId"]?.GetValue<string>() is { } now && now != first);
    }

    [Fact]
    public async Task Stopping_asks_with_sigterm_first_and_kills_the_whole_group_after_the_grace()
    {
        await using var platform = await PlatformUnderTest.StartAsync(new PlatformOptions { Runtime = "process" });
        var said = Path.Combine(_marks, "said");
        var child = Path.Combine(_marks, "child");
        await platform.Api.CreateAsync(new JsonObject
        {
            ["id"] = "/stubborn",
            ["cmd"] = $"trap 'echo asked >> {said}' TERM; sleep 1000 & echo $! > {child}; while :; do wait; sleep 0.1; done",
            ["cpus"] = 0.01,
            ["mem"] = 16,
            ["taskKillGracePeriodSeconds"] = 1,
        });
        await platform.Api.ReadyAsync("/stubborn");
        await Eventually.HoldsAsync("its child runs", () => Task.FromResult(File.Exists(child) && File.ReadAllText(child).Length > 1));
        var pid = int.Parse(File.ReadAllText(child), CultureInfo.InvariantCulture);

        await platform.Api.DeleteAsync("/v2/apps/stubborn");

        await platform.Api.GoneAsync("/stubborn");
        Assert.Equal("asked", File.ReadAllText(said).Trim());
        Assert.Null(StartTimeOf(pid));
    }

    [DockerFact]
    public async Task With_docker_there_both_kinds_run_beside_each_other()
    {
        await using var platform = await PlatformUnderTest.StartAsync();
        await platform.Api.CreateAsync(Apps.Web("/boxed"));
        await platform.Api.CreateAsync(Server("/plain"));
        await platform.Api.ReadyAsync("/boxed");
        var port = (await platform.Api.ReadyAsync("/plain")).ServicePorts[0];
        Assert.Equal(Assert.Single(await platform.Api.TasksAsync("/plain")).Id, await CallAsync(port));
        Assert.Single(await platform.ContainersAsync());
    }

    private JsonObject Server(string id) => new JsonObject
    {
        ["id"] = id,
        ["cmd"] = $"echo $$ > {_marks}/$MESOS_TASK_ID; printf %s $MESOS_TASK_ID > index.html; exec busybox httpd -f -p $PORT -h .",
        ["cpus"] = 0.01,
        ["mem"] = 16,
        ["ports"] = new JsonArray(0),
    }.WithCheck(new JsonObject { ["protocol"] = "HTTP", ["path"] = "/index.html", ["portIndex"] = 0 });

    private async Task<(int Pid, string StartedAt)> ProcessOfAsync(TaskView task)
    {
        var pid = int.Parse(await File.ReadAllTextAsync(Path.Combine(_marks, task.Id)), CultureInfo.InvariantCulture);
        return (pid, StartTimeOf(pid) ?? throw new InvalidOperationException($"no process {pid}"));
    }

    /// <summary>The kernel's start time of a live process; null if there is none. A pid alone could be somebody else's by now.</summary>
    private static string? StartTimeOf(int pid)
    {
        try
        {
            var afterName = File.ReadAllText($"/proc/{pid}/stat").Split(") ", 2)[1].Split(' ');
            return afterName[0] is "Z" or "X" ? null : afterName[19];
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException or IOException)
        {
            return null;
        }
    }

    private static async Task<string> CallAsync(int port)
    {
        using var http = new HttpClient();
        using var response = await http.GetAsync(PlatformUnderTest.ServicePort(port, "/index.html"));
        return await response.Content.ReadAsStringAsync();
    }
}
