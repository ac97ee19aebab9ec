using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Platform.Discovery.Catalog;

internal enum FilterComparison { Equal, In, Matches, Empty }

/// <summary>One comparison: a selector, what is compared and with which value.</summary>
internal sealed record FilterMatch(string[] Selector, FilterComparison Comparison, bool Negated, string Value)
{
    public string Operator => (Comparison, Negated) switch
    {
        (FilterComparison.Equal, false) => "Equal",
        (FilterComparison.Equal, true) => "Not Equal",
        (FilterComparison.In, false) => "In",
        (FilterComparison.In, true) => "Not In",
        (FilterComparison.Matches, false) => "Matches",
        (FilterComparison.Matches, true) => "Not Matches",
        (FilterComparison.Empty, false) => "Is Empty",
        _ => "Is Not Empty",
    };

    /// <summary>Null where texts cannot be compared so; <paramref name="why"/> says so when the value is at fault.</summary>
    public Func<string, bool>? OfText(out string why)
    {
        why = "";
        switch (Comparison)
        {
            case FilterComparison.Equal: return x => x == Value != Negated;
            case FilterComparison.In: return x => x.Contains(Value, StringComparison.Ordinal) != Negated;
            case FilterComparison.Matches:
                try
                {
                    // Without backtracking no expression takes longer than its text is long.
                    var pattern = new Regex(Value.Replace("(?P<", "(?<", StringComparison.Ordinal), RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
                    return x => pattern.IsMatch(x) != Negated;
                }
                catch (Exception e) when (e is ArgumentException or NotSupportedException)
                {
                    why = $"Failed to compile regular expression \"{Value}\": {e.Message}";
                    return null;
                }
            default: return null;
        }
    }

    /// <summary>The words for yes and no that Go knows.</summary>
    public static bool? BoolOf(string text) => text switch
    {
        "1" or "t" or "T" or "TRUE" or "true" or "True" => true,
        "0" or "f" or "F" or "FALSE" or "false" or "False" => false,
        _ => null,
    };
}

/// <summary>
/// Consul's filter language: comparisons (<c>== != in contains matches is empty</c> and their negations) joined by <c>and or not</c> and
/// parentheses, over the selectors that a schema knows.
/// </summary>
internal static class Filter
{
    public const int LengthMax = 8192;

    /// <summary>Parentheses and negations within each other; the parser goes as deep as they do.</summary>
    public const int DepthMax = 64;

    private const string Failed = "Failed to create boolean expression evaluator: ";

    public static bool TryParse<T>(string text, FilterSchema<T> schema, [NotNullWhen(true)] out Func<T, bool>? filter, [NotNullWhen(false)] out string? why)
    {
        filter = null;
        if (text.Length > LengthMax)
        {
            why = $"{Failed}the filter is longer than {LengthMax} characters";
            return false;
        }
        var parser = new Parser<T>(text, schema);
        filter = parser.Whole();
        why = filter is null ? Failed + parser.Why : null;
        return filter is not null;
    }

    private sealed class Parser<T>(string text, FilterSchema<T> schema)
    {
        private int _at;
        private int _depth;

        public string Why { get; private set; } = "";

        public Func<T, bool>? Whole()
        {
            Blanks();
            if (Or() is not { } filter) return null;
            Blanks();
            return _at == text.Length ? filter : Expected("and, or, or the end");
        }

        private Func<T, bool>? Or()
        {
            if (And() is not { } left) return null;
            while (Word("or"))
            {
                if (And() is not { } right) return null;
                var before = left;
                left = x => before(x) || right(x);
            }
            return left;
        }

        private Func<T, bool>? And()
        {
            if (Not() is not { } left) return null;
            while (Word("and"))
            {
                if (Not() is not { } right) return null;
                var before = left;
                left = x => before(x) && right(x);
            }
            return left;
        }

        private Func<T, bool>? Not()
        {
            Blanks();
            if (++_depth > DepthMax) return Expected($"at most {DepthMax} levels");
            var inner = Word("not") ? Not() is { } positive ? x => !positive(x) : null
                : _at < text.Length && text[_at] == '(' ? Grouped() : Match();
            _depth--;
            return inner;
        }

        private Func<T, bool>? Grouped()
        {
            _at++;
            if (Or() is not { } inner) return null;
            Blanks();
            if (_at >= text.Length || text[_at] != ')') return Expected("\")\": Unmatched parentheses");
            _at++;
            return inner;
        }

