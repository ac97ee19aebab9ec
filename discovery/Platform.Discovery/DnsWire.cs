using System.Buffers.Binary;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>What the asker said in its OPT record (RFC 6891).</summary>
public readonly record struct DnsEdns(int PayloadMax, bool DnssecOk);

/// <summary>A query as read from the wire; its bytes are still needed to echo the question in the asker's own spelling.</summary>
/// <param name="NameLength">Characters of the canonical name in the reader's buffer.</param>
/// <param name="Serial">Of an IXFR: the state that the asker has.</param>
/// <param name="Problem">Set when the packet itself decides the answer: FORMERR, NOTIMP or BADVERS.</param>
/// <param name="QuestionLength">Bytes of the question after the header; 0 if it could not be read.</param>
public readonly record struct DnsQuery(
    ushort Id, int Opcode, bool RecursionDesired, bool CheckingDisabled, ushort Type, ushort Class, int NameLength, int QuestionLength,
    DnsEdns? Edns, DnsRcode? Problem, uint? Serial = null);

/// <summary>Where the moving parts of another server's message stand: TTLs, and the end of what may be passed on (its OPT record is not).</summary>
public sealed record DnsSkeleton(int QuestionLength, EquatableArray<int> TtlOffsets, int Additionals, int End);

/// <summary>
/// The wire format (RFC 1035), strict in what it reads. It exists beside ARSoft's codec because that one parses a question twice, draws a
/// random number for each message and cannot be told to encode by anyone but its own server: a zone answer costs a quarter of the time here.
/// </summary>
public static class DnsWire
{
    public const int HeaderLength = 12;

    /// <summary>What we let the asker send, and the most we send over UDP: fits every path without fragments (DNS flag day 2020).</summary>
    public const int UdpPayloadMax = 1232;

    /// <summary>What a client without EDNS can take over UDP.</summary>
    public const int UdpPlainMax = 512;

    public const int TcpMax = 65535;
    private const int OptLength = 11;

    /// <summary>The longest name, on the wire and in the reader's buffer.</summary>
    public const int NameMax = 255;

    /// <summary>Reads a query. False means silence: not even a header, or itself an answer (answering answers makes loops).</summary>
    /// <param name="name">Takes the name in canonical form; as long as <see cref="NameMax"/>.</param>
    public static bool TryParse(ReadOnlySpan<byte> packet, Span<char> name, out DnsQuery query)
    {
        query = default;
        if (packet.Length < HeaderLength || (packet[2] & 0x80) != 0) return false;
        var opcode = (packet[2] >> 3) & 15;
        query = new DnsQuery(Number(packet), opcode, (packet[2] & 1) != 0, (packet[3] & 0x10) != 0, 0, 0, 0, 0, null, DnsRcode.FormErr);
        if (opcode != 0) query = query with { Problem = DnsRcode.NotImp };
        else if (Number(packet[4..]) == 1) query = ReadQuestion(packet, name, query);
        return true;
    }

    private static DnsQuery ReadQuestion(ReadOnlySpan<byte> packet, Span<char> name, DnsQuery query)
    {
        var at = HeaderLength;
        if (!ReadQuestionName(packet, ref at, name, out var length) || at + 4 > packet.Length) return query;
        query = query with { Type = Number(packet[at..]), Class = Number(packet[(at + 2)..]), NameLength = length, QuestionLength = at + 4 - HeaderLength };
        return (DnsType)query.Type == DnsType.OPT ? query : ReadRecords(packet, at + 4, query);
    }

    /// <summary>Walks whatever follows the question; only an OPT record among the additional ones is of interest.</summary>
    private static DnsQuery ReadRecords(ReadOnlySpan<byte> packet, int at, DnsQuery query)
    {
        var before = Number(packet[6..]) + Number(packet[8..]);
        var all = before + Number(packet[10..]);
        DnsEdns? edns = null;
        var version = 0;
        for (var i = 0; i < all; i++)
        {
            var owner = at;
            if (!SkipName(packet, ref at) || at + 10 > packet.Length) return query;
            var type = (DnsType)Number(packet[at..]);
            var data = at + 10;
            var dataLength = Number(packet[(at + 8)..]);
            if (data + dataLength > packet.Length) return query;
            if (type == DnsType.OPT)
            {
                if (i < before || edns is not null || packet[owner] != 0 || !OptionsFit(packet.Slice(data, dataLength))) return query;
                version = packet[at + 5];
                edns = new DnsEdns(Math.Clamp((int)Number(packet[(at + 2)..]), UdpPlainMax, UdpPayloadMax), (packet[at + 6] & 0x80) != 0);
            }
            // The serial is the first of the five numbers that end a start of authority.
            if (type == DnsType.SOA && (DnsType)query.Type == DnsType.IXFR && i < before && dataLength >= 22)
                query = query with { Serial = BinaryPrimitives.ReadUInt32BigEndian(packet[(data + dataLength - 20)..]) };
            at = data + dataLength;
        }
        if (at != packet.Length) return query;
        return query with { Edns = edns, Problem = version == 0 ? null : DnsRcode.BadVers };
    }

