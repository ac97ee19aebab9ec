using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Platform.Model;

namespace Platform.Discovery;

public enum DnsType : ushort { A = 1, NS = 2, SOA = 6, PTR = 12, HINFO = 13, TXT = 16, AAAA = 28, SRV = 33, OPT = 41, IXFR = 251, AXFR = 252, ANY = 255 }

public enum DnsRcode { NoError = 0, FormErr = 1, ServFail = 2, NXDomain = 3, NotImp = 4, Refused = 5, NotAuth = 9, BadVers = 16 }

/// <summary>One record without its owner: it is encoded once, when the zone is built, and copied into every answer.</summary>
/// <param name="Target">The name that <paramref name="Data"/> ends with (SRV, NS), for which an answer adds addresses.</param>
public sealed record DnsRecord(DnsType Type, int TtlSeconds, ImmutableArray<byte> Data, string? Target = null)
{
    /// <summary>Of a service.</summary>
    public int Port => Type == DnsType.SRV ? BinaryPrimitives.ReadUInt16BigEndian(Data.AsSpan()[4..]) : throw new InvalidOperationException($"{Type} has no port");

    public static DnsRecord Address(IPAddress address, int ttlSeconds) => new(
        address.AddressFamily == AddressFamily.InterNetworkV6 ? DnsType.AAAA : DnsType.A, ttlSeconds, ImmutableArray.Create(address.GetAddressBytes()));

    public static DnsRecord NameServer(string target, int ttlSeconds) => new(DnsType.NS, ttlSeconds, ImmutableArray.Create(DnsNames.ToWire(target)), target);

    public static DnsRecord Pointer(string target, int ttlSeconds) => new(DnsType.PTR, ttlSeconds, ImmutableArray.Create(DnsNames.ToWire(target)));

    /// <summary>The name under which an address is looked up; null for those that every machine has for itself.</summary>
    public static string? ReverseName(IPAddress address)
    {
        if (IPAddress.IsLoopback(address) || address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any)) return null;
        var bytes = address.GetAddressBytes();
        Array.Reverse(bytes);
        return bytes.Length == 4
            ? string.Join('.', bytes.Select(x => x.ToString(CultureInfo.InvariantCulture))) + ".in-addr.arpa"
            : string.Join('.', bytes.SelectMany(x => new[] { x & 15, x >> 4 }).Select(x => x.ToString("x", CultureInfo.InvariantCulture))) + ".ip6.arpa";
    }

    public static DnsRecord Text(int ttlSeconds, params ReadOnlySpan<string> strings)
    {
        var data = ImmutableArray.CreateBuilder<byte>();
        foreach (var text in strings) AddString(data, text);
        return new DnsRecord(DnsType.TXT, ttlSeconds, data.ToImmutable());
    }

    public static DnsRecord HostInfo(string cpu, string os, int ttlSeconds) => Text(ttlSeconds, cpu, os) with { Type = DnsType.HINFO };

    public static DnsRecord Service(int port, string target, int ttlSeconds, ushort priority = 0)
    {
        var targetWire = DnsNames.ToWire(target);
        var data = new byte[6 + targetWire.Length];
        BinaryPrimitives.WriteUInt16BigEndian(data, priority);
        BinaryPrimitives.WriteUInt16BigEndian(data.AsSpan(2), 1); // weight: all alike
        BinaryPrimitives.WriteUInt16BigEndian(data.AsSpan(4), (ushort)port);
        targetWire.CopyTo(data, 6);
        return new DnsRecord(DnsType.SRV, ttlSeconds, ImmutableCollectionsMarshal.AsImmutableArray(data), target);
    }

    public static DnsRecord Authority(string server, string mailbox, uint serial, int refresh, int retry, int expire, int minimum, int ttlSeconds)
    {
        var data = new byte[20];
        BinaryPrimitives.WriteUInt32BigEndian(data, serial);
        ReadOnlySpan<int> times = [refresh, retry, expire, minimum];
        for (var i = 0; i < times.Length; i++) BinaryPrimitives.WriteInt32BigEndian(data.AsSpan(4 + (4 * i)), times[i]);
        return new DnsRecord(DnsType.SOA, ttlSeconds, [.. DnsNames.ToWire(server), .. DnsNames.ToWire(mailbox), .. data]);
    }

    /// <summary>As a zone file writes it.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{TtlSeconds} IN {Type} {DataText()}");

    private string DataText()
    {
        var data = Data.AsSpan();
        var at = 0;
        switch (Type)
        {
            case DnsType.A or DnsType.AAAA:
                return new IPAddress(data).ToString();
            case DnsType.SRV:
                at = 6;
                return string.Create(CultureInfo.InvariantCulture,
                    $"{Number16(data)} {Number16(data[2..])} {Number16(data[4..])} {NameText(data, ref at)}");
            case DnsType.NS or DnsType.PTR:
                return NameText(data, ref at);
            case DnsType.SOA:
                var names = $"{NameText(data, ref at)} {NameText(data, ref at)}";
                for (; at < data.Length; at += 4) names += string.Create(CultureInfo.InvariantCulture, $" {BinaryPrimitives.ReadUInt32BigEndian(data[at..])}");
                return names;
            case DnsType.TXT or DnsType.HINFO:
                var strings = new List<string>();
                for (; at < data.Length; at += data[at] + 1) strings.Add($"\"{Encoding.Latin1.GetString(data.Slice(at + 1, data[at]))}\"");
                return string.Join(' ', strings);
            default:
                return $"\\# {data.Length} {Convert.ToHexString(data)}"; // RFC 3597
        }
    }

    private static ushort Number16(ReadOnlySpan<byte> at) => BinaryPrimitives.ReadUInt16BigEndian(at);

    private static string NameText(ReadOnlySpan<byte> data, ref int at)
    {
        var name = new StringBuilder();
        for (; data[at] != 0; at += data[at] + 1) name.Append(Encoding.Latin1.GetString(data.Slice(at + 1, data[at]))).Append('.');
        at++;
        return name.Length == 0 ? "." : name.ToString();
    }

    private static void AddString(ImmutableArray<byte>.Builder data, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text).AsSpan();
        if (bytes.Length > 255) bytes = bytes[..255];
        data.Add((byte)bytes.Length);
        data.AddRange(bytes);
    }
}

