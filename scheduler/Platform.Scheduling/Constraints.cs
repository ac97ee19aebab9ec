using System.Globalization;
using System.Text.RegularExpressions;
using Platform.Model;

namespace Platform.Scheduling;

/// <summary>
/// Contract 5.8. Each constraint compares a node's value of a field with those of the app's other live instances; all must hold.
/// GROUP_BY follows the rule of versions up to 1.10: without a number only the values already seen are known.
/// </summary>
public static class Constraints
{
    /// <summary>
    /// A pattern gets this long to match one value. Being non-backtracking it needs microseconds; but the very first match of a process waits for the
    /// compiler (200 ms were seen on a busy machine), and must not come to another verdict for that.
    /// </summary>
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromSeconds(2);

    /// <summary>The node's value of a field, or null if it has none.</summary>
    public static string? Value(NodeDescription node, string field) => field switch
    {
        "hostname" or "@hostname" => node.Id.Name,
        "@region" => node.Attributes.TryGetValue("region", out var region) ? region : null,
        "@zone" => node.Attributes.TryGetValue("zone", out var zone) ? zone : null,
        _ => node.Attributes.TryGetValue(field, out var value) ? value : null,
    };

    /// <summary>Why <paramref name="node"/> may not take one more instance beside <paramref name="others"/>; null if it may.</summary>
    public static string? Refusal(Constraint constraint, NodeDescription node, ComparisonGroup others)
    {
        var value = Value(node, constraint.Field);
        if (constraint.Operator == ConstraintOperator.Unlike)
            return value is not null && Matches(constraint.Value!, value) ? $"{Text(constraint)}: {constraint.Field} is '{value}'" : null;
        if (value is null) return $"{Text(constraint)}: the node has no attribute '{constraint.Field}'";

        var used = others.Of(constraint.Field);
        var holds = constraint.Operator switch
        {
            ConstraintOperator.Unique => used.CountOf(value) == 0,
            ConstraintOperator.Cluster => string.IsNullOrEmpty(constraint.Value) ? used.First is null || used.First == value : value == constraint.Value,
            ConstraintOperator.GroupBy => FitsGroup(value, used, constraint.Value),
            ConstraintOperator.Like => Matches(constraint.Value!, value),
            ConstraintOperator.MaxPer => used.CountOf(value) < int.Parse(constraint.Value!, CultureInfo.InvariantCulture),
            ConstraintOperator.Is => Normal(value) == Normal(constraint.Value!),
            _ => throw new System.Diagnostics.UnreachableException($"{constraint.Operator}"),
        };
        return holds ? null : $"{Text(constraint)}: {Explain(constraint, value, used)}";
    }

    public static string Text(Constraint constraint)
    {
        var name = constraint.Operator switch
        {
            ConstraintOperator.GroupBy => "GROUP_BY",
            ConstraintOperator.MaxPer => "MAX_PER",
            _ => constraint.Operator.ToString().ToUpperInvariant(),
        };
        return constraint.Value is null ? $"{constraint.Field} {name}" : $"{constraint.Field} {name} {constraint.Value}";
    }

    private static bool FitsGroup(string value, ComparisonGroup.Values used, string? groups)
    {
        if (used.CountOf(value) == 0) return true;
        var wanted = string.IsNullOrEmpty(groups) ? 0 : int.Parse(groups, CultureInfo.InvariantCulture);
        return used.Distinct >= wanted && used.CountOf(value) == used.Least;
    }

    private static bool Matches(string pattern, string value)
    {
        try
        {
            return Regex.IsMatch(value, $@"\A(?:{pattern})\z", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, MatchTimeout);
        }
        catch (RegexMatchTimeoutException)
        {
            return false; // a pattern that cannot decide in time accepts nothing
        }
    }

    /// <summary>Numbers compare as numbers (<c>1.0</c> = <c>1</c>), with up to three decimals.</summary>
    private static string Normal(string text) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            ? Math.Round(number, 3, MidpointRounding.ToEven).ToString("0.###", CultureInfo.InvariantCulture)
            : text;

    private static string Explain(Constraint constraint, string value, ComparisonGroup.Values used) => constraint.Operator switch
    {
        ConstraintOperator.Unique => $"'{value}' already has an instance",
        ConstraintOperator.Cluster => $"the instances belong on '{(string.IsNullOrEmpty(constraint.Value) ? used.First : constraint.Value)}', this is '{value}'",
        ConstraintOperator.GroupBy => used.CountOf(value) > used.Least
            ? $"'{value}' has {used.CountOf(value)}, others have as few as {used.Least}"
            : $"'{value}' is taken, and only {used.Distinct} of {constraint.Value} values are",
        ConstraintOperator.MaxPer => $"'{value}' already has {used.CountOf(value)}",
        _ => $"{constraint.Field} is '{value}'",
    };
}
