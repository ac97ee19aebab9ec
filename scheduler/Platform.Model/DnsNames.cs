using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Platform.Model;

/// <summary>
/// How ids become DNS labels: Mesos-DNS's rules, so that names in the field keep resolving (reference/discovery.md 1.2, 1.3).
/// Names are held in one canonical form: lower case, labels joined by dots, no final dot; the root is the empty text.
/// </summary>
public static class DnsNames
{
    public const int LabelLengthMax = 63;
    public const int NameLengthMax = 253;

    /// <summary>The longest label of an app or a port: SRV names put an underscore before it.</summary>
    public const int ServiceLabelLengthMax = LabelLengthMax - 1;

    /// <summary>
    /// Leaves room for the longest names in front of a domain: <c>_port._app._tcp.</c> with labels of full length, and its first label's twin.
    /// </summary>
    public const int DomainLengthMax = 108;

    /// <summary>Mesos-DNS's alphabet for hashes: easy to read aloud.</summary>
    private const string ZBase32 = "ybndrfg8ejkmcpqxot1uwisza345h769";

    /// <summary>One label of any text: lower case, <c>-._</c> become hyphens, other characters vanish, no hyphen at either end.</summary>
    public static string Label(string text, int lengthMax = LabelLengthMax)
    {
        Span<char> kept = text.Length <= 256 ? stackalloc char[text.Length] : new char[text.Length];
        var length = 0;
        foreach (var c in text)
            if (char.IsAsciiLetterOrDigit(c)) kept[length++] = char.ToLowerInvariant(c);
            else if (c is '-' or '.' or '_') kept[length++] = '-';
        return Cut(kept[..length].Trim('-').ToString(), lengthMax);
    }

    /// <summary>The place of hyphens that a cut leaves at the end is refilled with what follows them, as Mesos-DNS does it.</summary>
    private static string Cut(string label, int lengthMax)
    {
        if (label.Length <= lengthMax) return label;
        var cut = label[..lengthMax].TrimEnd('-');
        for (var rest = label[lengthMax..].TrimStart('-'); cut.Length < lengthMax && rest.Length > 0;)
        {
            var taken = Math.Min(lengthMax - cut.Length, rest.Length);
            cut = (cut + rest[..taken]).TrimEnd('-');
            rest = rest[taken..].TrimStart('-');
        }
        return cut;
    }

    /// <summary>The app's name as one label: <c>/prod/eu/web</c> is <c>web-eu-prod</c>.</summary>
    public static string AppLabel(AppId app, int lengthMax = LabelLengthMax) => Label(app.ReverseDotted, lengthMax);

    /// <summary>The app's name with its dots kept, <c>web.eu.prod</c>; null where a part is too long to be a label.</summary>
    public static string? AppDotted(AppId app) => app.ReverseDotted is var name && name.Split('.').All(x => x.Length <= LabelLengthMax) ? name : null;

    /// <summary>An instance's own label, <c>web-eu-prod-k3x1a-s4</c>: app, hash of the task id, tail of the node's name.</summary>
    /// <param name="appName">The app's <see cref="AppId.ReverseDotted"/>.</param>
    public static string InstanceLabel(string appName, InstanceId instance, NodeId node, int hashLength = 5)
    {
        var tail = Label(node.Name[(node.Name.LastIndexOf('-') + 1)..], 12);
        var suffix = tail.Length == 0 ? $"-{Hash(instance.TaskId, hashLength)}" : $"-{Hash(instance.TaskId, hashLength)}-{tail}";
        return Label(appName, LabelLengthMax - suffix.Length) + suffix;
    }

    /// <summary>The first characters of the zbase32 form of a SHA-1: a name, not a seal.</summary>
    [SuppressMessage("Security", "CA5350:Do Not Use Weak Cryptographic Algorithms", Justification = "Mesos-DNS's names are made with SHA-1.")]
    private static string Hash(string text, int length)
    {
        Span<byte> hash = stackalloc byte[SHA1.HashSizeInBytes];
        SHA1.HashData(Encoding.UTF8.GetBytes(text), hash);
        Span<char> name = stackalloc char[length];
        for (var i = 0; i < length; i++)
        {
            var bit = i * 5;
            var window = (hash[bit / 8] << 8) | hash[(bit / 8) + 1];
            name[i] = ZBase32[(window >> (11 - (bit % 8))) & 31];
        }
        return new string(name);
    }

    /// <summary>Whether a dotted name, put before the domain, means something of the zone's own: the revision, or where the domain is the zone, its servers and twins.</summary>
    public static bool IsReserved(string dotted, string domain)
    {
        if (dotted == "revision") return true;
        if (ZoneOf(domain) != domain) return false;
        var last = dotted[(dotted.LastIndexOf('.') + 1)..];
        return last is "slave" or "containerip" or "all" or "group" or "leader" or "master" or "ns1"
            || (last.StartsWith("master", StringComparison.Ordinal) && last.AsSpan(6).IndexOfAnyExceptInRange('0', '9') < 0);
    }

    /// <summary>The zone that a domain lies in: <c>mesos</c> for <c>marathon.mesos</c>.</summary>
    public static string ZoneOf(string domain) => domain.IndexOf('.', StringComparison.Ordinal) is > 0 and var dot ? domain[(dot + 1)..] : domain;

    /// <summary>The uncompressed wire form of a canonical name.</summary>
    public static byte[] ToWire(string name)
    {
        if (name.Length == 0) return [0];
        var wire = new byte[name.Length + 2];
        var at = 0;
        foreach (var range in name.AsSpan().Split('.'))
        {
            var label = name.AsSpan(range);
            wire[at++] = (byte)label.Length;
            at += Encoding.Latin1.GetBytes(label, wire.AsSpan(at));
        }
        return wire;
    }

    public static bool IsWithin(ReadOnlySpan<char> name, string zone) =>
        zone.Length == 0 || name.SequenceEqual(zone)
        || (name.Length > zone.Length && name[name.Length - zone.Length - 1] == '.' && name.EndsWith(zone, StringComparison.Ordinal));
}
