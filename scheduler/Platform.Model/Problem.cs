namespace Platform.Model;

/// <summary>
/// One thing wrong with an input: where (<c>/healthChecks(0)/portIndex</c>, the root is <c>/</c>) and why, in the contract's words where it
/// has some.
/// </summary>
public sealed record Problem(string Path, string Reason);
