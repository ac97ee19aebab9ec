using System.Runtime.CompilerServices;

namespace Platform.Tests;

/// <summary>
/// Golden files: what a translation gave when a person last read it. <c>PLATFORM_UPDATE_GOLDEN=1 dotnet test</c> rewrites them,
/// and the diff is the review. Without it a missing or different file fails the test.
/// </summary>
internal static class Golden
{
    private static readonly bool Rewrite = Environment.GetEnvironmentVariable("PLATFORM_UPDATE_GOLDEN") == "1";

    /// <summary>The folder in the source tree, not the build output: a rewrite must land where git sees it.</summary>
    public static string Root { get; } = Path.Combine(SourceFolder(), "Golden");

    /// <param name="path">Under <see cref="Root"/>, with forward slashes: <c>apps/seed-ruby/app.json</c>.</param>
    /// <param name="actualText">Compared without regard to line ends and a last newline.</param>
    public static void Check(string path, string actualText)
    {
        var file = Path.Combine(Root, path.Replace('/', Path.DirectorySeparatorChar));
        var actual = Normalise(actualText);
        if (Rewrite)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            if (!File.Exists(file) || Normalise(File.ReadAllText(file)) != actual) File.WriteAllText(file, actual);
            return;
        }
        if (!File.Exists(file)) Assert.Fail($"no golden file Golden/{path}; PLATFORM_UPDATE_GOLDEN=1 writes it. It would hold:\n{actual}");
        Assert.True(
            Normalise(File.ReadAllText(file)) == actual,
            $"Golden/{path} differs (PLATFORM_UPDATE_GOLDEN=1 rewrites it).\n--- expected\n{File.ReadAllText(file)}\n--- actual\n{actual}");
    }

    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path.Replace('/', Path.DirectorySeparatorChar)));

    private static string Normalise(string text) => text.ReplaceLineEndings("\n").TrimEnd('\n') + "\n";

    private static string SourceFolder([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;
}
