using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Platform.Tests.Tidy;

/// <summary>House rules that no compiler knows, read off the sources themselves.</summary>
public partial class TidyTests
{
    private static readonly string[] Sides = ["scheduler", "agent", "discovery", "proxy"];
    private static readonly string[] Pure = ["Platform.Model", "Platform.Scheduling", "Platform.Discovery", "Platform.Agent.Core"];

    private static readonly string Root = FindRoot();

    private static IEnumerable<string> Projects => Sides.SelectMany(side => Directory.EnumerateFiles(Path.Combine(Root, side), "*.csproj", SearchOption.AllDirectories));

    private static IEnumerable<string> Sources => Sides
        .SelectMany(side => Directory.EnumerateFiles(Path.Combine(Root, side), "*.cs", SearchOption.AllDirectories))
        .Where(file => !file.Contains("/obj/", StringComparison.Ordinal) && !file.Contains("/bin/", StringComparison.Ordinal));

    [Fact]
    public void A_type_is_a_domain_noun() => Assert.Empty(
        from file in Sources
        from Match match in VagueName().Matches(File.ReadAllText(file))
        select $"{Path.GetRelativePath(Root, file)}: {match.Value}");

    [Fact]
    public void The_pure_projects_say_so_and_lean_on_nothing_that_is_not() => Assert.All(Pure, name =>
    {
        var project = XDocument.Load(Projects.Single(p => Path.GetFileNameWithoutExtension(p) == name));
        Assert.Contains(project.Descendants("PlatformPure"), x => x.Value == "true");
        Assert.Empty(project.Descendants("PackageReference"));
        Assert.Empty(project.Descendants("FrameworkReference"));
        Assert.All(References(project), reference => Assert.Contains(reference, Pure));
    });

    [Fact]
    public void Only_the_program_leans_on_everything() => Assert.All(Projects, path =>
    {
        var references = References(XDocument.Load(path)).ToList();
        Assert.DoesNotContain("Platform.Cli", references);
        if (Path.GetFileNameWithoutExtension(path) == "Platform.Cli") return;
        Assert.DoesNotContain("Platform.Proxy", references);
        Assert.DoesNotContain("Platform.Agent", references);
        Assert.DoesNotContain("Platform.Scheduler", references);
    });

    [Fact]
    public void Every_package_version_is_central() => Assert.All(Projects, path =>
        Assert.All(XDocument.Load(path).Descendants("PackageReference"), x => Assert.Null(x.Attribute("Version"))));

    /// <summary>A name in the map of the code that exists nowhere would lead its reader astray.</summary>
    [Fact]
    public void What_the_readme_calls_a_type_or_a_folder_exists()
    {
        var map = File.ReadAllText(Path.Combine(Root, "README.md")).Split("## For whoever carries on")[1];
        var words = CodeWord().Matches(map).Select(m => m.Groups[1].Value).Where(w => !w.Contains(' ', StringComparison.Ordinal) && !w.Contains('=', StringComparison.Ordinal)).Distinct().ToList();
        var types = Sources.SelectMany(f => DeclaredType().Matches(File.ReadAllText(f)).Select(m => m.Groups[1].Value)).ToHashSet();
        var members = string.Join('\n', Sources.Select(File.ReadAllText));
        Assert.NotEmpty(words);
        var strangers = words.Where(word => !types.Contains(word.Split('.', '/')[^1]) && !members.Contains(word.Split('.')[^1], StringComparison.Ordinal)
            && !Path.Exists(Path.Combine(Root, word)) && !Path.Exists(Path.Combine(Root, "tests", word)) && !Path.Exists(Path.Combine(Root, "scheduler/Platform.Scheduler", word))
            && !File.Exists(Path.Combine(Root, "scheduler/Platform.Protocol", word))).ToList();
        Assert.Empty(strangers);
    }

    private static IEnumerable<string> References(XDocument project) =>
        project.Descendants("ProjectReference").Select(x => Path.GetFileNameWithoutExtension(x.Attribute("Include")!.Value));

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Platform.sln"))) folder = folder.Parent!;
        return folder.FullName;
    }

    [GeneratedRegex(@"\b(?:class|record|struct|interface)\s+\w*(?:Manager|Helper|Util|Utils|Service|Services|Processor|Info)\b(?<!\bService)(?<!\bVersionInfo)")]
    private static partial Regex VagueName();

    [GeneratedRegex(@"\b(?:class|record|struct|interface|enum)\s+(?:struct\s+|class\s+)?(\w+)")]
    private static partial Regex DeclaredType();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex CodeWord();
}