    private static bool OptionsFit(ReadOnlySpan<byte> options)
    {
        while (options.Length >= 4 && Number(options[2..]) <= options.Length - 4) options = options[(4 + Number(options[2..]))..];
        return options.IsEmpty;
    }

    /// <summary>Reads an uncompressed name (the first name of a packet has nothing to point to) into canonical form.</summary>
    private static bool ReadQuestionName(ReadOnlySpan<byte> packet, ref int at, Span<char> name, out int length)
    {
        length = 0;
        var start = at;
        while (at < packet.Length)
        {
            var label = (int)packet[at++];
            if (label == 0) return at - start <= NameMax;
            if (label > DnsNames.LabelLengthMax || at + label > packet.Length || at - start + label > NameMax - 1) return false;
            if (length > 0) name[length++] = '.';
            foreach (var b in packet.Slice(at, label))
                name[length++] = b == '.' ? '\u0100' : b is >= (byte)'A' and <= (byte)'Z' ? (char)(b + 32) : (char)b; // a dot inside a label matches no name of ours
            at += label;
        }
        return false;
    }

    /// <summary>Steps over a name without following its pointer: nothing here can loop.</summary>
    private static bool SkipName(ReadOnlySpan<byte> packet, ref int at)
    {
        while (at < packet.Length)
        {
            var label = packet[at++];
            if (label == 0) return true;
            if (label >= 0xC0) return ++at <= packet.Length;
            if (label > DnsNames.LabelLengthMax) return false;
            at += label;
        }
        return false;
    }

    /// <summary>
    /// Writes the answer into <paramref name="to"/> (as long as the transport allows) and says how long it is. Records that do not fit are
    /// left out: of the answer with TC set (over TCP without, where there is no larger transport to go to and the turn brings the others
    /// next time), of the additional section silently, as RFC 2181 has it.
    /// </summary>
    public static int Encode(ReadOnlySpan<byte> packet, in DnsQuery query, in DnsAnswer answer, bool recursionAvailable, bool tcp, Span<byte> to)
    {
        var sizeMax = Math.Min(to.Length, tcp ? TcpMax : query.Edns?.PayloadMax ?? UdpPlainMax);
        var body = to[..(sizeMax - (query.Edns is null && answer.Rcode != DnsRcode.BadVers ? 0 : OptLength))];
        to[..HeaderLength].Clear();
        BinaryPrimitives.WriteUInt16BigEndian(to, query.Id);
        packet.Slice(HeaderLength, query.QuestionLength).CopyTo(to[HeaderLength..]);
        var at = HeaderLength + query.QuestionLength;

        var count = answer.Count;
        Span<int> targets = count <= 512 ? stackalloc int[count] : new int[count];
        var answers = 0;
        while (answers < count && WriteRecord(body, ref at, HeaderLength, answer[answers], out targets[answers])) answers++;

        var authorities = 0;
        if (answer.Authority is { } authority && WriteRecord(body, ref at, HeaderLength + query.QuestionLength - 4 - answer.ApexLength - 2, authority, out _)) authorities++;

        var additionals = answers == count ? WriteGlue(body, ref at, answer, targets) : 0;

        if (query.Edns is not null || answer.Rcode == DnsRcode.BadVers)
        {
            WriteOpt(to[at..], answer.Rcode, query.Edns?.DnssecOk ?? false);
            at += OptLength;
            additionals++;
        }
        var truncated = answer.Truncated || (!tcp && answers < count);
        WriteHeader(to, query, answer, truncated, recursionAvailable);
        BinaryPrimitives.WriteUInt16BigEndian(to[4..], (ushort)(query.QuestionLength > 0 ? 1 : 0));
        BinaryPrimitives.WriteUInt16BigEndian(to[6..], (ushort)answers);
        BinaryPrimitives.WriteUInt16BigEndian(to[8..], (ushort)authorities);
        BinaryPrimitives.WriteUInt16BigEndian(to[10..], (ushort)additionals);
        return at;
    }

