using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace Platform.Model;

/// <summary>
/// The id of one instance of an app, <c>shop_web.instance-6f3e…</c>; its only task is <c>…._app.1</c> (contract section 3).
/// The UUID is derived from the cluster and a serial number that the cluster never gives twice, so replaying the log gives the same ids.
/// </summary>
[JsonConverter(typeof(InstanceIdConverter))]
public sealed partial record InstanceId : IComparable<InstanceId>
{
    private const string TaskSuffix = "._app.1";

    private InstanceId(string text) => Text = text;

    public string Text { get; }
    public string TaskId => Text + TaskSuffix;

    /// <summary>The task of one of a pod's containers.</summary>
    public string TaskIdOf(string container) => $"{Text}.{container}";

    /// <summary>The part after <c>instance-</c>.</summary>
    public string Uuid => Text[(Text.LastIndexOf(".instance-", StringComparison.Ordinal) + ".instance-".Length)..];

    public static InstanceId Derive(string clusterId, AppId app, long serial)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{clusterId}/{serial}")), hash);
        BinaryPrimitives.WriteUInt16BigEndian(hash[6..], (ushort)((BinaryPrimitives.ReadUInt16BigEndian(hash[6..]) & 0x0FFF) | 0x8000)); // RFC 9562 version 8
        hash[8] = (byte)((hash[8] & 0x3F) | 0x80);
        return new InstanceId($"{app.Underscored}.instance-{new Guid(hash[..16], bigEndian: true):D}");
    }

    /// <summary>Accepts an instance id or the id of its task.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out InstanceId? id)
    {
        id = null;
        var body = text.EndsWith(TaskSuffix, StringComparison.Ordinal) ? text[..^TaskSuffix.Length] : text;
        if (!Spelling().IsMatch(body)) return false;
        id = new InstanceId(body);
        return true;
    }

    public static InstanceId Parse(string text) => TryParse(text, out var id) ? id : throw new FormatException($"'{text}' is no instance id");

    // Exactly what Derive gives: Guid's own parser takes capitals and blanks too, and one instance must not have two ids.
    [GeneratedRegex(@"\A[a-z0-9][a-z0-9._\-]*\.instance-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\z", RegexOptions.CultureInvariant)]
    private static partial Regex Spelling();

    public int CompareTo(InstanceId? other) => string.CompareOrdinal(Text, other?.Text);
    public override string ToString() => Text;

    private sealed class InstanceIdConverter : JsonConverter<InstanceId>
    {
        public override InstanceId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Parse(reader.GetString()!);
        public override void Write(Utf8JsonWriter writer, InstanceId value, JsonSerializerOptions options) => writer.WriteStringValue(value.Text);
        public override InstanceId ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            Parse(reader.GetString()!);
        public override void WriteAsPropertyName(Utf8JsonWriter writer, InstanceId value, JsonSerializerOptions options) =>
            writer.WritePropertyName(value.Text);
    }
}

/// <summary>The name of a node: what constraints call <c>hostname</c>, tasks call <c>host</c>.</summary>
[JsonConverter(typeof(NodeIdConverter))]
public sealed record NodeId : IComparable<NodeId>
{
    public const int LengthMax = 253;

    private NodeId(string name) => Name = name;

    public string Name { get; }

    public static bool TryParse(string text, [NotNullWhen(true)] out NodeId? id, [NotNullWhen(false)] out string? why)
    {
        var ok = text.Length is > 0 and <= LengthMax
            && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_') && char.IsAsciiLetterOrDigit(text[0]);
        id = ok ? new NodeId(text) : null;
        why = ok ? null : $"a node name is 1 to {LengthMax} letters, digits, '-', '.' or '_', beginning with a letter or digit";
        return ok;
    }

    public static NodeId Parse(string text) => TryParse(text, out var id, out var why) ? id : throw new FormatException($"'{text}': {why}");

    public int CompareTo(NodeId? other) => string.CompareOrdinal(Name, other?.Name);
    public override string ToString() => Name;

    private sealed class NodeIdConverter : JsonConverter<NodeId>
    {
        public override NodeId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Parse(reader.GetString()!);
        public override void Write(Utf8JsonWriter writer, NodeId value, JsonSerializerOptions options) => writer.WriteStringValue(value.Name);
        public override NodeId ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Parse(reader.GetString()!);
        public override void WriteAsPropertyName(Utf8JsonWriter writer, NodeId value, JsonSerializerOptions options) => writer.WritePropertyName(value.Name);
    }
}
