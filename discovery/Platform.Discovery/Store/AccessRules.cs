using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Platform.Model;

namespace Platform.Discovery;

/// <summary>What a rule grants; a later one includes those before it, but for the first, which takes everything away.</summary>
public enum AccessLevel { Deny, Read, List, Write }

/// <summary>One rule: what may be done with one name of a resource (<c>key</c>, <c>session</c>, <c>node</c> …), or with all that begin so.</summary>
public sealed record AccessRule(string Resource, string Name, bool IsPrefix, AccessLevel Level);

/// <summary>
/// The rules of a policy, in Consul's language: <c>key_prefix "app/" { policy = "write" }</c>, <c>acl = "read"</c>, or the same as JSON. What is in a block
/// beside <c>policy</c> has to do with a service mesh, and there is none here.
/// </summary>
public static class AccessRules
{
    public const int TextMax = 64 * 1024;

    private static readonly string[] Named = ["key", "session", "node", "service", "agent", "event", "query"];
    private static readonly string[] Unnamed = ["acl", "operator", "keyring"];

    public static bool TryParse(string text, out EquatableArray<AccessRule> rules, [NotNullWhen(false)] out string? why)
    {
        rules = default;
        why = text.Length > TextMax ? $"Failed to parse ACL rules: longer than {TextMax} characters" : null;
        if (why is not null) return false;
        try
        {
            rules = (text.TrimStart().StartsWith('{') ? OfJson(text) : new Reader(text).Rules()).ToEquatableArray();
            return true;
        }
        catch (Exception e) when (e is FormatException or JsonException)
        {
            why = e.Message.StartsWith("Invalid ", StringComparison.Ordinal) ? e.Message : $"Failed to parse ACL rules: {e.Message}";
            return false;
        }
    }

    private static AccessRule Rule(string kind, string? name, string policy)
    {
        var isPrefix = kind.EndsWith("_prefix", StringComparison.Ordinal);
        var resource = isPrefix ? kind[..^"_prefix".Length] : kind;
        if (name is null ? !Unnamed.Contains(kind) : !Named.Contains(resource)) throw new FormatException($"there is no rule {kind}{(name is null ? "" : " with a name")}");
        var level = policy switch
        {
            "read" => AccessLevel.Read,
            "write" => AccessLevel.Write,
            "deny" => AccessLevel.Deny,
            "list" when resource == "key" => AccessLevel.List,
            _ => throw new FormatException($"Invalid {kind} policy: \"{policy}\""),
        };
        return new AccessRule(resource, name ?? "", isPrefix, level);
    }

    private static List<AccessRule> OfJson(string text)
    {
        using var json = JsonDocument.Parse(text);
        var rules = new List<AccessRule>();
        foreach (var kind in json.RootElement.EnumerateObject())
            if (kind.Value.ValueKind == JsonValueKind.String) rules.Add(Rule(kind.Name, null, kind.Value.GetString()!));
            else if (kind.Value.ValueKind != JsonValueKind.Object) throw new FormatException($"{kind.Name} is neither a word nor an object");
            else
                foreach (var named in kind.Value.EnumerateObject())
                    rules.Add(named.Value.ValueKind == JsonValueKind.Object && named.Value.TryGetProperty("policy", out var policy) && policy.ValueKind == JsonValueKind.String
                        ? Rule(kind.Name, named.Name, policy.GetString()!) : throw new FormatException($"{kind.Name} \"{named.Name}\" has no policy"));
        return rules;
    }

    /// <summary>The little of HCL that rules are written in.</summary>
    private sealed class Reader(string text)
    {
        private int _at;

        public IEnumerable<AccessRule> Rules()
        {
            while (Skip())
            {
                var kind = Word();
                if (Take('=')) yield return Rule(kind, null, Quoted());
                else if (Peek() == '"')
                {
                    var name = Quoted();
                    yield return Rule(kind, name, Policy($"{kind} \"{name}\""));
                }
                else throw Wrong($"key '{kind}' expected start of object ('{{') or assignment ('=')");
            }
        }