/// <summary>Everything a name has, one set a type. A name with no set at all exists because an app, or names below it, do (RFC 8020).</summary>
public sealed class DnsNode
{
    public static readonly DnsNode Empty = new([]);

    private DnsNode(ImmutableArray<ImmutableArray<DnsRecord>> sets) => Sets = sets;

    public ImmutableArray<ImmutableArray<DnsRecord>> Sets { get; }

    /// <summary>A node of records that are all of one type, each once: one number may be a TCP and a UDP port.</summary>
    public static DnsNode Of(IReadOnlyCollection<DnsRecord> set) => set.Count switch
    {
        0 => Empty,
        1 => new([[.. set]]),
        _ => new([[.. set.Distinct(DataComparer.Instance)]]),
    };

    /// <summary>A node of addresses of either kind, each once.</summary>
    public static DnsNode Addresses(IEnumerable<DnsRecord> addresses)
    {
        var (four, six, seen) = (new List<DnsRecord>(), new List<DnsRecord>(), new HashSet<DnsRecord>(DataComparer.Instance));
        foreach (var record in addresses)
            if (seen.Add(record)) (record.Type == DnsType.A ? four : six).Add(record);
        return six.Count == 0 ? Of(four) : four.Count == 0 ? Of(six) : new([[.. four], [.. six]]);
    }

    public ImmutableArray<DnsRecord> Of(DnsType type)
    {
        foreach (var set in Sets)
            if (set[0].Type == type) return set;
        return [];
    }

    /// <summary>Both nodes' records in one, each once.</summary>
    public DnsNode With(DnsNode other) => Sets.IsEmpty ? other : other.Sets.IsEmpty ? this : Merge([this, other]);

    public static DnsNode Merge(IEnumerable<DnsNode> nodes) => new(
    [
        .. nodes.SelectMany(x => x.Sets).GroupBy(x => x[0].Type).Select(x => x.SelectMany(set => set).Distinct(DataComparer.Instance).ToImmutableArray()),
    ]);

    public bool HasContentOf(DnsNode other) => ReferenceEquals(this, other) || Sets.AsSpan().SequenceEqual(other.Sets.AsSpan(), SetComparer.Instance);

    /// <summary>The records of this one that the other has not, by content and TTL.</summary>
    public IEnumerable<DnsRecord> Without(DnsNode? other) => other is null ? Sets.SelectMany(x => x)
        : Sets.SelectMany(set => other.Of(set[0].Type) is var there && (there == set || there.IsEmpty) ? there.IsEmpty ? set : []
            : set.Except(there, DataComparer.Instance).Concat(set.Where(x => there.Any(y => x.TtlSeconds != y.TtlSeconds && DataComparer.Instance.Equals(x, y)))));

    /// <summary>Compares records by content; the record's own equality compares the arrays' identity.</summary>
    private sealed class DataComparer : IEqualityComparer<DnsRecord>
    {
        public static readonly DataComparer Instance = new();

        public bool Equals(DnsRecord? x, DnsRecord? y) => x is not null && y is not null && x.Type == y.Type && x.Data.AsSpan().SequenceEqual(y.Data.AsSpan());

        public int GetHashCode(DnsRecord record)
        {
            var hash = new HashCode();
            hash.AddBytes(record.Data.AsSpan());
            return hash.ToHashCode();
        }
    }

    private sealed class SetComparer : IEqualityComparer<ImmutableArray<DnsRecord>>
    {
        public static readonly SetComparer Instance = new();

        public bool Equals(ImmutableArray<DnsRecord> x, ImmutableArray<DnsRecord> y)
        {
            if (x.Length != y.Length) return false;
            for (var i = 0; i < x.Length; i++)
                if (!ReferenceEquals(x[i], y[i]) && (x[i].TtlSeconds != y[i].TtlSeconds || !DataComparer.Instance.Equals(x[i], y[i]))) return false;
            return true;
        }

        public int GetHashCode(ImmutableArray<DnsRecord> set) => set.Length;
    }
}