        private Func<T, bool>? Match()
        {
            var start = _at;
            if (Selector() is { } selector)
            {
                if (Symbol("==") is var equal && (equal || Symbol("!=")))
                    return Value() is { } value ? Compile(new FilterMatch(selector, FilterComparison.Equal, !equal, value)) : Expected("a value");
                if (Words("is", "empty")) return Compile(new FilterMatch(selector, FilterComparison.Empty, false, ""));
                if (Words("is", "not", "empty")) return Compile(new FilterMatch(selector, FilterComparison.Empty, true, ""));
                foreach (var (word, comparison) in new[] { ("contains", FilterComparison.In), ("matches", FilterComparison.Matches) })
                    if (Words(word) is var plain && (plain || Words("not", word)))
                        return Value() is { } value ? Compile(new FilterMatch(selector, comparison, !plain, value)) : Expected("a value");
            }
            _at = start;
            if (Value() is not { } left) return Expected("a selector or a value");
            if (Words("in") is var within && (within || Words("not", "in")))
            {
                Blanks();
                return Selector() is { } of ? Compile(new FilterMatch(of, FilterComparison.In, !within, left)) : Expected("a selector");
            }
            return Expected("an operator: ==, !=, in, not in, contains, matches, is empty");
        }

        private Func<T, bool>? Compile(FilterMatch match)
        {
            var compiled = schema.Compile(match.Selector, match, out var why);
            if (compiled is null && Why.Length == 0) Why = why;
            return compiled;
        }

        /// <summary><c>Service.Meta.key</c> or <c>Service.Meta["any key"]</c>.</summary>
        private string[]? Selector()
        {
            var start = _at;
            if (Identifier() is not { } first) return null;
            List<string> path = [first];
            while (_at < text.Length)
                if (text[_at] == '.' && _at + 1 < text.Length && char.IsAsciiLetter(text[_at + 1]))
                {
                    _at++;
                    path.Add(Identifier()!);
                }
                else if (text[_at] == '[')
                {
                    _at++;
                    Blanks();
                    if (Quoted() is not { } index) return Back(start);
                    Blanks();
                    if (_at >= text.Length || text[_at] != ']') return Back(start);
                    _at++;
                    path.Add(index);
                }
                else break;
            return [.. path];
        }

        private string[]? Back(int start)
        {
            _at = start;
            return null;
        }

        private string? Identifier()
        {
            if (_at >= text.Length || !char.IsAsciiLetter(text[_at])) return null;
            var start = _at;
            while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] == '_')) _at++;
            return text[start.._at];
        }

        private string? Value()
        {
            Blanks();
            if (_at >= text.Length) return null;
            if (text[_at] is '"' or '`') return Quoted();
            var start = _at;
            if (text[_at] == '-' || char.IsAsciiDigit(text[_at]))
            {
                _at++;
                while (_at < text.Length && (char.IsAsciiDigit(text[_at]) || text[_at] == '.')) _at++;
                return _at == text.Length || char.IsWhiteSpace(text[_at]) || text[_at] == ')' ? text[start.._at] : null;
            }
            return Selector() is { } word ? string.Join('.', word) : null;
        }

        /// <summary>Between back quotes as it stands; between double quotes with Go's escapes.</summary>
        private string? Quoted()
        {
            if (_at >= text.Length || text[_at] is not ('"' or '`')) return null;
            var end = text.IndexOf(text[_at], _at + 1);
            if (end < 0) return null;
            var (raw, body) = (text[_at] == '`', text[(_at + 1)..end]);
            _at = end + 1;
            return raw || !body.Contains('\\', StringComparison.Ordinal) ? body : Unescape(body);
        }

        private static string? Unescape(string body)
        {
            try
            {
                return Regex.Unescape(body);
            }
            catch (ArgumentException)
            {
                return null;
            }
        }

        private bool Symbol(string symbol)
        {
            var start = _at;
            Blanks();
            if (string.CompareOrdinal(text, _at, symbol, 0, symbol.Length) == 0)
            {
                _at += symbol.Length;
                return true;
            }
            _at = start;
            return false;
        }

        /// <summary>Words of the language, each with blanks before it; takes all of them or nothing.</summary>
        private bool Words(params ReadOnlySpan<string> words)
        {
            var start = _at;
            foreach (var word in words)
                if (!Word(word))
                {
                    _at = start;
                    return false;
                }
            return true;
        }

        private bool Word(string word)
        {
            var start = _at;
            Blanks();
            var end = _at + word.Length;
            if (string.CompareOrdinal(text, _at, word, 0, word.Length) == 0 && (end == text.Length || !(char.IsAsciiLetterOrDigit(text[end]) || text[end] is '_' or '.' or '[')))
            {
                _at = end;
                return true;
            }
            _at = start;
            return false;
        }

        private void Blanks()
        {
            while (_at < text.Length && text[_at] is ' ' or '\t' or '\r' or '\n') _at++;
        }

        private Func<T, bool>? Expected(string what)
        {
            if (Why.Length == 0) Why = string.Create(CultureInfo.InvariantCulture, $"1:{_at + 1} ({_at}): no match found, expected: {what}");
            return null;
        }
    }
}
