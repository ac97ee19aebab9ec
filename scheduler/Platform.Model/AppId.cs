using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace Platform.Model;

/// <summary>
/// The absolute path of an app, a group or the root: <c>/</c>, <c>/web</c>, <c>/shop/eu/web</c>.
/// Segments are dot-joined labels of <c>[a-z0-9]</c> with inner hyphens (contract section 2.1).
/// </summary>
[JsonConverter(typeof(AppIdConverter))]
public sealed partial record AppId : IComparable<AppId>
{
    public static readonly AppId Root = new("/");
    public const int LengthMax = 1024;
    private static readonly string TooLong = $"must not be longer than {LengthMax} characters";

    private AppId(string path) => Path = path;

    /// <summary>The path with its leading slash and no trailing one.</summary>
    public string Path { get; }

    public bool IsRoot => Path.Length == 1;
    public IReadOnlyList<string> Segments => IsRoot ? [] : Path[1..].Split('/');
    public AppId Parent => Path.LastIndexOf('/') is var cut && cut <= 0 ? Root : new AppId(Path[..cut]);

    /// <summary>Segments joined by <c>_</c>: the first part of task ids and the name in the text task list.</summary>
    public string Underscored => IsRoot ? "" : Path[1..].Replace('/', '_');

    /// <summary>Segments in reverse, joined by <c>.</c>: the Mesos task name, from which DNS names are made.</summary>
    public string ReverseDotted => string.Join('.', Segments.Reverse());

    public bool IsWithin(AppId group) => group.IsRoot || Path == group.Path || Path.StartsWith(group.Path + "/", StringComparison.Ordinal);

    /// <summary>Parses an absolute path, or a relative one (with <c>.</c> and <c>..</c>) against <paramref name="within"/> (the root if none).</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out AppId? id, [NotNullWhen(false)] out string? why, AppId? within = null)
    {
        id = null;
        if (text.Length > LengthMax) // before any work on it
        {
            why = TooLong;
            return false;
        }
        var stack = new List<string>(text.StartsWith('/') ? [] : (within ?? Root).Segments);
        foreach (var segment in text.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            if (segment == ".") continue;
            if (segment == "..")
            {
                if (stack.Count > 0) stack.RemoveAt(stack.Count - 1);
                continue;
            }
            if (!SegmentPattern().IsMatch(segment))
            {
                why = "must fully match regular expression "
                    + "'^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'";
                return false;
            }
            stack.Add(segment);
        }
        var path = "/" + string.Join('/', stack);
        if (path.Length > LengthMax)
        {
            why = TooLong;
            return false;
        }
        why = null;
        id = stack.Count == 0 ? Root : new AppId(path);
        return true;
    }

    /// <summary>Parses text that is known to be right (our own log, literals); anything else is a broken invariant.</summary>
    public static AppId Parse(string text) => TryParse(text, out var id, out var why) ? id : throw new FormatException($"'{text}' is no app id: {why}");

    public int CompareTo(AppId? other) => string.CompareOrdinal(Path, other?.Path);
    public override string ToString() => Path;

    [GeneratedRegex(@"\A(?:(?:[a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*(?:[a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\z", RegexOptions.CultureInvariant)]
    private static partial Regex SegmentPattern();

    private sealed class AppIdConverter : JsonConverter<AppId>
    {
        public override AppId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Parse(reader.GetString()!);
        public override void Write(Utf8JsonWriter writer, AppId value, JsonSerializerOptions options) => writer.WriteStringValue(value.Path);
        public override AppId ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Parse(reader.GetString()!);
        public override void WriteAsPropertyName(Utf8JsonWriter writer, AppId value, JsonSerializerOptions options) => writer.WritePropertyName(value.Path);
    }
}
