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
    /// <summary>A pattern gets this long to match one value; being non-backtracking it needs a fraction of it.</summary>
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromMilliseconds(50);

    /// <summary>The node's value of a field, or null if it has none.</summary>
    public static string? Value(NodeDescription node, string field) => field switch
    {
        "hostname" or "@hostname" => node.Id.Name,
        "@region" => node.Attributes.TryGetValue("region", out var region) ? region : null,
        "@zone" => node.Attributes.TryGetValue("zone", out var zone) ? zone : null,
        _ => node.Attributes.TryGetValue(field, out var value) ? value : null,
    };

    /// <summary>Why <paramref name="node"/> may not take one more instance beside those on <paramref name="others"/>; null if it may.</summary>
    public static string? Refusal(Constraint constraint, NodeDescription node, IReadOnlyCollection<NodeDescription> others)
    {
        var value = Value(node, constraint.Field);
        if (constraint.Operator == ConstraintOperator.Unlike)
            return value is not null && Matches(constraint.Value!, value) ? $"{Text(constraint)}: {constraint.Field} is '{value}'" : null;
        if (value is null) return $"{Text(constraint)}: the node has no attribute '{constraint.Field}'";

        var used = others.Select(o => Value(o, constraint.Field)).OfType<string>().ToList();
        var holds = constraint.Operator switch
        {
            ConstraintOperator.Unique => !used.Contains(value),
            ConstraintOperator.Cluster => string.IsNullOrEmpty(constraint.Value) ? used.Count == 0 || used[0] == value : value == constraint.Value,
            ConstraintOperator.GroupBy => FitsGroup(value, used, constraint.Value),
            ConstraintOperator.Like => Matches(constraint.Value!, value),
            ConstraintOperator.MaxPer => used.Count(v => v == value) < int.Parse(constraint.Value!, CultureInfo.InvariantCulture),
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

    private static bool FitsGroup(string value, List<string> used, string? groups)
    {
        var counts = used.GroupBy(v => v).ToDictionary(g => g.Key, g => g.Count());
        if (!counts.TryGetValue(value, out var mine)) return true;
        var wanted = string.IsNullOrEmpty(groups) ? 0 : int.Parse(groups, CultureInfo.InvariantCulture);
        return counts.Count >= wanted && mine == counts.Values.Min();
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

    private static string Explain(Constraint constraint, string value, List<string> used) => constraint.Operator switch
    {
        ConstraintOperator.Unique => $"'{value}' already has an instance",
        ConstraintOperator.Cluster => $"the instances belong on '{(string.IsNullOrEmpty(constraint.Value) ? used[0] : constraint.Value)}', this is '{value}'",
        ConstraintOperator.GroupBy => $"'{value}' has {used.Count(v => v == value)}, others have fewer",
        ConstraintOperator.MaxPer => $"'{value}' already has {used.Count(v => v == value)}",
        _ => $"{constraint.Field} is '{value}'",
    };
}
