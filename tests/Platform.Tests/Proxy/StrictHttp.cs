using System.Globalization;
using System.Text;

namespace Platform.Tests.Proxy;

/// <summary>
/// HTTP/1 requests by the letter of RFC 9112 and 3986, written for the tests and sharing nothing with the product: what a whole, right request is, and what of a
/// wrong one no proxy may pass on.
/// </summary>
internal sealed record StrictHttp(string Method, string Target, IReadOnlyList<(string Name, string Value)> Fields, string Body, int Length)
{
    private const string TokenOther = "!#$%&'*+-.^_`|~";

    public IEnumerable<string> Values(string name) => Fields.Where(x => x.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(x => x.Value);

    /// <summary>The first request of the text. Null: it is not whole, and what there is of it is right. An exception: it is wrong.</summary>
    public static StrictHttp? Read(string text)
    {
        var at = 0;
        while (text.AsSpan(at).StartsWith("\r\n")) at += 2;
        if (Line(text, ref at) is not { } line) return null;
        var parts = line.Split(' ');
        Must(parts.Length == 3 && IsToken(parts[0]), "request line");
        Must(parts[1].Length > 0 && parts[1].All(x => x is > ' ' and < '\x7f' and not '#'), "target");
        Must(parts[2] is "HTTP/1.1" or "HTTP/1.0", "version");
        var fields = new List<(string, string)>();
        while (true)
        {
            if (Line(text, ref at) is not { } field) return null;
            if (field.Length == 0) break;
            var colon = field.IndexOf(':', StringComparison.Ordinal);
            Must(colon > 0 && IsToken(field[..colon]), "field name");
            Must(field[(colon + 1)..].All(x => x is '\t' or >= ' ' and not '\x7f'), "field value");
            fields.Add((field[..colon], field[(colon + 1)..].Trim(' ', '\t')));
        }
        var request = new StrictHttp(parts[0], parts[1], fields, "", at);
        return request.WithBody(text, at, parts[2] == "HTTP/1.0");
    }

    private StrictHttp? WithBody(string text, int at, bool isHttp10)
    {
        var hosts = Values("Host").ToArray();
        Must(hosts.Length == 1 || (hosts.Length == 0 && isHttp10), "Host");
        var lengths = Values("Content-Length").ToArray();
        var codings = Values("Transfer-Encoding").ToArray();
        Must(lengths.All(x => x.Length > 0 && x.All(char.IsAsciiDigit) && x.TrimStart('0').Length < 19) && lengths.Distinct().Count() <= 1, "Content-Length");
        if (codings.Length == 0)
        {
            var length = lengths.Length == 0 ? 0 : long.Parse(lengths[0], CultureInfo.InvariantCulture);
            return text.Length - at < length ? null : this with { Body = text.Substring(at, (int)length), Length = at + (int)length };
        }
        Must(codings.Length == 1 && codings[0].Equals("chunked", StringComparison.OrdinalIgnoreCase) && lengths.Length == 0 && !isHttp10, "Transfer-Encoding");
        var body = new StringBuilder();
        while (true)
        {
            if (Line(text, ref at) is not { } line) return null;
            var size = new string([.. line.TakeWhile(char.IsAsciiHexDigit)]);
            Must(size.Length is > 0 and < 16 && AreExtensions(line[size.Length..]), "chunk");
            var length = long.Parse(size, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (length == 0) break;
            if (text.Length - at < length + 2) return null;
            body.Append(text, at, (int)length);
            at += (int)length;
            Must(text.AsSpan(at).StartsWith("\r\n"), "end of chunk");
            at += 2;
        }
        while (true)
        {
            if (Line(text, ref at) is not { } trailer) return null;
            if (trailer.Length == 0) return this with { Body = body.ToString(), Length = at };
            var colon = trailer.IndexOf(':', StringComparison.Ordinal);
            Must(colon > 0 && IsToken(trailer[..colon]), "trailer");
        }
    }

    private static string? Line(string text, ref int at)
    {
        var end = text.AsSpan(at).IndexOfAny('\r', '\n');
        if (end < 0) return null;
        end += at;
        Must(text[end] == '\r', "bare LF");
        if (end + 1 == text.Length) return null;
        Must(text[end + 1] == '\n', "bare CR");
        var line = text[at..end];
        at = end + 2;
        return line;
    }

    private static bool IsToken(string text) => text.Length > 0 && text.All(x => char.IsAsciiLetterOrDigit(x) || TokenOther.Contains(x, StringComparison.Ordinal));

    /// <summary>*( BWS ";" BWS name [ BWS "=" BWS value ] ), by states.</summary>
    private static bool AreExtensions(string text)
    {
        for (var at = 0; at < text.Length;)
        {
            Blanks(ref at);
            if (at == text.Length || text[at++] != ';') return false;
            Blanks(ref at);
            if (!Token(ref at)) return false;
            var behind = at;
            Blanks(ref behind);
            if (behind == text.Length || text[behind] != '=') continue;
            at = behind + 1;
            Blanks(ref at);
            if (at < text.Length && text[at] == '"')
            {
                for (at++; at < text.Length && text[at] != '"'; at++)
                {
                    if (text[at] == '\\' && ++at == text.Length) return false;
                    if (text[at] is < ' ' and not '\t' or '\x7f') return false;
                }
                if (at++ >= text.Length) return false;
            }
            else if (!Token(ref at)) return false;
        }
        return true;

        void Blanks(ref int at)
        {
            while (at < text.Length && (text[at] is ' ' or '\t')) at++;
        }

        bool Token(ref int at)
        {
            var start = at;
            while (at < text.Length && IsToken(text[at].ToString())) at++;
            return at > start;
        }
    }

    private static void Must(bool holds, string what)
    {
        if (!holds) throw new FormatException(what);
    }
}
