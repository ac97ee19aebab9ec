namespace Platform.Discovery;

/// <summary>The published keys and the clients' own as one: the former are all below <see cref="KvTree.Root"/>, the latter never are.</summary>
public static class KvLookup
{
    public static KvEntry? Find(KvTree published, KvEntries own, string key) => IsPublished(key) ? published.Find(key) : own.Find(key);

    public static IEnumerable<KvEntry> Under(KvTree published, KvEntries own, string prefix)
    {
        if (IsPublished(prefix)) return published.Under(prefix);
        return KvTree.Root.StartsWith(prefix, StringComparison.Ordinal) ? Merged(published, own, prefix) : own.Under(prefix);
    }

    public static long IndexOf(KvTree published, KvEntries own, string key) => IsPublished(key) ? published.IndexOf(key) : own.IndexOf(key);

    public static long IndexUnder(KvTree published, KvEntries own, string prefix)
    {
        if (IsPublished(prefix)) return published.IndexUnder(prefix);
        var index = own.IndexUnder(prefix);
        return KvTree.Root.StartsWith(prefix, StringComparison.Ordinal) ? Math.Max(index, published.IndexUnder(prefix)) : index;
    }

    public const string WhyReadOnly = KvTree.Root + " is read-only: it shows what runs, and writing there cannot change that; deploy through the REST API";

    /// <summary>Below the root: nobody's to write.</summary>
    public static bool IsPublished(string key) => key.StartsWith(KvTree.Root, StringComparison.Ordinal);

    /// <summary>The published ones are neighbours: they go in where they belong.</summary>
    private static IEnumerable<KvEntry> Merged(KvTree published, KvEntries own, string prefix)
    {
        var isDone = false;
        foreach (var entry in own.Under(prefix))
        {
            if (!isDone && string.CompareOrdinal(entry.Key, KvTree.Root) > 0)
            {
                foreach (var shown in published.Under(prefix)) yield return shown;
                isDone = true;
            }
            yield return entry;
        }
        if (isDone) yield break;
        foreach (var shown in published.Under(prefix)) yield return shown;
    }
}
