using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Net;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// The ready instances of all apps below a group, counted by address, so that a change costs what changed. <c>eu.prod.marathon.group.mesos</c>
/// gives the first <see cref="AddressesMax"/> of its addresses.
/// </summary>
internal sealed record DnsGroup(int Apps, ImmutableSortedDictionary<DnsGroup.Key, (DnsRecord Record, int Instances)> Addresses, DnsNode Node)
{
    public const int AddressesMax = 256;

    public static readonly DnsGroup Empty = new(0, ImmutableSortedDictionary<Key, (DnsRecord, int)>.Empty, DnsNode.Empty);

    public readonly record struct Key(bool Six, UInt128 Address) : IComparable<Key>
    {
        public static Key Of(DnsRecord address) => address.Type == DnsType.A
            ? new(false, BinaryPrimitives.ReadUInt32BigEndian(address.Data.AsSpan())) : new(true, BinaryPrimitives.ReadUInt128BigEndian(address.Data.AsSpan()));

        public int CompareTo(Key other) => Six != other.Six ? Six.CompareTo(other.Six) : Address.CompareTo(other.Address);
    }

    public static string NameOf(AppId group, DnsDomains domains) => $"{group.ReverseDotted}.{domains.Groups}";

    /// <summary>The groups that an app is in, but for the root, which is everything.</summary>
    public static IEnumerable<AppId> Around(AppId app)
    {
        for (var group = app.Parent; !group.IsRoot; group = group.Parent) yield return group;
    }

    /// <summary>Null when its last app has gone.</summary>
    public DnsGroup? With(int apps, IEnumerable<DnsRecord> more, IEnumerable<DnsRecord> fewer)
    {
        if (Apps + apps == 0) return null;
        var addresses = Addresses.ToBuilder();
        foreach (var record in more) addresses[Key.Of(record)] = addresses.TryGetValue(Key.Of(record), out var known) ? (known.Record, known.Instances + 1) : (record, 1);
        foreach (var record in fewer)
            if (!addresses.TryGetValue(Key.Of(record), out var known)) continue;
            else if (known.Instances == 1) addresses.Remove(Key.Of(record));
            else addresses[Key.Of(record)] = (known.Record, known.Instances - 1);
        var now = addresses.ToImmutable();
        return new DnsGroup(Apps + apps, now, ReferenceEquals(now, Addresses) ? Node : DnsNode.Addresses(now.Values.Take(AddressesMax).Select(x => x.Record)));
    }
}
