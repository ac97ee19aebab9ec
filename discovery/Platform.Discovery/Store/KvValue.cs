using System.Text.Json;
using System.Text.Json.Serialization;

namespace Platform.Discovery;

/// <summary>Bytes under a key: immutable, and equal by content. In JSON base64, as Consul has it.</summary>
[JsonConverter(typeof(Converter))]
public readonly struct KvValue : IEquatable<KvValue>
{
    private readonly byte[]? _bytes;

    /// <param name="bytes">Given away: nobody may change them any more.</param>
    public KvValue(byte[] bytes) => _bytes = bytes;

    public int Length => _bytes?.Length ?? 0;
    public bool IsEmpty => Length == 0;

    public ReadOnlySpan<byte> AsSpan() => _bytes;
    public ReadOnlyMemory<byte> AsMemory() => _bytes;

    public bool Equals(KvValue other) => AsSpan().SequenceEqual(other.AsSpan());
    public override bool Equals(object? obj) => obj is KvValue other && Equals(other);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(AsSpan());
        return hash.ToHashCode();
    }

    public override string ToString() => $"{Length} bytes";

    public static bool operator ==(KvValue left, KvValue right) => left.Equals(right);
    public static bool operator !=(KvValue left, KvValue right) => !left.Equals(right);

    private sealed class Converter : JsonConverter<KvValue>
    {
        public override KvValue Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => new(reader.GetBytesFromBase64());
        public override void Write(Utf8JsonWriter writer, KvValue value, JsonSerializerOptions options) => writer.WriteBase64StringValue(value.AsSpan());
    }
}
