using System.Diagnostics;

namespace Platform.Functional.Tests.Rig;

/// <summary>What this machine offers, and so which facts can be shown on it.</summary>
internal static class Machine
{
    public const string TestImage = "platform-tests/app";
    public const string TalkImage = "superguenter/demo-app";

    public static string Repository { get; } = FindRepository();
    public static string Program { get; } = Path.Combine(Repository, "bin", "platform");
    public static bool IsRoot { get; } = Environment.UserName == "root";

    /// <summary>Null when all is there; else the sentence that says what is missing.</summary>
    public static string? MissingForDocker { get; } = Answers("docker", "version") ? null : "no Docker engine answers";

    private static readonly Lazy<Task> Images = new(MakeImagesAsync);

    public static Task EnsureImagesAsync() => Images.Value;

    private static async Task MakeImagesAsync()
    {
        // The shell library is the one place that knows how the image is made.
        var script = $". '{Repository}/tests/lib/docker.sh'; make_demo_image && build_demo_image {TestImage}";
        (await Command.RunAsync("bash", "-c", script)).Must("making the test images");
    }

    private static bool Answers(string program, params string[] arguments)
    {
        try
        {
            var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
            using var process = Process.Start(start);
            return process is not null && process.WaitForExit(TimeSpan.FromSeconds(Eventually.Patience)) && process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false; // no such program
        }
    }

    private static string FindRepository()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
            if (File.Exists(Path.Combine(directory.FullName, "Platform.sln"))) return directory.FullName;
        throw new InvalidOperationException($"no Platform.sln above {AppContext.BaseDirectory}");
    }
}

[AttributeUsage(AttributeTargets.Method)]
internal sealed class DockerFactAttribute : FactAttribute
{
    public DockerFactAttribute() => Skip = Machine.MissingForDocker;
}

[AttributeUsage(AttributeTargets.Method)]
internal sealed class DockerTheoryAttribute : TheoryAttribute
{
    public DockerTheoryAttribute() => Skip = Machine.MissingForDocker;
}

[AttributeUsage(AttributeTargets.Method)]
internal sealed class DockerAndRootFactAttribute : FactAttribute
{
    public DockerAndRootFactAttribute() => Skip = Machine.MissingForDocker ?? (Machine.IsRoot ? null : "needs root");
}
