using Platform.Model;

namespace Platform.Proxy.Routing;

/// <summary>The host names by which an app is reached at the edge port.</summary>
internal static class HostNames
{
    private const int LabelLengthMax = 63;
    private const int NameLengthMax = 253;

    /// <summary>An app's own names: <c>b-a.&lt;domain&gt;</c> and, for <c>/a/b</c>, the dotted <c>b.a.&lt;domain&gt;</c>.</summary>
    public static IEnumerable<string> Of(AppId app, string domain)
    {
        var dotted = app.ReverseDotted;
        var joined = Label(dotted);
        yield return $"{joined}.{domain}";
        if (dotted != joined) yield return $"{dotted}.{domain}";
    }

    /// <summary>A Host header's name: without port and final dot.</summary>
    public static string Bare(string host)
    {
        var end = host.Length;
        if (host.LastIndexOf(':') is var colon and >= 0 && host.IndexOf(']', colon) < 0) end = colon;
        if (end > 0 && host[end - 1] == '.') end--;
        return end == host.Length ? host : host[..end];
    }

    /// <summary>Exact names, or <c>*.name</c> for every name below it.</summary>
    public static bool IsValid(string name)
    {
        var rest = name.StartsWith("*.", StringComparison.Ordinal) ? name.AsSpan(2) : name;
        if (rest.Length is 0 or > NameLengthMax) return false;
        foreach (var label in rest.Split('.'))
            if (!IsLabel(rest[label])) return false;
        return true;
    }

    private static bool IsLabel(ReadOnlySpan<char> label)
    {
        if (label.Length is 0 or > LabelLengthMax || label[0] == '-' || label[^1] == '-') return false;
        foreach (var c in label)
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_')) return false;
        return true;
    }

    /// <summary>
    /// One DNS label as Mesos-DNS makes it. A name too long is cut; dashes that the cut leaves at the end are dropped and their places
    /// filled with what follows the run.
    /// </summary>
    private static string Label(string dotted)
    {
        var label = dotted.Replace('.', '-');
        while (label.Length > LabelLengthMax)
        {
            var cut = label[..LabelLengthMax];
            var kept = cut.TrimEnd('-');
            if (kept.Length == cut.Length) return cut;
            label = kept + label[kept.Length..].TrimStart('-');
        }
        return label;
    }
}
