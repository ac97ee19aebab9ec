using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Platform.Model;

namespace Platform.Scheduler.Api;

/// <summary>
/// The selector language of <c>?label=</c> (contract 1.4): <c>key</c>, <c>key==v</c>, <c>key!=v</c>, <c>key in (a,b)</c>, <c>key notin (a,b)</c>,
/// joined by commas that mean "and". The key must exist in every form.
/// </summary>
internal sealed class LabelSelector
{
    private sealed record Term(string Key, ImmutableHashSet<string>? Values, bool Among)
    {
        public bool Matches(EquatableMap labels) => labels.TryGetValue(Key, out var value) && (Values is null || Values.Contains(value) == Among);
    }

    private readonly List<Term> _terms = [];

    public bool Matches(EquatableMap labels) => _terms.TrueForAll(t => t.Matches(labels));

    public static bool TryParse(string text, [NotNullWhen(true)] out LabelSelector? selector, [NotNullWhen(false)] out string? why)
    {
        var parsed = new LabelSelector();
        var reader = new Reader(text);
        selector = null;
        why = null;
        do
        {
            if (!TryParseTerm(reader, out var term))
            {
                why = $"Parser error in label selector '{text}' at position {reader.At}: {reader.Expected} expected";
                return false;
            }
            parsed._terms.Add(term);
        }
        while (reader.Take(","));
        if (!reader.IsAtEnd)
        {
            why = $"Parser error in label selector '{text}' at position {reader.At}: ',' expected";
            return false;
        }
        selector = parsed;
        return true;
    }

    private static bool TryParseTerm(Reader reader, [NotNullWhen(true)] out Term? term)
    {
        term = null;
        if (reader.Word() is not { } key) return false;
        if (reader.Take("==")) return TryParseValue(reader, key, true, out term);
        if (reader.Take("!=")) return TryParseValue(reader, key, false, out term);
        if (reader.IsAtEnd || reader.IsBefore(','))
        {
            term = new Term(key, null, true);
            return true;
        }
        var word = reader.Word();
        if (word is not ("in" or "notin"))
        {
            reader.Expected = "one of ==, !=, in, notin";
            return false;
        }
        if (!reader.Take("(")) return false;
        var values = ImmutableHashSet.CreateBuilder<string>(StringComparer.Ordinal);
        do
        {
            if (reader.Word() is not { } value) return false;
            values.Add(value);
        }
        while (reader.Take(","));
        if (!reader.Take(")")) return false;
        term = new Term(key, values.ToImmutable(), word == "in");
        return true;
    }

    private static bool TryParseValue(Reader reader, string key, bool among, [NotNullWhen(true)] out Term? term)
    {
        term = reader.Word() is { } value ? new Term(key, [value], among) : null;
        return term is not null;
    }

    private sealed class Reader(string text)
    {
        public int At { get; private set; }
        public string Expected { get; set; } = "";

        public bool IsAtEnd
        {
            get
            {
                SkipSpace();
                return At == text.Length;
            }
        }

        public bool IsBefore(char c)
        {
            SkipSpace();
            return At < text.Length && text[At] == c;
        }

        public bool Take(string sign)
        {
            SkipSpace();
            Expected = $"'{sign}'";
            if (string.CompareOrdinal(text, At, sign, 0, sign.Length) != 0) return false;
            At += sign.Length;
            return true;
        }

        /// <summary>Letters, digits, dot, underscore and hyphen stand for themselves; anything else behind a backslash.</summary>
        public string? Word()
        {
            SkipSpace();
            Expected = "a name";
            var word = new StringBuilder();
            for (; At < text.Length; At++)
            {
                if (text[At] == '\\' && At + 1 < text.Length) At++;
                else if (!char.IsAsciiLetterOrDigit(text[At]) && text[At] is not ('.' or '_' or '-')) break;
                word.Append(text[At]);
            }
            return word.Length == 0 ? null : word.ToString();
        }

        private void SkipSpace()
        {
            while (At < text.Length && char.IsWhiteSpace(text[At])) At++;
        }
    }
}
