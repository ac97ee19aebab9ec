using System.Text.RegularExpressions;

namespace Platform.Functional.Tests.Rig;

internal sealed record DnsRecord(string Owner, string Type, string Data);

internal sealed record DnsAnswer(string Status, DnsRecord[] Answers, DnsRecord[] Authority, string Text)
{
    public string[] Data(string type) => [.. Answers.Where(x => x.Type == type).Select(x => x.Data).Order(StringComparer.Ordinal)];
}

/// <summary>Asks a DNS door with dig: a second implementation reads what ours wrote.</summary>
internal static partial class Dig
{
    public static async Task<DnsAnswer> AskAsync(string address, int port, string name, string type, bool tcp = false)
    {
        var result = await Command.RunAsync("dig", [$"@{address}", "-p", $"{port}", "+tries=1", "+time=5", "+noedns", .. (string[])(tcp ? ["+tcp"] : ["+ignore"]), name, type]);
        var text = result.Must("dig");
        var status = Status().Match(text);
        if (!status.Success) throw new InvalidOperationException($"dig gave no answer: {text}");
        return new DnsAnswer(status.Groups[1].Value, Section(text, "ANSWER"), Section(text, "AUTHORITY"), text);
    }

    private static DnsRecord[] Section(string text, string name)
    {
        var from = text.IndexOf($";; {name} SECTION:", StringComparison.Ordinal);
        if (from < 0) return [];
        return [.. text[from..].Split('\n').Skip(1).TakeWhile(x => x.Length > 0 && x[0] != ';').Select(Parse)];
    }

    private static DnsRecord Parse(string line)
    {
        var parts = line.Split((char[])[' ', '\t'], 5, StringSplitOptions.RemoveEmptyEntries);
        return new DnsRecord(parts[0], parts[3], parts[4]);
    }

    [GeneratedRegex(@"status: ([A-Z]+)")]
    private static partial Regex Status();
}
