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
/// The id of one run of an instance, <c>shop_web.instance-6f3e…</c>; its task is <c>…._app.1</c> (contract section 3). A resident instance lives
/// through several tasks: each is the next <see cref="Incarnation"/>, <c>…._app.2</c>, and an id of its own to everything that runs it.
/// The UUID is derived from the cluster and a serial number that the cluster never gives twice, so replaying the log gives the same ids.
/// </summary>
[JsonConverter(typeof(InstanceIdConverter))]
public sealed partial record InstanceId : IComparable<InstanceId>
{
    private const string TaskSuffix = "._app.";

    private InstanceId(string instance, int incarnation)
    {
        (Instance, Incarnation) = (instance, incarnation);
        Text = incarnation == 1 ? instance : TaskId;
    }

    /// <summary>The instance, whichever of its tasks this is.</summary>
    public string Instance { get; }

    /// <summary>Counts the tasks of the instance from 1.</summary>
    public int Incarnation { get; }

    /// <summary>Tells tasks apart; of the first one it is the instance's own id.</summary>
    public string Text { get; }

    public string TaskId => string.Create(CultureInfo.InvariantCulture, $"{Instance}{TaskSuffix}{Incarnation}");

    /// <summary>The task of one of a pod's containers.</summary>
    public string TaskIdOf(string container) => $"{Instance}.{container}";

    /// <summary>The part after <c>instance-</c>.</summary>
    public string Uuid => Instance[(Instance.LastIndexOf(".instance-", StringComparison.Ordinal) + ".instance-".Length)..];

    /// <summary>By what a reservation is known: the instance's first task.</summary>
    public InstanceId First => Incarnation == 1 ? this : new InstanceId(Instance, 1);

    public InstanceId Next(int incarnation) => new(Instance, incarnation);

    public static InstanceId Derive(string clusterId, AppId app, long serial)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{clusterId}/{serial}")), hash);
        BinaryPrimitives.WriteUInt16BigEndian(hash[6..], (ushort)((BinaryPrimitives.ReadUInt16BigEndian(hash[6..]) & 0x0FFF) | 0x8000)); // RFC 9562 version 8
        hash[8] = (byte)((hash[8] & 0x3F) | 0x80);
        return new InstanceId($"{app.Underscored}.instance-{new Guid(hash[..16], bigEndian: true):D}", 1);
    }

    /// <summary>Accepts an instance id or the id of its task.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out InstanceId? id)
    {
        id = null;
        var (body, incarnation) = (text, 1);
        if (text.LastIndexOf(TaskSuffix, StringComparison.Ordinal) is var cut and > 0)
        {
            var number = text.AsSpan(cut + TaskSuffix.Length);
            if (number.Length == 0 || number[0] == '0' || !int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out incarnation)) return false;
            body = text[..cut];
        }
        if (!Spelling().IsMatch(body)) return false;
        id = new InstanceId(body, incarnation);
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