    /// <summary>The addresses of the names that the answer leads to, as many as fit.</summary>
    private static int WriteGlue(Span<byte> body, ref int at, in DnsAnswer answer, ReadOnlySpan<int> targets)
    {
        var written = 0;
        if (answer.Zone is not { } zone) return 0;
        for (var i = 0; i < targets.Length; i++)
        {
            if (answer[i].Target is not { } name || zone.Find(name) is not { } target) continue;
            // Ports of one instance stand together, but for the turn, which may cut between them.
            if (i > 0 && (name == answer[i - 1].Target || name == answer[0].Target)) continue;
            foreach (var set in target.Sets)
            {
                if (set[0].Type is not (DnsType.A or DnsType.AAAA)) continue;
                foreach (var record in set)
                    if (WriteRecord(body, ref at, targets[i], record, out _)) written++;
                    else return written;
            }
        }
        return written;
    }

    internal static void WriteHeader(Span<byte> to, in DnsQuery query, in DnsAnswer answer, bool truncated, bool recursionAvailable)
    {
        to[2] = (byte)(0x80 | (query.Opcode << 3) | (answer.Authoritative ? 4 : 0) | (truncated ? 2 : 0));
        to[3] = (byte)((int)answer.Rcode & 15);
        if (answer.Rcode == DnsRcode.NotImp) return; // what the flags mean under an opcode we do not know, we cannot say
        to[2] |= (byte)(query.RecursionDesired ? 1 : 0);
        to[3] |= (byte)((recursionAvailable ? 0x80 : 0) | (query.CheckingDisabled ? 0x10 : 0));
    }

    private static bool WriteRecord(Span<byte> to, ref int at, int owner, DnsRecord record, out int target)
    {
        var data = record.Data.AsSpan();
        target = at + 12 + (record.Type == DnsType.SRV ? 6 : 0);
        if (at + 12 + data.Length > to.Length || owner > 0x3FFF) return false; // a pointer has 14 bits
        BinaryPrimitives.WriteUInt16BigEndian(to[at..], (ushort)(0xC000 | owner));
        BinaryPrimitives.WriteUInt16BigEndian(to[(at + 2)..], (ushort)record.Type);
        BinaryPrimitives.WriteUInt16BigEndian(to[(at + 4)..], 1);
        BinaryPrimitives.WriteInt32BigEndian(to[(at + 6)..], record.TtlSeconds);
        BinaryPrimitives.WriteUInt16BigEndian(to[(at + 10)..], (ushort)data.Length);
        data.CopyTo(to[(at + 12)..]);
        at += 12 + data.Length;
        return true;
    }

    private static void WriteOpt(Span<byte> to, DnsRcode rcode, bool dnssecOk)
    {
        to[..OptLength].Clear();
        to[2] = (byte)DnsType.OPT;
        BinaryPrimitives.WriteUInt16BigEndian(to[3..], UdpPayloadMax);
        to[5] = (byte)((int)rcode >> 4);
        to[7] = (byte)(dnssecOk ? 0x80 : 0);
    }

    /// <summary>Reads the skeleton of a message of somebody else's; null if it is not well formed.</summary>
    public static DnsSkeleton? Scan(ReadOnlySpan<byte> message)
    {
        if (message.Length < HeaderLength || Number(message[4..]) != 1) return null;
        var at = HeaderLength;
        if (!SkipName(message, ref at) || at + 4 > message.Length) return null;
        at += 4;
        var ttls = new List<int>();
        var questionLength = at - HeaderLength;
        var before = Number(message[6..]) + Number(message[8..]);
        var all = before + Number(message[10..]);
        for (var i = 0; i < all; i++)
        {
            var start = at;
            if (!SkipName(message, ref at) || at + 10 > message.Length) return null;
            // What follows an OPT record is left out with it: additional records are a kindness, and the bytes after a gap would point wrong.
            if ((DnsType)Number(message[at..]) == DnsType.OPT && i >= before) return new DnsSkeleton(questionLength, [.. ttls], i - before, start);
            ttls.Add(at + 4);
            at += 10 + Number(message[(at + 8)..]);
            if (at > message.Length) return null;
        }
        return new DnsSkeleton(questionLength, [.. ttls], all - before, at);
    }

    /// <summary>Does the message answer this very question? Spelling apart.</summary>
    public static bool Answers(ReadOnlySpan<byte> message, ushort id, ReadOnlySpan<byte> question)
    {
        if (message.Length < HeaderLength + question.Length || Number(message) != id || (message[2] & 0x80) == 0 || Number(message[4..]) != 1) return false;
        var echoed = message.Slice(HeaderLength, question.Length);
        for (var i = 0; i < question.Length; i++)
            if (Lower(echoed[i]) != Lower(question[i])) return false;
        return true;
    }

