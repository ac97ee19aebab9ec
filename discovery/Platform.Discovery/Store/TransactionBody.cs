using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>The body of <c>PUT /v1/txn</c>: an array of objects with one member each. Only those for keys are known here; names of members do not mind their case.</summary>
public static class TransactionBody
{
    public static bool TryRead(ReadOnlyMemory<byte> body, out EquatableArray<KvOperation> operations, [NotNullWhen(false)] out StoreReply.Failed? refused)
    {
        operations = default;
        try
        {
            using var json = JsonDocument.Parse(body);
            if (json.RootElement.ValueKind is not (JsonValueKind.Array or JsonValueKind.Null)) throw new FormatException("an array of operations is wanted");
            var read = json.RootElement.ValueKind == JsonValueKind.Null ? [] : json.RootElement.EnumerateArray().SelectMany(Operations).ToEquatableArray();
            refused = read.Count > StoreLimits.OperationsMax ? Failed(413, $"Transaction contains too many operations ({read.Count} > {StoreLimits.OperationsMax})")
                : read.Items.Sum(x => (long)x.Value.Length) > StoreLimits.TransactionBytesMax ? Failed(413, $"Values of one transaction exceed {StoreLimits.TransactionBytesMax} bytes")
                : read.Items.FirstOrDefault(x => x.Value.Length > StoreLimits.ValueBytesMax) is { } large ? Failed(413, $"Value for key \"{large.Key}\" is too large ({large.Value.Length} > {StoreLimits.ValueBytesMax} bytes)")
                : null;
            operations = read;
            return refused is null;
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            refused = Failed(400, $"Failed to parse body: {e.Message}");
            return false;
        }
    }

    /// <summary>None for an object without a member, as in Consul.</summary>
    private static IEnumerable<KvOperation> Operations(JsonElement item)
    {
        if (item.ValueKind == JsonValueKind.Null) yield break;
        foreach (var member in Members(item, "an operation"))
            switch (member.Name.ToUpperInvariant())
            {
                case "KV" when member.Value.ValueKind == JsonValueKind.Null:
                    break;
                case "KV":
                    yield return Operation(member.Value);
                    break;
                case "NODE" or "SERVICE" or "CHECK" when member.Value.ValueKind == JsonValueKind.Null:
                    break;
                default:
                    throw new FormatException($"operations of the kind {member.Name} are not served here, only those on KV");
            }
    }

    private static KvOperation Operation(JsonElement kv)
    {
        var operation = new KvOperation(KvVerb.Unknown, "");
        foreach (var (name, value) in Members(kv, "KV").Select(m => (m.Name, m.Value)))
        {
            if (value.ValueKind == JsonValueKind.Null) continue;
            operation = name.ToUpperInvariant() switch
            {
                "VERB" => operation with { Verb = VerbOf(Text(name, value)), Word = Text(name, value) },
                "KEY" => operation with { Key = Text(name, value) },
                "VALUE" => operation with { Value = new KvValue(value.ValueKind == JsonValueKind.String && value.TryGetBytesFromBase64(out var bytes) ? bytes : throw new FormatException("Value is not base64")) },
                "FLAGS" => operation with { Flags = Number(name, value) },
                "INDEX" => operation with { Index = Number(name, value) },
                "SESSION" => operation with { Session = Text(name, value) },
                "NAMESPACE" => operation,
                _ => throw new FormatException($"unknown field \"{name}\""),
            };
        }
        return operation;
    }

    private static KvVerb VerbOf(string word) => word switch
    {
        "set" => KvVerb.Set,
        "cas" => KvVerb.Cas,
        "lock" => KvVerb.Lock,
        "unlock" => KvVerb.Unlock,
        "get" => KvVerb.Get,
        "get-tree" => KvVerb.GetTree,
        "check-index" => KvVerb.CheckIndex,
        "check-session" => KvVerb.CheckSession,
        "check-not-exists" => KvVerb.CheckNotExists,
        "delete" => KvVerb.Delete,
        "delete-tree" => KvVerb.DeleteTree,
        "delete-cas" => KvVerb.DeleteCas,
        _ => KvVerb.Unknown,
    };

    private static JsonElement.ObjectEnumerator Members(JsonElement element, string what) =>
        element.ValueKind == JsonValueKind.Object ? element.EnumerateObject() : throw new FormatException($"{what} is not an object");

    private static string Text(string name, JsonElement value) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw new FormatException($"{name} is not a string");

    private static ulong Number(string name, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && ulong.TryParse(value.GetRawText(), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number : throw new FormatException($"{name} is not a whole number from 0 on");

    private static StoreReply.Failed Failed(int status, string text) => new(status, text);
}
