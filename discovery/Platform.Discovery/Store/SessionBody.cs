using System.Globalization;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>What session endpoints read and write.</summary>
public static class SessionBody
{
    /// <summary>The session a body asks for, or the status and text of a refusal. Names of members do not mind their case; unknown ones are ignored, as in Consul.</summary>
    public static (KvSession? Session, StoreReply.Failed? Refused) Read(ReadOnlyMemory<byte> body, string id, string node)
    {
        var session = new KvSession { Id = id, Node = node, NodeChecks = [KvSession.NodeAlive] };
        if (body.IsEmpty) return (session, null);
        try
        {
            using var json = JsonDocument.Parse(body);
            if (json.RootElement.ValueKind == JsonValueKind.Null) return (session, null);
            if (json.RootElement.ValueKind != JsonValueKind.Object) throw new FormatException("an object is wanted");
            var behavior = "";
            foreach (var member in json.RootElement.EnumerateObject())
                session = With(session, member.Name, member.Value, ref behavior);
            return behavior is "" or "release" or "delete" ? Timed(session with { Behavior = behavior == "delete" ? SessionBehavior.Delete : SessionBehavior.Release })
                : (null, new StoreReply.Failed(500, $"Invalid Behavior setting '{behavior}'"));
        }
        catch (Exception e) when (e is JsonException or FormatException)
        {
            return (null, new StoreReply.Failed(400, $"Request decode failed: {e.Message}"));
        }
    }

    public static void Write(Utf8JsonWriter json, KvSession session)
    {
        json.WriteStartObject();
        json.WriteString("ID", session.Id);
        json.WriteString("Name", session.Name);
        json.WriteString("Node", session.Node);
        json.WriteNumber("LockDelay", session.LockDelay.Ticks * 100);
        json.WriteString("Behavior", session.Behavior == SessionBehavior.Delete ? "delete" : "release");
        json.WriteString("TTL", session.TtlText);
        json.WriteStartArray("NodeChecks");
        foreach (var check in session.NodeChecks) json.WriteStringValue(check);
        json.WriteEndArray();
        if (session.ServiceChecks.IsEmpty) json.WriteNull("ServiceChecks");
        else
        {
            json.WriteStartArray("ServiceChecks");
            foreach (var check in session.ServiceChecks)
            {
                json.WriteStartObject();
                json.WriteString("ID", check);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteNumber("CreateIndex", session.CreateIndex);
        json.WriteNumber("ModifyIndex", session.CreateIndex);
        json.WriteEndObject();
    }

    private static KvSession With(KvSession session, string name, JsonElement value, ref string behavior)
    {
        switch (name.ToUpperInvariant())
        {
            case "NAME":
                return session with { Name = Text(name, value) };
            case "NODE" when Text(name, value) is { Length: > 0 } node:
                return session with { Node = node };
            case "BEHAVIOR":
                behavior = Text(name, value);
                return session;
            case "TTL":
                return session with { TtlText = Text(name, value) };
            case "LOCKDELAY":
                return session with { LockDelay = LockDelay(value) };
            case "CHECKS" or "NODECHECKS":
                return session with { NodeChecks = Items(name, value).Select(x => Text(name, x)).ToEquatableArray() };
            case "SERVICECHECKS":
                return session with { ServiceChecks = Items(name, value).Select(ServiceCheck).ToEquatableArray() };
            default:
                return session;
        }
    }

    private static string ServiceCheck(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object) throw new FormatException("a service check is an object with an ID");
        foreach (var member in value.EnumerateObject())
            if (member.Name.Equals("ID", StringComparison.OrdinalIgnoreCase)) return Text(member.Name, member.Value);
        return "";
    }

    private static (KvSession?, StoreReply.Failed?) Timed(KvSession session)
    {
        if (session.TtlText.Length == 0) return (session, null);
        if (!TryDuration(session.TtlText, out var ttl))
            return (null, new StoreReply.Failed(500, $"Session TTL '{session.TtlText}' invalid: {WrongDuration(session.TtlText)}"));
        return (session with { Ttl = ttl == TimeSpan.Zero ? null : ttl }, null);
    }

    /// <summary>Text as Go writes durations, or nanoseconds, or, below a thousand, seconds.</summary>
    private static TimeSpan LockDelay(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.Null) return KvSession.LockDelayDefault;
        if (value.ValueKind == JsonValueKind.String)
            return TryDuration(value.GetString()!, out var delay) ? delay : throw new FormatException(WrongDuration(value.GetString()!));
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out var number) || number is < 0 or > 1e18) throw new FormatException("LockDelay is not a duration");
        return number < 1000 ? TimeSpan.FromSeconds(number) : TimeSpan.FromTicks((long)number / 100);
    }

    /// <summary>Without a unit only 0 is one.</summary>
    private static bool TryDuration(string text, out TimeSpan duration)
    {
        duration = default;
        return text == "0" || (!text.All(char.IsAsciiDigit) && KvAnswers.TryParseDuration(text, out duration));
    }

    private static string WrongDuration(string text) => $"time: {(text.Length > 0 && text.All(char.IsAsciiDigit) ? "missing unit in" : "invalid")} duration \"{text}\"";

    private static IEnumerable<JsonElement> Items(string name, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => [],
        JsonValueKind.Array => value.EnumerateArray(),
        _ => throw new FormatException($"{name} is not an array"),
    };

    private static string Text(string name, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Null => "",
        _ => throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"{name} is not a string")),
    };
}
