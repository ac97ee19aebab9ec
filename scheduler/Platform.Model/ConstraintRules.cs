using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Platform.Model;

/// <summary>Turns the two or three texts of a constraint into one that can be evaluated (contract 5.8).</summary>
internal static partial class ConstraintRules
{
    public static Constraint? Read(EquatableArray<string> texts, string path, ProblemList rules)
    {
        if (texts.Count is not (2 or 3))
        {
            rules.Add(path, "Each constraint must have either 2 or 3 fields");
            return null;
        }
        if (texts[0].Length == 0) rules.Add(path, "missing field for constraint declaration");
        if (!AppWords.ConstraintOperators.TryGetValue(texts[1], out var @operator))
        {
            rules.Add(path, "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS");
            return null;
        }
        var value = texts.Count == 3 ? texts[2] : null;
        if (Flaw(@operator, value) is { } why)
        {
            rules.Add(path, why);
            return null;
        }
        return new Constraint(texts[0], @operator, @operator == ConstraintOperator.Unique ? null : value);
    }

    private static string? Flaw(ConstraintOperator @operator, string? value) => @operator switch
    {
        ConstraintOperator.Unique when !string.IsNullOrEmpty(value) => "UNIQUE does not accept a value",
        ConstraintOperator.GroupBy when value is not null => PositiveFlaw(value, "GROUP BY must define an integer value or else no value at all"),
        ConstraintOperator.MaxPer => PositiveFlaw(value, "MAX_PER requires an integer value"),
        ConstraintOperator.Like or ConstraintOperator.Unlike => ConstraintPattern.TryCompile(value, out _, out var why) ? null : why,
        ConstraintOperator.Is when value is null || !IsValue().IsMatch(value) => "IS requires a value of letters, digits, '_', '/', '.' or '-'",
        _ => null,
    };

    private static string? PositiveFlaw(string? value, string noInteger)
    {
        if (!int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)) return noInteger;
        return number >= 1 ? null : string.Create(CultureInfo.InvariantCulture, $"must be at least 1, was {number}: no task could ever be placed");
    }

    [GeneratedRegex(@"\A[A-Za-z0-9_/.\-]+\z", RegexOptions.CultureInvariant)]
    private static partial Regex IsValue();
}

/// <summary>The regular expressions of LIKE and UNLIKE, the same for whoever checks one and whoever matches with it.</summary>
public static class ConstraintPattern
{
    public const int LengthMax = 256;

    /// <summary>
    /// Matches whole texts only, in time linear in the text: users' patterns run inside the scheduler's one loop, so none may backtrack.
    /// The engine itself refuses patterns that would become too large an automaton.
    /// </summary>
    public static bool TryCompile(string? pattern, [NotNullWhen(true)] out Regex? regex, [NotNullWhen(false)] out string? why)
    {
        regex = null;
        why = string.IsNullOrEmpty(pattern) ? "LIKE and UNLIKE require a non-empty, regular expression value"
            : pattern.Length > LengthMax ? $"a regular expression may have at most {LengthMax} characters, this one has {pattern.Length}"
            : null;
        if (why is not null) return false;
        try
        {
            // 'a)|(b' is no expression, though it becomes one in brackets.
            _ = new Regex(pattern!, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
            regex = new Regex($@"\A(?:{pattern})\z", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
            return true;
        }
        catch (ArgumentException)
        {
            why = "is not a valid regular expression";
        }
        catch (NotSupportedException)
        {
            why = "is not a valid regular expression here: look-around, back-references, atomic groups and very large repetitions are refused, "
                + "because they cannot be matched in linear time";
        }
        return false;
    }
}
