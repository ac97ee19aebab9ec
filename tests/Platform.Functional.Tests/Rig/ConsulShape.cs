using System.Text.Json.Nodes;

namespace Platform.Functional.Tests.Rig;

/// <summary>An answer of Consul's API without what must differ between two of them: indices, ids and meta of nodes, and the service that Consul's servers are themselves.</summary>
internal static class ConsulShape
{
    /// <param name="anyType">How a check came to be does not count either.</param>
    public static async Task<string> OfAsync(HttpResponseMessage answer, bool anyType = false)
    {
        var text = await answer.Content.ReadAsStringAsync();
        if (answer.Content.Headers.ContentType?.MediaType != "application/json") return text;
        return Mask(JsonNode.Parse(text), anyType)?.ToJsonString() ?? "null";
    }

    private static JsonNode? Mask(JsonNode? node, bool anyType)
    {
        switch (node)
        {
            case JsonArray array:
                return new JsonArray([.. array.Where(x => !IsConsul(x)).OrderBy(PlaceOf, StringComparer.Ordinal).Select(x => Mask(x?.DeepClone(), anyType))]);
            case JsonObject o:
                var masked = new JsonObject();
                foreach (var (name, value) in o)
                    if (name is "CreateIndex" or "ModifyIndex" or "consul" || IsConsul(value)) continue;
                    else if (o.ContainsKey("Datacenter") && name is "ID" or "Meta" or "NodeMeta" && o.ContainsKey("Datacenter")) continue;
                    else if (anyType && o.ContainsKey("CheckID") && name == "Type") continue;
                    else masked[name] = Mask(value?.DeepClone(), anyType);
                return masked;
            default:
                return node?.DeepClone();
        }
    }

    /// <summary>An agent lists its instances and their checks in any order; everything else has one.</summary>
    private static string? PlaceOf(JsonNode? node) => node is not JsonObject o ? null
        : o.ContainsKey("AggregatedStatus") ? o["Service"]?["ID"]?.GetValue<string>()
        : o["CheckID"]?.GetValue<string>();

    private static bool IsConsul(JsonNode? node) => node is JsonObject o && o["Service"] is JsonValue name && name.GetValue<string>() == "consul";
}
