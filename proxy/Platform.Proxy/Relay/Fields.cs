using System.Buffers;
using System.Text;

namespace Platform.Proxy.Relay;

/// <summary>What the relay does with a header field of a request.</summary>
internal enum RequestField
{
    /// <summary>Passes on as it is.</summary>
    Ordinary,
    Host,
    ContentLength,
    Connection,
    Accept,

    /// <summary>Not a client's to say, or meant for this hop alone: left out.</summary>
    Dropped,

    /// <summary>Makes the request more than the relay takes on.</summary>
    NotOurs,
}

/// <summary>What the relay does with a header field of a response.</summary>
internal enum ResponseField
{
    Ordinary,
    ContentLength,
    TransferEncoding,
    Connection,
    Date,

    /// <summary>Meant for this hop alone.</summary>
    Dropped,
}

/// <summary>The grammar of header fields, and which names mean something here.</summary>
internal static class Fields
{
    public static readonly SearchValues<byte> TokenBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    /// <summary>Every control character; a request's value with a TAB is left to others, too.</summary>
    public static readonly SearchValues<byte> Controls = SearchValues.Create([.. Enumerable.Range(0, 0x20).Append(0x7F).Select(x => (byte)x)]);

    /// <summary>Control characters that no value may have.</summary>
    public static readonly SearchValues<byte> ControlsButTab =
        SearchValues.Create([.. Enumerable.Range(0, 0x20).Where(x => x != '\t').Append(0x7F).Select(x => (byte)x)]);

    /// <summary>Sorted by length first, since few names share one with these.</summary>
    public static RequestField OfRequest(ReadOnlySpan<byte> name) => name.Length switch
    {
        2 when Is(name, "te"u8) => RequestField.NotOurs,
        3 when Is(name, "via"u8) => RequestField.Dropped,
        4 when Is(name, "host"u8) => RequestField.Host,
        4 when Is(name, "alpn"u8) => RequestField.NotOurs,
        5 when Is(name, "proxy"u8) => RequestField.Dropped,
        5 when Is(name, "close"u8) => RequestField.NotOurs,
        6 when Is(name, "accept"u8) => RequestField.Accept,
        6 when Is(name, "expect"u8) => RequestField.NotOurs,
        7 when Is(name, "upgrade"u8) || Is(name, "trailer"u8) || Is(name, "alt-svc"u8) => RequestField.NotOurs,
        9 when Is(name, "forwarded"u8) || Is(name, "x-real-ip"u8) => RequestField.Dropped,
        10 when Is(name, "connection"u8) => RequestField.Connection,
        10 when Is(name, "keep-alive"u8) => RequestField.Dropped,
        13 when Is(name, "x-rewrite-url"u8) => RequestField.Dropped,
        14 when Is(name, "content-length"u8) => RequestField.ContentLength,
        14 when Is(name, "x-original-url"u8) => RequestField.Dropped,
        14 when Is(name, "http2-settings"u8) => RequestField.NotOurs,
        15 when Is(name, "x-original-host"u8) => RequestField.Dropped,
        15 when Is(name, "security-scheme"u8) => RequestField.NotOurs,
        16 when Is(name, "x-content-length"u8) => RequestField.NotOurs, // Kestrel's own spelling of a length it ignored
        17 when Is(name, "transfer-encoding"u8) => RequestField.NotOurs,
        > 6 when Is(name[..6], "proxy-"u8) => RequestField.NotOurs,
        > 12 when Is(name[..12], "x-forwarded-"u8) => RequestField.Dropped,
        _ => RequestField.Ordinary,
    };

    public static ResponseField OfResponse(ReadOnlySpan<byte> name) => name.Length switch
    {
        2 when Is(name, "te"u8) => ResponseField.Dropped,
        4 when Is(name, "date"u8) => ResponseField.Date,
        4 when Is(name, "alpn"u8) => ResponseField.Dropped,
        5 when Is(name, "close"u8) => ResponseField.Dropped,
        7 when Is(name, "upgrade"u8) || Is(name, "trailer"u8) || Is(name, "alt-svc"u8) => ResponseField.Dropped,
        10 when Is(name, "connection"u8) => ResponseField.Connection,
        10 when Is(name, "keep-alive"u8) => ResponseField.Dropped,
        14 when Is(name, "content-length"u8) => ResponseField.ContentLength,
        15 when Is(name, "security-scheme"u8) => ResponseField.Dropped,
        17 when Is(name, "transfer-encoding"u8) => ResponseField.TransferEncoding,
        > 6 when Is(name[..6], "proxy-"u8) => ResponseField.Dropped,
        _ => ResponseField.Ordinary,
    };

    public static bool Is(ReadOnlySpan<byte> text, ReadOnlySpan<byte> lowerCase) => Ascii.EqualsIgnoreCase(text, lowerCase);

    /// <summary>1*DIGIT and nothing else.</summary>
    public static bool TryLength(ReadOnlySpan<byte> value, out long length)
    {
        length = 0;
        if (value.Length is 0 or > 18) return false;
        foreach (var digit in value)
        {
            if (digit is < (byte)'0' or > (byte)'9') return false;
            length = length * 10 + (digit - '0');
        }
        return true;
    }
}
