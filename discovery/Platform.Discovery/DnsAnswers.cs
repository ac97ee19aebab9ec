using System.Collections.Immutable;

namespace Platform.Discovery;

/// <param name="Name">Canonical: lower case.</param>
public readonly record struct DnsQuestion(string Name, ushort Type, ushort Class);

/// <summary>An address of the name that answer record number <paramref name="AnswerIndex"/> leads to.</summary>
public readonly record struct DnsGlue(int AnswerIndex, DnsRecord Record);

/// <summary>What to say. The answer's records belong to the name asked, the authority record to the zone's apex.</summary>
public sealed record DnsAnswer(
    DnsRcode Rcode, bool Authoritative = false, ImmutableArray<DnsRecord> Answer = default, DnsRecord? Authority = null,
    ImmutableArray<DnsGlue> Additional = default, bool Truncated = false)
{
    public static readonly DnsAnswer Refused = new(DnsRcode.Refused);
    public static readonly DnsAnswer ServFail = new(DnsRcode.ServFail);
}

/// <summary>Question to answer, from one zone.</summary>
public static class DnsAnswers
{
    private const ushort ClassInternet = 1;
    private const ushort ClassAny = 255;

    /// <summary>RFC 8482: ANY is answered with one small record, since the full set only serves amplification.</summary>
    private static readonly DnsRecord Any = DnsRecord.HostInfo("RFC8482", "", DnsZone.InstanceTtlSeconds);

    /// <param name="turn">A counter; each value begins the answer at another record, which spreads clients that take the first.</param>
    public static DnsAnswer Of(DnsZone zone, DnsQuestion question, uint turn)
    {
        if (question.Class is not (ClassInternet or ClassAny)) return DnsAnswer.Refused;
        if ((DnsType)question.Type is DnsType.AXFR or DnsType.IXFR) return DnsAnswer.Refused;
        if (zone.Find(question.Name) is not { } node) return new DnsAnswer(DnsRcode.NXDomain, true, Authority: zone.Authority);
        var answer = (DnsType)question.Type == DnsType.ANY && !node.Sets.IsEmpty ? [Any] : Turned(node.Of((DnsType)question.Type), turn);
        return answer.IsEmpty
            ? new DnsAnswer(DnsRcode.NoError, true, Authority: zone.Authority)
            : new DnsAnswer(DnsRcode.NoError, true, answer, Additional: Glue(zone, answer));
    }

    private static ImmutableArray<DnsRecord> Turned(ImmutableArray<DnsRecord> set, uint turn)
    {
        if (set.Length < 2 || turn % set.Length == 0) return set;
        var first = (int)(turn % set.Length);
        var turned = ImmutableArray.CreateBuilder<DnsRecord>(set.Length);
        turned.AddRange(set.AsSpan(first..));
        turned.AddRange(set.AsSpan(..first));
        return turned.MoveToImmutable();
    }

    private static ImmutableArray<DnsGlue> Glue(DnsZone zone, ImmutableArray<DnsRecord> answer)
    {
        if (answer[0].Target is null) return [];
        var glue = ImmutableArray.CreateBuilder<DnsGlue>(answer.Length);
        for (var i = 0; i < answer.Length; i++)
        {
            if (zone.Find(answer[i].Target) is not { } target) continue;
            foreach (var record in target.Of(DnsType.A)) glue.Add(new DnsGlue(i, record));
            foreach (var record in target.Of(DnsType.AAAA)) glue.Add(new DnsGlue(i, record));
        }
        return glue.ToImmutable();
    }
}
