using System.Buffers.Binary;

namespace Platform.Discovery.Hosting;

/// <summary>
/// What of a server's reply may be believed, read off its bytes: the answer to the very question that was sent, and nothing it says beside.
/// Kept is what belongs to the name that was asked and to the names that its aliases lead to; what a reply says of other names, and all
/// of its additional section, is how caches were poisoned (RFC 5452, RFC 2181 5.4.1).
/// </summary>
internal static class UpstreamReply
{
    private const int HeaderLength = DnsWire.HeaderLength;
    private const int RecordsMax = 4096;
    private const ushort CName = 5;
    private const ushort Soa = 6;
    private const ushort DName = 39;

    public enum Fit
    {
        /// <summary>Not an answer to this: another's, a guesser's, or noise.</summary>
        Stranger,

        /// <summary>An answer to this, but for the spelling that we chose to know it by: a server that does not keep it, or a guesser.</summary>
        Respelled,

        Ours,
    }

    /// <param name="question">Name, type and class as they were sent, in the spelling that was sent (draft-vixie-dnsext-dns0x20).</param>
    public static Fit Judge(ReadOnlySpan<byte> message, ushort id, ReadOnlySpan<byte> question) =>
        !DnsWire.Answers(message, id, question) ? Fit.Stranger
        : message.Slice(HeaderLength, question.Length).SequenceEqual(question) ? Fit.Ours
        : Fit.Respelled;

    /// <summary>The message without what is not to be believed or not needed; null if its answer speaks of names that nobody asked for, or it is not well formed.</summary>
    /// <param name="proofs">Whether the asker wants DNSSEC's records.</param>
    public static byte[]? Trusted(ReadOnlySpan<byte> message, bool proofs)
    {
        var (answers, authorities) = (Number(message[6..]), Number(message[8..]));
        if (answers + authorities > RecordsMax) return null;
        var at = HeaderLength;
        if (ReadName(message, ref at) is not { } asked || (at += 4) > message.Length) return null;

        var believed = new HashSet<string>(StringComparer.Ordinal) { asked };
        var last = asked;
        for (var i = 0; i < answers; i++)
        {
            if (ReadRecord(message, ref at) is not var (owner, type, dataAt)) return null;
            // The alias of a whole tree belongs to a name above the one asked; the alias that follows from it is spelled out behind it.
            if (type == DName && IsWithin(last, owner)) continue;
            if (!believed.Contains(owner)) return null;
            if (type != CName) continue;
            if (ReadName(message, ref dataAt) is not { } target) return null;
            believed.Add(last = target);
        }
        var (end, kept) = (at, 0);
        for (var i = 0; i < authorities; i++)
        {
            var before = at;
            if (ReadRecord(message, ref at) is not var (owner, type, _)) return null;
            // Of a "no", what says for how long: the record of a zone that the name lies in. Whoever validates wants the proofs too, and believes nothing else.
            if (!proofs && (type != Soa || before != end || kept > 0 || !IsWithin(last, owner))) continue;
            (end, kept) = (at, kept + 1);
        }
        var trusted = message[..end].ToArray();
        BinaryPrimitives.WriteUInt16BigEndian(trusted.AsSpan(8), (ushort)kept);
        BinaryPrimitives.WriteUInt16BigEndian(trusted.AsSpan(10), 0);
        return trusted;
    }

    private static (string Owner, ushort Type, int DataAt)? ReadRecord(ReadOnlySpan<byte> message, ref int at)
    {
        if (ReadName(message, ref at) is not { } owner || at + 10 > message.Length) return null;
        var (type, dataAt) = (Number(message[at..]), at + 10);
        at = dataAt + Number(message[(at + 8)..]);
        return at > message.Length ? null : (owner, type, dataAt);
    }

    /// <summary>
    /// A name in lower case, each label behind the character of its length: names with odd bytes in them compare right too. Null if it is not one.
    /// </summary>
    private static string? ReadName(ReadOnlySpan<byte> message, ref int at)
    {
        Span<char> name = stackalloc char[256];
        var length = 0;
        var here = at;
        var jumped = false;
        for (var jumps = 0; ;)
        {
            if (here >= message.Length) return null;
            var label = message[here];
            if (label >= 0xC0)
            {
                if (here + 2 > message.Length || ++jumps > 64) return null;
                if (!jumped) at = here + 2;
                jumped = true;
                here = Number(message[here..]) & 0x3FFF;
                continue;
            }
            if (label > 63 || here + 1 + label > message.Length || length + 1 + label > 255) return null;
            name[length++] = (char)label;
            for (var i = 1; i <= label; i++) name[length++] = (char)(message[here + i] is >= (byte)'A' and <= (byte)'Z' and var upper ? upper + 32 : message[here + i]);
            here += 1 + label;
            if (label != 0) continue;
            if (!jumped) at = here;
            return name[..length].ToString();
        }
    }

    /// <summary>The root is one character, and everything lies in it.</summary>
    private static bool IsWithin(string name, string zone)
    {
        for (var at = 0; ; at += name[at] + 1)
        {
            if (name.AsSpan(at).SequenceEqual(zone)) return true;
            if (name[at] == 0) return false;
        }
    }

    private static ushort Number(ReadOnlySpan<byte> at) => BinaryPrimitives.ReadUInt16BigEndian(at);
}