        private string Policy(string what)
        {
            string? policy = null;
            Need('{');
            while (!Take('}'))
            {
                var member = Word();
                Need('=');
                var value = Quoted();
                if (member == "policy") policy = value;
                else if (member is not ("intentions" or "sentinel")) throw Wrong($"{what} has no member {member}");
                Take(',');
            }
            return policy ?? throw Wrong($"{what} has no policy");
        }

        private string Word()
        {
            if (Peek() == '"') return Quoted();
            var from = _at;
            while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] is '_' or '-')) _at++;
            return _at > from ? text[from.._at] : throw Wrong("a word is wanted");
        }

        private string Quoted()
        {
            Need('"');
            var value = new System.Text.StringBuilder();
            for (; _at < text.Length && text[_at] != '"'; _at++)
            {
                if (text[_at] == '\\' && _at + 1 < text.Length) _at++;
                value.Append(text[_at]);
            }
            Need('"', skip: false);
            return value.ToString();
        }

        private char Peek() => Skip() ? text[_at] : '\0';

        private bool Take(char c)
        {
            if (Peek() != c) return false;
            _at++;
            return true;
        }

        private void Need(char c, bool skip = true)
        {
            if (skip ? Peek() != c : _at >= text.Length || text[_at] != c) throw Wrong($"'{c}' is wanted");
            _at++;
        }

        /// <summary>Over blanks and comments; false at the end.</summary>
        private bool Skip()
        {
            while (_at < text.Length)
                if (char.IsWhiteSpace(text[_at])) _at++;
                else if (text[_at] == '#' || text.AsSpan(_at).StartsWith("//")) _at = Past("\n");
                else if (text.AsSpan(_at).StartsWith("/*")) _at = Past("*/");
                else return true;
            return false;
        }

        private int Past(string end) => text.IndexOf(end, _at, StringComparison.Ordinal) is var found and >= 0 ? found + end.Length : text.Length;

        private FormatException Wrong(string why)
        {
            var before = text[..Math.Min(_at, text.Length)];
            return new FormatException($"At {before.Count(c => c == '\n') + 1}:{before.Length - before.LastIndexOf('\n')}: {why}");
        }
    }
}

/// <summary>What one caller may do: the rules of all its policies. An exact rule counts before a prefix, a long prefix before a short one.</summary>
public sealed class Authorizer
{
    private readonly Dictionary<(string Resource, string Name, bool IsPrefix), AccessLevel> _rules = [];
    private readonly AccessLevel _otherwise;

    /// <param name="otherwise">For what no rule speaks of.</param>
    public Authorizer(IEnumerable<AccessRule> rules, AccessLevel otherwise)
    {
        _otherwise = otherwise;
        foreach (var rule in rules)
        {
            var name = (rule.Resource, rule.Name, rule.IsPrefix);
            // Of two policies about the same the one that denies counts, and else the one that grants more.
            _rules[name] = !_rules.TryGetValue(name, out var other) ? rule.Level
                : other == AccessLevel.Deny || rule.Level == AccessLevel.Deny ? AccessLevel.Deny : (AccessLevel)Math.Max((int)other, (int)rule.Level);
        }
    }

    public static Authorizer Everything { get; } = new([], AccessLevel.Write);

    public bool MayRead(string resource, string name) => LevelOf(resource, name) >= AccessLevel.Read;
    public bool MayWrite(string resource, string name) => LevelOf(resource, name) == AccessLevel.Write;

    /// <summary>Everything that begins so, whatever it is.</summary>
    public bool MayWriteUnder(string resource, string prefix) =>
        MayWrite(resource, prefix, exact: false) && _rules.All(r => r.Key.Resource != resource || r.Value == AccessLevel.Write || !r.Key.Name.StartsWith(prefix, StringComparison.Ordinal));

    private bool MayWrite(string resource, string name, bool exact) => LevelOf(resource, name, exact) == AccessLevel.Write;

    private AccessLevel LevelOf(string resource, string name, bool exact = true)
    {
        if (exact && _rules.TryGetValue((resource, name, false), out var level)) return level;
        if (_rules.Count == 0) return _otherwise;
        for (var length = name.Length; length >= 0; length--)
            if (_rules.TryGetValue((resource, name[..length], true), out level)) return level;
        return _otherwise;
    }
}
