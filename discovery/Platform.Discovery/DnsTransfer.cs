using System.Buffers.Binary;
using System.Collections.Immutable;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>
/// The states of the zones that a secondary may have: the zone as it was when each serial came, the newest last. What changes without a
/// revision (the addresses of this very server) waits for the next one, so that two transfers of one serial never differ.
/// </summary>
public sealed class DnsJournal
{
    /// <summary>States share what did not change between them; a secondary that is further behind gets the whole zone.</summary>
    public const int StatesMax = 64;

    public static readonly DnsJournal Empty = new([]);

    private readonly ImmutableList<DnsZone> _states;

    private DnsJournal(ImmutableList<DnsZone> states) => _states = states;

    public DnsZone? Newest => _states.IsEmpty ? null : _states[^1];

    public DnsJournal With(DnsZone zone)
    {
        if (Newest is { } newest)
        {
            if (newest.Cursor == zone.Cursor) return this;
            if (newest.Cursor.Epoch != zone.Cursor.Epoch || newest.Cursor.Revision > zone.Cursor.Revision) return new DnsJournal([zone]);
        }
        return new DnsJournal((_states.Count < StatesMax ? _states : _states.RemoveAt(0)).Add(zone));
    }

    /// <summary>The zone at a serial, or null when it is not remembered.</summary>
    public DnsZone? At(uint serial) => _states.Find(x => x.Serial == serial);
}

/// <summary>A zone, or what changed in it, on its way to a secondary (RFC 5936, RFC 1995): cut into messages of a size that no reader has trouble with.</summary>
public sealed class DnsTransfer
{
    private const int MessageMax = 16 * 1024;
    private readonly DnsQuery _query;
    private readonly byte[] _question;
    private readonly bool _recursionAvailable;
    private readonly IEnumerator<(string Owner, DnsRecord Record)> _records;
    private bool _more;
    private bool _begun;

    private DnsTransfer(DnsQuery query, byte[] question, bool recursionAvailable, IEnumerable<(string, DnsRecord)> records)
    {
        (_query, _question, _recursionAvailable) = (query, question, recursionAvailable);
        _records = records.GetEnumerator();
        _more = _records.MoveNext();
    }

    /// <param name="packet">The question, of which the transfer keeps a copy.</param>
    /// <param name="apex">The zone that was asked for.</param>
    public static DnsTransfer Of(ReadOnlySpan<byte> packet, in DnsQuery query, string apex, DnsJournal journal, bool recursionAvailable)
    {
        var zone = journal.Newest ?? throw new InvalidOperationException("there is no zone yet");
        var incremental = (DnsType)query.Type == DnsType.IXFR && query.Serial is not null;
        var records = !incremental ? Whole(zone, apex)
            : query.Serial == zone.Serial ? [(apex, Soa(zone, apex))]
            : journal.At(query.Serial!.Value) is { } from ? Changes(from, zone, apex)
            : Whole(zone, apex);
        return new DnsTransfer(query, packet.Slice(DnsWire.HeaderLength, query.QuestionLength).ToArray(), recursionAvailable, records);
    }

    /// <summary>What a secondary is told over UDP, where a transfer has no room: the state we are at. It comes back by TCP.</summary>
    public static DnsAnswer Brief(DnsZone zone, string apex) => new(DnsRcode.NoError, true, [Soa(zone, apex)]);

    /// <summary>The next message; 0 after the last.</summary>
    public int Next(Span<byte> to)
    {
        if (!_more) return 0;
        var body = to[..Math.Min(to.Length, MessageMax)];
        body[..DnsWire.HeaderLength].Clear();
        var at = DnsWire.HeaderLength;
        if (!_begun)
        {
            _question.CopyTo(body[at..]);
            at += _question.Length;
        }
        var (answers, owner, ownerAt) = (0, "", 0);
        while (_more && WriteRecord(body, ref at, ref owner, ref ownerAt))
        {
            answers++;
            _more = _records.MoveNext();
        }
        DnsWire.WriteHeader(body, _query, new DnsAnswer(DnsRcode.NoError, true), false, _recursionAvailable);
        BinaryPrimitives.WriteUInt16BigEndian(body, _query.Id);
        body[5] = (byte)(_begun ? 0 : 1);
        BinaryPrimitives.WriteUInt16BigEndian(body[6..], (ushort)answers);
        _begun = true;
        return at;
    }

    private bool WriteRecord(Span<byte> body, ref int at, ref string owner, ref int ownerAt)
    {
        var (name, record) = _records.Current;
        var again = ownerAt > 0 && name == owner;
        if (at + (again ? 2 : name.Length + 2) + 10 + record.Data.Length > body.Length) return false;
        if (again) BinaryPrimitives.WriteUInt16BigEndian(body[at..], (ushort)(0xC000 | ownerAt));
        else
        {
            (owner, ownerAt) = (name, at);
            DnsNames.ToWire(name).CopyTo(body[at..]);
        }
        at += again ? 2 : name.Length + 2;
        BinaryPrimitives.WriteUInt16BigEndian(body[at..], (ushort)record.Type);
        BinaryPrimitives.WriteUInt16BigEndian(body[(at + 2)..], 1);
        BinaryPrimitives.WriteInt32BigEndian(body[(at + 4)..], record.TtlSeconds);
        BinaryPrimitives.WriteUInt16BigEndian(body[(at + 8)..], (ushort)record.Data.Length);
        record.Data.AsSpan().CopyTo(body[(at + 10)..]);
        at += 10 + record.Data.Length;
        return true;
    }

    private static DnsRecord Soa(DnsZone zone, string apex) => zone.Find(apex)!.Of(DnsType.SOA)[0];

    private static IEnumerable<(string, DnsRecord)> Whole(DnsZone zone, string apex) => zone.Names.Where(x => DnsNames.IsWithin(x.Name, apex))
        .SelectMany(x => x.Node.Sets.SelectMany(set => set).Where(r => r.Type != DnsType.SOA).Select(r => (x.Name, r)))
        .Prepend((apex, Soa(zone, apex))).Append((apex, Soa(zone, apex)));

    /// <summary>One difference from there to here, whatever lies between: each start of authority opens what went, or what came.</summary>
    private static IEnumerable<(string, DnsRecord)> Changes(DnsZone from, DnsZone to, string apex)
    {
        var changed = DnsZone.Differences(from, to).Where(x => DnsNames.IsWithin(x.Name, apex)).ToList();
        var gone = changed.SelectMany(x => (x.Before?.Without(x.After) ?? []).Where(r => r.Type != DnsType.SOA).Select(r => (x.Name, r)));
        var come = changed.SelectMany(x => (x.After?.Without(x.Before) ?? []).Where(r => r.Type != DnsType.SOA).Select(r => (x.Name, r)));
        return gone.Prepend((apex, Soa(from, apex))).Prepend((apex, Soa(to, apex)))
            .Concat(come.Prepend((apex, Soa(to, apex)))).Append((apex, Soa(to, apex)));
    }
}
