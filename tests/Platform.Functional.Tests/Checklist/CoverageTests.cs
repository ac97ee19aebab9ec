using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;

namespace Platform.Functional.Tests.Checklist;

/// <summary>No line of the checklist is forgotten: each has a test that bears its number, or a reason why there is none here.</summary>
public sealed partial class CoverageTests
{
    private const int Lines = 77;

    private static readonly Dictionary<int, string> NotHere = new()
    {
        [15] = "of several schedulers; there is one",
        [46] = "of nodes in several regions and zones; placement by them is shown with simulated nodes",
        [47] = "of a node that is lost while others are not; shown with simulated nodes",
        [59] = "of a node cut off from the scheduler; shown with simulated nodes",
        [60] = "of a node cut off from the scheduler; shown with simulated nodes",
        [66] = "backup and restore by the leader: refused, with what to do instead",
    };

    [Fact]
    public void Every_line_has_a_test_or_a_reason()
    {
        var shown = typeof(CoverageTests).Assembly.GetTypes().SelectMany(t => t.GetMethods(BindingFlags.Public | BindingFlags.Instance))
            .Where(m => m.GetCustomAttributes<FactAttribute>().Any())
            .Select(m => Number().Match(m.Name)).Where(m => m.Success)
            .Select(m => int.Parse(m.Groups[1].ValueSpan, CultureInfo.InvariantCulture)).ToHashSet();
        Assert.Equal(Enumerable.Range(1, Lines), shown.Union(NotHere.Keys).Order());
        Assert.Empty(shown.Intersect(NotHere.Keys));
    }

    [GeneratedRegex(@"^Line_(\d\d)_")]
    private static partial Regex Number();
}
