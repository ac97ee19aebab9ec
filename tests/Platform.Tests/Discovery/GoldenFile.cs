using System.Runtime.CompilerServices;

namespace Platform.Tests.Discovery;

/// <summary>A translation's expected text lives in a file, so that a diff is the review. PLATFORM_UPDATE_GOLDEN=1 rewrites them.</summary>
internal static class GoldenFile
{
    public static void Check(string name, string actual, [CallerFilePath] string here = "")
    {
        var path = Path.Combine(Path.GetDirectoryName(here)!, "..", "Golden", name);
        actual = actual.ReplaceLineEndings("\n").TrimEnd('\n') + "\n";
        if (Environment.GetEnvironmentVariable("PLATFORM_UPDATE_GOLDEN") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, actual);
        }
        Assert.True(File.Exists(path), $"{name} does not exist; PLATFORM_UPDATE_GOLDEN=1 writes it. It would be:\n{actual}");
        Assert.Equal(File.ReadAllText(path), actual);
    }
}
