using System.Collections.Immutable;

namespace Platform.Discovery;

/// <param name="Name">Canonical: lower case.</param>
public readonly record struct DnsQuestion(string Name, ushort Type, ushort Class);

/// <summary>
/// What to say. The answer's records belong to the name asked, the authority record to the zone's apex. A value, and its records are the
/// zone's own: answering allocates nothing.
/// </summary>
/// <param name="Set">The answer's records, to be given from number <paramref name="First"/> on and around.</param>
/// <param name="ApexLength">Characters of the name that the authority record belongs to: the end of the name asked.</param>
/// <param name="Zone">Where the names that the answer leads to have their addresses; null if it leads nowhere.</param>
public readonly record struct DnsAnswer(
    DnsRcode Rcode, bool Authoritative = false, ImmutableArray<DnsRecord> Set = default, int First = 0, DnsRecord? Authority = null,
    int ApexLength = 0, DnsZone? Zone = null, bool Truncated = false)
{
    public static readonly DnsAnswer Refused = new(DnsRcode.Refused);
    public static readonly DnsAnswer ServFail = new(DnsRcode.ServFail);

    public int Count => Set.IsDefault ? 0 : Set.Length;

    public DnsRecord this[int index] => First + index is var at && at < Set.Length ? Set[at] : Set[at - Set.Length];
}

/// <summary>Question to answer, from one zone.</summary>
public static class DnsAnswers
{
    private const ushort ClassInternet = 1;

    /// <summary>RFC 8482: ANY is answered with one small record, since the full set only serves amplification.</summary>
    private static readonly ImmutableArray<DnsRecord> Any = [DnsRecord.HostInfo("RFC8482", "", DnsZone.InstanceTtlSeconds)];

    public static DnsAnswer Of(DnsZone zone, DnsQuestion question, uint turn) => Of(zone, question.Name, question.Type, question.Class, turn);

    /// <param name="name">Canonical: lower case.</param>
    /// <param name="turn">A counter; each value begins the answer at another record, which spreads clients that take the first.</param>
    public static DnsAnswer Of(DnsZone zone, ReadOnlySpan<char> name, ushort type, ushort @class, uint turn)
    {
        if (@class != ClassInternet) return DnsAnswer.Refused;
        if ((DnsType)type is DnsType.AXFR or DnsType.IXFR) return DnsAnswer.Refused; // those allowed to are served elsewhere
        if (zone.CutOf(name) is not { } cut) return DnsAnswer.Refused;
        if (zone.Find(name) is not { } node) return new DnsAnswer(DnsRcode.NXDomain, true, Authority: cut.Authority, ApexLength: cut.ApexLength);
        var set = (DnsType)type == DnsType.ANY && (cut.IsReverse || !node.Sets.IsEmpty) ? Any : node.Of((DnsType)type);
        if (set.IsEmpty && cut.IsReverse) set = zone.Reverse.Of((DnsType)type);
        return set.IsEmpty
            ? new DnsAnswer(DnsRcode.NoError, true, Authority: cut.Authority, ApexLength: cut.ApexLength)
            : new DnsAnswer(DnsRcode.NoError, true, set, (int)(turn % (uint)set.Length), Zone: set[0].Target is null ? null : zone);
    }
}
