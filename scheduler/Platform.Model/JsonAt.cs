using System.Globalization;
using System.Text.Json;

namespace Platform.Model;

/// <summary>
/// One place in a request body. Asking it for a member of some type gives the value, or null when it is absent, null or of another
/// type; the last is noted with its path and the code Play-JSON would give (contract 1.2), so one pass finds every problem of shape.
/// </summary>
internal readonly struct JsonAt(JsonElement element, string path, ProblemList problems)
{
    public JsonElement Element => element;
    public string Path => path;

    /// <summary>The member, unless it is absent or null: both mean "not said".</summary>
    public JsonAt? Member(string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? new JsonAt(value, $"{path}/{name}", problems) : null;

    public string? Text(string name) => Member(name)?.AsText();
    public bool? Flag(string name) => Member(name)?.AsFlag();
    public double? Number(string name, double min, double max) => Member(name)?.AsNumber(min, max);
    public int? Integer(string name, int min, int max) => Member(name)?.AsInteger(min, max);
    public JsonAt? Object(string name) => Member(name)?.AsObject();
    public List<JsonAt>? List(string name) => Member(name)?.AsList();
    public EquatableMap? Texts(string name) => Object(name)?.AsTexts();

    public string? RequiredText(string name, int lengthMin = 0)
    {
        if (Member(name) is not { } member)
        {
            problems.Add($"{path}/{name}", "error.path.missing");
            return null;
        }
        var text = member.AsText();
        if (text?.Length < lengthMin) problems.Add(member.Path, "error.minLength");
        return text;
    }

    public void Missing(string name) => problems.Add($"{path}/{name}", "error.path.missing");

    public T? OneOf<T>(string name, IReadOnlyDictionary<string, T> words) where T : struct => Member(name)?.AsOneOf(words);

    public EquatableArray<string>? TextList(string name)
    {
        if (List(name) is not { } items) return null;
        var texts = new List<string>(items.Count);
        foreach (var item in items)
            if (item.AsText() is { } text) texts.Add(text);
        return texts.ToEquatableArray();
    }

    public string? AsText() => element.ValueKind == JsonValueKind.String ? element.GetString() : Mismatch<string>("error.expected.jsstring");

    public T? AsOneOf<T>(IReadOnlyDictionary<string, T> words) where T : struct
    {
        if (AsText() is not { } text) return null;
        return words.TryGetValue(text, out var value) ? value : MismatchValue<T>("error.unknown.enum.literal");
    }

    public bool? AsFlag() =>
        element.ValueKind is JsonValueKind.True or JsonValueKind.False ? element.GetBoolean() : MismatchValue<bool>("error.expected.jsboolean");

    public JsonAt? AsObject() => element.ValueKind == JsonValueKind.Object ? this : MismatchValue<JsonAt>("error.expected.jsobject");

    public List<JsonAt>? AsList()
    {
        if (element.ValueKind != JsonValueKind.Array) return Mismatch<List<JsonAt>>("error.expected.jsarray");
        var items = new List<JsonAt>(element.GetArrayLength());
        foreach (var item in element.EnumerateArray()) items.Add(new JsonAt(item, $"{path}({items.Count})", problems));
        return items;
    }

    public EquatableMap AsTexts()
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal); // of two members with one name the last wins
        foreach (var member in element.EnumerateObject())
            if (new JsonAt(member.Value, $"{path}/{member.Name}", problems).AsText() is { } text) texts[member.Name] = text;
        return EquatableMap.From(texts);
    }

    private const NumberStyles QuotedNumber = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;

    /// <summary>A finite number; files of 2014 quote theirs (contract 2.10).</summary>
    public double? AsNumber(double min, double max)
    {
        var known = element.ValueKind switch
        {
            JsonValueKind.Number => element.TryGetDouble(out var number) ? number : double.NaN,
            JsonValueKind.String => double.TryParse(element.GetString(), QuotedNumber, CultureInfo.InvariantCulture, out var number) ? number : double.NaN,
            _ => double.NaN,
        };
        if (!double.IsFinite(known)) return MismatchValue<double>("error.expected.jsnumber");
        return InRange(known, min, max) ? known : null;
    }

    public int? AsInteger(int min, int max)
    {
        var start = AsNumber(double.NegativeInfinity, double.PositiveInfinity);
        if (start is not { } number) return null;
        if (number != Math.Truncate(number)) return MismatchValue<int>("error.expected.jsnumber/int");
        return InRange(number, min, max) ? (int)number : null;
    }

    private bool InRange(double number, double min, double max)
    {
        if (number >= min && number <= max) return true;
        problems.AddOutOfRange(path, number < min ? "error.min" : "error.max");
        problems.AddOutOfRange(path, number < min
            ? string.Create(CultureInfo.InvariantCulture, $"must be at least {min}, was {number}")
            : string.Create(CultureInfo.InvariantCulture, $"must be at most {max}, was {number}"));
        return false;
    }

    private T? Mismatch<T>(string code) where T : class
    {
        problems.Add(path, code);
        return null;
    }

    private T? MismatchValue<T>(string code) where T : struct
    {
        problems.Add(path, code);
        return null;
    }
}