    private static byte Lower(byte b) => b is >= (byte)'A' and <= (byte)'Z' ? (byte)(b + 32) : b;

    public static bool IsTruncated(ReadOnlySpan<byte> message) => (message[2] & 2) != 0;

    public static DnsRcode RcodeOf(ReadOnlySpan<byte> message) => (DnsRcode)(message[3] & 15);

    /// <summary>
    /// Passes another server's answer on, byte for byte where it can: record types we have never heard of stay what they are. Changed are
    /// the id, the flags, the question's spelling, the TTLs (aged), and the OPT record, which speaks only for one hop.
    /// </summary>
    public static int Relay(ReadOnlySpan<byte> message, DnsSkeleton skeleton, int ageSeconds, ReadOnlySpan<byte> packet, in DnsQuery query, bool tcp, Span<byte> to)
    {
        var sizeMax = Math.Min(to.Length, tcp ? TcpMax : query.Edns?.PayloadMax ?? UdpPlainMax);
        var length = skeleton.End + (query.Edns is null ? 0 : OptLength);
        if (length > sizeMax || skeleton.QuestionLength != query.QuestionLength)
            return Encode(packet, query, new DnsAnswer(RcodeOf(message), Truncated: true), true, tcp, to);

        message[..skeleton.End].CopyTo(to);
        packet.Slice(HeaderLength, query.QuestionLength).CopyTo(to[HeaderLength..]);
        foreach (var at in skeleton.TtlOffsets)
            BinaryPrimitives.WriteInt32BigEndian(to[at..], Math.Max(0, Math.Min(BinaryPrimitives.ReadInt32BigEndian(message[at..]), TtlMaxSeconds) - ageSeconds));
        var additionals = skeleton.Additionals;
        if (query.Edns is { } edns)
        {
            WriteOpt(to[skeleton.End..], DnsRcode.NoError, edns.DnssecOk);
            additionals++;
        }
        var authentic = message[3] & (query.Edns is { DnssecOk: true } ? 0x20 : 0);
        WriteHeader(to, query, new DnsAnswer(RcodeOf(message), Truncated: IsTruncated(message)), IsTruncated(message), true);
        to[3] |= (byte)authentic;
        BinaryPrimitives.WriteUInt16BigEndian(to, query.Id);
        BinaryPrimitives.WriteUInt16BigEndian(to[10..], (ushort)additionals);
        return length;
    }

    /// <summary>A longer one is somebody's mistake or malice (RFC 8767 suggests a week; a machine's resolver is asked again within the hour).</summary>
    public const int TtlMaxSeconds = 3600;

    /// <summary>A query of our own, for a server further up; always with EDNS.</summary>
    /// <param name="question">Name, type and class as they stood in the asker's packet.</param>
    public static byte[] Query(ushort id, ReadOnlySpan<byte> question, bool recursionDesired, bool checkingDisabled, bool dnssecOk)
    {
        var packet = new byte[HeaderLength + question.Length + OptLength];
        BinaryPrimitives.WriteUInt16BigEndian(packet, id);
        packet[2] = (byte)(recursionDesired ? 1 : 0);
        packet[3] = (byte)(checkingDisabled ? 0x10 : 0);
        packet[5] = 1;
        packet[11] = 1;
        question.CopyTo(packet.AsSpan(HeaderLength));
        WriteOpt(packet.AsSpan(HeaderLength + question.Length), DnsRcode.NoError, dnssecOk);
        return packet;
    }

    /// <summary>Tells a secondary that a zone has changed (RFC 1996).</summary>
    public static byte[] Notice(ushort id, string zone)
    {
        byte[] packet = [0, 0, NotifyOpcode << 3 | 4, 0, 0, 1, 0, 0, 0, 0, 0, 0, .. DnsNames.ToWire(zone), 0, (byte)DnsType.SOA, 0, 1];
        BinaryPrimitives.WriteUInt16BigEndian(packet, id);
        return packet;
    }

    /// <summary>Whatever the code: a server that refuses the notice has heard it.</summary>
    public static bool AcknowledgesNotice(ReadOnlySpan<byte> message, ushort id) =>
        message.Length >= HeaderLength && Number(message) == id && message[2] >> 3 == (0x10 | NotifyOpcode);

    private const int NotifyOpcode = 4;

    private static ushort Number(ReadOnlySpan<byte> at) => BinaryPrimitives.ReadUInt16BigEndian(at);
}
