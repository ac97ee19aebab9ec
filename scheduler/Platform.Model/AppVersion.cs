using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Platform.Model;

/// <summary>
/// The version of an app, a group or a deployment: an instant in whole milliseconds, printed as the contract wants (1.1: always three
/// digits and Z).
/// </summary>
[JsonConverter(typeof(AppVersionConverter))]
public readonly record struct AppVersion : IComparable<AppVersion>
{
    private const string Format = "yyyy-MM-ddTHH:mm:ss.fffZ";

    public AppVersion(DateTimeOffset at) => At = Timestamps.ToMilliseconds(at);

    public DateTimeOffset At { get; }

    public AppVersion Next => new(At.AddMilliseconds(1));
    public int CompareTo(AppVersion other) => At.CompareTo(other.At);
    public override string ToString() => At.ToString(Format, CultureInfo.InvariantCulture);

    public static bool TryParse(string text, [NotNullWhen(true)] out AppVersion? version)
    {
        version = Timestamps.TryParse(text, out var at) ? new AppVersion(at) : null;
        return version is not null;
    }

    public static bool operator <(AppVersion left, AppVersion right) => left.At < right.At;
    public static bool operator >(AppVersion left, AppVersion right) => left.At > right.At;
    public static bool operator <=(AppVersion left, AppVersion right) => left.At <= right.At;
    public static bool operator >=(AppVersion left, AppVersion right) => left.At >= right.At;

    private sealed class AppVersionConverter : JsonConverter<AppVersion>
    {
        public override AppVersion Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            TryParse(reader.GetString()!, out var version) ? version.Value : throw new FormatException($"'{reader.GetString()}' is no version");
        public override void Write(Utf8JsonWriter writer, AppVersion value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
        public override AppVersion ReadAsPropertyName(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => Read(ref reader, typeToConvert, options);
        public override void WriteAsPropertyName(Utf8JsonWriter writer, AppVersion value, JsonSerializerOptions options) => writer.WritePropertyName(value.ToString());
    }
}

/// <summary>Instants in the contract's form: UTC, three millisecond digits, Z.</summary>
public static class Timestamps
{
    public static string Text(DateTimeOffset at) => new AppVersion(at).ToString();

    public static DateTimeOffset ToMilliseconds(DateTimeOffset at) => DateTimeOffset.FromUnixTimeMilliseconds(at.ToUnixTimeMilliseconds());

    public static bool TryParse(string text, out DateTimeOffset at) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out at)
        && text.Length >= 10 && char.IsAsciiDigit(text[0]) && text[4] == '-';
}
