using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Platform.Discovery.Hosting;

/// <summary>What every read of the Consul door may say about waiting.</summary>
/// <param name="After">Wait until the index is greater; 0 = answer now.</param>
public readonly record struct BlockingQuery(long After, TimeSpan Wait)
{
    public static bool TryParse(IQueryCollection query, out BlockingQuery blocking, out string why)
    {
        why = "";
        var wait = KvQuery.WaitDefault;
        if (query["wait"].ToString() is { Length: > 0 } text && !KvAnswers.TryParseDuration(text, out wait)) why = "Invalid wait time";
        if (wait == TimeSpan.Zero) wait = KvQuery.WaitDefault;
        ulong index = 0;
        if (query["index"].ToString() is { Length: > 0 } number && !ulong.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out index)) why = "Invalid index";
        if (query.ContainsKey("stale") && query.ContainsKey("consistent")) why = "Cannot specify ?stale with ?consistent, conflicting semantics.";
        blocking = new BlockingQuery((long)Math.Min(index, long.MaxValue), wait > KvQuery.WaitMax ? KvQuery.WaitMax : wait);
        return why.Length == 0;
    }
}

internal static class ConsulWords
{
    /// <summary>The words for yes and no that Go knows.</summary>
    public static bool? BoolOf(string text) => text switch
    {
        "1" or "t" or "T" or "TRUE" or "true" or "True" => true,
        "0" or "f" or "F" or "FALSE" or "false" or "False" => false,
        _ => null,
    };
}
