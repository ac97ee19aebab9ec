using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Platform.Discovery;

/// <summary>What is asked of the KV door: one key or a prefix, and in which shape (reference/discovery.md 3.3).</summary>
public sealed record KvQuery(string Key, bool Raw, bool Recurse, bool Keys, string Separator, bool Pretty)
{
    public static readonly TimeSpan WaitDefault = TimeSpan.FromMinutes(5);
    public static readonly TimeSpan WaitMax = TimeSpan.FromMinutes(10);

    public bool IsPrefix => Recurse || Keys;
}

/// <summary>Status, index and body. The body is JSON unless <paramref name="Plain"/>; a missing key has none.</summary>
public sealed record KvAnswer(int Status, long Index, ReadOnlyMemory<byte> Body, bool Plain);

public static class KvAnswers
{
    private static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly JsonWriterOptions Indented = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = true, IndentSize = 4 };

    /// <summary>About what Go's durations can be.</summary>
    private static readonly TimeSpan DurationMax = TimeSpan.FromDays(100_000);

    public static long Index(KvTree tree, KvEntries own, KvQuery query) =>
        query.IsPrefix ? KvLookup.IndexUnder(tree, own, query.Key) : KvLookup.IndexOf(tree, own, query.Key);

    /// <param name="mayRead">Of what is below a prefix only these keys are shown; null = all.</param>
    public static KvAnswer Of(KvTree tree, KvEntries own, KvQuery query, Func<string, bool>? mayRead = null)
    {
        var index = Index(tree, own, query);
        if (query.IsPrefix)
        {
            var entries = KvLookup.Under(tree, own, query.Key).Where(x => mayRead?.Invoke(x.Key) != false);
            return query.Keys ? Keys(entries, query, index) : List([.. entries], query, index);
        }
        if (KvLookup.Find(tree, own, query.Key) is not { } entry) return new KvAnswer(404, index, default, true);
        return query.Raw ? new KvAnswer(200, index, entry.Value.AsMemory(), true) : List([entry], query, index);
    }

    private static KvAnswer Keys(IEnumerable<KvEntry> entries, KvQuery query, long index)
    {
        var keys = new List<string>();
        foreach (var entry in entries)
        {
            var cut = query.Separator.Length == 0 ? -1 : entry.Key.IndexOf(query.Separator, query.Key.Length, StringComparison.Ordinal);
            var key = cut < 0 ? entry.Key : entry.Key[..(cut + query.Separator.Length)];
            if (keys.Count == 0 || keys[^1] != key) keys.Add(key); // in order, so equal ones are neighbours
        }
        if (keys.Count == 0 && query.Key.Length > 0) return new KvAnswer(404, index, default, true);
        return Json(query, index, json =>
        {
            json.WriteStartArray();
            foreach (var key in keys) json.WriteStringValue(key);
            json.WriteEndArray();
        });
    }

    private static KvAnswer List(KvEntry[] entries, KvQuery query, long index)
    {
        if (entries.Length == 0) return new KvAnswer(404, index, default, true);
        return Json(query, index, json =>
        {
            json.WriteStartArray();
            foreach (var entry in entries) Write(json, entry);
            json.WriteEndArray();
        });
    }

    public static void Write(Utf8JsonWriter json, KvEntry entry)
    {
        json.WriteStartObject();
        json.WriteNumber("LockIndex", entry.LockIndex);
        json.WriteString("Key", entry.Key);
        json.WriteNumber("Flags", entry.Flags);
        if (entry.Value.IsEmpty) json.WriteNull("Value");
        else json.WriteBase64String("Value", entry.Value.AsSpan());
        if (entry.Session is { } session) json.WriteString("Session", session); // absent when nobody holds it: clients tell by that
        json.WriteNumber("CreateIndex", entry.CreateIndex);
        json.WriteNumber("ModifyIndex", entry.ModifyIndex);
        json.WriteEndObject();
    }

    private static KvAnswer Json(KvQuery query, long index, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer, query.Pretty ? Indented : Compact)) write(json);
        return new KvAnswer(200, index, buffer.WrittenMemory, false);
    }

    /// <summary>
    /// The key in a raw request target, or null if it is no KV request. Decoded once, so that <c>%2F</c> is a slash and <c>%252F</c> is not;
    /// leading slashes are dropped and repeated ones made one, silently: a redirect would lose a client's body.
    /// </summary>
    public static string? KeyOf(string rawTarget)
    {
        const string prefix = "/v1/kv";
        var path = PathOf(rawTarget);
        if (!path.StartsWith(prefix, StringComparison.Ordinal) || (path.Length > prefix.Length && path[prefix.Length] != '/')) return null;
        var decoded = Uri.UnescapeDataString(path[prefix.Length..].ToString());
        var key = new StringBuilder(decoded.Length);
        foreach (var c in decoded)
            if (c != '/' || (key.Length > 0 && key[^1] != '/')) key.Append(c);
        return key.ToString();
    }

    /// <summary>The path of a request target in origin form or absolute form.</summary>
    public static ReadOnlySpan<char> PathOf(ReadOnlySpan<char> rawTarget)
    {
        var end = rawTarget.IndexOf('?');
        var path = end < 0 ? rawTarget : rawTarget[..end];
        if (path.StartsWith("/")) return path;
        var authority = path.IndexOf("://");
        if (authority < 0) return path;
        var rest = path[(authority + 3)..];
        var slash = rest.IndexOf('/');
        return slash < 0 ? "/" : rest[slash..];
    }

    /// <summary>A duration as Go writes it: <c>90s</c>, <c>1m30s</c>, <c>1.5h</c>, <c>250ms</c>, <c>0</c>; a bare number is nanoseconds.</summary>
    public static bool TryParseDuration(string text, out TimeSpan duration)
    {
        duration = default;
        if (text.Length is 0 or > 64) return false;
        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var nanoseconds))
        {
            duration = TimeSpan.FromTicks(nanoseconds / 100);
            return true;
        }
        double seconds = 0;
        for (var at = 0; at < text.Length;)
        {
            var start = at;
            while (at < text.Length && (char.IsAsciiDigit(text[at]) || text[at] == '.')) at++;
            if (!double.TryParse(text.AsSpan(start, at - start), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)) return false;
            start = at;
            while (at < text.Length && !char.IsAsciiDigit(text[at]) && text[at] != '.') at++;
            double? unit = text[start..at] switch { "h" => 3600, "m" => 60, "s" => 1, "ms" => 1e-3, "us" or "µs" => 1e-6, "ns" => 1e-9, _ => null };
            if (unit is null) return false;
            seconds += number * unit.Value;
        }
        duration = TimeSpan.FromSeconds(Math.Min(seconds, DurationMax.TotalSeconds));
        return true;
    }
}
