using System.Globalization;
using System.Text.RegularExpressions;

namespace Platform.Model;

/// <summary>
/// What an app's labels say of its deployments, which by themselves wait for ever (contract 5.1): when one is given up, and whether it is
/// undone then. Our own addition.
/// </summary>
/// <param name="Timeout">Null: never given up, or as the cluster is set.</param>
/// <param name="AutoRollback">Null: as the cluster is set.</param>
public readonly partial record struct DeploymentPolicy(TimeSpan? Timeout, bool? AutoRollback)
{
    public const string TimeoutLabel = "PLATFORM_DEPLOY_TIMEOUT";
    public const string AutoRollbackLabel = "PLATFORM_AUTO_ROLLBACK";

    private static readonly TimeSpan TimeoutMax = TimeSpan.FromDays(30);

    public static DeploymentPolicy Of(EquatableMap labels) => new(
        labels.TryGetValue(TimeoutLabel, out var text) && TryParse(text, out var timeout) ? timeout : null,
        labels.TryGetValue(AutoRollbackLabel, out var word) ? word == "true" : null);

    /// <summary>Whole seconds, or a number with its unit: <c>90</c>, <c>90s</c>, <c>5m</c>, <c>2h</c>.</summary>
    public static bool TryParse(string text, out TimeSpan timeout)
    {
        timeout = default;
        if (Span().Match(text) is not { Success: true } match) return false;
        var unit = match.Groups[2].Value switch { "m" => 60, "h" => 3600, _ => 1 };
        timeout = TimeSpan.FromSeconds(double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) * unit);
        return timeout >= TimeSpan.FromSeconds(1) && timeout <= TimeoutMax;
    }

    internal static void Check(EquatableMap labels, ProblemList rules)
    {
        if (labels.TryGetValue(TimeoutLabel, out var text) && !TryParse(text, out _))
            rules.Add($"/labels/{TimeoutLabel}", "must be a time from 1 second to 30 days: whole seconds, or a number with s, m or h, like '300' or '5m'");
        if (labels.TryGetValue(AutoRollbackLabel, out var word) && word is not ("true" or "false"))
            rules.Add($"/labels/{AutoRollbackLabel}", "must be 'true' or 'false'");
    }

    [GeneratedRegex(@"\A([0-9]{1,8})([smh]?)\z", RegexOptions.CultureInvariant)]
    private static partial Regex Span();
}
