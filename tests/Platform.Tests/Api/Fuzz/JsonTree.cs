using System.Text;
using System.Text.Json;

namespace Platform.Tests.Api.Fuzz;

/// <summary>JSON as it is spelled and not as it is meant: members may come twice, and a value may be no JSON at all.</summary>
internal sealed class JsonTree
{
    private JsonTree(string spelling) => Spelling = spelling;

    /// <summary>Of a scalar, as it stands in the text; null for an object or array.</summary>
    public string? Spelling { get; private set; }

    public bool IsObject { get; private set; }

    /// <summary>Members and items alike; an item has no key.</summary>
    public List<(string? Key, JsonTree Value)> Items { get; private set; } = [];

    public static JsonTree Scalar(string spelling) => new(spelling);

    public static JsonTree Parse(string text)
    {
        using var document = JsonDocument.Parse(text);
        return Of(document.RootElement);
    }

    public JsonTree Copy() => new("") { Spelling = Spelling, IsObject = IsObject, Items = [.. Items.Select(i => (i.Key, i.Value.Copy()))] };

    public void Become(JsonTree other)
    {
        var copy = other.Copy();
        (Spelling, IsObject, Items) = (copy.Spelling, copy.IsObject, copy.Items);
    }

    public void Wrap(bool inObject)
    {
        var inner = Copy();
        (Spelling, IsObject, Items) = (null, inObject, [(inObject ? "x" : null, inner)]);
    }

    public List<JsonTree> All()
    {
        var all = new List<JsonTree> { this };
        for (var i = 0; i < all.Count; i++) all.AddRange(all[i].Items.Select(x => x.Value));
        return all;
    }

    public override string ToString()
    {
        var text = new StringBuilder();
        Write(text);
        return text.ToString();
    }

    private static JsonTree Of(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => new("") { Spelling = null, IsObject = true, Items = [.. element.EnumerateObject().Select(m => ((string?)m.Name, Of(m.Value)))] },
        JsonValueKind.Array => new("") { Spelling = null, Items = [.. element.EnumerateArray().Select(i => ((string?)null, Of(i)))] },
        _ => new(element.GetRawText()),
    };

    private void Write(StringBuilder text)
    {
        if (Spelling is not null)
        {
            text.Append(Spelling);
            return;
        }
        text.Append(IsObject ? '{' : '[');
        for (var i = 0; i < Items.Count; i++)
        {
            if (i > 0) text.Append(',');
            if (IsObject) text.Append('"').Append(Items[i].Key ?? "").Append("\":");
            Items[i].Value.Write(text);
        }
        text.Append(IsObject ? '}' : ']');
    }
}
