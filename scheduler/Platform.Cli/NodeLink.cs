using Platform.Agent.Joining;
using Platform.Model;

namespace Platform.Cli;

/// <summary>How a node finds its schedulers.</summary>
/// <param name="Schedulers"><c>unix:/path</c> for the scheduler of its own process, or the links of others.</param>
/// <param name="ClusterId">Null before the first welcome.</param>
internal sealed record NodeLink(EquatableArray<string> Schedulers, string? ClusterId, NodeCredentials? Credentials);

internal static class ProgramVersion
{
    public static string Text { get; } = typeof(ProgramVersion).Assembly.GetName().Version?.ToString(3) ?? "0.0.0";
}
